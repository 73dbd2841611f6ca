//! How many exchanges one core turns segments into, by CPU time. No framework, so that it runs
//! under callgrind as well:
//!
//! ```text
//! cargo bench --bench engine                    every case
//! cargo bench --bench engine -- small 1         one case, one round
//! ```

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and may fail"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use meshtap::capture::{Event, Segment};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};

/// Connections used in turn, each with one exchange at a time.
const CONNECTIONS: u16 = 64;
const EXCHANGES: usize = 100_000;

struct Case {
    name: &'static str,
    request: Vec<u8>,
    response: Vec<u8>,
    /// Bytes per segment.
    segment: usize,
    /// Requests per batch.
    pipeline: usize,
}

fn head(start: &str, fields: usize) -> String {
    let mut head = format!("{start}\r\n");
    for field in 0..fields {
        head += &format!("x-field-number-{field}: some value of usual length {field}\r\n");
    }
    head
}

fn with_length(start: &str, fields: usize, body: usize) -> Vec<u8> {
    let mut bytes = head(start, fields).into_bytes();
    bytes.extend(format!("content-length: {body}\r\n\r\n").bytes());
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

fn chunked(start: &str, fields: usize, chunks: usize, len: usize) -> Vec<u8> {
    let mut bytes = head(start, fields).into_bytes();
    bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
    for _ in 0..chunks {
        bytes.extend(format!("{len:x}\r\n").bytes());
        bytes.resize(bytes.len() + len, b'x');
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn cases() -> Vec<Case> {
    let get = || {
        let mut bytes = head("GET /api/v1/items?id=1 HTTP/1.1", 6).into_bytes();
        bytes.extend(b"\r\n");
        bytes
    };
    let ok = "HTTP/1.1 200 OK";
    let post = "POST /api/v1/items HTTP/1.1";
    vec![
        Case {
            name: "small",
            request: get(),
            response: with_length(ok, 6, 20),
            segment: usize::MAX,
            pipeline: 1,
        },
        Case {
            name: "1k-both",
            request: with_length(post, 6, 1024),
            response: with_length(ok, 6, 1024),
            segment: usize::MAX,
            pipeline: 1,
        },
        Case {
            name: "1k-chunked",
            request: get(),
            response: chunked(ok, 6, 4, 256),
            segment: usize::MAX,
            pipeline: 1,
        },
        Case {
            name: "64k-mss",
            request: get(),
            response: with_length(ok, 6, 64 * 1024),
            segment: 1448,
            pipeline: 1,
        },
        Case {
            name: "pipelined",
            request: get(),
            response: with_length(ok, 6, 20),
            segment: usize::MAX,
            pipeline: 16,
        },
    ]
}

struct Socket {
    id: u64,
    remote: Endpoint,
    next: [u32; 2],
    start: [bool; 2],
}

/// An engine and its clock.
struct Drive {
    engine: Engine,
    output: Output,
    local: Endpoint,
    time: u64,
}

impl Drive {
    fn new() -> Self {
        Self {
            engine: Engine::new(Limits::default()),
            output: Output::default(),
            local: SocketAddr::from(([10, 0, 0, 1], 80)).into(),
            time: 0,
        }
    }

    fn say(&mut self, socket: &mut Socket, direction: Direction, bytes: &[u8], segment: usize) {
        let own = direction as usize;
        for payload in bytes.chunks(segment.min(bytes.len())) {
            self.time += 1000;
            let wire_len = u32::try_from(payload.len()).unwrap();
            self.engine.event(
                &Event::Tcp(Segment {
                    time: self.time,
                    cgroup: CgroupId(1),
                    seq: socket.next[own],
                    ack: socket.next[1 - own],
                    expected: socket.next[own],
                    start: std::mem::take(&mut socket.start[own]),
                    ..Segment::new(
                        SocketId(socket.id),
                        direction,
                        (self.local, socket.remote),
                        payload,
                    )
                }),
                &mut self.output,
            );
            socket.next[own] = socket.next[own].wrapping_add(wire_len);
        }
    }
}

fn socket(n: u16) -> Socket {
    Socket {
        id: u64::from(n) + 1,
        remote: SocketAddr::from(([10, 0, 0, 2], 10_000 + n)).into(),
        next: [1000, 5000],
        start: [true, true],
    }
}

/// CPU time of this thread: other work on the machine does not count. (The clock's own call does
/// not run under callgrind.)
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Resident bytes of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What open connections cost that have sent half a request.
fn open_connections() {
    const OPEN: u16 = 10_000;
    let before = resident();
    let mut drive = Drive::new();
    let half = head("GET /api/v1/items?id=1 HTTP/1.1", 6);
    for n in 0..OPEN {
        drive.say(
            &mut socket(n),
            Direction::Ingress,
            half.as_bytes(),
            usize::MAX,
        );
    }
    let each = (resident() - before) / usize::from(OPEN);
    println!(
        "{OPEN} connections with {} bytes of a request: {each} resident bytes each, {} of them counted",
        half.len(),
        drive.engine.memory() / usize::from(OPEN),
    );
    assert_eq!(drive.engine.ledger().in_flight, u64::from(OPEN));
}

fn round(case: &Case) -> Duration {
    let mut drive = Drive::new();
    let mut sockets: Vec<Socket> = (0..CONNECTIONS).map(socket).collect();
    let requests = case.request.repeat(case.pipeline);
    let responses = case.response.repeat(case.pipeline);
    let mut emitted = 0;
    let began = cpu();
    for n in 0..EXCHANGES / case.pipeline {
        let socket = &mut sockets[n % usize::from(CONNECTIONS)];
        drive.say(socket, Direction::Ingress, &requests, case.segment);
        drive.say(socket, Direction::Egress, &responses, case.segment);
        if n % 64 == 63 {
            emitted += drive.output.exchanges.len();
            black_box(&drive.output.exchanges);
            drive.output.exchanges.clear();
            drive.output.commands.clear();
            drive.engine.expire(drive.time, &mut drive.output);
        }
    }
    let elapsed = cpu().saturating_sub(began);
    emitted += drive.output.exchanges.len();
    assert_eq!(emitted, EXCHANGES / case.pipeline * case.pipeline);
    assert_eq!(drive.engine.ledger().emitted_complete, emitted as u64);
    elapsed
}

fn main() {
    open_connections();
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let only = arguments.next();
    let rounds: usize = arguments.next().map_or(5, |text| text.parse().unwrap());
    for case in cases() {
        if only.as_ref().is_some_and(|only| only != case.name) {
            continue;
        }
        let best = (0..rounds).map(|_| round(&case)).min().unwrap();
        let nanos = best.as_nanos() / EXCHANGES as u128;
        let rate = EXCHANGES as f64 / best.as_secs_f64();
        println!(
            "{:<12} {rate:>12.0} exchanges/s {nanos:>8} ns/exchange",
            case.name
        );
    }
}
