//! Which end of a connection is emitted, and that one request is emitted once.

use meshtap_tests::{
    Connection, ECHO, HTTP_PORT, Netns, Nginx, Pair, Report, Tap, curl, live, reset, url,
};

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

/// The exchange that switches a connection is one, too; so is what is inside of a tunnel.
#[test]
fn both_ends_of_a_connection_that_is_switched_are_emitted_once() {
    live(|bench| {
        let tap = Tap::new(bench).start();
        let mut pair = Pair::new(9000);
        pair.request(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        pair.respond(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        pair.request(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        drop(pair);
        let mut pair = Pair::new(9001);
        pair.request("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n");
        pair.respond("HTTP/1.1 200 OK\r\n\r\n");
        pair.request("GET /inside HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        drop(pair);
        let report = tap.finish();
        check(&report, &["server"; 3]);
        let targets: Vec<_> = report.exchanges.iter().map(|e| e.target()).collect();
        assert_eq!(targets, ["/chat", "db:5432", "/inside"]);
    });
}

/// What a server says first, of its own accord, is not taken for a request.
#[test]
fn a_server_that_speaks_first_is_seen_from_either_end() {
    live(|bench| {
        for side in ["server", "client"] {
            let tap = Tap::new(bench).arg("--side").arg(side).start();
            for (port, first) in [(9000, "220 hi\r\n"), (9001, "\r\n"), (9002, "O")] {
                let mut pair = Pair::new(port);
                pair.respond(first);
                pair.request("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
                pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
            }
            check(&tap.finish(), &[side; 3]);
        }
    });
}

/// The first request of the connection is cancelled before its server says anything.
#[test]
fn both_ends_of_a_request_that_is_cancelled_are_emitted_once() {
    let frame = |kind, flags, stream, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short frame");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let settings = frame(4, 0, 0, &[]);
    // `GET /` over HTTP (RFC 7541, appendix A), with END_STREAM and END_HEADERS.
    let get = |stream| frame(1, 5, stream, &[0x82, 0x86, 0x84]);
    live(|bench| {
        let tap = Tap::new(bench).start();
        let mut pair = Pair::new(9000);
        pair.request([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat());
        pair.request(get(1));
        pair.request(frame(3, 0, 1, &[0, 0, 0, 8]));
        pair.request(get(3));
        pair.respond([&settings[..], &frame(1, 5, 3, &[0x88])].concat());
        drop(pair);
        // HTTP/1, by a reset of the connection.
        let mut pair = Pair::new(9001);
        pair.request("GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
        reset(pair.client);
        let report = tap.finish();
        report.assert_balanced();
        let mut shown: Vec<_> = (report.exchanges.iter())
            .map(|exchange| (exchange.target(), exchange.status()))
            .collect();
        shown.sort_unstable();
        let expected = [("/", None), ("/", Some(200)), ("/reset", None)];
        assert_eq!(shown, expected, "{:#?}", report.lines);
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
