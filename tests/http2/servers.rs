//! Real servers and clients.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use meshtap_tests::{
    Apache, Bench, ENVOY_PORT, Envoy, HTTP_PORT, Nginx, Tap, curl, figure, live, url,
};
use tokio::sync::Barrier;

use crate::peers::{Outgoing, Server, block_on, connect};

fn nginx(bench: &Bench) -> Nginx {
    Nginx::start_http(
        bench,
        &format!("server {{ listen {HTTP_PORT} http2; location /echo {{ return 200 $arg_id; }} }}"),
    )
}

#[test]
fn h2load_and_nginx() {
    const REQUESTS: usize = 5000;
    live(|bench| {
        let _nginx = nginx(bench);
        let tap = Tap::new(bench).server_side().start();
        let list = (0..100).map(|n| url("127.0.0.1", &format!("/echo?id={n}")) + "\n");
        let list = bench.scratch.write("urls", list.collect::<String>());
        let output = Command::new("h2load")
            .args(["-n", &REQUESTS.to_string(), "-c", "8", "-m", "50", "-i"])
            .arg(&list)
            .stdin(Stdio::null())
            .output()
            .expect("h2load");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("{REQUESTS} succeeded")), "{text}");
        let report = tap.finish();
        report.assert_nothing_lost();
        let ids = report.ids();
        assert_eq!(ids.values().sum::<usize>(), REQUESTS);
        assert_eq!(ids.len(), 100);
    });
}

/// A hundred streams at once on each of many connections: what comes back names the request and the
/// connection that it is of.
#[test]
fn h2load_with_a_hundred_streams_on_each_of_many_connections() {
    const CONNECTIONS: usize = 64;
    const STREAMS: usize = 100;
    live(|bench| {
        let _nginx = Nginx::start_http(
            bench,
            &format!(
                "server {{ listen {HTTP_PORT} http2; http2_max_concurrent_streams {STREAMS}; \
                 location /echo {{ return 200 \"$arg_id $remote_port\"; }} }}"
            ),
        );
        let tap = Tap::new(bench).server_side().start();
        let list = (0..STREAMS).map(|n| url("127.0.0.1", &format!("/echo?id={n}")) + "\n");
        let list = bench.scratch.write("urls", list.collect::<String>());
        let requests = CONNECTIONS * STREAMS;
        let output = Command::new("h2load")
            .args(["-n", &requests.to_string(), "-c", &CONNECTIONS.to_string()])
            .args(["-m", &STREAMS.to_string(), "-i"])
            .arg(&list)
            .stdin(Stdio::null())
            .output()
            .expect("h2load");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!("{requests} succeeded")), "{text}");
        let report = tap.finish();
        report.assert_nothing_lost();
        let mut seen = HashSet::new();
        for exchange in &report.exchanges {
            let (_, port) = exchange.end("client");
            let id = exchange.target().strip_prefix("/echo?id=").expect("an id");
            let expected = format!("{id} {port}");
            assert_eq!(exchange.response().text(), expected, "mispaired");
            assert!(seen.insert(expected), "twice: {exchange:?}");
        }
        assert_eq!(seen.len(), requests);
    });
}

#[test]
fn curl_with_prior_knowledge() {
    live(|bench| {
        let _nginx = nginx(bench);
        let tap = Tap::new(bench).server_side().start();
        let target = url("127.0.0.1", "/echo?id=known");
        assert_eq!(curl(&["--http2-prior-knowledge", &target]), b"known");
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().at("/version"), Some(&"2".into()));
        report.assert_ids(&["known".to_owned()]);
    });
}

#[test]
fn curl_that_upgrades() {
    live(|bench| {
        let apache = Apache::with_http2(bench);
        std::fs::write(apache.root().join("a.txt"), "upgraded").expect("a file");
        let tap = Tap::new(bench).server_side().start();
        assert_eq!(curl(&["--http2", &url("127.0.0.1", "/a.txt")]), b"upgraded");
        let report = tap.finish();
        report.assert_nothing_lost();
        let exchange = report.only();
        assert_eq!(exchange.target(), "/a.txt");
        assert_eq!(exchange.response().text(), "upgraded");
        assert_eq!(report.count("/stats/http2"), 1);
    });
}

/// Both ends are of this machine: one record of what asked for the upgrade, too.
#[test]
fn an_upgrade_at_both_ends() {
    live(|bench| {
        let apache = Apache::with_http2(bench);
        std::fs::write(apache.root().join("a.txt"), "upgraded").expect("a file");
        let tap = Tap::new(bench).start();
        for _ in 0..5 {
            assert_eq!(curl(&["--http2", &url("127.0.0.1", "/a.txt")]), b"upgraded");
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        let sides: Vec<_> = report.exchanges.iter().map(|e| e.side()).collect();
        assert_eq!(sides, ["server"; 5], "{:#?}", report.lines);
        assert_eq!(report.folded(), 5);
    });
}

/// The first stream is the request that asked for the upgrade; others follow it.
#[test]
fn streams_after_an_upgrade() {
    live(|bench| {
        let apache = Apache::with_http2(bench);
        let targets = ["/a.txt", "/b.txt", "/c.txt"];
        for target in targets {
            let file = apache.root().join(target.trim_start_matches('/'));
            std::fs::write(file, "upgraded").expect("a file");
        }
        // Now and then nghttp ends after the first response.
        let report = (0..5).find_map(|_| {
            let tap = Tap::new(bench).server_side().start();
            let output = Command::new("nghttp")
                .arg("--upgrade")
                .args(targets.map(|target| url("127.0.0.1", target)))
                .stdin(Stdio::null())
                .output()
                .expect("nghttp");
            let report = tap.finish();
            (output.stdout == b"upgradedupgradedupgraded").then_some(report)
        });
        let report = report.expect("three responses of Apache");
        report.assert_nothing_lost();
        let mut shown: Vec<_> = (report.exchanges.iter())
            .map(|exchange| (exchange.target(), exchange.response().text()))
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, targets.map(|target| (target, "upgraded")));
        assert_eq!(report.count("/stats/http2"), 1);
    });
}

#[test]
fn envoy_before_a_server_of_http2() {
    const REQUESTS: usize = 500;
    live(|bench| {
        let _nginx = nginx(bench);
        let _envoy = Envoy::with_http2_upstream(bench, "127.0.0.1");
        let port = HTTP_PORT.to_string();
        let tap = Tap::new(bench)
            .args(["--side", "server", "--port", &port])
            .start();
        let target = format!("http://127.0.0.1:{ENVOY_PORT}/echo?id=[1-{REQUESTS}]");
        let _bodies = curl(&["-Z", "--parallel-max", "20", &target]);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&(1..=REQUESTS).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(
            report
                .exchanges
                .iter()
                .all(|one| one.at("/version") == Some(&"2".into()))
        );
        figure(&format!("{} connections", report.count("/stats/http2")));
    });
}

/// A hundred streams at once on each of many connections, on both sides of the proxy: none is
/// responded to before all have arrived. What comes back names the request.
#[test]
fn envoy_with_a_hundred_streams_on_each_of_many_connections() {
    const CONNECTIONS: usize = 64;
    const STREAMS: usize = 100;
    const ALL: usize = CONNECTIONS * STREAMS;
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    live(|bench| {
        let all = Arc::new(Barrier::new(ALL));
        let _server = Server::start(address(HTTP_PORT), move |request: Request<Incoming>| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                let id = request.uri().query().expect("a query of the test's");
                let body = Outgoing::whole(id.to_owned());
                Response::new(body)
            }
        });
        let _envoy = Envoy::with_http2_upstream(bench, "127.0.0.1");
        let port = HTTP_PORT.to_string();
        let tap = Tap::new(bench)
            .args(["--side", "server", "--port", &port])
            .start();
        block_on(async {
            let mut streams = tokio::task::JoinSet::new();
            for connection in 0..CONNECTIONS {
                let sender = connect(address(ENVOY_PORT), 1 << 20).await;
                for stream in 0..STREAMS {
                    let mut sender = sender.clone();
                    streams.spawn(async move {
                        let id = format!("id={connection}-{stream}");
                        let request = Request::get(format!("http://test/echo?{id}"));
                        let request = request.body(Outgoing::whole("")).expect("a request");
                        let response = sender.send_request(request).await.expect("a response");
                        let body = response.into_body().collect().await.expect("a body");
                        assert_eq!(body.to_bytes(), id);
                    });
                }
            }
            while let Some(stream) = streams.join_next().await {
                stream.expect("a stream");
            }
        });
        let report = tap.finish();
        report.assert_nothing_lost();
        let mut seen = HashSet::new();
        for exchange in &report.exchanges {
            let id = exchange.target().strip_prefix("/echo?").expect("an id");
            assert_eq!(exchange.response().text(), id, "mispaired");
            assert!(seen.insert(id.to_owned()), "twice: {exchange:?}");
        }
        assert_eq!(seen.len(), ALL, "{:#}", report.ledger);
        let connections = report.count("/stats/http2");
        figure(&format!("{ALL} requests on {connections} connections"));
        assert!(connections >= CONNECTIONS as u64, "{connections}");
    });
}
