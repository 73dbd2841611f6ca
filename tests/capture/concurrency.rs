//! Many connections at once: every request with its own answer, none missing, none twice.

use std::net::{Ipv6Addr, SocketAddr};

use meshtap_tests::{ECHO, HTTP_PORT, Nginx, Tap, figure, live, swarm};

const CLIENTS: usize = 64;
const REQUESTS: usize = 200;

#[test]
fn every_id_is_paired_on_the_server_side() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), CLIENTS, REQUESTS);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&ids);
        assert_eq!(report.exchanges.len(), 12_800);
        let cpu = report.count("/cpu_ns") / 12_800;
        figure(&format!(
            "{cpu} ns of agent CPU per exchange, with JSON and bodies"
        ));
    });
}

#[test]
fn both_ends_are_told_once_each() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).start();
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, HTTP_PORT));
        let ids = swarm(address, CLIENTS, REQUESTS / 2);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&ids);
        let mirrored = report.mirrored();
        assert!(
            (CLIENTS as u64..=ids.len() as u64).contains(&mirrored),
            "{mirrored}"
        );
        figure(&format!("{mirrored} of {} seen at both ends", ids.len()));
    });
}
