//! Conversations with bytes missing, mid-stream, folded, bounded.

use meshtap_common::IgnoreReason;

use super::wire::{CLIENT, Run, SERVER, Wire, line};
use crate::capture::Command;
use crate::engine::Limits;
use crate::exchange::InFlight;
use crate::flow::{Direction, Side, SocketId};
use crate::http::{Anomalies, Slice};
use crate::ledger::Partial;

/// Script lines as in the conversations: `> text`, `< text`; `>-` and `<-` are said but never given
/// by the hook; `<fin`.
pub(super) fn wire(side: Side, script: &[&str]) -> Wire {
    let mut wire = Wire::new(side);
    for step in script {
        let who = match step.as_bytes()[0] {
            b'>' => CLIENT,
            _ => SERVER,
        };
        match &step[1..2] {
            "f" => {
                wire.fin(who);
            }
            "-" => wire.lose(who, &step[2..]),
            _ => {
                wire.say(who, &step[2..]);
            }
        }
    }
    wire
}

fn check(script: &[&str], expected: &[&str]) {
    for side in [Side::Server, Side::Client] {
        let mut run = Run::new(Limits::default());
        run.feed(&wire(side, script).packets);
        run.finish();
        assert_eq!(run.story(), expected, "{side:?} {script:#?}");
    }
}

pub(super) const GET_A: &str = "> GET /a HTTP/1.1\r\n\r\n";
pub(super) const GET_B: &str = "> GET /b HTTP/1.1\r\n\r\n";
pub(super) const GET_C: &str = "> GET /c HTTP/1.1\r\n\r\n";
pub(super) const A: &str = "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
pub(super) const B: &str = "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb";
pub(super) const C: &str = "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc";

fn lost(step: &str) -> String {
    format!("{}-{}", &step[..1], &step[2..])
}

#[test]
fn inside_a_body_of_known_length() {
    check(
        &[
            GET_A,
            "< HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "<-def",
            "< ghij",
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"abc\"/10 missing 3 !gap",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
    check(
        &[
            "> POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc",
            ">-def",
            "> ghij\r\n0\r\n\r\n",
            A,
            GET_B,
            B,
        ],
        &[
            "POST /a \"abc\"/10 missing 3 !gap -> 200 \"a\" !gap",
            "GET /b \"\" -> 200 \"b\"",
        ]
        .map(|line| line.replacen(" !gap", "", usize::from(line.matches("!gap").count() == 2)))
        .each_ref()
        .map(String::as_str),
    );
    // To its very end.
    check(
        &[
            GET_A,
            "< HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
            "<-def",
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"abc\"/6 missing 3 !gap",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
    // And beyond: the next request says where its response begins.
    check(
        &[
            GET_A,
            "< HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc",
            "<-defxx",
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"abc\"/6 missing 3 !gap",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
}

#[test]
fn a_whole_response() {
    check(
        &[GET_A, &lost(A), GET_B, B, GET_C, C],
        &[
            "GET /a \"\" !gap",
            "GET /b \"\" -> 200 \"b\"",
            "GET /c \"\" -> 200 \"c\"",
        ],
    );
}

#[test]
fn a_whole_request() {
    check(
        &[GET_A, A, &lost(GET_B), B, GET_C, C],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /c \"\" -> 200 \"c\"",
            "lost response_only 1",
        ],
    );
}

/// The response of the first request after them shows that it is one.
#[test]
fn whole_exchanges() {
    let [get, response] = [
        |n: usize| format!("> GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n"),
        |n: usize| format!("< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"),
    ];
    for before in 0..3 {
        for missing in 1..4 {
            let mut script = Vec::new();
            let mut expected = Vec::new();
            for n in 0..before + missing + 3 {
                let is_lost = (before..before + missing).contains(&n);
                for step in [get(n), response(n)] {
                    script.push(if is_lost { lost(&step) } else { step });
                }
                if !is_lost {
                    expected.push(format!("GET /{n} \"\" -> 200 \"{n}\""));
                }
            }
            let script: Vec<_> = script.iter().map(String::as_str).collect();
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            check(&script, &expected);
        }
    }
}

/// The beginning of a request is missing, and the end of its response.
#[test]
fn the_beginning_and_the_end_of_an_exchange() {
    let response = |missing: usize| {
        let body = "b".repeat(100 - missing);
        format!("< HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{body}")
    };
    for rest in [None, Some("> : x\r\n\r\n")] {
        for missing in [1, 24, 26, 100] {
            let whole = response(missing);
            let end = format!("<-{}", "b".repeat(missing));
            let mut script = vec![GET_A, A, ">-POST /b HTTP/1.1\r\nHost"];
            script.extend(rest);
            script.extend([whole.as_str(), end.as_str(), GET_C, C, GET_B, B]);
            check(
                &script,
                &[
                    "GET /a \"\" -> 200 \"a\"",
                    "GET /c \"\" -> 200 \"c\"",
                    "GET /b \"\" -> 200 \"b\"",
                    "lost response_only 1",
                ],
            );
        }
    }
}

/// After missing bytes of both sides: what follows may be a request, or the body of one.
#[test]
fn after_missing_bytes_of_both_sides() {
    let head = ">-POST /b HTTP/1.1\r\nContent-Length: 40\r\n\r\n";
    let fake = "> GET /fake HTTP/1.1\r\n\r\n";
    let end = ["GET /a \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""];
    // More of a body follows, or is missing.
    for more in ["> of a body", ">-of a body"] {
        let script = [GET_A, A, &lost(GET_C), &lost(C), head, fake, more, C];
        let mut run = Run::new(Limits::default());
        run.feed(&wire(Side::Server, &[&script[..], &[GET_B, B]].concat()).packets);
        run.finish();
        assert_eq!(&run.story()[..2], end, "{more}");
        assert_eq!(run.output.exchanges.len(), 2);
    }
    // What is missing is the word that the client may go on.
    let script = [GET_A, A, head, "<-HTTP/1.1 100 Continue\r\n\r\n", fake, C];
    let mut run = Run::new(Limits::default());
    run.feed(&wire(Side::Server, &[&script[..], &[GET_B, B]].concat()).packets);
    run.finish();
    assert_eq!(&run.story()[..2], end);
    assert_eq!(run.output.exchanges.len(), 2);
    // A request whose response is missing, too, is shown without.
    let [get, response] = [lost(GET_C), lost(C)];
    for side in [&[GET_C, &response][..], &[GET_C]] {
        let script = [&[GET_A, A, &get, &response], side].concat();
        let mut run = Run::new(Limits::default());
        let next: &[&str] = if side.len() > 1 { &[GET_B, B] } else { &[] };
        run.feed(&wire(Side::Client, &[&script[..], next].concat()).packets);
        run.finish();
        let story = run.story();
        assert!(story[1].starts_with("GET /c \"\" !"), "{story:?}");
        assert_eq!(story.len(), 2 + next.len() / 2, "{story:?}");
    }
}

/// A response that does not wait for the rest of a request's head.
#[test]
fn a_head_that_is_not_waited_for() {
    let long = "c".repeat(12_000);
    let timeout = "< HTTP/1.1 408 Request Timeout\r\nContent-Length: 3\r\n\r\nbad";
    for head in [
        "> GET /slow HTTP/1.1\r\nHost: x\r\nUser",
        &format!("> GET /slow HTTP/1.1\r\nCookie: {long}"),
        "> GET /slow",
    ] {
        for rest in [&[][..], &["> -Agent: "], &["> -Agent: x\r\n\r\n"]] {
            let shown = "GET /slow \"\"/0+ -> 408 \"bad\" !request_cut";
            check(&[&[head, timeout], rest].concat(), &[shown]);
            check(
                &[&[GET_A, A, head, timeout], rest].concat(),
                &["GET /a \"\" -> 200 \"a\"", shown],
            );
        }
    }
}

#[test]
fn within_heads() {
    check(
        &[
            GET_A,
            A,
            "> GET /b HT",
            ">-TP/1.1\r\n",
            "> \r\n",
            B,
            GET_C,
            C,
        ],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\"/0+ -> 200 \"b\" !gap_in_head",
            "GET /c \"\" -> 200 \"c\"",
        ],
    );
    check(
        &[
            GET_A,
            "< HTTP/1.1 2",
            "<-00 OK\r\n",
            "< Content-Length: 0\r\n\r\n",
            GET_B,
            B,
        ],
        &["GET /a \"\" !gap_in_head", "GET /b \"\" -> 200 \"b\""],
    );
    check(
        &[
            GET_A,
            "< HTTP/1.1 200 OK\r\nContent-Le",
            "<-ngth: 0\r\n",
            "< \r\n",
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"\"/0+ !gap_in_head",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
}

/// A response comes before the end of its request, whose head is missing: what is left of that does
/// not begin the next one.
#[test]
fn the_rest_of_a_request_whose_head_is_missing() {
    check(
        &[
            GET_A,
            A,
            ">-POST",
            ">  /b HTTP/1.1\r\nContent-Length: 6\r\n\r\nab",
            B,
            ">  0 \0",
            GET_C,
            C,
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" -> 200 \"b\"",
            "lost response_only 2",
        ],
    );
}

#[test]
fn within_chunk_framing() {
    check(
        &[
            "> POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            ">-3\r\ndef\r\n",
            "> 0\r\n\r\n",
            A,
            GET_B,
            B,
        ],
        &[
            "POST /a \"abc\"/3+ -> 200 \"a\" !gap",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
    check(
        &[
            GET_A,
            "< HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "<-3\r\ndef\r\n",
            "< 0\r\n\r\n",
            GET_B,
            B,
        ],
        &[
            "GET /a \"\" -> 200 \"abc\"/3+ !gap",
            "GET /b \"\" -> 200 \"b\"",
        ],
    );
}

#[test]
fn the_first_bytes() {
    check(
        &[&lost(GET_A), A, GET_B, B],
        &["GET /b \"\" -> 200 \"b\"", "lost response_only 1"],
    );
    check(
        &[&lost(GET_A), &lost(A), GET_B, B],
        &["GET /b \"\" -> 200 \"b\""],
    );
}

#[test]
fn a_client_that_pipelines() {
    let both = "> GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    // The requests before the gap are responded to in order; then nothing is certain any more.
    check(
        &[both, &lost(GET_C), GET_A, A, B, C, A, GET_B, B],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" -> 200 \"b\"",
            "GET /b \"\" !unpaired",
        ],
    );
    check(
        &[both, A, &lost(B), GET_C, C, GET_A, A],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" !unpaired",
            "GET /c \"\" !unpaired",
            "GET /a \"\" !unpaired",
        ],
    );
}

/// Requests that cannot be framed, and what is shown of them.
const UNFRAMED: [(&str, &str); 3] = [
    (
        "> POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /x \"\"/0+ -> 200 \"a\" !malformed",
    ),
    (
        "> POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /x \"\"/0+ -> 200 \"a\" !malformed",
    ),
    (
        "> POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        "POST /x \"\"/0+ -> 200 \"a\" !malformed",
    ),
];

#[test]
fn a_request_that_cannot_be_framed_hides_no_later_one() {
    for (unframed, shown) in UNFRAMED {
        check(
            &[unframed, A, GET_B, B, GET_C, C],
            &[
                shown,
                "GET /b \"\" -> 200 \"b\"",
                "GET /c \"\" -> 200 \"c\"",
            ],
        );
        // The client has pipelined before: which response is whose is not known any more, what was
        // requested is.
        let both = "> GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        check(
            &[both, A, B, unframed, A, GET_B, B, GET_C, C],
            &[
                "GET /a \"\" -> 200 \"a\"",
                "GET /b \"\" -> 200 \"b\"",
                shown,
                "GET /b \"\" !unpaired",
                "GET /c \"\" !unpaired",
            ],
        );
    }
}

#[test]
fn where_a_request_ends_that_recipients_end_in_different_places() {
    // A server that takes the length sees another request in the first chunk. Which response is
    // whose cannot be known of what comes in one go, unless there is one for each; it is counted.
    let hidden = "POST /hidden HTTP/1.0\r\nContent-Length: 7\r\n\r\n";
    let size = format!("{:x}\r\n", hidden.len());
    for fields in [
        format!(
            "HTTP/1.0\r\nContent-Length: {}\r\nTransfer-Encoding: chunked",
            size.len()
        ),
        format!(
            "HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: {}",
            size.len()
        ),
        "HTTP/1.0\r\nTransfer-Encoding: chunked".to_owned(),
    ] {
        let head = format!("> POST /x {fields}\r\n\r\n{size}");
        let rest = format!("{hidden}\r\n0\r\n\r\n");
        let body = format!("POST /x \"<{}>\" -> 200 \"a\"", hidden.len());
        check(
            &[
                &format!("{head}{rest}GET /c HTTP/1.1\r\n\r\n"),
                A,
                B,
                C,
                GET_B,
                B,
            ],
            &[&body, "GET /b \"\" -> 200 \"b\"", "lost uncertain 1"],
        );
        let both = format!("{head}{rest}GET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n");
        let refused = "< HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n";
        let shown = [
            &body,
            "GET /c \"\" -> 200 \"b\"",
            "GET /d \"\" -> 200 \"c\"",
        ];
        check(&[&both, A, B, C], &shown);
        check(&[&both, A, B, C, "<fin"], &shown);
        check(
            &[&both, A, B, C, GET_B, B],
            &[shown[0], shown[1], shown[2], "GET /b \"\" -> 200 \"b\""],
        );
        // One response too few, and what its server could not read.
        for end in [&[A, B][..], &[A, B, refused], &[A, B, "<fin"]] {
            check(&[&[&*both], end].concat(), &[&body, "lost uncertain 2"]);
        }
        check(
            &[&both, A, B, GET_B, B, GET_C, C],
            &[
                &body,
                "GET /b \"\" -> 200 \"b\"",
                "GET /c \"\" -> 200 \"c\"",
                "lost uncertain 2",
            ],
        );
        // The client waits for each response: where its requests begin is known.
        check(
            &[&head, A, &format!("> {rest}"), B, GET_C, C],
            &[
                "POST /x \"\"/0+ -> 200 \"a\" !size_unknown",
                "POST /hidden \"\\\\r\\\\n0\\\\r\\\\n\\\\r\\\\n\" -> 200 \"b\"",
                "GET /c \"\" -> 200 \"c\"",
            ],
        );
        // A client that means what it says loses nothing.
        check(
            &[&format!("{head}{rest}"), A, GET_B, B, "> \r\n", GET_C, C],
            &[
                &body,
                "GET /b \"\" -> 200 \"b\"",
                "GET /c \"\" -> 200 \"c\"",
            ],
        );
    }
}

/// A request whose head is over the bounds: before the field that is too long, and after it.
fn long_head(before: &str, after: &str) -> String {
    let long = "c".repeat(70_000);
    format!("> POST /x HTTP/1.1\r\n{before}B: {long}\r\n{after}\r\n")
}

#[test]
fn a_request_whose_head_is_too_long_is_shown_and_hides_no_other() {
    let b = "GET /b \"\" -> 200 \"b\"";
    for (before, after, body, shown) in [
        ("A: b\r\n", "", "", "\"\""),
        ("", "Content-Length: 2\r\n", "xy", "\"xy\""),
        ("Content-Length: 2\r\n", "", "xy", "\"xy\""),
        (
            "",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nxy\r\n0\r\n\r\n",
            "\"xy\"",
        ),
        ("", "Content-Length: x\r\n", "", "\"\"/0+"),
    ] {
        let long = long_head(before, after) + body;
        let shown = format!("POST /x {shown} -> 200 \"a\" !head_too_large");
        check(&[&long, A, GET_B, B], &[&shown, b]);
        check(&[GET_B, B, &long, A, GET_B, B], &[b, &shown, b]);
        // In two segments.
        for at in [40_000, 70_010] {
            let (start, end) = long.split_at(at);
            check(&[start, &format!("> {end}"), A, GET_B, B], &[&shown, b]);
        }
    }
}

#[test]
fn requests_behind_a_head_that_is_too_long() {
    let behind = "GET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n";
    for (after, body, shown) in [("", "", "\"\""), ("Content-Length: 2\r\n", "xy", "\"xy\"")] {
        let long = long_head("", after) + body + behind;
        let shown = [
            &format!("POST /x {shown} -> 200 \"a\" !head_too_large"),
            "GET /b \"\" -> 200 \"b\"",
            "GET /c \"\" -> 200 \"c\"",
        ];
        check(&[&long, A, B, C], &shown);
        for at in [5, 40_000, 70_020, long.len() - 30] {
            let (start, end) = long.split_at(at);
            check(&[start, &format!("> {end}"), A, B, C], &shown);
        }
    }
}

#[test]
fn a_head_that_is_too_long_and_not_whole() {
    let b = "GET /b \"\" -> 200 \"b\"";
    let long = long_head("", "Content-Length: 2\r\n");
    let (start, end) = long.split_at(68_000);
    // Its server does not wait for its end, and the client goes on with another.
    let shown = "POST /x \"\"/0+ -> 200 \"a\" !head_too_large";
    check(&[start, A, GET_B, B], &[shown, b]);
    check(&[start, A, ">fin", "<fin"], &[shown]);
    // Bytes of it are missing.
    let missing = format!(">-{}", &end[..500]);
    let rest = format!("> {}xy", &end[500..]);
    check(&[start, &missing, &rest, A, GET_B, B], &[shown, b]);
    // It ends nowhere.
    let endless = format!("> {}", "A: b\r\n".repeat(200_000));
    check(&[&long[..40_000], &endless, A, GET_B, B], &[shown, b]);
}

#[test]
fn a_body_that_only_the_end_ends_hides_no_request() {
    for coding in ["xchunked", "chunked, gzip", "gzip"] {
        let post = format!(
            "> POST /x HTTP/1.1\r\nTransfer-Encoding: {coding}\r\nContent-Length: 2\r\n\r\nxy"
        );
        let shown = "POST /x \"xy\"/2+ -> 200 \"a\" !size_unknown";
        let b = "GET /b \"\" -> 200 \"b\"";
        let c = "GET /c \"\" -> 200 \"c\"";
        check(&[&post, A, GET_B, B, GET_C, C], &[shown, b, c]);
        check(
            &[
                &post,
                A,
                "> \r\nGE",
                &format!("> {}", &GET_B[4..]),
                B,
                GET_C,
                C,
            ],
            &[shown, b, c],
        );
        // An interim response ends nothing.
        check(
            &[&post, "< HTTP/1.1 100 Continue\r\n\r\n", GET_B, A, GET_C, C],
            &[
                "POST /x \"xyGET /b HTTP/1.1\\\\r\\\\n\\\\r\\\\n\"/21+ -> 200 \"a\" interim 1 !size_unknown",
                c,
            ],
        );
    }
}

#[test]
fn empty_lines_after_a_loss_hide_no_request() {
    for empty in ["\r\n", "\n", "\r\n\r\n\r\n", "\r"] {
        let led = |step: &str| format!("> {empty}{}", &step[2..]);
        for (unframed, shown) in UNFRAMED {
            check(
                &[unframed, A, &led(GET_B), B, &led(GET_C), C],
                &[
                    shown,
                    "GET /b \"\" -> 200 \"b\"",
                    "GET /c \"\" -> 200 \"c\"",
                ],
            );
            // In a segment of their own, and a request in two.
            check(
                &[
                    unframed,
                    A,
                    &format!("> {empty}"),
                    GET_B,
                    B,
                    "> \r\nGE",
                    &format!("> {}", &GET_C[4..]),
                    C,
                ],
                &[
                    shown,
                    "GET /b \"\" -> 200 \"b\"",
                    "GET /c \"\" -> 200 \"c\"",
                ],
            );
        }
        // Mid-stream: the first of all, and the first after a gap.
        check(
            &[&lost(GET_A), &lost(A), &led(GET_B), B, GET_C, C],
            &["GET /b \"\" -> 200 \"b\"", "GET /c \"\" -> 200 \"c\""],
        );
        check(
            &[
                &lost(GET_A),
                &lost(A),
                &format!("> {empty}"),
                GET_B,
                B,
                GET_C,
                C,
            ],
            &["GET /b \"\" -> 200 \"b\"", "GET /c \"\" -> 200 \"c\""],
        );
    }
}

#[test]
fn a_body_that_looks_like_a_request() {
    // The head is lost, the 100 is not: what follows it is a body.
    check(
        &[
            GET_A,
            A,
            ">-POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 24\r\n\r\n",
            "< HTTP/1.1 100 Continue\r\n\r\n",
            "> GET /fake HTTP/1.1\r\n\r\n",
            B,
            GET_C,
            C,
        ],
        &[
            "GET /a \"\" -> 200 \"a\"",
            "GET /c \"\" -> 200 \"c\"",
            "lost response_only 1",
        ],
    );
}

pub(super) fn late(side: Side, script: &[&str]) -> Run {
    let mut wire = wire(side, script);
    for packet in &mut wire.packets {
        packet.start = false;
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    run
}

#[test]
fn joined_mid_stream() {
    for side in [Side::Server, Side::Client] {
        let run = late(side, &[GET_A, A, GET_B, B]);
        assert_eq!(
            run.story(),
            ["GET /a \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""]
        );
        let run = late(side, &[A, GET_B, B]);
        assert_eq!(
            run.story(),
            ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
        );
        let run = late(side, &["< of a response", GET_B, B]);
        assert_eq!(run.story(), ["GET /b \"\" -> 200 \"b\""]);
        let run = late(side, &["> of a request", A, GET_B, B]);
        assert_eq!(
            run.story(),
            ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
        );
        // In the middle of a body that holds a request.
        let run = late(side, &["> GET /fake HTTP/1.1\r\n\r\nand more", A, GET_B, B]);
        assert_eq!(run.output.exchanges.len(), 1);
        assert_eq!(run.story()[0], "GET /b \"\" -> 200 \"b\"");
        // A request line in two segments.
        let halves = ["> GET /a HTT", "> P/1.1\r\n\r\n", A, GET_B, B];
        assert_eq!(
            late(side, &halves).story(),
            ["GET /a \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""]
        );
        let halves = ["> GET /fake", "> of a body", A, GET_B, B];
        assert_eq!(
            late(side, &halves).story(),
            ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
        );
        // One that cannot be framed.
        for (request, shown) in UNFRAMED {
            let run = late(side, &[request, A, GET_B, B]);
            assert_eq!(run.story(), [shown, "GET /b \"\" -> 200 \"b\""]);
        }
        // A line that only tolerant servers take, and what only begins so.
        let odd = "> frob /a b HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(
            late(side, &[odd, A, GET_B, B]).story(),
            ["frob /a b \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""]
        );
        for fake in [
            "> frob /a b HTTP/1.1\r\nHost: x\r\n\r\nand more",
            "> frob /a b HTTP/1.1\r\nHost: x\r\nand so on\r\n\r\n",
            "> frob /a b HTTP/1.1\r\nX: x\r\n\r\n",
            "> frob /a b HTTP/1.1\r\nHost: x\r\n",
            // The rest of a line whose first bytes were lost.
            "> a HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let run = late(side, &[fake, A, GET_B, B]);
            assert_eq!(run.output.exchanges.len(), 1, "{fake}");
            assert_eq!(run.story()[0], "GET /b \"\" -> 200 \"b\"");
        }
        let mut script = vec!["> what", "< ever"];
        script.extend(["> what", "< ever"].repeat(20));
        let run = late(side, &script);
        assert_eq!(
            run.output.commands,
            [Command::Ignore(SocketId(1), IgnoreReason::NotHttp)]
        );
    }
}

#[test]
fn joined_mid_stream_where_the_response_is_missing() {
    fn host(step: &str) -> String {
        step.replacen("\r\n", "\r\nHost: x\r\n", 1)
    }
    let [get_a, get_b, get_c] = [GET_A, GET_B, GET_C].map(host);
    let post = "> POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    let many: String = format!("<-{}", "x".repeat(3000));
    let (gone, later) = (lost(A), lost(B));
    let more = "> GET /b HTTP/1.1\r\nHost: x\r\n\r\nand more";
    let proceed = lost("< HTTP/1.1 100 Continue\r\n\r\n");
    let whole = "GET /b \"\" -> 200 \"b\"";
    let cases: &[(&[&str], &[&str])] = &[
        (&[&get_a, &gone, &get_b, B], &["GET /a \"\" !gap", whole]),
        (&[&get_a, &many, &get_b, B], &["GET /a \"\" !gap", whole]),
        (&[post, &gone, &get_b, B], &["POST /a \"hi\" !gap", whole]),
        (
            &[&get_a, &gone, &get_b, &later, &get_c, C],
            &[
                "GET /a \"\" !gap",
                "GET /b \"\" !gap",
                "GET /c \"\" -> 200 \"c\"",
            ],
        ),
        // Nothing came back, or what may be for a body; more comes; no host.
        (&[&get_a, &get_b, B], &["lost uncertain 2"]),
        (&[&get_a, &proceed, &get_b, B], &[whole, "lost uncertain 1"]),
        (
            &[more, &gone, &get_c, C],
            &["GET /c \"\" -> 200 \"c\"", "lost uncertain 1"],
        ),
        (&[GET_A, &gone, &get_b, B], &[whole, "lost uncertain 1"]),
    ];
    for (script, expected) in cases {
        for side in [Side::Server, Side::Client] {
            assert_eq!(
                late(side, script).story(),
                *expected,
                "{side:?} {script:#?}"
            );
        }
    }
}

#[test]
fn a_listener_has_the_first_segment() {
    let mut wire = wire(Side::Server, &[GET_A, A, GET_B, B]);
    wire.packets[0].listener = true;
    wire.packets[0].socket = 99;
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        run.story(),
        ["GET /a \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""]
    );
    assert_eq!(run.output.exchanges[0].peers.socket, SocketId(1));
    assert_eq!(run.engine.stats().pre_accept_dropped, 0);

    // Of another connection between the same two ends, long ago.
    let mut old = Wire::at(Side::Server, 99, 5000, [77_000_000, 88_000_000]);
    old.say(CLIENT, "GET /old HTTP/1.1\r\n\r\n").listener = true;
    let mut run = Run::new(Limits::default());
    run.feed(&old.packets);
    run.feed(&wire.packets[1..]);
    run.finish();
    assert_eq!(
        run.story(),
        ["GET /b \"\" -> 200 \"b\"", "lost response_only 1"]
    );
    assert_eq!(run.engine.stats().pre_accept_dropped, 1);
}

/// A request of three segments before the connection is accepted, in every order: those up to the
/// one that makes the connection come to the listener.
#[test]
fn a_request_of_several_segments_before_it_is_accepted() {
    let request = "POST /a HTTP/1.1\r\nContent-Length: 44\r\n\r\n";
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, request);
    // Both begin as a request may.
    wire.say(CLIENT, "GET /b HTTP/1.1\r\n\r\n ");
    wire.say(CLIENT, "more of the body of it  ");
    let start = wire.packets[0].seq;
    wire.say(SERVER, &A[2..]);
    wire.say(CLIENT, &GET_B[2..]);
    wire.say(SERVER, &B[2..]);
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for at_listener in 1..=2 {
            let mut packets = Vec::new();
            let mut expected = start;
            for (at, which) in order.into_iter().enumerate() {
                let mut packet = wire.packets[which].clone();
                packet.listener = at < at_listener;
                packet.socket = if packet.listener { 99 } else { 1 };
                let end = packet.seq.wrapping_add(packet.wire_len);
                packet.expected = if packet.listener {
                    packet.seq
                } else {
                    expected
                };
                packet.start = !packet.listener && expected == start;
                // TCP has what is in order; only the last of the listener's made the connection.
                if packet.seq == expected && at + 1 >= at_listener {
                    expected = end;
                }
                packets.push(packet);
            }
            let mut run = Run::new(Limits::default());
            run.feed(&packets);
            run.feed(&wire.packets[3..]);
            run.finish();
            assert_eq!(
                run.story(),
                ["POST /a \"<44>\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""],
                "{order:?} {at_listener}"
            );
        }
    }
}

/// After a lost SYN-ACK a client waits for seconds before it sends a segment again, and twice as
/// long each time.
#[test]
fn a_segment_that_is_sent_again_late() {
    const LATER: u64 = 40_000_000_000;
    for late in 0..3 {
        // The segment that makes the connection comes to the listener, and the others late.
        for at_listener in [false, true] {
            let mut wire = Wire::new(Side::Server);
            wire.say(CLIENT, "POST /a HTTP/1.1\r\n");
            wire.say(CLIENT, "Content-Length: 6\r\n\r\nab");
            wire.say(CLIENT, "cdef");
            let start = wire.packets[0].seq;
            let last = wire.packets.remove(late);
            wire.packets.push(last);
            let early = if at_listener { 1 } else { 2 };
            let mut received = Vec::new();
            let mut taken = start;
            for (at, packet) in wire.packets.iter_mut().enumerate() {
                packet.time += if at < early { 0 } else { LATER };
                packet.listener = at_listener && at == 0;
                packet.socket = if packet.listener { 99 } else { 1 };
                packet.expected = if packet.listener { packet.seq } else { taken };
                packet.start = !packet.listener && taken == start;
                received.push((packet.seq, packet.seq + packet.wire_len));
                while let Some((_, end)) = received.iter().find(|(seq, _)| *seq == taken) {
                    taken = *end;
                }
            }
            wire.time += LATER;
            wire.say(SERVER, &A[2..]);
            let mut run = Run::new(Limits::default());
            run.feed(&wire.packets[..early]);
            run.expire(LATER / 2);
            run.feed(&wire.packets[early..]);
            run.finish();
            assert_eq!(
                run.story(),
                ["POST /a \"abcdef\" -> 200 \"a\""],
                "{late} {at_listener}"
            );
        }
    }
}

#[test]
fn two_ends_of_a_request_that_its_response_shows() {
    for request in ["> GET /a\r\n\r\n", "> \0GET /a HTTP/1.1\r\n\r\n"] {
        let run = both(&[request, A, GET_B, B], true);
        assert!(
            run.output
                .exchanges
                .iter()
                .all(|e| e.peers.side == Side::Server)
        );
        let story = run.story();
        assert!(
            story.iter().any(|line| line == "lost folded 2"),
            "{story:?}"
        );
        assert_eq!(story.len(), 3, "{story:?}");
    }
}

/// What comes of a connection both of whose ends are captured.
fn both(script: &[&str], fold_peers: bool) -> Run {
    let server = wire(Side::Server, script);
    let mut client = wire(Side::Client, script);
    for packet in &mut client.packets {
        packet.socket = 2;
    }
    let mut run = Run::new(Limits {
        fold_peers,
        ..Limits::default()
    });
    for (client, server) in client.packets.iter().zip(&server.packets) {
        // Whoever sends is seen first.
        match client.direction {
            Direction::Egress => run.feed([client, server]),
            Direction::Ingress => run.feed([server, client]),
        }
    }
    run.finish();
    run
}

#[test]
fn two_ends_of_one_connection() {
    let script = [GET_A, A, GET_B, B];
    let server = wire(Side::Server, &script);
    let run = both(&script, true);
    assert_eq!(
        run.story(),
        [
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" -> 200 \"b\"",
            "lost folded 2"
        ]
    );
    assert!(
        run.output
            .exchanges
            .iter()
            .all(|e| e.peers.side == Side::Server)
    );
    assert_eq!(run.output.commands, [Command::Fold(SocketId(2))]);
    assert_eq!(both(&script, false).output.exchanges.len(), 4);

    // The same addresses, other sequence numbers: a proxy between.
    let mut other = Wire::at(Side::Client, 2, 5000, [4_000_000, 5_000_000]);
    other.say(CLIENT, &GET_A[2..]);
    let mut run = Run::new(Limits::default());
    run.feed(&server.packets[..1]);
    run.feed(&other.packets);
    run.finish();
    assert_eq!(run.output.exchanges.len(), 2);
}

#[test]
fn reordering_that_waits_for_the_other_direction() {
    // The request's second segment comes first; the response shows that the socket had both.
    let mut wire = wire(Side::Server, &["> GET /a HTTP/1.1\r\n", "> \r\n", A]);
    wire.packets[1].expected = wire.packets[0].seq;
    wire.packets[1].start = true;
    wire.packets.swap(0, 1);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    assert_eq!(run.output.exchanges.len(), 1);
}

#[test]
fn a_hole_is_waited_for_and_passed() {
    let mut wire = wire(
        Side::Server,
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\n",
            ">-abc",
            "> def",
        ],
    );
    let hole = wire.packets[1].seq - 3;
    wire.packets[1].expected = hole;
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(Limits::default().reorder_wait - 1);
    assert_eq!(run.engine.stats().gaps, 0);
    run.expire(1);
    assert_eq!(run.engine.stats().gaps, 1);
    assert_eq!(run.engine.stats().gap_bytes, 3);
    run.finish();
    assert_eq!(run.story(), ["POST /a \"\"/6 missing 3 !gap"]);
}

#[test]
fn what_lasts_too_long_is_emitted() {
    let mut wire = wire(Side::Server, &[GET_A, "< HTTP/1.1 200 OK\r\n\r\ndata: 1\n"]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(Limits::default().exchange_age);
    assert_eq!(
        run.story(),
        ["GET /a \"\" -> 200 \"data: 1\\\\n\"/8+ !max_age"]
    );
    // It goes on, and ends; it is not emitted twice.
    wire.packets.clear();
    wire.say(SERVER, "data: 2\n");
    wire.fin(SERVER);
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(run.output.exchanges.len(), 1);

    // With its place kept: the next response belongs to the next request.
    let mut wire = self::wire(Side::Server, &[GET_A]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(Limits::default().exchange_age);
    wire.packets.clear();
    for step in [A, GET_B, B] {
        wire.say(
            if step.starts_with('>') {
                CLIENT
            } else {
                SERVER
            },
            &step[2..],
        );
    }
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        run.story(),
        ["GET /a \"\" !max_age", "GET /b \"\" -> 200 \"b\""]
    );
}

#[test]
fn silent_connections_are_forgotten() {
    let wire = wire(Side::Server, &[GET_A, A]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(Limits::default().idle - 1);
    assert_eq!(run.engine.connections(), 1);
    run.expire(1);
    assert_eq!(run.engine.connections(), 0);
    // A silent one that waits for its response is not.
    let waiting = self::wire(Side::Server, &[GET_A]);
    let mut run = Run::new(Limits::default());
    run.feed(&waiting.packets);
    run.expire(Limits::default().idle);
    assert_eq!(run.engine.connections(), 1);
    // Nothing comes of a retransmission after the end.
    let mut run = Run::new(Limits::default());
    let mut again = wire.packets[1].clone();
    again.expected = again.seq + again.wire_len;
    run.feed([&again]);
    assert_eq!(run.engine.connections(), 0);
}

#[test]
fn the_least_recently_used_connection_makes_room() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut run = Run::new(limits);
    for (socket, port) in [(1, 5001), (2, 5002), (3, 5003)] {
        let mut wire = Wire::at(Side::Server, socket, port, [10, 20]);
        wire.time += socket * 1_000_000_000;
        wire.say(CLIENT, &GET_A[2..]);
        run.feed(&wire.packets);
    }
    assert_eq!(run.engine.connections(), 2);
    assert_eq!(run.engine.stats().evicted_connections, 1);
    assert_eq!(run.story(), ["GET /a \"\" !evicted"]);
    assert_eq!(run.output.exchanges[0].peers.socket, SocketId(1));
}

#[test]
fn memory_is_bounded() {
    let limits = Limits {
        memory: 100_000,
        ..Limits::default()
    };
    let mut run = Run::new(limits);
    for socket in 1..200 {
        let mut wire = Wire::at(Side::Server, socket, 5000, [10, 20]);
        wire.time += socket * 1_000_000_000;
        wire.say(
            CLIENT,
            format!(
                "POST /a HTTP/1.1\r\nContent-Length: 9000\r\n\r\n{}",
                "x".repeat(3000)
            ),
        );
        run.feed(&wire.packets);
        assert!(run.engine.memory() <= 100_000);
    }
    assert!(run.engine.stats().evicted_connections > 150);
    assert!(
        run.output
            .exchanges
            .iter()
            .all(|e| line(e).ends_with("!evicted"))
    );
    run.finish();
}

/// Somebody else's segment, which TCP refuses, comes before each of the client's.
#[test]
fn bytes_that_tcp_refuses() {
    let script = [
        "> POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc",
        "> def",
        A,
        GET_B,
        B,
    ];
    // Which of the segments is forged, and what is emitted: the target, and whether it is marked.
    for (forged, expected) in [
        (None, [("/a", false), ("/b", false)]),
        (Some(0), [("/a", false), ("/b", false)]),
        (Some(1), [("/a", true), ("/b", false)]),
        (Some(3), [("/a", false), ("/b", true)]),
    ] {
        let mut packets = wire(Side::Server, &script).packets;
        if let Some(at) = forged {
            let mut copy = packets[at].clone();
            copy.payload.fill(b'X');
            if at == 3 {
                copy.payload = b"GET /X HTTP/1.1\r\n\r\n".to_vec();
            }
            packets.insert(at, copy);
        }
        let mut run = Run::new(Limits::default());
        run.feed(&packets);
        run.finish();
        let emitted: Vec<_> = (run.output.exchanges.iter())
            .map(|exchange| {
                let target = std::str::from_utf8(exchange.request.head.target()).unwrap();
                let marked = exchange.request.anomalies.contains(Anomalies::CONFLICT);
                (target, marked)
            })
            .collect();
        assert_eq!(emitted, expected, "{forged:?}");
    }
}

/// Each byte of a stream is counted once, also where the first ones were somebody else's.
#[test]
fn bytes_that_tcp_refuses_are_not_counted() {
    for more in [0, 7] {
        let mut packets = wire(Side::Server, &[GET_A, A]).packets;
        let mut forged = packets[0].clone();
        forged.payload = b"XX".to_vec();
        forged.wire_len = 2 + more;
        packets.insert(0, forged);
        let mut run = Run::new(Limits {
            positions: false,
            ..Limits::default()
        });
        run.feed(&packets);
        run.finish();
        assert_eq!(run.story(), ["GET /a \"\" -> 200 \"a\""]);
        let stats = run.engine.stats();
        let said = GET_A.len() + A.len() - 4;
        assert_eq!(stats.captured_bytes, said as u64);
        assert_eq!(
            (stats.gaps, stats.gap_bytes, stats.skipped_bytes),
            (0, 0, 0)
        );
    }
}

/// Unfinished heads of one client do not push out what another one waits for, at the same server or
/// at another.
#[test]
fn who_holds_most_makes_room() {
    for shared in [true, false] {
        let limits = Limits {
            memory: 1_000_000,
            ..Limits::default()
        };
        let mut run = Run::new(limits);
        let mut victims: Vec<Wire> = (1..=20)
            .map(|socket| Wire::at(Side::Server, socket, 5001, [10, 20]))
            .collect();
        for wire in &mut victims {
            wire.say(CLIENT, &GET_A[2..]);
            run.feed(&wire.packets);
        }
        for socket in 100..300 {
            let mut wire = Wire::at(Side::Server, socket, 5002, [10, 20]);
            wire.time += socket * 1_000_000_000;
            let head = format!("GET /b HTTP/1.1\r\nA: {}", "x".repeat(60_000));
            let packet = wire.say(CLIENT, head);
            packet.cgroup = if shared { 7 } else { 8 };
            run.feed(&wire.packets);
            assert!(run.engine.memory() <= 1_000_000);
        }
        for wire in &mut victims {
            wire.packets.clear();
            wire.say(SERVER, &A[2..]);
            run.feed(&wire.packets);
        }
        let whole = |line: &String| line == "GET /a \"\" -> 200 \"a\"";
        assert_eq!(run.story().iter().filter(|line| whole(line)).count(), 20);
        let evicted: u64 = run.engine.evictions().map(|(_, count)| count).sum();
        assert!(evicted > 180);
        assert_eq!(evicted, run.engine.stats().evicted_connections);
        if !shared {
            assert!(run.engine.evictions().all(|(cgroup, _)| cgroup.0 == 8));
        }
    }
}

#[test]
fn the_table_is_shared_fairly() {
    let limits = Limits {
        connections: 64,
        ..Limits::default()
    };
    let mut run = Run::new(limits);
    for socket in 1..=1000 {
        let port = if socket <= 10 { 5001 } else { 5002 };
        let mut wire = Wire::at(Side::Server, socket, port, [10, 20]);
        wire.time += socket * 1_000_000;
        wire.say(CLIENT, &GET_A[2..]);
        run.feed(&wire.packets);
        assert!(run.engine.connections() <= 64);
    }
    let evicted = run.output.exchanges.iter().map(|e| e.peers.socket.0);
    assert!(evicted.clone().all(|socket| socket > 10));
    assert!(evicted.count() > 900);
}

#[test]
fn requests_without_a_response_are_bounded() {
    let limits = Limits {
        pipeline: 3,
        ..Limits::default()
    };
    let mut run = Run::new(limits);
    run.feed(
        &wire(
            Side::Server,
            &[GET_A, GET_B, GET_C, GET_A, GET_B, A, B, C, A, B],
        )
        .packets,
    );
    run.finish();
    assert_eq!(
        run.story(),
        [
            "GET /a \"\" !evicted",
            "GET /b \"\" !evicted",
            "GET /c \"\" -> 200 \"c\"",
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" -> 200 \"b\"",
        ]
    );
}

/// However many are pipelined, each response is that of its own request, or of one that was emitted
/// without it.
#[test]
fn more_requests_are_pipelined_than_may_be_in_flight() {
    for pipeline in [1, 2, 3, 1024] {
        for many in [pipeline, pipeline + 1, 2 * pipeline + 1, 3 * pipeline] {
            for responded in [0, 1, pipeline / 2] {
                pipelined(pipeline, many, responded);
            }
        }
    }
}

/// `many` requests while `responded` responses come and half of one more; then the rest of them,
/// and another exchange.
fn pipelined(pipeline: usize, many: usize, responded: usize) {
    let request = |n: usize| match n % 5 {
        3 => format!("HEAD /{n} HTTP/1.1\r\n\r\n"),
        _ => format!("GET /{n} HTTP/1.1\r\n\r\n"),
    };
    let response = |n: usize| {
        let body = if n % 5 == 3 { "" } else { "body" };
        format!("HTTP/1.1 200 OK\r\nX-Id: {n}\r\nContent-Length: 4\r\n\r\n{body}")
    };
    let responded = responded.min(many - 1);
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, (0..=responded).map(request).collect::<String>());
    let mut early: String = (0..=responded).map(response).collect();
    let half = early.split_off(early.len() - 20);
    wire.say(SERVER, early);
    wire.say(
        CLIENT,
        (responded + 1..many).map(request).collect::<String>(),
    );
    wire.say(SERVER, half);
    wire.say(
        SERVER,
        (responded + 1..many).map(response).collect::<String>(),
    );
    wire.say(CLIENT, request(many));
    wire.say(SERVER, response(many));
    let mut run = Run::new(Limits {
        pipeline,
        ..Limits::default()
    });
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(run.output.exchanges.len(), many + 1);
    assert_eq!(run.story().len(), many + 1, "nothing is lost");
    let mut whole = 0;
    for exchange in &run.output.exchanges {
        let target = std::str::from_utf8(exchange.request.head.target()).unwrap();
        match &exchange.response {
            Some(response) => {
                let id = response.head.fields.get("x-id").unwrap();
                assert_eq!(&target.as_bytes()[1..], id);
                whole += usize::from(exchange.partial.is_none());
            }
            None => assert_eq!(exchange.partial, Some(Partial::Evicted)),
        }
    }
    assert!(
        whole > responded.min(pipeline),
        "{pipeline} {many} {responded}: {whole}"
    );
    let last = run.output.exchanges.last().map(line).unwrap();
    assert!(
        last.contains(&format!("/{many} ")) && last.contains("200"),
        "{last}"
    );
}

#[test]
fn large_bodies_are_skipped_on_purpose() {
    let limits = Limits {
        body: 10,
        ..Limits::default()
    };
    let size: u64 = 3_000_000_000;
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, &GET_A[2..]);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n0123456789ab");
    wire.say(SERVER, &head);
    let mut run = Run::new(limits);
    run.feed(&wire.packets);
    // The rest is declined, as far as sequence numbers reach; the hook gives a byte where it is to
    // go on.
    let end = wire
        .next(SERVER)
        .wrapping_add(u32::try_from(size - 12).unwrap());
    let mut emitted = Vec::new();
    while let Some(Command::ResumeOffset { seq, .. }) = run.output.commands.pop() {
        emitted.push(seq.wrapping_sub(wire.next(SERVER)));
        wire.packets.clear();
        wire.skip(SERVER, seq.wrapping_sub(wire.next(SERVER)));
        if seq != end {
            wire.say(SERVER, "x").skipped = true;
        }
        run.feed(&wire.packets);
    }
    let far = 1 << 30;
    // Each command counts from the byte after the one that the hook gave.
    assert_eq!(
        emitted,
        [far, far, u32::try_from(size - 14).unwrap() - 2 * far]
    );
    wire.packets.clear();
    wire.say(CLIENT, &GET_B[2..]);
    wire.say(SERVER, &B[2..]);
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        run.story(),
        [
            "GET /a \"\" -> 200 \"0123456789\"/3000000000 truncated",
            "GET /b \"\" -> 200 \"b\""
        ]
    );
    assert_eq!(run.engine.stats().gaps, 0);
    assert_eq!(run.engine.stats().skipped_bytes, size - 14);
    assert!(run.output.commands.is_empty());
}

#[test]
fn streams_that_are_wanted_get_a_new_window() {
    let mut wire = Wire::new(Side::Client);
    wire.say(CLIENT, &GET_A[2..]);
    wire.say(
        SERVER,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..100 {
        wire.say(SERVER, format!("2000\r\n{}\r\n", "x".repeat(0x2000)));
    }
    wire.say(SERVER, "0\r\n\r\n");
    let mut run = Run::new(Limits {
        body: 10_000_000,
        ..Limits::default()
    });
    run.feed(&wire.packets);
    let windows = run.output.commands.len();
    assert_eq!(windows, 3, "{:?}", run.output.commands);
    run.finish();
    assert_eq!(run.story(), ["GET /a \"\" -> 200 \"<819200>\""]);
}

/// A request behind a body that came faster than it was read.
#[test]
fn a_request_in_a_skipped_range_is_counted() {
    let mut wire = Wire::new(Side::Server);
    wire.say(
        CLIENT,
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    wire.skip(CLIENT, 1000);
    wire.say(CLIENT, format!("0\r\n\r\n{}", &GET_B[2..]))
        .skipped = true;
    wire.say(SERVER, &A[2..]);
    wire.say(SERVER, &B[2..]);
    wire.say(CLIENT, &GET_C[2..]);
    wire.say(SERVER, &C[2..]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        run.story(),
        [
            "POST /a \"abc\"/3+ -> 200 \"a\" !size_unknown",
            "GET /c \"\" -> 200 \"c\"",
            "lost response_only 1",
        ]
    );
}

#[test]
fn a_skipped_range_that_breaks_the_framing() {
    let mut wire = Wire::new(Side::Client);
    wire.say(CLIENT, &GET_A[2..]);
    wire.say(
        SERVER,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    wire.skip(SERVER, 1000);
    wire.say(SERVER, "0\r\n\r\n").skipped = true;
    wire.say(CLIENT, &GET_B[2..]);
    wire.say(SERVER, &B[2..]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    assert_eq!(
        run.story(),
        [
            "GET /a \"\" -> 200 \"abc\"/3+ !size_unknown",
            "GET /b \"\" -> 200 \"b\""
        ]
    );
}

/// Exchanges are counted as large as they are, however short their messages.
#[test]
fn pipelined_requests_without_a_response_are_counted_as_they_are() {
    const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    const EACH: usize = 400;
    let fed = |connections: u64, memory: usize| {
        let mut run = Run::new(Limits {
            memory,
            ..Limits::default()
        });
        for socket in 1..=connections {
            let mut wire = Wire::at(Side::Server, socket, 5000, [10, 20]);
            wire.time += socket * 1_000_000;
            wire.say(CLIENT, REQUEST.repeat(EACH));
            wire.say(SERVER, "");
            run.feed(&wire.packets);
            assert!(run.engine.memory() <= memory);
        }
        run
    };
    // What each takes for certain: itself, the bytes of its head, and a place for its field.
    let least = size_of::<InFlight>() + REQUEST.len() + size_of::<(Slice, Slice)>();
    let run = fed(20, usize::MAX);
    let (held, least) = (run.engine.memory(), 20 * EACH * least);
    assert!(held >= least && held <= least * 3 / 2, "{held} {least}");

    const LIMIT: usize = 4_000_000;
    let mut run = fed(100, LIMIT);
    assert!(run.engine.stats().evicted_connections > 0);
    assert!(run.engine.memory() > LIMIT / 2, "no more goes than has to");
    run.finish();
    assert_eq!(run.output.exchanges.len(), 100 * EACH);
}

/// Connections that hold nothing count too, and what a burst took is given back.
#[test]
fn connections_are_counted_themselves() {
    let mut run = Run::new(Limits::default());
    let mut wire = Wire::new(Side::Server);
    wire.say(CLIENT, &GET_A[2..]);
    wire.say(SERVER, &A[2..]);
    run.feed(&wire.packets);
    let idle = run.engine.memory();
    assert!(idle >= size_of::<InFlight>(), "{idle}");
    assert!(idle < 16 * 1024, "{idle}");
    wire.packets.clear();
    wire.say(CLIENT, GET_A[2..].repeat(100));
    wire.say(SERVER, "");
    run.feed(&wire.packets);
    assert!(run.engine.memory() > 100 * size_of::<InFlight>());
    wire.packets.clear();
    wire.say(SERVER, A[2..].repeat(100));
    run.feed(&wire.packets);
    assert!(run.engine.memory() <= idle);
    run.finish();
}

/// What ends at once comes in parts: by age, and at the end of all.
#[test]
fn what_ends_at_once_comes_in_parts() {
    for aged in [true, false] {
        let mut run = Run::new(Limits::default());
        for socket in 1..=2000 {
            let mut wire = Wire::at(Side::Server, socket, 5000, [10, 20]);
            wire.say(CLIENT, &GET_A[2..]);
            run.feed(&wire.packets);
        }
        let mut emitted = Vec::new();
        run.now += 1000 * 1_000_000_000;
        loop {
            let more = match aged {
                true => run.engine.expire_next(run.now, &mut run.output),
                false => run.engine.finish_next(run.now, &mut run.output),
            };
            emitted.push(run.output.exchanges.len());
            run.output.exchanges.clear();
            if !more {
                break;
            }
        }
        assert_eq!(emitted.iter().sum::<usize>(), 2000);
        assert!(emitted.iter().all(|part| *part <= 256), "{emitted:?}");
    }
}
