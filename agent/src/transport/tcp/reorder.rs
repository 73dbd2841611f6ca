//! Segments that came before an earlier one: sorted, bounded by the caller.

use super::{distance, length};
use crate::flow::Nanos;

/// What one kept range costs besides its bytes, rounded up: counts towards the bound, so that many
/// tiny segments are bounded too.
const OVERHEAD: usize = 96;

/// A range kept for later, or a FIN.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) time: Nanos,
    /// The first byte is the first byte of its segment.
    pub(super) boundary: bool,
    /// The hook said that it skipped bytes on purpose, before these or after them.
    pub(super) skipped: bool,
    /// A FIN, at `seq`, without bytes.
    pub(super) fin: bool,
    /// Other copies of the bytes came.
    pub(super) disputed: bool,
    /// Bytes that follow on the wire and were not copied.
    pub(super) uncopied: u32,
    pub(super) bytes: Box<[u8]>,
}

impl Kept {
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(length(&self.bytes))
    }

    /// The sequence number after its last, of which a FIN takes one.
    fn limit(&self) -> u32 {
        self.end().wrapping_add(u32::from(self.fin))
    }

    /// Both have a number that is not the same in both.
    fn differs(&self, other: &Self) -> bool {
        let overlaps =
            distance(self.seq, other.limit()) > 0 && distance(other.seq, self.limit()) > 0;
        overlaps && (self.fin != other.fin || differ((self.seq, &self.bytes), other))
    }
}

/// Bytes from a sequence number on are not those that are kept there.
fn differ((seq, bytes): (u32, &[u8]), kept: &Kept) -> bool {
    let ahead = distance(seq, kept.seq);
    let skip = ahead.unsigned_abs() as usize;
    let (new, kept) = match ahead >= 0 {
        true => (bytes.get(skip..), Some(&*kept.bytes)),
        false => (Some(bytes), kept.bytes.get(skip..)),
    };
    let copies = new.into_iter().flatten().zip(kept.into_iter().flatten());
    { copies }.any(|(new, kept)| new != kept)
}

/// Kept ranges in stream order. They may overlap, and none covers another one: which of two wins is
/// decided as Linux does (`tcp_data_queue_ofo`, `tcp_ofo_queue`), so that the copy that is handed
/// on is the one that an application reads.
///
/// | the new one | |
/// |---|---|
/// | lies within an older one | is dropped |
/// | covers an older one | replaces it |
/// | overlaps another way | is kept beside it; where both have a byte, the one that begins earlier wins |
///
/// A segment in order comes before all that is kept: see [`super::Assembler`].
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

    /// Ranges held.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn first(&self) -> Option<&Kept> {
        self.kept.front()
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = self.kept.pop_front()?;
        self.cost = self.cost.saturating_sub(kept.bytes.len() + OVERHEAD);
        Some(kept)
    }

    pub(super) fn last(&self) -> Option<&Kept> {
        self.kept.back()
    }

    /// Drops FINs at sequence numbers before `seq`: data lies there.
    pub(super) fn forget_fins(&mut self, seq: u32) {
        let before = self.kept.len();
        self.kept
            .retain(|kept| !kept.fin || distance(kept.seq, seq) <= 0);
        let gone = before - self.kept.len();
        self.cost = self.cost.saturating_sub(gone * OVERHEAD);
    }

    /// A range has other bytes than those that are kept of it.
    pub(super) fn differs(&self, range: &super::Range<'_>) -> bool {
        let end = range.end();
        self.kept
            .iter()
            .take_while(|kept| distance(kept.seq, end) > 0)
            .any(|kept| kept.fin || differ((range.seq, range.bytes), kept))
    }

    /// Keeps a range.
    pub(super) fn insert(&mut self, range: &super::Range<'_>, uncopied: u32, skipped: bool) {
        if range.bytes.is_empty() {
            return;
        }
        self.keep(Kept {
            seq: range.seq,
            ack: range.ack,
            time: range.time,
            boundary: range.boundary,
            skipped,
            fin: false,
            disputed: false,
            uncopied,
            bytes: range.bytes.into(),
        });
    }

    /// Keeps a FIN, which is at `seq`.
    pub(super) fn insert_fin(&mut self, seq: u32, time: Nanos) {
        self.keep(Kept {
            seq,
            ack: 0,
            time,
            boundary: false,
            skipped: false,
            fin: true,
            disputed: false,
            uncopied: 0,
            bytes: Box::default(),
        });
    }

    fn keep(&mut self, mut new: Kept) {
        let limit = new.limit();
        // None covers another one, so the limits are in order as well.
        let mut at = self
            .kept
            .partition_point(|kept| distance(kept.seq, new.seq) >= 0);
        let before = self.kept.iter_mut().take(at).rev();
        for older in before.take_while(|older| distance(new.seq, older.limit()) > 0) {
            let differs = older.differs(&new);
            older.disputed |= differs;
            new.disputed |= differs;
        }
        if let Some(older) = at.checked_sub(1).and_then(|last| self.kept.get(last)) {
            if distance(limit, older.limit()) >= 0 {
                return;
            }
            if older.seq == new.seq {
                at -= 1;
            }
        }
        while let Some(older) = self.kept.get_mut(at)
            && distance(older.limit(), limit) >= 0
        {
            new.disputed |= older.disputed || older.differs(&new);
            self.cost = self.cost.saturating_sub(older.bytes.len() + OVERHEAD);
            self.kept.remove(at);
        }
        let after = self.kept.iter_mut().skip(at);
        for older in after.take_while(|older| distance(older.seq, limit) > 0) {
            let differs = older.differs(&new);
            older.disputed |= differs;
            new.disputed |= differs;
        }
        // What is missing before the next one is now missing before this one too, and for the same
        // reason.
        if new.uncopied == 0 {
            new.skipped |= self.kept.get(at).is_some_and(|next| next.skipped);
        }
        self.cost += new.bytes.len() + OVERHEAD;
        self.kept.insert(at, new);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Range;
    use super::*;

    fn check(inserts: &[(u32, &str)], expected: &[(u32, &str)]) {
        kept(inserts, expected);
    }

    /// As `check`; gives which of those that are kept are disputed.
    fn kept(inserts: &[(u32, &str)], expected: &[(u32, &str)]) -> Vec<bool> {
        let mut reorder = Reorder::new();
        for (seq, text) in inserts {
            let range = Range {
                bytes: text.as_bytes(),
                seq: *seq,
                ack: 0,
                time: 0,
                boundary: true,
            };
            match *text {
                "fin" => reorder.insert_fin(*seq, 0),
                _ => reorder.insert(&range, 0, false),
            }
        }
        let mut disputed = Vec::new();
        let mut got = Vec::new();
        while let Some(kept) = reorder.pop() {
            disputed.push(kept.disputed);
            got.push(match kept.fin {
                true => (kept.seq, "fin".to_owned()),
                false => (kept.seq, String::from_utf8(kept.bytes.to_vec()).unwrap()),
            });
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(seq, text)| (*seq, (*text).to_owned()))
            .collect();
        assert_eq!(got, expected);
        assert_eq!(reorder.cost(), 0);
        disputed
    }

    #[test]
    fn sorts() {
        check(
            &[(20, "cc"), (10, "aa"), (15, "bb")],
            &[(10, "aa"), (15, "bb"), (20, "cc")],
        );
        check(&[(10, "aa"), (12, "bb")], &[(10, "aa"), (12, "bb")]);
        check(&[(12, "bb"), (10, "aa")], &[(10, "aa"), (12, "bb")]);
    }

    #[test]
    fn covered_or_covering() {
        check(&[(10, "aaaa"), (11, "b")], &[(10, "aaaa")]);
        check(&[(10, "aaaa"), (10, "bbbb")], &[(10, "aaaa")]);
        check(&[(10, "aaaa"), (12, "bb")], &[(10, "aaaa")]);
        check(&[(12, "b"), (10, "aaaaa")], &[(10, "aaaaa")]);
        check(&[(10, "b"), (10, "aa")], &[(10, "aa")]);
        check(
            &[(12, "b"), (14, "c"), (20, "d"), (10, "aaaaaaa")],
            &[(10, "aaaaaaa"), (20, "d")],
        );
        check(
            &[(10, "aaaa"), (14, "bbbb"), (12, "cccc")],
            &[(10, "aaaa"), (12, "cccc"), (14, "bbbb")],
        );
        // It lies within two others, and within neither of them.
        check(
            &[(10, "aaaa"), (12, "cccc"), (13, "bbb")],
            &[(10, "aaaa"), (12, "cccc")],
        );
    }

    #[test]
    fn fins() {
        check(&[(14, "fin"), (10, "aaaa")], &[(10, "aaaa"), (14, "fin")]);
        check(&[(13, "fin"), (10, "aaaa")], &[(10, "aaaa")]);
        check(&[(10, "aaaa"), (13, "fin")], &[(10, "aaaa")]);
        check(&[(10, "fin"), (10, "fin")], &[(10, "fin")]);
        let kept = kept(
            &[(20, "fin"), (10, "fin"), (15, "a")],
            &[(10, "fin"), (15, "a"), (20, "fin")],
        );
        assert_eq!(kept, [false; 3]);
        let mut reorder = Reorder::new();
        for seq in [10, 20, 30] {
            reorder.insert_fin(seq, 0);
        }
        reorder.forget_fins(20);
        assert_eq!(reorder.first().map(|kept| kept.seq), Some(20));
        assert_eq!(reorder.cost(), 2 * OVERHEAD);
    }

    #[test]
    fn copies_that_differ() {
        let check = |first, second, expected: &[_], disputed: &[bool]| {
            assert_eq!(kept(&[(10, first), second], expected), disputed);
        };
        check("abc", (10, "abc"), &[(10, "abc")], &[false]);
        check("abc", (11, "bc"), &[(10, "abc")], &[false]);
        check("abc", (11, "bX"), &[(10, "abc")], &[true]);
        check("abc", (9, "-abc-"), &[(9, "-abc-")], &[false]);
        check("abc", (9, "-abX-"), &[(9, "-abX-")], &[true]);
        check("abc", (9, "-aX"), &[(9, "-aX"), (10, "abc")], &[true; 2]);
        check("abc", (9, "-ab"), &[(9, "-ab"), (10, "abc")], &[false; 2]);
        check("abc", (12, "cd"), &[(10, "abc"), (12, "cd")], &[false; 2]);
        check("abc", (12, "Xd"), &[(10, "abc"), (12, "Xd")], &[true; 2]);
        check("abc", (12, "fin"), &[(10, "abc")], &[true]);
        check("fin", (10, "abc"), &[(10, "abc")], &[true]);
    }

    #[test]
    fn wraps() {
        check(
            &[(1, "cc"), (u32::MAX - 1, "aa")],
            &[(u32::MAX - 1, "aa"), (1, "cc")],
        );
        check(
            &[(0, "x"), (u32::MAX - 1, "aaaa")],
            &[(u32::MAX - 1, "aaaa")],
        );
        check(
            &[(0, "xxx"), (u32::MAX - 1, "aaaa")],
            &[(u32::MAX - 1, "aaaa"), (0, "xxx")],
        );
    }
}
