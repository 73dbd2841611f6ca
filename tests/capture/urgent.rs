//! Urgent bytes (RFC 6093), as the socket API sends them: what is emitted is what the server read,
//! and it is marked, since a server with `SO_OOBINLINE` reads more.

use meshtap_tests::{
    Accept, Connection, HTTP_PORT, MessageServer, Report, Tap, body_of, live, received,
};
use rustix::net::SendFlags;

const SERVER: &str = "127.0.0.1";

/// Sends bytes of which the last is urgent.
fn send_urgent(connection: &mut Connection, bytes: &[u8]) {
    let sent = rustix::net::send(connection.stream(), bytes, SendFlags::OOB).expect("send");
    assert_eq!(sent, bytes.len());
}

fn address() -> std::net::SocketAddr {
    (
        SERVER.parse::<std::net::IpAddr>().expect("an address"),
        HTTP_PORT,
    )
        .into()
}

/// Runs the traffic, seen at either end.
fn check(traffic: fn(&mut Connection), look: fn(&Report)) {
    for side in ["server", "client"] {
        live(|bench| {
            let _server = MessageServer::start(address(), Accept::AtOnce);
            let tap = Tap::new(bench).args(["--side", side, "--no-redact"]);
            let tap = tap.start();
            let mut connection = Connection::open(address());
            traffic(&mut connection);
            drop(connection);
            let report = tap.finish();
            report.assert_nothing_lost();
            look(&report);
            let marked = |line: &String| line.contains("urgent_data");
            assert!(report.lines.iter().all(marked), "{:#?}", report.lines);
        });
    }
}

/// The server responds with the id that it read.
#[test]
fn in_a_target() {
    check(
        |connection| {
            for (id, before, after) in [
                ("one", "GET /message?id=on", "e&size=5"),
                ("two", "GET /mes", "sage?id=two&size=5"),
                ("three", "", "GET /message?id=three&size=5"),
            ] {
                send_urgent(connection, format!("{before}X").as_bytes());
                connection.send(format!("{after} HTTP/1.1\r\nHost: test\r\n\r\n"));
                received(connection, id, 5);
            }
        },
        |report| {
            assert_eq!(report.exchanges.len(), 3);
            for (exchange, id) in report.exchanges.iter().zip(["one", "two", "three"]) {
                assert_eq!(exchange.target(), format!("/message?id={id}&size=5"));
                assert_eq!(exchange.response().bytes(), body_of(id, 5));
            }
        },
    );
}

/// The server fails when a body is another one than it says.
#[test]
fn in_a_body() {
    check(
        |connection| {
            for (id, at) in [("first", 0), ("middle", 100), ("last", 200)] {
                connection.send(format!(
                    "POST /message?id={id}&size=5 HTTP/1.1\r\nHost: test\r\n\
                     Content-Length: 200\r\n\r\n"
                ));
                let body = body_of(id, 200);
                let (before, after) = body.split_at(at);
                send_urgent(connection, &[before, b"X"].concat());
                connection.send(after);
                received(connection, id, 5);
            }
        },
        |report| {
            assert_eq!(report.exchanges.len(), 3);
            for (exchange, id) in report.exchanges.iter().zip(["first", "middle", "last"]) {
                assert_eq!(exchange.target(), format!("/message?id={id}&size=5"));
                assert_eq!(exchange.request().bytes(), body_of(id, 200));
                assert_eq!(exchange.response().bytes(), body_of(id, 5));
            }
        },
    );
}
