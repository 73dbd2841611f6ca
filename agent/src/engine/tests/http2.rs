//! Conversations in HTTP/2, frame by frame.

use proptest::prelude::*;

use super::wire::{CLIENT, Run, SERVER, Who, Wire, line};
use crate::capture::Command;
use crate::engine::Limits;
use crate::exchange::Exchange;
use crate::flow::{Direction, Side, TunnelClaims};
use crate::http::Anomalies;
use crate::http::h2::frame::PREFACE;
use crate::http::h2::hpack;
use crate::ledger::{Dropped, Partial};

const SECOND: u64 = 1_000_000_000;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A header block of literals, each added to the table; `#62` is an index, an empty name one too
/// large for it.
pub(super) fn block(fields: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        if let Some(index) = field.strip_prefix('#') {
            out.push(0x80 | index.parse::<u8>().unwrap());
            continue;
        }
        let (name, value) = field.split_once('=').unwrap();
        out.push(0x40);
        for text in [name, value] {
            match u8::try_from(text.len()).unwrap() {
                len @ 0..127 => out.push(len),
                len => out.extend_from_slice(&[127, len - 127]),
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub(super) fn headers(stream: u32, flags: u8, fields: &[&str]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, &block(fields))
}

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let path = format!(":path={path}");
    let fields = [":method=GET", ":scheme=http", &path, ":authority=shop"];
    headers(stream, END_STREAM, &fields)
}

pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    let path = format!(":path={path}");
    headers(stream, 0, &[":method=POST", ":scheme=http", &path])
}

pub(super) fn status(stream: u32, flags: u8, status: &str) -> Vec<u8> {
    headers(stream, flags, &[&format!(":status={status}")])
}

pub(super) fn data(stream: u32, flags: u8, body: &str) -> Vec<u8> {
    frame(0, flags, stream, body.as_bytes())
}

pub(super) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

pub(super) fn reset(stream: u32, code: u8) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, code])
}

/// The stream, the exchange, and what only HTTP/2 has.
fn emitted(exchange: &Exchange) -> String {
    let mut text = format!("{}: {}", exchange.stream.unwrap(), line(exchange));
    if let Some(code) = exchange.reset {
        text += &format!(" reset {code}");
    }
    let response = exchange
        .response
        .as_ref()
        .map(|response| response.head.unknown);
    let unknown = exchange.request.head.unknown.names();
    let unknown: Vec<_> = unknown
        .chain(response.iter().flat_map(|unknown| unknown.names()))
        .collect();
    if !unknown.is_empty() {
        text += &format!(" unknown {}", unknown.join(" "));
    }
    text
}

/// What is reported of segments, and what was dropped.
pub(super) fn story(run: &Run) -> Vec<String> {
    let mut lines: Vec<String> = run
        .output
        .exchanges
        .iter()
        .map(|exchange| match exchange.stream {
            Some(_) => emitted(exchange),
            None => line(exchange),
        })
        .collect();
    for reason in Dropped::ALL {
        let count = run.engine.ledger().dropped[reason as usize];
        if count > 0 {
            lines.push(format!("dropped {} {count}", reason.label()));
        }
    }
    lines
}

pub(super) fn run(side: Side, segments: &[(Who, Vec<u8>)]) -> Run {
    let mut wire = Wire::new(side);
    for (who, bytes) in segments {
        wire.say(*who, bytes);
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    run
}

pub(super) fn opening() -> (Who, Vec<u8>) {
    (CLIENT, [&PREFACE[..], &settings()].concat())
}

/// After the preface, from either side, in one segment each and byte by byte.
pub(super) fn check(segments: &[(Who, Vec<u8>)], expected: &[&str]) {
    let segments = [&[opening()], segments].concat();
    for side in [Side::Server, Side::Client] {
        assert_eq!(story(&run(side, &segments)), expected);
    }
    let bytes = segments
        .iter()
        .flat_map(|(who, bytes)| bytes.iter().map(|byte| (*who, vec![*byte])));
    let bytes: Vec<_> = bytes.collect();
    assert_eq!(story(&run(Side::Server, &bytes)), expected, "byte by byte");
}

#[test]
fn an_exchange() {
    check(
        &[
            (SERVER, settings()),
            (CLIENT, get(1, "/a")),
            (
                SERVER,
                [status(1, 0, "200"), data(1, END_STREAM, "body")].concat(),
            ),
        ],
        &["1: GET /a \"\" -> 200 \"body\""],
    );
}

#[test]
fn the_server_may_speak_first() {
    let segments = [
        (SERVER, settings()),
        opening(),
        (CLIENT, get(1, "/a")),
        (SERVER, status(1, END_STREAM, "204")),
    ];
    assert_eq!(
        story(&run(Side::Server, &segments)),
        ["1: GET /a \"\" -> 204 \"\""]
    );
}

#[test]
fn streams_interleave() {
    check(
        &[
            (CLIENT, [get(1, "/a"), post(3, "/b"), get(5, "/c")].concat()),
            (CLIENT, data(3, 0, "up")),
            (SERVER, [status(5, 0, "200"), data(5, 0, "c")].concat()),
            (
                SERVER,
                [status(1, 0, "404"), data(1, END_STREAM, "a")].concat(),
            ),
            (CLIENT, data(3, END_STREAM, "load")),
            (
                SERVER,
                [data(5, END_STREAM, "c"), status(3, END_STREAM, "201")].concat(),
            ),
        ],
        &[
            "1: GET /a \"\" -> 404 \"a\"",
            "5: GET /c \"\" -> 200 \"cc\"",
            "3: POST /b \"upload\" -> 201 \"\"",
        ],
    );
}

#[test]
fn everything_that_frames_can_carry() {
    let padded = |stream, body: &str| {
        let payload = [&[3], body.as_bytes(), &[0; 3]].concat();
        frame(0, PADDED, stream, &payload)
    };
    let (first, rest) = (
        block(&[":method=POST", ":scheme=http"]),
        block(&[":path=/a", "x=y"]),
    );
    let head = [&[2, 0, 0, 0, 0, 15][..], &first, &[0, 0]].concat();
    check(
        &[
            (CLIENT, frame(1, PADDED | PRIORITY, 1, &head)),
            (CLIENT, frame(9, 0, 1, &rest[..4])),
            (CLIENT, frame(9, END_HEADERS, 1, &rest[4..])),
            (
                CLIENT,
                [
                    padded(1, "bo"),
                    frame(6, 0, 0, &[0; 8]),
                    frame(0xfa, 0, 1, b"x"),
                ]
                .concat(),
            ),
            (
                CLIENT,
                [padded(1, "dy"), headers(1, END_STREAM, &["sum=1"])].concat(),
            ),
            (
                SERVER,
                [
                    status(1, 0, "100"),
                    status(1, 0, "103"),
                    status(1, 0, "200"),
                ]
                .concat(),
            ),
            (
                SERVER,
                [frame(8, 0, 0, &[0, 0, 1, 0]), data(1, 0, "ok")].concat(),
            ),
            (SERVER, headers(1, END_STREAM, &["grpc-status=0"])),
        ],
        &["1: POST /a \"body\" sum=1 -> 200 \"ok\" grpc-status=0 interim 2"],
    );
}

#[test]
fn streams_that_end_before_their_time() {
    check(
        &[
            (
                CLIENT,
                [get(1, "/a"), get(3, "/b"), post(5, "/c"), get(7, "/d")].concat(),
            ),
            (SERVER, reset(1, 7)),
            (SERVER, [status(3, 0, "200"), data(3, 0, "b")].concat()),
            (CLIENT, reset(3, 8)),
            (SERVER, [status(5, END_STREAM, "413"), reset(5, 0)].concat()),
            (SERVER, frame(7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0])),
        ],
        &[
            "1: GET /a \"\" !no_response reset 7",
            "3: GET /b \"\" -> 200 \"b\"/1+ !response_cut reset 8",
            "5: POST /c \"\"/0+ -> 413 \"\" !request_cut reset 0",
            "7: GET /d \"\" !no_response",
        ],
    );
}

#[test]
fn what_is_in_flight_at_the_end_is_emitted() {
    check(
        &[
            (CLIENT, [get(1, "/a"), post(3, "/b")].concat()),
            (SERVER, [status(1, 0, "200"), data(1, 0, "part")].concat()),
        ],
        &[
            "1: GET /a \"\" -> 200 \"part\"/4+ !shutdown",
            "3: POST /b \"\"/0+ !shutdown",
        ],
    );
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, [get(1, "/a"), post(3, "/b")].concat());
    wire.say(SERVER, status(1, 0, "200"));
    wire.fin(CLIENT);
    wire.fin(SERVER);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    let cut = [
        "1: GET /a \"\" -> 200 \"\"/0+ !response_cut",
        "3: POST /b \"\"/0+ !request_cut",
    ];
    assert_eq!(story(&run), cut);
    run.finish();
}

#[test]
fn promised_streams() {
    let promise = [
        &2_u32.to_be_bytes()[..],
        &block(&[":method=GET", ":path=/style"]),
    ]
    .concat();
    // A promise of a stream that is open changes nothing.
    let again = frame(5, END_HEADERS, 1, &promise);
    check(
        &[
            (CLIENT, get(1, "/a")),
            (SERVER, [&again[..], &again].concat()),
            (
                SERVER,
                [status(1, END_STREAM, "200"), status(2, 0, "200")].concat(),
            ),
            (SERVER, data(2, END_STREAM, "css")),
        ],
        &[
            "1: GET /a \"\" -> 200 \"\"",
            "2: GET /style \"\" -> 200 \"css\"",
        ],
    );
}

#[test]
fn a_tunnel_is_a_connection_of_its_own() {
    let connect = headers(1, 0, &[":method=CONNECT", ":authority=shop:80"]);
    let inner = "GET /inner HTTP/1.1\r\nHost: x\r\n\r\n";
    let segments = [
        (CLIENT, connect.clone()),
        (SERVER, status(1, 0, "200")),
        (CLIENT, data(1, 0, &inner[..9])),
        (
            CLIENT,
            [get(3, "/beside"), data(1, 0, &inner[9..])].concat(),
        ),
        (
            SERVER,
            data(1, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ),
        (SERVER, status(3, END_STREAM, "204")),
        (CLIENT, data(1, END_STREAM, "")),
        (SERVER, data(1, END_STREAM, "")),
    ];
    check(
        &segments,
        &[
            "1: CONNECT shop:80 \"\"/0+ -> 200 \"\"/0+ upgrade",
            "GET /inner \"\" -> 200 \"ok\"",
            "3: GET /beside \"\" -> 204 \"\"",
        ],
    );
    let run = run(Side::Server, &[&[opening()], &segments[..]].concat());
    let inside = &run.output.exchanges[1].peers;
    assert_eq!(inside.connection.streams(), [1]);
    assert!(inside.outer.is_some());
    let outer = inside.outer.as_ref().unwrap();
    assert_eq!(outer.claims, TunnelClaims::default());
    // HBONE: an address, and for whom.
    let fields = [
        ":method=CONNECT",
        ":authority=10.0.0.5:8080",
        "forwarded=for=10.0.0.9;proto=http",
        "baggage=k8s.namespace.name=shop,k8s.deployment.name=web",
    ];
    let hbone = [&[(CLIENT, headers(1, 0, &fields))][..], &segments[1..]].concat();
    let run = self::run(Side::Server, &[&[opening()], &hbone[..]].concat());
    let outer = run.output.exchanges[1].peers.outer.as_ref().unwrap();
    assert_eq!(outer.claims.target.unwrap().to_string(), "10.0.0.5:8080");
    assert_eq!(outer.claims.forwarded.unwrap().to_string(), "10.0.0.9");
    let source = outer.claims.source.as_ref().unwrap();
    assert_eq!(source.namespace.as_deref(), Some("shop"));
    assert_eq!(source.workload.as_deref(), Some("web"));
    // HTTP/2 in HTTP/2.
    let inside = [&PREFACE[..], &settings(), &get(1, "/deep")].concat();
    check(
        &[
            (CLIENT, connect.clone()),
            (SERVER, status(1, 0, "200")),
            (CLIENT, frame(0, 0, 1, &inside)),
            (SERVER, frame(0, 0, 1, &status(1, END_STREAM, "200"))),
        ],
        &[
            "1: CONNECT shop:80 \"\"/0+ -> 200 \"\"/0+ upgrade",
            "1: GET /deep \"\" -> 200 \"\"",
        ],
    );
    // A CONNECT that is refused is an exchange like any other.
    check(
        &[
            (CLIENT, connect),
            (SERVER, status(1, END_STREAM, "403")),
            (CLIENT, reset(1, 8)),
        ],
        &["1: CONNECT shop:80 \"\"/0+ -> 403 \"\" !request_cut reset 8"],
    );
}

/// What a client sends on a CONNECT before its response is of the tunnel, if there is one.
#[test]
fn what_is_sent_before_a_tunnel_is_open() {
    let connect = || headers(1, 0, &[":method=CONNECT", ":authority=shop:80"]);
    let inner = "GET /early HTTP/1.1\r\nHost: x\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    check(
        &[
            (CLIENT, [connect(), data(1, 0, &inner[..9])].concat()),
            (CLIENT, data(1, 0, &inner[9..20])),
            (SERVER, status(1, 0, "103")),
            (SERVER, status(1, 0, "200")),
            (CLIENT, data(1, 0, &inner[20..])),
            (SERVER, data(1, 0, response)),
        ],
        &[
            "1: CONNECT shop:80 \"\"/0+ -> 200 \"\"/0+ interim 1 upgrade",
            "GET /early \"\" -> 200 \"ok\"",
        ],
    );
    // All that it sends.
    check(
        &[
            (CLIENT, [connect(), data(1, END_STREAM, inner)].concat()),
            (SERVER, [status(1, 0, "200"), data(1, 0, response)].concat()),
            (SERVER, data(1, END_STREAM, "")),
        ],
        &[
            "1: CONNECT shop:80 \"\" -> 200 \"\"/0+ upgrade",
            "GET /early \"\" -> 200 \"ok\"",
        ],
    );
    // Refused, or without a response: it is a body.
    check(
        &[
            (CLIENT, [connect(), data(1, 0, "early")].concat()),
            (SERVER, status(1, END_STREAM, "403")),
            (CLIENT, data(1, END_STREAM, "-late")),
            (CLIENT, headers(3, 0, &[":method=CONNECT", ":authority=y"])),
            (CLIENT, [data(3, 0, "early"), reset(3, 8)].concat()),
        ],
        &[
            "1: CONNECT shop:80 \"early-late\" -> 403 \"\"",
            "3: CONNECT y \"early\"/5+ !no_response reset 8",
        ],
    );
}

/// The bound of what is kept early is not that of bodies, and it is counted.
#[test]
fn what_is_sent_before_a_tunnel_is_open_is_bounded() {
    let connect = headers(1, 0, &[":method=CONNECT", ":authority=shop:80"]);
    let inner = "GET /early HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, [connect, data(1, 0, inner)].concat());
    wire.say(CLIENT, headers(3, 0, &[":method=CONNECT", ":authority=y"]));
    wire.say(CLIENT, data(3, 0, "refused"));
    wire.say(SERVER, status(3, END_STREAM, "403"));
    wire.say(CLIENT, data(3, END_STREAM, ""));
    let mut run = Run::new(Limits {
        body: 0,
        ..Limits::default()
    });
    run.feed(&wire.packets);
    let before = run.engine.memory();
    wire.packets.clear();
    for _ in 0..64 {
        wire.say(CLIENT, data(1, 0, &"x".repeat(16_000)));
    }
    run.feed(&wire.packets);
    let held = run.engine.memory() - before;
    assert!((12_000..64_000).contains(&held), "{held}");
    wire.packets.clear();
    wire.say(
        SERVER,
        [status(1, 0, "200"), data(1, 0, "HTTP/1.1 204 No\r\n\r\n")].concat(),
    );
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        story(&run),
        [
            "3: CONNECT y \"\"/7 truncated -> 403 \"\"",
            "1: CONNECT shop:80 \"\"/0+ -> 200 \"\"/0+ upgrade",
            "GET /early \"\" -> 204 \"\"",
            // What follows the request is none, and its end was not kept.
            "dropped gap_in_head 1",
        ]
    );
}

#[test]
fn upgraded_from_http_1() {
    let fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let request = format!("POST /first HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nup");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let segments = [
        (CLIENT, request.into_bytes()),
        (SERVER, [switch.as_bytes(), &settings()].concat()),
        opening(),
        (SERVER, status(1, 0, "200")),
        (CLIENT, get(3, "/second")),
        (
            SERVER,
            [data(1, END_STREAM, "one"), status(3, END_STREAM, "204")].concat(),
        ),
    ];
    let expected = [
        "1: POST /first \"up\" -> 200 \"one\"",
        "3: GET /second \"\" -> 204 \"\"",
    ];
    for side in [Side::Server, Side::Client] {
        let run = run(side, &segments);
        assert_eq!(story(&run), expected);
        assert_eq!(run.engine.stats().http2, 1);
    }
}

const UPGRADE: &str =
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// An upgraded connection, of which these segments are missing: after a beginning that was seen, or
/// from before it.
#[track_caller]
fn check_upgrade_without(missing: &[usize], from_start: bool, expected: &[&str]) {
    let segments = [
        (CLIENT, b"GET /zero HTTP/1.1\r\n\r\n".to_vec()),
        (
            SERVER,
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ),
        (
            CLIENT,
            format!("GET /first HTTP/1.1\r\n{UPGRADE}").into_bytes(),
        ),
        (SERVER, [SWITCH.as_bytes(), &settings()].concat()),
        (CLIENT, [opening().1, get(3, "/second")].concat()),
        (SERVER, status(1, 0, "200")),
        (SERVER, data(1, END_STREAM, "one")),
        (SERVER, status(3, END_STREAM, "204")),
        (CLIENT, get(5, "/third")),
        (SERVER, status(5, END_STREAM, "205")),
    ];
    for side in [Side::Server, Side::Client] {
        let mut wire = Wire::new(side);
        for (number, (who, bytes)) in segments.iter().enumerate() {
            if missing.contains(&number) {
                wire.lose(*who, bytes);
            } else {
                wire.say(*who, bytes);
            }
        }
        for packet in wire.packets.iter_mut().filter(|_| !from_start) {
            packet.start = false;
        }
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.finish();
        assert_eq!(story(&run), expected, "{side:?} {missing:?}");
        assert_eq!(run.engine.stats().http2, 1, "{side:?} {missing:?}");
    }
}

#[test]
fn upgraded_and_not_seen_whole() {
    let first = "1: GET /first \"\" -> 200 \"one\"";
    let later = [
        "3: GET /second \"\" -> 204 \"\"",
        "5: GET /third \"\" -> 205 \"\"",
    ];
    let zero = "GET /zero \"\" -> 200 \"\"";
    let [second, third] = later;
    check_upgrade_without(&[], true, &[zero, first, second, third]);
    let alone = "dropped response_only 1";
    check_upgrade_without(&[2], true, &[zero, second, third, alone]);
    // The 101 itself is missing.
    let without = "GET /first \"\" !gap";
    check_upgrade_without(&[3], true, &[zero, without, second, third]);
    check_upgrade_without(&[2, 3], true, &[zero, second, third]);
    check_upgrade_without(&[0, 1], false, &[first, second, third]);
    check_upgrade_without(&[0, 1, 2], false, &[second, third, alone]);
    check_upgrade_without(&[0, 1, 2, 3], false, &[second, third, alone]);
}

/// A client does not wait for the response to its upgrade (RFC 7540 §3.2 has it wait).
#[test]
fn preface_before_the_response() {
    let request = format!("GET /first HTTP/1.1\r\n{UPGRADE}").into_bytes();
    let preface = [opening().1, get(3, "/second")].concat();
    for joined in [false, true] {
        let start = match joined {
            true => vec![(CLIENT, [&request[..], &preface].concat())],
            false => vec![(CLIENT, request.clone()), (CLIENT, preface.clone())],
        };
        let switched = [
            (SERVER, [SWITCH.as_bytes(), &settings()].concat()),
            (SERVER, status(1, END_STREAM, "200")),
            (SERVER, status(3, END_STREAM, "204")),
        ];
        let segments = [&start[..], &switched].concat();
        assert_eq!(
            story(&run(Side::Server, &segments)),
            [
                "1: GET /first \"\" -> 200 \"\"",
                "3: GET /second \"\" -> 204 \"\""
            ],
            "{joined}"
        );
        let refused = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let segments = [&start[..], &[(SERVER, refused.into())]].concat();
        let story = story(&run(Side::Server, &segments));
        assert_eq!(story[0], "GET /first \"\" -> 200 \"\"", "{story:?}");
    }
}

#[test]
fn websocket_in_a_stream() {
    let fields = [
        ":method=CONNECT",
        ":protocol=websocket",
        ":scheme=http",
        ":path=/chat",
    ];
    let segments = [
        opening(),
        (CLIENT, headers(1, 0, &fields)),
        // Before the response, which the last one crosses.
        (CLIENT, frame(0, 0, 1, &[0x81, 2, b'y'])),
        (SERVER, status(1, 0, "200")),
        (CLIENT, frame(0, 0, 1, &[b'o', 0x81, 2, b'h', b'i'])),
    ];
    let run = run(Side::Server, &segments);
    assert_eq!(
        story(&run),
        ["1: CONNECT /chat \"\"/0+ -> 200 \"\"/0+ upgrade"]
    );
    assert_eq!(run.engine.stats().websocket_messages, [2, 0]);
    assert_eq!(run.engine.stats().upgraded_bytes, [8, 0]);
}

/// A connection whose first segments were not seen.
pub(super) fn mid_stream(before: &[(Who, Vec<u8>)], segments: &[(Who, Vec<u8>)]) -> Run {
    let mut wire = Wire::new(Side::Server);
    for (who, bytes) in [&[opening(), (SERVER, settings())], before].concat() {
        wire.lose(who, bytes);
    }
    for (who, bytes) in segments {
        wire.say(*who, bytes);
    }
    for packet in &mut wire.packets {
        packet.start = false;
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    run
}

#[test]
fn picked_up_mid_stream() {
    let before = [
        (
            CLIENT,
            headers(1, END_STREAM, &[":method=PUT", ":path=/secret", "token=t"]),
        ),
        (SERVER, status(1, 0, "201")),
    ];
    let run = mid_stream(
        &before,
        &[
            // Of the stream that was open.
            (SERVER, data(1, END_STREAM, "rest")),
            (
                CLIENT,
                headers(3, END_STREAM, &[":path=/new", "#64", "#63", "x=y"]),
            ),
            (SERVER, headers(3, END_STREAM, &["#62", "y=z"])),
            // Now known: what came meanwhile.
            (CLIENT, headers(5, END_STREAM, &["#2", "#6", "#63", "#62"])),
            (SERVER, headers(5, END_STREAM, &["#8"])),
        ],
    );
    assert_eq!(
        story(&run),
        [
            "3: /new \"\" -> 0 \"\"/0+ !hpack unknown method scheme status",
            "5: GET /new \"\" -> 200 \"\"",
        ]
        .map(|line| line.replace("3: /new", "3:  /new"))
    );
    assert_eq!(run.engine.stats().http2, 1);
}

#[test]
fn responses_of_requests_that_were_not_seen_are_counted() {
    let run = mid_stream(
        &[(CLIENT, [get(1, "/a"), get(3, "/b")].concat())],
        &[
            (
                SERVER,
                [status(1, 0, "200"), data(1, END_STREAM, "a")].concat(),
            ),
            (
                SERVER,
                [status(3, 0, "200"), data(3, END_STREAM, "b")].concat(),
            ),
            (CLIENT, get(5, "/c")),
            (
                SERVER,
                [status(5, 0, "200"), data(5, END_STREAM, "c")].concat(),
            ),
        ],
    );
    assert_eq!(
        story(&run),
        ["5: GET /c \"\" -> 200 \"c\"", "dropped response_only 2"]
    );
}

/// A response that comes when its exchange is over already is not counted a second time.
#[test]
fn responses_after_their_exchange_is_over() {
    let late = |stream| {
        let (begin, end) = (status(stream, 0, "200"), data(stream, 0, "late"));
        let trailers = headers(stream, END_STREAM, &["x=y"]);
        [status(stream, 0, "103"), begin, end, trailers].concat()
    };
    // It crosses a reset; so does that of a promise.
    let promise = [&2_u32.to_be_bytes()[..], &block(&[":path=/style"])].concat();
    check(
        &[
            (CLIENT, [get(1, "/a"), get(3, "/b"), reset(1, 8)].concat()),
            (SERVER, frame(5, END_HEADERS, 3, &promise)),
            (CLIENT, reset(2, 8)),
            (
                SERVER,
                [late(1), status(3, END_STREAM, "204"), late(2)].concat(),
            ),
        ],
        &[
            "1: GET /a \"\" !no_response reset 8",
            "2:  /style \"\" !no_response reset 8",
            "3: GET /b \"\" -> 204 \"\"",
        ],
    );
    // After it made room for another.
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, [get(1, "/a"), get(3, "/b")].concat());
    wire.say(SERVER, [late(1), status(3, END_STREAM, "204")].concat());
    let run = one_at_a_time(&wire);
    assert_eq!(
        story(&run),
        ["1: GET /a \"\" !evicted", "3: GET /b \"\" -> 204 \"\""]
    );
}

/// Where requests may have been missed, a response says that there was one.
#[test]
fn responses_of_requests_among_missing_bytes_are_counted() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, get(1, "/a"));
    wire.lose(CLIENT, [get(3, "/b"), get(5, "/c")].concat());
    wire.say(CLIENT, get(7, "/d"));
    wire.say(SERVER, status(1, END_STREAM, "204"));
    wire.say(SERVER, [status(5, 0, "200"), data(5, 0, "c")].concat());
    wire.say(SERVER, headers(5, END_STREAM, &["x=y"]));
    wire.say(SERVER, status(7, END_STREAM, "204"));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(3 * SECOND);
    run.finish();
    let dropped = run.engine.ledger().dropped[Dropped::ResponseOnly as usize];
    assert_eq!(
        (run.output.exchanges.len(), dropped),
        (2, 1),
        "{:?}",
        story(&run)
    );
}

#[test]
fn bytes_of_a_body_that_are_missing_are_missed_by_nobody_else() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, [get(1, "/a"), get(3, "/b")].concat());
    let long = data(1, END_STREAM, &"x".repeat(9000));
    wire.say(SERVER, [&status(1, 0, "200")[..], &long[..4009]].concat());
    wire.lose(SERVER, &long[4009..8009]);
    wire.say(
        SERVER,
        [&long[8009..], &status(3, END_STREAM, "204")].concat(),
    );
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(3 * SECOND);
    run.finish();
    assert_eq!(
        story(&run),
        [
            "1: GET /a \"\" -> 200 \"<4000>\"/9000 missing 4000 !gap",
            "3: GET /b \"\" -> 204 \"\"",
        ]
    );
    assert_eq!(run.engine.stats().http2_resynced, 0);
}

#[test]
fn frames_that_are_missing_lose_track_until_frames_are_found() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(SERVER, settings());
    wire.say(CLIENT, [get(1, "/a"), get(3, "/b"), get(5, "/c")].concat());
    wire.say(SERVER, headers(1, END_STREAM, &["#8", "x=y"]));
    wire.lose(SERVER, headers(3, END_STREAM, &["#8", "z=z"]));
    // An index from before: it has moved, and is unknown.
    wire.say(SERVER, headers(5, END_STREAM, &["#8", "#62"]));
    wire.say(CLIENT, get(7, "/d"));
    wire.say(SERVER, headers(7, END_STREAM, &["#8"]));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(3 * SECOND);
    run.finish();
    assert_eq!(
        story(&run),
        [
            "1: GET /a \"\" -> 200 \"\"",
            "5: GET /c \"\" -> 200 \"\"/0+ !gap unknown fields",
            "7: GET /d \"\" -> 200 \"\"",
            "3: GET /b \"\" !gap",
        ]
    );
    assert_eq!(run.engine.stats().http2_resynced, 1);
}

#[test]
fn a_header_block_that_cannot_be_decoded_hides_no_later_one() {
    for (broken, reason) in [
        (vec![0x82, 0xc5], hpack::Error::Index),
        (vec![0x82, 0x40, 0x81, 0x00], hpack::Error::Huffman),
        (vec![0x82, 0x40, 0x05], hpack::Error::Truncated),
        (vec![0x82, 0x3f, 0xe2, 0x1f], hpack::Error::SizeUpdate),
        (
            vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            hpack::Error::Integer,
        ),
    ] {
        let segments = [
            opening(),
            (SERVER, settings()),
            (CLIENT, frame(1, END_HEADERS | END_STREAM, 1, &broken)),
            (CLIENT, get(3, "/b")),
            (SERVER, status(3, END_STREAM, "200")),
        ];
        let run = run(Side::Server, &segments);
        let stats = run.engine.stats();
        assert_eq!(stats.hpack_errors[reason as usize], 1);
        assert_eq!(stats.hpack_errors.iter().sum::<u64>(), 1);
        let lines = story(&run);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], "3: GET /b \"\" -> 200 \"\"");
        // What is known of it, and what may have been there.
        assert_eq!(
            lines[1],
            "1: GET  \"\" !hpack unknown path scheme authority fields"
        );
    }
}

/// The same of a response, and of trailers.
#[test]
fn what_cannot_be_decoded_is_named() {
    let broken = |flags, stream, first| frame(1, flags | END_HEADERS, stream, &[first, 0xc5]);
    check(
        &[
            (CLIENT, [get(1, "/a"), get(3, "/b"), get(5, "/c")].concat()),
            (SERVER, broken(END_STREAM, 1, 0x88)),
            (SERVER, frame(1, END_HEADERS | END_STREAM, 3, &[0xc5])),
            (
                SERVER,
                [status(5, 0, "200"), broken(END_STREAM, 5, 0x40)].concat(),
            ),
        ],
        &[
            "1: GET /a \"\" -> 200 \"\" !hpack unknown fields",
            // After the first one the table is unknown: the index may be of the status.
            "3: GET /b \"\" -> 0 \"\"/0+ !hpack unknown status",
            "5: GET /c \"\" -> 200 \"\" !hpack unknown trailers",
        ],
    );
}

#[test]
fn odd_header_compression_is_read_and_marked() {
    let path = b"\x04\x02/a";
    for odd in [
        // A size update after fields.
        [&[0x82, 0x20, 0x3f, 0xe1, 0x1f], &path[..]].concat(),
        // `:method` in a Huffman code with two bytes of padding; an index with zeros in front.
        [&[0x42, 0x85, 0xc5, 0x83, 0x7f, 0xff, 0xff], &path[..]].concat(),
        [
            &[
                0x0f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01, b'x', 0x82,
            ],
            &path[..],
        ]
        .concat(),
    ] {
        let segments = [
            opening(),
            (CLIENT, frame(1, END_HEADERS | END_STREAM, 1, &odd)),
            (SERVER, status(1, END_STREAM, "200")),
            (CLIENT, get(3, "/b")),
            (SERVER, status(3, END_STREAM, "200")),
        ];
        let run = run(Side::Server, &segments);
        assert_eq!(run.engine.stats().hpack_errors.iter().sum::<u64>(), 0);
        let exchanges = &run.output.exchanges;
        let shown: Vec<_> = exchanges
            .iter()
            .map(|exchange| {
                let odd = Anomalies::ODD_COMPRESSION;
                (
                    exchange.request.head.target(),
                    exchange.request.anomalies.contains(odd),
                )
            })
            .collect();
        assert_eq!(shown, [(&b"/a"[..], true), (&b"/b"[..], false)]);
    }
}

/// What a client sends that breaks the protocol, and what follows it.
fn broken_frames() -> Vec<Vec<u8>> {
    vec![
        frame(0, 0, 0, b"on no stream"),
        frame(0, PADDED, 1, b"\x09"),
        frame(0, PADDED, 1, b""),
        frame(2, 0, 1, &[0; 4]),
        frame(4, 0, 0, &[0; 7]),
        frame(4, 1, 0, &[0; 6]),
        frame(6, 0, 0, &[0; 9]),
        frame(7, 0, 0, b""),
        frame(8, 0, 0, b""),
        frame(9, END_HEADERS, 0, b""),
    ]
}

#[test]
fn frames_that_break_the_protocol_hide_no_request() {
    for broken in broken_frames() {
        // In a segment of its own, and together with what follows.
        for together in [false, true] {
            let mut segments = vec![opening(), (CLIENT, get(1, "/a"))];
            match together {
                true => segments.push((CLIENT, [broken.clone(), get(5, "/b")].concat())),
                false => segments.extend([(CLIENT, broken.clone()), (CLIENT, get(5, "/b"))]),
            }
            segments.push((SERVER, settings()));
            segments.push((SERVER, status(1, END_STREAM, "200")));
            segments.push((SERVER, status(5, END_STREAM, "201")));
            let run = run(Side::Server, &segments);
            assert_eq!(
                story(&run),
                ["1: GET /a \"\" -> 200 \"\"", "5: GET /b \"\" -> 201 \"\""],
                "{broken:?}"
            );
            assert_eq!(run.engine.stats().http2_broken, 1);
        }
    }
}

#[test]
fn frames_of_extensions_hide_no_request() {
    for odd in [
        frame(16, 0, 0, b""),
        frame(16, 0, 0, b"\0\0\0"),
        frame(16, 0, 1, b"\0\0\0\x01u=1"),
        frame(16, 0xff, 7, b""),
        frame(0xbe, 0xff, 7, b"anything"),
        // Values that only their receiver may refuse: RFC 8441, RFC 9113 §6.5.2.
        frame(4, 0, 0, &[0, 8, 0, 0, 0, 2]),
        frame(
            4,
            0,
            0,
            &[0, 2, 0, 0, 0, 9, 0, 5, 0, 0, 0, 1, 0, 4, 0xff, 0, 0, 0],
        ),
        // Larger than what is allowed by default.
        frame(0xbe, 0, 0, &[0; 20_000]),
    ] {
        let segments = [
            opening(),
            (CLIENT, odd.clone()),
            (CLIENT, get(1, "/a")),
            (SERVER, status(1, END_STREAM, "200")),
        ];
        let run = run(Side::Server, &segments);
        assert_eq!(story(&run), ["1: GET /a \"\" -> 200 \"\""]);
        assert_eq!(run.engine.stats().http2_broken, 0);
    }
}

#[test]
fn frames_before_the_server_says_what_it_takes_may_be_of_any_size() {
    let body = "x".repeat(40_000);
    let segments = [
        (CLIENT, PREFACE.to_vec()),
        (CLIENT, [post(1, "/a"), data(1, END_STREAM, &body)].concat()),
        (CLIENT, get(3, "/b")),
        (SERVER, frame(4, 0, 0, &[0, 5, 0, 0xff, 0xff, 0xff])),
        (SERVER, status(1, END_STREAM, "200")),
        (SERVER, status(3, END_STREAM, "200")),
    ];
    let run = run(Side::Server, &segments);
    let lines = story(&run);
    assert!(lines[0].starts_with("1: POST /a "), "{lines:?}");
    assert_eq!(lines[1], "3: GET /b \"\" -> 200 \"\"");
    assert_eq!(run.engine.stats().http2_broken, 0);
}

#[test]
fn other_frames_inside_a_header_block_hide_no_request() {
    let first_part = || frame(1, END_STREAM, 3, &block(&[":method=GET", ":path=/cut"]));
    let segments = [
        opening(),
        (CLIENT, [first_part(), frame(6, 0, 0, &[0; 8])].concat()),
        // The block goes on.
        (CLIENT, frame(9, END_HEADERS, 3, &block(&["x=y"]))),
        (SERVER, status(3, END_STREAM, "200")),
    ];
    let whole = run(Side::Server, &segments);
    assert_eq!(whole.engine.stats().http2_broken, 1);
    let lines = story(&whole);
    assert!(lines[0].starts_with("3: GET /cut \"\" -> 200"), "{lines:?}");
    // It does not.
    let segments = [
        opening(),
        (CLIENT, first_part()),
        (CLIENT, get(5, "/b")),
        (SERVER, status(5, END_STREAM, "200")),
    ];
    let cut = run(Side::Server, &segments);
    let lines = story(&cut);
    assert_eq!(lines[0], "5: GET /b \"\" -> 200 \"\"");
    let unknown = "!hpack unknown method path scheme authority fields";
    assert_eq!(lines[1], format!("3:   \"\"/0+ {unknown}"));
}

#[test]
fn a_preface_alone_is_no_exchange() {
    let run = run(
        Side::Server,
        &[(CLIENT, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec())],
    );
    assert_eq!(story(&run), [""; 0]);
}

#[test]
fn limits() {
    let limits = Limits {
        body: 4,
        pipeline: 2,
        head: 34,
        ..Limits::default()
    };
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, [get(1, "/a"), get(3, "/b"), get(5, "/c")].concat());
    wire.say(
        SERVER,
        [status(5, 0, "200"), data(5, END_STREAM, "abcdefgh")].concat(),
    );
    let long = [":method=GET", "a=b", "a=b", "a=b", "a=b", "a=b", "a=b"];
    wire.say(CLIENT, headers(7, END_STREAM, &long));
    wire.say(SERVER, status(7, END_STREAM, "431"));
    let mut run = Run::new(limits);
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        story(&run),
        [
            "1: GET /a \"\" !evicted",
            "5: GET /c \"\" -> 200 \"abcd\"/8 truncated",
            "3: GET /b \"\" !shutdown",
            "dropped head_too_large 1",
        ]
    );
}

#[test]
fn exchanges_that_are_too_old_are_emitted_as_they_stand() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, get(1, "/stream"));
    wire.say(SERVER, [status(1, 0, "200"), data(1, 0, "tick")].concat());
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(301 * SECOND);
    assert_eq!(
        story(&run),
        ["1: GET /stream \"\" -> 200 \"tick\"/4+ !max_age"]
    );
    wire.packets.clear();
    wire.time += 302 * SECOND;
    wire.say(
        SERVER,
        [data(1, END_STREAM, "tock"), status(3, END_STREAM, "200")].concat(),
    );
    wire.say(CLIENT, get(5, "/next"));
    wire.say(SERVER, status(5, END_STREAM, "204"));
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        story(&run)[1..],
        ["5: GET /next \"\" -> 204 \"\"", "dropped response_only 1"]
    );
}

#[test]
fn one_of_two_sockets_of_a_local_connection_emits() {
    let mut run = Run::new(Limits::default());
    let mut packets = Vec::new();
    for (side, socket) in [(Side::Client, 1), (Side::Server, 2)] {
        let mut wire = Wire::at(side, socket, 5000, [1000, 9000]);
        wire.say(CLIENT, opening().1);
        wire.say(CLIENT, get(1, "/a"));
        wire.say(SERVER, status(1, END_STREAM, "204"));
        packets.push(wire.packets);
    }
    // Who sends something is seen before who receives it.
    for (client, server) in packets[0].iter().zip(&packets[1]) {
        match client.direction {
            Direction::Egress => run.feed([client, server]),
            Direction::Ingress => run.feed([server, client]),
        }
    }
    run.finish();
    assert_eq!(
        story(&run),
        ["1: GET /a \"\" -> 204 \"\"", "dropped folded 1"]
    );
}

/// A long entry of the table, which each request refers to: once, and more often.
#[test]
fn fields_that_requests_repeat() {
    let long = "v".repeat(200);
    let entry = format!("x={long}");
    let request = |stream, references: usize| {
        let mut fields = vec!["#66", "#65", "#64", "#63"];
        fields.extend(vec!["#62"; references]);
        headers(stream, END_STREAM, &fields)
    };
    let run = run(
        Side::Server,
        &[
            opening(),
            (
                CLIENT,
                headers(
                    1,
                    END_STREAM,
                    &[
                        ":method=GET",
                        ":scheme=http",
                        ":path=/a",
                        ":authority=shop",
                        &entry,
                    ],
                ),
            ),
            (SERVER, status(1, END_STREAM, "200")),
            (
                CLIENT,
                [request(3, 1), request(5, 300), request(7, 1)].concat(),
            ),
            (SERVER, status(3, END_STREAM, "200")),
            (SERVER, status(5, END_STREAM, "200")),
            (SERVER, status(7, END_STREAM, "200")),
        ],
    );
    let marked: Vec<_> = (run.output.exchanges.iter())
        .map(|exchange| (exchange.stream, exchange.partial))
        .collect();
    let too_large = Some(Partial::HeadTooLarge);
    let expected = [(1, None), (3, None), (5, too_large), (7, None)];
    assert_eq!(
        marked,
        expected.map(|(stream, partial)| (Some(stream), partial))
    );
    for exchange in &run.output.exchanges {
        let head = &exchange.request.head;
        assert_eq!(
            (head.target(), head.host()),
            (&b"/a"[..], Some(&b"shop"[..]))
        );
        assert_eq!(head.fields.get("x"), Some(long.as_bytes()));
        assert!(head.fields.bytes() < 12_000, "{}", head.fields.bytes());
    }
}

/// The hook guesses that a frame begins so many bytes into the second of three frames of 1000
/// bytes, which come in segments of this size. Where it hears that one does.
fn guessed(into: i32, size: usize) -> Option<i32> {
    let mut wire = Wire::new(Side::Client);
    wire.say(CLIENT, opening().1);
    wire.say(SERVER, settings());
    wire.say(CLIENT, get(1, "/a"));
    wire.say(SERVER, status(1, 0, "200"));
    let frames = data(1, 0, &"x".repeat(991)).repeat(3);
    let second = wire.next(SERVER).wrapping_add(1000);
    for bytes in frames.chunks(size) {
        let guess = second.wrapping_add_signed(into);
        wire.say(SERVER, bytes).guess = Some(guess);
    }
    wire.say(SERVER, data(1, END_STREAM, "end"));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    let said = run
        .output
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Frames {
                direction: Direction::Ingress,
                next: Some(seq),
                ..
            } => Some(seq.wrapping_sub(second).cast_signed()),
            _ => None,
        });
    // The first says that it is HTTP/2.
    let said: Vec<_> = said.skip(1).collect();
    assert!(said.len() <= 1, "once: {said:?}");
    run.finish();
    assert_eq!(run.output.exchanges.len(), 1);
    said.first().copied()
}

#[test]
fn the_hook_hears_whether_a_frame_begins_where_it_guessed() {
    for size in [1, 9, 300, 1000, 1400, 3000] {
        assert_eq!(guessed(0, size), Some(0), "{size}");
        assert_eq!(guessed(1000, size), Some(1000), "{size}");
    }
    // Elsewhere: where the next one begins.
    assert_eq!(guessed(-1, 500), Some(0));
    assert_eq!(guessed(1, 500), Some(1000));
    // A frame may begin where bytes have not come yet.
    assert_eq!(guessed(5000, 500), None);
}

/// Trailers of which the name or the value is unknown: the exchange says that something is.
#[test]
fn unknown_trailers_are_marked() {
    let from_client = [
        (CLIENT, post(3, "/a")),
        (CLIENT, headers(3, END_STREAM, &["#65"])),
        (SERVER, status(3, END_STREAM, "200")),
    ];
    let from_server = [
        (CLIENT, get(3, "/a")),
        (SERVER, status(3, 0, "200")),
        (SERVER, data(3, 0, "x")),
        (SERVER, headers(3, END_STREAM, &["#63"])),
    ];
    for segments in [&from_client[..], &from_server] {
        let run = mid_stream(
            &[(CLIENT, get(1, "/")), (SERVER, status(1, 0, "200"))],
            segments,
        );
        let [exchange] = &run.output.exchanges[..] else {
            panic!("{:?}", story(&run));
        };
        assert_eq!(exchange.partial, Some(Partial::Hpack));
        let unknown: Vec<_> = exchange.unknown().names().collect();
        assert_eq!(unknown, ["trailers"]);
    }
}

/// What comes of a response whose first head has no known status; its second has these fields.
fn behind_an_unknown_head(second: &[&str]) -> Exchange {
    let segments = [
        (CLIENT, get(3, "/a")),
        (SERVER, headers(3, 0, &["#63", "link=x"])),
        (SERVER, headers(3, 0, second)),
        (SERVER, data(3, END_STREAM, "x")),
    ];
    let mut run = mid_stream(
        &[(CLIENT, get(1, "/")), (SERVER, status(1, 0, "200"))],
        &segments,
    );
    assert_eq!(run.output.exchanges.len(), 1, "{:?}", story(&run));
    run.output.exchanges.remove(0)
}

/// A head of which the status is unknown was an interim one when another with a status comes.
#[test]
fn an_unknown_interim_response() {
    let exchange = behind_an_unknown_head(&[":status=200", "real=1"]);
    let response = exchange.response.as_ref().expect("a response");
    assert_eq!((response.head.status, exchange.interim.count), (200, 1));
    assert_eq!(response.head.fields.get("real"), Some(&b"1"[..]));
    assert!(response.body.trailers.is_none());
    assert_eq!(exchange.partial, Some(Partial::Hpack));
}

/// No trailers come before the end of the stream: an unknown head there is another one.
#[test]
fn unknown_heads_one_after_the_other() {
    let exchange = behind_an_unknown_head(&["#64", "real=1"]);
    let response = exchange.response.as_ref().expect("a response");
    assert_eq!(response.head.fields.get("real"), Some(&b"1"[..]));
    assert!(response.body.trailers.is_none());
    assert_eq!(exchange.interim.count, 1);
}

/// Trailers of a response whose head was not seen are no head.
#[test]
fn trailers_alone_are_no_response() {
    let segments = [
        (CLIENT, get(5, "/b")),
        // Those of a request whose head was not seen, and of its response.
        (CLIENT, headers(7, END_STREAM, &["#66"])),
        (SERVER, headers(7, END_STREAM, &["grpc-status=0"])),
        (SERVER, headers(5, END_STREAM, &["grpc-status=0"])),
    ];
    let run = mid_stream(
        &[(CLIENT, get(1, "/")), (SERVER, status(1, 0, "200"))],
        &segments,
    );
    let shown: Vec<_> = (run.output.exchanges.iter())
        .map(|exchange| {
            (
                exchange.stream,
                exchange.response.is_some(),
                exchange.partial,
            )
        })
        .collect();
    let expected = [
        (Some(7), false, Some(Partial::Hpack)),
        (Some(5), false, Some(Partial::NoResponse)),
    ];
    assert_eq!(shown, expected);
    assert!(!run.output.exchanges[0].request.body.size_exact);
}

/// Frames of 16 KiB, in segments that hold one or two of them: they are found.
#[test]
fn large_frames_are_found_mid_stream() {
    let frames = data(1, 0, &"x".repeat(16_384)).repeat(8);
    let mut segments: Vec<_> = (frames[5000..].chunks(24_000))
        .map(|bytes| (SERVER, bytes.to_vec()))
        .collect();
    segments.push((CLIENT, get(3, "/a")));
    segments.push((SERVER, status(3, END_STREAM, "200")));
    let run = mid_stream(
        &[(CLIENT, get(1, "/")), (SERVER, frames[..5000].to_vec())],
        &segments,
    );
    assert_eq!(run.output.exchanges.len(), 1, "{:?}", story(&run));
    assert_eq!(run.output.exchanges[0].partial, None);
}

/// While a download goes on that began before the agent did, the hook hears again and again where a
/// frame begins: nothing of it is of use.
#[test]
fn the_hook_hears_of_frames_of_a_stream_whose_start_was_not_seen() {
    const FRAMES: usize = 4 * 64;
    let frames = data(1, 0, &"x".repeat(16_384));
    let mut segments = vec![
        (CLIENT, get(3, "/a")),
        (SERVER, status(3, END_STREAM, "200")),
    ];
    segments.extend(std::iter::repeat_n((SERVER, frames), FRAMES));
    let run = mid_stream(&[(CLIENT, get(1, "/huge"))], &segments);
    let heard = (run.output.commands.iter())
        .filter(|command| {
            matches!(
                command,
                Command::Frames {
                    next: Some(_),
                    usual: 16_384,
                    ..
                }
            )
        })
        .count();
    assert!((24..=32).contains(&heard), "{heard} in 4 MiB");
}

/// A body may have frames in it: those that were found by their looks are proven once more of them
/// were read than two DATA frames may have.
#[test]
fn frames_that_were_found_by_their_looks() {
    const PROOF: usize = 2 * (16_384 + 9);
    let response = |id| {
        [
            status(id, 0, "200"),
            data(id, END_STREAM, &"x".repeat(1000)),
        ]
        .concat()
    };
    let exchanges: Vec<_> = (3..103)
        .step_by(2)
        .flat_map(|id| [(CLIENT, get(id, "/a")), (SERVER, response(id))])
        .collect();
    let whole = run(Side::Server, &[&[opening()][..], &exchanges].concat());
    let late = mid_stream(&[(CLIENT, get(1, "/before"))], &exchanges);
    let is_marked = |anomalies: Anomalies| anomalies.contains(Anomalies::UNPROVEN_FRAMES);
    let len = response(3).len();
    for (number, pair) in whole
        .output
        .exchanges
        .iter()
        .zip(&late.output.exchanges)
        .enumerate()
    {
        let [whole, late] = [pair.0, pair.1].map(|exchange| {
            let response = exchange.response.as_ref().unwrap();
            [exchange.request.anomalies, response.anomalies].map(is_marked)
        });
        assert_eq!(whole, [false; 2], "{number}");
        // So few bytes of requests prove nothing.
        assert_eq!(late, [true, number * len < PROOF], "{number}");
    }
    assert_eq!(late.output.exchanges.len(), 50);
    // Of a head whose end is missing, too.
    let mut wire = Wire::new(Side::Server);
    for (who, bytes) in [opening(), (SERVER, settings())] {
        wire.lose(who, bytes);
    }
    wire.say(CLIENT, get(3, "/a"));
    let (came, missing) = (get(5, "/a/long/one"), 3);
    wire.say(CLIENT, &came[..came.len() - missing]);
    wire.lose(CLIENT, &came[came.len() - missing..]);
    wire.say(CLIENT, get(7, "/a"));
    for packet in &mut wire.packets {
        packet.start = false;
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    let found: Vec<_> = (run.output.exchanges.iter())
        .map(|exchange| (exchange.stream, is_marked(exchange.request.anomalies)))
        .collect();
    assert_eq!(found, [(Some(3), true), (Some(5), true), (Some(7), true)]);
}

/// A message of gRPC.
fn message(len: usize) -> Vec<u8> {
    let prefix = u32::try_from(len).unwrap().to_be_bytes();
    [&[0], &prefix[..], &vec![b'm'; len]].concat()
}

/// A call whose response is these frames of DATA. After so many bytes of it, the hook copies the
/// headers of frames alone. How many messages there are, their bytes, whether there may be more;
/// how many bytes in all, and how many are kept.
fn call(frames: &[Vec<u8>], copied: usize) -> (u64, u64, bool, u64, usize) {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(SERVER, settings());
    let fields = [
        ":method=POST",
        ":scheme=http",
        ":path=/s/m",
        "content-type=application/grpc",
    ];
    wire.say(CLIENT, headers(1, END_STREAM, &fields));
    wire.say(
        SERVER,
        headers(1, 0, &[":status=200", "content-type=application/grpc"]),
    );
    let mut passed = 0;
    let mut skipped = false;
    for bytes in frames {
        let frame = frame(0, 0, 1, bytes);
        passed += bytes.len();
        let said = if passed > copied { &frame[..9] } else { &frame };
        wire.say(SERVER, said).skipped = skipped;
        skipped = passed > copied;
        wire.skip(SERVER, u32::try_from(frame.len() - said.len()).unwrap());
    }
    wire.say(SERVER, headers(1, END_STREAM, &["grpc-status=0"]))
        .skipped = skipped;
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    let [exchange] = &run.output.exchanges[..] else {
        panic!("{:?}", story(&run));
    };
    assert_eq!(exchange.partial, None);
    let body = &exchange.response.as_ref().unwrap().body;
    let seen = body.messages.unwrap();
    (
        seen.count,
        seen.bytes,
        seen.inexact,
        body.size,
        body.bytes.len(),
    )
}

/// Messages past the limit of the body (64 KiB) are counted; where what lies before them is not
/// copied, it is said that there may be more.
#[test]
fn messages_past_the_limit_of_a_body() {
    const COPIED: usize = 256 * 1024;
    const MANY: usize = usize::MAX;
    let small = vec![message(100); 10_000];
    let all = (10_000, 1_000_000, false, 1_050_000, 65_536);
    assert_eq!(call(&small, MANY), all);
    let in_sight = u64::try_from(COPIED / 105).unwrap();
    assert_eq!(
        call(&small, COPIED),
        (in_sight, 100 * in_sight, true, 1_050_000, 65_536)
    );
    // The frames of messages do not end with them.
    let large = |count| {
        let bytes = message(1 << 20).repeat(count);
        bytes.chunks(16_384).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let size = |count: u64| count * ((1 << 20) + 5);
    assert_eq!(call(&large(3), MANY), (3, 3 << 20, false, size(3), 65_536));
    assert_eq!(call(&large(3), COPIED), (1, 1 << 20, true, size(3), 65_536));
    // Nothing follows the first: there are no more.
    assert_eq!(
        call(&large(1), COPIED),
        (1, 1 << 20, false, size(1), 65_536)
    );
}

/// After frames that are missing, what is read of a body is not joined to what came before, nor
/// taken for the beginning of a message; and what is inside of a tunnel begins anew.
#[test]
fn what_follows_missing_frames() {
    let fields = [
        ":method=POST",
        ":scheme=http",
        ":path=/s/m",
        "content-type=application/grpc",
    ];
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(SERVER, settings());
    wire.say(CLIENT, headers(1, END_STREAM, &fields));
    wire.say(CLIENT, headers(3, 0, &[":method=CONNECT", ":authority=x"]));
    let call = headers(1, 0, &[":status=200", "content-type=application/grpc"]);
    wire.say(SERVER, [call, status(3, 0, "200")].concat());
    wire.say(CLIENT, data(3, 0, "GET /a HTTP/1.1\r\n\r\n"));
    let begin = data(3, 0, "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhalf");
    wire.say(SERVER, [frame(0, 0, 1, &message(10)), begin].concat());
    let lost = [
        frame(0, 0, 1, &message(20)[..12]),
        data(3, 0, &"x".repeat(40)),
    ];
    wire.lose(SERVER, lost.concat());
    let rest = [
        frame(0, 0, 1, &message(20)[12..]),
        data(3, 0, &"y".repeat(16)),
    ];
    wire.say(SERVER, [settings(), rest.concat()].concat());
    wire.say(SERVER, headers(1, END_STREAM, &["grpc-status=0"]));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(3 * SECOND);
    run.finish();
    let of = |target: &[u8]| {
        let mut exchanges = run.output.exchanges.iter();
        let found = exchanges.find(|exchange| exchange.request.head.target() == target);
        found.unwrap_or_else(|| panic!("{:?}", story(&run)))
    };
    let body = &of(b"/s/m").response.as_ref().unwrap().body;
    let seen = body.messages.unwrap();
    assert_eq!((seen.count, seen.bytes, seen.inexact), (1, 10, true));
    assert_eq!((body.bytes.len(), body.size_exact), (15, false));
    let inside = of(b"/a");
    let body = &inside.response.as_ref().unwrap().body;
    assert_eq!(
        (&body.bytes[..], inside.partial),
        (&b"half"[..], Some(Partial::Gap))
    );
}

/// A connection that is older than the agent is recognised by its responses while half of a request
/// has come, cut anywhere and behind other frames: that is not lost.
#[test]
fn a_request_that_comes_while_a_connection_is_recognised() {
    let update = frame(8, 0, 0, &[0, 0, 1, 0]);
    let large = data(1, 0, &"x".repeat(2000));
    let controls = [&update[..], &frame(6, 1, 0, &[0; 8]), &frame(4, 1, 0, &[])].concat();
    let befores = [
        Vec::new(),
        update.clone(),
        controls.clone(),
        [&controls[..], &controls].concat(),
        [&large[..], &large, &update].concat(),
    ];
    for before in befores {
        let bytes = [&before[..], &get(3, "/a")].concat();
        for cut in 1..bytes.len() {
            let run = mid_stream(
                &[(CLIENT, get(1, "/"))],
                &[
                    (CLIENT, bytes[..cut].to_vec()),
                    (CLIENT, bytes[cut..].to_vec()),
                    (SERVER, status(3, END_STREAM, "204")),
                ],
            );
            let expected = ["3: GET /a \"\" -> 204 \"\""];
            assert_eq!(story(&run), expected, "{} {cut}", before.len());
        }
    }
}

#[test]
fn a_promise_that_is_too_long_is_its_own_stream() {
    let mut promise = frame(5, 0, 1, &2_u32.to_be_bytes());
    let field = [&b"\x00\x01a\x7f\xe1\x7e"[..], &[b'x'; 16_352]].concat();
    for _ in 0..17 {
        promise.extend(frame(9, 0, 1, &field));
    }
    promise.extend(frame(9, END_HEADERS, 1, &[]));
    // As one frame, nobody knows which stream it promises.
    let whole = frame(5, END_HEADERS, 1, &vec![0; 300_000]);
    for (promise, dropped) in [
        (promise, "dropped head_too_large 1"),
        (whole, "dropped response_only 1"),
    ] {
        check(
            &[
                (CLIENT, get(1, "/a")),
                (SERVER, promise),
                (SERVER, status(1, END_STREAM, "200")),
                (
                    SERVER,
                    [status(2, 0, "200"), data(2, END_STREAM, "b")].concat(),
                ),
            ],
            &["1: GET /a \"\" -> 200 \"\"", dropped],
        );
    }
}

/// What comes of a connection of which one request in flight is kept.
fn one_at_a_time(wire: &Wire) -> Run {
    let mut run = Run::new(Limits {
        pipeline: 1,
        ..Limits::default()
    });
    run.feed(&wire.packets);
    run.finish();
    run
}

/// Its head, and its trailers: one response, however many streams are in flight.
#[test]
fn a_response_to_a_request_that_was_not_seen_is_counted_once() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(CLIENT, post(1, "/a"));
    let response = [status(3, 0, "200"), data(3, 0, "b")].concat();
    wire.say(SERVER, response);
    wire.say(SERVER, headers(3, END_STREAM, &["sum=1"]));
    let run = one_at_a_time(&wire);
    assert_eq!(
        story(&run),
        ["1: POST /a \"\"/0+ !shutdown", "dropped response_only 1"]
    );
}

/// Its CONNECT was emitted by then: where it leads is known all the same.
#[test]
fn a_tunnel_that_opens_late() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    let connect = [":method=CONNECT", ":authority=10.0.0.5:8080"];
    wire.say(CLIENT, headers(1, 0, &connect));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(301 * SECOND);
    wire.packets.clear();
    wire.time += 302 * SECOND;
    wire.say(SERVER, status(1, 0, "200"));
    wire.say(CLIENT, data(1, 0, "GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"));
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    wire.say(SERVER, data(1, 0, response));
    run.feed(&wire.packets);
    run.finish();
    let [_, inner] = &run.output.exchanges[..] else {
        panic!("{:?}", story(&run));
    };
    assert_eq!(inner.request.head.target(), b"/inner");
    let target = inner.peers.outer.as_ref().unwrap().claims.target;
    assert_eq!(target.unwrap().to_string(), "10.0.0.5:8080");
}

/// While a segment that was lost is sent again, its sender goes on for as much as the receiver's
/// window has room: 6 MiB, if nobody has set it.
#[test]
fn a_window_of_segments_behind_a_lost_one() {
    const FRAMES: usize = 4300;
    let mut wire = Wire::new(Side::Client);
    wire.say(CLIENT, [opening().1, get(1, "/a")].concat());
    wire.say(SERVER, [settings(), status(1, 0, "200")].concat());
    let hole = wire.packets.len();
    let full = data(1, 0, &"x".repeat(1439));
    for _ in 0..FRAMES {
        wire.say(SERVER, &full);
    }
    let expected = wire.packets[hole].seq;
    for packet in &mut wire.packets[hole..] {
        packet.expected = expected;
    }
    let mut again = wire.packets.remove(hole);
    again.time = wire.time;
    wire.packets.push(again);
    wire.say(SERVER, data(1, END_STREAM, ""));
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    let [exchange] = &run.output.exchanges[..] else {
        panic!("{:?}", story(&run));
    };
    assert_eq!(exchange.partial, None);
    let body = &exchange.response.as_ref().unwrap().body;
    assert_eq!(body.size, FRAMES as u64 * 1439);
}

/// What the two ends say, with an exchange on each stream.
fn talk(streams: usize) -> [Vec<u8>; 2] {
    let mut client = opening().1;
    let mut server = settings();
    for at in 0..streams {
        let id = u32::try_from(2 * at + 1).unwrap();
        client.extend(post(id, &format!("/{id}")));
        client.extend(data(id, END_STREAM, &"u".repeat(at * 37)));
        server.extend(status(id, 0, "200"));
        server.extend(data(id, END_STREAM, &"d".repeat(at * 91)));
    }
    [client, server]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However bytes are cut into segments, and whatever of them is missing: what is emitted is
    /// paired right.
    #[test]
    fn segments_and_losses(
        sizes in prop::collection::vec(1..400_usize, 1..20),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let streams = 8;
        let [client, server] = talk(streams);
        let mut wire = Wire::new(Side::Server);
        let mut sizes = sizes.iter().cycle();
        for (who, mut bytes) in [(CLIENT, &client[..]), (SERVER, &server[..])] {
            while !bytes.is_empty() {
                let (now, rest) = bytes.split_at((*sizes.next().unwrap()).min(bytes.len()));
                wire.say(who, now);
                bytes = rest;
            }
        }
        let lossless = lost.is_empty();
        for at in lost {
            let at = at.index(wire.packets.len());
            wire.packets.remove(at);
            if wire.packets.is_empty() {
                break;
            }
        }
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.expire(3 * SECOND);
        run.finish();
        if lossless {
            prop_assert_eq!(run.output.exchanges.len(), streams);
        }
        for exchange in &run.output.exchanges {
            let Some(id) = exchange.stream else { continue };
            let target = exchange.request.head.target();
            let right = target.is_empty() || target == format!("/{id}").as_bytes();
            prop_assert!(right);
            let size = u64::from(id / 2);
            let whole = exchange.partial.is_none();
            prop_assert!(!lossless || whole);
            if whole {
                let response = exchange.response.as_ref().unwrap();
                prop_assert_eq!(exchange.request.body.size, size * 37);
                prop_assert_eq!(response.body.size, size * 91);
            }
        }
    }
}
