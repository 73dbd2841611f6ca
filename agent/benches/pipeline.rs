//! The user-space pipeline without a kernel: segments kept in memory → engine → policy → span →
//! OTLP bytes, on one thread; and engine → admission → Istio's metrics, without any span.
//!
//! Prints, for bodies of 1 KB and of 4 KB (half of it in the request, half in the response),
//! exchanges per second of processor time and the time of each step. `MESHTAP_BENCH_EXCHANGES` sets
//! how many exchanges a round has; `MESHTAP_BENCH_STEP` ends the pipeline early (none, engine,
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
    for size in sizes {
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
                "{size:>5} B bodies, to {:<6}  {rate:>9.0} exchanges/s per core, {each:>6.0} ns each, {own:>6.0} ns of it here",
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
