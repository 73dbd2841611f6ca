//! What is known of each exporter, for metrics, JSON and people.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ItemKind;
use super::delivery::{DropReason, Totals};
use super::handle::{Channel, Stopped};
use crate::plural::counted;

/// The state of one exporter.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What its items are.
    pub kind: ItemKind,
    /// Its totals.
    pub totals: Totals,
    /// Bytes that wait.
    pub queue_bytes: usize,
    /// Most bytes that may wait.
    pub queue_limit: usize,
    /// Why nothing can be written to it just now, if so: a full disk, a reader that has gone.
    pub stopped: Option<Stopped>,
    /// Why the last attempt or batch failed that did.
    pub error: Option<String>,
}

impl Report {
    /// The totals, for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        let totals = &self.totals;
        let dropped: Map<_, _> = (DropReason::ALL.iter().zip(totals.dropped))
            .map(|(reason, count)| (reason.label().to_owned(), count.into()))
            .collect();
        json!({
            "item": self.kind.label(),
            "accepted": totals.accepted,
            "exported": totals.exported,
            "rejected": totals.rejected,
            "dropped": dropped,
            "queued": totals.queued(),
            "batches": totals.batches,
            "bytes": totals.bytes,
            "attempts": totals.attempts,
            "failures": totals.failures,
            "last_error": self.error,
        })
    }

    /// The totals, for a person: `otlp: 20 spans = 18 exported + 2 rejected`, and why items were
    /// rejected or dropped.
    #[must_use]
    pub fn text(&self) -> String {
        let totals = &self.totals;
        let mut text = format!(
            "{}: {} = {} exported",
            self.name,
            counted(totals.accepted, self.kind.noun()),
            totals.exported
        );
        let dropped = DropReason::ALL.iter().zip(totals.dropped);
        let rest = std::iter::once(("rejected", totals.rejected))
            .chain(dropped.map(|(reason, count)| (reason.label(), count)))
            .chain(std::iter::once(("queued", totals.queued())));
        for (label, count) in rest.filter(|(_, count)| *count > 0) {
            text.push_str(&format!(" + {count} {label}"));
        }
        let is_short = totals.rejected + totals.dropped_total() > 0;
        if let Some(error) = self.error.as_ref().filter(|_| is_short) {
            text.push_str(&format!(" (last error: {error})"));
        }
        text
    }
}

/// Reads the state of every exporter, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Reports(Arc<[Arc<Channel>]>);

impl Reports {
    pub(super) const fn of(channels: Arc<[Arc<Channel>]>) -> Self {
        Self(channels)
    }

    /// The state now.
    #[must_use]
    pub fn read(&self) -> Vec<Report> {
        let report = |channel: &Arc<Channel>| Report {
            name: channel.name.clone(),
            kind: channel.kind,
            totals: channel.totals(),
            queue_bytes: channel.queue.bytes(),
            queue_limit: channel.queue.limit(),
            stopped: channel.stopped(),
            error: channel.delivery.error(),
        };
        self.0.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(totals: Totals, expected: &str) {
        let report = Report {
            name: "otlp".to_owned(),
            totals,
            error: Some("refused".to_owned()),
            ..Report::default()
        };
        assert_eq!(report.text(), expected);
        assert_eq!(report.json()["accepted"], report.totals.accepted);
    }

    #[test]
    fn totals_in_words() {
        check(Totals::default(), "otlp: 0 spans = 0 exported");
        check(
            Totals {
                accepted: 2,
                exported: 1,
                rejected: 1,
                ..Totals::default()
            },
            "otlp: 2 spans = 1 exported + 1 rejected (last error: refused)",
        );
        check(
            Totals {
                accepted: 10,
                exported: 4,
                rejected: 1,
                dropped: [2, 0, 3, 0],
                ..Totals::default()
            },
            "otlp: 10 spans = 4 exported + 1 rejected + 2 queue_full + 3 permanent_error (last error: refused)",
        );
    }
}
