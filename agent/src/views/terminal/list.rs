//! The table of exchanges: which pass the filter, in which order, and which is selected.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::views::filter::Query;
use crate::views::shown::Shown;
use crate::views::stats::{By, Key, key_of};
use crate::views::store::{Held, Store};

/// Exchanges that are looked at in one refresh: ten times what a busy machine has in that time, and
/// some milliseconds of work.
const SCAN: usize = 50_000;
/// Of those, so many under one lock.
const CHUNK: usize = 2_048;

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Time,
    Took,
    Size,
    Status,
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Time => Self::Took,
            Self::Took => Self::Size,
            Self::Size => Self::Status,
            Self::Status => Self::Time,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Took => "duration",
            Self::Size => "size",
            Self::Status => "status",
        }
    }
}

/// An exchange in the table: its number, and what it is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    value: u64,
    id: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct List {
    entries: Vec<Entry>,
    /// Number of the last exchange that was looked at.
    seen: u64,
    pub(super) query: Query,
    /// The filter as it was typed.
    pub(super) text: String,
    /// Only what a line of totals is of.
    pub(super) only: Option<(By, Key)>,
    pub(super) order: Order,
    /// Largest first.
    pub(super) descends: bool,
    selected: Option<u64>,
    /// Line of the screen that the selected one stands on.
    line: usize,
    /// The newest, or the first of another order, is selected.
    pub(super) follows: bool,
    /// Nothing after this number is shown.
    pub(super) paused: Option<u64>,
    pub(super) marked: BTreeSet<u64>,
    /// There is more to look at.
    is_behind: bool,
}

impl List {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            seen: 0,
            query: Query::default(),
            text: String::new(),
            only: None,
            order: Order::default(),
            descends: false,
            selected: None,
            line: 0,
            follows: true,
            paused: None,
            marked: BTreeSet::new(),
            is_behind: false,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Looks at what has come, and forgets what has fallen out of the store. Whether the table is
    /// another one.
    pub(super) fn refresh(&mut self, store: &Store, held: &Held) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id >= held.first);
        self.marked = self.marked.split_off(&held.first);
        let mut changed = self.entries.len() != before;
        let kept = self.entries.len();
        let mut scanned = 0;
        self.is_behind = true;
        while scanned < SCAN {
            let found = store.since(self.seen, CHUNK);
            if found.is_empty() {
                self.is_behind = false;
                break;
            }
            for (id, shown) in found {
                // What came since belongs to the next look, as the counts do.
                if id >= held.next || self.paused.is_some_and(|last| id > last) {
                    self.is_behind = false;
                    scanned = SCAN;
                    break;
                }
                self.seen = id;
                scanned += 1;
                if self.passes(&shown) {
                    let value = self.value(id, &shown);
                    self.entries.push(Entry { value, id });
                }
            }
        }
        changed |= self.entries.len() != kept;
        if changed {
            self.sort();
        }
        changed || self.is_behind
    }

    fn passes(&self, shown: &Shown) -> bool {
        let is_of = |(by, key): &(By, Key)| by.of(&key_of(shown)) == *key;
        self.only.as_ref().is_none_or(is_of) && self.query.matches(shown)
    }

    fn value(&self, id: u64, shown: &Shown) -> u64 {
        let exchange = shown.exchange();
        let response = exchange.response.as_ref();
        match self.order {
            Order::Time => id,
            Order::Took => exchange.duration(),
            Order::Size => exchange.request.body.size + response.map_or(0, |r| r.body.size),
            Order::Status => response.map_or(u64::MAX, |r| r.head.status.into()),
        }
    }

    fn sort(&mut self) {
        match self.descends {
            true => self.entries.sort_by(|a, b| b.cmp(a)),
            false => self.entries.sort(),
        }
        if self.follows {
            self.select_edge();
        }
    }

    /// Everything is looked at again.
    pub(super) fn restart(&mut self) {
        self.entries.clear();
        self.seen = 0;
        self.line = 0;
        self.is_behind = true;
    }

    pub(super) fn set_order(&mut self, order: Order, descends: bool) {
        self.order = order;
        self.descends = descends;
        self.restart();
    }

    /// Shows what passes another filter.
    pub(super) fn filter(&mut self, text: &str, query: Query) {
        self.text = text.to_owned();
        if self.query != query {
            self.query = query;
            self.restart();
        }
    }

    /// The newest one; the first one of any other order.
    fn select_edge(&mut self) {
        let edge = match (self.order, self.descends) {
            (Order::Time, false) => self.entries.last(),
            _ => self.entries.first(),
        };
        self.selected = edge.map(|entry| entry.id);
        self.line = match (self.order, self.descends) {
            (Order::Time, false) => usize::MAX,
            _ => 0,
        };
    }

    pub(super) fn follow(&mut self, follows: bool) {
        self.follows = follows;
        if follows {
            self.paused = None;
            self.select_edge();
        }
    }

    /// The number of the selected one, if it is in the table.
    pub(super) fn selected(&self) -> Option<u64> {
        let at = self.index()?;
        self.entries.get(at).map(|entry| entry.id)
    }

    /// Where the selected one is; the nearest, when it has gone.
    fn index(&self) -> Option<usize> {
        let last = self.entries.len().checked_sub(1)?;
        let found =
            (self.selected).and_then(|id| self.entries.iter().position(|entry| entry.id == id));
        Some(found.unwrap_or(self.line.min(last)))
    }

    /// Selects another one, so many lines down.
    pub(super) fn go(&mut self, by: isize) {
        let (Some(at), Some(last)) = (self.index(), self.entries.len().checked_sub(1)) else {
            return;
        };
        let next = at.saturating_add_signed(by).min(last);
        self.line = self.line.min(last).saturating_add_signed(by);
        self.selected = self.entries.get(next).map(|entry| entry.id);
        self.follows = by > 0 && next == last && self.order == Order::Time && !self.descends;
    }

    /// The numbers on a screen with so many rows; and which of them is selected.
    pub(super) fn window(&mut self, rows: usize) -> (Vec<u64>, usize) {
        let Some(at) = self.index() else {
            return (Vec::new(), 0);
        };
        let most = self.entries.len().saturating_sub(rows);
        let start = at - self.line.min(rows.saturating_sub(1)).min(at);
        let start = start.min(most);
        self.line = at - start;
        let shown = self.entries.iter().skip(start).take(rows);
        (shown.map(|entry| entry.id).collect(), self.line)
    }

    /// Those that are marked, in the order in which they came; else all of the table.
    pub(super) fn chosen(&self) -> Vec<u64> {
        if !self.marked.is_empty() {
            return self.marked.iter().copied().collect();
        }
        let mut all: Vec<_> = self.entries.iter().map(|entry| entry.id).collect();
        all.sort_unstable();
        all
    }

    /// The selected exchange.
    pub(super) fn shown(&self, store: &Store) -> Option<(u64, Arc<Shown>)> {
        let id = self.selected()?;
        Some((id, store.get(id)?))
    }
}
