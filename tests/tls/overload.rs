//! More plaintext than the agent can take.

use std::fs;

use meshtap_tests::{Random, Tap, curl, live};

use crate::bench::{Certificate, TLS_PORT, echo, nginx, reading};

/// One pod floods while the agent is not let run; what its neighbour does meanwhile is emitted, and
/// whole.
#[test]
fn a_flood_costs_nobody_else_the_ring_buffer() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let nginx = nginx(bench, &certificate);
        fs::write(nginx.root().join("large"), Random::new(3).bytes(1_000_000)).expect("a file");
        let flooding = bench.cgroup.pod(0xf1);
        let neighbour = bench.cgroup.pod(0xa1);
        let tap = Tap::new(bench).args(["--side", "client", "--ring-size", "4MiB"]);
        let tap = reading(tap, "libssl.so");
        tap.pause();
        flooding.inside(|| {
            for _ in 0..8 {
                let _ = curl(&["-k", &format!("https://127.0.0.1:{TLS_PORT}/large")]);
            }
        });
        let ids: Vec<String> = (0..50).map(|n| format!("quiet-{n}")).collect();
        neighbour.inside(|| {
            for id in &ids {
                let _ = curl(&["-k", "--http1.1", &echo(TLS_PORT, id)]);
            }
        });
        tap.proceed();
        tap.emitted_each(ids.iter().map(|id| format!("/echo?id={id}")));
        let report = tap.finish();
        report.assert_balanced();
        for id in &ids {
            let suffix = format!("id={id}");
            let mut found = report
                .exchanges
                .iter()
                .filter(|e| e.target().ends_with(&suffix));
            let exchange = found.next().unwrap_or_else(|| panic!("{id} is absent"));
            assert_eq!(exchange.partial(), None, "{id}");
            assert_eq!(exchange.response().text(), *id);
        }
        assert!(report.count("/kernel_drops/ring_share/bytes") > 1_000_000);
        assert_eq!(report.count("/kernel_drops/ring_full/bytes"), 0);
    });
}
