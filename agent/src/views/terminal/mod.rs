//! The screen of `tap -i`, `replay -i` and `top`: what it shows, and what keys do. Pure: events and
//! snapshots of the store in, cells and effects out. The terminal itself is the caller's.
//!
//! ```text
//! refresh(store, now) ─► List, Totals ─► draw(frame)
//! key(key)            ─► Effect: quit, copy, save
//! ```
//!
//! Captured text is escaped before it gets here. Only the terminal's own foreground and background,
//! and its sixteen colours, are used, so that a light one stays readable; nothing is said by colour
//! alone.

mod body;
mod columns;
mod detail;
mod draw;
mod help;
mod ink;
mod keys;
mod list;
pub(super) mod numbers;
mod prompt;
pub mod save;
mod totals;

use std::path::PathBuf;
use std::sync::Arc;

use crate::views::shown::Shown;
use crate::views::stats::By;
use crate::views::store::{Held, Store};
use detail::Detail;
use ink::Inks;
use list::List;
use prompt::Prompt;
use totals::Totals;

/// What is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The table of exchanges.
    Exchanges,
    /// Totals, by something.
    Totals(By),
}

/// What a key asks for outside of the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The end.
    Quit,
    /// Puts a text into the clipboard of the terminal.
    Copy(String),
    /// Writes a text to a file.
    SaveText(PathBuf, String),
    /// Writes exchanges with these numbers to a HAR file.
    SaveHar(PathBuf, Vec<u64>),
}

/// The screen.
#[derive(Debug)]
pub struct Screen {
    inks: Inks,
    /// Exchanges or totals.
    is_totals: bool,
    list: List,
    totals: Totals,
    /// An exchange that is looked at, above the table.
    detail: Option<Detail>,
    /// First line of the help, while it is shown.
    help: Option<usize>,
    prompt: Option<Prompt>,
    /// What a curl command is asked for of.
    curl_of: Option<Arc<Shown>>,
    /// What is to be said once.
    note: String,
    held: Held,
    rate: Rate,
    /// Lines that the middle of the screen had when it was drawn last: what a page is.
    rows: usize,
    is_dirty: bool,
}

/// How many exchanges came in the last second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    second: u64,
    before: u64,
    now: u64,
}

impl Rate {
    const fn update(&mut self, second: u64, count: u64) {
        if second != self.second {
            let seconds = second.abs_diff(self.second);
            self.now = count.saturating_sub(self.before) / seconds;
            self.before = count;
            self.second = second;
        }
    }
}

impl Screen {
    /// With colour or without.
    #[must_use]
    pub fn new(page: Page, colour: bool) -> Self {
        let by = match page {
            Page::Exchanges => By::default(),
            Page::Totals(by) => by,
        };
        Self {
            inks: Inks { colour },
            is_totals: page != Page::Exchanges,
            list: List::new(),
            totals: Totals::new(by),
            detail: None,
            help: None,
            prompt: None,
            curl_of: None,
            note: String::new(),
            held: Held::default(),
            rate: Rate::default(),
            rows: 1,
            is_dirty: true,
        }
    }

    /// Looks at what has come; `now` is the present second, since 1970. Whether there is something
    /// to draw.
    pub fn refresh(&mut self, store: &Store, now: u64) -> bool {
        let held = store.held();
        let is_new_second = now != self.rate.second;
        self.rate
            .update(now, held.next.saturating_sub(1) + held.skipped);
        self.is_dirty |= is_new_second || held != self.held;
        self.held = held;
        self.is_dirty |= self.list.refresh(store, &held);
        if self.is_totals {
            self.is_dirty |= self.totals.refresh(store, now);
        }
        std::mem::take(&mut self.is_dirty)
    }

    /// Says something in the last line but one, until the next key.
    pub fn note(&mut self, text: &str) {
        self.note = crate::views::shown::visible(text.as_bytes());
        self.is_dirty = true;
    }

    /// Takes it back, where it is still there.
    pub fn withdraw(&mut self, text: &str) {
        if !self.note.is_empty() && self.note == crate::views::shown::visible(text.as_bytes()) {
            self.note.clear();
            self.is_dirty = true;
        }
    }

    /// The terminal has another size.
    pub const fn resized(&mut self) {
        self.is_dirty = true;
    }

    /// Text that was pasted: into the prompt, if there is one.
    pub fn paste(&mut self, text: &str) {
        if let Some(prompt) = &mut self.prompt {
            for c in text.chars().filter(|c| !c.is_control()) {
                prompt.insert(c);
            }
            self.prompt_changed();
        }
        self.is_dirty = true;
    }
}

#[cfg(test)]
mod tests;
