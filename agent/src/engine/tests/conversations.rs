//! Whole conversations, on whole streams.

use meshtap_common::IgnoreReason;

use super::wire::{CLIENT, Run, SERVER, Wire};
use crate::capture::Command;
use crate::engine::Limits;
use crate::flow::{Side, SocketId};

/// Lines of the script: `> text` the client says, `< text` the server says, each in one segment;
/// `>fin`, `<fin`, `>rst`, `<rst`.
fn wire(side: Side, script: &[&str]) -> Wire {
    let mut wire = Wire::new(side);
    for step in script {
        let (who, what) = match step.split_at(1) {
            (">", what) => (CLIENT, what),
            ("<", what) => (SERVER, what),
            _ => panic!("{step}"),
        };
        match what {
            "fin" => {
                wire.fin(who);
            }
            "rst" => wire.rst(who),
            _ => {
                wire.say(who, what.strip_prefix(' ').unwrap());
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

const REFUSED: &str = "< HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

#[test]
fn what_a_status_line_responds_to_is_a_request() {
    for (request, expected) in [
        ("> GET /a\r\n", "GET /a"),
        ("> GET /a\r\nHost: x\r\n\r\n", "GET /a"),
        ("> GET /a ICY/1.0\r\nHost: x\r\n\r\n", "GET /a ICY/1.0"),
        ("> GET /a HTTP 1.1\r\n\r\n", "GET /a HTTP 1.1"),
        (">  GET /a HTTP/1.1\r\n\r\n", "GET /a"),
        // Servers take any bytes for a method.
        ("> HTTP/1.1 /a HTTP/1.1\r\n\r\n", "HTTP/1.1 /a"),
        ("> <GET> /a HTTP/1.1\r\n\r\n", "<GET> /a"),
        ("> @GET /a HTTP/1.1\r\n\r\n", "@GET /a"),
        ("> \u{feff}GET /a HTTP/1.1\r\n\r\n", "\\xef\\xbb\\xbfGET /a"),
        ("> \0GET /a HTTP/1.1\r\n\r\n", "\\x00GET /a"),
        ("> \x0bGET\x0b/a\x0bHTTP/1.1\r\n\r\n", "GET /a"),
        ("> \x16\x03\x01 /a HTTP/1.1\r\n\r\n", "\\x16\\x03\\x01 /a"),
        (
            "> \x16\x03\x01\x02\0\x01\0\x01 /a HTTP/1.1\r\n\r\n",
            "\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01 /a",
        ),
        (
            "> \0\0\x06\x04\0\0\0\0\0GET /a HTTP/1.1\r\n\r\n",
            "\\x00\\x00\\x06\\x04\\x00\\x00\\x00\\x00\\x00GET /a",
        ),
        ("> SSH-2.0-x /a HTTP/1.1\r\n\r\n", "SSH-2.0-x /a"),
        ("> SSH-2.0-x\r\n", "SSH-2.0-x "),
        ("> PROXY /a HTTP/1.1\r\n\r\n", "PROXY /a"),
        ("> PROXY UNKNOWN HTTP/1.1\r\n\r\n", "PROXY UNKNOWN"),
        ("> GET: /a HTTP/1.1\r\n\r\n", "GET: /a"),
        ("> help\r\n", "help "),
    ] {
        let expected = format!("{expected} \"\" -> 400 \"\"");
        check(&[request, REFUSED], &[&expected]);
        // However it comes.
        let (first, rest) = request.split_at(6);
        check(&[first, &format!("> {rest}"), REFUSED], &[&expected]);
        check(
            &[request, "< HTTP/1", &REFUSED.replacen("< HTTP/1", "< ", 1)],
            &[&expected],
        );
    }
    // The next request on its connection is read as any.
    check(
        &[
            "> GET /a ICY/1.0\r\nHost: x\r\n\r\n",
            REFUSED,
            "> GET /b HTTP/1.1\r\n\r\n",
            REFUSED,
        ],
        &["GET /a ICY/1.0 \"\" -> 400 \"\"", "GET /b \"\" -> 400 \"\""],
    );
}

#[test]
fn a_request_behind_lines_that_are_none() {
    for lines in [
        "hello you\r\n",
        " \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nPROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "proxy tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
    ] {
        for line in [
            "GET /a HTTP/1.1\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
        ] {
            let body = if line.ends_with('x') { "x" } else { "" };
            let (method, _) = line.split_once(' ').unwrap();
            let story = [
                format!("{method} /a \"{body}\" -> 400 \"\""),
                "GET /b \"\" -> 400 \"\"".to_owned(),
            ];
            let story: Vec<&str> = story.iter().map(String::as_str).collect();
            let (together, next) = (format!("> {lines}{line}"), "> GET /b HTTP/1.1\r\n\r\n");
            check(&[&together, REFUSED, next, REFUSED], &story);
            let (lines, line) = (format!("> {lines}"), format!("> {line}"));
            check(&[&lines, &line, REFUSED, next, REFUSED], &story);
        }
    }
}

#[test]
fn what_something_else_responds_to_is_none() {
    for script in [
        [
            "> help\r\n",
            "< 214 see RFC 5321\r\n",
            "> HTTP/1.1 400 Bad\r\n\r\n",
        ],
        [
            "> get key\r\n",
            "< VALUE key 0 20\r\nHTTP/1.1 400 Bad\r\n",
            "> x\r\n",
        ],
        [
            "< 220 ready\r\n",
            "> EHLO x\r\n",
            "< HTTP/1.1 400 Bad\r\n\r\n",
        ],
    ] {
        check(&script, &[]);
    }
    // Several requests: the response is of one of them.
    check(
        &[
            "> hello you\r\nGET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
            REFUSED,
        ],
        &["lost response_only 1"],
    );
    // More than a server reads of a line.
    let long = format!("> GET /{}\r\n", "a".repeat(9000));
    check(&[&long, REFUSED], &["lost response_only 1"]);
}

#[test]
fn lengths_and_keep_alive() {
    check(
        &[
            "> GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "> POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            "< HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            "> HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
            "> GET /d HTTP/1.1\r\nHost: x\r\n\r\n",
            "< HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
        ],
        &[
            "GET /a \"\" -> 200 \"hello\"",
            "POST /b \"abc\" -> 201 \"\"",
            "HEAD /c \"\" -> 200 \"\"",
            "GET /d \"\" -> 304 \"\"",
        ],
    );
}

#[test]
fn chunked_both_ways() {
    check(
        &[
            "> PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n",
            "> 2\r\nde\r\n0\r\nT: 1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ],
        &["PUT /a \"abcde\" T=1 -> 200 \"x\""],
    );
}

#[test]
fn close_delimited() {
    check(
        &[
            "> GET /a HTTP/1.0\r\n\r\n",
            "< HTTP/1.0 200 OK\r\n\r\nhel",
            "< lo",
            "<fin",
            ">fin",
        ],
        &["GET /a \"\" -> 200 \"hello\""],
    );
}

#[test]
fn pipelining() {
    check(
        &[
            "> GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiHEAD /c HTTP/1.1\r\n\r\n",
            "> GET /d HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2HTTP/1.1 200 OK",
            "< \r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n4",
        ],
        &[
            "GET /a \"\" -> 200 \"1\"",
            "POST /b \"hi\" -> 200 \"2\"",
            "HEAD /c \"\" -> 200 \"\"",
            "GET /d \"\" -> 200 \"4\"",
        ],
    );
}

#[test]
fn interim_responses() {
    check(
        &[
            "> POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            "< HTTP/1.1 100 Continue\r\n\r\n",
            "> hi",
            "< HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        &["POST /a \"hi\" -> 200 \"\" interim 3"],
    );
}

#[test]
fn what_a_status_line_responds_to_is_a_request_also_later() {
    let first = "> GET /0 HTTP/1.1\r\n\r\n";
    let ok = "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let shown = "GET /0 \"\" -> 200 \"\"";
    for line in [
        "PURGE /1 HTTPS/1.1",
        "PROPFIND /1 HTP/1.1",
        "FOOBAR /1",
        "get /1 FOO/1.0",
        "OPTIONS rtsp://a/1 RTSP/1.0",
        "FOOBAR /a b c",
        "foo bar baz",
    ] {
        let odd = format!("> {line}\r\nHost: a\r\n\r\n");
        let refused = format!("{line} \"\" -> 400 \"\"");
        check(
            &[first, ok, &odd, REFUSED, first, ok],
            &[shown, &refused, shown],
        );
        // Nothing shows that it is one.
        let lost = "lost uncertain 1";
        check(&[first, ok, &odd], &[shown, lost]);
        check(
            &[first, ok, &odd, "< what?\r\n", first, ok],
            &[shown, shown, lost],
        );
        // Not all of it is at hand.
        let half = format!("> {line}\r\nHost:");
        let malformed = "lost malformed 1";
        check(
            &[first, ok, &half, "> a\r\n\r\n", REFUSED],
            &[shown, malformed],
        );
    }
}

#[test]
fn expectations_that_are_refused() {
    // Another request, or a body that looks like one.
    check(
        &[
            "> POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n",
            "< HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
            "> GET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "> GET /c HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        &[
            "POST /a \"\"/0+ -> 417 \"\" !request_cut",
            "GET /b \"\" -> 200 \"\"",
            "GET /c \"\" -> 200 \"\"",
        ],
    );
    // Clients repeat it, in several segments.
    let refused = [
        "> PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        "< HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
    ];
    let cut = "PUT /a \"\"/0+ -> 417 \"\" !request_cut";
    let ok = "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let again = [
        "> PUT /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n",
        "> ab",
        "> cd",
    ];
    check(
        &[&refused[..], &again, &[ok], &refused, &again, &[ok]].concat(),
        &[
            cut,
            "PUT /a \"abcd\" -> 200 \"\"",
            cut,
            "PUT /a \"abcd\" -> 200 \"\"",
        ],
    );
    let frob = "> FROB /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let again = "> FROB /a HTTP/1.1\r\nContent-Length: 1\r\n\r\na";
    check(
        &[frob, refused[1], again, ok],
        &[
            "FROB /a \"\"/0+ -> 417 \"\" !request_cut",
            "FROB /a \"a\" -> 200 \"\"",
        ],
    );
    // No response: it was the body.
    let body = "> GET /b HTTP/1.1\r\n\r\n";
    for (rest, lost) in [
        (&[body][..], "lost uncertain 1"),
        (&[body, "<fin"], "lost uncertain 1"),
        (&[body, ">fin", "<fin"], "lost uncertain 1"),
        (&[body, ">rst"], "lost uncertain 1"),
        (&[body, body, ok], "lost uncertain 2"),
        (&["> GET /b HTTP/1.1\r\n"], "lost head_cut 1"),
    ] {
        check(&[&refused[..], rest].concat(), &[cut, lost]);
    }
    // A body that only its length separates from what follows.
    check(
        &[
            "> POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            "< HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            "> abcGET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        &["POST /a \"abc\" -> 401 \"\"", "GET /b \"\" -> 200 \"\""],
    );
    // It is sent all the same.
    check(
        &[
            "> POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            "< HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            "> GET ",
            "> GET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        &["POST /a \"GET \" -> 401 \"\"", "GET /b \"\" -> 200 \"\""],
    );
    // The connection ends.
    check(
        &[
            "> POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            "< HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            "<fin",
            ">fin",
        ],
        &["POST /a \"\"/0+ -> 401 \"\" !request_cut"],
    );
}

#[test]
fn early_responses() {
    check(
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nab",
            "< HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
            "> cd",
            "> efGET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
        &[
            "POST /a \"abcdef\" -> 413 \"no\"",
            "GET /b \"\" -> 200 \"\"",
        ],
    );
    check(
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nab",
            "< HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
            "<fin",
            ">rst",
        ],
        &["POST /a \"ab\"/2+ -> 413 \"no\" !request_cut"],
    );
}

#[test]
fn switching_protocols() {
    check(
        &[
            "> GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "< HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\u{1}",
            "> GET /not HTTP/1.1\r\n\r\n",
            "<fin",
        ],
        &["GET /ws \"\" -> 101 \"\" upgrade"],
    );
    check(
        &[
            "> CONNECT h:443 HTTP/1.1\r\n\r\n",
            "> \u{16}\u{3}\u{1}\u{2}\0\u{1}early",
            "< HTTP/1.1 200 OK\r\n\r\n\u{16}\u{3}\u{3}\0z\u{2}",
            "> GET / HTTP/1.1\r\n\r\n",
        ],
        &["CONNECT h:443 \"\" -> 200 \"\" upgrade"],
    );
    check(
        &[
            "> CONNECT h:443 HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx",
            "> CONNECT h:443 HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\n\r\n",
        ],
        &[
            "CONNECT h:443 \"\" -> 407 \"x\"",
            "CONNECT h:443 \"\" -> 200 \"\" upgrade",
        ],
    );
}

/// What came after a CONNECT that was refused was no tunnel's: it was a request.
#[test]
fn early_bytes_of_a_refused_tunnel() {
    let connect = "> CONNECT h:1 HTTP/1.1\r\n\r\nGET /a HTTP/1.1\r\n\r\n";
    let refused = "< HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    check(
        &[connect, refused],
        &["CONNECT h:1 \"\" -> 404 \"\"", "GET /a \"\" !shutdown"],
    );
    check(
        &[connect, refused, "< HTTP/1.1 204 No\r\n\r\n"],
        &["CONNECT h:1 \"\" -> 404 \"\"", "GET /a \"\" -> 204 \"\""],
    );
    // Too much to keep.
    let long = format!(
        "> CONNECT h:1 HTTP/1.1\r\n\r\nPOST /a HTTP/1.1\r\nContent-Length: 20000\r\n\r\n{}",
        "x".repeat(20_000)
    );
    check(
        &[&long, refused],
        &["CONNECT h:1 \"\" -> 404 \"\"", "lost uncertain 1"],
    );
}

/// What is inside a tunnel is a connection of its own, as deep as tunnels are looked into.
#[test]
fn inside_a_tunnel() {
    let connect = |name: &str| format!("> CONNECT {name}:80 HTTP/1.1\r\n\r\n");
    let ok = "< HTTP/1.1 200 OK\r\n\r\n";
    check(
        &[
            &connect("h"),
            ok,
            "> GET /a HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            "> GET /b HTTP/1.1\r\n\r\n",
        ],
        &[
            "CONNECT h:80 \"\" -> 200 \"\" upgrade",
            "GET /a \"\" -> 200 \"a\"",
            "GET /b \"\" !shutdown",
        ],
    );
    let script = [
        "> CONNECT 10.0.0.5:8080 HTTP/1.1\r\nHost: x\r\nForwarded: for=10.0.0.9\r\n\r\n",
        ok,
        "> GET /a HTTP/1.1\r\n\r\n",
        "< HTTP/1.1 204 No\r\n\r\n",
    ];
    let mut run = Run::new(Limits::default());
    run.feed(&wire(Side::Server, &script).packets);
    run.finish();
    let outer = run.output.exchanges[1].peers.outer.as_ref().unwrap();
    assert_eq!(outer.claims.target.unwrap().to_string(), "10.0.0.5:8080");
    assert_eq!(outer.claims.forwarded.unwrap().to_string(), "10.0.0.9");
    // The client does not wait; the server's first bytes come with the response to the CONNECT.
    check(
        &[
            &format!("{}GET /a HTTP/1.1\r\n\r\n", connect("h")),
            &format!("{ok}HTTP/1.1 204 No\r\n\r\n"),
        ],
        &[
            "CONNECT h:80 \"\" -> 200 \"\" upgrade",
            "GET /a \"\" -> 204 \"\"",
        ],
    );
    let mut wire = Wire::new(Side::Server);
    for depth in 0..6 {
        wire.say(CLIENT, &connect(&depth.to_string())[2..]);
        wire.say(SERVER, &ok[2..]);
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    let depths: Vec<usize> = (run.output.exchanges.iter())
        .map(|exchange| {
            let outer =
                std::iter::successors(exchange.peers.outer.as_ref(), |peers| peers.outer.as_ref());
            assert_eq!(exchange.peers.connection.depth(), outer.clone().count());
            outer.count()
        })
        .collect();
    assert_eq!(depths, [0, 1, 2, 3, 4]);
}

#[test]
fn ends() {
    let get = "> GET /a HTTP/1.1\r\n\r\n";
    check(&[get, "<rst"], &["GET /a \"\" !no_response"]);
    check(&[get, "<fin"], &["GET /a \"\" !no_response"]);
    check(&[get, ">fin", "<fin"], &["GET /a \"\" !no_response"]);
    check(&[get], &["GET /a \"\" !shutdown"]);
    check(
        &[get, "< HTTP/1.1 2", "<fin"],
        &["GET /a \"\" !response_cut"],
    );
    check(
        &[get, "< HTTP/1.1 2", ">rst"],
        &["GET /a \"\" !response_cut"],
    );
    check(
        &[
            get,
            "< HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            "<fin",
        ],
        &["GET /a \"\" -> 200 \"hel\"/3+ !response_cut"],
    );
    check(
        &[get, "< HTTP/1.1 200 OK\r\n\r\nhel", "<rst"],
        &["GET /a \"\" -> 200 \"hel\"/3+ !response_cut"],
    );
    // The client is done before the response comes.
    check(
        &[
            get,
            ">fin",
            "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
        &["GET /a \"\" -> 200 \"x\""],
    );
    check(
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
            ">fin",
            "<fin",
        ],
        &["POST /a \"ab\"/2+ !request_cut"],
    );
    check(
        &["> POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"],
        &["POST /a \"ab\"/2+ !shutdown"],
    );
    let cut = "> GET /a HTTP/1.1\r\nHost: x\r\nAcc";
    check(&[cut, "<rst"], &["GET /a \"\"/0+ !request_cut"]);
    check(&[cut, ">fin"], &["GET /a \"\"/0+ !request_cut"]);
    check(&[cut, "<fin", ">fin"], &["GET /a \"\"/0+ !request_cut"]);
    check(&[cut], &["GET /a \"\"/0+ !shutdown"]);
    check(&["> GET /a HT", ">fin"], &["lost head_cut 1"]);
    check(&["> GET /a HT"], &["lost head_cut 1"]);
    check(&["> GE", ">fin"], &[]);
}

#[test]
fn errors() {
    check(
        &[
            "> GET /a HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "> GET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
        &[
            "GET /a \"\" -> 200 \"\"/0+ !malformed",
            "GET /b \"\" -> 200 \"x\"",
        ],
    );
    check(
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
            "< HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            "> GET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
        &[
            "POST /a \"\"/0+ -> 400 \"\" !malformed",
            "GET /b \"\" -> 200 \"x\"",
        ],
    );
    check(
        &[
            "> POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz",
            "< HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
        ],
        &["POST /a \"abc\"/3+ -> 400 \"\" !malformed"],
    );
    // The very first request.
    check(
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "< HTTP/1.1 400 Bad\r\n\r\n",
        ],
        &["POST /a \"\"/0+ -> 400 \"\"/0+ !malformed"],
    );
    check(
        &[
            "> POST /a H",
            "> TTP/1.1\r\nContent-Length: x\r\n\r\n",
            "< HTTP/1.1 400 Bad\r\n\r\n",
        ],
        &["POST /a \"\"/0+ -> 400 \"\"/0+ !malformed"],
    );
    // A line that is none, after a request.
    for line in [
        "> GET /b\r\n\r\n",
        "> GET /b\r\nHost: x\r\n\r\n",
        "> GET /b ICY/1.0\r\nHost: x\r\n\r\n",
        "> GET /b HTTPS/1.1\r\n\r\n",
    ] {
        let (first, rest) = line.split_at(9);
        let rest = format!("> {rest}");
        let after = [
            "> GET /a HTTP/1.1\r\n\r\n",
            REFUSED,
            line,
            REFUSED,
            "> GET /c HTTP/1.1\r\n\r\n",
            REFUSED,
        ];
        let halves = [&after[..2], &[first, &rest], &after[3..]].concat();
        for script in [&after[..], &halves] {
            check(
                script,
                &[
                    "GET /a \"\" -> 400 \"\"",
                    "GET /b \"\"/0+ -> 400 \"\" !malformed",
                    "GET /c \"\" -> 400 \"\"",
                ],
            );
        }
    }
    // Responses that cannot be read, each found once; the request is there.
    for (response, partial) in [
        (
            "< HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            " !malformed",
        ),
        ("< not HTTP at all\r\n\r\n", " !malformed"),
        (
            "< http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            " !malformed",
        ),
        (
            &format!("< HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(70_000)),
            " -> 200 \"\"/0+ !head_too_large",
        ),
    ] {
        check(
            &[
                "> GET /a HTTP/1.1\r\n\r\n",
                response,
                "> GET /b HTTP/1.1\r\n\r\n",
                "< HTTP/1.1 204 No\r\n\r\n",
            ],
            &[&format!("GET /a \"\"{partial}"), "GET /b \"\" -> 204 \"\""],
        );
    }
    // A server makes of a bad field what it likes: the exchange is there.
    check(
        &[
            "> GET /a HTTP/1.1\r\nbad field\r\nA: \x1b\r\n\r\n",
            "< HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
        ],
        &["GET /a \"\" -> 400 \"\""],
    );
    let long = format!("> GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    check(
        &[
            "> GET /a HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 204 No\r\n\r\n",
            &long,
            "< HTTP/1.1 414 Long\r\nContent-Length: 0\r\n\r\n",
            "> GET /b HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 204 No\r\n\r\n",
        ],
        &[
            "GET /a \"\" -> 204 \"\"",
            "GET <65518> \"\" -> 414 \"\" !head_too_large",
            "GET /b \"\" -> 204 \"\"",
        ],
    );
    // A response nobody asked for.
    check(
        &[
            "> GET /a HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 204 No\r\n\r\n",
            "< HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n",
            "<fin",
            ">fin",
        ],
        &["GET /a \"\" -> 204 \"\"", "lost response_only 1"],
    );
}

#[test]
fn a_connect_whose_response_cannot_be_read_hides_nothing() {
    let connect = "> CONNECT a.example:1 HTTP/1.1\r\n\r\n";
    let get = "> GET /b HTTP/1.1\r\n\r\n";
    let refused = "CONNECT a.example:1 \"\" !malformed";
    check(
        &[connect, "< none\r\n\r\n", get, REFUSED],
        &[refused, "GET /b \"\" -> 400 \"\""],
    );
    // It did not wait for the response.
    check(
        &[connect, get, "< none\r\n\r\n", REFUSED],
        &[refused, "GET /b \"\" !unpaired"],
    );
}

#[test]
fn a_response_that_is_none_is_known_however_it_is_split() {
    for response in [
        &["< not HTTP at all\r\n"][..],
        &["< not HTTP", "< at all\r\n"],
        &["< n", "< o"],
        &["< x"],
        &["< \r\n", "< \r\nx"],
        &["< HTT", "< Q"],
        &["< HTTP/1.", "< 1 2", "< x0 OK\r\n"],
    ] {
        let script = [
            &["> GET /a HTTP/1.1\r\n\r\n"][..],
            response,
            &["> GET /b HTTP/1.1\r\n\r\n", "< HTTP/1.1 204 No\r\n\r\n"],
        ]
        .concat();
        check(
            &script,
            &["GET /a \"\" !malformed", "GET /b \"\" -> 204 \"\""],
        );
    }
}

#[test]
fn other_protocols() {
    // Neither side says what HTTP does.
    for script in [
        ["> \0\0\0\x08\x04\u{16}/", "< S", "> \x16\x03", "< \x16\x03"].as_slice(),
        &["< J\0\0\0\n8.0.30\0", "> \x01x", "< \0"],
        &["> \0\0\0\x1f\0\x12\0\0", "< \0\0\0\x1f"],
        &["< SSH-2.0-OpenSSH_9.2\r\n", "> SSH-2.0-Go\r\n", "< \0"],
        &["> SSH-2.0-Go\r\n", "< SSH-2.0-OpenSSH_9.2\r\n"],
        &["> \x16\x03\x01\x02\0\x01", "< \x16\x03\x03"],
    ] {
        ignored(script);
    }
    // Words of both sides: neither is HTTP's.
    for script in [
        ["> *1\r\n$4\r\nPING\r\n", "< +PONG\r\n"].as_slice(),
        &["> PING\r\n", "< +PONG\r\n"],
        &["> SET a b\r\n", "< +OK\r\n"],
        &["< 220 mail ESMTP\r\n", "> EHLO x\r\n", "< 250 x\r\n"],
        &["> get foo\r\n", "< END\r\n"],
        &["> set foo 0 0 3\r\nbar\r\n", "< STORED\r\n"],
        &[
            "> OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "< RTSP/1.0 200 OK\r\n",
        ],
    ] {
        ignored(script);
    }
    // Whoever hides behind such words at a server of HTTP is seen.
    check(
        &[
            "> SET a b\r\n",
            "< HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            "> GET /a HTTP/1.1\r\n\r\n",
            "< HTTP/1.1 204 No\r\n\r\n",
        ],
        &["SET a b \"\" -> 400 \"\"", "GET /a \"\" -> 204 \"\""],
    );
}

/// Nothing is emitted of it, and the hook is asked to ignore it.
fn ignored(script: &[&str]) {
    let mut run = Run::new(Limits::default());
    run.feed(&wire(Side::Server, script).packets);
    let reason = match script.concat().starts_with("> \u{16}\u{3}") {
        true => IgnoreReason::Tls,
        false => IgnoreReason::NotHttp,
    };
    assert_eq!(
        run.output.commands,
        [Command::Ignore(SocketId(1), reason)],
        "{script:#?}"
    );
    run.finish();
    assert_eq!(run.story(), [""; 0], "{script:#?}");
    assert_eq!(run.engine.ledger().started, 0);
    assert_eq!(run.engine.stats().not_http, 1);
}

/// What is not read is counted by kind, however it ends.
#[test]
fn kinds_that_are_not_read() {
    let check = |skip: usize, script: &[&str], expected: [u64; 2]| {
        let mut run = Run::new(Limits::default());
        run.feed(&wire(Side::Server, script).packets[skip..]);
        run.finish();
        let stats = run.engine.stats();
        assert_eq!([stats.not_http, stats.tls], expected, "{script:#?}");
    };
    let hello = "> \x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03";
    let server = "< \x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03";
    let data = ["> \x17\x03\x03\0\x13abcd", "< \x17\x03\x03\0\x13efgh"];
    check(
        0,
        &[hello, server, data[0], data[1], ">fin", "<fin"],
        [1, 1],
    );
    // The server refuses it, does not respond, or says something else.
    check(0, &[hello, "<fin"], [1, 1]);
    check(0, &[hello, ">fin"], [1, 1]);
    check(0, &[hello, "< -ERR\r\n", "> \x17\x03\x03\0\x01a"], [1, 1]);
    // The capture began later.
    check(2, &[hello, server, data[0], data[1]], [1, 1]);
    check(
        2,
        &[&[hello, server], data.repeat(9).as_slice()].concat(),
        [1, 1],
    );
    // Others.
    check(0, &["> SSH-2.0-a\r\n", "< SSH-2.0-b\r\n"], [1, 0]);
    check(0, &["> \x17\x03", "< \0\0"], [1, 0]);
    let plain = ["> GET /a HTTP/1.1\r\n\r\n", "< HTTP/1.1 204 No\r\n\r\n"];
    check(0, &plain, [0, 0]);
}

/// Messages of a call are counted whatever is kept of a body.
#[test]
fn messages_of_a_call() {
    let call = |path: &str, body: &str| {
        let len = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/grpc-web\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        )
    };
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n\
        Transfer-Encoding: chunked\r\n\r\n8\r\n\0\0\0\0\x03abc\r\n8\r\n\0\0\0\0\x05de\x01\r\n\
        2\r\nfg\r\n6\r\n\x7f\0\0\0\x01x\r\n0\r\n\r\n";
    for size in [1, 7, 1000] {
        let mut wire = Wire::new(Side::Server);
        let announced = "\0\x7f\x7f\x7f\x7fabc";
        for request in [call("/s.S/A", "\0\0\0\0\x01a"), call("/s.S/B", announced)] {
            for chunk in request.as_bytes().chunks(size) {
                wire.say(CLIENT, chunk);
            }
            for chunk in chunked.as_bytes().chunks(size) {
                wire.say(SERVER, chunk);
            }
        }
        let mut run = Run::new(Limits {
            body: 0,
            ..Limits::default()
        });
        run.feed(&wire.packets);
        run.finish();
        let counted = |body: &crate::http::Body| {
            let seen = body.messages.expect("counted");
            (seen.count, seen.bytes, seen.inexact)
        };
        let exchanges = run.output.exchanges.iter();
        let requests: Vec<_> = exchanges
            .clone()
            .map(|e| counted(&e.request.body))
            .collect();
        assert_eq!(requests, [(1, 1, false), (1, 3, true)]);
        for exchange in exchanges {
            let response = exchange.response.as_ref().unwrap();
            assert_eq!(counted(&response.body), (3, 9, false));
        }
    }
}

#[test]
fn proxy_preambles() {
    let preamble = "PROXY TCP4 198.51.100.7 192.0.2.2 4711 80\r\n";
    for cuts in [
        vec![],
        vec![1],
        vec![6, 20],
        vec![preamble.len()],
        vec![preamble.len() + 3],
    ] {
        let text = format!("{preamble}GET /a HTTP/1.1\r\n\r\n");
        let mut wire = Wire::new(Side::Server);
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            wire.say(CLIENT, &text[from..cut]);
            from = cut;
        }
        wire.say(SERVER, "HTTP/1.1 204 No\r\n\r\n");
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.finish();
        assert_eq!(run.story(), ["GET /a \"\" -> 204 \"\""]);
        let peers = &run.output.exchanges[0].peers;
        let source = peers.claimed_client.unwrap();
        assert_eq!(source.to_string(), "198.51.100.7:4711");
        assert_eq!(peers.claimed_port, Some(80));
    }
}

#[test]
fn a_preamble_counts_where_the_server_expects_one() {
    let check = |responses: &[&str], expected: &[bool]| {
        let mut wire = Wire::new(Side::Server);
        wire.say(CLIENT, "PROXY TCP4 198.51.100.7 192.0.2.2 4711 80\r\n");
        for response in responses {
            wire.say(CLIENT, "GET /a HTTP/1.1\r\n\r\n");
            if !response.is_empty() {
                wire.say(SERVER, response);
            }
        }
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        run.finish();
        let exchanges = run.output.exchanges.iter();
        let believed: Vec<_> = exchanges
            .map(|exchange| exchange.peers.claimed_client.is_some())
            .collect();
        assert_eq!(believed, expected, "{responses:?}");
    };
    let (good, bad) = (
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n",
    );
    check(&[good], &[true]);
    check(&["HTTP/1.1 404 Not\r\ncontent-length: 0\r\n\r\n"], &[true]);
    // One bad request later is no doubt, and one good later no proof.
    check(&[good, bad], &[true, true]);
    check(&[bad, good], &[false, false]);
    check(&["HTTP/1.1 100 Continue\r\n\r\n"], &[false]);
    check(&[""], &[false]);
}

/// The client's end alone begins with a preamble.
#[test]
fn a_preamble_of_the_server_is_none() {
    let script = [
        "> PROXY UNKNOWN\r\n",
        "< PROXY UNKNOWN\r\nGET /a HTTP/1.1\r\n\r\n",
    ];
    let mut run = Run::new(Limits::default());
    run.feed(&wire(Side::Server, &script).packets);
    run.finish();
    assert_eq!(run.engine.stats().not_http, 1);
    assert!(run.story().is_empty());
}

/// A reset waits for the bytes that it overtook; when they do not come, it counts all the same.
#[test]
fn a_reset_that_overtakes() {
    let script = ["> GET /a HTTP/1.1\r\n\r\n", "< HTTP/1.1 204 No\r\n\r\n"].repeat(2);
    for (lost, expected) in [
        (false, "GET /a \"\" -> 204 \"\""),
        (true, "GET /a \"\" !no_response"),
    ] {
        let mut wire = wire(Side::Server, &script);
        wire.rst(SERVER);
        wire.packets.swap(3, 4);
        if lost {
            wire.packets.pop();
        }
        let time = wire.packets.last().unwrap().time;
        let mut run = Run::new(Limits::default());
        run.feed(&wire.packets);
        let wait = Limits::default().reorder_wait;
        run.engine.expire(time + wait, &mut run.output);
        assert_eq!(run.engine.connections(), 0);
        run.finish();
        assert_eq!(run.story(), ["GET /a \"\" -> 204 \"\"", expected]);
    }
}

#[test]
fn websocket_messages() {
    let mut wire = wire(
        Side::Client,
        &[
            "> GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "< HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\n\r\n\x01\x02\x03",
        ],
    );
    wire.packets
        .last_mut()
        .unwrap()
        .payload
        .splice(46.., [0x81, 1, b'x']);
    wire.say(CLIENT, [0x82, 0x82, 1, 2, 3, 4, 5, 6, 0x81]);
    wire.say(CLIENT, [0x80, 1, 2, 3, 4]);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    assert_eq!(run.output.exchanges.len(), 1);
    assert_eq!(run.engine.stats().websocket_messages, [2, 1]);
    assert_eq!(run.engine.stats().upgraded_bytes, [14, 3]);
}

#[test]
fn times() {
    let wire = wire(
        Side::Server,
        &[
            "> POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
            "> hi",
            "< HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            "< \r\nh",
            "< o",
        ],
    );
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    let times: Vec<u64> = wire.packets.iter().map(|packet| packet.time).collect();
    let exchange = &run.output.exchanges[0];
    let response = exchange.response.as_ref().unwrap();
    let got = [
        exchange.request.began,
        exchange.request.ended,
        response.began,
        response.ended,
    ];
    assert_eq!(got, [times[0], times[1], times[2], times[4]]);
    assert_eq!(exchange.duration(), times[4] - times[0]);
}
