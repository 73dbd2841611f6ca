//! What an exporter knows of spans that a collector does not take.

use std::sync::Arc;
use std::time::Instant;

use meshtap::export::delivery::DropReason;
use meshtap::export::{Exporters, Target};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanExporter as _, SpanProcessor as _};

use super::collector::{Collector, Says};
use super::library::{self, Sender};
use super::spans::Made;
use super::{LONG, settings};

/// Prints it, for collectors that say different things.
pub(super) fn print(made: &Made) {
    for says in [Says::Taken, Says::Rejected, Says::Refused] {
        let report = |who: &str, what: &str, known: String| {
            println!("known, a request is {says:?}, {who} | {what} | {known}");
        };
        let requests = ours(made, says, &report);
        library(made, says, &report);
        report("ours", "requests", requests.to_string());
    }
}

type Report<'a> = &'a dyn Fn(&str, &str, String);

fn ours(made: &Made, says: Says, report: Report<'_>) -> u64 {
    let collector = Collector::start(says);
    let target = Target::Otlp(Box::new(settings(&collector)));
    let exporters = Exporters::start(vec![target], &(Arc::new(()) as _)).unwrap();
    let mut handles = exporters.handles();
    for span in &made.spans {
        handles.span(span, Instant::now());
    }
    drop(handles);
    let reports = exporters.shutdown(LONG);
    let totals = &reports[0].totals;
    report("ours", "exported", totals.exported.to_string());
    report("ours", "rejected", totals.rejected.to_string());
    let dropped = DropReason::ALL.iter().zip(totals.dropped);
    for (reason, count) in dropped.filter(|(_, count)| *count > 0) {
        let what = format!("dropped, {}", reason.label());
        report("ours", &what, count.to_string());
    }
    assert_eq!(totals.imbalance(), 0);
    collector.taken().requests
}

/// What its exporter returns for a request, and its processor for all of them.
fn library(made: &Made, says: Says, report: Report<'_>) {
    let collector = Collector::start(says);
    let sender = Sender::new();
    let mut exporter = library::exporter(sender.clone(), &collector.endpoint());
    exporter.set_resource(&made.resources[0]);
    let spans = made.spans.iter().zip(&made.names);
    let data = |(span, names): (_, &Vec<_>)| library::data(span, names, &made.scope);
    let result = sender.wait(exporter.export(spans.clone().map(data).collect()));
    report("library", "SpanExporter::export", format!("{result:?}"));
    let processor = BatchSpanProcessor::builder(exporter).build();
    for span in spans.map(data) {
        processor.on_end(span);
    }
    let result = processor.force_flush();
    report(
        "library",
        "BatchSpanProcessor::force_flush",
        format!("{result:?}"),
    );
}
