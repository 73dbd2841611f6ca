//! Frames that break the protocol of HTTP/2: they are counted by kind and marked, and hide nothing.

use super::http2::{
    END_STREAM, data, frame, get, headers, mid_stream, opening, post, reset, run, settings, status,
    story,
};
use super::wire::{CLIENT, Run, SERVER, Who};
use crate::flow::Side;
use crate::http::Anomalies;
use crate::http::h2::Violation;

/// What is counted, as `kind count`.
fn counted(run: &Run) -> String {
    let kinds = Violation::ALL.iter().zip(run.engine.stats().http2_errors);
    let counted = kinds.filter(|(_, count)| *count > 0);
    let counted = counted.map(|(kind, count)| format!("{} {count}", kind.label()));
    counted.collect::<Vec<_>>().join(", ")
}

/// After both ends' SETTINGS: what is counted; the exchanges, with `*` where one is marked, at its
/// request or its response.
#[track_caller]
fn check(segments: &[(Who, Vec<u8>)], kinds: &str, expected: &[&str]) {
    let segments = [&[opening(), (SERVER, settings())], segments].concat();
    let bytes = segments
        .iter()
        .flat_map(|(who, bytes)| bytes.iter().map(|byte| (*who, vec![*byte])));
    for segments in [segments.clone(), bytes.collect()] {
        let run = run(Side::Server, &segments);
        assert_eq!(counted(&run), kinds);
        assert_eq!(
            run.engine.stats().http2_broken,
            u64::from(!kinds.is_empty())
        );
        let mut lines = story(&run);
        for (line, exchange) in lines.iter_mut().zip(&run.output.exchanges) {
            let is_marked = |anomalies: Anomalies| anomalies.contains(Anomalies::INVALID_FRAME);
            let response = exchange.response.as_ref();
            if is_marked(exchange.request.anomalies) {
                line.insert(0, '*');
            }
            if response.is_some_and(|response| is_marked(response.anomalies)) {
                line.push('*');
            }
        }
        assert_eq!(lines, expected);
    }
}

const ORDINARY: &str = "1: GET /a \"\" -> 200 \"\"";

/// Before an exchange, and without a stream of their own.
#[test]
fn of_the_connection() {
    for (broken, kind) in [
        (frame(8, 0, 0, &[0; 4]), "value"),
        (frame(2, 0, 1, &[0, 0, 0, 1, 5]), "value"),
        (frame(9, 4, 1, b"\x82"), "continuation"),
        (reset(51, 0), "idle_stream"),
        (data(33, END_STREAM, "x"), "idle_stream"),
        (frame(8, 0, 7, &[0, 0, 0, 1]), "idle_stream"),
        (frame(5, 4, 1, b"\0\0\0\x02\x82\x86\x84"), "push_promise"),
        (frame(6, 0, 0, b"x"), "length"),
        (frame(6, 0, 1, &[0; 8]), "stream"),
        (frame(0, 8, 1, b"\x09"), "padding"),
    ] {
        let segments = [
            (CLIENT, [broken, get(1, "/a")].concat()),
            (SERVER, status(1, END_STREAM, "200")),
        ];
        check(&segments, &format!("{kind} 1"), &[ORDINARY]);
    }
}

#[test]
fn behind_the_end_of_a_stream() {
    let ends = || (CLIENT, post(1, "/a"));
    let late = |kind: &[u8]| (CLIENT, [&data(1, END_STREAM, "body")[..], kind].concat());
    let response = (SERVER, status(1, END_STREAM, "200"));
    for frames in [
        data(1, 0, "late"),
        data(1, END_STREAM, ""),
        headers(1, END_STREAM, &["late=1"]),
        get(1, "/late"),
    ] {
        check(
            &[ends(), late(&frames), response.clone()],
            "closed_stream 1",
            &["*1: POST /a \"body\" -> 200 \"\""],
        );
    }
    // Of the server, while the client goes on; and when the stream is over.
    for frames in [data(1, 0, "late"), headers(1, END_STREAM, &["late=1"])] {
        check(
            &[
                ends(),
                (
                    SERVER,
                    [status(1, END_STREAM, "200"), frames.clone()].concat(),
                ),
                late(b""),
                (SERVER, frames),
            ],
            "closed_stream 2",
            &["1: POST /a \"body\" -> 200 \"\"*"],
        );
    }
    // What crosses a reset is no error.
    check(
        &[
            ends(),
            (SERVER, reset(1, 8)),
            (CLIENT, data(1, END_STREAM, "late")),
            (SERVER, status(1, END_STREAM, "200")),
        ],
        "",
        &["1: POST /a \"\"/0+ !no_response reset 8"],
    );
}

#[test]
fn numbers_that_a_client_cannot_use() {
    check(
        &[
            (CLIENT, get(9, "/a")),
            (CLIENT, [get(5, "/b"), get(2, "/c")].concat()),
            (SERVER, status(9, END_STREAM, "200")),
            (SERVER, status(5, END_STREAM, "201")),
            (SERVER, status(2, END_STREAM, "202")),
        ],
        "stream_id 2",
        &[
            "9: GET /a \"\" -> 200 \"\"",
            "*5: GET /b \"\" -> 201 \"\"",
            "*2: GET /c \"\" -> 202 \"\"",
        ],
    );
}

#[test]
fn heads_in_the_wrong_place() {
    check(
        &[
            (CLIENT, [post(1, "/a"), headers(1, 0, &["x=1"])].concat()),
            (CLIENT, data(1, END_STREAM, "more")),
            (SERVER, status(1, END_STREAM, "200")),
        ],
        "trailers 1",
        &["*1: POST /a \"more\" x=1 -> 200 \"\""],
    );
    check(
        &[
            (CLIENT, get(1, "/a")),
            (
                SERVER,
                [status(1, 0, "200"), headers(1, 0, &["x=1"])].concat(),
            ),
            (SERVER, data(1, END_STREAM, "more")),
        ],
        "trailers 1",
        &["1: GET /a \"\" -> 200 \"more\" x=1*"],
    );
    check(
        &[
            (CLIENT, get(1, "/a")),
            (SERVER, status(1, END_STREAM, "103")),
        ],
        "interim 1",
        &["*1: GET /a \"\" !no_response"],
    );
}

/// A request without any field is one, and so is its response.
#[test]
fn a_request_that_says_nothing() {
    for fields in [&[][..], &["x=y"]] {
        let segments = [
            opening(),
            (CLIENT, headers(1, END_STREAM, fields)),
            (SERVER, status(1, END_STREAM, "400")),
        ];
        let run = run(Side::Server, &segments);
        assert_eq!(story(&run), ["1:   \"\" -> 400 \"\""]);
        let anomalies = run.output.exchanges[0].request.anomalies;
        assert_eq!(anomalies, Anomalies::INVALID_FIELD);
    }
}

/// Of a connection that is older than the agent, what came before may have opened any stream; so
/// may what is missing.
#[test]
fn what_came_before_is_no_error() {
    let before = [
        (CLIENT, [post(1, "/a"), post(3, "/b")].concat()),
        (SERVER, status(1, 0, "200")),
    ];
    let run = mid_stream(
        &before,
        &[
            (CLIENT, get(9, "/c")),
            (
                CLIENT,
                [data(1, 0, "x"), frame(8, 0, 3, &[0, 0, 0, 1])].concat(),
            ),
            (CLIENT, headers(3, END_STREAM, &["sum=1"])),
            (
                SERVER,
                [data(1, END_STREAM, "x"), status(3, 0, "200")].concat(),
            ),
            (CLIENT, reset(11, 8)),
            (SERVER, status(9, END_STREAM, "200")),
        ],
    );
    assert_eq!(counted(&run), "");
}
