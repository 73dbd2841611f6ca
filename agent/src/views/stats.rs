//! Totals by who calls whom and what: rate, errors, durations, bytes. What `top` and the page's
//! service map show.
//!
//! Everything is kept once, in cells of client, server, method, route and status; a table merges
//! cells. Time is the second in which an exchange ended, so a replay shows the rates that there
//! were.

mod cell;
pub(crate) mod key;
mod table;
mod unnamed;

use hashbrown::HashMap;

use super::shown::{End, Shown};
use crate::hash::Keyed;
use cell::Cell;
use key::KeyText;
use unnamed::{Unnamed, Waiting};

pub use cell::{RATE_SECONDS, SECONDS, Span};
pub use key::Key;
pub use table::{By, Line};

/// Cells at most: with a histogram of up to 13 KiB each, 27 MB. A service has tens of routes.
pub const MAX_CELLS: usize = 2_000;

/// Seconds of a run at least: what lasted less has no rate that means anything.
const SHORTEST: f64 = 0.001;

/// The key of an exchange.
#[must_use]
pub fn key_of(shown: &Shown) -> Key {
    let mut text = KeyText::default();
    text.fill(shown, false);
    text.key()
}

/// Totals of all exchanges that went in.
#[derive(Debug, Default)]
pub struct Stats {
    /// By the text of their keys.
    cells: HashMap<Box<str>, (Key, Cell), Keyed>,
    /// Ends whose cells are apart.
    unnamed: Unnamed,
    /// Those that found no cell.
    other: Option<Box<Cell>>,
    /// Those that the end of the capture cut off: in no line, and in no sum.
    open: u64,
    /// The second, since 1970, of the first exchange that ended.
    first: Option<u64>,
    /// The newest second, since 1970.
    latest: u64,
    scratch: KeyText,
}

impl Stats {
    /// Counts an exchange.
    pub fn add(&mut self, shown: &Shown) {
        if shown.is_open() {
            self.open += 1;
            return;
        }
        let second = shown.sanitized.ended() / 1_000_000_000;
        self.first = Some(self.first.map_or(second, |first| first.min(second)));
        self.latest = self.latest.max(second);
        if self.cells.len() >= MAX_CELLS {
            let ends = self.unnamed.all();
            ends.iter().for_each(|waiting| self.join(waiting));
        }
        let has_room = self.cells.len() < MAX_CELLS;
        self.scratch.fill(shown, has_room);
        let text = self.scratch.as_str();
        if let Some((_, cell)) = self.cells.get_mut(text) {
            return cell.add(shown, second);
        }
        if !has_room {
            return self.other.get_or_insert_default().add(shown, second);
        }
        let mut cell = Cell::default();
        cell.add(shown, second);
        self.cells.insert(text.into(), (self.scratch.key(), cell));
        let ends = shown.unnamed();
        let gone: Vec<_> = ends
            .filter_map(|(end, service)| self.unnamed.add(end, service, text))
            .collect();
        gone.iter().for_each(|waiting| self.join(waiting));
    }

    /// Names have become known: what their services did before is theirs.
    pub fn names_known(&mut self) {
        let ends = self.unnamed.named();
        ends.iter().for_each(|waiting| self.join(waiting));
    }

    /// The cells of an end → those of all with its name.
    fn join(&mut self, waiting: &Waiting) {
        for text in &waiting.cells {
            let Some((mut key, cell)) = self.cells.remove(text) else {
                continue;
            };
            let place = match waiting.end {
                End::Client => &mut key.client,
                End::Server => &mut key.server,
            };
            if let Some(name) = waiting.service.name() {
                *place = name.clone();
            }
            self.scratch.set(&key);
            let text = self.scratch.as_str();
            let entry = self.cells.entry_ref(text);
            entry.or_insert((key, Cell::default())).1.merge(&cell);
        }
    }

    /// Exchanges that found no cell: they are in the sums only.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.other.as_ref().map_or(0, |cell| cell.count)
    }

    /// Cells that there are.
    #[cfg(test)]
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Exchanges that the end of the capture cut off.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// The last whole seconds before the present one, `now` (since 1970): [`RATE_SECONDS`], or
    /// fewer when not so many have passed since the first exchange.
    #[must_use]
    pub fn recent(&self, now: u64) -> Span {
        let passed = self.first.map_or(1, |first| now.saturating_sub(first));
        let seconds = passed.clamp(1, RATE_SECONDS as u64);
        #[expect(clippy::cast_precision_loss, reason = "at most RATE_SECONDS")]
        let length = seconds as f64;
        Span {
            now,
            from: Some(now.saturating_sub(seconds)),
            seconds: length,
        }
    }

    /// A run that lasted so many seconds, after its end: all of it.
    #[must_use]
    pub const fn run(&self, seconds: f64) -> Span {
        Span {
            // The second in which the last exchange ended is over.
            now: self.latest + 1,
            from: None,
            seconds: seconds.max(SHORTEST),
        }
    }

    /// The second, since 1970, in which the newest exchange ended.
    #[must_use]
    pub const fn latest(&self) -> u64 {
        self.latest
    }

    /// The sum of everything, with the rate of a span.
    #[must_use]
    pub fn total(&self, span: Span) -> Line {
        let cells = self.cells.values().map(|(_, cell)| cell);
        let mut sum = Cell::default();
        cells
            .chain(self.other.as_deref())
            .for_each(|cell| sum.merge(cell));
        Line::new(Key::default(), &sum, span)
    }

    /// The lines of a table, the busiest first.
    #[must_use]
    pub fn table(&self, by: By, span: Span) -> Vec<Line> {
        table::make(self.cells.values(), by, span)
    }
}

#[cfg(test)]
mod tests;
