//! Istio's Telemetry API and routes of the Gateway API: what objects say, the agent does.

use meshtap_tests::live;
use serde_json::{Value, json};

use crate::agent::{Agent, Wire, until};
use crate::fixed_api::{self, Kind};
use crate::metrics::pods;

fn object(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("{namespace}-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

/// For the mesh, for the namespace, for one workload; one that cannot be read.
fn telemetries() -> Kind {
    let mesh = json!({"metrics": [{
        "providers": [{"name": "prometheus"}],
        "overrides": [{
            "match": {"metric": "REQUEST_COUNT", "mode": "SERVER"},
            "tagOverrides": {
                "request_host": {"value": "request.host"},
                "response_flags": {"operation": "REMOVE"},
            },
        }, {"match": {"metric": "REQUEST_SIZE"}, "disabled": true}],
    }]});
    let namespace = json!({
        "metrics": [{"overrides": [{
            "match": {"metric": "REQUEST_COUNT", "mode": "SERVER"},
            "tagOverrides": {"zone": {"value": "'eu'"}},
        }]}],
        "tracing": [{
            "providers": [{"name": "zipkin"}],
            "customTags": {"zone": {"literal": {"value": "eu"}}},
        }],
        "accessLogging": [{"filter": {"expression": "response.code >= 500"}}],
    });
    let workload = json!({
        "selector": {"matchLabels": {"app": "web"}},
        "tracing": [{"disableSpanReporting": true}],
    });
    let items = vec![
        object("istio-system", "mesh", mesh),
        object("shop", "default", namespace),
        object("shop", "web", workload),
        object(
            "shop",
            "odd",
            json!({"metrics": 1, "selector": {"matchLabels": {"app": "x"}}}),
        ),
    ];
    (
        "/apis/telemetry.istio.io/v1/telemetries",
        "TelemetryList",
        items,
    )
}

fn routes() -> Vec<Kind> {
    let spec = json!({
        "parentRefs": [{"kind": "Service", "name": "cart"}],
        "rules": [
            {"name": "health", "matches": [{"path": {"value": "/healthz"}}]},
            {"matches": [{"path": {"value": "/cart"}, "method": "POST"}]},
        ],
    });
    let path = |plural| format!("/apis/gateway.networking.k8s.io/v1/{plural}").leak() as &str;
    vec![
        (
            path("httproutes"),
            "HTTPRouteList",
            vec![object("shop", "cart", spec)],
        ),
        (path("grpcroutes"), "GRPCRouteList", Vec::new()),
    ]
}

/// Sends one request to a host, and responds.
fn ask(wire: &Wire, method: &str, path: &str, host: &str) {
    let mut pair = wire.connect(8080);
    pair.request(format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n"
    ));
    pair.respond("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

/// Lines of a metric, as reported by this side.
pub(crate) fn lines<'a>(page: &'a str, name: &str, reporter: &str) -> Vec<&'a str> {
    let reporter = format!("reporter=\"{reporter}\"");
    let lines = page
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    lines.filter(|line| line.contains(&reporter)).collect()
}

#[test]
fn objects_are_honoured_and_what_is_not_is_shown() {
    live(|bench| {
        let wire = Wire::new(bench);
        let mut more = routes();
        more.push(telemetries());
        let api = fixed_api::start_with(bench, pods(&wire), Vec::new(), more);
        let kubernetes = format!(
            "kubeconfig: '{}', telemetry: true, routes: true",
            api.kubeconfig.display()
        );
        let log = bench.scratch.path().join("access.log");
        let lines_of_log = format!("access_log: {{path: '{}'}}\n", log.display());
        let agent = Agent::start(
            bench,
            &kubernetes,
            &format!("capture: {{side: both}}\n{lines_of_log}"),
        );
        for watch in ["node_pods", "telemetries", "http_routes", "grpc_routes"] {
            agent.await_watch(watch, "synced");
        }
        ask(&wire, "GET", "/healthz/live", "cart");
        ask(&wire, "POST", "/cart/7", "cart.shop");
        ask(&wire, "GET", "/other", "cart.shop:8080");
        let page = until("all are counted", || {
            let page = agent.page("/stats/prometheus");
            let both = ["destination", "source"]
                .map(|side| lines(&page, "istio_requests_total", side).len());
            (both == [3, 3]).then_some(page)
        });
        let counted = lines(&page, "istio_requests_total", "destination");
        for (host, route) in [
            ("cart", "shop/cart/health"),
            ("cart.shop", "shop/cart/1"),
            ("cart.shop:8080", "unknown"),
        ] {
            let labels = [
                format!("request_host=\"{host}\""),
                format!("route_name=\"{route}\""),
                "zone=\"eu\"".to_owned(),
            ];
            let is_it = |line: &&str| labels.iter().all(|label| line.contains(label));
            let found: Vec<_> = counted.iter().copied().filter(is_it).collect();
            assert_eq!(found.len(), 1, "{labels:?} of {counted:?}");
            assert!(
                found[0].ends_with("} 1") && !found[0].contains("response_flags"),
                "{found:?}"
            );
        }
        // The client's side, and other metrics, are as they are, but for one that is disabled.
        for line in lines(&page, "istio_requests_total", "source") {
            assert!(
                line.contains("response_flags=\"-\"") && !line.contains("zone="),
                "{line}"
            );
        }
        assert_eq!(
            lines(&page, "istio_response_bytes_count", "destination").len(),
            3
        );
        assert!(!page.contains("istio_request_bytes"), "{page}");
        // Of the two ends' spans, the server's.
        let attributes = agent.emitted("/cart/7");
        assert_eq!(attributes["zone"], "eu");
        let detail: Value = serde_json::from_str(&agent.page("/readyz")).expect("JSON");
        let shown = &detail["workloads"]["telemetry_not_honoured"];
        let shown: Vec<&str> = shown
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(
            shown[0].starts_with("shop/default: tracing[0].providers: `zipkin`"),
            "{shown:?}"
        );
        assert!(
            shown[1].starts_with("shop/odd: spec cannot be read"),
            "{shown:?}"
        );
        agent.finish();
        // No response was bad enough for the access log.
        assert_eq!(std::fs::read_to_string(&log).expect("a log"), "");
    });
}
