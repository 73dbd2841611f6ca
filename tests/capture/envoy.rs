//! A real Envoy between client and server: two hops, each emitted once, and the same request on
//! both.

use std::collections::HashMap;

use meshtap_tests::{ECHO, ENVOY_PORT, Envoy, Exchange, HTTP_PORT, Nginx, Tap, live, swarm};

const CLIENTS: usize = 32;
const REQUESTS: usize = 50;

/// The id that Envoy gives a request and sends on; the server side of the first hop has it only in
/// what it passes on.
fn request_id(exchange: &Exchange) -> Option<&str> {
    exchange.request().header("x-request-id")
}

#[test]
fn both_hops_are_emitted_once() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let _envoy = Envoy::start(bench, "127.0.0.1");
        let tap = Tap::new(bench).start();
        let ids = swarm(([127, 0, 0, 1], ENVOY_PORT).into(), CLIENTS, REQUESTS);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert!(report.folded() > 0);

        let emitted = report.ids();
        assert_eq!(emitted.len(), ids.len());
        assert!(emitted.values().all(|count| *count == 2), "{emitted:?}");
        let at = |port: u16| {
            let matching = report
                .exchanges
                .iter()
                .filter(move |e| e.end("server").1 == port);
            matching.map(|e| (e.target(), e)).collect::<HashMap<_, _>>()
        };
        let (before, after) = (at(ENVOY_PORT), at(HTTP_PORT));
        assert_eq!((before.len(), after.len()), (ids.len(), ids.len()));
        for (target, exchange) in after {
            assert_eq!(request_id(before[target]), None, "the client sent none");
            assert!(request_id(exchange).is_some(), "{exchange:?}");
            assert_eq!(
                exchange.request().header("x-forwarded-for"),
                Some("127.0.0.1")
            );
        }
    });
}

#[test]
fn the_servers_pod_alone_has_one_copy() {
    live(|bench| {
        let (server, proxy) = (bench.cgroup.pod(0xa1), bench.cgroup.pod(0xb2));
        let _nginx = server.inside(|| Nginx::start(bench, ECHO));
        let _envoy = proxy.inside(|| Envoy::start(bench, "127.0.0.1"));
        let tap = Tap::on(bench, server.path()).start();
        let ids = swarm(([127, 0, 0, 1], ENVOY_PORT).into(), CLIENTS, REQUESTS);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&ids);
    });
}
