//! A reading as a page of metrics, in OpenMetrics text or the text format of Prometheus.
//!
//! Every total of the ledger is there, with its reasons as labels. The structs with totals are
//! taken apart without `..`: one that gets a counter more does not compile before the counter is on
//! the page.

use std::fmt;

use meshtap_common::{Classification, DropReason as KernelDrop};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use super::families::{Families, Format, by};
use super::guard::Level;
use super::state::{CaptureView, EngineView, HookState, Reading};
use super::{exporters, http2, stats, usage, workload};
use crate::engine::Stats;
use crate::exchange::Partial;
use crate::ledger::Dropped;
use crate::policy::{self, Skip};
use crate::redact::{self, Omitted, Rule};

/// The page.
pub(super) fn page(reading: Reading, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(reading)));
    let mut page = String::new();
    let written = match format {
        Format::Prometheus => prometheus_text::encode(&mut page, &registry),
        Format::OpenMetrics => text::encode(&mut page, &registry),
    };
    if written.is_err() {
        // Writing into memory does not fail; a page that is not whole is no page.
        page.clear();
    }
    page
}

#[derive(Debug)]
struct Page(Reading);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = &self.0;
        let mut page = Families(encoder);
        page.gauges(
            "meshtap_build_info",
            "Version of the agent.",
            [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)],
        )?;
        engine(&mut page, &reading.engine)?;
        page.counter(
            "meshtap_exchanges_overflow",
            "Exchanges emitted and dropped before the policy, for its workers were behind.",
            reading.overflow,
        )?;
        capture(&mut page, reading)?;
        policy(&mut page, &reading.policy)?;
        redaction(&mut page, &reading.redaction)?;
        exporters::metrics(&mut page, &reading.exporters)?;
        if let Some(totals) = &reading.metrics {
            stats::metrics(&mut page, totals)?;
            page.counter(
                "meshtap_connection_events_dropped",
                "Beginnings and ends of TCP connections that found no room in the ring buffer.",
                reading.connections_dropped,
            )?;
        }
        workload::metrics(&mut page, reading)?;
        process(&mut page, reading)
    }
}

fn engine(page: &mut Families<'_>, view: &EngineView) -> fmt::Result {
    let EngineView {
        ledger,
        stats,
        memory,
        connections,
        // By workload: `super::workload`.
        evictions: _,
    } = view;
    page.counter(
        "meshtap_exchanges_started",
        "Exchanges started.",
        ledger.started,
    )?;
    let whole = ([("partial", "none")], ledger.emitted_complete);
    let partial = by("partial", &Partial::ALL, Partial::label, &ledger.partial);
    page.counters(
        "meshtap_exchanges_emitted",
        "Exchanges emitted by the engine, by what they lack.",
        std::iter::once(whole).chain(partial),
    )?;
    page.counters(
        "meshtap_exchanges_dropped",
        "Exchanges started and not emitted, by reason.",
        by("reason", &Dropped::ALL, Dropped::label, &ledger.dropped),
    )?;
    page.gauge(
        "meshtap_exchanges_in_flight",
        "Exchanges started and not ended.",
        ledger.in_flight,
    )?;
    page.gauge(
        "meshtap_ledger_imbalance",
        "Exchanges started minus those that the ledger knows of: zero, or there is a bug.",
        ledger.imbalance(),
    )?;
    streams(page, stats)?;
    page.gauge(
        "meshtap_connections",
        "Connections followed now.",
        *connections,
    )?;
    page.gauge(
        "meshtap_engine_bytes",
        "Bytes of heads, bodies and reordering held.",
        *memory,
    )
}

fn streams(page: &mut Families<'_>, stats: &Stats) -> fmt::Result {
    let Stats {
        segments,
        payload_bytes,
        captured_bytes,
        skipped_bytes,
        unread_bytes,
        gaps,
        gap_bytes,
        connections,
        not_http,
        tls,
        http2: all,
        http2_resynced,
        http2_dropped,
        http2_broken,
        http2_errors,
        hpack_errors,
        pre_accept_dropped,
        identities,
        ambiguous_identities,
        evicted_connections,
        upgraded_bytes,
        websocket_messages,
    } = stats;
    for (name, help, value) in [
        ("segments", "Segments handled.", segments),
        ("payload_bytes", "Payload bytes handled.", payload_bytes),
        ("captured_bytes", "Bytes of streams, once.", captured_bytes),
        ("unread_bytes", "Of them, passed over.", unread_bytes),
        (
            "skipped_bytes",
            "Payload bytes not copied on purpose, past the limit of a body.",
            skipped_bytes,
        ),
        ("gaps", "Ranges missing in streams.", gaps),
        ("gap_bytes", "Bytes in missing ranges.", gap_bytes),
        ("connections", "Connections seen.", connections),
        ("not_http_connections", "Of them, not HTTP.", not_http),
        ("tls_connections", "Of them, TLS.", tls),
        (
            "evicted_connections",
            "Connections dropped for room.",
            evicted_connections,
        ),
        (
            "pre_accept_segments",
            "First segments seen at a listener that no connection claimed.",
            pre_accept_dropped,
        ),
    ] {
        page.counter(&format!("meshtap_{name}"), help, *value)?;
    }
    let connections = [all, http2_resynced, http2_dropped, http2_broken];
    http2::page(page, connections, http2_errors, hpack_errors)?;
    self::identities(page, *identities, *ambiguous_identities)?;
    upgrades(page, upgraded_bytes, websocket_messages)
}

fn identities(page: &mut Families<'_>, proved: u64, ambiguous: u64) -> fmt::Result {
    let help = "Exchanges of which ztunnel shows how they are secured, or may.";
    let samples = [
        ([("result", "proved")], proved),
        ([("result", "ambiguous")], ambiguous),
    ];
    page.counters("meshtap_identities", help, samples)
}

/// By direction: to the server, to the client.
fn upgrades(page: &mut Families<'_>, bytes: &[u64; 2], messages: &[u64; 2]) -> fmt::Result {
    for (name, help, values) in [
        ("upgraded_bytes", "Bytes after an upgrade.", bytes),
        (
            "websocket_messages",
            "WebSocket messages after an upgrade.",
            messages,
        ),
    ] {
        let [to_server, to_client] = *values;
        let samples = [
            ([("to", "server")], to_server),
            ([("to", "client")], to_client),
        ];
        page.counters(&format!("meshtap_{name}"), help, samples)?;
    }
    Ok(())
}

fn capture(page: &mut Families<'_>, reading: &Reading) -> fmt::Result {
    let CaptureView {
        drops,
        sockets,
        malformed,
        ring_size,
        // By workload, with the other counts of workloads.
        refused: _,
        ring_peak,
    } = &reading.capture;
    let [segments, bytes] = [0, 1].map(|which| {
        drops.map(|(segments, bytes)| match which {
            0 => segments,
            _ => bytes,
        })
    });
    page.counters(
        "meshtap_kernel_drops",
        "Segments that the BPF programs dropped, or did not copy on purpose, by reason.",
        by("reason", &KernelDrop::ALL, KernelDrop::label, &segments),
    )?;
    page.counters(
        "meshtap_kernel_drop_bytes",
        "Payload bytes of those, by reason.",
        by("reason", &KernelDrop::ALL, KernelDrop::label, &bytes),
    )?;
    page.counters(
        "meshtap_sockets",
        "Sockets by what the BPF programs took them for.",
        by("kind", &Classification::ALL, Classification::label, sockets),
    )?;
    page.counter(
        "meshtap_kernel_malformed",
        "Records of the BPF programs that could not be read.",
        *malformed,
    )?;
    page.gauge(
        "meshtap_ring_size_bytes",
        "Size of the ring buffer.",
        *ring_size,
    )?;
    page.gauge(
        "meshtap_ring_peak_bytes",
        "Most bytes taken from the ring buffer in one go.",
        *ring_peak,
    )?;
    page.gauges(
        "meshtap_hook_attached",
        "Whether a hook is in place.",
        reading.hooks.iter().map(|hook| {
            let is_attached = u64::from(hook.state == HookState::Attached);
            ([("hook", hook.name)], is_attached)
        }),
    )
}

fn policy(page: &mut Families<'_>, counts: &policy::Counts) -> fmt::Result {
    let policy::Counts {
        admitted,
        kept,
        skipped,
    } = counts;
    page.counter(
        "meshtap_exchanges_admitted",
        "Exchanges in scope, sampled or not.",
        *admitted,
    )?;
    page.counter(
        "meshtap_exchanges_kept",
        "Exchanges that the policy kept.",
        *kept,
    )?;
    page.counters(
        "meshtap_exchanges_filtered",
        "Exchanges that the policy did not keep, by rule.",
        by("rule", &Skip::ALL, Skip::label, skipped),
    )
}

fn redaction(page: &mut Families<'_>, counts: &redact::Counts) -> fmt::Result {
    let redact::Counts { redacted, omitted } = counts;
    page.counters(
        "meshtap_redacted_values",
        "Values hidden (in a dry run: that would have been), by rule.",
        by("rule", &Rule::ALL, Rule::label, redacted),
    )?;
    page.counters(
        "meshtap_omitted_bodies",
        "Bodies omitted, by reason.",
        by("reason", &Omitted::ALL, Omitted::label, omitted),
    )
}

fn process(page: &mut Families<'_>, reading: &Reading) -> fmt::Result {
    page.gauge(
        "meshtap_service_level",
        "0: everything; 1: no bodies; 2: no bodies and a part of the traces.",
        u64::from(reading.level as u8),
    )?;
    page.counters(
        "meshtap_service_level_changes",
        "Changes to each level of service by the overload guard.",
        by("to", &Level::ALL, Level::label, &reading.steps),
    )?;
    page.gauge(
        "meshtap_cpu_cores",
        "Cores kept busy by the agent over the last second.",
        reading.usage.cpu,
    )?;
    page.counter(
        "process_cpu_seconds",
        "Processor time of the agent.",
        usage::cpu_nanos() as f64 / 1e9,
    )?;
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory of the agent.",
        usage::resident(),
    )?;
    page.gauges(
        "meshtap_stalled",
        "Whether a part of the agent has not moved for too long.",
        (reading.parts.iter())
            .map(|part| ([("part", part.name.as_str())], u64::from(part.is_stalled()))),
    )?;
    page.counter(
        "meshtap_log_lines_suppressed",
        "Log lines not written, for there were too many of their kind.",
        reading.suppressed,
    )?;
    page.counters(
        "meshtap_config_reloads",
        "Times that the configuration was read again.",
        [
            ([("result", "applied")], reading.reloads),
            ([("result", "refused")], reading.failed_reloads),
        ],
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use super::super::health::{Part, PartState};
    use super::super::state::Hook;
    use super::*;
    use crate::export::Report;
    use crate::export::delivery::Totals;
    use crate::workload::{View, WatchState, WatchView, WorkloadName};

    fn reading() -> Reading {
        let mut reading = Reading::default();
        reading.engine.ledger.started = 7;
        reading.engine.ledger.dropped[Dropped::Evicted as usize] = 3;
        reading.engine.stats.http2 = 5;
        reading.exporters = vec![Report {
            name: "a\"b\\".to_owned(),
            totals: Totals {
                latency: [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4],
                ..Totals::default()
            },
            queue_limit: 9,
            ..Report::default()
        }];
        reading
    }

    #[track_caller]
    fn check(format: Format, expected: &[&str]) {
        let page = page(reading(), format);
        for line in expected {
            assert!(
                page.lines().any(|found| found == *line),
                "{line} in\n{page}"
            );
        }
    }

    /// A reading with a sample of every family.
    fn full() -> Reading {
        let name = WorkloadName {
            namespace: "shop".into(),
            name: "cart".into(),
        };
        let watch = WatchView {
            name: "node_pods",
            state: WatchState::Synced,
            errors: 0,
            listings: 1,
        };
        Reading {
            workloads: Some(View {
                watches: vec![watch],
                ..View::default()
            }),
            evictions: [(name.clone(), 1)].into(),
            refused: [(name, 1)].into(),
            hooks: vec![Hook {
                name: "socket",
                state: HookState::Attached,
            }],
            parts: vec![Part {
                name: "data".to_owned(),
                state: PartState::Moving,
            }],
            metrics: Some(crate::signal::metrics::Totals::default()),
            ..reading()
        }
    }

    /// Name, type and labels of each family of a page.
    fn families(page: &str) -> BTreeMap<&str, (&str, BTreeSet<&str>)> {
        let heads = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut families: BTreeMap<_, _> = heads
            .filter_map(|head| head.split_once(' '))
            .map(|(name, kind)| (name, (kind, BTreeSet::new())))
            .collect();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, rest)) = line.split_once('{') else {
                continue;
            };
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| families.contains_key(base));
            let family = families.get_mut(base.unwrap_or(name)).unwrap();
            let labels = rest.split("=\"").map(|part| {
                let start = part.rfind([',', '{']).map_or(0, |at| at + 1);
                &part[start..]
            });
            let is_name = |label: &&str| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            };
            family
                .1
                .extend(labels.filter(is_name).filter(|label| *label != "le"));
        }
        families
    }

    /// What is between backticks.
    fn quoted(cell: &str) -> impl Iterator<Item = &str> {
        cell.split('`').skip(1).step_by(2)
    }

    #[test]
    fn the_reference_is_right() {
        let documented = include_str!("../../../docs/metrics.md");
        let page = page(full(), Format::Prometheus);
        let mut families = families(&page);
        assert!(families.len() > 60, "{families:?}");
        for row in documented.lines().filter(|row| row.starts_with("| `")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            for name in quoted(cells[1]) {
                let (kind, labels) = families
                    .remove(name)
                    .unwrap_or_else(|| panic!("{name} is in docs/metrics.md alone, or twice"));
                let documented: BTreeSet<_> = quoted(cells[3]).collect();
                assert_eq!(labels, documented, "{name}");
                // As usual: the names of the process's own say what they are.
                assert!(
                    cells[2] == kind || name.starts_with("process_"),
                    "{name}: {kind}"
                );
            }
        }
        assert!(families.is_empty(), "not in docs/metrics.md: {families:?}");
    }

    #[test]
    fn samples() {
        let both = [
            "meshtap_exchanges_started_total 7",
            "meshtap_exchanges_dropped_total{reason=\"evicted\"} 3",
            "meshtap_exchanges_emitted_total{partial=\"none\"} 0",
            "meshtap_http2_connections_total 5",
            "meshtap_pre_accept_segments_total 0",
            "meshtap_ledger_imbalance 4",
            "meshtap_export_queue_limit_bytes{exporter=\"a\\\"b\\\\\"} 9",
            "meshtap_export_duration_seconds_count{exporter=\"a\\\"b\\\\\"} 7",
        ];
        check(Format::Prometheus, &both);
        check(Format::OpenMetrics, &both);
        check(
            Format::Prometheus,
            &[
                "# TYPE meshtap_exchanges_started_total counter",
                "meshtap_export_duration_seconds_bucket{exporter=\"a\\\"b\\\\\",le=\"0.002\"} 3",
                "meshtap_export_duration_seconds_bucket{exporter=\"a\\\"b\\\\\",le=\"+Inf\"} 7",
            ],
        );
        check(
            Format::OpenMetrics,
            &["# TYPE meshtap_exchanges_started counter", "# EOF"],
        );
    }

    /// Names of metrics in a dashboard that begin so.
    fn named(dashboard: &str, prefix: &str) -> HashSet<String> {
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().unwrap());
        let words = targets.flat_map(|target| {
            let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
            target["expr"]
                .as_str()
                .unwrap()
                .split(move |char| !is_name(char))
        });
        words
            .filter(|word| word.starts_with(prefix))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn dashboards_name_metrics_that_there_are() {
        let reading = Reading {
            metrics: Some(crate::signal::metrics::Totals::default()),
            ..reading()
        };
        let page = page(reading, Format::Prometheus);
        let names = named(
            include_str!("../../../deploy/dashboards/agent.json"),
            "meshtap_",
        );
        assert!(names.len() > 15);
        for name in names {
            assert!(page.contains(&format!("# TYPE {name} ")), "{name}");
        }
        let page = include_str!("../../../docs/istio-metrics.md");
        let names = named(
            include_str!("../../../deploy/dashboards/services.json"),
            "istio_",
        );
        assert!(names.len() > 6);
        for name in names {
            let family = name.trim_end_matches("_bucket").trim_end_matches("_sum");
            assert!(page.contains(&format!("`{family}`")), "{name}");
        }
    }

    #[test]
    fn every_sample_belongs_to_a_described_metric() {
        let page = page(reading(), Format::Prometheus);
        let mut described = HashSet::new();
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').unwrap();
                let suffixes: &[&str] = match kind {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                for suffix in suffixes {
                    assert!(described.insert(format!("{name}{suffix}")), "{name} twice");
                }
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(described.contains(name), "{line}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(described.len() > 40);
    }
}
