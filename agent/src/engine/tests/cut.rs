//! Segments of which only the first bytes were captured, and bytes that follow a `100 Continue`.

use super::losses::{A, B, C, GET_A, GET_B, GET_C, late, wire};
use super::wire::{Packet, Run};
use crate::engine::Limits;
use crate::flow::Side;
use crate::ledger::Partial;

/// Of a file: segments come without the position of the socket.
fn limits() -> Limits {
    Limits {
        positions: false,
        ..Limits::default()
    }
}

/// Keeps so many bytes of each payload, as a snap length does.
fn cut(packets: &mut [Packet], kept: usize) {
    for packet in packets {
        packet.payload.truncate(kept);
    }
}

fn check(script: &[&str], kept: usize, joined: bool, expected: &[&str]) {
    for side in [Side::Server, Side::Client] {
        let mut packets = wire(side, script).packets;
        cut(&mut packets, kept);
        for packet in &mut packets {
            packet.start &= !joined;
        }
        let mut run = Run::new(limits());
        run.feed(&packets);
        run.finish();
        assert_eq!(run.story(), expected, "{side:?} {kept} {joined}");
    }
}

const LONG_A: &str = "> GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n";
const LONG_B: &str = "> POST /b HTTP/1.1\r\nContent-Length: 10\r\nAccept: */*\r\n\r\n0123456789";
const WHOLE: &str = "< HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n0123456789";

/// Every exchange is there, as far as the capture goes, from the first bytes of a connection on and
/// in the middle of one.
#[test]
fn heads_that_a_snap_length_cuts() {
    let tail = format!("< {}", "x".repeat(90));
    let script = [
        LONG_A,
        WHOLE,
        &tail,
        LONG_B,
        WHOLE,
        &tail,
        GET_C,
        "< HTTP/1.1 204 No\r\n\r\n",
    ];
    for joined in [false, true] {
        // The request line is whole, the status line too.
        check(
            &script,
            34,
            joined,
            &[
                "GET /a?b=c \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
                "POST /b \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
                "GET /c \"\" -> 204 \"\"",
            ],
        );
        // No line is whole.
        check(
            &script,
            12,
            joined,
            &[
                "GET /a?b=c \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
                "POST /b \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
                "GET /c \"\"/0+ -> 204 \"\"/0+ !gap_in_head",
            ],
        );
        // All heads of responses are whole, none of their bodies.
        check(
            &script,
            50,
            joined,
            &[
                "GET /a?b=c \"\"/0+ -> 404 \"012\"/100 missing 47 !gap_in_head",
                "POST /b \"\"/0+ -> 404 \"012\"/100 missing 47 !gap_in_head",
                "GET /c \"\" -> 204 \"\"",
            ],
        );
    }
    // Not even what is requested: counted.
    check(&[GET_A, A], 3, false, &[]);
}

/// An interim response that is cut is none that was waited for.
#[test]
fn interim_responses_that_a_snap_length_cuts() {
    let script = [EXPECTS, CONTINUE, "> GET /f HTTP/1.1\r\n\r\n", A, GET_B, B];
    let first = "POST /e \"\"/0+ -> 200 \"\"/0+ interim 1 !gap_in_head";
    let second = "GET /b \"\" -> 200 \"\"/0+ !gap_in_head";
    check(&script, 20, false, &[first, second]);
    // What was picked up is not known to be all that was requested.
    check(&script, 20, true, &[second, "lost uncertain 1"]);
}

/// What may be the first half of another protocol's line is no request.
#[test]
fn cut_bytes_of_other_protocols_are_no_request() {
    for line in [
        "> GET key of something\r\n",
        "> EHLO mail.example\r\n",
        "> \x16\x03\x01",
    ] {
        for kept in [3, 8, 12] {
            check(&[line, "< 250 what follows", line], kept, false, &[]);
        }
    }
}

/// Bytes that nobody keeps are missing all the same.
#[test]
fn a_gap_in_a_body_is_marked_whatever_is_kept() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
    let first = format!("< {head}{}", "a".repeat(100_000));
    let lost = format!("<-{}", "b".repeat(50_000));
    let rest = format!("< {}", "c".repeat(150_000));
    let head = "POST /u HTTP/1.1\r\nContent-Length: 200000\r\n\r\n";
    let upload = format!("> {head}{}", "a".repeat(50_000));
    let upload_lost = format!(">-{}", "b".repeat(50_000));
    let upload_rest = format!("> {}", "c".repeat(100_000));
    for body in [0, 10, 64 * 1024, 1 << 20] {
        for side in [Side::Server, Side::Client] {
            let script = [
                GET_A,
                &first,
                &lost,
                &rest,
                &upload,
                &upload_lost,
                &upload_rest,
                B,
            ];
            let mut run = Run::new(Limits { body, ..limits() });
            run.feed(&wire(side, &script).packets);
            run.finish();
            assert_eq!(run.engine.stats().gap_bytes, 100_000);
            assert_eq!(run.engine.stats().skipped_bytes, 0);
            let [download, upload] = run.output.exchanges.as_slice() else {
                panic!("{:?}", run.story());
            };
            let partial = [download, upload].map(|exchange| exchange.partial);
            assert_eq!(partial, [Some(Partial::Gap); 2], "{body} {side:?}");
            let received = &download.response.as_ref().unwrap().body;
            let sent = &upload.request.body;
            assert_eq!((received.size, received.missing), (300_000, 50_000));
            assert_eq!((sent.size, sent.missing), (200_000, 50_000));
        }
    }
}

const CONTINUE: &str = "< HTTP/1.1 100 Continue\r\n\r\n";
const EXPECTS: &str = "> POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 19\r\n\r\n";

/// Joined before, and after, the head of a request whose body waits for a `100 Continue`: the body
/// is none, whatever it looks like.
#[test]
fn what_follows_a_100_continue_is_a_body() {
    let bodies = [
        "> GET /f HTTP/1.1\r\n\r\n",
        "> HTTP/1.1 200 OK\r\n\r\n",
        "> 0123456789abcdefghi",
    ];
    for side in [Side::Server, Side::Client] {
        for body in bodies {
            let run = late(side, &[CONTINUE, body, A, GET_B, B, GET_C, C]);
            assert_eq!(
                run.story(),
                [
                    "GET /b \"\" -> 200 \"b\"",
                    "GET /c \"\" -> 200 \"c\"",
                    "lost response_only 1",
                ],
                "{side:?} {body}"
            );
            // In two segments, the second of which looks like a request.
            let run = late(side, &[CONTINUE, "> 01234", body, A, GET_B, B]);
            assert_eq!(
                run.story(),
                ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
            );
            let tail = "< tail of a response";
            let run = late(side, &[tail, CONTINUE, body, A, GET_B, B]);
            assert_eq!(
                run.story(),
                ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
            );
            // The head was seen.
            let run = late(side, &[EXPECTS, CONTINUE, body, A, GET_B, B]);
            let shown = format!(
                "POST /e {:?} -> 200 \"a\" interim 1",
                body[2..].escape_default().to_string()
            );
            assert_eq!(run.story(), [shown.as_str(), "GET /b \"\" -> 200 \"b\""]);
            // The client did not wait.
            let (first, rest) = body.split_at(8);
            let run = late(
                side,
                &[EXPECTS, first, CONTINUE, &format!("> {rest}"), A, GET_B, B],
            );
            assert_eq!(run.story(), [shown.as_str(), "GET /b \"\" -> 200 \"b\""]);
        }
    }
}

/// The final response comes in the segment of the interim one.
#[test]
fn after_an_interim_response_and_a_final_one_a_request_begins() {
    let both = format!("{CONTINUE}{}", &A[2..]);
    for side in [Side::Server, Side::Client] {
        let run = late(side, &["> the end of a body", &both, GET_B, B]);
        assert_eq!(
            run.story(),
            ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
        );
    }
}
