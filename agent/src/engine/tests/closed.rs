//! The application closes its socket before its connection has ended.

use super::losses::{A, GET_A, GET_B, wire};
use super::wire::{CLIENT, Run, SERVER, Wire};
use crate::engine::Limits;
use crate::flow::Side;

/// Says `before`, closes, says `after`; what was emitted by then, and what in the end.
#[track_caller]
fn check(side: Side, [before, after]: [&[&str]; 2], emitted: &[&str], expected: &[&str]) -> Run {
    let whole = wire(side, &[before, after].concat());
    let (said, then) = whole.packets.split_at(before.len());
    let mut run = Run::new(Limits::default());
    run.feed(said);
    let mut closed = Wire::new(side);
    closed.time = said.last().unwrap().time;
    run.release(&closed);
    run.feed(then);
    assert_eq!(run.story(), emitted, "{before:?} {after:?}");
    run.finish();
    assert_eq!(run.story(), expected, "{before:?} {after:?}");
    run
}

const NO_RESPONSE: &[&str] = &["GET /a \"\" !no_response"];
const BEGINNING: &str = "< HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab";

#[test]
fn a_client_waits_for_a_response() {
    let run = check(
        Side::Client,
        [&[GET_A], &[">fin"]],
        NO_RESPONSE,
        NO_RESPONSE,
    );
    // Until it closed.
    assert_eq!(run.output.exchanges[0].duration(), 1_000_000);
    // Its requests had ended before.
    check(
        Side::Client,
        [&[GET_A, ">fin"], &[]],
        NO_RESPONSE,
        NO_RESPONSE,
    );
    // What the server says then, TCP refuses: before the end of the requests it is the end of all.
    for after in [&[A][..], &[">fin", A, "<fin"]] {
        check(Side::Client, [&[GET_A], after], NO_RESPONSE, NO_RESPONSE);
    }
}

#[test]
fn a_client_reads_a_response() {
    let expected = &["GET /a \"\" -> 200 \"ab\"/2+ !response_cut"];
    check(
        Side::Client,
        [&[GET_A, BEGINNING], &[">fin", "< cde"]],
        expected,
        expected,
    );
}

#[test]
fn a_client_sends_the_rest_of_a_request() {
    let expected = &["POST /a \"abcde\" !no_response"];
    check(
        Side::Client,
        [
            &["> POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"],
            &["> cde", ">fin"],
        ],
        expected,
        expected,
    );
}

#[test]
fn an_end_without_a_close_waits() {
    let whole = &["GET /a \"\" -> 200 \"a\""];
    let mut run = Run::new(Limits::default());
    run.feed(&wire(Side::Client, &[GET_A, ">fin"]).packets);
    assert_eq!(run.story(), Vec::<String>::new());
    let said = wire(Side::Client, &[GET_A, ">fin", A, "<fin"]);
    run.feed(&said.packets[2..]);
    assert_eq!(run.story(), whole);
    run.release(&said);
    run.finish();
    assert_eq!(run.story(), whole);
}

#[test]
fn nothing_is_in_flight() {
    let whole = &["GET /a \"\" -> 200 \"a\""];
    let run = check(Side::Client, [&[GET_A, A], &[">fin", "<fin"]], whole, whole);
    assert_eq!(run.engine.stats().unread_bytes, 0);
    // The server has closed first: nothing more comes.
    let said = wire(Side::Client, &[GET_A, A, "<fin", ">fin"]);
    let mut run = Run::new(Limits::default());
    run.feed(&said.packets[..3]);
    run.release(&said);
    run.feed(&said.packets[3..]);
    assert_eq!(run.engine.connections(), 0);
}

/// What it has written is still on its way.
#[test]
fn a_server_closes() {
    let whole = &["GET /a \"\" -> 200 \"a\""];
    check(Side::Server, [&[GET_A], &[A, "<fin", ">fin"]], whole, whole);
}

/// Nothing verifies the checksum of a reset with a payload before it is seen. What comes after the
/// close shows whether it was right.
#[test]
fn a_reset_with_a_payload() {
    for (side, goes_on) in [
        (Side::Client, false),
        (Side::Server, false),
        (Side::Server, true),
    ] {
        let from = match side {
            Side::Client => SERVER,
            Side::Server => CLIENT,
        };
        let mut said = wire(side, &[GET_A]);
        let reset = said.say(from, "Connection reset");
        reset.rst = true;
        let (seq, len) = (reset.seq, reset.wire_len);
        let mut run = Run::new(Limits::default());
        run.feed(&said.packets);
        run.expire(10_000_000_000);
        assert_eq!(run.story(), Vec::<String>::new(), "{side:?}");
        said.time = run.now;
        run.release(&said);
        let mut expected = NO_RESPONSE;
        if goes_on {
            // The socket has not taken it.
            let response = said.say(SERVER, &A[2..]);
            response.ack = seq;
            assert_eq!(len, 16);
            let response = response.clone();
            run.feed([&response]);
            expected = &["GET /a \"\" -> 200 \"a\""];
        }
        run.expire(3_000_000_000);
        assert_eq!(run.story(), expected, "{side:?} {goes_on}");
        run.finish();
    }
}

#[test]
fn a_reset_follows() {
    let mut said = wire(Side::Client, &[GET_A, A, GET_B]);
    let mut run = Run::new(Limits::default());
    run.feed(&said.packets);
    run.release(&said);
    said.packets.clear();
    said.rst(CLIENT);
    run.feed(&said.packets);
    assert_eq!(
        run.story(),
        ["GET /a \"\" -> 200 \"a\"", "GET /b \"\" !no_response"]
    );
    assert_eq!(run.engine.connections(), 0);
    // Another socket's end is nobody's here.
    run.release(&said);
    said.rst(SERVER);
    run.finish();
}
