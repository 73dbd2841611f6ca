//! A connection of HTTP/2, made of frames and of anything: the ledger balances at every step,
//! memory stays within its bound, nothing stays in flight; and when nothing was lost, cutting the
//! same bytes differently changes nothing.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use meshtap::capture::{Event, Segment};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};
use meshtap::http::h2::frame::PREFACE;

const MEMORY: usize = 64 * 1024;

/// Frames that conversations are made of; which one, a byte of the input says, and the next one of
/// which stream. Other bytes stand for themselves.
const FRAMES: [(u8, u8, &[u8]); 20] = [
    (1, 5, &[0x82, 0x84, 0x86]),
    (1, 4, &[0x83, 0x84, 0x86, 0x40, 1, b'a', 1, b'b']),
    (1, 4, &[0x88, 0xbe]),
    (1, 5, &[0x88]),
    (1, 4, b"\x48\x03103"),
    (1, 0, &[0x82]),
    (9, 4, &[0x84, 0x86]),
    (9, 0, &[0xbe]),
    (0, 0, b"body"),
    (0, 1, b"end"),
    (0, 9, &[2, b'x', 0, 0]),
    (3, 0, &[0, 0, 0, 8]),
    (4, 0, &[0, 1, 0, 0, 0, 0]),
    (4, 1, &[]),
    (5, 4, &[0, 0, 0, 2, 0x82, 0x84]),
    (6, 0, &[0; 8]),
    (7, 0, &[0, 0, 0, 3, 0, 0, 0, 0]),
    (8, 0, &[0, 0, 0, 1]),
    (1, 4, b"\x42\x07CONNECT\x41\x01h"),
    (1, 4, &[0x88, 0x40, 4, b'n', b'a', b'm', b'e', 0]),
];

/// The connection's own frames.
const ON_NO_STREAM: [u8; 4] = [4, 6, 7, 16];

struct Step {
    client: bool,
    lost: bool,
    bytes: Vec<u8>,
}

fn read(data: &[u8]) -> Vec<Step> {
    let mut steps = vec![Step {
        client: true,
        lost: false,
        bytes: PREFACE.to_vec(),
    }];
    let mut rest = data;
    while let [how, len, more @ ..] = rest {
        let (source, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        let mut bytes = Vec::new();
        let mut source = source.iter();
        while let Some(byte) = source.next() {
            match FRAMES.get(usize::from(byte.wrapping_sub(200))) {
                Some((kind, flags, payload)) => {
                    let stream = source.next().copied().unwrap_or_default();
                    let stream = if ON_NO_STREAM.contains(kind) {
                        0
                    } else {
                        stream
                    };
                    let length = u8::try_from(payload.len()).unwrap();
                    bytes.extend([0, 0, length, *kind, *flags, 0, 0, 0, stream]);
                    bytes.extend_from_slice(payload);
                }
                None => bytes.push(*byte),
            }
        }
        if !bytes.is_empty() {
            steps.push(Step {
                client: how & 1 == 0,
                lost: how & 0xf0 == 0xf0,
                bytes,
            });
        }
    }
    steps
}

/// What is emitted, in segments of at most so many bytes.
fn run(steps: &[Step], size: usize, lossless: bool) -> Vec<String> {
    let end = |port| Endpoint::from(SocketAddr::from(([192, 0, 2, 1], port)));
    let mut engine = Engine::new(Limits {
        memory: MEMORY,
        ..Limits::default()
    });
    let mut output = Output::default();
    let mut next = [1000_u32, 9000];
    let first = next;
    let mut now = 1_000_000_000;
    let mut emitted = Vec::new();
    for step in steps {
        let (own, other) = if step.client { (0, 1) } else { (1, 0) };
        for bytes in step.bytes.chunks(size) {
            let seq = next[own];
            next[own] = seq.wrapping_add(u32::try_from(bytes.len()).unwrap());
            if step.lost && !lossless {
                continue;
            }
            let direction = match step.client {
                true => Direction::Ingress,
                false => Direction::Egress,
            };
            let segment = Segment {
                time: now,
                cgroup: CgroupId(1),
                seq,
                ack: next[other],
                expected: seq,
                start: seq == first[own],
                // It may guess anything.
                guess: Some(seq.wrapping_add(u32::try_from(bytes.len() / 2).unwrap())),
                ..Segment::new(SocketId(1), direction, (end(80), end(5000)), bytes)
            };
            engine.event(&Event::Tcp(segment), &mut output);
            assert_eq!(engine.ledger().imbalance(), 0);
            assert!(engine.memory() <= 2 * MEMORY);
        }
        now += 1_000_000;
        engine.expire(now, &mut output);
        output.commands.clear();
    }
    engine.finish(now, &mut output);
    assert_eq!(engine.ledger().imbalance(), 0);
    assert_eq!(engine.ledger().in_flight, 0);
    for exchange in output.exchanges.drain(..) {
        let response = exchange.response.as_ref();
        emitted.push(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            exchange.stream,
            exchange.request.head.method(),
            exchange.request.body.bytes,
            response.map(|response| response.head.status),
            response.map(|response| response.body.bytes.clone()),
            exchange.reset,
            exchange.partial,
        ));
    }
    emitted
}

fuzz_target!(|data: &[u8]| {
    let [size, data @ ..] = data else { return };
    let steps = read(data);
    let whole = run(&steps, usize::MAX, true);
    let cut = run(&steps, usize::from(*size).max(1), true);
    assert_eq!(whole, cut);
    run(&steps, usize::from(*size).max(1), false);
});
