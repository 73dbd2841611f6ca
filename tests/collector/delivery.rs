//! The exporter alone, without capture: every protocol, with and without TLS, with and without
//! compression. Needs no privileges.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshtap::export::otlp::{OtlpConfig, Settings};
use meshtap::export::{Exporters, Target};
use meshtap_tests::Scratch;

use crate::real::{Collector, Security, all};
use crate::{certificates, source::Source};

const SPANS: usize = 50;

/// Sends spans over `protocol`; they all arrive, and say what they should.
fn check(security: Security, protocol: &str, compression: &str) {
    let scratch = Scratch::new();
    let folder = scratch.path();
    if security != Security::Plain {
        certificates::make(folder);
    }
    let Some(collector) = Collector::start(folder, security) else {
        return;
    };
    let totals = send(folder, &collector, security, protocol, compression);
    assert_eq!(totals.exported, SPANS as u64, "{security:?} {protocol}");
    assert_eq!(totals.imbalance(), 0);
    let spans = all(&collector.finish());
    assert_eq!(spans.len(), SPANS, "{security:?} {protocol}");
    for (n, span) in spans.iter().enumerate() {
        assert_eq!(span.text("http.target"), format!("/n/{n}"));
        assert_eq!(span.text("http.method"), "GET");
        assert_eq!(span.attribute("http.status_code"), Some(200.into()));
        assert_eq!(span.text("http.response.body"), "x".repeat(1000));
        assert_eq!(span.text("net.sock.peer.addr"), "10.0.0.2");
        let service = span.resource("service.name");
        assert_eq!(service, Some("astra-istio-instrumentation".into()));
        assert_eq!(span.scope["name"], "astra-istio-servicemesh");
        assert_eq!(span.span["kind"], 1);
        assert_eq!(span.span["name"], "example-span");
        assert_eq!(span.span["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(span.span["spanId"].as_str().unwrap().len(), 16);
    }
}

fn send(
    folder: &Path,
    collector: &Collector,
    security: Security,
    protocol: &str,
    compression: &str,
) -> meshtap::export::delivery::Totals {
    let tls = match security {
        Security::Plain => "{}".to_owned(),
        Security::Tls => format!("{{ca: '{0}/ca.pem'}}", folder.display()),
        Security::Mutual => format!(
            "{{ca: '{0}/ca.pem', certificate: '{0}/client.pem', key: '{0}/client.key'}}",
            folder.display()
        ),
    };
    let yaml = format!(
        "{{endpoint: '{}://localhost:{}', protocol: {protocol}, compression: {compression}, tls: {tls}, concurrency: 1, \
         batch: {{spans: 20}}, retry: {{give_up: 30s}}}}",
        security.scheme(),
        collector.port(protocol),
    );
    let config: OtlpConfig = serde_saphyr::from_str(&yaml).unwrap();
    let settings = Settings::resolve(&config, "otlp", &|_| None).unwrap();
    let targets = vec![Target::Otlp(Box::new(settings))];
    let exporters = Exporters::start(targets, &(Arc::new(()) as _)).unwrap();
    let mut handles = exporters.handles();
    let mut source = Source::new();
    for n in 0..SPANS {
        handles.span(&source.span(&format!("/n/{n}")), Instant::now());
    }
    drop(handles);
    exporters.shutdown(Duration::from_secs(60)).remove(0).totals
}

#[test]
fn grpc() {
    check(Security::Plain, "grpc", "none");
    check(Security::Plain, "grpc", "gzip");
    check(Security::Tls, "grpc", "none");
    check(Security::Mutual, "grpc", "gzip");
}

#[test]
fn http_protobuf() {
    check(Security::Plain, "http/protobuf", "none");
    check(Security::Plain, "http/protobuf", "gzip");
    check(Security::Tls, "http/protobuf", "gzip");
    check(Security::Mutual, "http/protobuf", "none");
}

#[test]
fn http_json() {
    check(Security::Plain, "http/json", "none");
    check(Security::Plain, "http/json", "gzip");
    check(Security::Tls, "http/json", "none");
    check(Security::Mutual, "http/json", "none");
}

#[test]
fn a_collector_that_nobody_vouches_for_gets_nothing() {
    let scratch = Scratch::new();
    let (folder, other) = (scratch.path(), scratch.folder("other"));
    certificates::make(folder);
    certificates::make(&other);
    let Some(collector) = Collector::start(folder, Security::Tls) else {
        return;
    };
    for protocol in ["grpc", "http/protobuf"] {
        let yaml = format!(
            "{{endpoint: 'https://localhost:{}', protocol: {protocol}, tls: {{ca: '{}/ca.pem'}}, \
             retry: {{initial: 10ms, max: 10ms, give_up: 100ms}}}}",
            collector.port(protocol),
            other.display(),
        );
        let config: OtlpConfig = serde_saphyr::from_str(&yaml).unwrap();
        let settings = Settings::resolve(&config, "otlp", &|_| None).unwrap();
        let targets = vec![Target::Otlp(Box::new(settings))];
        let exporters = Exporters::start(targets, &(Arc::new(()) as _)).unwrap();
        let mut handles = exporters.handles();
        handles.span(&Source::new().span("/secret"), Instant::now());
        drop(handles);
        let totals = exporters.shutdown(Duration::from_secs(60)).remove(0).totals;
        assert_eq!(
            (totals.exported, totals.dropped_total()),
            (0, 1),
            "{protocol}"
        );
    }
    assert_eq!(all(&collector.finish()).len(), 0);
}
