//! The two sockets of one local connection: one record of each exchange.

use super::http2::{END_STREAM, data, get, opening, reset, settings, status, story};
use super::wire::{CLIENT, Packet, Run, SERVER, Who, Wire};
use crate::engine::Limits;
use crate::flow::{Direction, Side};

/// What is said; `None`: a reset of the connection.
type Step = (Who, Option<Vec<u8>>);

fn say(who: Who, bytes: impl AsRef<[u8]>) -> Step {
    (who, Some(bytes.as_ref().to_vec()))
}

/// The packets of both ends, in the order of the kernel: who sends is seen before who receives.
fn both(script: &[Step]) -> Vec<Packet> {
    let [client, server] = [(Side::Client, 1), (Side::Server, 2)].map(|(side, socket)| {
        let mut wire = Wire::at(side, socket, 5000, [1000, 9000]);
        for (who, what) in script {
            match what {
                Some(bytes) => {
                    wire.say(*who, bytes);
                }
                None => wire.rst(*who),
            }
        }
        wire.packets
    });
    let pairs = client.into_iter().zip(server);
    pairs
        .flat_map(|(client, server)| match client.direction {
            Direction::Egress => [client, server],
            Direction::Ingress => [server, client],
        })
        .collect()
}

/// What is emitted of the two, whether the packets at the server's end are seen in time or one
/// later.
fn check(script: &[Step], expected: &[&str]) {
    let mut run = Run::new(Limits::default());
    run.feed(&both(script));
    run.finish();
    let lines = story(&run);
    let (last, lines) = lines.split_last().expect("what was folded");
    assert_eq!(lines, expected, "{:?}", run.engine.ledger().dropped);
    assert_eq!(*last, format!("dropped folded {}", expected.len()));
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ";

#[test]
fn an_upgrade_to_http2() {
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk";
    check(
        &[
            say(CLIENT, format!("GET /a HTTP/1.1\r\n{fields}\r\n\r\n")),
            say(
                SERVER,
                [format!("{SWITCH}h2c\r\n\r\n").as_bytes(), &settings()].concat(),
            ),
            say(CLIENT, opening().1),
            say(
                SERVER,
                [status(1, 0, "200"), data(1, END_STREAM, "a")].concat(),
            ),
            say(CLIENT, get(3, "/b")),
            say(SERVER, status(3, END_STREAM, "204")),
        ],
        &["1: GET /a \"\" -> 200 \"a\"", "3: GET /b \"\" -> 204 \"\""],
    );
}

#[test]
fn an_upgrade_to_websocket_and_a_tunnel() {
    let request = "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    check(
        &[
            say(CLIENT, request),
            say(SERVER, format!("{SWITCH}websocket\r\n\r\n")),
            say(CLIENT, b"\x81\x02hi"),
        ],
        &["GET /chat \"\" -> 101 \"\" upgrade"],
    );
    check(
        &[
            say(CLIENT, "CONNECT db:80 HTTP/1.1\r\n\r\n"),
            say(SERVER, "HTTP/1.1 200 OK\r\n\r\n"),
            say(CLIENT, "GET /inside HTTP/1.1\r\n\r\n"),
            say(SERVER, "HTTP/1.1 204 No Content\r\n\r\n"),
        ],
        &[
            "CONNECT db:80 \"\" -> 200 \"\" upgrade",
            "GET /inside \"\" -> 204 \"\"",
        ],
    );
}

/// The client's end is over before the server's is known to have read the request.
#[test]
fn requests_that_are_cancelled() {
    let cancelled = "1: GET /a \"\" !no_response reset 8";
    let second = "3: GET /b \"\" -> 204 \"\"";
    let response = say(SERVER, status(3, END_STREAM, "204"));
    // In segments of their own, in one, and with all that came before.
    check(
        &[
            say(CLIENT, opening().1),
            say(CLIENT, get(1, "/a")),
            say(CLIENT, reset(1, 8)),
            say(CLIENT, get(3, "/b")),
            response.clone(),
        ],
        &[cancelled, second],
    );
    check(
        &[
            say(CLIENT, opening().1),
            say(CLIENT, [get(1, "/a"), reset(1, 8), get(3, "/b")].concat()),
            response.clone(),
        ],
        &[cancelled, second],
    );
    check(
        &[
            say(CLIENT, [opening().1, get(1, "/a"), reset(1, 8)].concat()),
            say(CLIENT, get(3, "/b")),
            response,
        ],
        &[cancelled, second],
    );
    // By the end of the connection.
    for script in [
        vec![
            say(CLIENT, opening().1),
            say(CLIENT, get(1, "/a")),
            (CLIENT, None),
        ],
        vec![say(CLIENT, "GET /a HTTP/1.1\r\n\r\n"), (CLIENT, None)],
    ] {
        let mut run = Run::new(Limits::default());
        run.feed(&both(&script));
        run.finish();
        assert_eq!(run.output.exchanges.len(), 1, "{:?}", story(&run));
    }
}

/// Connections with the same addresses and other numbers are none of these.
#[test]
fn cancelled_requests_of_others() {
    let script = [
        say(CLIENT, opening().1),
        say(CLIENT, get(1, "/a")),
        say(CLIENT, reset(1, 8)),
    ];
    let mut packets = both(&script);
    for packet in &mut packets {
        if packet.socket == 2 {
            packet.seq += 77_000;
            packet.expected += 77_000;
        }
    }
    let mut run = Run::new(Limits::default());
    run.feed(&packets);
    run.finish();
    assert_eq!(run.output.exchanges.len(), 2);
}
