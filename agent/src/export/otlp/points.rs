//! Metrics in requests of bounded size: a receiver takes 4 MiB by default, and a node may have
//! more.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, Metric, ResourceMetrics, ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::export::Batch;

/// A point's tag and length, in its metric.
const HEAD: usize = 6;

type Origin = (Option<Resource>, Option<InstrumentationScope>);

/// Fills one request after the other.
#[derive(Debug)]
pub(super) struct Packer {
    origin: Origin,
    max_bytes: usize,
    max_points: u64,
    open: Vec<Metric>,
    bytes: usize,
    points: u64,
    full: Vec<Batch>,
}

impl Packer {
    /// Requests of at most so many bytes and points, save for a single point larger than that.
    pub(super) const fn new(origin: Origin, (max_bytes, max_points): (usize, u64)) -> Self {
        Self {
            origin,
            max_bytes,
            max_points,
            open: Vec::new(),
            bytes: 0,
            points: 0,
            full: Vec::new(),
        }
    }

    /// Adds the points of a metric.
    pub(super) fn add(&mut self, metric: Metric) {
        let Some(data) = metric.data else {
            return;
        };
        let shell = Metric {
            data: None,
            ..metric
        };
        match data {
            metric::Data::Sum(sum) => {
                let (temporality, is_monotonic) = (sum.aggregation_temporality, sum.is_monotonic);
                self.pack(&shell, sum.data_points, |data_points| {
                    metric::Data::Sum(Sum {
                        data_points,
                        aggregation_temporality: temporality,
                        is_monotonic,
                    })
                });
            }
            metric::Data::Histogram(histogram) => {
                let temporality = histogram.aggregation_temporality;
                self.pack(&shell, histogram.data_points, |data_points| {
                    metric::Data::Histogram(Histogram {
                        data_points,
                        aggregation_temporality: temporality,
                    })
                });
            }
            // There is no such instrument.
            metric::Data::Gauge(_)
            | metric::Data::ExponentialHistogram(_)
            | metric::Data::Summary(_) => {}
        }
    }

    fn pack<P: Message>(
        &mut self,
        shell: &Metric,
        points: Vec<P>,
        data: impl Fn(Vec<P>) -> metric::Data,
    ) {
        let filled = |points: &mut Vec<P>| Metric {
            data: Some(data(std::mem::take(points))),
            ..shell.clone()
        };
        let mut part = Vec::new();
        for point in points {
            let size = point.encoded_len() + HEAD;
            let is_full = self.bytes + size > self.max_bytes || self.points >= self.max_points;
            if is_full && self.points > 0 {
                if !part.is_empty() {
                    self.open.push(filled(&mut part));
                }
                self.close();
            }
            self.bytes += size;
            self.points += 1;
            part.push(point);
        }
        if !part.is_empty() {
            self.bytes += shell.encoded_len() + HEAD;
            self.open.push(filled(&mut part));
        }
    }

    fn close(&mut self) {
        let (resource, scope) = self.origin.clone();
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource,
                scope_metrics: vec![ScopeMetrics {
                    scope,
                    metrics: std::mem::take(&mut self.open),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let bytes = Bytes::from(request.encode_to_vec());
        self.full.push(Batch {
            bytes: bytes.len(),
            parts: vec![bytes],
            items: std::mem::take(&mut self.points),
        });
        self.bytes = 0;
    }

    /// All requests.
    pub(super) fn finish(mut self) -> Vec<Batch> {
        if self.points > 0 {
            self.close();
        }
        self.full
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;

    use super::*;

    /// Points of metrics, packed: in each request, the metrics with their numbers of points.
    #[track_caller]
    fn check(limits: (usize, u64), metrics: &[(&str, usize)], expected: &[&[(&str, usize)]]) {
        let mut packer = Packer::new((None, None), limits);
        for (name, count) in metrics {
            let point = |n| NumberDataPoint {
                time_unix_nano: 1 + n as u64,
                ..NumberDataPoint::default()
            };
            packer.add(Metric {
                name: (*name).to_owned(),
                data: Some(metric::Data::Sum(Sum {
                    data_points: (0..*count).map(point).collect(),
                    aggregation_temporality: 2,
                    is_monotonic: true,
                })),
                ..Metric::default()
            });
        }
        let batches = packer.finish();
        let found: Vec<Vec<(String, usize)>> = batches.iter().map(read).collect();
        let expected: Vec<Vec<(String, usize)>> = expected
            .iter()
            .map(|request| request.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect())
            .collect();
        assert_eq!(found, expected);
        for batch in &batches {
            let points: usize = read(batch).iter().map(|(_, count)| count).sum();
            assert_eq!(batch.items, points as u64);
            assert_eq!(batch.bytes, batch.parts[0].len());
        }
    }

    fn read(batch: &Batch) -> Vec<(String, usize)> {
        let request = ExportMetricsServiceRequest::decode(&*batch.parts[0]).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let read = |metric: &Metric| match &metric.data {
            Some(metric::Data::Sum(sum)) => (metric.name.clone(), sum.data_points.len()),
            other => panic!("{other:?}"),
        };
        metrics.iter().map(read).collect()
    }

    #[test]
    fn requests_are_bounded_and_hold_every_point_once() {
        const BYTES: usize = 1 << 20;
        check((BYTES, 100), &[], &[]);
        check((BYTES, 100), &[("a", 0)], &[]);
        check(
            (BYTES, 100),
            &[("a", 2), ("b", 1)],
            &[&[("a", 2), ("b", 1)]],
        );
        check(
            (BYTES, 2),
            &[("a", 3), ("b", 2)],
            &[&[("a", 2)], &[("a", 1), ("b", 1)], &[("b", 1)]],
        );
        check((1, 100), &[("a", 2)], &[&[("a", 1)], &[("a", 1)]]);
    }
}
