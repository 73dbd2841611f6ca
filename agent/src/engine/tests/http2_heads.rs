//! Heads of HTTP/2 that are missing, or are of another kind than was asked for.

use super::http2::{
    END_STREAM, data, frame, get, headers, mid_stream, opening, run, settings, status, story,
};
use super::wire::{CLIENT, Run, SERVER, Who, Wire};
use crate::engine::Limits;
use crate::flow::Side;

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
