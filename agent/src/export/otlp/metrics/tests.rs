use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};

use super::*;
use crate::export::ItemKind;
use crate::export::otlp::{OtlpConfig, Signal};
use crate::export::queue::{DropPolicy, Popped, Queue};
use crate::flow::Side;
use crate::policy::{SpanId, TraceId, fixture};
use crate::signal::metrics::{Exemplar, Format, MetricsSection, Page, Security, Subject};

struct Bench {
    metrics: Arc<Metrics>,
    channel: Arc<Channel>,
    provider: SdkMeterProvider,
}

impl Bench {
    fn new(yaml: &str) -> Self {
        let mut config: OtlpConfig = serde_saphyr::from_str(yaml).unwrap();
        (config.endpoint).get_or_insert_with(|| "http://localhost:4318".to_owned());
        let settings = Settings::of_signal(&config, Signal::Metrics, "otlp", &|_| None).unwrap();
        let queue = Queue::new(1 << 24, DropPolicy::Newest);
        let channel = Arc::new(Channel::new("x".to_owned(), ItemKind::DataPoint, queue));
        let metrics = Arc::new(Metrics::new(&MetricsSection::default()).unwrap());
        let source = MetricSource {
            metrics: metrics.clone(),
            resource: Arc::new(Resource {
                attributes: vec![("service.name".to_owned(), "meshtap".into())],
            }),
        };
        let provider = provider(&settings, &source, &channel).unwrap();
        Self {
            metrics,
            channel,
            provider,
        }
    }

    /// Counts an exchange that ends now.
    fn count(&self, status: u16, exemplar: Option<Exemplar>) {
        let mut exchange = fixture::exchange(
            "POST / HTTP/1.1\r\nhost: h\r\n\r\nhello",
            format!("HTTP/1.1 {status} X\r\n\r\nhi"),
        );
        exchange.ended = monotonic();
        exchange.request.began = exchange.ended - 7_500_000;
        let subject = Subject {
            side: Side::Server,
            source: None,
            destination: None,
            service: None,
            security: Security::Plain,
        };
        self.metrics.exchange(&exchange, &subject, None, exemplar);
    }

    /// The metrics of an export.
    fn export(&self) -> Vec<Metric> {
        self.provider.force_flush().unwrap();
        let mut metrics = Vec::new();
        while let Popped::Item(batch) = self.channel.queue.try_pop() {
            let request = ExportMetricsServiceRequest::decode(&*batch.parts.concat()).unwrap();
            for resource in request.resource_metrics {
                let attributes = resource.resource.unwrap().attributes;
                assert_eq!(attributes[0].key, "service.name");
                for scope in resource.scope_metrics {
                    assert_eq!(scope.scope.unwrap().name, SCOPE);
                    metrics.extend(scope.metrics);
                }
            }
            self.channel.delivery.start(batch.items);
            self.channel.delivery.export(batch.items, 0, 0);
        }
        assert_eq!(self.channel.totals().imbalance(), 0);
        assert_eq!(self.channel.filling(), 0);
        metrics
    }
}

/// Values by name, status and bucket: what a page of Prometheus says.
fn values(metrics: &[Metric]) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for metric in metrics {
        match metric.data.as_ref().unwrap() {
            metric::Data::Sum(sum) => {
                assert!(sum.is_monotonic);
                for point in &sum.data_points {
                    let number_data_point::Value::AsInt(value) = point.value.unwrap() else {
                        panic!("{point:?}");
                    };
                    let code = code(&point.attributes);
                    found.insert(format!("{} {code}", metric.name), value as f64);
                }
            }
            metric::Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let code = code(&point.attributes);
                    let name = &metric.name;
                    let mut upto = 0;
                    for (place, count) in point.bucket_counts.iter().enumerate() {
                        upto += count;
                        let bound = point.explicit_bounds.get(place);
                        let bound = bound.map_or("+Inf".to_owned(), ToString::to_string);
                        found.insert(format!("{name}_bucket {code} {bound}"), upto as f64);
                    }
                    assert_eq!(point.count, upto);
                    found.insert(format!("{name}_count {code}"), point.count as f64);
                    found.insert(format!("{name}_sum {code}"), point.sum.unwrap());
                }
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

fn code(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> String {
    assert!(attributes.len() > 20, "{attributes:?}");
    let pair = attributes.iter().find(|pair| pair.key == "response_code");
    match pair.unwrap().value.clone().unwrap().value.unwrap() {
        Value::StringValue(code) => code,
        other => panic!("{other:?}"),
    }
}

/// The same of the page.
fn page(metrics: &Metrics) -> BTreeMap<String, f64> {
    let page = Page::new(metrics.snapshot(monotonic()), Format::Prometheus).text();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (name, rest) = line.split_once('{').unwrap();
        let (labels, value) = rest.rsplit_once("} ").unwrap();
        let label = |name: &str| {
            let pairs = pairs(labels);
            let found = pairs.into_iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into_owned())
        };
        let code = label("response_code").unwrap();
        let bound = label("le").map_or(String::new(), |bound| format!(" {bound}"));
        (format!("{name} {code}{bound}"), value.parse().unwrap())
    };
    lines.map(read).collect()
}

#[test]
fn values_are_those_of_the_page() {
    let bench = Bench::new("{}");
    assert_eq!(bench.export().len(), 0);
    for status in [200, 200, 503] {
        bench.count(status, None);
    }
    let found = values(&bench.export());
    assert_eq!(found, page(&bench.metrics));
    assert_eq!(found["istio_requests_total 200"], 2.0);
    assert_eq!(found["istio_request_duration_milliseconds_sum 200"], 15.0);
    assert_eq!(found["istio_request_bytes_bucket 503 5"], 1.0);
    bench.count(200, None);
    let found = values(&bench.export());
    assert_eq!(found, page(&bench.metrics));
    assert_eq!(found["istio_requests_total 200"], 3.0);
}

#[test]
fn delta_values_are_since_the_export_before() {
    let bench = Bench::new("metrics: {temporality: delta}");
    bench.count(200, None);
    bench.count(200, None);
    let found = values(&bench.export());
    assert_eq!(found["istio_requests_total 200"], 2.0);
    assert_eq!(found["istio_response_bytes_count 200"], 2.0);
    bench.count(200, None);
    let found = values(&bench.export());
    assert_eq!(found["istio_requests_total 200"], 1.0);
    assert_eq!(found["istio_response_bytes_count 200"], 1.0);
    assert_eq!(found["istio_response_bytes_sum 200"], 2.0);
    let found = values(&bench.export());
    assert!(
        !found.contains_key("istio_response_bytes_count 200"),
        "{found:?}"
    );
}

#[test]
fn exemplars_name_the_span() {
    let bench = Bench::new("{}");
    let unix_nanos = WallClock::now().unix_nanos(monotonic());
    let exemplar = Exemplar {
        trace: TraceId([0xab; 16]),
        span: SpanId([0xcd; 8]),
        unix_nanos,
    };
    bench.count(200, Some(exemplar));
    let exemplars = |metrics: &[Metric]| {
        let mut found = Vec::new();
        for metric in metrics {
            if let Some(metric::Data::Histogram(histogram)) = &metric.data {
                let points = histogram.data_points.iter();
                let all = points.flat_map(|point| point.exemplars.iter());
                found.extend(all.map(|exemplar| (metric.name.clone(), exemplar.clone())));
            }
        }
        found
    };
    let found = exemplars(&bench.export());
    assert_eq!(found.len(), 1);
    let (name, found) = &found[0];
    assert_eq!(name, "istio_request_duration_milliseconds");
    assert_eq!(found.trace_id, [0xab; 16]);
    assert_eq!(found.span_id, [0xcd; 8]);
    assert_eq!(found.time_unix_nano, unix_nanos);
    // One that was exported is not exported again.
    bench.count(200, None);
    assert_eq!(exemplars(&bench.export()), []);
}
