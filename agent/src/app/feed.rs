//! From the output thread to what is looked at. Where it cannot follow a live capture, a sample of
//! the exchanges goes in, and the rest is counted.

use std::sync::Arc;

use super::queue::WhenFull;
use crate::views::{Shown, Store};

/// Exchanges gathered before they go in: one lock for all of them.
const GATHERED: usize = 256;
/// Of so many exchanges one goes in while the view cannot follow. Hiding secrets in bodies is what
/// takes time; at this share it is a small part of it.
const SAMPLE: u64 = 16;

/// What the output thread gives its exchanges to.
#[derive(Debug)]
pub(super) struct Feed {
    store: Arc<Store>,
    gathered: Vec<Shown>,
    /// A live capture never waits.
    samples: bool,
    /// The queue is more than half full.
    is_pressed: bool,
    seen: u64,
    skipped: u64,
}

impl Feed {
    pub(super) const fn new(store: Arc<Store>, when_full: WhenFull) -> Self {
        Self {
            store,
            gathered: Vec::new(),
            samples: matches!(when_full, WhenFull::Drop),
            is_pressed: false,
            seen: 0,
            skipped: 0,
        }
    }

    /// A batch begins; the queue behind it is more than half full, or it is not.
    pub(super) const fn begin(&mut self, is_pressed: bool) {
        self.is_pressed = is_pressed;
    }

    /// Whether the next exchange stays out; it is counted then.
    pub(super) const fn skips(&mut self) -> bool {
        self.seen += 1;
        let skips = self.samples && self.is_pressed && !self.seen.is_multiple_of(SAMPLE);
        if skips {
            self.skipped += 1;
        }
        skips
    }

    pub(super) fn push(&mut self, shown: Shown) {
        self.gathered.push(shown);
        if self.gathered.len() >= GATHERED {
            self.settle();
        }
    }

    /// What was gathered goes in.
    pub(super) fn settle(&mut self) {
        if !self.gathered.is_empty() {
            self.store.append(std::mem::take(&mut self.gathered));
        }
        if self.skipped > 0 {
            self.store.skip(std::mem::take(&mut self.skipped));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.settle();
        self.store.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(when_full: WhenFull, is_pressed: bool, expected: u64) {
        let store = Arc::new(Store::default());
        let mut feed = Feed::new(store.clone(), when_full);
        feed.begin(is_pressed);
        let taken = (0..160).filter(|_| !feed.skips()).count() as u64;
        drop(feed);
        assert_eq!(taken, expected);
        let held = store.held();
        assert_eq!(held.skipped, 160 - expected);
        assert!(held.ended);
    }

    #[test]
    fn a_sample_is_taken_under_pressure_alone() {
        check(WhenFull::Drop, false, 160);
        check(WhenFull::Drop, true, 10);
        // A file can wait.
        check(WhenFull::Wait, true, 160);
    }
}
