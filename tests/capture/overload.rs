//! More than the agent can take: what is emitted is right or marked, the rest is counted, and the
//! application does not wait.

use std::fs;
use std::net::SocketAddr;

use meshtap_tests::{
    Connection, ECHO, HTTP_PORT, Nginx, Random, Report, Tap, curl, figure, live, swarm, url,
};

/// Every exchange that claims to be whole is: its body is the id in its target.
#[track_caller]
fn assert_no_wrong_pair(report: &Report) {
    for exchange in report.exchanges.iter().filter(|e| e.partial().is_none()) {
        let (_, id) = exchange.target().split_once("id=").expect("an id");
        assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
    }
}

#[test]
fn an_agent_that_is_not_let_run() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench)
            .server_side()
            .args(["--ring-size", "64KiB"])
            .start();
        let address = SocketAddr::from(([127, 0, 0, 1], HTTP_PORT));
        let before = swarm(address, 4, 10).len();
        tap.emitted(before);
        tap.pause();
        let during = swarm(address, 16, 100).len();
        tap.proceed();
        // Something that was in the ring buffer is emitted: it has been emptied.
        tap.emitted(before + 1);
        let mut connection = Connection::open(address);
        let after: Vec<String> = (0..20).map(|n| format!("after-{n}")).collect();
        for id in &after {
            let _ = connection.get(&format!("/echo?id={id}"));
        }
        let report = tap.finish();
        report.assert_balanced();
        assert_no_wrong_pair(&report);
        let dropped: u64 = ["ring_full", "ring_share"]
            .map(|reason| report.count(&format!("/kernel_drops/{reason}/segments")))
            .iter()
            .sum();
        assert!(dropped > 0, "the ring buffer of 64 KiB held it all");
        let (emitted, all) = (report.exchanges.len(), before + during + after.len());
        figure(&format!(
            "{emitted} of {all} emitted, {dropped} segments dropped"
        ));
        assert!(emitted < all);
        // The agent has found its feet again: what comes afterwards is emitted, and whole.
        for id in &after {
            let mut emitted = report
                .exchanges
                .iter()
                .filter(|e| e.target().ends_with(&format!("={id}")));
            let exchange = emitted
                .next()
                .unwrap_or_else(|| panic!("{id} is not emitted"));
            assert_eq!(exchange.partial(), None, "{id}");
        }
    });
}

#[test]
fn a_body_with_a_hole_is_marked() {
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        let content = Random::new(9).bytes(5_000_000);
        fs::write(nginx.root().join("big"), &content).expect("a file");
        let tap = Tap::new(bench)
            .server_side()
            .args(["--ring-size", "64KiB", "--max-body", "16MiB"])
            .start();
        tap.pause();
        assert!(curl(&[&url("127.0.0.1", "/big")]) == content);
        tap.proceed();
        let report = tap.finish();
        report.assert_balanced();
        let exchange = report.only();
        assert_eq!(exchange.partial(), Some("gap"), "{:#}", report.ledger);
        assert_eq!(
            exchange.response().body_size(),
            5_000_000,
            "known by its length field"
        );
        assert!(content.starts_with(&exchange.response().bytes()));
    });
}

/// One pod floods while the agent is not let run; what its neighbour does meanwhile is emitted, and
/// whole.
#[test]
fn a_flood_costs_nobody_else_the_ring_buffer() {
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        fs::write(nginx.root().join("large"), Random::new(3).bytes(1_000_000)).expect("a file");
        let flooding = bench.cgroup.pod(0xf1);
        let neighbour = bench.cgroup.pod(0xa1);
        let tap = Tap::new(bench)
            .args(["--side", "client", "--ring-size", "2MiB"])
            .start();
        tap.pause();
        flooding.inside(|| {
            for _ in 0..8 {
                let _ = curl(&[&url("127.0.0.1", "/large")]);
            }
        });
        let targets: Vec<String> = (0..50).map(|n| format!("/echo?id=quiet-{n}")).collect();
        neighbour.inside(|| {
            for target in &targets {
                let _ = curl(&[&url("127.0.0.1", target)]);
            }
        });
        tap.proceed();
        tap.emitted_each(targets.iter().cloned());
        let report = tap.finish();
        report.assert_balanced();
        for target in &targets {
            let mut found = report.exchanges.iter().filter(|e| e.target() == target);
            let exchange = found.next().unwrap_or_else(|| panic!("{target} is absent"));
            assert_eq!(exchange.partial(), None, "{target}");
        }
        assert!(report.count("/kernel_drops/ring_share/bytes") > 1_000_000);
        assert_eq!(report.count("/kernel_drops/ring_full/bytes"), 0);
    });
}

#[test]
fn a_reader_that_does_not_read() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start_unread();
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), 32, 1000);
        let report = tap.finish();
        report.assert_balanced();
        let full = report.count("/delivery/output_full");
        let memory = report.count("/max_rss_bytes");
        figure(&format!(
            "{full} of {} not shown, {} MiB at most",
            ids.len(),
            memory >> 20
        ));
        assert_eq!(report.exchanges.len() as u64 + full, ids.len() as u64);
        assert_no_wrong_pair(&report);
    });
}
