//! The page of Istio's metrics: what it takes to make it, and what compressing it would.
//!
//! `MESHTAP_BENCH_SERIES` sets how many label sets of HTTP there are: 400 by default, as a node has
//! where clients fill every bound.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

#[path = "pipeline/exchanges.rs"]
mod exchanges;
#[path = "pipeline/messages.rs"]
mod messages;
#[path = "pipeline/recording.rs"]
#[expect(dead_code, reason = "the page does not depend on the version of HTTP")]
mod recording;

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use meshtap::flow::Side;
use meshtap::signal::metrics::{
    End, EndLabels, Format, Metrics, MetricsSection, Page, Security, Subject,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds, of which the shortest counts.
const ROUNDS: usize = 10;

fn main() {
    let wanted = std::env::var("MESHTAP_BENCH_SERIES").ok();
    let series = wanted.map_or(400, |text| text.parse().expect("a number"));
    let metrics = filled(series);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let page = || Page::new(metrics.snapshot(0), format);
        let (mut bytes, mut lines) = (0, 0);
        for chunk in page() {
            bytes += chunk.len();
            lines += chunk.lines().count();
        }
        let made = shortest(|| page().map(black_box).for_each(drop));
        let snapshot = shortest(|| drop(black_box(metrics.snapshot(0))));
        let mut compressed = 0;
        let gzip = shortest(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            page().for_each(|chunk| encoder.write_all(chunk.as_bytes()).unwrap());
            compressed = encoder.finish().unwrap().len();
        });
        println!(
            "{format:?}: {series} label sets, {lines} lines, {:.1} MB in {:.1} ms, {:.0} µs of it with the lock; compressed {:.2} MB in {:.1} ms",
            bytes as f64 / 1e6,
            made.as_secs_f64() * 1e3,
            snapshot.as_secs_f64() * 1e6,
            f64::from(compressed as u32) / 1e6,
            gzip.as_secs_f64() * 1e3,
        );
    }
}

/// Metrics with so many label sets, all buckets of which have numbers of some digits.
fn filled(series: usize) -> Metrics {
    let metrics = Metrics::new(&MetricsSection::default()).expect("on by default");
    let exchanges = exchanges::make(50, 1024);
    let end = |name: &str| {
        EndLabels::new(End {
            workload: name.into(),
            namespace: "shop".into(),
            app: name.into(),
            canonical_service: name.into(),
            ..End::default()
        })
    };
    let (source, destination) = (end("front"), end("orders"));
    let subject = Subject {
        side: Side::Server,
        source: Some(&source),
        destination: Some(&destination),
        service: None,
        security: Security::Plain,
    };
    for number in 0..series {
        let route: Arc<str> = format!("GET /api/v1/orders/{number}").into();
        for exchange in &exchanges {
            metrics.exchange(exchange, &subject, Some(&route), None);
        }
    }
    assert_eq!(metrics.totals().http, series);
    metrics
}

fn shortest(mut body: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let before = cpu_time();
        body();
        cpu_time() - before
    });
    rounds.min().unwrap_or_default()
}

/// Processor time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
