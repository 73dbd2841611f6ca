//! Segments that came before an earlier one: sorted, without overlap, bounded by the caller.

use super::{distance, length};
use crate::flow::Nanos;

/// What one kept range costs besides its bytes, rounded up: counts towards the bound, so that many
/// tiny segments are bounded too.
const OVERHEAD: usize = 96;

/// A range kept for later.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) time: Nanos,
    /// The first byte is the first byte of its segment.
    pub(super) boundary: bool,
    /// The hook said that it skipped bytes on purpose, before these or after them.
    pub(super) skipped: bool,
    /// Bytes that follow on the wire and were not copied.
    pub(super) uncopied: u32,
    pub(super) bytes: Box<[u8]>,
}

impl Kept {
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(length(&self.bytes))
    }
}

/// Kept ranges in stream order.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    kept: std::collections::VecDeque<Kept>,
    cost: usize,
}

impl Reorder {
    pub(super) fn new() -> Self {
        Self {
            kept: std::collections::VecDeque::new(),
            cost: 0,
        }
    }

    /// Bytes held, bookkeeping included.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn first(&self) -> Option<&Kept> {
        self.kept.front()
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = self.kept.pop_front()?;
        self.cost = self.cost.saturating_sub(kept.bytes.len() + OVERHEAD);
        Some(kept)
    }

    /// Keeps those bytes of a range that are not kept yet: the first copy of a byte wins. Says
    /// whether another copy of a byte differs from the one that is kept.
    #[must_use]
    pub(super) fn insert(
        &mut self,
        range: &super::Range<'_>,
        uncopied: u32,
        skipped: bool,
    ) -> bool {
        let mut differs = false;
        let mut rest = *range;
        // Index of the first kept range that ends after the new one begins.
        let mut at = self
            .kept
            .partition_point(|kept| distance(kept.end(), rest.seq) >= 0);
        while !rest.bytes.is_empty() {
            let Some(next) = self.kept.get(at) else {
                self.keep(at, rest, uncopied, skipped);
                return differs;
            };
            let before = distance(rest.seq, next.seq);
            let next_end = next.end();
            if let Ok(before) = usize::try_from(before)
                && before > 0
            {
                if before >= rest.bytes.len() {
                    self.keep(at, rest, uncopied, skipped);
                    return differs;
                }
                let mut head = rest;
                head.bytes = rest.bytes.get(..before).unwrap_or_default();
                self.keep(at, head, 0, skipped);
                rest.advance(before);
                at += 1;
            }
            let covered = usize::try_from(distance(rest.seq, next_end)).unwrap_or(0);
            if covered == 0 {
                // Only possible with an empty kept range, which is never kept.
                return differs;
            }
            if let Some(kept) = self.kept.get(at) {
                let from = usize::try_from(distance(kept.seq, rest.seq)).unwrap_or(0);
                let copies = rest.bytes.iter().zip(kept.bytes.iter().skip(from));
                differs |= { copies }.any(|(new, kept)| new != kept);
            }
            rest.advance(covered);
            at += 1;
        }
        differs
    }

    fn keep(&mut self, at: usize, range: super::Range<'_>, uncopied: u32, skipped: bool) {
        self.cost += range.bytes.len() + OVERHEAD;
        self.kept.insert(
            at,
            Kept {
                seq: range.seq,
                ack: range.ack,
                time: range.time,
                boundary: range.boundary,
                skipped,
                uncopied,
                bytes: range.bytes.into(),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Range;
    use super::*;

    fn check(inserts: &[(u32, &str)], expected: &[(u32, &str)]) {
        differing(inserts, expected);
    }

    /// As `check`; says how many of the inserts differ from what is kept.
    fn differing(inserts: &[(u32, &str)], expected: &[(u32, &str)]) -> usize {
        let mut reorder = Reorder::new();
        let mut differing = 0;
        for (seq, text) in inserts {
            let range = Range {
                bytes: text.as_bytes(),
                seq: *seq,
                ack: 0,
                time: 0,
                boundary: true,
            };
            differing += usize::from(reorder.insert(&range, 0, false));
        }
        let mut got = Vec::new();
        while let Some(kept) = reorder.pop() {
            got.push((kept.seq, String::from_utf8(kept.bytes.to_vec()).unwrap()));
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(seq, text)| (*seq, (*text).to_owned()))
            .collect();
        assert_eq!(got, expected);
        assert_eq!(reorder.cost(), 0);
        differing
    }

    #[test]
    fn sorts_and_trims() {
        check(
            &[(20, "cc"), (10, "aa"), (15, "bb")],
            &[(10, "aa"), (15, "bb"), (20, "cc")],
        );
        check(&[(10, "aaaa"), (12, "bbbb")], &[(10, "aaaa"), (14, "bb")]);
        check(&[(12, "bbbb"), (10, "aaaa")], &[(10, "aa"), (12, "bbbb")]);
        check(
            &[(12, "b"), (10, "aaaaa")],
            &[(10, "aa"), (12, "b"), (13, "aa")],
        );
        check(
            &[(12, "b"), (14, "c"), (10, "aaaaaaa")],
            &[(10, "aa"), (12, "b"), (13, "a"), (14, "c"), (15, "aa")],
        );
        check(&[(10, "aaaa"), (11, "b")], &[(10, "aaaa")]);
        check(&[(10, "aa"), (12, "bb")], &[(10, "aa"), (12, "bb")]);
    }

    #[test]
    fn copies_that_differ() {
        let check = |first, second, kept, differ| {
            assert_eq!(differing(&[(10, first), second], kept), differ);
        };
        check("abc", (10, "abc"), &[(10, "abc")], 0);
        check("abc", (11, "bc"), &[(10, "abc")], 0);
        check("abc", (11, "bX"), &[(10, "abc")], 1);
        check("abc", (9, "-abc-"), &[(9, "-"), (10, "abc"), (13, "-")], 0);
        check("abc", (9, "-abX-"), &[(9, "-"), (10, "abc"), (13, "-")], 1);
    }

    #[test]
    fn wraps() {
        check(
            &[(1, "cc"), (u32::MAX - 1, "aa")],
            &[(u32::MAX - 1, "aa"), (1, "cc")],
        );
        check(
            &[(0, "x"), (u32::MAX - 1, "aaaa")],
            &[(u32::MAX - 1, "aa"), (0, "x"), (1, "a")],
        );
    }
}
