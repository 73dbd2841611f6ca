//! A bound on log lines: what happens a million times is not written a million times.

use std::time::Duration;

use hashbrown::HashMap;

use crate::clock::nanos;
use crate::flow::Nanos;

/// Lines of one kind in [`WINDOW`]: what a person reads of it.
const LINES: u32 = 10;
/// How long a kind of line is bounded together.
const WINDOW: Duration = Duration::from_secs(10);
/// Kinds of line kept apart, each from one place in the code: more than there are. The rest share
/// one.
const KINDS: usize = 1024;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written.
    Write,
    /// It is written, and so many of its kind were not since the last one.
    WriteAfter(u64),
    /// It is not written.
    Suppress,
}

#[derive(Debug, Default)]
struct Kind {
    since: Nanos,
    written: u32,
    suppressed: u64,
}

/// The bound. `K` says from which place in the code a line comes.
#[derive(Debug)]
pub(super) struct Limit<K> {
    kinds: HashMap<K, Kind, std::hash::RandomState>,
    rest: Kind,
}

impl<K: std::hash::Hash + Eq> Limit<K> {
    pub(super) fn new() -> Self {
        Self {
            kinds: HashMap::default(),
            rest: Kind::default(),
        }
    }

    /// Takes a line at `now`.
    pub(super) fn line(&mut self, key: K, now: Nanos) -> Verdict {
        let is_full = self.kinds.len() >= KINDS;
        let kind = match self.kinds.entry(key) {
            hashbrown::hash_map::Entry::Occupied(known) => known.into_mut(),
            hashbrown::hash_map::Entry::Vacant(_) if is_full => &mut self.rest,
            hashbrown::hash_map::Entry::Vacant(new) => new.insert(Kind::default()),
        };
        if kind.written == 0 || now.saturating_sub(kind.since) >= nanos(WINDOW) {
            (kind.since, kind.written) = (now, 0);
        }
        if kind.written >= LINES {
            kind.suppressed += 1;
            return Verdict::Suppress;
        }
        kind.written += 1;
        match std::mem::take(&mut kind.suppressed) {
            0 => Verdict::Write,
            count => Verdict::WriteAfter(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many lines of each kind at each second: those written, and those said to have been
    /// suppressed.
    #[track_caller]
    fn check(lines: &[(u64, u32, u64)], written: u64, said: u64) {
        let mut limit = Limit::new();
        let (mut written_now, mut said_now) = (0, 0);
        for (kind, count, second) in lines {
            for _ in 0..*count {
                match limit.line(*kind, second * 1_000_000_000) {
                    Verdict::Write => written_now += 1,
                    Verdict::WriteAfter(count) => {
                        written_now += 1;
                        said_now += count;
                    }
                    Verdict::Suppress => {}
                }
            }
        }
        assert_eq!((written_now, said_now), (written, said), "{lines:?}");
    }

    #[test]
    fn lines() {
        check(&[(1, 10, 0)], 10, 0);
        check(&[(1, 1_000_000, 0)], 10, 0);
        check(&[(1, 100, 0), (2, 100, 0)], 20, 0);
        check(&[(1, 100, 5), (1, 100, 14)], 10, 0);
        check(&[(1, 100, 5), (1, 100, 15)], 20, 90);
        check(&[(1, 1, 0), (1, 1, 11), (1, 1, 22)], 3, 0);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut limit = Limit::new();
        for kind in 0..10 * KINDS {
            limit.line(kind, 0);
        }
        assert_eq!(limit.kinds.len(), KINDS);
        assert_eq!(limit.line(usize::MAX, 0), Verdict::Suppress);
    }
}
