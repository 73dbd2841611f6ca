//! Streams that come in order, without TCP: what a TLS session carries.

use std::net::SocketAddr;

use meshtap_common::IgnoreReason;

use super::wire::{CLIENT, Run, SERVER, Who};
use crate::capture::{Command, Event, Plaintext};
use crate::engine::Limits;
use crate::flow::{CgroupId, ConnectionId, Direction, Offset, SocketId};

/// Steps of a conversation at the server's end: who, what, and how many bytes of the sender's
/// before that were lost.
type Step<'a> = (Who, &'a str, u64);

fn feed(run: &mut Run, start: bool, counts_reads: bool, steps: &[Step<'_>]) {
    let mut sent = [0_u64; 2];
    for (who, text, lost) in steps {
        let own = *who as usize;
        sent[own] += lost;
        run.now += 1_000_000;
        let range = Plaintext {
            time: run.now,
            connection: ConnectionId::tls(9),
            socket: SocketId(1),
            cgroup: CgroupId(7),
            direction: match *who {
                CLIENT => Direction::Ingress,
                SERVER => Direction::Egress,
            },
            local: SocketAddr::from(([192, 0, 2, 1], 443)).into(),
            remote: SocketAddr::from(([192, 0, 2, 2], 5000)).into(),
            offset: Offset(sent[own]),
            heard: counts_reads.then_some(Offset(sent[1 - own])),
            len: text.len() as u64,
            start,
            end: false,
            bytes: text.as_bytes(),
        };
        sent[own] += text.len() as u64;
        let event = Event::Plaintext(range);
        run.engine.event(&event, &mut run.output);
        assert_eq!(run.engine.ledger().imbalance(), 0);
    }
}

fn check(counts_reads: bool, steps: &[Step<'_>], expected: &[&str]) {
    check_from(true, counts_reads, steps, expected);
}

fn check_from(start: bool, counts_reads: bool, steps: &[Step<'_>], expected: &[&str]) {
    let mut run = Run::new(Limits::default());
    feed(&mut run, start, counts_reads, steps);
    let closed = Event::Closed {
        connection: ConnectionId::tls(9),
        time: run.now,
    };
    run.engine.event(&closed, &mut run.output);
    assert_eq!(run.engine.connections(), 0);
    run.finish();
    assert_eq!(run.story(), expected);
    for exchange in &run.output.exchanges {
        assert_eq!(exchange.peers.connection, ConnectionId::tls(9));
        assert_eq!(exchange.peers.server.port(), 443);
    }
    // The socket below carries the same, encrypted. Nothing else can be asked of a TLS session.
    assert_eq!(
        run.output.commands,
        [Command::Ignore(SocketId(1), IgnoreReason::Decrypted)]
    );
}

const GET_A: &str = "GET /a HTTP/1.1\r\n\r\n";
const GET_B: &str = "GET /b HTTP/1.1\r\n\r\n";
const A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
const B: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb";

#[test]
fn whole_streams() {
    for counts_reads in [true, false] {
        check(
            counts_reads,
            &[(CLIENT, GET_A, 0), (SERVER, A, 0), (CLIENT, GET_B, 0)],
            &["GET /a \"\" -> 200 \"a\"", "GET /b \"\" !no_response"],
        );
    }
}

/// A session that is older than the agent: what is counted begins in the middle.
#[test]
fn picked_up_in_the_middle() {
    let late = |steps: &[Step<'_>], expected: &[&str]| check_from(false, true, steps, expected);
    late(
        &[
            (CLIENT, GET_A, 0),
            (SERVER, A, 0),
            (CLIENT, GET_B, 0),
            (SERVER, B, 0),
        ],
        &["GET /a \"\" -> 200 \"a\"", "GET /b \"\" -> 200 \"b\""],
    );
    // The response to a request that came before.
    late(
        &[(SERVER, A, 0), (CLIENT, GET_B, 0), (SERVER, B, 0)],
        &["GET /b \"\" -> 200 \"b\"", "lost response_only 1"],
    );
    // Two requests in one read, of which the first may be the end of a body.
    late(
        &[
            (CLIENT, &[GET_A, GET_B].concat(), 0),
            (SERVER, A, 0),
            (SERVER, B, 0),
            (CLIENT, GET_A, 0),
            (SERVER, A, 0),
        ],
        &["GET /a \"\" -> 200 \"a\"", "lost uncertain 2"],
    );
    // The middle of a body, in two ranges.
    late(
        &[
            (CLIENT, "rest of a body", 0),
            (CLIENT, "and more", 0),
            (SERVER, A, 0),
            (CLIENT, GET_B, 0),
            (SERVER, B, 0),
        ],
        &["GET /b \"\" -> 200 \"b\"", "lost response_only 1"],
    );
}

#[test]
fn a_lost_response_to_pipelined_requests() {
    check(
        false,
        &[
            (CLIENT, GET_A, 0),
            (CLIENT, GET_B, 0),
            (SERVER, B, A.len() as u64),
        ],
        &["GET /a \"\" !unpaired", "GET /b \"\" !unpaired"],
    );
}

/// Without knowing what a sender had read, nothing is paired again after a gap.
#[test]
fn pairing_after_a_gap() {
    let steps = [
        (CLIENT, GET_A, 0),
        (SERVER, "HTTP/1.1 200 OK\r\n\r\n", 10),
        (CLIENT, GET_B, 0),
        (SERVER, B, 0),
    ];
    check(
        true,
        &steps,
        &["GET /a \"\" !gap", "GET /b \"\" -> 200 \"b\""],
    );
    check(
        false,
        &steps,
        &["GET /a \"\" !gap", "GET /b \"\" !unpaired"],
    );
}
