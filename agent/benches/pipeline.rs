//! The user-space pipeline without a kernel: segments kept in memory → engine → policy → span →
//! OTLP bytes, on one thread; and engine → admission → Istio's metrics, without any span.
//!
//! Prints, for bodies of 1 KB and of 4 KB (half of it in the request, half in the response),
//! exchanges per second of processor time and the time of each step. `MESHTAP_BENCH_EXCHANGES` sets
//! how many exchanges a round has; `MESHTAP_BENCH_PROTOCOL` is `h1` or `h2` (ten streams at a time
//! on each connection), both if unset; `MESHTAP_BENCH_STEP` ends the pipeline early (none, engine,
//! metrics, policy, span, otlp), which is what a profiler that counts instructions is run with.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::export::otlp::{BatchConfig, Requests};
use meshtap::flow::{CgroupId, Direction, Endpoint, Side, SocketId};
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{self, Gate};
use meshtap::signal::metrics::{End, EndLabels, Metrics, MetricsSection, Security, Subject};
use meshtap::signal::span::{Origin, Profile, SpanBuilder};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections over which the exchanges are spread, as on a node with some services.
const CONNECTIONS: u64 = 64;
/// What one TCP segment carries: loopback's, and that of a segmentation offload.
const SEGMENT: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Only the recording is made.
    None,
    Engine,
    /// Beside the others: no step after it has metrics.
    Metrics,
    Policy,
    Span,
    Otlp,
}

const STEPS: [Step; 5] = [
    Step::Engine,
    Step::Metrics,
    Step::Policy,
    Step::Span,
    Step::Otlp,
];

/// One chunk of the recording.
struct Chunk {
    socket: SocketId,
    direction: Direction,
    seq: u32,
    ack: u32,
    remote: Endpoint,
    start: bool,
    payload: Vec<u8>,
}

fn main() {
    let wanted = std::env::var("MESHTAP_BENCH_EXCHANGES").ok();
    let exchanges = wanted.and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let last = std::env::var("MESHTAP_BENCH_STEP").ok();
    let last = last.map(|name| {
        let step = [Step::None]
            .iter()
            .chain(&STEPS)
            .find(|s| format!("{s:?}").eq_ignore_ascii_case(&name));
        *step.expect("one of none, engine, metrics, policy, span, otlp")
    });
    let size = std::env::var("MESHTAP_BENCH_BODY").ok();
    let sizes: Vec<usize> = match size {
        Some(size) => vec![size.parse().expect("a number of bytes")],
        None => vec![1024, 4096],
    };
    let protocol = std::env::var("MESHTAP_BENCH_PROTOCOL").ok();
    let protocols = [
        ("h1", recording as fn(u64, usize) -> Vec<Chunk>),
        ("h2", recording_h2),
    ];
    let protocols = protocols
        .into_iter()
        .filter(|(name, _)| protocol.as_ref().is_none_or(|only| only == name));
    let rounds = protocols.flat_map(|protocol| sizes.iter().map(move |size| (protocol, *size)));
    for ((protocol, recording), size) in rounds {
        let recording = recording(exchanges, size);
        if let Some(step) = last {
            // One round, and nothing else, for a profiler.
            if step > Step::None {
                black_box(round(&recording, step));
            }
            black_box(recording);
            continue;
        }
        let mut before = Duration::ZERO;
        for step in STEPS {
            let best = (0..5)
                .map(|_| timed(&recording, step, exchanges))
                .min()
                .unwrap();
            let each = best.as_nanos() as f64 / exchanges as f64;
            let own = each - before.as_nanos() as f64 / exchanges as f64;
            let rate = exchanges as f64 / best.as_secs_f64();
            println!(
                "{protocol} {size:>5} B bodies, to {:<6}  {rate:>9.0} exchanges/s per core, {each:>6.0} ns each, {own:>6.0} ns of it here",
                format!("{step:?}").to_lowercase(),
            );
            if step != Step::Metrics {
                before = best;
            }
        }
    }
}

fn timed(recording: &[Chunk], step: Step, exchanges: u64) -> Duration {
    let began = cpu_time();
    let made = round(recording, step);
    let took = cpu_time() - began;
    assert_eq!(made, exchanges, "exchanges went missing");
    took
}

/// Runs the recording through the pipeline up to `step`; the number of exchanges that came out.
fn round(recording: &[Chunk], step: Step) -> u64 {
    let mut engine = Engine::new(Limits::default());
    let mut gate = Gate::new(&policy::Config::default(), &redact::Config::default()).unwrap();
    let builder = SpanBuilder::new(meshtap::signal::span::Settings {
        profile: Profile::Mesh,
        ..meshtap::signal::span::Settings::default()
    });
    let metrics = Metrics::new(&MetricsSection::default()).expect("on by default");
    let (source, destination) = (end("web"), end("orders"));
    let subject = Subject {
        side: Side::Server,
        source: Some(&source),
        destination: Some(&destination),
        service: None,
        security: Security::Plain,
    };
    let clock = WallClock { offset: 0 };
    let mut requests = Requests::new(&BatchConfig::default());
    let mut output = Output::default();
    let local = Endpoint::from(SocketAddr::from(([10, 0, 0, 1], 8080)));
    let mut made = 0;
    let mut encoded = 0;
    let mut time = 1;
    // As many segments as one poll of the ring buffer gives under load.
    for poll in recording.chunks(128) {
        for chunk in poll {
            time += 1000;
            let segment = Segment {
                time,
                cgroup: CgroupId(1),
                seq: chunk.seq,
                ack: chunk.ack,
                expected: chunk.seq,
                start: chunk.start,
                ..Segment::new(
                    chunk.socket,
                    chunk.direction,
                    (local, chunk.remote),
                    &chunk.payload,
                )
            };
            engine.event(&Event::Tcp(segment), &mut output);
        }
        engine.expire(time, &mut output);
        output.commands.clear();
        for exchange in output.exchanges.drain(..) {
            made += 1;
            if step < Step::Policy {
                black_box(exchange);
                continue;
            }
            if step == Step::Metrics {
                let context = PolicyContext::default();
                let Ok(admitted) = gate.policy.admit(exchange, &context) else {
                    panic!("nothing is filtered here");
                };
                metrics.exchange(admitted.exchange(), &subject, None, None);
                continue;
            }
            let Ok(sanitized) = gate.pass(exchange, &PolicyContext::default(), &clock) else {
                panic!("nothing is filtered here");
            };
            if step < Step::Span {
                black_box(sanitized);
                continue;
            }
            let span = builder.build(&sanitized, &Origin::default());
            if step < Step::Otlp {
                black_box(span);
                continue;
            }
            encoded += requests.add(&span).map_or(0, |batch| batch.bytes);
        }
    }
    engine.finish(time, &mut output);
    made += output.exchanges.len() as u64;
    encoded += requests.close().map_or(0, |batch| batch.bytes);
    black_box((encoded, metrics.totals()));
    made
}

/// The labels of a workload.
fn end(name: &str) -> Arc<EndLabels> {
    EndLabels::new(End {
        workload: name.into(),
        namespace: "shop".into(),
        app: name.into(),
        canonical_service: name.into(),
        ..End::default()
    })
}

fn recording(exchanges: u64, size: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut seqs = vec![(1_u32, 1_u32); CONNECTIONS as usize];
    for n in 0..exchanges {
        let connection = n % CONNECTIONS;
        let (request_seq, response_seq) = &mut seqs[connection as usize];
        let remote = SocketAddr::from(([10, 0, 1, (connection % 250) as u8], 40_000));
        let remote = Endpoint::from(remote);
        for (direction, message) in [
            (Direction::Ingress, request(n, size / 2)),
            (Direction::Egress, response(n, size / 2)),
        ] {
            for payload in message.chunks(SEGMENT) {
                let (seq, ack) = match direction {
                    Direction::Ingress => (&mut *request_seq, *response_seq),
                    Direction::Egress => (&mut *response_seq, *request_seq),
                };
                chunks.push(Chunk {
                    socket: SocketId(connection + 1),
                    direction,
                    seq: *seq,
                    ack,
                    remote,
                    start: *seq == 1,
                    payload: payload.to_vec(),
                });
                *seq = seq.wrapping_add(payload.len() as u32);
            }
        }
    }
    chunks
}

/// The same exchanges in HTTP/2: [`STREAMS`] requests at a time on each connection, then their
/// responses.
fn recording_h2(exchanges: u64, size: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut ends: Vec<_> = (0..CONNECTIONS)
        .map(|_| [Sender::new(true), Sender::new(false)])
        .collect();
    let mut n = 0;
    while n < exchanges {
        for connection in 0..CONNECTIONS {
            let batch: Vec<u64> = (n..exchanges.min(n + STREAMS)).collect();
            n += batch.len() as u64;
            let [client, server] = &mut ends[connection as usize];
            let stream = client.stream;
            client.stream += 2 * STREAMS as u32;
            let address = SocketAddr::from(([10, 0, 1, (connection % 250) as u8], 40_000));
            let mut write = |from: &mut Sender, ack, direction| {
                for payload in std::mem::take(&mut from.bytes).chunks(SEGMENT) {
                    chunks.push(Chunk {
                        socket: SocketId(connection + 1),
                        direction,
                        seq: from.seq,
                        ack,
                        remote: Endpoint::from(address),
                        start: from.seq == 1,
                        payload: payload.to_vec(),
                    });
                    from.seq = from.seq.wrapping_add(payload.len() as u32);
                }
            };
            for (stream, n) in (stream..).step_by(2).zip(&batch) {
                client.message(stream, &request(*n, size / 2));
            }
            write(client, server.seq, Direction::Ingress);
            for (stream, n) in (stream..).step_by(2).zip(&batch) {
                server.message(stream, &response(*n, size / 2));
            }
            write(server, client.seq, Direction::Egress);
        }
    }
    chunks
}

/// Streams at a time on a connection of HTTP/2.
const STREAMS: u64 = 10;

/// One end of a connection of HTTP/2.
struct Sender {
    encoder: httlib_hpack::Encoder<'static>,
    bytes: Vec<u8>,
    seq: u32,
    stream: u32,
}

impl Sender {
    fn new(client: bool) -> Self {
        let mut bytes = Vec::new();
        if client {
            bytes.extend_from_slice(meshtap::http::h2::frame::PREFACE);
        }
        // SETTINGS without any.
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        Self {
            encoder: httlib_hpack::Encoder::with_dynamic_size(4096),
            bytes,
            seq: 1,
            stream: 1,
        }
    }

    /// A message of HTTP/1 as that of a stream. What differs with every message is not indexed, as
    /// clients do it.
    fn message(&mut self, stream: u32, message: &[u8]) {
        use httlib_hpack::Encoder;
        let text = std::str::from_utf8(message).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let mut fields = match first[..] {
            ["HTTP/1.1", status, ..] => vec![(":status", status)],
            [method, target, ..] => {
                vec![(":method", method), (":path", target), (":scheme", "http")]
            }
            _ => panic!("no message"),
        };
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "host" => fields.push((":authority", value)),
                "connection" => {}
                _ => fields.push((name, value)),
            }
        }
        let mut block = Vec::new();
        for (name, value) in fields {
            let changes = matches!(name, ":path" | "x-request-id" | "traceparent");
            let indexing = if changes { 0 } else { Encoder::WITH_INDEXING };
            let flags = indexing | Encoder::BEST_FORMAT | Encoder::HUFFMAN_VALUE;
            let field = (name.as_bytes().to_vec(), value.as_bytes().to_vec(), flags);
            self.encoder.encode(field, &mut block).unwrap();
        }
        self.frame(1, 4, stream, &block);
        for (at, data) in body.as_bytes().chunks(SEGMENT).enumerate() {
            let last = (at + 1) * SEGMENT >= body.len();
            self.frame(0, u8::from(last), stream, data);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&[kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
    }
}

/// What a client behind a gateway sends: fourteen fields, JSON body.
fn request(n: u64, body: usize) -> Vec<u8> {
    let body = json(n, body);
    format!(
        "POST /api/v1/orders/{n}?verbose=true HTTP/1.1\r\nhost: orders.shop.svc.cluster.local:8080\r\n\
         user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\naccept: application/json\r\n\
         accept-encoding: gzip, deflate, br\r\naccept-language: en-GB,en;q=0.9\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\
         authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N\r\n\
         cookie: session=0123456789abcdef; theme=dark\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\n\
         x-request-id: 6f2b6c1e-0d1f-4d0a-9a63-{n:012x}\r\n\
         traceparent: 00-{:032x}-{:016x}-01\r\nconnection: keep-alive\r\n\r\n{body}",
        body.len(),
        u128::from(n) + 1,
        n + 1,
    )
    .into_bytes()
}

/// What a service behind Envoy responds with: nine fields, JSON body.
fn response(n: u64, body: usize) -> Vec<u8> {
    let body = json(n, body);
    format!(
        "HTTP/1.1 200 OK\r\nserver: istio-envoy\r\ndate: Sat, 21 Nov 2026 06:36:00 GMT\r\n\
         content-type: application/json; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         set-cookie: session=fedcba9876543210; Path=/; HttpOnly\r\nvary: Accept-Encoding\r\n\
         x-envoy-upstream-service-time: 12\r\nx-content-type-options: nosniff\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}

/// An object of about `size` bytes with some structure.
fn json(n: u64, size: usize) -> String {
    let mut text = format!("{{\"id\":{n},\"status\":\"created\",\"items\":[");
    while text.len() + 80 < size {
        text.push_str(
            "{\"sku\":\"ABC-1234\",\"name\":\"A thing to buy\",\"quantity\":3,\"price\":19.99},",
        );
    }
    text.push_str("null]}");
    text
}

/// Processor time of this process (CLOCK_PROCESS_CPUTIME_ID).
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
