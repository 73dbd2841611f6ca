//! The ledger at the end of a run: every exchange that started, and where it went.

use std::fmt::Write as _;
use std::time::Duration;

use meshtap_common::{CLASSIFICATIONS, Classification, DROP_REASONS, DropReason};
use serde_json::{Map, Value, json};

use super::units::{duration_text, size_words};
use crate::capture::record::Recorded;
use crate::engine::Stats;
use crate::exchange::Partial;
use crate::export;
use crate::http::h2::{Violation, hpack};
use crate::ledger::Ledger;
use crate::plural::counted;

/// Where emitted exchanges went. Together they are [`Ledger::reported`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Printed.
    pub shown: u64,
    /// A filter excluded them.
    pub filtered: u64,
    /// The reader of the output was too slow: dropped, so that capture never waits.
    pub output_full: u64,
    /// The screen could not follow: a sample is shown.
    pub skipped: u64,
    /// They ended after `--count` was reached.
    pub past_count: u64,
    /// The reader of the output had gone.
    pub output_closed: u64,
}

impl Delivery {
    /// Label and count of each destination.
    #[must_use]
    pub const fn entries(&self) -> [(&'static str, u64); 6] {
        [
            ("shown", self.shown),
            ("filtered", self.filtered),
            ("output_full", self.output_full),
            ("skipped", self.skipped),
            ("past_count", self.past_count),
            ("output_closed", self.output_closed),
        ]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.entries().iter().map(|(_, count)| count).sum()
    }
}

/// Payload that the BPF programs did not hand over, for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Segments.
    pub segments: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// Everything that is reported at the end.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the engine started and how it ended.
    pub ledger: Ledger,
    /// The engine's totals.
    pub stats: Stats,
    /// Where emitted exchanges went.
    pub delivery: Delivery,
    /// What the BPF programs did not hand over, by [`DropReason`]; `None` for a replay.
    pub kernel: Option<[Dropped; DROP_REASONS as usize]>,
    /// Sockets by what the BPF programs took them for, by [`Classification`]; `None` for a replay.
    pub sockets: Option<[u64; CLASSIFICATIONS as usize]>,
    /// Size of the ring buffer; `None` for a replay.
    pub ring_bytes: Option<u32>,
    /// The recording made, if any.
    pub recorded: Option<Recorded>,
    /// What became of the spans that were exported, by destination.
    pub exporters: Vec<export::Report>,
    /// From start to end.
    pub elapsed: Duration,
    /// CPU time of the process from start to end, user and system.
    pub cpu: Duration,
    /// CPU time it took before: loading and verifying the kernel programs, for the most part.
    pub startup_cpu: Duration,
    /// Most memory resident at a time, in bytes.
    pub max_rss: Option<u64>,
}

impl Report {
    /// Exchanges started less all that the ledger knows of: zero, or there is a bug.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        let emitted = self.ledger.emitted().cast_signed();
        self.ledger.imbalance() + emitted - self.delivery.total().cast_signed()
    }

    /// For a person. `started = shown + …` adds up, term by term.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let ledger = &self.ledger;
        let _ = write!(
            text,
            "{} started = {} shown",
            counted(ledger.started, "exchange"),
            self.delivery.shown
        );
        let dropped = crate::ledger::Dropped::ALL.iter().zip(ledger.dropped);
        let rest = (self.delivery.entries().into_iter().skip(1))
            .chain(dropped.map(|(reason, count)| (reason.label(), count)))
            .chain([("in flight", ledger.in_flight)]);
        for (label, count) in rest.filter(|(_, count)| *count > 0) {
            let _ = write!(text, " + {count} {label}");
        }
        let imbalance = self.imbalance();
        if imbalance != 0 {
            let _ = write!(text, " + {imbalance} unaccounted (a bug: please report it)");
        }
        text.push('\n');
        let partial = Partial::ALL.iter().zip(ledger.partial);
        list(&mut text, "partial", partial.map(|(p, n)| (p.label(), n)));
        self.traffic(&mut text);
        self.drops(&mut text);
        self.sockets(&mut text);
        for exporter in &self.exporters {
            let _ = writeln!(text, "{}", exporter.text());
        }
        if let Some(recorded) = self.recorded {
            let _ = writeln!(
                text,
                "recording: {}, {}, {} dropped",
                counted(recorded.events, "event"),
                size_words(recorded.bytes),
                counted(recorded.dropped, "event")
            );
        }
        text
    }

    fn traffic(&self, text: &mut String) {
        let stats = &self.stats;
        let _ = write!(
            text,
            "traffic: {} on {} in {}",
            size_words(stats.payload_bytes),
            counted(stats.connections, "connection"),
            duration_text(u64::try_from(self.elapsed.as_nanos()).unwrap_or(u64::MAX)),
        );
        if stats.http2 > 0 {
            let _ = write!(text, "; {} HTTP/2", stats.http2);
        }
        if stats.not_http > 0 {
            let other = stats.not_http.saturating_sub(stats.tls);
            let kinds = [(stats.tls, "tls"), (other, "other")];
            let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
            let kinds: Vec<_> = kinds
                .map(|(count, kind)| format!("{count} {kind}"))
                .collect();
            let _ = write!(text, "; not read: {}", kinds.join(", "));
        }
        if stats.evicted_connections > 0 {
            let _ = write!(text, "; {} dropped for room", stats.evicted_connections);
        }
        if stats.gaps > 0 {
            let missing = size_words(stats.gap_bytes);
            let _ = write!(text, "; {} of {missing}", counted(stats.gaps, "gap"));
        }
        text.push('\n');
    }

    /// What was not read of the machine's TCP sockets, by kind.
    fn sockets(&self, text: &mut String) {
        let Some(sockets) = self.sockets else { return };
        let ignored = Classification::ALL.iter().zip(sockets);
        let ignored = ignored.filter(|(kind, _)| **kind != Classification::Followed);
        let entries = ignored.map(|(kind, count)| (kind.label(), count));
        list(text, "sockets not read", entries);
    }

    fn drops(&self, text: &mut String) {
        let Some(kernel) = &self.kernel else { return };
        let ring = size_words(self.ring_bytes.unwrap_or(0).into());
        let _ = write!(text, "kernel: ring buffer {ring}");
        let mut none = true;
        for (reason, dropped) in DropReason::ALL.iter().zip(kernel) {
            if dropped.segments > 0 {
                let (verb, is_loss) = match reason {
                    DropReason::Budget => ("not copied past the body limit", false),
                    DropReason::Unaccepted => ("not accepted by TCP", false),
                    DropReason::Mptcp => ("excluded", false),
                    DropReason::RingFull
                    | DropReason::RingShare
                    | DropReason::Unreadable
                    | DropReason::Oversize
                    | DropReason::Headers
                    | DropReason::NoSocket
                    | DropReason::FlowState => ("dropped", true),
                };
                none &= !is_loss;
                let _ = write!(
                    text,
                    ", {} {verb} ({}, {})",
                    size_words(dropped.bytes),
                    reason.label(),
                    counted(dropped.segments, "segment"),
                );
            }
        }
        text.push_str(if none { ", no drops\n" } else { "\n" });
    }

    /// For a script.
    #[must_use]
    pub fn json(&self) -> Value {
        let ledger = &self.ledger;
        let partial: Map<_, _> = (Partial::ALL.iter().zip(ledger.partial))
            .map(|(reason, count)| (reason.label().to_owned(), count.into()))
            .collect();
        let dropped: Map<_, _> = (crate::ledger::Dropped::ALL.iter().zip(ledger.dropped))
            .map(|(reason, count)| (reason.label().to_owned(), count.into()))
            .collect();
        let delivery: Map<_, _> = (self.delivery.entries().into_iter())
            .map(|(label, count)| (label.to_owned(), count.into()))
            .collect();
        let kernel: Option<Map<_, _>> = self.kernel.as_ref().map(|kernel| {
            (DropReason::ALL.iter().zip(kernel))
                .map(|(reason, d)| {
                    let counts = json!({ "segments": d.segments, "bytes": d.bytes });
                    (reason.label().to_owned(), counts)
                })
                .collect()
        });
        let exporters: Map<_, _> = (self.exporters.iter())
            .map(|exporter| (exporter.name.clone(), exporter.json()))
            .collect();
        json!({
            "ledger": {
                "started": ledger.started,
                "emitted_complete": ledger.emitted_complete,
                "partial": partial,
                "dropped": dropped,
                "in_flight": ledger.in_flight,
                "imbalance": self.imbalance(),
            },
            "delivery": delivery,
            "stats": stats_json(&self.stats),
            "kernel_drops": kernel,
            "sockets": self.sockets.map(|sockets| {
                let kinds = Classification::ALL.iter().zip(sockets);
                let kinds = kinds.map(|(kind, count)| (kind.label().to_owned(), count.into()));
                kinds.collect::<Map<_, Value>>()
            }),
            "ring_bytes": self.ring_bytes,
            "exporters": exporters,
            "recording": self.recorded.map(|r| json!({
                "events": r.events, "dropped": r.dropped, "bytes": r.bytes,
            })),
            "elapsed_ns": u64::try_from(self.elapsed.as_nanos()).unwrap_or(u64::MAX),
            "startup_cpu_ns": u64::try_from(self.startup_cpu.as_nanos()).unwrap_or(u64::MAX),
            "cpu_ns": u64::try_from(self.cpu.as_nanos()).unwrap_or(u64::MAX),
            "max_rss_bytes": self.max_rss,
        })
    }
}

/// All of them: without `..`, a counter more does not compile before it is here.
fn stats_json(stats: &Stats) -> Value {
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
        http2,
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
    let hpack_errors: Map<_, _> = (hpack::Error::ALL.iter().zip(*hpack_errors))
        .map(|(reason, count)| (reason.label().to_owned(), count.into()))
        .collect();
    let http2_errors: Map<_, _> = (Violation::ALL.iter().zip(*http2_errors))
        .map(|(kind, count)| (kind.label().to_owned(), count.into()))
        .collect();
    json!({
        "segments": segments,
        "payload_bytes": payload_bytes,
        "captured_bytes": captured_bytes,
        "skipped_bytes": skipped_bytes,
        "unread_bytes": unread_bytes,
        "gaps": gaps,
        "gap_bytes": gap_bytes,
        "connections": connections,
        "not_http": not_http,
        "tls": tls,
        "http2": http2,
        "http2_resynced": http2_resynced,
        "http2_dropped": http2_dropped,
        "http2_broken": http2_broken,
        "http2_errors": http2_errors,
        "hpack_errors": hpack_errors,
        "pre_accept_dropped": pre_accept_dropped,
        "identities": identities,
        "ambiguous_identities": ambiguous_identities,
        "evicted_connections": evicted_connections,
        "upgraded_bytes": upgraded_bytes,
        "websocket_messages": websocket_messages,
    })
}

fn list(text: &mut String, title: &str, entries: impl Iterator<Item = (&'static str, u64)>) {
    let mut first = true;
    for (label, count) in entries.filter(|(_, count)| *count > 0) {
        let before = if first { ": " } else { ", " };
        let _ = write!(
            text,
            "{}{before}{count} {label}",
            if first { title } else { "" }
        );
        first = false;
    }
    if !first {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut ledger = Ledger::default();
        for _ in 0..10 {
            ledger.start();
        }
        (0..6).for_each(|_| ledger.emit(None));
        ledger.emit(Some(Partial::Gap));
        ledger.emit(Some(Partial::Shutdown));
        ledger.drop_with(crate::ledger::Dropped::Folded);
        ledger.drop_with(crate::ledger::Dropped::Folded);
        let mut kernel = [Dropped::default(); DROP_REASONS as usize];
        kernel[DropReason::RingFull as usize] = Dropped {
            segments: 2,
            bytes: 3000,
        };
        Report {
            ledger,
            delivery: Delivery {
                shown: 5,
                filtered: 2,
                output_full: 1,
                ..Delivery::default()
            },
            kernel: Some(kernel),
            sockets: Some([7, 3, 1, 0, 0, 0, 0]),
            ring_bytes: Some(1 << 24),
            elapsed: Duration::from_millis(2500),
            ..Report::default()
        }
    }

    #[test]
    fn text() {
        let report = report();
        assert_eq!(report.imbalance(), 0);
        assert_eq!(
            report.text(),
            "10 exchanges started = 5 shown + 2 filtered + 1 output_full + 2 folded\n\
             partial: 1 gap, 1 shutdown\n\
             traffic: 0 B on 0 connections in 2.50s\n\
             kernel: ring buffer 16 MiB, 2.9 KiB dropped (ring_full, 2 segments)\n\
             sockets not read: 3 tls, 1 other\n"
        );
    }

    #[test]
    fn what_is_not_read_is_summed_up_by_kind() {
        let mut report = report();
        report.stats.connections = 9;
        report.stats.http2 = 2;
        let mut check = |not_http, tls, expected: &str| {
            report.stats.not_http = not_http;
            report.stats.tls = tls;
            let text = report.text();
            let line = format!("on 9 connections in 2.50s; 2 HTTP/2{expected}\n");
            assert!(text.contains(&line), "{text}");
        };
        check(5, 0, "; not read: 5 other");
        check(5, 3, "; not read: 3 tls, 2 other");
        check(1, 1, "; not read: 1 tls");
        check(0, 0, "");
    }

    #[test]
    fn one_is_not_many() {
        let mut report = report();
        report.stats.connections = 1;
        report.stats.gaps = 1;
        report.stats.gap_bytes = 7;
        report.recorded = Some(Recorded {
            events: 1,
            dropped: 1,
            bytes: 1,
        });
        if let Some(kernel) = &mut report.kernel {
            kernel[DropReason::RingFull as usize].segments = 1;
        }
        let text = report.text();
        for line in [
            "on 1 connection in 2.50s; 1 gap of 7 B\n",
            "(ring_full, 1 segment)\n",
            "recording: 1 event, 1 B, 1 event dropped\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn an_imbalance_is_reported() {
        let mut report = report();
        report.delivery.shown = 3;
        assert_eq!(report.imbalance(), 2);
        assert!(report.text().contains("+ 2 unaccounted"));
        assert_eq!(report.json()["ledger"]["imbalance"], 2);
    }

    #[test]
    fn every_word_is_explained() {
        let page = include_str!("../../../docs/ledger.md");
        let stats = stats_json(&Stats::default());
        let stats = stats.as_object().expect("an object").keys();
        let totals = crate::export::Report::default().json();
        let totals = totals.as_object().expect("an object").keys();
        let words = (Partial::ALL.iter().map(|reason| reason.label()))
            .chain(
                crate::ledger::Dropped::ALL
                    .iter()
                    .map(|reason| reason.label()),
            )
            .chain(DropReason::ALL.iter().map(|reason| reason.label()))
            .chain(Classification::ALL.iter().map(|kind| kind.label()))
            .chain(
                export::delivery::DropReason::ALL
                    .iter()
                    .map(|reason| reason.label()),
            )
            .chain(crate::policy::Skip::ALL.iter().map(|rule| rule.label()))
            .chain(Delivery::default().entries().map(|(label, _)| label))
            .chain(stats.chain(totals).map(String::as_str));
        for word in words {
            assert!(
                page.contains(&format!("`{word}`")),
                "{word} is not in docs/ledger.md"
            );
        }
    }

    #[test]
    fn json_has_every_reason() {
        let json = report().json();
        assert_eq!(json["ledger"]["partial"]["gap"], 1);
        assert_eq!(json["ledger"]["dropped"]["folded"], 2);
        assert_eq!(json["delivery"]["output_full"], 1);
        assert_eq!(json["kernel_drops"]["ring_full"]["bytes"], 3000);
        assert_eq!(json["sockets"]["followed"], 7);
        assert_eq!(json["sockets"]["tls"], 3);
        assert_eq!(
            json["kernel_drops"].as_object().map(Map::len),
            Some(DropReason::ALL.len())
        );
    }
}
