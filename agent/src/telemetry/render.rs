//! A reading as a page of metrics and as the detail of readiness. Every total of the account is there, with the reasons as labels.

use meshtap_common::DropReason as KernelDrop;
use serde_json::{Value, json};

use super::guard::Level;
use super::prometheus::{Kind, Page};
use super::state::{Hook, HookState, Reading};
use super::{usage, workload};
use crate::exchange::Partial;
use crate::export::Report;
use crate::export::delivery::{DropReason, LATENCY_BUCKETS_MS};
use crate::ledger::Loss;
use crate::policy::Skip;
use crate::redact::{Omitted, Rule};

use Kind::{Counter, Gauge};

/// The page.
pub(super) fn metrics(reading: &Reading) -> String {
    let mut page = Page::default();
    page.metric(Gauge, "meshtap_build_info", "Version of the agent.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    exchanges(&mut page, reading);
    streams(&mut page, reading);
    kernel(&mut page, reading);
    policy(&mut page, reading);
    redaction(&mut page, reading);
    spans(&mut page, &reading.exporters);
    latency(&mut page, &reading.exporters);
    workload::metrics(&mut page, reading);
    process(&mut page, reading);
    page.finish()
}

fn exchanges(page: &mut Page, reading: &Reading) {
    let ledger = &reading.engine.ledger;
    page.single(
        Counter,
        "meshtap_exchanges_begun_total",
        "Exchanges begun.",
        ledger.begun,
    );
    let mut told = page.metric(
        Counter,
        "meshtap_exchanges_told_total",
        "Exchanges handed to the policy, by what they lack.",
    );
    told.sample(&[("partial", "none")], ledger.complete);
    for (reason, count) in Partial::ALL.iter().zip(ledger.partial) {
        told.sample(&[("partial", reason.label())], count);
    }
    let mut lost = page.metric(
        Counter,
        "meshtap_exchanges_lost_total",
        "Exchanges begun and not told, by reason.",
    );
    for (reason, count) in Loss::ALL.iter().zip(ledger.lost) {
        lost.sample(&[("reason", reason.label())], count);
    }
    page.single(
        Gauge,
        "meshtap_exchanges_open",
        "Exchanges begun and not ended.",
        ledger.open,
    );
    page.single(
        Gauge,
        "meshtap_ledger_imbalance",
        "Exchanges begun minus those accounted for: zero, or there is a bug.",
        ledger.imbalance(),
    );
    page.single(
        Counter,
        "meshtap_exchanges_overflow_total",
        "Exchanges told and dropped before the policy, for its workers were behind.",
        reading.overflow,
    );
}

fn streams(page: &mut Page, reading: &Reading) {
    let stats = &reading.engine.stats;
    for (name, help, value) in [
        ("segments", "Segments handled.", stats.segments),
        (
            "payload_bytes",
            "Payload bytes handled.",
            stats.payload_bytes,
        ),
        (
            "skipped_bytes",
            "Payload bytes left out on purpose, past the limit of a body.",
            stats.skipped_bytes,
        ),
        ("gaps", "Missing stretches of streams.", stats.gaps),
        ("gap_bytes", "Bytes in missing stretches.", stats.gap_bytes),
        ("connections", "Connections seen.", stats.connections),
        (
            "not_http_connections",
            "Connections that were not HTTP.",
            stats.not_http,
        ),
        (
            "evicted_connections",
            "Connections dropped for room.",
            stats.evicted_connections,
        ),
    ] {
        page.single(Counter, &format!("meshtap_{name}_total"), help, value);
    }
    page.single(
        Gauge,
        "meshtap_connections_open",
        "Connections followed now.",
        reading.engine.connections,
    );
    page.single(
        Gauge,
        "meshtap_engine_bytes",
        "Bytes of heads, bodies and reordering held.",
        reading.engine.memory,
    );
}

fn kernel(page: &mut Page, reading: &Reading) {
    let capture = &reading.capture;
    let mut segments = page.metric(
        Counter,
        "meshtap_kernel_drops_total",
        "Segments that the kernel side left out, by reason.",
    );
    for (reason, (count, _)) in KernelDrop::ALL.iter().zip(capture.drops) {
        segments.sample(&[("reason", reason.label())], count);
    }
    let mut bytes = page.metric(
        Counter,
        "meshtap_kernel_drop_bytes_total",
        "Payload bytes that the kernel side left out, by reason.",
    );
    for (reason, (_, count)) in KernelDrop::ALL.iter().zip(capture.drops) {
        bytes.sample(&[("reason", reason.label())], count);
    }
    page.single(
        Counter,
        "meshtap_kernel_malformed_total",
        "Records of the kernel side that could not be read.",
        capture.malformed,
    );
    page.single(
        Gauge,
        "meshtap_ring_size_bytes",
        "Size of the ring buffer.",
        capture.ring_size,
    );
    page.single(
        Gauge,
        "meshtap_ring_peak_bytes",
        "Most bytes taken from the ring buffer in one go.",
        capture.ring_peak,
    );
    let mut hooks = page.metric(
        Gauge,
        "meshtap_hook_attached",
        "Whether a hook is in place.",
    );
    for hook in &reading.hooks {
        let attached = u8::from(hook.state == HookState::Attached);
        hooks.sample(&[("hook", hook.name)], attached);
    }
}

fn policy(page: &mut Page, reading: &Reading) {
    let counts = &reading.policy;
    page.single(
        Counter,
        "meshtap_exchanges_admitted_total",
        "Exchanges in scope, sampled or not.",
        counts.admitted,
    );
    page.single(
        Counter,
        "meshtap_exchanges_kept_total",
        "Exchanges that the policy kept.",
        counts.kept,
    );
    let mut skipped = page.metric(
        Counter,
        "meshtap_exchanges_filtered_total",
        "Exchanges that the policy did not keep, by rule.",
    );
    for (reason, count) in Skip::ALL.iter().zip(counts.skipped) {
        skipped.sample(&[("rule", reason.label())], count);
    }
}

fn redaction(page: &mut Page, reading: &Reading) {
    let counts = &reading.redaction;
    let mut redacted = page.metric(
        Counter,
        "meshtap_redacted_values_total",
        "Values hidden (in a dry run: that would have been), by rule.",
    );
    for (rule, count) in Rule::ALL.iter().zip(counts.redacted) {
        redacted.sample(&[("rule", rule.label())], count);
    }
    let mut bodies = page.metric(
        Counter,
        "meshtap_omitted_bodies_total",
        "Bodies omitted, by reason.",
    );
    for (reason, count) in Omitted::ALL.iter().zip(counts.omitted) {
        bodies.sample(&[("reason", reason.label())], count);
    }
}

fn spans(page: &mut Page, exporters: &[Report]) {
    type Read = fn(&Report) -> u64;
    let all: [(Kind, &str, &str, Read); 10] = [
        (
            Counter,
            "spans_accepted_total",
            "Spans handed to the exporter.",
            |r| r.account.accepted,
        ),
        (
            Counter,
            "spans_exported_total",
            "Spans that the destination took.",
            |r| r.account.exported,
        ),
        (
            Counter,
            "spans_rejected_total",
            "Spans that the destination rejected (partial success).",
            |r| r.account.rejected,
        ),
        (Gauge, "spans_queued", "Spans on their way.", |r| {
            r.account.queued()
        }),
        (Gauge, "export_queue_bytes", "Bytes that wait.", |r| {
            r.queue_bytes as u64
        }),
        (
            Gauge,
            "export_queue_limit_bytes",
            "Most bytes that may wait.",
            |r| r.queue_limit as u64,
        ),
        (Counter, "export_batches_total", "Batches taken.", |r| {
            r.account.batches
        }),
        (
            Counter,
            "export_bytes_total",
            "Bytes taken, before compression.",
            |r| r.account.bytes,
        ),
        (Counter, "export_attempts_total", "Requests made.", |r| {
            r.account.attempts
        }),
        (
            Counter,
            "export_failures_total",
            "Requests that failed.",
            |r| r.account.failures,
        ),
    ];
    for (kind, name, help, read) in all {
        let name = format!("meshtap_{name}");
        let mut metric = page.metric(kind, &name, help);
        for report in exporters {
            metric.sample(&[("exporter", &report.name)], read(report));
        }
    }
    let mut dropped = page.metric(
        Counter,
        "meshtap_spans_dropped_total",
        "Spans accepted and not delivered, by reason.",
    );
    for report in exporters {
        for (reason, count) in DropReason::ALL.iter().zip(report.account.dropped) {
            let labels = [("exporter", &*report.name), ("reason", reason.label())];
            dropped.sample(&labels, count);
        }
    }
}

fn latency(page: &mut Page, exporters: &[Report]) {
    const NAME: &str = "meshtap_export_duration_seconds";
    page.histogram(NAME, "Time of one request to the destination.");
    for report in exporters {
        let bounds = LATENCY_BUCKETS_MS.iter().map(|ms| *ms as f64 / 1000.0);
        let sum = report.account.latency_micros as f64 / 1e6;
        let labels = [("exporter", &*report.name)];
        page.buckets(NAME, &labels, bounds, &report.account.latency, sum);
    }
}

fn process(page: &mut Page, reading: &Reading) {
    page.single(
        Gauge,
        "meshtap_service_level",
        "0: everything; 1: no bodies; 2: no bodies and a part of the traces.",
        reading.level as u8,
    );
    let mut steps = page.metric(
        Counter,
        "meshtap_service_level_changes_total",
        "Changes to each level of service by the overload guard.",
    );
    for (level, count) in Level::ALL.iter().zip(reading.steps) {
        steps.sample(&[("to", level.label())], count);
    }
    page.single(
        Gauge,
        "meshtap_cpu_cores",
        "Cores kept busy by the agent over the last second.",
        reading.usage.cpu,
    );
    page.single(
        Counter,
        "process_cpu_seconds_total",
        "Processor time of the agent.",
        usage::cpu_nanos() as f64 / 1e9,
    );
    page.single(
        Gauge,
        "process_resident_memory_bytes",
        "Resident memory of the agent.",
        usage::resident(),
    );
    let mut reloads = page.metric(
        Counter,
        "meshtap_config_reloads_total",
        "Times that the configuration was read again.",
    );
    reloads.sample(&[("result", "applied")], reading.reloads);
    reloads.sample(&[("result", "refused")], reading.failed_reloads);
}

/// Whether the agent does its work, and what there is to say about it.
pub(super) fn readiness(reading: &Reading, alive: bool) -> (bool, Value) {
    let attached = |hook: &Hook| hook.state == HookState::Attached;
    let ready = alive && reading.hooks.iter().any(attached);
    let hooks: serde_json::Map<_, _> = reading
        .hooks
        .iter()
        .map(|hook| {
            let state = match &hook.state {
                HookState::Attached => json!({ "state": "attached" }),
                HookState::Off => json!({ "state": "off" }),
                HookState::Failed(reason) => json!({ "state": "failed", "reason": reason }),
            };
            (hook.name.to_owned(), state)
        })
        .collect();
    let exporters: serde_json::Map<_, _> = reading
        .exporters
        .iter()
        .map(|report| {
            let account = &report.account;
            let detail = json!({
                "exported": account.exported,
                "rejected": account.rejected,
                "dropped": account.lost(),
                "queued": account.queued(),
                "queue_bytes": report.queue_bytes,
            });
            (report.name.clone(), detail)
        })
        .collect();
    let detail = json!({
        "ready": ready,
        "capturing": alive,
        "hooks": hooks,
        "exporters": exporters,
        "workloads": workload::detail(reading),
        "service_level": reading.level.label(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    (ready, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(hooks: Vec<Hook>) -> Reading {
        let mut reading = Reading {
            hooks,
            ..Reading::default()
        };
        reading.engine.ledger.begun = 7;
        reading.engine.ledger.lost[Loss::Evicted as usize] = 3;
        reading
    }

    fn check(hooks: &[HookState], alive: bool, ready: bool) {
        let hooks = hooks.iter().map(|state| Hook {
            name: "socket",
            state: state.clone(),
        });
        let reading = reading(hooks.collect());
        let (is, detail) = readiness(&reading, alive);
        assert_eq!(is, ready);
        assert_eq!(detail["ready"], ready);
    }

    #[test]
    fn ready_while_something_is_captured() {
        let failed = HookState::Failed("why".to_owned());
        check(&[], true, false);
        check(std::slice::from_ref(&failed), true, false);
        check(&[HookState::Attached], true, true);
        check(&[failed, HookState::Attached], true, true);
        check(&[HookState::Attached], false, false);
    }

    #[test]
    fn every_sample_belongs_to_a_described_metric() {
        let page = metrics(&reading(Vec::new()));
        assert!(page.contains("meshtap_exchanges_begun_total 7\n"));
        assert!(page.contains("meshtap_exchanges_lost_total{reason=\"evicted\"} 3\n"));
        assert!(page.contains("meshtap_ledger_imbalance 4\n"));
        let mut described = std::collections::HashSet::new();
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let name = head.split(' ').next().unwrap();
                assert!(described.insert(name), "{name} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(described.contains(name), "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}
