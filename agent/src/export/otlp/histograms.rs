//! Histograms of the series in OTLP's form, with exemplars.

use std::sync::Arc;

use hashbrown::HashMap;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Histogram, HistogramDataPoint, Metric, exemplar, metric,
};

use super::config::Temporality;
use super::metrics::Moment;
use crate::flow::Nanos;
use crate::signal::metrics::{BUCKETS, Distribution, Family, bounds, pairs};

/// What a series had at the export before.
#[derive(Clone, Copy, Debug)]
struct Before {
    buckets: [u64; BUCKETS],
    sum: u64,
    /// When its series was made: one that came again starts anew.
    since: Nanos,
}

/// Reads histograms, one export after the other.
#[derive(Debug)]
pub(super) struct Histograms {
    temporality: Temporality,
    /// By the place of the family, and labels.
    before: HashMap<(usize, Arc<str>), Before, crate::hash::Keyed>,
    /// When the export before was.
    last: Nanos,
}

impl Histograms {
    pub(super) fn new(temporality: Temporality) -> Self {
        Self {
            temporality,
            before: HashMap::default(),
            last: 0,
        }
    }

    /// The histograms at a moment.
    pub(super) fn read(&mut self, moment: &Moment) -> Vec<Metric> {
        let mut kept = HashMap::default();
        let mut metrics = Vec::new();
        for (place, family) in Family::all().iter().enumerate() {
            let mut points = Vec::new();
            for series in family.distributions(&moment.snapshot) {
                let before = match self.temporality {
                    Temporality::Cumulative => None,
                    Temporality::Delta => {
                        let key = (place, series.labels.clone());
                        let before = self.before.get(&key).copied();
                        kept.insert(
                            key,
                            Before {
                                buckets: series.buckets,
                                sum: series.sum,
                                since: series.since,
                            },
                        );
                        before.filter(|before| before.since == series.since)
                    }
                };
                points.extend(self.point(family, &series, before, moment));
            }
            if !points.is_empty() {
                metrics.push(self.metric(family, points));
            }
        }
        self.before = kept;
        self.last = moment.now;
        metrics
    }

    /// `None`: nothing has come since the export before.
    fn point(
        &self,
        family: &Family,
        series: &Distribution<'_>,
        before: Option<Before>,
        moment: &Moment,
    ) -> Option<HistogramDataPoint> {
        let was = before.map_or([0; BUCKETS], |before| before.buckets);
        let new = series.buckets.iter().zip(was);
        let buckets: Vec<u64> = new.map(|(now, was)| now.saturating_sub(was)).collect();
        let count = buckets.iter().sum();
        if self.temporality == Temporality::Delta && count == 0 {
            return None;
        }
        let sum = series
            .sum
            .saturating_sub(before.map_or(0, |before| before.sum));
        let since = match before {
            Some(_) => self.last,
            None => series.since,
        };
        let unix = |time| moment.clock.unix_nanos(time);
        let last = unix(self.last);
        let exemplars = series.exemplars.iter();
        let exemplars = exemplars.filter(|(exemplar, _)| exemplar.unix_nanos > last);
        Some(HistogramDataPoint {
            attributes: attributes(series.labels),
            start_time_unix_nano: unix(since),
            time_unix_nano: unix(moment.now),
            count,
            sum: Some(family.shown(sum)),
            bucket_counts: buckets,
            explicit_bounds: bounds().collect(),
            exemplars: exemplars.map(exemplar_of).collect(),
            ..HistogramDataPoint::default()
        })
    }

    fn metric(&self, family: &Family, data_points: Vec<HistogramDataPoint>) -> Metric {
        let temporality = match self.temporality {
            Temporality::Cumulative => AggregationTemporality::Cumulative,
            Temporality::Delta => AggregationTemporality::Delta,
        };
        Metric {
            name: family.name(),
            description: family.help().to_owned(),
            unit: family.unit().to_owned(),
            data: Some(metric::Data::Histogram(Histogram {
                data_points,
                aggregation_temporality: temporality.into(),
            })),
            ..Metric::default()
        }
    }
}

fn exemplar_of((exemplar, sample): &(crate::signal::metrics::Exemplar, f64)) -> Exemplar {
    Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: exemplar.unix_nanos,
        span_id: exemplar.span.0.to_vec(),
        trace_id: exemplar.trace.0.to_vec(),
        value: Some(exemplar::Value::AsDouble(*sample)),
    }
}

fn attributes(labels: &str) -> Vec<KeyValue> {
    let pairs = pairs(labels).into_iter();
    let attributes = pairs.map(|(name, value)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into_owned())),
        }),
        ..KeyValue::default()
    });
    attributes.collect()
}
