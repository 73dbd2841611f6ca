//! A link that loses, reorders and duplicates packets: TCP mends it, and what the agent tells is what the application saw.

use std::net::SocketAddr;

use meshtap_tests::{ECHO, Fault, HTTP_PORT, LossyLink, Netns, Nginx, Tap, figure, live, swarm};

const CLIENTS: usize = 64;
const REQUESTS: usize = 50;

/// `side`: which end of the link the agent looks at.
fn check(side: &str, seed: u64) {
    live(|bench| {
        let elsewhere = Netns::new();
        let fault = Fault {
            loss: 20,
            reorder: 250,
            duplicate: 10,
        };
        let link = LossyLink::new(
            (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
            (&elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
            fault,
            seed,
        );
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).args(["--side", side]).start();
        let address = SocketAddr::from(([10, 1, 0, 1], HTTP_PORT));
        let ids = elsewhere.inside(|| swarm(address, CLIENTS, REQUESTS));
        let report = tap.finish();
        figure(&format!("{side}: {:?}", link.finish()));
        report.assert_nothing_lost();
        report.assert_ids(&ids);
    });
}

#[test]
fn every_id_is_paired_at_the_server() {
    check("server", 1);
}

#[test]
fn every_id_is_paired_at_the_client() {
    check("client", 2);
}

#[test]
fn both_ends_are_recognised_as_one() {
    check("both", 3);
}
