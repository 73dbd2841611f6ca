//! `meshtap tap` and `meshtap replay` with `--otlp` and `--har`: what they show, send and write is
//! the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshtap_tests::{
    Exchange, HTTP_PORT, Nginx, Scratch, Tap, binary, curl, live, skip, swarm, url,
};
use serde_json::Value;

use crate::real::{self, Collector, Security, Span, all};

const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];
const PROFILES: [&str; 3] = ["mesh", "gateway", "semconv"];

/// Names of what every profile has.
struct Keys {
    method: &'static str,
    target: &'static str,
    status: &'static str,
    request_body: &'static str,
    response_body: &'static str,
    response_encoding: &'static str,
}

const LUA: Keys = Keys {
    method: "http.method",
    target: "http.target",
    status: "http.status_code",
    request_body: "http.request.body",
    response_body: "http.response.body",
    response_encoding: "http.response.body.encoding",
};

const SEMCONV: Keys = Keys {
    method: "http.request.method",
    target: "url.path",
    status: "http.response.status_code",
    request_body: "http.request.body.content",
    response_body: "http.response.body.content",
    response_encoding: "http.response.body.encoding",
};

/// The span says what the exchange was.
fn assert_same(profile: &str, span: &Span, exchange: &Exchange) {
    let keys = if profile == "semconv" { SEMCONV } else { LUA };
    assert_eq!(span.text(keys.method), exchange.method());
    let target = exchange.target();
    let path = target.split('?').next().unwrap();
    let expected = if profile == "semconv" { path } else { target };
    assert_eq!(span.text(keys.target), expected);
    let status = span.attribute(keys.status).and_then(|value| value.as_u64());
    assert_eq!(status, exchange.status());
    if exchange.status().is_none() {
        return;
    }
    let body = if span.text(keys.response_encoding) == "base64" {
        meshtap_tests::decode_base64(&span.text(keys.response_body))
    } else {
        span.text(keys.response_body).into_bytes()
    };
    let whole = exchange.response().bytes();
    match profile {
        // What is cut says so after 10 000 bytes.
        "gateway" if whole.len() > 10_000 => assert!(body.starts_with(&whole[..9_990])),
        "gateway" => assert!(body.starts_with(&whole)),
        _ => assert!(body == whole, "{target}"),
    }
    if profile == "mesh" {
        assert_eq!(
            span.text(keys.request_body).into_bytes(),
            exchange.request().bytes()
        );
    }
    let (scope, kinds): (_, &[u64]) = match profile {
        "mesh" => ("astra-istio-servicemesh", &[1]),
        "gateway" => ("bookinfo-gateway", &[1]),
        _ => ("meshtap", &[2, 3]),
    };
    assert_eq!(span.scope["name"], scope);
    assert!(kinds.contains(&span.span["kind"].as_u64().unwrap()));
}

/// The HAR file has the exchanges, in order.
fn assert_archived(file: &Path, exchanges: &[Exchange]) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let document: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(document["log"]["version"], "1.2");
    let entries = document["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), exchanges.len());
    for (entry, exchange) in entries.iter().zip(exchanges) {
        assert_eq!(entry["request"]["method"], exchange.method());
        let address = entry["request"]["url"].as_str().unwrap();
        assert!(address.ends_with(exchange.target()), "{address}");
        let status = entry["response"]["status"].as_u64().unwrap();
        assert_eq!(status, exchange.status().unwrap_or(0));
        let Some(_) = exchange.status() else { continue };
        let content = &entry["response"]["content"];
        let text = content["text"].as_str().unwrap_or_default();
        let body = if content["encoding"] == "base64" {
            meshtap_tests::decode_base64(text)
        } else {
            text.as_bytes().to_vec()
        };
        assert!(body == exchange.response().bytes(), "{address}");
    }
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/servers.meshtap")
}

fn check_replay(protocol: &str, profile: &str) {
    let Some(meshtap) = binary() else {
        return skip("there is no meshtap binary: run `cargo xtask build --release`");
    };
    let scratch = Scratch::new();
    let Some(collector) = Collector::start(scratch.path(), Security::Plain) else {
        return;
    };
    let (har, ledger) = (scratch.path().join("x.har"), scratch.path().join("ledger"));
    let endpoint = format!("http://127.0.0.1:{}", collector.port(protocol));
    let output = Command::new(meshtap)
        .args(["replay", "--json", "-vv", "--otlp", &endpoint])
        .args(["--otlp-protocol", protocol, "--profile", profile, "--har"])
        .arg(&har)
        .arg("--ledger-json")
        .arg(&ledger)
        .arg(recording())
        .output()
        .expect("meshtap");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let exchanges: Vec<_> = lines.lines().map(Exchange::parse).collect();
    assert!(exchanges.len() > 10);
    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    let sent = &ledger["exporters"]["otlp"];
    assert_eq!(sent["exported"], exchanges.len(), "{sent}");
    assert_eq!(sent["queued"], 0);
    assert!(
        said.contains(&format!("otlp: {0} spans = {0} exported", exchanges.len())),
        "{said}"
    );
    let spans = all(&collector.finish());
    assert_eq!(spans.len(), exchanges.len(), "{protocol} {profile}");
    for (span, exchange) in spans.iter().zip(&exchanges) {
        assert_same(profile, span, exchange);
    }
    assert_archived(&har, &exchanges);
}

#[test]
fn replay_over_every_protocol() {
    for protocol in PROTOCOLS {
        check_replay(protocol, "mesh");
    }
}

#[test]
fn replay_in_every_profile() {
    for profile in PROFILES {
        check_replay("http/protobuf", profile);
    }
}

/// Live: what the pod's server replied to is shown, at the collector, and in the file.
fn check_tap(protocol: &str, profile: &str) {
    if !real::available() {
        return;
    }
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let _nginx = pod.inside(|| {
            Nginx::start(
                bench,
                "location /echo { return 200 $arg_id; } location /none { return 404 none; }",
            )
        });
        let folder = bench.scratch.folder("collector");
        let collector = Collector::start(&folder, Security::Plain).expect("a collector");
        let har = bench.scratch.path().join("tap.har");
        let endpoint = format!("http://127.0.0.1:{}", collector.port(protocol));
        let tap = Tap::on(bench, pod.path())
            .server_side()
            .args(["--otlp", &endpoint, "--otlp-protocol", protocol])
            .args(["--profile", profile, "--har"])
            .arg(&har)
            .start();
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), 4, 10);
        let _ = curl(&["-X", "POST", "-d", "a=b", &url("127.0.0.1", "/none")]);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), ids.len() + 1);
        assert_eq!(
            report.count("/exporters/otlp/exported"),
            ids.len() as u64 + 1
        );
        let spans = all(&collector.finish());
        assert_eq!(spans.len(), report.exchanges.len());
        for (span, exchange) in spans.iter().zip(&report.exchanges) {
            assert_same(profile, span, exchange);
        }
        assert_archived(&har, &report.exchanges);
    });
}

#[test]
fn tap_over_every_protocol() {
    for protocol in PROTOCOLS {
        check_tap(protocol, "mesh");
    }
}

#[test]
fn tap_in_every_profile() {
    for profile in PROFILES {
        check_tap("grpc", profile);
    }
}

/// A collector that is not there costs `tap` nothing but the spans, which are counted.
#[test]
fn replay_without_a_collector_says_what_was_lost() {
    let Some(meshtap) = binary() else {
        return skip("there is no meshtap binary: run `cargo xtask build --release`");
    };
    let scratch = Scratch::new();
    let ledger = scratch.path().join("ledger");
    let endpoint = format!("http://127.0.0.1:{}", real::free_port());
    let output = Command::new(meshtap)
        .args(["replay", "--json", "--count", "3", "--otlp", &endpoint])
        .arg("--ledger-json")
        .arg(&ledger)
        .arg(recording())
        .output()
        .expect("meshtap");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not everything was delivered: otlp misses 3 of 3 spans"),
        "{said}"
    );
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 3);
    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    let sent = &ledger["exporters"]["otlp"];
    assert_eq!(
        (&sent["accepted"], &sent["exported"]),
        (&3.into(), &0.into()),
        "{sent}"
    );
    assert_eq!(crate::service::total(&sent["dropped"]), 3, "{sent}");
}
