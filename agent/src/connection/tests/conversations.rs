//! Whole conversations, on whole streams.

use super::wire::{CLIENT, Run, SERVER, Wire};
use crate::connection::Limits;
use crate::flow::Side;

/// Lines of the script: `> text` the client says, `< text` the server says, each in one segment; `>fin`, `<fin`, `>rst`, `<rst`.
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
