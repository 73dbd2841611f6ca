//! Which end of a connection is emitted, and that one request is emitted once.

use meshtap_tests::{Connection, ECHO, HTTP_PORT, Netns, Nginx, Report, Tap, curl, live, url};

const PATH: &str = "/echo?id=x";

#[track_caller]
fn check(report: &Report, expected: &[&str]) {
    report.assert_nothing_lost();
    let sides: Vec<&str> = report.exchanges.iter().map(|e| e.side()).collect();
    assert_eq!(sides, expected, "{:#?}", report.lines);
}

#[test]
fn both_ends_of_a_local_connection_are_emitted_once() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).start();
        for host in ["127.0.0.1", "[::1]"] {
            let _ = curl(&[&url(host, PATH), &url(host, PATH)]);
        }
        let report = tap.finish();
        check(&report, &["server"; 4]);
        assert!(report.folded() >= 2, "one for each connection");
    });
}

#[test]
fn only_the_side_that_was_asked_for() {
    for side in ["server", "client"] {
        live(|bench| {
            let _nginx = Nginx::start(bench, ECHO);
            let tap = Tap::new(bench).args(["--side", side]).start();
            let _ = curl(&[&url("127.0.0.1", PATH), &url("[::1]", PATH)]);
            check(&tap.finish(), &[side; 2]);
        });
    }
}

#[test]
fn a_client_whose_server_is_elsewhere() {
    live(|bench| {
        let elsewhere = Netns::new();
        let (own, others) = (["10.1.0.1/24", "fd01::1/64"], ["10.1.0.2/24", "fd01::2/64"]);
        bench.netns.join(&elsewhere, own, others);
        let server_pod = bench.cgroup.pod(0xa1);
        let client_pod = bench.cgroup.pod(0xb2);
        let _nginx = server_pod.inside(|| elsewhere.inside(|| Nginx::start(bench, ECHO)));

        let tap = Tap::on(bench, client_pod.path()).start();
        for host in ["10.1.0.2", "[fd01::2]"] {
            let response = client_pod.inside(|| curl(&[&url(host, PATH)]));
            assert_eq!(response, b"x");
        }
        let report = tap.finish();
        check(&report, &["client"; 2]);
        assert_eq!(report.exchanges[0].end("client").0, "10.1.0.1");
        assert_eq!(report.exchanges[0].end("server"), ("10.1.0.2", HTTP_PORT));
        assert_eq!(report.exchanges[1].end("server"), ("fd01::2", HTTP_PORT));
    });
}

#[test]
fn both_ends_in_two_networks_of_one_machine_are_emitted_once() {
    live(|bench| {
        let elsewhere = Netns::new();
        let (own, others) = (["10.1.0.1/24", "fd01::1/64"], ["10.1.0.2/24", "fd01::2/64"]);
        bench.netns.join(&elsewhere, own, others);
        let _nginx = elsewhere.inside(|| Nginx::start(bench, ECHO));
        let tap = Tap::new(bench).start();
        let _ = curl(&[&url("10.1.0.2", PATH), &url("[fd01::2]", PATH)]);
        let report = tap.finish();
        check(&report, &["server"; 2]);
        assert_eq!(report.folded(), 2);
    });
}

#[test]
fn sockets_of_other_cgroups_are_not_looked_at() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let other = bench.cgroup.pod(0xc3);
        let tap = Tap::on(bench, other.path()).start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        assert_eq!(connection.get(PATH).status, 200);
        let report = tap.finish();
        check(&report, &[]);
        assert_eq!(report.copied_bytes(), 0);
    });
}
