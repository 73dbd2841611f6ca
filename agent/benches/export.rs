//! Our exporter of spans beside the library's: the same exchanges, the same collector.
//!
//! Prints what a span costs when it is written, and when it is delivered, with one resource and
//! with one for each of 110 pods; then what each exporter knows of spans that a collector does not
//! take.
//! `cargo xtask bench export` repeats it, and counts instructions and copied bytes.
//! `MESHTAP_BENCH_SPANS` sets how many spans there are, `MESHTAP_BENCH_BODY` the bytes of both
//! bodies; `MESHTAP_BENCH_STEP` (none, ours, data, library) writes once and ends, which is what
//! valgrind is run with.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

#[path = "export/collector.rs"]
mod collector;
#[path = "export/counted.rs"]
mod counted;
#[path = "pipeline/exchanges.rs"]
mod exchanges;
#[path = "export/known.rs"]
mod known;
#[path = "export/library.rs"]
mod library;
#[path = "pipeline/messages.rs"]
mod messages;
#[path = "pipeline/recording.rs"]
#[expect(
    dead_code,
    reason = "what is exported does not depend on the version of HTTP"
)]
mod recording;
#[path = "export/spans.rs"]
mod spans;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use meshtap::export::otlp::{BatchConfig, OtlpConfig, Protocol, Requests, Settings};
use meshtap::export::{Batch, Exporters, Target};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanExporter as _, SpanProcessor as _,
};
use prost::Message as _;

use collector::{Collector, Says};
use library::{Kept, Sender};
use spans::Made;

#[global_allocator]
static ALLOCATOR: counted::Allocator = counted::Allocator;

/// The kubelet's `maxPods`.
const PODS: usize = 110;
/// Spans of a second, after which every open batch is old enough: `export.otlp[].batch.age`.
const SECOND: usize = 500;
/// Spans of a batch in the library (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
const BATCH: usize = 512;
/// For what may take long on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn main() {
    let number = |name: &str, default| {
        let value = std::env::var(name).ok();
        value.map_or(default, |text| text.parse().expect("a number"))
    };
    let count = number("MESHTAP_BENCH_SPANS", 20_000);
    let body = number("MESHTAP_BENCH_BODY", 1024);
    if let Ok(step) = std::env::var("MESHTAP_BENCH_STEP") {
        let made = spans::make(count, body, PODS);
        match step.as_str() {
            "none" => {}
            "ours" => written(&made, forget),
            "data" => drop(black_box(datas(&made))),
            "library" => exported(&made, datas(&made), forget),
            _ => panic!("none, ours, data or library"),
        }
        return;
    }
    for pods in [1, PODS] {
        let made = spans::make(count, body, pods);
        is_alike(&made);
        let name = format!("pods: {pods}, bodies: {body} B");
        let report = |who: &str, what: &str, value: f64| {
            println!("{name}, {who} | {what} | {value:.3}");
        };
        each("ours", "written", count, &report, || written(&made, forget));
        each("library", "SpanData made", count, &report, || {
            drop(black_box(datas(&made)));
        });
        each(
            "library",
            "SpanData made and written",
            count,
            &report,
            || {
                exported(&made, datas(&made), forget);
            },
        );
        delivered("ours", count, &report, |collector| ours(&made, collector));
        delivered("library", count, &report, |collector| {
            processors(&made, collector)
        });
    }
    known::print(&spans::make(1000, body, 1));
}

/// A request that goes nowhere.
fn forget(request: Bytes) {
    drop(black_box(request));
}

type Report<'a> = &'a dyn Fn(&str, &str, f64);

/// What something costs for each of so many spans.
fn each(who: &str, what: &str, count: usize, report: Report<'_>, mut body: impl FnMut()) {
    // Pages are there, and tables have their sizes.
    body();
    let before = counted::of_process();
    body();
    let took = counted::of_process() - before;
    let ((), calls, bytes) = counted::allocated(&mut body);
    let each = |total: f64| total / count as f64;
    report(who, &format!("{what}, µs"), each(took.as_secs_f64() * 1e6));
    report(who, &format!("{what}, allocations"), each(calls as f64));
    report(who, &format!("{what}, bytes allocated"), each(bytes as f64));
}

/// What delivery takes, without what the collector takes; how many requests and threads.
fn delivered(who: &str, count: usize, report: Report<'_>, deliver: impl Fn(&Collector) -> usize) {
    let collector = Collector::start(Says::Taken);
    let before = counted::of_process();
    let threads = deliver(&collector);
    let all = counted::of_process() - before;
    let taken = collector.taken();
    let own = all.saturating_sub(taken.time);
    let each = |total: f64| total / count as f64;
    let seconds = count as f64 / SECOND as f64;
    report(who, "delivered, µs", each(own.as_secs_f64() * 1e6));
    report(
        who,
        "delivered, bytes on the wire",
        each(taken.bytes as f64),
    );
    report(
        who,
        "requests for a second of spans",
        taken.requests as f64 / seconds,
    );
    report(who, "threads", threads as f64);
}

/// Writes with ours; a request may come in several parts, each of one resource.
fn written(made: &Made, mut take: impl FnMut(Bytes)) {
    let mut requests = Requests::new(&BatchConfig::default());
    let mut take = |batch: Option<Batch>| {
        let parts = batch.into_iter().flat_map(|batch| batch.parts);
        parts.for_each(&mut take);
    };
    for second in made.spans.chunks(SECOND) {
        for span in second {
            take(requests.add(span));
        }
        take(requests.close());
    }
}

fn datas(made: &Made) -> Vec<SpanData> {
    let spans = made.spans.iter().zip(&made.names);
    let data = |(span, names): (_, &Vec<_>)| library::data(span, names, &made.scope);
    spans.map(data).collect()
}

/// Writes with the library: an exporter for each resource.
fn exported(made: &Made, datas: Vec<SpanData>, mut take: impl FnMut(Bytes)) {
    let kept = Kept::default();
    let exporter = |resource| {
        let mut exporter = library::exporter(kept.clone(), "http://localhost");
        exporter.set_resource(resource);
        exporter
    };
    let exporters: Vec<_> = made.resources.iter().map(exporter).collect();
    let mut export = |(pod, open): (usize, &mut Vec<SpanData>)| {
        if !open.is_empty() {
            let sent = exporters[pod].export(std::mem::take(open));
            let result = sent.now_or_never();
            result.expect("nothing is waited for").unwrap();
            take(kept.take());
        }
    };
    let mut open: Vec<Vec<SpanData>> = vec![Vec::new(); exporters.len()];
    for (n, data) in datas.into_iter().enumerate() {
        let pod = n % exporters.len();
        open[pod].push(data);
        if open[pod].len() == BATCH {
            export((pod, &mut open[pod]));
        }
        if (n + 1) % SECOND == 0 {
            open.iter_mut().enumerate().for_each(&mut export);
        }
    }
    open.iter_mut().enumerate().for_each(export);
}

/// Both write the same spans of the same resources.
fn is_alike(made: &Made) {
    let mut requests = [Vec::new(), Vec::new()];
    let [of_ours, of_library] = &mut requests;
    written(made, |request| of_ours.push(request));
    exported(made, datas(made), |request| of_library.push(request));
    let [of_ours, of_library] = requests.map(sorted);
    assert_eq!(of_ours.len(), made.spans.len());
    assert!(of_ours == of_library, "the exporters write different spans");
}

/// What requests say: ids, times and attributes of every span, with its resource.
fn sorted(requests: Vec<Bytes>) -> Vec<String> {
    let mut found = Vec::new();
    for request in requests {
        let request = ExportTraceServiceRequest::decode(request).unwrap();
        for group in request.resource_spans {
            let mut resource = group.resource.unwrap().attributes;
            resource.sort_by(|a, b| a.key.cmp(&b.key));
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let ids = (span.trace_id, span.span_id, span.parent_span_id);
                let times = (span.start_time_unix_nano, span.end_time_unix_nano);
                let what = (span.name, span.kind, &span.attributes, &resource);
                found.push(format!("{ids:?} {times:?} {what:?}"));
            }
        }
    }
    found.sort();
    found
}

fn settings(collector: &Collector) -> Settings {
    let config = OtlpConfig {
        endpoint: Some(collector.endpoint()),
        protocol: Some(Protocol::HttpProtobuf),
        ..OtlpConfig::default()
    };
    Settings::resolve(&config, "bench", &|_| None).unwrap()
}

/// Delivers with ours; how many threads there were more.
fn ours(made: &Made, collector: &Collector) -> usize {
    let before = threads();
    let target = Target::Otlp(Box::new(settings(collector)));
    let exporters = Exporters::start(vec![target], &(Arc::new(()) as _)).unwrap();
    let more = threads() - before;
    let mut handles = exporters.handles();
    for second in made.spans.chunks(SECOND) {
        for span in second {
            handles.span(span, Instant::now());
        }
        handles.flush();
        assert!(handles.wait_for_room(LONG));
    }
    drop(handles);
    let reports = exporters.shutdown(LONG);
    assert_eq!(reports[0].totals.exported, made.spans.len() as u64);
    more
}

/// Delivers with the library's processors, one for each resource.
fn processors(made: &Made, collector: &Collector) -> usize {
    let before = threads();
    let sender = Sender::new();
    let processors: Vec<_> = (made.resources.iter())
        .map(|resource| {
            let exporter = library::exporter(sender.clone(), &collector.endpoint());
            let mut processor = BatchSpanProcessor::builder(exporter).build();
            processor.set_resource(resource);
            processor
        })
        .collect();
    let more = threads() - before;
    let seconds = made.spans.chunks(SECOND).zip(made.names.chunks(SECOND));
    for (n, (spans, names)) in seconds.enumerate() {
        let spans = spans.iter().zip(names).enumerate();
        for (at, (span, names)) in spans {
            let pod = (n * SECOND + at) % processors.len();
            processors[pod].on_end(library::data(span, names, &made.scope));
        }
        for processor in &processors {
            processor.force_flush().unwrap();
        }
    }
    for processor in &processors {
        processor.shutdown().unwrap();
    }
    more
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}
