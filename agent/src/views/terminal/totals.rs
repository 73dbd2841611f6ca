//! The table of totals: which are shown, in which order, and which is selected.

use crate::views::stats::{By, Key, Line};
use crate::views::store::Store;

/// What the table is sorted by; the largest is first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Rate,
    Count,
    Failed,
    P95,
    Bytes,
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Count,
            Self::Count => Self::Failed,
            Self::Failed => Self::P95,
            Self::P95 => Self::Bytes,
            Self::Bytes => Self::Rate,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Count => "count",
            Self::Failed => "failed",
            Self::P95 => "p95",
            Self::Bytes => "bytes",
        }
    }

    fn value(self, line: &Line) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it only sorts")]
        match self {
            Self::Rate => line.rate,
            Self::Count => line.count as f64,
            Self::Failed => line.failed as f64,
            Self::P95 => line.p95_ns as f64,
            Self::Bytes => (line.sent + line.received) as f64,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) by: By,
    pub(super) order: Order,
    pub(super) lines: Vec<Line>,
    pub(super) sum: Option<Line>,
    /// Exchanges that found no line.
    pub(super) overflow: u64,
    /// Those that the end cut off.
    pub(super) open: u64,
    selected: Option<Key>,
    at: usize,
    /// The second that the lines are of.
    of: Option<u64>,
}

impl Totals {
    pub(super) const fn new(by: By) -> Self {
        Self {
            by,
            order: Order::Rate,
            lines: Vec::new(),
            sum: None,
            overflow: 0,
            open: 0,
            selected: None,
            at: 0,
            of: None,
        }
    }

    /// Once a second; and whenever something came after nothing did. Whether it is another table.
    pub(super) fn refresh(&mut self, store: &Store, now: u64) -> bool {
        let is_current = self.of.is_some_and(|second| second == now);
        if is_current && !self.lines.is_empty() {
            return false;
        }
        store.stats(|stats| {
            let span = stats.recent(now);
            self.lines = stats.table(self.by, span);
            self.sum = Some(stats.total(span));
            (self.overflow, self.open) = (stats.overflow(), stats.open());
        });
        self.of = Some(now);
        self.sort();
        true
    }

    fn sort(&mut self) {
        let order = self.order;
        // What is equal keeps the order of counts and names.
        self.lines
            .sort_by(|a, b| order.value(b).total_cmp(&order.value(a)));
        let at = (self.selected.as_ref())
            .and_then(|key| self.lines.iter().position(|line| line.key == *key));
        self.at = at
            .unwrap_or(self.at)
            .min(self.lines.len().saturating_sub(1));
    }

    pub(super) fn set_order(&mut self, order: Order) {
        self.order = order;
        self.sort();
    }

    pub(super) fn set_by(&mut self, by: By) {
        *self = Self {
            order: self.order,
            ..Self::new(by)
        };
    }

    pub(super) fn go(&mut self, by: isize) {
        let last = self.lines.len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(by).min(last);
        self.selected = self.lines.get(self.at).map(|line| line.key.clone());
    }

    pub(super) fn selected(&self) -> Option<&Key> {
        self.lines.get(self.at).map(|line| &line.key)
    }

    /// The lines on a screen with so many rows; and which of them is selected.
    pub(super) fn window(&self, rows: usize) -> (&[Line], usize) {
        let start = self.at.saturating_sub(rows.saturating_sub(1));
        let end = self.lines.len().min(start + rows);
        (
            self.lines.get(start..end).unwrap_or_default(),
            self.at - start,
        )
    }
}
