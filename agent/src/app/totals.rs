//! The totals of a run, over all steps: from the first byte of an exchange to the collector's
//! response.

use serde_json::{Map, Value, json};

use crate::exchange::Partial;
use crate::export::Report;
use crate::ledger::{Dropped, Ledger};
use crate::policy::{Counts, Skip};

/// The totals of each step.
#[derive(Debug)]
pub(super) struct RunTotals<'a> {
    pub(super) ledger: &'a Ledger,
    /// Exchanges emitted that found no room before the policy.
    pub(super) overflow: u64,
    pub(super) policy: &'a Counts,
    pub(super) exporters: &'a [Report],
}

impl RunTotals<'_> {
    /// What no total has, over all steps: zero, or there is a bug.
    pub(super) fn imbalance(&self) -> i64 {
        let filtered: u64 = self.policy.skipped.iter().sum();
        let decided = self.overflow + self.policy.kept + filtered;
        let emitted = self.ledger.emitted();
        let exported: i64 = self
            .exporters
            .iter()
            .map(|report| {
                let totals = &report.totals;
                let kept = match report.kind.is_of_exchanges() {
                    true => self.policy.kept,
                    false => totals.accepted,
                };
                let handed = kept.cast_signed() - totals.accepted.cast_signed();
                handed.abs() + totals.imbalance().abs()
            })
            .sum();
        let decided = emitted.cast_signed() - decided.cast_signed();
        self.ledger.imbalance().abs() + decided.abs() + exported
    }

    pub(super) fn json(&self) -> Value {
        let ledger = self.ledger;
        let partial = Partial::ALL.map(Partial::label).into_iter();
        let dropped = Dropped::ALL.map(Dropped::label).into_iter();
        let filtered = Skip::ALL.map(Skip::label).into_iter();
        let exporters: Map<_, _> = self
            .exporters
            .iter()
            .map(|report| (report.name.clone(), report.json()))
            .collect();
        json!({
            "started": ledger.started,
            "emitted_complete": ledger.emitted_complete,
            "partial": counts(partial.zip(ledger.partial)),
            "dropped": counts(dropped.zip(ledger.dropped)),
            "in_flight": ledger.in_flight,
            "overflow": self.overflow,
            "kept": self.policy.kept,
            "filtered": counts(filtered.zip(self.policy.skipped)),
            "exporters": exporters,
            "imbalance": self.imbalance(),
        })
    }
}

fn counts(entries: impl Iterator<Item = (&'static str, u64)>) -> Value {
    entries
        .map(|(label, count)| (label.to_owned(), Value::from(count)))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{ItemKind, delivery};

    fn check(kept: u64, sampled: u64, accepted: u64, exported: u64, imbalance: i64) {
        check_kind(
            ItemKind::Span,
            (kept, sampled),
            (accepted, exported),
            imbalance,
        );
    }

    #[track_caller]
    fn check_kind(
        kind: ItemKind,
        (kept, sampled): (u64, u64),
        (accepted, exported): (u64, u64),
        imbalance: i64,
    ) {
        let ledger = Ledger {
            started: 12,
            emitted_complete: 10,
            dropped: [2, 0, 0, 0, 0, 0, 0, 0],
            ..Ledger::default()
        };
        let mut policy = Counts {
            kept,
            ..Counts::default()
        };
        policy.skipped[Skip::Sampling as usize] = sampled;
        let exporters = [Report {
            name: "otlp".to_owned(),
            kind,
            totals: delivery::Totals {
                accepted,
                exported,
                ..delivery::Totals::default()
            },
            ..Report::default()
        }];
        let totals = RunTotals {
            ledger: &ledger,
            overflow: 1,
            policy: &policy,
            exporters: &exporters,
        };
        assert_eq!(totals.imbalance(), imbalance);
        assert_eq!(totals.json()["imbalance"], imbalance);
    }

    #[test]
    fn every_step_must_balance() {
        check(6, 3, 6, 6, 0);
        check(6, 2, 6, 6, 1);
        check(6, 3, 5, 5, 1);
        check(6, 3, 6, 5, 1);
        // Data points are of no exchange in particular.
        check_kind(ItemKind::DataPoint, (6, 3), (50, 50), 0);
        check_kind(ItemKind::DataPoint, (6, 3), (50, 49), 1);
        // Two errors do not make one right.
        check(7, 3, 6, 5, 1 + 1 + 1);
    }
}
