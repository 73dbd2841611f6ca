//! A stripped Envoy, whose BoringSSL has no symbols: a gateway that terminates TLS.

use std::sync::atomic::{AtomicBool, Ordering};

use meshtap_parts::envoy::{VERSION, VERSIONS};
use meshtap_tests::{Bench, Envoy, HTTP_PORT, Random, Report, SetOnDrop, Tap, curl, live};

use crate::bench::{
    CONNECTIONS, Certificate, REQUESTS, TLS_PORT, assert_load, at, echo, load, nginx, reading,
    scheme,
};

/// TLS downstream, plain upstream.
const TO_PLAIN: u16 = 10_443;
/// TLS downstream, TLS upstream.
const TO_TLS: u16 = 10_444;

const PROGRAM: &str = "/envoy ";

fn envoy(bench: &Bench, certificate: &Certificate) -> Envoy {
    of_version(VERSION, bench, certificate)
}

fn of_version(version: &str, bench: &Bench, certificate: &Certificate) -> Envoy {
    let listeners: String = [(TO_PLAIN, "plain"), (TO_TLS, "tls")]
        .map(|(port, cluster)| listener(port, cluster, certificate))
        .concat();
    let transport = r#"
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
"#;
    let clusters: String = [("plain", HTTP_PORT, ""), ("tls", TLS_PORT, transport)]
        .map(|(name, port, transport)| {
            format!(
                r#"
  - name: {name}
    connect_timeout: 10s
    type: STATIC
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}{transport}"#
            )
        })
        .concat();
    let config = format!("static_resources:\n  listeners:{listeners}\n  clusters:{clusters}\n");
    Envoy::of_version(version, bench, &config, TO_TLS)
}

fn listener(port: u16, cluster: &str, certificate: &Certificate) -> String {
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    format!(
        r#"
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {{ filename: {chain} }}
              private_key: {{ filename: {key} }}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: {cluster} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"#
    )
}

/// Ids of exchanges at a port, each with its own response.
fn ids(report: &Report, port: u16) -> Vec<&str> {
    at(report, port)
        .map(|exchange| {
            let id = exchange.target().split_once("id=").expect("an id").1;
            assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
            id
        })
        .collect()
}

/// Both sides of the proxy have a record each, and share the id that it gives a request. Every
/// release has its functions elsewhere.
#[test]
fn each_side_is_emitted_once() {
    for version in VERSIONS {
        of_each_side(version);
    }
}

fn of_each_side(version: &str) {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let envoy = of_version(version, bench, &certificate);
        let pid = envoy.daemon.pid().to_string();
        let tap = reading(Tap::new(bench).args(["--pid", &pid]), PROGRAM);
        for (port, version) in [
            (TO_PLAIN, "--http1.1"),
            (TO_PLAIN, "--http2"),
            (TO_TLS, "--http1.1"),
            (TO_TLS, "--http2"),
        ] {
            let id = format!("{port}{version}");
            assert_eq!(curl(&["-k", version, &echo(port, &id)]), id.as_bytes());
        }
        tap.emitted(8);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 8, "{version}: {:#?}", report.lines);
        for (port, upstream) in [(TO_PLAIN, HTTP_PORT), (TO_TLS, TLS_PORT)] {
            assert_eq!(ids(&report, port), ids(&report, upstream));
            for exchange in at(&report, port) {
                assert_eq!((exchange.side(), scheme(exchange)), ("server", "https"));
            }
            for exchange in at(&report, upstream) {
                assert_eq!(exchange.side(), "client");
                assert!(exchange.request().header("x-request-id").is_some());
            }
        }
    });
}

#[test]
fn large_bodies() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let nginx = nginx(bench, &certificate);
        let content = Random::new(7).bytes(1_000_000);
        std::fs::write(nginx.root().join("big"), &content).expect("a file");
        let _envoy = envoy(bench, &certificate);
        let tap = Tap::new(bench).server_side();
        let tap = reading(tap.args(["--max-body", "2MiB"]), PROGRAM);
        for version in ["--http1.1", "--http2"] {
            for slow in [&["--parallel"][..], &["--limit-rate", "2M"][..]] {
                let url = format!("https://127.0.0.1:{TO_PLAIN}/big");
                let mut arguments = vec!["-k", version];
                arguments.extend(slow);
                arguments.extend([url.as_str(); 4]);
                assert_eq!(curl(&arguments).len(), 4 * content.len());
            }
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(at(&report, TO_PLAIN).count(), 16);
        for exchange in at(&report, TO_PLAIN) {
            assert!(exchange.response().bytes() == content, "a body differs");
        }
    });
}

#[test]
fn many_connections() {
    for (http1, streams) in [(true, 1), (false, 10)] {
        live(|bench| {
            let certificate = Certificate::make(bench);
            let _nginx = nginx(bench, &certificate);
            let _envoy = envoy(bench, &certificate);
            let tap = reading(Tap::new(bench).server_side(), PROGRAM);
            let ids = load(bench, TO_PLAIN, http1, streams);
            tap.emitted(2 * CONNECTIONS * REQUESTS);
            let report = tap.finish();
            report.assert_nothing_lost();
            assert_load(&report, TO_PLAIN, &ids);
            assert_load(&report, HTTP_PORT, &ids);
        });
    }
}

/// An agent that starts while requests are on their way.
#[test]
fn started_in_the_middle() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let _envoy = envoy(bench, &certificate);
        let is_reading = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Before, while it attaches, and once after.
            let requests = scope.spawn(|| {
                loop {
                    let is_last = is_reading.load(Ordering::SeqCst);
                    load(bench, TO_PLAIN, true, 1);
                    load(bench, TO_PLAIN, false, 10);
                    if is_last {
                        break;
                    }
                }
            });
            let over = SetOnDrop(&is_reading);
            let tap = reading(Tap::new(bench).server_side(), PROGRAM);
            drop(over);
            requests.join().expect("a load");
            let report = tap.finish();
            report.assert_balanced();
            let complete = at(&report, TO_PLAIN).filter(|e| e.partial().is_none());
            let paired = complete
                .filter(|exchange| {
                    let id = exchange.target().split_once("id=").expect("an id").1;
                    exchange.response().text() == id
                })
                .count();
            let all = at(&report, TO_PLAIN)
                .filter(|e| e.partial().is_none())
                .count();
            assert_eq!(paired, all, "mispaired");
            assert!(paired > 0);
        });
    });
}
