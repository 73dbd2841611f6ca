//! The exporters as metrics.

use std::fmt;

use super::families::Families;
use crate::export::Report;
use crate::export::delivery::{DropReason, LATENCY_BUCKETS_MS, Totals};

/// Adds those of the exporters.
pub(super) fn metrics(page: &mut Families<'_>, reports: &[Report]) -> fmt::Result {
    type Read = fn(&Totals) -> u64;
    let each = |read: Read| {
        let sample = move |report: &Report| {
            let labels = [
                ("exporter", report.name.clone()),
                ("item", report.kind.label().to_owned()),
            ];
            (labels, read(&report.totals))
        };
        reports.iter().map(sample).collect::<Vec<_>>()
    };
    let counters: [(&str, &str, Read); 7] = [
        (
            "items_accepted",
            "Items (spans, data points, log records, …) handed to the exporter.",
            |a| a.accepted,
        ),
        ("items_exported", "Items that the destination took.", |a| {
            a.exported
        }),
        (
            "items_rejected",
            "Items that the destination rejected (partial success).",
            |a| a.rejected,
        ),
        ("export_batches", "Batches taken.", |a| a.batches),
        ("export_bytes", "Bytes taken, before compression.", |a| {
            a.bytes
        }),
        ("export_attempts", "Requests made.", |a| a.attempts),
        ("export_failures", "Requests that failed.", |a| a.failures),
    ];
    for (name, help, read) in counters {
        page.counters(&format!("meshtap_{name}"), help, each(read))?;
    }
    let queued = each(Totals::queued);
    page.gauges("meshtap_items_queued", "Items on their way.", queued)?;
    queues(page, reports)?;
    deliveries(page, reports)
}

fn queues(page: &mut Families<'_>, reports: &[Report]) -> fmt::Result {
    let size = |read: fn(&Report) -> usize| {
        let sample = move |report: &Report| ([("exporter", report.name.clone())], read(report));
        reports.iter().map(sample)
    };
    page.gauges(
        "meshtap_export_queue_bytes",
        "Bytes that wait.",
        size(|report| report.queue_bytes),
    )?;
    page.gauges(
        "meshtap_export_queue_limit_bytes",
        "Most bytes that may wait.",
        size(|report| report.queue_limit),
    )?;
    page.gauges(
        "meshtap_exporter_stopped",
        "Whether a file or pipe takes nothing just now: a full disk, a reader that has gone.",
        size(|report| usize::from(report.stopped.is_some())),
    )
}

fn deliveries(page: &mut Families<'_>, reports: &[Report]) -> fmt::Result {
    page.counters(
        "meshtap_items_dropped",
        "Items accepted and not delivered, by reason.",
        reports.iter().flat_map(|report| {
            let reasons = DropReason::ALL.iter().zip(report.totals.dropped);
            reasons.map(|(reason, count)| {
                let labels = [
                    ("exporter", report.name.as_str()),
                    ("item", report.kind.label()),
                    ("reason", reason.label()),
                ];
                (labels, count)
            })
        }),
    )?;
    page.histograms(
        "meshtap_export_duration_seconds",
        "Time of one request to the destination.",
        reports.iter().map(|report| {
            let bounds = LATENCY_BUCKETS_MS.iter().map(|ms| *ms as f64 / 1000.0);
            let bounds = bounds.chain(std::iter::once(f64::INFINITY));
            let buckets = bounds.zip(report.totals.latency).collect();
            let sum = report.totals.latency_micros as f64 / 1e6;
            ([("exporter", report.name.as_str())], sum, buckets)
        }),
    )
}
