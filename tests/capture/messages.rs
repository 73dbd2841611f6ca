//! Messages and connections as they really are: pipelines, interim responses, upgrades, cut and
//! slow ones.

use meshtap_tests::{
    Connection, ECHO, HTTP_PORT, Nginx, Pair, Report, Tap, curl, live, reset, url,
};

/// What happens on one connection between two sockets, seen from the server's.
fn converse(talk: impl Fn(Pair) + Send + Sync, verify: impl Fn(&Report) + Send + Sync) {
    live(|bench| {
        let tap = Tap::new(bench).server_side().start();
        talk(Pair::new(9000));
        let report = tap.finish();
        report.assert_balanced();
        verify(&report);
    });
}

/// Targets, statuses and what is missing.
#[track_caller]
fn check(report: &Report, expected: &[(&str, Option<u64>, Option<&str>)]) {
    let found: Vec<_> = report
        .exchanges
        .iter()
        .map(|e| (e.target(), e.status(), e.partial()))
        .collect();
    assert_eq!(found, expected, "{:#}", report.ledger);
}

#[test]
fn nginx_serves_a_pipeline() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        let request = |n: usize| format!("GET /echo?id={n} HTTP/1.1\r\nHost: test\r\n\r\n");
        connection.send((0..100).map(request).collect::<String>());
        for n in 0..100 {
            assert_eq!(connection.response().body, n.to_string().as_bytes());
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&(0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn responses_without_a_body() {
    live(|bench| {
        let nginx = Nginx::start(
            bench,
            "if_modified_since before; location /empty { return 204; }",
        );
        std::fs::write(nginx.root().join("a.txt"), "body").expect("a file");
        let tap = Tap::new(bench).server_side().start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        connection.send("HEAD /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        assert!(
            connection
                .response_to_head()
                .head
                .contains("Content-Length: 4")
        );
        assert_eq!(connection.get("/empty").status, 204);
        let modified = "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT";
        connection.send(format!(
            "GET /a.txt HTTP/1.1\r\nHost: test\r\n{modified}\r\n\r\n"
        ));
        assert_eq!(connection.response().status, 304);
        assert_eq!(connection.get("/a.txt").body, b"body");
        let report = tap.finish();
        report.assert_nothing_lost();
        let emitted = [
            ("/a.txt", 200),
            ("/empty", 204),
            ("/a.txt", 304),
            ("/a.txt", 200),
        ];
        check(
            &report,
            &emitted.map(|(target, status)| (target, Some(status), None)),
        );
        let sizes: Vec<_> = report
            .exchanges
            .iter()
            .map(|e| e.response().body_size())
            .collect();
        assert_eq!(sizes, [0, 0, 0, 4]);
    });
}

#[test]
fn a_body_that_waits_for_100_continue() {
    live(|bench| {
        let _nginx = Nginx::start(
            bench,
            // nginx reads the body only for a handler that uses it.
            "location /up { proxy_pass http://127.0.0.1:8080/echo?id=proxied; }
             location /echo { return 200 $arg_id; }",
        );
        let tap = Tap::new(bench).server_side().start();
        let body = "b".repeat(2000);
        let response = curl(&[
            "-H",
            "Expect: 100-continue",
            "-d",
            &body,
            &url("127.0.0.1", "/up"),
        ]);
        assert_eq!(response, b"proxied");
        let report = tap.finish();
        report.assert_nothing_lost();
        let up = report
            .exchanges
            .iter()
            .find(|e| e.target() == "/up")
            .expect("/up");
        assert_eq!(up.status(), Some(200), "not 100");
        assert_eq!(up.request().text(), body);
        assert_eq!(up.response().text(), "proxied");
    });
}

#[test]
fn byte_by_byte() {
    converse(
        |mut pair| {
            pair.request_slowly("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
            pair.respond_slowly(
                "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            );
            pair.request("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |report| {
            check(
                report,
                &[("/slow", Some(201), None), ("/next", Some(204), None)],
            );
            assert_eq!(report.exchanges[0].request().text(), "body");
            assert_eq!(report.exchanges[0].response().text(), "abc");
        },
    );
}

#[test]
fn a_response_that_the_close_ends() {
    converse(
        |mut pair| {
            pair.request("GET /old HTTP/1.0\r\n\r\n");
            pair.respond("HTTP/1.0 200 OK\r\n\r\nuntil the end");
        },
        |report| {
            check(report, &[("/old", Some(200), None)]);
            assert_eq!(report.only().response().text(), "until the end");
        },
    );
}

#[test]
fn a_reset_inside_a_body() {
    converse(
        |mut pair| {
            pair.request("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
            reset(pair.server);
        },
        |report| {
            check(report, &[("/cut", Some(200), Some("response_cut"))]);
            assert_eq!(report.only().response().text(), "only this");
        },
    );
}

#[test]
fn an_end_inside_a_body() {
    converse(
        |mut pair| {
            pair.request("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
        },
        |report| check(report, &[("/cut", Some(200), Some("response_cut"))]),
    );
}

#[test]
fn an_end_inside_a_request() {
    converse(
        |mut pair| {
            pair.request("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
        },
        |report| check(report, &[("/half", None, Some("request_cut"))]),
    );
}

#[test]
fn no_response_at_all() {
    converse(
        |mut pair| pair.request("GET /silence HTTP/1.1\r\nHost: a\r\n\r\n"),
        |report| check(report, &[("/silence", None, Some("no_response"))]),
    );
}

#[test]
fn a_response_before_the_request_is_whole() {
    converse(
        |mut pair| {
            pair.request("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf");
            pair.respond("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
            pair.request("rest");
            pair.request("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        },
        |report| {
            check(
                report,
                &[("/early", Some(413), None), ("/next", Some(200), None)],
            );
            assert_eq!(report.exchanges[0].request().text(), "halfrest");
        },
    );
}

/// A stream of events: emitted at its age as far as it goes, never twice, and what comes next on
/// the connection is emitted.
#[test]
fn server_sent_events() {
    live(|bench| {
        let tap = Tap::new(bench)
            .server_side()
            .args(["--max-exchange-age", "300ms"])
            .start();
        let mut pair = Pair::new(9000);
        pair.request("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
        pair.respond(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
             9\r\ndata: 1\n\n\r\n",
        );
        tap.emitted(1);
        pair.respond("9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        pair.request("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        tap.emitted(2);
        let report = tap.finish();
        report.assert_balanced();
        check(
            &report,
            &[
                ("/events", Some(200), Some("max_age")),
                ("/next", Some(204), None),
            ],
        );
        assert_eq!(report.exchanges[0].response().text(), "data: 1\n\n");
    });
}

/// A response that comes in parts is emitted once, at its end.
#[test]
fn a_long_poll() {
    converse(
        |mut pair| {
            pair.request("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            pair.respond_slowly("3\r\nabc\r\n0\r\n\r\n");
        },
        |report| {
            check(report, &[("/poll", Some(200), None)]);
            assert_eq!(report.exchanges[0].response().text(), "abc");
        },
    );
}

#[test]
fn a_websocket() {
    converse(
        |mut pair| {
            pair.request(
                "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            );
            pair.respond(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            // RFC 6455 §5.2: a masked text "Hello", an unmasked one, twice.
            pair.request(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
            pair.respond(b"\x81\x05Hello\x81\x05Hello");
        },
        |report| {
            check(report, &[("/chat", Some(101), None)]);
            let stats = &report.ledger["stats"];
            assert_eq!(
                stats["upgraded_bytes"],
                serde_json::json!([11, 14]),
                "{stats}"
            );
            assert_eq!(
                stats["websocket_messages"],
                serde_json::json!([1, 2]),
                "{stats}"
            );
        },
    );
}

/// What is inside a tunnel is a connection of its own.
#[test]
fn a_tunnel() {
    converse(
        |mut pair| {
            pair.request("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\n\r\n");
            pair.request("GET /inside HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        },
        |report| {
            let inside = ("/inside", Some(200), None);
            check(report, &[("db:5432", Some(200), None), inside]);
            let stats = &report.ledger["stats"];
            assert_eq!(stats["upgraded_bytes"], serde_json::json!([33, 38]));
        },
    );
}

/// Both ends begin with bytes of another protocol, and go on with HTTP (RFC 1928 §3, §4, §6).
#[test]
fn through_a_socks_proxy() {
    converse(
        |mut pair| {
            pair.request(b"\x05\x01\x00");
            pair.respond(b"\x05\x00");
            pair.request(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50");
            pair.respond(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00");
            pair.request("GET /inside HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |report| check(report, &[("/inside", Some(204), None)]),
    );
}

/// A server of HTTP names HTTP even to what it cannot read.
#[test]
fn after_a_first_request_that_is_none() {
    converse(
        |mut pair| {
            pair.request(b"\x00\x01\x02\x03");
            pair.respond("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            pair.request("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
            pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        },
        |report| check(report, &[("/next", Some(204), None)]),
    );
}

/// A database that quotes HTTP is left alone in the kernel, from its first words on.
#[test]
fn what_began_with_no_http_is_not_copied() {
    converse(
        |mut pair| {
            pair.request(b"\x00\x00\x00\x08\x04\xd2\x16\x2f");
            pair.respond(b"N");
            for _ in 0..4 {
                pair.request("GET /data HTTP/1.1\r\nHost: a\r\n\r\n");
                pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
            }
        },
        |report| {
            check(report, &[]);
            assert_eq!(report.copied_bytes(), 0, "{:#}", report.ledger);
            let both_ends = report.count("/sockets/other");
            assert_eq!(both_ends, 2, "{:#}", report.ledger);
        },
    );
}

#[test]
fn a_connection_older_than_the_agent() {
    live(|bench| {
        let mut pair = Pair::new(9000);
        pair.request("GET /before HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbe");
        let tap = Tap::new(bench).server_side().start();
        pair.respond("fore");
        for n in 0..3 {
            pair.request(format!("GET /after/{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
            pair.respond(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
        }
        let report = tap.finish();
        report.assert_balanced();
        let after = [("/after/0", "0"), ("/after/1", "1"), ("/after/2", "2")];
        let found: Vec<_> = report
            .exchanges
            .iter()
            .map(|e| (e.target(), e.response().text()))
            .collect();
        assert_eq!(found, after, "{:#}", report.ledger);
    });
}

/// The first request that the agent sees has a line that only tolerant servers take. The end of a
/// body that looks nearly like it is none.
#[test]
fn an_odd_request_on_a_connection_older_than_the_agent() {
    const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    live(|bench| {
        for side in ["server", "client", "both"] {
            let mut pairs: Vec<_> = (0..3).map(|n| Pair::new(9000 + n)).collect();
            for pair in &mut pairs {
                pair.request("GET /before HTTP/1.1\r\nHost: a\r\n\r\n");
                pair.respond(NO_CONTENT);
            }
            pairs[2].request("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 25\r\n\r\n");
            let tap = Tap::new(bench).args(["--side", side]).start();
            pairs[0].request("frob /a b HTTP/1.1\r\nHost: a\r\n\r\n");
            pairs[1].request("frob  /c HTTP/1.7\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            pairs[2].request("frob  /x HTTP/1.1\r\nand so");
            for pair in &mut pairs {
                pair.respond(NO_CONTENT);
            }
            tap.emitted(2);
            let report = tap.finish();
            report.assert_balanced();
            let mut found: Vec<_> = (report.exchanges.iter())
                .map(|one| (one.target(), one.status(), one.partial()))
                .collect();
            found.sort_unstable();
            let expected = [("/a b", Some(204), None), ("/c", Some(204), None)];
            assert_eq!(found, expected, "{side}");
        }
    });
}

#[test]
fn a_request_half_sent_before_the_agent_is_not_guessed() {
    live(|bench| {
        let mut pair = Pair::new(9000);
        pair.request("GET /half HTTP/1.1\r\nHo");
        let tap = Tap::new(bench).server_side().start();
        pair.request("st: a\r\n\r\n");
        pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf");
        pair.request("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
        let report = tap.finish();
        report.assert_balanced();
        check(&report, &[("/next", Some(200), None)]);
        assert_eq!(report.only().response().text(), "next");
    });
}

#[test]
fn a_port_that_is_used_again() {
    live(|bench| {
        let tap = Tap::new(bench).server_side().start();
        for n in 0..20 {
            let mut pair = Pair::new(9000);
            pair.request(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
            pair.respond(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{n:02}"
            ));
            // Closed with RST, so the same addresses and ports can come again at once.
            reset(pair.client);
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 20);
        for (n, exchange) in report.exchanges.iter().enumerate() {
            assert_eq!(exchange.target(), format!("/{n}"));
            assert_eq!(exchange.response().text(), format!("{n:02}"));
        }
    });
}

#[test]
fn a_head_of_many_segments_and_iovecs() {
    converse(
        |mut pair| {
            let field = |n| format!("X-Field-{n}: {}\r\n", "v".repeat(200));
            pair.request("GET /long HTTP/1.1\r\n");
            for n in 0..200 {
                pair.request(field(n));
            }
            pair.request("\r\n");
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        },
        |report| {
            check(report, &[("/long", Some(200), None)]);
            assert_eq!(report.only().request().headers().len(), 200);
        },
    );
}
