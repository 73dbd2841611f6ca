//! Received bytes that were handed on before it is known that TCP took them.
//!
//! The hook runs before TCP validates. A segment with a wrong checksum, or one that TCP refuses for
//! another reason, looks like data; the genuine bytes then come at the same sequence number while
//! the socket's position is where it was. Bytes are taken once the position has passed them
//! (`rcv_nxt` with a later segment) or the socket has acknowledged them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use foldhash::fast::FixedState;

use super::{Range, distance, length};
use crate::capture::Segment;

/// Bytes that are kept at most: as many as are sent before any is acknowledged, as a rule.
const MOST: usize = 256 * 1024;
/// Segments remembered without an allocation: more are open where the socket lags, as a rule behind
/// a gap that has just been filled.
const RECENT: usize = 4;
/// Earlier ones that are remembered at most: as many as a window of some megabytes has.
const EARLIER: usize = 2048;

/// Bytes that came in one segment: where they begin and end, and their hash.
#[derive(Clone, Copy, Debug)]
struct Seen {
    seq: u32,
    end: u32,
    hash: u64,
}

/// The bytes handed on since TCP was last known to have taken all.
#[derive(Debug)]
pub(super) struct Doubt {
    seq: u32,
    end: u32,
    /// Nothing of the direction was handed on before.
    first: bool,
    /// The segments before the last ones, in order: those that are open, and the one that TCP has
    /// taken in part.
    earlier: Vec<Seen>,
    /// The last ones, each at the remainder of its number.
    recent: [Seen; RECENT],
    /// The number of the last one, from 0 on.
    count: usize,
    /// The last bytes themselves, where packets may come again cut at other places: in a replay,
    /// which knows no positions of sockets, and once one came early (SACK takes room from what a
    /// link repeats that loses some, RFC 2018 §3); and where a connection starts over if they are
    /// others.
    kept: Option<Vec<u8>>,
}

impl Doubt {
    /// Adds bytes that were handed on. `keeps`: to compare all of them.
    #[inline]
    pub(super) fn add(doubt: &mut Option<Self>, range: &Range<'_>, first: bool, keeps: bool) {
        let seen = Seen {
            seq: range.seq,
            end: range.end(),
            hash: hash(range.bytes),
        };
        let doubt = match doubt {
            Some(open) if open.end == range.seq => {
                open.end = seen.end;
                open.count = open.count.wrapping_add(1);
                open.remember(open.count);
                open
            }
            _ => doubt.insert(Self {
                seq: seen.seq,
                end: seen.end,
                first,
                earlier: Vec::new(),
                recent: [seen; RECENT],
                count: 0,
                kept: (keeps || first).then(Vec::new),
            }),
        };
        // Within bounds, as wherever a number's remainder is the index.
        doubt.recent[doubt.count % RECENT] = seen;
        if let Some(kept) = &mut doubt.kept {
            keep(kept, range.bytes);
        }
    }

    /// TCP has taken every byte before `seq`.
    #[inline]
    pub(super) fn settle(doubt: &mut Option<Self>, seq: u32) {
        if let Some(open) = doubt
            && distance(open.seq, seq) > 0
        {
            match distance(open.end, seq) >= 0 {
                true => *doubt = None,
                false => {
                    open.seq = seq;
                    open.first = false;
                    let taken = |one: &Seen| distance(one.end, seq) >= 0;
                    open.earlier.drain(..open.earlier.partition_point(taken));
                }
            }
        }
    }

    /// The segment brings bytes at a position that was handed on and that TCP has not passed, and
    /// they are not known to be the same.
    pub(super) fn conflicts(&self, segment: &Segment<'_>) -> bool {
        let overlaps = distance(segment.seq, self.end) > 0
            && distance(self.seq, segment.seq.wrapping_add(length(segment.payload))) > 0;
        if !overlaps || segment.payload.is_empty() {
            return false;
        }
        if let Some(differs) = self.kept_differ(segment) {
            return differs;
        }
        !self.is_same(segment)
    }

    /// Moves the segment whose place the one of this number takes to the earlier ones.
    #[inline]
    fn remember(&mut self, number: usize) {
        if number >= RECENT && self.earlier.len() < EARLIER {
            self.earlier.push(self.recent[number % RECENT]);
        }
    }

    /// Each byte of the overlap came in a segment that lies within it, and is the same again. A
    /// sender may put several segments into one when it repeats them.
    fn is_same(&self, segment: &Segment<'_>) -> bool {
        let (from, mut again) = match self.starts_at(segment.seq) {
            Some(_) => (segment.seq, segment.payload),
            None => self.overlap(segment),
        };
        let mut at = from;
        while distance(at, self.end) > 0 && !again.is_empty() {
            let Some(known) = self.starts_at(at) else {
                return false;
            };
            let len = known.end.wrapping_sub(known.seq) as usize;
            match again.split_at_checked(len) {
                Some((one, rest)) if hash(one) == known.hash => again = rest,
                _ => return false,
            }
            at = known.end;
        }
        true
    }

    /// The segment that began there, if it is remembered.
    fn starts_at(&self, seq: u32) -> Option<&Seen> {
        let recent = self.recent.iter().find(|one| one.seq == seq);
        recent.or_else(|| {
            let before = |one: &Seen| distance(one.seq, seq) > 0;
            let known = self.earlier.get(self.earlier.partition_point(before))?;
            (known.seq == seq).then_some(known)
        })
    }

    /// Where a segment that overlaps begins to, and its bytes from there on.
    fn overlap<'a>(&self, segment: &Segment<'a>) -> (u32, &'a [u8]) {
        let skip = distance(segment.seq, self.seq).max(0);
        let again = usize::try_from(skip).ok();
        let again = again.and_then(|skip| segment.payload.get(skip..));
        (
            segment.seq.wrapping_add(skip.cast_unsigned()),
            again.unwrap_or_default(),
        )
    }

    /// The segment has other bytes where both overlap; nothing when they are not kept.
    fn kept_differ(&self, segment: &Segment<'_>) -> Option<bool> {
        let kept = self.kept.as_deref()?;
        let (from, again) = self.overlap(segment);
        let behind = usize::try_from(distance(from, self.end)).ok()?;
        let kept = kept.get(kept.len().checked_sub(behind)?..)?;
        Some(kept.iter().zip(again).any(|(one, other)| one != other))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let earlier = self.earlier.capacity() * size_of::<Seen>();
        earlier + self.kept.as_ref().map_or(0, Vec::capacity)
    }

    /// All of the bytes lie at this sequence number or after it.
    pub(super) const fn begins_after(&self, seq: u32) -> bool {
        distance(seq, self.seq) >= 0
    }

    /// The segment begins where the first bytes of the direction began.
    pub(super) const fn is_first(&self, segment: &Segment<'_>) -> bool {
        self.first && segment.seq == self.seq
    }
}

/// Appends bytes; of too many the first go.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    if kept.len() + bytes.len() > MOST {
        let goes = (kept.len() + bytes.len()).saturating_sub(MOST / 2);
        kept.drain(..goes.min(kept.len()));
    }
    kept.extend_from_slice(
        bytes
            .get(bytes.len().saturating_sub(MOST)..)
            .unwrap_or(bytes),
    );
}

/// With a seed that nobody outside knows, so that nobody can make other bytes with the same hash.
fn hash(bytes: &[u8]) -> u64 {
    static STATE: OnceLock<FixedState> = OnceLock::new();
    let state = STATE.get_or_init(|| FixedState::with_seed(RandomState::new().hash_one(0_u8)));
    state.hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::{Direction, SocketId};

    /// What was handed on at 10, how far TCP came, and what comes then: its sequence number and
    /// bytes.
    fn check(ranges: &[&str], taken: u32, seq: u32, text: &str, expected: bool) {
        check_as(false, ranges, taken, (seq, text), expected);
    }

    #[track_caller]
    fn check_as(keeps: bool, ranges: &[&str], taken: u32, what: (u32, &str), expected: bool) {
        let (seq, text) = what;
        let mut doubt = None;
        let mut at = 10;
        for text in ranges {
            let range = Range {
                bytes: text.as_bytes(),
                seq: at,
                ack: 0,
                time: 0,
                boundary: true,
            };
            Doubt::add(&mut doubt, &range, false, keeps);
            at = range.end();
        }
        Doubt::settle(&mut doubt, taken);
        let end = SocketAddr::from(([192, 0, 2, 1], 80)).into();
        let segment = Segment {
            seq,
            ..Segment::new(SocketId(1), Direction::Ingress, (end, end), text.as_bytes())
        };
        let conflicts = doubt.is_some_and(|doubt| doubt.conflicts(&segment));
        assert_eq!(conflicts, expected, "{ranges:?} {taken} {seq} {text}");
    }

    #[test]
    fn other_bytes_at_a_position_that_tcp_has_not_passed() {
        check(&["abc"], 10, 10, "abX", true);
        check(&["abc"], 10, 10, "ab", true);
        check(&["abc"], 10, 11, "XX", true);
        check(&["abc"], 10, 8, "XXX", true);
        check(&["abc"], 10, 8, "--XXX", true);
        check(&["abc", "def"], 10, 13, "XXX", true);
        check(&["abc", "def"], 10, 10, "abcdeX", true);
        check(&["abc", "def"], 10, 10, "abXdef", true);
        check(&["abc", "def"], 10, 10, "abcd", true);
        check(&["abc", "def"], 10, 11, "bcdef", true);
        check(&["abc", "def"], 10, 10, "abX", true);
        check(&["abc", "def"], 10, 10, "ab", true);
        check(&["abc", "def"], 13, 13, "XXX", true);
        check(&["abc", "def", "ghi"], 10, 13, "dXf", true);
    }

    #[test]
    fn bytes_that_are_kept_are_compared_wherever_they_begin() {
        let ranges = ["abc", "def", "ghi"];
        for taken in 10..19 {
            for from in 5..25_usize {
                for to in from..25 {
                    let all = b"-----abcdefghi--------------------";
                    let same = str::from_utf8(&all[from - 5..to - 5]).unwrap();
                    let seq = u32::try_from(from).unwrap();
                    check_as(true, &ranges, taken, (seq, same), false);
                    for at in 0..same.len() {
                        let mut other = same.to_owned();
                        other.replace_range(at..=at, "X");
                        let place = from + at;
                        let is_open = (taken as usize..19).contains(&place);
                        check_as(true, &ranges, taken, (seq, &other), is_open);
                    }
                }
            }
        }
        // What is kept no more is not known to be the same.
        let long = "x".repeat(MOST);
        let text = |len| "x".repeat(len);
        check_as(true, &["ab", &long], 10, (10, "ab"), false);
        check_as(true, &["ab", &long], 10, (11, "b"), true);
        let end = 12 + u32::try_from(MOST).unwrap();
        check_as(true, &["ab", &long], 10, (end - 100, &text(100)), false);
        check_as(
            true,
            &["ab", &long, "y"],
            10,
            (end - 100, &text(100)),
            false,
        );
        check_as(true, &["ab", &long, "y"], 10, (end - 100, &text(101)), true);
    }

    /// Whichever of many segments comes again, alone or with those after it.
    #[test]
    fn one_of_many_segments_again() {
        const COUNT: u32 = 300;
        let ranges: Vec<_> = (0..COUNT).map(|number| format!("{number:03}")).collect();
        let ranges: Vec<_> = ranges.iter().map(String::as_str).collect();
        for from in 0..COUNT {
            for to in from + 1..=(from + 6).min(COUNT) {
                let same = ranges[from as usize..to as usize].concat();
                let other = format!("{}X", &same[..same.len() - 1]);
                let seq = 10 + 3 * from;
                for taken in [10, 10 + 3 * from, 10 + 3 * from + 1] {
                    check(&ranges, taken, seq, &same, false);
                    check(&ranges, taken, seq, &other, true);
                }
            }
        }
    }

    #[test]
    fn the_same_again_and_what_tcp_has_taken() {
        check(&["abc"], 10, 10, "abc", false);
        check(&["abc", "def"], 10, 10, "abc", false);
        check(&["abc", "def", "ghi"], 10, 10, "abc", false);
        check(&["abc", "def", "ghi"], 10, 13, "def", false);
        check(&["abc", "def"], 10, 10, "abcdef", false);
        check(&["abc", "def", "ghi"], 13, 10, "abcdefghi", false);
        check(&["abc", "def", "ghi"], 14, 13, "defghi", false);
        check(&["abc", "def", "ghi"], 10, 7, "---abcdefghi---", false);
        check(&["abc", "def"], 13, 13, "def", false);
        check(&["abc", "def"], 13, 10, "abcdef", false);
        check(&["abc"], 10, 10, "abcdef", false);
        check(&["abc"], 10, 8, "--abcdef", false);
        check(&["abc"], 13, 10, "XXX", false);
        check(&["abc", "def"], 13, 10, "XXX", false);
        check(&["abc"], 10, 13, "XXX", false);
        check(&["abc"], 10, 7, "XXX", false);
        check(&["abc"], 10, 10, "", false);
    }
}
