use std::num::NonZeroUsize;
use std::sync::Arc;

use super::*;
use crate::exchange::{Exchange, Partial};
use crate::flow::{CgroupId, Secured, Side};
use crate::policy::fixture;
use crate::policy::{SpanId, TraceId};
use crate::units::Interval;

/// The labels of Istio's standard metrics, by its documentation ("Istio Standard Metrics").
const ISTIO: [&str; 26] = [
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "request_protocol",
    "response_code",
    "response_flags",
    "grpc_response_status",
    "connection_security_policy",
    "route_name",
];

fn end(name: &str) -> Arc<EndLabels> {
    EndLabels::new(End {
        workload: format!("{name}-v1").into(),
        namespace: "shop".into(),
        principal: Some(format!("spiffe://cluster.local/ns/shop/sa/{name}").into()),
        app: name.into(),
        version: "v1".into(),
        canonical_service: name.into(),
        canonical_revision: "v1".into(),
        cluster: "Kubernetes".into(),
    })
}

fn metrics(series: usize) -> Metrics {
    let section = MetricsSection {
        series: NonZeroUsize::new(series).unwrap(),
        hosts: NonZeroUsize::new(10).unwrap(),
        idle: Interval::secs(60),
        ..MetricsSection::default()
    };
    Metrics::new(&section).unwrap()
}

fn exchange(request: &str, response: &str) -> Exchange {
    let mut exchange = fixture::exchange(request, response);
    exchange.request.began = 1_000_000;
    exchange.ended = 8_500_000;
    exchange
}

fn text(metrics: &Metrics, format: Format) -> String {
    Page::new(metrics.snapshot(0), format).text()
}

/// The labels of the line that begins so.
fn labels(page: &str, start: &str) -> Vec<(String, String)> {
    let line = page.lines().find(|line| line.starts_with(start)).unwrap();
    let (_, rest) = line.split_once('{').unwrap();
    let (labels, _) = rest.rsplit_once('}').unwrap();
    let pairs = labels.strip_suffix('"').unwrap().split("\",");
    let pairs = pairs.map(|pair| pair.split_once("=\"").unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn value(page: &str, start: &str, label: &str) -> String {
    let labels = labels(page, start);
    let found = labels.into_iter().find(|(name, _)| name == label);
    found.unwrap_or_else(|| panic!("no {label}")).1
}

/// Nothing is known of either end.
const fn unknown<'a>(side: Side, security: Security) -> Subject<'a> {
    Subject {
        side,
        source: None,
        destination: None,
        service: None,
        security,
    }
}

#[test]
fn every_label_of_istio() {
    let metrics = metrics(10);
    let (web, cart) = (end("web"), end("cart"));
    let subject = Subject {
        side: Side::Server,
        source: Some(&web),
        destination: Some(&cart),
        service: None,
        security: Security::Unknown,
    };
    let exchange = exchange(
        "POST /a HTTP/1.1\r\nhost: cart.shop:80\r\n\r\n",
        "HTTP/1.1 201 X\r\n\r\n",
    );
    metrics.exchange(&exchange, &subject, Some(&Arc::from("add")), None);
    let page = text(&metrics, Format::Prometheus);
    let found = labels(&page, "istio_requests_total{");
    let mut names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    let mut expected = ISTIO.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (label, expected) in [
        ("reporter", "destination"),
        ("source_workload", "web-v1"),
        ("source_principal", "spiffe://cluster.local/ns/shop/sa/web"),
        ("destination_workload", "cart-v1"),
        ("destination_service", "cart.shop.svc.cluster.local"),
        ("destination_service_name", "cart"),
        ("destination_service_namespace", "shop"),
        ("request_protocol", "http"),
        ("response_code", "201"),
        ("response_flags", "-"),
        ("grpc_response_status", ""),
        ("connection_security_policy", "unknown"),
        ("route_name", "add"),
    ] {
        assert_eq!(
            value(&page, "istio_requests_total{", label),
            expected,
            "{label}"
        );
    }
    let tcp = ISTIO
        .iter()
        .filter(|name| !["response_code", "grpc_response_status", "route_name"].contains(name));
    let connection = Connection {
        sent: 7,
        received: 5,
        opened: true,
        closed: true,
    };
    metrics.connection(&connection, &subject, None, 1);
    let page = text(&metrics, Format::Prometheus);
    let found = labels(&page, "istio_tcp_sent_bytes_total{");
    assert_eq!(found.len(), tcp.count());
    assert_eq!(
        value(&page, "istio_tcp_sent_bytes_total{", "request_protocol"),
        "tcp"
    );
    for (name, count) in [
        ("sent_bytes", 7),
        ("received_bytes", 5),
        ("connections_opened", 1),
        ("connections_closed", 1),
    ] {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("istio_tcp_{name}_total{{")));
        assert!(line.unwrap().ends_with(&format!("}} {count}")), "{line:?}");
    }
}

#[test]
fn what_is_not_known() {
    let metrics = metrics(10);
    let subject = unknown(Side::Client, Security::Unknown);
    let mut exchange = exchange(
        "GET / HTTP/1.1\r\nhost: 10.0.0.1\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\n",
    );
    exchange.response = None;
    exchange.partial = Some(Partial::NoResponse);
    metrics.exchange(&exchange, &subject, None, None);
    let page = text(&metrics, Format::Prometheus);
    for (name, found) in labels(&page, "istio_requests_total{") {
        let expected = match name.as_str() {
            "reporter" => "source",
            "source_canonical_revision" | "destination_canonical_revision" => "latest",
            "request_protocol" => "http",
            "response_code" => "0",
            "response_flags" => "DC",
            "grpc_response_status" => "",
            _ => "unknown",
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn grpc() {
    #[track_caller]
    fn check(kind: &str, fields: &str, protocol: &str, status: &str) {
        let metrics = metrics(10);
        let subject = unknown(Side::Server, Security::Plain);
        let request = format!("POST /s/M HTTP/1.1\r\ncontent-type: {kind}\r\n\r\n");
        let response = format!("HTTP/1.1 200 X\r\n{fields}\r\n");
        metrics.exchange(&exchange(&request, &response), &subject, None, None);
        let page = text(&metrics, Format::Prometheus);
        assert_eq!(
            value(&page, "istio_requests_total{", "request_protocol"),
            protocol
        );
        assert_eq!(
            value(&page, "istio_requests_total{", "grpc_response_status"),
            status
        );
        assert_eq!(
            value(&page, "istio_requests_total{", "connection_security_policy"),
            "none"
        );
    }
    check("application/grpc", "grpc-status: 5\r\n", "grpc", "5");
    check("application/grpc+proto", "", "grpc", "");
    check("application/grpc", "grpc-status: 999\r\n", "grpc", "");
    check("application/grpc-web", "grpc-status: 5\r\n", "http", "");
    check("application/json", "grpc-status: 5\r\n", "http", "");
}

#[test]
fn how_a_connection_is_protected() {
    let check = |side, proved: Option<bool>, expected: &str| {
        let metrics = metrics(10);
        let mut exchange = exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n");
        let peers = Arc::make_mut(&mut exchange.peers);
        peers.side = side;
        peers.secured = proved.map(|mtls| {
            Arc::new(Secured {
                mtls,
                peer: None,
                by: CgroupId(0),
            })
        });
        let security = Security::proved(&exchange.peers).unwrap_or_default();
        metrics.exchange(&exchange, &unknown(side, security), None, None);
        let page = text(&metrics, Format::Prometheus);
        let label = "connection_security_policy";
        assert_eq!(value(&page, "istio_requests_total{", label), expected);
    };
    check(Side::Server, None, "unknown");
    check(Side::Server, Some(true), "mutual_tls");
    check(Side::Server, Some(false), "none");
    check(Side::Client, Some(true), "unknown");
}

#[test]
fn pages_of_both_formats() {
    let metrics = metrics(10);
    let subject = unknown(Side::Server, Security::Unknown);
    let exemplar = Exemplar {
        trace: TraceId([0xab; 16]),
        span: SpanId([0xcd; 8]),
        unix_nanos: 1_700_000_000_250_000_000,
    };
    let exchange = exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n");
    metrics.exchange(&exchange, &subject, None, None);
    metrics.exchange(&exchange, &subject, None, Some(exemplar));
    let page = text(&metrics, Format::Prometheus);
    assert!(page.contains("# TYPE istio_requests_total counter\n"));
    assert!(page.contains("# TYPE istio_request_duration_milliseconds histogram\n"));
    assert!(!page.contains("trace_id") && !page.contains("EOF"));
    let bucket = |page: &str, le: &str| {
        let le = format!("le=\"{le}\"}}");
        let mut lines = page
            .lines()
            .filter(|line| line.starts_with("istio_request_duration_"));
        let line = lines.find(|line| line.contains(&le)).unwrap();
        line.rsplit_once("\"} ").unwrap().1.to_owned()
    };
    assert_eq!((&*bucket(&page, "5"), &*bucket(&page, "10")), ("0", "2"));
    assert_eq!(bucket(&page, "+Inf"), "2");
    let line = |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("istio_request_duration_milliseconds_sum").ends_with("} 15"));
    assert!(line("istio_request_duration_milliseconds_count").ends_with("} 2"));
    let page = text(&metrics, Format::OpenMetrics);
    assert!(page.contains("# TYPE istio_requests counter\n"));
    assert!(page.ends_with("# EOF\n"));
    let found = page
        .lines()
        .find(|line| line.contains(",le=\"10.0\"} 2 # "))
        .unwrap();
    let exemplar = format!(
        "# {{trace_id=\"{}\",span_id=\"{}\"}} 7.5 1700000000.250",
        "ab".repeat(16),
        "cd".repeat(8)
    );
    assert!(found.ends_with(&exemplar), "{found}");
}

#[test]
fn messages_of_calls_are_counted() {
    let metrics = metrics(10);
    let subject = unknown(Side::Server, Security::Unknown);
    let call = |kind: &str, messages: [u64; 2]| {
        let request = format!("POST /s/M HTTP/1.1\r\ncontent-type: {kind}\r\n\r\n");
        let mut exchange = exchange(&request, "HTTP/1.1 200 X\r\n\r\n");
        let counted = |count| {
            Some(crate::http::rpc::Messages {
                count,
                ..crate::http::rpc::Messages::default()
            })
        };
        exchange.request.body.messages = counted(messages[0]);
        exchange.response.as_mut().unwrap().body.messages = counted(messages[1]);
        metrics.exchange(&exchange, &subject, None, None);
    };
    call("application/json", [7, 7]);
    let page = text(&metrics, Format::Prometheus);
    assert!(!page.contains("_messages_total"), "{page}");
    call("application/grpc", [1, 3]);
    call("application/grpc", [2, 0]);
    let page = text(&metrics, Format::Prometheus);
    for (name, count) in [("request", 3), ("response", 3)] {
        let start = format!("istio_{name}_messages_total{{");
        let lines: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with(&start))
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(&format!("}} {count}")), "{lines:?}");
    }
    let types = page
        .lines()
        .filter(|line| line.starts_with("# TYPE istio_request_messages_total"));
    assert_eq!(types.count(), 1);
}

#[test]
fn rules_change_labels_of_some_metrics() {
    let metrics = metrics(10);
    let subject = unknown(Side::Server, Security::Unknown);
    let count = Families::named("istio_requests_total").unwrap();
    let duration = Families::named("istio_request_duration_milliseconds").unwrap();
    let adjusted = |host: &str| {
        [
            Adjusted {
                families: count,
                labels: vec![
                    ("request_host".into(), Some(host.to_owned())),
                    ("response_code".into(), None),
                ],
            },
            Adjusted {
                families: duration,
                labels: Vec::new(),
            },
        ]
    };
    for (host, code) in [("a", 200), ("a", 404), ("b", 200)] {
        let exchange = exchange(
            "GET / HTTP/1.1\r\n\r\n",
            &format!("HTTP/1.1 {code} X\r\n\r\n"),
        );
        metrics.adjusted_exchange(&exchange, &subject, None, None, Some(&adjusted(host)));
    }
    let page = text(&metrics, Format::Prometheus);
    let values = |name: &str, label: &str| {
        let mut found: Vec<String> = page
            .lines()
            .filter(|line| line.starts_with(name) && !line.contains("le="))
            .map(|line| {
                let (_, value) = line.rsplit_once("} ").unwrap();
                let at = line.split_once(&format!("{label}=\"")).unwrap().1;
                format!("{} {value}", at.split_once('"').unwrap().0)
            })
            .collect();
        found.sort();
        found
    };
    assert_eq!(
        values("istio_requests_total{", "request_host"),
        ["a 2", "b 1"]
    );
    assert!(!page.contains("istio_requests_total{reporter=\"destination\",response_code"));
    assert_eq!(
        values(
            "istio_request_duration_milliseconds_count{",
            "response_code"
        ),
        ["200 2", "404 1"]
    );
    // What is in no group is not counted.
    assert!(!page.contains("istio_request_bytes"), "{page}");
}

#[test]
fn series_are_bounded_and_what_does_not_fit_is_counted() {
    let metrics = metrics(50);
    let destination = end("cart");
    let count = |n: u32, at| {
        let source = end(&format!("web-{n}"));
        let subject = Subject {
            side: Side::Server,
            source: Some(&source),
            destination: Some(&destination),
            service: None,
            security: Security::Unknown,
        };
        let mut exchange = exchange(
            "GET / HTTP/1.1\r\nhost: cart\r\n\r\n",
            "HTTP/1.1 200 X\r\n\r\n",
        );
        exchange.ended = at;
        metrics.exchange(&exchange, &subject, None, None);
    };
    for n in 0..1000 {
        count(n, 1_000_000_000);
    }
    let totals = metrics.totals();
    assert_eq!((totals.http, totals.http_overflow), (50, 950));
    let page = text(&metrics, Format::Prometheus);
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("istio_requests_total{"))
        .collect();
    assert_eq!(lines.len(), 51);
    let overflow: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("reporter=\"overflow\""))
        .collect();
    assert_eq!(overflow.len(), 1);
    assert!(overflow[0].ends_with("} 950"), "{overflow:?}");
    // Series that rest make room.
    count(2000, 62_000_000_000);
    let totals = metrics.totals();
    assert_eq!((totals.http, totals.http_overflow), (1, 950));
    let _ = metrics.snapshot(200_000_000_000);
    assert_eq!(metrics.totals().http, 0);
}
