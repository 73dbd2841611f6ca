//! What the SETTINGS of one direction of HTTP/2 say of the other one.

use super::http2::{END_STREAM, data, frame, get, headers, run, settings, status, story};
use super::wire::{CLIENT, Run, SERVER, Who, Wire};
use crate::engine::Limits;
use crate::flow::Side;
use crate::http::h2::frame::PREFACE;

/// SETTINGS that allow a table of 64 KiB.
fn large_table() -> Vec<u8> {
    frame(4, 0, 0, &[0, 1, 0, 1, 0, 0])
}

/// A header block that makes use of it.
fn large_block(stream: u32, fields: &[u8]) -> Vec<u8> {
    let update = [0x3f, 0xe1, 0xff, 0x03];
    frame(1, 5, stream, &[&update, fields].concat())
}

fn large_get(stream: u32) -> Vec<u8> {
    large_block(stream, &[0x82, 0x86, 0x84])
}

fn client(settings: Vec<u8>) -> (Who, Vec<u8>) {
    (CLIENT, [&PREFACE[..], &settings].concat())
}

fn check(segments: &[(Who, Vec<u8>)]) {
    for side in [Side::Server, Side::Client] {
        let run = run(side, segments);
        assert_eq!(run.engine.stats().hpack_errors.iter().sum::<u64>(), 0);
        assert_eq!(story(&run), ["1: GET / \"\" -> 200 \"\""]);
    }
}

#[test]
fn a_table_that_is_allowed_before_the_other_end_speaks() {
    let request = || (CLIENT, headers(1, END_STREAM, &["#2", "#4", "#6"]));
    let response = || large_block(1, &[0x88]);
    // In one segment, and in two.
    check(&[client(large_table()), request(), (SERVER, response())]);
    check(&[
        (CLIENT, PREFACE.to_vec()),
        (CLIENT, large_table()),
        request(),
        (SERVER, [settings(), response()].concat()),
    ]);
    // The server speaks first.
    check(&[
        (SERVER, settings()),
        client(large_table()),
        request(),
        (SERVER, response()),
    ]);
    check(&[
        (SERVER, large_table()),
        client(settings()),
        (CLIENT, large_get(1)),
        (SERVER, status(1, END_STREAM, "200")),
    ]);
}

/// The server's SETTINGS are missing, or came before anything was seen of it, or all that it says.
#[test]
fn a_table_that_may_have_been_allowed() {
    for missing in 0..4 {
        let mut wire = Wire::new(Side::Server);
        wire.say(CLIENT, client(settings()).1);
        match missing {
            0 => wire.lose(SERVER, large_table()),
            // Behind SETTINGS that were seen.
            1 => {
                wire.say(SERVER, settings());
                wire.lose(SERVER, large_table());
            }
            2 => {
                wire.say(SERVER, &settings()[..4]);
                wire.lose(SERVER, &settings()[4..]);
                wire.lose(SERVER, large_table());
            }
            _ => {}
        }
        if missing < 3 {
            wire.say(SERVER, [frame(6, 0, 0, &[0; 8]), settings()].concat());
        }
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.expire(200 * 1_000_000_000);
        wire.packets.clear();
        wire.say(CLIENT, large_get(1));
        wire.say(CLIENT, get(3, "/b"));
        run.feed(&wire.packets);
        run.finish();
        let stats = run.engine.stats();
        assert_eq!(stats.hpack_errors.iter().sum::<u64>(), 0, "{missing}");
        let lines = story(&run);
        assert!(lines[0].starts_with("1: GET / \"\" !"), "{lines:?}");
        assert!(!lines[0].contains("unknown"), "{lines:?}");
    }
}

/// Nothing is missing: a larger table than was allowed is an error.
#[test]
fn a_table_that_is_not_allowed() {
    for server in [settings(), frame(4, 0, 0, &[0, 1, 0, 0, 0x20, 0])] {
        let segments = [
            client(settings()),
            (SERVER, server),
            (CLIENT, large_get(1)),
            (SERVER, status(1, END_STREAM, "200")),
        ];
        let run = run(Side::Server, &segments);
        assert_eq!(run.engine.stats().hpack_errors.iter().sum::<u64>(), 1);
    }
}

/// A frame as large as the client allows is believed behind missing bytes, whoever spoke first.
#[test]
fn frames_of_a_size_that_was_allowed_before_the_other_end_speaks() {
    let mut wire = Wire::new(Side::Server);
    let allows = frame(4, 0, 0, &[0, 5, 0, 1, 0, 0]);
    wire.say(CLIENT, [&PREFACE[..], &allows, &get(1, "/a")].concat());
    wire.say(SERVER, [settings(), status(1, 0, "200")].concat());
    wire.lose(SERVER, data(1, 0, "lost"));
    let body = data(1, 0, &"x".repeat(60_000));
    for bytes in body.repeat(3).chunks(1400) {
        wire.say(SERVER, bytes);
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(3_000_000_000);
    run.finish();
    assert_eq!(run.engine.stats().http2_resynced, 1);
}
