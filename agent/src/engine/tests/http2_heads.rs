//! Heads of HTTP/2 that are missing, or are of another kind than was asked for.

use super::http2::{
    END_STREAM, data, frame, get, headers, mid_stream, opening, run, settings, status, story,
};
use super::wire::{CLIENT, Run, SERVER, Who, Wire};
use crate::engine::Limits;
use crate::flow::Side;
use crate::http::Anomalies;

/// A connection that is older than the agent.
fn before() -> [(Who, Vec<u8>); 2] {
    [(CLIENT, get(1, "/")), (SERVER, status(1, 0, "200"))]
}

/// Fields that are known, and then some that are not: all of them are trailers, for what begins a
/// message goes before all other fields.
#[test]
fn trailers_whose_end_is_unknown_are_no_head() {
    let trailers = ["grpc-status=5", "#70"];
    let run = mid_stream(
        &before(),
        &[
            (CLIENT, get(5, "/a")),
            (SERVER, data(5, 0, "hello")),
            (SERVER, headers(5, END_STREAM, &trailers)),
            // Of a request that was not seen.
            (CLIENT, headers(7, END_STREAM, &trailers)),
            (SERVER, status(7, END_STREAM, "200")),
        ],
    );
    let expected = ["5: GET /a \"\" !no_response", "dropped response_only 1"];
    assert_eq!(story(&run), expected);
}

/// A head without a status, before bytes that are missing, may be an interim one: of the fields of
/// the response, not all are known.
#[test]
fn an_unknown_head_before_missing_frames() {
    for body in ["", "x"] {
        let mut wire = Wire::new(Side::Server);
        wire.say(CLIENT, get(3, "/a"));
        wire.say(SERVER, headers(3, 0, &["#63", "link=x"]));
        wire.say(SERVER, data(3, 0, body));
        wire.lose(SERVER, status(3, 0, "200"));
        wire.say(SERVER, [data(3, END_STREAM, "y"), settings()].concat());
        for packet in &mut wire.packets {
            packet.start = false;
        }
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.expire(200_000_000_000);
        run.finish();
        let unknown = match body {
            "" => "\"\"/1+ truncated !hpack unknown status fields",
            _ => "\"x\"/2+ truncated !hpack unknown status",
        };
        assert_eq!(story(&run), [format!("3: GET /a \"\" -> 0 {unknown}")]);
    }
}

/// Messages of the two directions of a call, if they are counted.
fn messages(kind: &str, fields: &[&str], body: &[u8]) -> [Option<u64>; 2] {
    let message = [0, 0, 0, 0, 2, b'h', b'i'];
    let kind = format!("content-type={kind}");
    let request = [":method=POST", ":scheme=http", ":path=/s/m", &kind];
    let run = run(
        Side::Server,
        &[
            opening(),
            (SERVER, settings()),
            (CLIENT, headers(1, 0, &request)),
            (CLIENT, frame(0, END_STREAM, 1, &message)),
            (SERVER, headers(1, 0, &[":status=103", &kind])),
            (SERVER, headers(1, 0, fields)),
            (SERVER, frame(0, END_STREAM, 1, body)),
        ],
    );
    let [exchange] = &run.output.exchanges[..] else {
        panic!("{:?}", story(&run));
    };
    let response = &exchange.response.as_ref().expect("a response").body;
    [&exchange.request.body, response].map(|body| Some(body.messages?.count))
}

/// What a proxy says in place of the one that was called is no message.
#[test]
fn messages_are_counted_by_the_type_of_their_own_head() {
    let grpc = "application/grpc";
    let check = |fields: &[&str], body: &[u8], expected: [Option<u64>; 2]| {
        assert_eq!(messages(grpc, fields, body), expected, "{fields:?}");
    };
    let one = [0, 0, 0, 0, 1, b'x'];
    let text = b"no healthy upstream";
    let typed = "content-type=application/grpc+proto";
    check(&[":status=200", typed], &one, [Some(1), Some(1)]);
    check(&[":status=503", typed], &one, [Some(1), Some(1)]);
    let plain = "content-type=text/plain";
    check(&[":status=503", plain], text, [Some(1), None]);
    check(&[":status=200", plain], &one, [Some(1), None]);
    check(&[":status=503"], text, [Some(1), None]);
    let of_response = messages("application/json", &[":status=200", typed], &one);
    assert_eq!(of_response, [None, Some(1)]);
}

/// Where the type of a response is unknown, it is what was asked for, unless it failed.
#[test]
fn messages_of_an_unknown_type() {
    for (status, expected) in [("#8", Some(1)), ("#13", None)] {
        let message = [0, 0, 0, 0, 2, b'h', b'i'];
        let fields = [
            ":method=POST",
            ":scheme=http",
            ":path=/s/m",
            "content-type=application/grpc",
        ];
        let run = mid_stream(
            &before(),
            &[
                (CLIENT, headers(3, 0, &fields)),
                (CLIENT, frame(0, END_STREAM, 3, &message)),
                (SERVER, headers(3, 0, &[status, "#70"])),
                (SERVER, frame(0, END_STREAM, 3, &message)),
            ],
        );
        let response = run.output.exchanges[0].response.as_ref();
        let messages = response.expect("a response").body.messages;
        assert_eq!(messages.map(|seen| seen.count), expected, "{status}");
    }
}

/// Fields of so many KB, each of one.
fn large(kilobytes: usize) -> Vec<u8> {
    let field = [&[0, 1, b'x', 127, 0xe1, 0x06][..], &[b'v'; 992]].concat();
    field.repeat(kilobytes)
}

/// Of a head over the bound, what is within is shown, in one frame or in several; what it does to
/// the table is known as far as it is read.
#[test]
fn heads_that_are_too_large() {
    for kilobytes in [70, 200, 500] {
        let more = large(kilobytes);
        let block = |first: &[u8]| {
            let mut frames = frame(1, END_STREAM, 1, first);
            let mut parts = more.chunks(16_000).peekable();
            while let Some(part) = parts.next() {
                let last = u8::from(parts.peek().is_none());
                frames.extend(frame(9, 4 * last, 1, part));
            }
            frames
        };
        let segments = [
            opening(),
            (SERVER, settings()),
            (CLIENT, block(b"\x82\x86\x04\x02/a")),
            (SERVER, block(b"\x88")),
            (CLIENT, get(3, "/b")),
            (SERVER, status(3, END_STREAM, "201")),
        ];
        let run = run(Side::Server, &segments);
        let expected = [
            "1: GET /a \"\" -> 200 \"\" !head_too_large",
            "3: GET /b \"\" -> 201 \"\"",
        ];
        assert_eq!(story(&run), expected, "{kilobytes}");
        let exchange = &run.output.exchanges[0];
        assert!(exchange.request.head.fields.len() > 60);
        assert_eq!(exchange.request.anomalies, Anomalies::default());
        assert_eq!(run.engine.stats().hpack_errors.iter().sum::<u64>(), 0);
        assert_eq!(run.engine.stats().http2_broken, 0);
    }
    // It does not say what is requested.
    let block = [&[0x82][..], &large(70), &[0x86, 0x84]].concat();
    let segments = [
        opening(),
        (CLIENT, frame(1, 5, 1, &block)),
        (SERVER, status(1, END_STREAM, "200")),
    ];
    let lines = story(&run(Side::Server, &segments));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// The end of a head is missing, as behind a snap length: what came is shown, and frames are
/// followed.
#[test]
fn heads_whose_end_is_missing() {
    let request = headers(
        1,
        END_STREAM,
        &[":method=GET", ":path=/a", "long=value", "x=y"],
    );
    let response = headers(1, END_STREAM, &[":status=200", "long=value", "x=y"]);
    for (kept, expected) in [
        // Behind the path, in a field, and behind the status.
        (
            [36, 30],
            "1: GET /a \"\" -> 200 \"\" !gap_in_head unknown scheme authority fields fields",
        ),
        (
            [40, 34],
            "1: GET /a \"\" -> 200 \"\" !gap_in_head unknown scheme authority fields fields",
        ),
        // In the status.
        (
            [100, 15],
            "1: GET /a \"\" -> 0 \"\"/0+ !gap_in_head unknown status fields",
        ),
        // In the path.
        ([28, 100], "dropped gap_in_head 1"),
    ] {
        let mut wire = Wire::new(Side::Server);
        wire.say(CLIENT, opening().1);
        wire.say(SERVER, settings());
        for (who, bytes, kept) in [(CLIENT, &request, kept[0]), (SERVER, &response, kept[1])] {
            let (first, rest) = bytes.split_at(kept.min(bytes.len()));
            wire.say(who, first);
            wire.lose(who, rest);
        }
        wire.say(CLIENT, get(3, "/b"));
        wire.say(SERVER, status(3, END_STREAM, "201"));
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.expire(200_000_000_000);
        run.finish();
        let mut lines = story(&run);
        lines.retain(|line| !line.starts_with("3:"));
        assert_eq!(lines, [expected]);
        assert_eq!(run.engine.stats().http2_resynced, 0);
        assert_eq!(run.engine.stats().hpack_errors.iter().sum::<u64>(), 0);
        assert_eq!(run.output.exchanges.last().unwrap().stream, Some(3));
    }
}

/// Padding is no part of a head, also where it is cut.
#[test]
fn a_padded_head_whose_end_is_missing() {
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, opening().1);
    wire.say(SERVER, settings());
    let payload = [&[9, 0, 0, 0, 0, 5][..], b"\x82\x86\x04\x02/a", &[0; 9]].concat();
    let request = frame(1, 5 | 8 | 0x20, 1, &payload);
    let (first, rest) = request.split_at(request.len() - 4);
    wire.say(CLIENT, first);
    wire.lose(CLIENT, rest);
    wire.say(CLIENT, get(3, "/b"));
    wire.say(
        SERVER,
        [status(1, END_STREAM, "200"), status(3, END_STREAM, "201")].concat(),
    );
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(200_000_000_000);
    run.finish();
    let first = &run.output.exchanges[0];
    assert_eq!(first.request.head.fields.len(), 0);
    assert_eq!(first.partial, Some(crate::ledger::Partial::GapInHead));
    assert_eq!(run.output.exchanges.len(), 2);
}
