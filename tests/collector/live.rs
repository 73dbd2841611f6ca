//! Live: kernel hook → `meshtap run` → the collector.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use meshtap_tests::{
    Bench, Connection, ECHO, ENVOY_PORT, Envoy, HTTP_PORT, Nginx, Pair, Pod, decode_base64, figure,
    live, swarm,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::certificates;
use crate::fake::{Fake, Reply};
use crate::official;
use crate::real::{self, Collector, Security, Span, all, spans};
use crate::service::{Service, total};

pub(crate) const GRPC: u16 = 4317;
pub(crate) const HTTP: u16 = 4318;

/// Runs `body` with a collector, which is not in the pod that is watched: it is an HTTP server,
/// too.
pub(crate) fn collected(security: Security, body: impl FnOnce(&Bench, &Pod, Collector) + Send) {
    if !real::available() {
        return;
    }
    live(|bench| {
        let folder = bench.scratch.folder("collector");
        if security != Security::Plain {
            certificates::make(&folder);
        }
        let collector = Collector::listen(&folder, security, GRPC, HTTP);
        let pod = bench.cgroup.pod(0xa1);
        body(bench, &pod, collector.expect("a collector"));
    });
}

/// The `export` section for this collector.
pub(crate) fn export(bench: &Bench, security: Security, protocol: &str, more: &str) -> String {
    let folder = bench.scratch.path().join("collector");
    let tls = match security {
        Security::Plain => String::new(),
        Security::Tls => format!(", tls: {{ca: '{0}/ca.pem'}}", folder.display()),
        Security::Mutual => format!(
            ", tls: {{ca: '{0}/ca.pem', certificate: '{0}/client.pem', key: '{0}/client.key'}}",
            folder.display()
        ),
    };
    let port = if protocol == "grpc" { GRPC } else { HTTP };
    let scheme = security.scheme();
    format!(
        "export: {{shutdown_timeout: 60s, otlp: [{{endpoint: '{scheme}://localhost:{port}', protocol: {protocol}{tls}{more}}}]}}\n"
    )
}

struct Case {
    name: String,
    request: Vec<u8>,
    response: Vec<u8>,
    /// What the mesh filter sent; null where it sent nothing.
    filter: Value,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let text = fs::read_to_string(folder.join("lua-exchanges.json")).unwrap();
    let data: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(data.len(), 19);
    let field = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    data.iter()
        .map(|case| Case {
            name: field(case, "name"),
            request: decode_base64(&field(case, "request_base64")),
            response: decode_base64(&field(case, "response_base64")),
            filter: case
                .pointer("/lua/mesh/attributes")
                .cloned()
                .unwrap_or_default(),
        })
        .collect()
}

/// Attributes for which the raw bytes are not what Envoy's filter saw (the same ones as in the
/// golden test of recordings).
const REWRITTEN: [(&str, &str); 6] = [
    ("post_chunked", "http.request.headers"),
    ("empty_post", "http.response.headers"),
    ("empty_post", "http.response.body"),
    ("absolute_form", "http.request.headers"),
    ("absolute_form", "http.response.headers"),
    ("absolute_form", "http.response.body"),
];

fn same_as_filter(case: &Case, span: &Span) {
    for (key, expected) in case.filter.as_object().into_iter().flatten() {
        if REWRITTEN.contains(&(&case.name, key)) {
            continue;
        }
        let found = span.attribute(key).unwrap_or_default();
        match key.as_str() {
            // The filters say nothing where no header does.
            "http.scheme" if expected == "" => assert_eq!(found, "http"),
            "net.sock.peer.addr" if expected == "" => assert_eq!(found, "127.0.0.1"),
            "http.request.headers" | "http.response.headers" => {
                let fields: Value = serde_json::from_str(found.as_str().unwrap()).unwrap();
                assert_eq!(&fields, expected, "{} {key}", case.name);
            }
            _ => assert!(found == *expected, "{} {key}: {found}", case.name),
        }
    }
}

/// The recorded exchanges, sent between two sockets of the pod, arrive at the collector as the Lua
/// filter would have sent them.
fn check_conformance(security: Security, protocol: &str) {
    collected(security, |bench, pod, collector| {
        let sensor = "11111111-aaaa-bbbb-cccc-222222222222";
        let service = Service::start(
            bench,
            pod,
            "server",
            &format!(
                "{}span: {{sensor_id: {sensor}}}\nredaction: {{mode: 'off', uninspected: keep}}\nlimits: {{body: 1MiB}}\n",
                export(bench, security, protocol, "")
            ),
        );
        let cases = cases();
        pod.inside(|| {
            for case in &cases {
                let mut pair = Pair::new(9000);
                pair.request(&case.request);
                pair.respond(&case.response);
            }
        });
        let ledger = service.finish();
        assert_eq!(ledger["emitted_complete"], cases.len(), "{ledger}");
        let skipped = ledger["filtered"]["path"].as_u64().unwrap();
        let spans = all(&collector.finish());
        assert_eq!(spans.len() as u64 + skipped, cases.len() as u64, "{ledger}");
        assert_eq!(ledger["exporters"]["otlp"]["exported"], spans.len());
        let mut spans = spans.iter();
        for case in cases.iter().filter(|case| !is_static(case)) {
            let span = spans.next().unwrap();
            same_as_filter(case, span);
            assert_eq!(span.resource("service.version"), Some("1.0.0".into()));
        }
    });
}

fn is_static(case: &Case) -> bool {
    let line = case.request.split(|byte| *byte == b'\r').next().unwrap();
    String::from_utf8_lossy(line).contains(" /static")
}

#[test]
fn conformance_over_grpc() {
    check_conformance(Security::Plain, "grpc");
    check_conformance(Security::Mutual, "grpc");
}

#[test]
fn conformance_over_http_protobuf() {
    check_conformance(Security::Plain, "http/protobuf");
    check_conformance(Security::Tls, "http/protobuf");
}

#[test]
fn conformance_over_http_json() {
    check_conformance(Security::Plain, "http/json");
    check_conformance(Security::Tls, "http/json");
}

/// How often each id was replied to by itself at the collector; fails on an reply that is another
/// request's.
pub(crate) fn pairs(file: &Path) -> HashMap<String, usize> {
    let mut ids = HashMap::new();
    let mut mispaired = Vec::new();
    spans(file, |span| {
        let target = span.text("http.target");
        let id = target.strip_prefix("/echo?id=").unwrap_or(&target);
        if span.text("http.response.body") != id {
            mispaired.push(target.clone());
        }
        *ids.entry(id.to_owned()).or_default() += 1;
    });
    assert!(mispaired.is_empty(), "mispaired: {mispaired:?}");
    ids
}

#[test]
fn a_hundred_thousand_requests_of_64_clients() {
    const CLIENTS: usize = 64;
    const REQUESTS: usize = 100_000_usize.div_ceil(CLIENTS);
    collected(Security::Plain, |bench, pod, collector| {
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let more = ", compression: none, queue: {bytes: 1GiB}";
        let service = Service::start(
            bench,
            pod,
            "server",
            &export(bench, Security::Plain, "grpc", more),
        );
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), CLIENTS, REQUESTS);
        let ledger = service.finish();
        assert_eq!(ledger["emitted_complete"], ids.len(), "{ledger}");
        assert_eq!(
            ledger["exporters"]["otlp"]["exported"],
            ids.len(),
            "{ledger}"
        );
        let found = pairs(&collector.finish());
        assert_eq!(found.len(), ids.len());
        assert!(found.values().all(|times| *times == 1));
        assert!(ids.iter().all(|id| found.contains_key(id)));
        figure(&format!("{} requests, 0 mispaired, 0 missing", ids.len()));
    });
}

#[test]
fn a_real_envoy_before_nginx() {
    collected(Security::Plain, |bench, pod, collector| {
        let envoy_pod = bench.cgroup.pod(0xb2);
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let _envoy = envoy_pod.inside(|| Envoy::start(bench, "127.0.0.1"));
        // The same spans go to a second destination, which keeps the payloads.
        let keeper = Fake::start(Vec::new(), Reply::Take);
        let second = format!(
            "}}, {{name: keeper, protocol: grpc, endpoint: 'http://{}'}}]}}",
            keeper.address
        );
        let export = export(bench, Security::Plain, "http/protobuf", "").replace("}]}", &second);
        let service = Service::start(bench, pod, "server", &export);
        let ids = swarm(([127, 0, 0, 1], ENVOY_PORT).into(), 16, 50);
        let ledger = service.finish();
        for exporter in ["otlp-1", "keeper"] {
            let exported = &ledger["exporters"][exporter]["exported"];
            assert_eq!(*exported, ids.len(), "{exporter}: {ledger}");
        }
        if let Some(decoded) = official::decode(&keeper.received()) {
            let has = |span: &Value, id: &String| {
                let target =
                    serde_json::json!(["http.target", {"string_value": format!("/echo?id={id}")}]);
                let body = serde_json::json!(["http.response.body", {"string_value": id}]);
                let attributes = span["attributes"].as_array().unwrap();
                attributes.contains(&target) && attributes.contains(&body)
            };
            assert_eq!(decoded.len(), ids.len());
            for id in &ids {
                let times = decoded.iter().filter(|span| has(span, id)).count();
                assert_eq!(times, 1, "{id}");
            }
        }
        let file = collector.finish();
        let found = pairs(&file);
        assert!(ids.iter().all(|id| found.get(id) == Some(&1)));
        for span in all(&file) {
            // Envoy says where the request came from.
            assert_eq!(span.text("net.sock.peer.addr"), "127.0.0.1");
            let fields: BTreeMap<String, Value> =
                serde_json::from_str(&span.text("http.request.headers")).unwrap();
            assert!(fields.contains_key("x-request-id"), "{fields:?}");
            assert_eq!(span.attribute("http.status_code"), Some(200.into()));
        }
    });
}

/// Application, agent and collector in one pod: the agent exports neither its own requests, nor
/// those for its own pages, nor its exports as the collector receives them.
#[test]
fn the_agents_own_traffic_is_not_emitted() {
    if !real::available() {
        return;
    }
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let folder = bench.scratch.folder("collector");
        let (_nginx, collector, service) = pod.inside(|| {
            let nginx = Nginx::start(bench, ECHO);
            let collector = Collector::listen(&folder, Security::Plain, GRPC, HTTP).unwrap();
            let more = ", batch: {spans: 1}";
            let export = export(bench, Security::Plain, "http/protobuf", more);
            let service = Service::start(bench, &pod, "both", &export);
            (nginx, collector, service)
        });
        // Ready once the data thread has reported for the first time.
        until(|| service.metric("meshtap_ring_size_bytes") > 0.0);
        for _ in 0..20 {
            assert!(service.page("/metrics").contains("meshtap_build_info"));
            assert!(service.page("/readyz").contains("\"ready\": true"));
        }
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), 2, 10);
        until(|| {
            service.metric("meshtap_items_exported_total{exporter=\"otlp\",item=\"span\"}") >= 20.0
        });
        let own = "meshtap_exchanges_filtered_total{rule=\"own\"}";
        until(|| service.metric(own) >= 20.0);
        let ledger = service.finish();
        assert_eq!(
            ledger["exporters"]["otlp"]["exported"],
            ids.len(),
            "{ledger}"
        );
        assert_eq!(ledger["filtered"]["own"], ids.len(), "{ledger}");
        assert_eq!(total(&ledger["partial"]), 0, "{ledger}");
        for span in all(&collector.finish()) {
            assert!(
                span.text("http.target").starts_with("/echo"),
                "{}",
                span.span
            );
        }
    });
}

#[test]
fn a_reload_changes_the_policy_and_keeps_the_flows() {
    collected(Security::Plain, |bench, pod, collector| {
        let _nginx = pod.inside(|| Nginx::start(bench, ECHO));
        let export = export(bench, Security::Plain, "grpc", "");
        let service = Service::start(bench, pod, "server", &export);
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        connection.get("/echo?id=before");
        let config = bench.scratch.path().join("meshtap.yaml");
        let text = fs::read_to_string(&config).unwrap();
        let applied = "meshtap_config_reloads_total{result=\"applied\"}";
        let refused = "meshtap_config_reloads_total{result=\"refused\"}";
        fs::write(&config, format!("{text}policy: {{pathz: 1}}\n")).unwrap();
        service.signal(Signal::HUP);
        until(|| service.metric(refused) == 1.0);
        assert!(service.log().contains("meshtap.yaml:"), "{}", service.log());
        connection.get("/echo?id=between");
        // The exchange must be past the old policy before there is a new one.
        until(|| service.metric("meshtap_exchanges_kept_total") == 2.0);
        fs::write(
            &config,
            format!("{text}policy: {{paths: {{exclude: ['^/echo']}}}}\n"),
        )
        .unwrap();
        service.signal(Signal::HUP);
        until(|| service.metric(applied) == 1.0);
        connection.get("/echo?id=after");
        let ledger = service.finish();
        assert_eq!(
            ledger["emitted_complete"], 3,
            "one connection, nothing missing: {ledger}"
        );
        assert_eq!(ledger["filtered"]["path"], 1, "{ledger}");
        let found = pairs(&collector.finish());
        assert_eq!(found.len(), 2);
        assert!(found.contains_key("before") && found.contains_key("between"));
    });
}

/// Pause between two looks: looking without one takes a core from what is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// Looks until something is so.
pub(crate) fn until(so: impl FnMut() -> bool) {
    until_within(180, so);
}

/// Likewise, for what takes its time.
pub(crate) fn until_within(seconds: u64, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while !so() {
        assert!(
            std::time::Instant::now() < deadline,
            "it does not become so"
        );
        std::thread::sleep(LOOK);
    }
}
