//! The user-space pipeline without a kernel: segments kept in memory → engine → policy → span →
//! OTLP bytes, on one thread; and engine → admission → Istio's metrics, without any span.
//!
//! Prints, for bodies of 1 KB and of 4 KB (half of it in the request, half in the response),
//! exchanges per second of processor time and the time of each step. `MESHTAP_BENCH_EXCHANGES` sets
//! how many exchanges a round has; `MESHTAP_BENCH_PROTOCOL` is `h1` or `h2` (ten streams at a time
//! on each connection), both if unset; `MESHTAP_BENCH_CONNECTIONS` (64 if unset) and
//! `MESHTAP_BENCH_PODS` (none is known if unset) say over how many of each they are spread;
//! `MESHTAP_BENCH_STEP` ends the pipeline early (none, engine, metrics, policy, span, otlp, both),
//! which is what a profiler that counts instructions is run with.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

#[path = "pipeline/messages.rs"]
mod messages;
#[path = "pipeline/recording.rs"]
mod recording;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::export::otlp::{BatchConfig, Requests};
use meshtap::flow::{CgroupId, Endpoint, Side};
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{self, Gate, Sanitized};
use meshtap::signal::metrics::{
    End, EndLabels, Exemplar, Family, Metrics, MetricsSection, Security, Subject,
};
use meshtap::signal::span::{Origin, Profile, Resource, ResourceValue, SpanBuilder};

use recording::Chunk;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// The same, and metrics with exemplars.
    Both,
}

const STEPS: [Step; 6] = [
    Step::Engine,
    Step::Metrics,
    Step::Policy,
    Step::Span,
    Step::Otlp,
    Step::Both,
];

fn main() {
    let exchanges = number("MESHTAP_BENCH_EXCHANGES", 50_000);
    let last = std::env::var("MESHTAP_BENCH_STEP").ok();
    let last = last.map(|name| {
        let step = [Step::None]
            .iter()
            .chain(&STEPS)
            .find(|s| format!("{s:?}").eq_ignore_ascii_case(&name));
        *step.expect("one of none, engine, metrics, policy, span, otlp, both")
    });
    let size = std::env::var("MESHTAP_BENCH_BODY").ok();
    let sizes: Vec<usize> = match size {
        Some(size) => vec![size.parse().expect("a number of bytes")],
        None => vec![1024, 4096],
    };
    let connections = number("MESHTAP_BENCH_CONNECTIONS", 64);
    let pods = number("MESHTAP_BENCH_PODS", 0);
    let protocol = std::env::var("MESHTAP_BENCH_PROTOCOL").ok();
    let protocols = [
        ("h1", recording::http1 as fn(u64, usize, u64) -> Vec<Chunk>),
        ("h2", recording::http2),
    ];
    let protocols = protocols
        .into_iter()
        .filter(|(name, _)| protocol.as_ref().is_none_or(|only| only == name));
    let rounds = protocols.flat_map(|protocol| sizes.iter().map(move |size| (protocol, *size)));
    for ((protocol, made), size) in rounds {
        let recording = made(exchanges, size, connections);
        if let Some(step) = last {
            // One round, and nothing else, for a profiler.
            if step > Step::None {
                black_box(round(&recording, step, pods));
            }
            black_box(recording);
            continue;
        }
        let mut before = Duration::ZERO;
        for step in STEPS {
            let best = (0..5)
                .map(|_| timed(&recording, step, exchanges, pods))
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

fn timed(recording: &[Chunk], step: Step, exchanges: u64, pods: u64) -> Duration {
    let began = cpu_time();
    let made = round(recording, step, pods);
    let took = cpu_time() - began;
    assert_eq!(made, exchanges, "exchanges went missing");
    took
}

/// A number that the environment may give.
fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs the recording through the pipeline up to `step`; the number of exchanges that came out.
fn round(recording: &[Chunk], step: Step, pods: u64) -> u64 {
    let mut engine = Engine::new(Limits::default());
    let mut gate = Gate::new(&policy::Config::default(), &redact::Config::default()).unwrap();
    let builder = SpanBuilder::new(meshtap::signal::span::Settings {
        profile: match pods {
            0 => Profile::Mesh,
            // A resource of its own for each.
            _ => Profile::Semconv,
        },
        ..meshtap::signal::span::Settings::default()
    });
    let metrics = Metrics::new(&MetricsSection::default()).expect("on by default");
    let source = end("web");
    let pods: Vec<_> = match pods {
        0 => vec![Pod::unknown()],
        _ => (0..pods).map(|n| Pod::new(&builder, n)).collect(),
    };
    let of = |exchange: &Exchange| &pods[(exchange.peers.cgroup.0 - 1) as usize];
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
                cgroup: CgroupId(1 + chunk.socket.0 % pods.len() as u64),
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
            if step == Step::Metrics {
                let context = PolicyContext::default();
                let Ok(admitted) = gate.policy.admit(exchange, &context) else {
                    panic!("nothing is filtered here");
                };
                let exchange = admitted.exchange();
                metrics.exchange(exchange, &subject(&source, of(exchange)), None, None);
                continue;
            }
            if step < Step::Policy {
                black_box(exchange);
                continue;
            }
            let pod = of(&exchange);
            let subject = subject(&source, pod);
            let counted = (step == Step::Both).then_some((&metrics, &subject));
            let sanitized = pass(&mut gate, exchange, &clock, counted);
            if step < Step::Span {
                black_box(sanitized);
                continue;
            }
            let span = builder.build(&sanitized, &pod.origin());
            if step < Step::Otlp {
                black_box(span);
                continue;
            }
            encoded += requests.add(&span).map_or(0, |batch| batch.bytes);
        }
    }
    if matches!(step, Step::Metrics | Step::Both) {
        assert_eq!(requests_in(&metrics), made, "exchanges were not counted");
    }
    engine.finish(time, &mut output);
    made += output.exchanges.len() as u64;
    encoded += requests.close().map_or(0, |batch| batch.bytes);
    black_box((encoded, metrics.totals()));
    made
}

/// A request from `source` to a pod.
const fn subject<'a>(source: &'a Arc<EndLabels>, pod: &'a Pod) -> Subject<'a> {
    Subject {
        side: Side::Server,
        source: Some(source),
        destination: Some(&pod.labels),
        service: None,
        security: Security::Plain,
    }
}

/// What is known of a pod.
struct Pod {
    labels: Arc<EndLabels>,
    attributes: Vec<(String, ResourceValue)>,
    resource: Option<Arc<Resource>>,
}

impl Pod {
    /// As where there is no Kubernetes.
    fn unknown() -> Self {
        Self {
            labels: end("orders"),
            attributes: Vec::new(),
            resource: None,
        }
    }

    fn new(builder: &SpanBuilder, n: u64) -> Self {
        let attributes: Vec<_> = [
            ("k8s.pod.name", format!("orders-5d4f8c7b9-{n:05}")),
            ("k8s.pod.uid", format!("6f2b6c1e-0d1f-4d0a-9a63-{n:012x}")),
            ("k8s.namespace.name", "shop".to_owned()),
            ("k8s.deployment.name", format!("orders-{n}")),
            ("k8s.node.name", "node-1".to_owned()),
            ("service.name", format!("orders-{n}")),
        ]
        .map(|(key, value)| (key.to_owned(), ResourceValue::Str(value)))
        .into();
        Self {
            labels: end(&format!("orders-{n}")),
            resource: Some(builder.resource(&attributes)),
            attributes,
        }
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            attributes: &self.attributes,
            resource: self.resource.as_ref(),
            ..Origin::default()
        }
    }
}

/// What `istio_requests_total` says.
fn requests_in(metrics: &Metrics) -> u64 {
    let snapshot = metrics.snapshot(0);
    let counts = Family::all()[0].counts(&snapshot).into_iter();
    counts.map(|count| count.value).sum()
}

/// Policy and redaction; in between, as a worker does it, the exchange is counted.
fn pass(
    gate: &mut Gate,
    exchange: Exchange,
    clock: &WallClock,
    counted: Option<(&Metrics, &Subject<'_>)>,
) -> Sanitized {
    let context = PolicyContext::default();
    let Ok(admitted) = gate.policy.admit(exchange, &context) else {
        panic!("nothing is filtered here");
    };
    if let Some((metrics, subject)) = counted {
        let exemplar = Exemplar {
            trace: admitted.trace().trace,
            span: admitted.trace().span,
            unix_nanos: clock.unix_nanos(admitted.exchange().ended),
        };
        metrics.exchange(admitted.exchange(), subject, None, Some(exemplar));
    }
    let Ok(sampled) = gate.policy.sample(admitted) else {
        panic!("nothing is filtered here");
    };
    gate.redactor.redact(sampled, clock)
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

/// Processor time of this process (CLOCK_PROCESS_CPUTIME_ID).
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
