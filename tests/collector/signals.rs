//! Metrics and logs of `meshtap run` at the collector, beside spans: the values are those of the
//! Prometheus page, and what names a span names one that arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use meshtap_tests::{Connection, ECHO, HTTP_PORT, Nginx};
use serde_json::Value;

use crate::live::{collected, export, until};
use crate::real::{Security, all, array, attribute};
use crate::service::Service;

const REQUESTS: usize = 7;

/// Labels, sorted, as text.
fn shown(mut labels: Vec<(String, String)>) -> String {
    labels.sort();
    format!("{labels:?}")
}

/// The series of HTTP metrics on the page: name and labels, with the value.
fn page(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| line.starts_with("istio_re"));
    let read = |line: &str| {
        let (name, rest) = line.split_once('{').unwrap();
        let (labels, value) = rest.rsplit_once("\"} ").unwrap();
        let pairs = labels
            .split("\",")
            .map(|pair| pair.split_once("=\"").unwrap());
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let key = format!("{name}{}", shown(labels.collect()));
        (key, value.parse().unwrap())
    };
    lines.map(read).collect()
}

fn number(value: &Value) -> f64 {
    // 64-bit integers are strings in protobuf's JSON.
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap_or_else(|| panic!("{value}")),
    }
}

/// What the collector wrote of metrics: the last value of each series, and all exemplars.
#[derive(Default)]
struct Metrics {
    values: BTreeMap<String, f64>,
    exemplars: BTreeSet<(String, String)>,
}

impl Metrics {
    fn read(file: &Path) -> Self {
        let mut found = Self::default();
        for line in fs::read_to_string(file).unwrap().lines() {
            let request: Value = serde_json::from_str(line).unwrap();
            for group in array(&request["resourceMetrics"]) {
                let name = attribute(&group["resource"]["attributes"], "service.name");
                assert_eq!(name, Some("meshtap".into()));
                for scope in array(&group["scopeMetrics"]) {
                    for metric in array(&scope["metrics"]) {
                        found.metric(metric);
                    }
                }
            }
        }
        found
    }

    fn metric(&mut self, metric: &Value) {
        let name = metric["name"].as_str().unwrap();
        if !name.starts_with("istio_re") {
            return;
        }
        for point in array(&metric["sum"]["dataPoints"]) {
            assert_eq!(metric["sum"]["aggregationTemporality"], 2, "cumulative");
            self.add(name, point, None, number(&point["asInt"]));
        }
        for point in array(&metric["histogram"]["dataPoints"]) {
            let bounds = array(&point["explicitBounds"]).map(|bound| number(bound).to_string());
            let mut upto = 0.0;
            let buckets = array(&point["bucketCounts"]);
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(buckets) {
                upto += number(count);
                self.add(&format!("{name}_bucket"), point, Some(bound), upto);
            }
            self.add(
                &format!("{name}_count"),
                point,
                None,
                number(&point["count"]),
            );
            self.add(&format!("{name}_sum"), point, None, number(&point["sum"]));
            for exemplar in array(&point["exemplars"]) {
                self.exemplars.insert(ids(exemplar));
            }
        }
    }

    fn add(&mut self, name: &str, point: &Value, bound: Option<String>, value: f64) {
        let attributes = array(&point["attributes"]).map(|pair| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&pair["key"]), text(&pair["value"]["stringValue"]))
        });
        let bound = bound.map(|bound| ("le".to_owned(), bound));
        let key = format!("{name}{}", shown(attributes.chain(bound).collect()));
        self.values.insert(key, value);
    }
}

fn ids(of: &Value) -> (String, String) {
    let text = |key| of[key].as_str().unwrap_or_default().to_owned();
    (text("traceId"), text("spanId"))
}

/// Records of the access log: their span, with body, severity and the service that they are of.
fn records(file: &Path) -> BTreeMap<(String, String), [String; 3]> {
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for group in array(&request["resourceLogs"]) {
            let service = attribute(&group["resource"]["attributes"], "service.name").unwrap();
            for scope in array(&group["scopeLogs"]) {
                for record in array(&scope["logRecords"]) {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let says = [
                        text(&record["body"]["stringValue"]),
                        text(&record["severityText"]),
                        text(&service),
                    ];
                    found.insert(ids(record), says);
                }
            }
        }
    }
    found
}

fn check(security: Security, protocol: &str) {
    collected(security, |bench, pod, collector| {
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let more = ", signals: [traces, metrics, logs], metrics: {interval: 1s}";
        let export = export(bench, security, protocol, more);
        let log = "access_log: {text: '%REQ(:METHOD)% %RESPONSE_CODE%'}\n";
        let service = Service::start(bench, pod, "server", &format!("{export}{log}"));
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        for n in 0..REQUESTS {
            assert_eq!(connection.get(&format!("/echo?id={n}")).status, 200);
        }
        let exported = |exporter: &str, item: &str| {
            let labels = format!("exporter=\"{exporter}\",item=\"{item}\"");
            service.metric(&format!("meshtap_items_exported_total{{{labels}}}"))
        };
        until(|| exported("otlp", "span") >= REQUESTS as f64);
        until(|| exported("otlp-logs", "log_record") >= REQUESTS as f64);
        let expected = page(&service.page("/stats/prometheus"));
        // One that began after the page was read.
        let before = exported("otlp-metrics", "data_point");
        let points = expected
            .keys()
            .filter(|key| key.contains("_count[") || key.contains("_total["));
        let points = points.count() as f64;
        until(|| exported("otlp-metrics", "data_point") >= before + 2.0 * points);
        assert!(service.page("/readyz").contains("otlp-metrics"));
        let ledger = service.finish();
        assert_eq!(
            ledger["exporters"]["otlp-logs"]["exported"], REQUESTS,
            "{ledger}"
        );
        let file = collector.finish();
        let spans = all(&file);
        let named: BTreeSet<_> = spans.iter().map(|span| ids(&span.span)).collect();
        assert_eq!(named.len(), REQUESTS);
        let metrics = Metrics::read(&file);
        assert!(expected.len() > 60, "{expected:?}");
        for (series, value) in &expected {
            assert_eq!(
                metrics.values.get(series),
                Some(value),
                "{protocol}: {series}"
            );
        }
        assert!(!metrics.exemplars.is_empty());
        assert!(
            metrics.exemplars.is_subset(&named),
            "{:?}",
            metrics.exemplars
        );
        let records = records(&file);
        assert_eq!(records.keys().cloned().collect::<BTreeSet<_>>(), named);
        let service = spans[0].resource("service.name").unwrap();
        for says in records.values() {
            assert_eq!(says[..2], ["GET 200", "INFO"]);
            assert_eq!(says[2], service.as_str().unwrap());
        }
    });
}

#[test]
fn over_grpc() {
    check(Security::Plain, "grpc");
    check(Security::Mutual, "grpc");
}

#[test]
fn over_http_protobuf() {
    check(Security::Plain, "http/protobuf");
    check(Security::Tls, "http/protobuf");
}

#[test]
fn over_http_json() {
    check(Security::Plain, "http/json");
}
