//! Segments of a few connections, made of parts of HTTP and of anything: the ledger balances at
//! every step, memory stays within its bound, nothing stays open; and when nothing was lost,
//! cutting the same bytes differently changes nothing.

#![no_main]

use std::fmt::Write;
use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use meshtap::capture::{Event, Segment};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Partial;
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};

const MEMORY: usize = 64 * 1024;

/// Parts that messages are made of; which one, a byte of the input says. Other bytes stand for
/// themselves.
const CHUNKS: [&str; 48] = [
    "GET /a HTTP/1.1\r\n",
    "POST /b HTTP/1.1\r\n",
    "HEAD /c HTTP/1.1\r\n",
    "CONNECT h:1 HTTP/1.1\r\n",
    "PUT http://h/d HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304\r\n",
    "HTTP/1.0 404 Not Found\r\n",
    "Host: x\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 300\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: 99999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "Connection: close\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "hello",
    "5\r\nhello\r\n",
    "5;a=b\r\nhello\r\n",
    "ffffffff\r\n",
    "0\r\n\r\n",
    "0\r\nT: 1\r\n\r\n",
    "\u{1}\u{5}hello",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "PROXY UNKNOWN\r\n",
    "\r\n\r\n\0\r\nQUIT\n!\u{11}\0\u{c}",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "POST /e HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nhello",
    "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "GET / HT",
    "GET key\r\n",
    "\u{16}\u{3}\u{1}",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// The third socket is the client's end of the first connection.
const CLIENT_END: usize = 2;

/// One segment, its bytes, and what happens to it.
struct Step {
    socket: usize,
    client: bool,
    seq: u32,
    ack: u32,
    expected: u32,
    fin: bool,
    rst: bool,
    skipped: bool,
    start: bool,
    listener: bool,
    uncopied: u32,
    /// Nanoseconds since the step before.
    wait: u64,
    payload: Vec<u8>,
}

struct Script {
    steps: Vec<Step>,
    /// Every byte of every connection is in it, in order.
    is_whole: bool,
}

fn read(mut data: &[u8]) -> Script {
    let mut script = Script {
        steps: Vec::new(),
        is_whole: true,
    };
    // By socket and by end. The second connection wraps soon.
    let mut next = [[1000_u32, 9000], [u32::MAX - 40, u32::MAX - 90], [5, 6]];
    let first = next;
    let mut ended = [[false; 2]; 3];
    while let [op, how, len, rest @ ..] = data {
        let len = usize::from(*len).min(rest.len());
        let (source, rest) = rest.split_at(len);
        data = rest;
        let socket = usize::from(op >> 1) % 3;
        let (own, other) = match op & 1 {
            0 => (0, 1),
            _ => (1, 0),
        };
        let error = how & 0x1f;
        let mut payload = Vec::new();
        // A reset carries nothing.
        for byte in source.iter().filter(|_| error != 2) {
            match CHUNKS.get(usize::from(byte.wrapping_sub(128))) {
                Some(chunk) => payload.extend(chunk.bytes()),
                None => payload.push(*byte),
            }
        }
        let seq = next[socket][own];
        let wire_len = u32::try_from(payload.len()).unwrap_or(0);
        let mut step = Step {
            socket,
            client: own == 0,
            seq,
            ack: next[socket][other],
            expected: seq,
            fin: false,
            rst: false,
            skipped: false,
            start: seq == first[socket][own],
            listener: false,
            uncopied: 0,
            wait: 1000,
            payload,
        };
        next[socket][own] = seq.wrapping_add(wire_len);
        // Errors that leave something out, silence that lets a connection be forgotten, and what
        // follows an end.
        script.is_whole &= !matches!(error, 3..=10) && !ended[socket][own];
        ended[socket][own] |= matches!(error, 1 | 2);
        ended[socket][other] |= error == 2;
        match error {
            1 => {
                step.fin = true;
                next[socket][own] = next[socket][own].wrapping_add(1);
            }
            2 => step.rst = true,
            // Lost, shifted, repeated, cut off, skipped.
            3 => continue,
            4 => step.seq = step.seq.wrapping_add(u32::from(how >> 5)),
            5 => step.seq = step.seq.wrapping_sub(u32::from(how >> 5) * 8),
            6 => step.uncopied = u32::from(*how) * 16,
            7 => {
                step.skipped = true;
                step.uncopied = u32::from(*how) << 12;
                next[socket][own] = next[socket][own].wrapping_add(step.uncopied);
            }
            8 => step.expected = step.expected.wrapping_sub(u32::from(how >> 5) * 16),
            9 => step.start = !step.start,
            10 => step.wait = u64::from(*how) * 2_000_000_000,
            11 => step.listener = step.client && step.start && socket != CLIENT_END,
            _ => {}
        }
        script.steps.push(step);
    }
    script
}

/// All that can be reported of a run, whether track was never lost, and how many segments of a
/// listener were dropped for want of room.
fn run(script: &Script, cut: usize) -> (String, bool, u64) {
    let mut engine = Engine::new(Limits {
        body: 64,
        head: 2048,
        reorder_bytes: 4096,
        pipeline: 8,
        connections: 4,
        memory: MEMORY,
        ..Limits::default()
    });
    let mut output = Output::default();
    let mut time = 1;
    let server: Endpoint = SocketAddr::from(([192, 0, 2, 1], 80)).into();
    for step in &script.steps {
        time += step.wait;
        if step.wait > 1000 {
            engine.expire(time, &mut output);
        }
        let is_client_end = step.socket == CLIENT_END;
        let port = if step.socket == 1 { 1001 } else { 1000 };
        let client: Endpoint = SocketAddr::from(([192, 0, 2, 2], port)).into();
        let (local, remote) = if is_client_end {
            (client, server)
        } else {
            (server, client)
        };
        let chunks = step.payload.len().div_ceil(cut).max(1);
        for (n, at) in (0..chunks).zip((0_u32..).step_by(cut)) {
            let from = at as usize;
            let to = (from + cut).min(step.payload.len());
            let payload = step.payload.get(from..to).unwrap_or_default();
            let is_last = n + 1 == chunks;
            let copied = u32::try_from(payload.len()).unwrap_or(0);
            let socket = SocketId(step.socket as u64 + if step.listener { 100 } else { 1 });
            let direction = match step.client == is_client_end {
                true => Direction::Egress,
                false => Direction::Ingress,
            };
            engine.event(
                &Event::Tcp(Segment {
                    time,
                    cgroup: CgroupId(1),
                    seq: step.seq.wrapping_add(at),
                    ack: step.ack,
                    expected: step.expected.wrapping_add(at),
                    wire_len: copied + if is_last { step.uncopied } else { 0 },
                    start: step.start && n == 0,
                    fin: step.fin && is_last,
                    rst: step.rst && is_last,
                    listener: step.listener,
                    skipped: step.skipped,
                    urgent: None,
                    ..Segment::new(socket, direction, (local, remote), payload)
                }),
                &mut output,
            );
            assert_eq!(engine.ledger().imbalance(), 0);
            assert!(engine.memory() <= MEMORY);
            assert!(engine.connections() <= 4);
        }
    }
    engine.finish(time, &mut output);
    let ledger = engine.ledger();
    assert_eq!(ledger.imbalance(), 0);
    assert_eq!(ledger.in_flight, 0);
    assert_eq!(ledger.emitted(), output.exchanges.len() as u64);
    assert_eq!(engine.memory(), 0);
    assert_eq!(engine.connections(), 0);
    let mut emitted = String::new();
    for exchange in &output.exchanges {
        assert!(exchange.partial.is_some() || exchange.response.is_some());
        let request = &exchange.request;
        let _ = write!(
            emitted,
            "{:?} {:?}",
            request.head.method(),
            request.head.target()
        );
        let fields: Vec<_> = request.head.fields.iter().collect();
        let _ = write!(
            emitted,
            "{fields:?} {:?} {:?}",
            request.body, exchange.partial
        );
        if let Some(response) = &exchange.response {
            assert!(response.body.bytes.len() <= 64);
            assert!(response.body.size >= response.body.bytes.len() as u64);
            let fields: Vec<_> = response.head.fields.iter().collect();
            let _ = write!(
                emitted,
                "{} {fields:?} {:?}",
                response.head.status, response.body
            );
        }
        emitted.push('\n');
    }
    let _ = write!(emitted, "{ledger:?}");
    let stats = engine.stats();
    let is_clean = ledger.dropped.iter().sum::<u64>() == 0
        && ledger.partial[Partial::Malformed as usize] == 0
        && ledger.partial[Partial::HeadTooLarge as usize] == 0
        && stats.not_http + stats.http2 + stats.evicted_connections + stats.gaps == 0;
    (emitted, is_clean, stats.pre_accept_dropped)
}

fuzz_target!(|data: &[u8]| {
    let script = read(data);
    let (emitted, is_clean, pre_accept) = run(&script, usize::MAX);
    // Where track was lost, the beginnings of segments matter.
    if script.is_whole && is_clean && pre_accept == 0 {
        for cut in [1, 2, 7] {
            let (emitted_in_chunks, _, pre_accept) = run(&script, cut);
            assert!(
                pre_accept > 0 || emitted_in_chunks == emitted,
                "{cut}: {emitted_in_chunks}\nand whole: {emitted}"
            );
        }
    }
});
