//! One direction's position, its holes, its end.

use super::advance::{Hole, Receiver};
use super::declined::Declined;
use super::doubt::Doubt;
use super::reorder::{Kept, Reorder};
use super::urgent::Urgent;
use super::{Anchor, Range, distance, length};
use crate::capture::Segment;
use crate::flow::{Direction, Nanos, Offset};
use crate::transport::Item;

/// How far ahead of its position a direction believes a sequence number that nothing but a packet
/// vouches for. Larger than the receive windows in use (6 MiB by default), small enough that a
/// forged number cannot put a connection out for long.
pub(super) const AHEAD: i32 = 16 * 1024 * 1024;

/// Ranges kept early: 6 MiB, which TCP's receiver keeps by default, of segments of 536 bytes.
const MOST: usize = 12 * 1024;

/// Bounds of reordering.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes kept early, bookkeeping included.
    pub reorder_bytes: usize,
    /// What is received waits until the socket's position has passed it.
    pub positions: bool,
}

/// Puts the segments of one direction in order.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The next byte to hand on.
    pub(super) at: Anchor,
    /// An offset of `at` was chosen.
    anchored: bool,
    /// Every byte after that was there for the capture to see.
    certain: bool,
    /// A hole there is on purpose.
    pub(super) declined: Declined,
    opened: bool,
    pub(super) ended: bool,
    /// Its bytes are received: TCP may refuse them.
    pub(super) received: bool,
    /// Received bytes that TCP is not known to have taken yet.
    pub(super) doubt: Option<Doubt>,
    /// Bytes in doubt are kept, to be compared: see [`Doubt`].
    pub(super) keeps: bool,
    /// Urgent bytes ahead.
    pub(super) urgent: Option<Urgent>,
    /// An urgent byte was excluded, and nothing was handed on since.
    pub(super) excluded: bool,
    /// Bytes or a gap were handed on.
    pub(super) given: bool,
    pub(super) reorder: Option<Box<Reorder>>,
}

impl Assembler {
    /// The next byte to hand on, once anything is known of this direction.
    #[must_use]
    pub fn position(&self) -> Option<u32> {
        self.opened.then_some(self.at.seq)
    }

    /// The byte of this number gets an offset, unless one of this direction has one. `certain`: no
    /// byte from there on was sent before the capture began.
    pub(super) const fn anchor(&mut self, seq: u32, certain: bool) {
        if !self.anchored {
            self.anchored = true;
            self.certain = certain;
            self.at = Anchor::new(seq);
        }
    }

    /// How its sequence numbers and offsets belong together: exact at the position.
    #[must_use]
    pub const fn at(&self) -> Anchor {
        self.at
    }

    /// The offset of the next byte to hand on, once anything is known of this direction.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.opened.then_some(self.at.offset)
    }

    /// The end was handed on.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes kept early, bookkeeping included.
    #[must_use]
    #[inline]
    pub fn memory(&self) -> usize {
        self.reorder.as_ref().map_or(0, |reorder| reorder.cost())
    }

    /// Bytes kept that were handed on.
    #[inline]
    pub(super) fn kept(&self) -> usize {
        self.doubt.as_ref().map_or(0, Doubt::memory)
    }

    /// An earlier segment may be awaited.
    #[inline]
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.reorder.is_some()
    }

    /// Since when an earlier segment is awaited, if one is.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Nanos> {
        let first = self.reorder.as_ref().and_then(|reorder| reorder.first());
        first.map(|kept| kept.time)
    }

    /// Bytes before `seq` are not wanted any more, so a hole there is no loss.
    pub fn unneeded(&mut self, seq: u32) {
        self.declined.all_before(seq);
    }

    /// Takes a segment of this direction.
    #[inline]
    pub fn push(
        &mut self,
        segment: &Segment<'_>,
        bounds: &Bounds,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        if !self.opened {
            self.open(segment, receiver);
        }
        if self.ended {
            return;
        }
        self.keeps |= !bounds.positions;
        if let Some(urgent) = segment.urgent {
            self.announce(urgent, segment.seq);
        }
        self.declined.pass(self.at.seq);
        if self.doubt.is_some() {
            self.doubt(segment, receiver);
        }
        self.received = segment.direction == Direction::Ingress;
        let len = length(segment.payload).min(segment.wire_len);
        let end = segment.seq.wrapping_add(segment.wire_len);
        // What lies before `expected` was given, or is lost: no later segment brings it.
        let expected = match segment.fin && segment.expected == end.wrapping_add(1) {
            // Sent again: its own number is in it.
            true => end,
            false => segment.expected,
        };
        if distance(self.at.seq, expected) > 0 {
            self.pass_known(expected, segment.skipped, segment.time, receiver);
        }
        // The socket's position may lag behind what the hook skips; nobody waits for what nobody
        // wants.
        let idle =
            segment.skipped && len == 0 && distance(end, self.declined.end(self.at.seq)) >= 0;
        if segment.skipped && len < segment.wire_len {
            match segment.declined {
                Some(behind) => {
                    let from = segment.seq.wrapping_add(len);
                    self.declined.range(from, end.wrapping_add(behind));
                }
                // Those before were skipped too, or are not wanted either.
                None => self.declined.all_before(end),
            }
        }
        let offset = distance(self.at.seq, segment.seq);
        if self.ended {
            return;
        }
        if offset <= 0 {
            self.in_order(segment, offset.unsigned_abs(), len, receiver);
        } else if idle {
            self.pass(end, Hole::new(true, segment.time), receiver);
            self.fin(segment, receiver);
        } else if self.believable(segment.seq, segment.skipped) {
            self.keep(segment, len, bounds, receiver);
        }
    }

    /// Looks at bytes that TCP was not known to have taken.
    fn doubt(&mut self, segment: &Segment<'_>, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        Doubt::settle(&mut self.doubt, segment.expected);
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.conflicts(segment)) {
            let first = doubt.is_first(segment);
            receiver.item(Item::Conflict { first });
        }
    }

    /// TCP is known to have taken every byte before this offset that was handed on.
    #[must_use]
    pub fn is_taken(&self, offset: Offset) -> bool {
        let seq = self.at.seq(offset);
        self.doubt
            .as_ref()
            .is_none_or(|doubt| doubt.begins_after(seq))
    }

    /// Learns the position from the first segment, and `expected`, which a replay may not know.
    fn open(&mut self, segment: &Segment<'_>, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        let ahead = distance(segment.expected, segment.seq);
        // Behind it, the segment is a retransmission; too far ahead, `expected` is not known.
        let known = ahead < AHEAD || segment.skipped;
        let first = if known { segment.expected } else { segment.seq };
        // What lies between is missing, unless the other end acknowledged what was never sent.
        let between = distance(self.at.seq, first);
        let missing = known && self.certain && (1..AHEAD).contains(&between);
        if !missing {
            self.anchor(first, true);
            self.at.pass(first);
        }
        self.opened = true;
        receiver.item(Item::Opens {
            offset: self.at.offset,
            start: segment.start && known && !missing,
        });
    }

    #[inline]
    fn in_order(
        &mut self,
        segment: &Segment<'_>,
        behind: u32,
        len: u32,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        if behind < len {
            let mut range = Range {
                bytes: segment.payload.get(..len as usize).unwrap_or_default(),
                seq: segment.seq,
                ack: segment.ack,
                time: segment.time,
                boundary: true,
            };
            range.advance(behind as usize);
            // What is in order wins over what is kept.
            let kept = self.reorder.as_ref();
            let disputed = kept.is_some_and(|reorder| reorder.differs(&range));
            self.give(&range, disputed, receiver);
        }
        let end = segment.seq.wrapping_add(segment.wire_len);
        if segment.wire_len > len && distance(self.at.seq, end) > 0 {
            if let Some(reorder) = &mut self.reorder {
                reorder.forget_fins(end);
            }
            let copied = segment.payload.get(..len as usize).unwrap_or_default();
            let hole = Hole::after(copied, segment.ack, segment.skipped, segment.time);
            self.pass(end, hole, receiver);
        }
        self.fin(segment, receiver);
        if self.reorder.is_some() {
            let filled = if behind < len { segment.time } else { 0 };
            self.drain(filled, receiver);
        }
    }

    /// A FIN ends the direction where the position has reached it. Once data has gone past it, TCP
    /// discards it.
    #[inline]
    fn fin(&mut self, segment: &Segment<'_>, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        let end = segment.seq.wrapping_add(segment.wire_len);
        if segment.fin && end == self.at.seq {
            self.end(segment.time, receiver);
        }
    }

    fn keep(
        &mut self,
        segment: &Segment<'_>,
        len: u32,
        bounds: &Bounds,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        let range = Range {
            bytes: segment.payload.get(..len as usize).unwrap_or_default(),
            seq: segment.seq,
            ack: segment.ack,
            time: segment.time,
            boundary: true,
        };
        if len == 0 && !segment.fin {
            return;
        }
        self.keeps = true;
        let reorder = self.reorder.get_or_insert_with(|| Box::new(Reorder::new()));
        reorder.insert(&range, segment.wire_len - len, segment.skipped);
        if segment.fin {
            let end = segment.seq.wrapping_add(segment.wire_len);
            reorder.insert_fin(end, segment.time);
        }
        while self.keeps_too_much(bounds) {
            self.pass_hole(receiver);
        }
    }

    fn keeps_too_much(&self, bounds: &Bounds) -> bool {
        let is_over =
            |reorder: &Reorder| reorder.cost() > bounds.reorder_bytes || reorder.len() > MOST;
        self.reorder.as_deref().is_some_and(is_over)
    }

    /// Something vouches that no byte before `seq` will come any more: an acknowledgement by the
    /// other end.
    #[inline]
    pub fn acknowledged(
        &mut self,
        seq: u32,
        time: Nanos,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        Doubt::settle(&mut self.doubt, seq);
        if self.ended || !self.anchored || distance(self.at.seq, seq) <= 0 {
            return;
        }
        if !self.opened && self.believable(seq, false) {
            // Bytes after the anchor were received, and no segment of this direction was seen.
            self.opened = true;
            receiver.item(Item::Opens {
                offset: self.at.offset,
                start: false,
            });
        }
        if self.believable(seq, false) {
            self.pass_known(seq, false, time, receiver);
        }
    }

    /// Moves the position to that of an end of the connection, which counts a FIN as one.
    fn pass_known(
        &mut self,
        to: u32,
        skipped: bool,
        time: Nanos,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        if let Some(reorder) = &mut self.reorder {
            reorder.forget_fins(to.wrapping_sub(1));
        }
        self.pass(to, Hole::new(skipped, time), receiver);
    }

    /// Takes the first hole for missing. A FIN behind it is then no evidence of anything: anybody
    /// can send one, and nothing shows that TCP took it.
    pub fn pass_hole(&mut self, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        if let Some(reorder) = &mut self.reorder
            && reorder.first().is_some_and(|first| first.fin)
        {
            reorder.pop();
            self.drain(0, receiver);
        } else {
            self.pass_to_kept(receiver);
        }
    }

    /// Takes every hole for missing: nothing more comes.
    pub fn flush(&mut self, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        while self.pass_to_kept(receiver) {}
    }

    /// What is missing before the first kept range was sent before that came.
    fn pass_to_kept(&mut self, receiver: &mut Receiver<impl FnMut(Item<'_>)>) -> bool {
        let first = self.reorder.as_ref().and_then(|reorder| reorder.first());
        let Some((seq, time)) = first.map(|kept| (kept.seq, kept.time)) else {
            return false;
        };
        self.pass(seq, Hole::new(false, time), receiver);
        true
    }

    pub(super) fn first_kept(&self) -> Option<u32> {
        self.reorder.as_ref()?.first().map(|kept| kept.seq)
    }

    /// The byte after the last that is kept.
    pub(super) fn last_kept(&self) -> Option<u32> {
        self.reorder.as_ref()?.last().map(Kept::end)
    }

    fn believable(&self, seq: u32, skipped: bool) -> bool {
        let ahead = distance(self.at.seq, seq);
        let unneeded = self.declined.reach(self.at.seq);
        skipped || ahead <= AHEAD.saturating_add(unneeded)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::{CgroupId, Direction, SocketId};

    const PEER: Anchor = Anchor::new(0);
    const BOUNDS: Bounds = Bounds {
        reorder_bytes: 64 * 1024,
        positions: true,
    };

    /// A segment: sequence number, `expected`, what it carries.
    #[derive(Clone, Copy, Default)]
    struct S<'a> {
        seq: u32,
        expected: u32,
        text: &'a str,
        /// Bytes on the wire beyond the text.
        more: u32,
        start: bool,
        fin: bool,
        skipped: bool,
    }

    fn s(seq: u32, expected: u32, text: &str) -> S<'_> {
        S {
            seq,
            expected,
            text,
            ..S::default()
        }
    }

    fn shown(item: Item<'_>) -> String {
        match item {
            Item::Opens { offset, start } => {
                assert_eq!(offset, Offset::ORIGIN);
                if start { "fresh" } else { "at" }.into()
            }
            Item::Chunk(chunk) => format!(
                "{}{}",
                std::str::from_utf8(chunk.bytes).unwrap(),
                if chunk.boundary { "" } else { "~" }
            ),
            Item::Gap(gap) => format!("{}{}", if gap.skipped { "skip " } else { "gap " }, gap.len),
            Item::Heard(offset) => format!("heard {offset:?}"),
            Item::Conflict { first } => format!("conflict {first}"),
            Item::Urgent => "urgent".into(),
            Item::End { .. } => "fin".into(),
        }
    }

    fn run(assembler: &mut Assembler, segments: &[S<'_>]) -> Vec<String> {
        let end = SocketAddr::from(([127, 0, 0, 1], 80)).into();
        let mut items = Vec::new();
        for segment in segments {
            let segment = Segment {
                cgroup: CgroupId(1),
                seq: segment.seq,
                expected: segment.expected,
                wire_len: u32::try_from(segment.text.len()).unwrap() + segment.more,
                start: segment.start,
                fin: segment.fin,
                skipped: segment.skipped,
                ..Segment::new(
                    SocketId(1),
                    Direction::Ingress,
                    (end, end),
                    segment.text.as_bytes(),
                )
            };
            let mut receiver = Receiver::new(PEER, |item: Item<'_>| items.push(shown(item)));
            assembler.push(&segment, &BOUNDS, &mut receiver);
        }
        if let Some(first @ ("at" | "fresh")) = items.first().map(String::as_str) {
            items[0] = format!("{first} {}", assembler.at().seq(Offset::ORIGIN));
        }
        items
    }

    fn check(segments: &[S<'_>], expected: &[&str]) {
        let mut assembler = Assembler::default();
        let items = run(&mut assembler, segments);
        assert_eq!(items, expected);
        assert_eq!(assembler.memory() == 0, assembler.reorder.is_none());
    }

    #[test]
    fn in_order() {
        let first = S {
            start: true,
            ..s(10, 10, "ab")
        };
        check(&[first, s(12, 12, "cd")], &["fresh 10", "ab", "cd"]);
        check(&[s(10, 10, "ab"), s(12, 12, "cd")], &["at 10", "ab", "cd"]);
        let last = S {
            fin: true,
            ..s(12, 12, "cd")
        };
        check(
            &[first, last, s(14, 15, "x"), last],
            &["fresh 10", "ab", "cd", "fin"],
        );
    }

    /// tcp_data_queue and tcp_ofo_queue of Linux: what is in order wins over what is kept.
    #[test]
    fn in_order_wins_over_kept() {
        let conflict = "conflict false";
        check(
            &[s(10, 10, "a"), s(12, 11, "C"), s(11, 11, "bcd")],
            &["at 10", "a", conflict, "bcd", conflict],
        );
        // What reaches further goes on where the other ends.
        check(
            &[s(10, 10, "a"), s(12, 11, "CDEF"), s(11, 11, "bcd")],
            &["at 10", "a", conflict, "bcd", conflict, "EF~"],
        );
        check(
            &[
                s(10, 10, "a"),
                s(12, 11, "CD"),
                s(15, 11, "FG"),
                s(11, 11, "bcdefgh"),
            ],
            &["at 10", "a", conflict, "bcdefgh", conflict],
        );
        // In small parts, what is kept is reached first; the rest then comes as another copy.
        check(
            &[
                s(10, 10, "a"),
                s(12, 11, "CD"),
                s(11, 11, "b"),
                s(12, 12, "cd"),
            ],
            &["at 10", "a", "b", "CD", conflict],
        );
        // The same bytes are no conflict.
        check(
            &[s(10, 10, "a"), s(12, 11, "cd"), s(11, 11, "bcde")],
            &["at 10", "a", "bcde"],
        );
        // Two copies beyond a hole: either may be refused, so the bytes are in doubt.
        check(
            &[
                s(10, 10, "a"),
                s(12, 11, "CD"),
                s(12, 11, "cde"),
                s(11, 11, "b"),
            ],
            &["at 10", "a", "b", conflict, "cde", conflict],
        );
    }

    #[test]
    fn a_fin_that_data_goes_past_is_none() {
        let fin = |seq, text| S {
            fin: true,
            ..s(seq, 11, text)
        };
        let b = s(11, 11, "bcdef");
        let conflict = "conflict false";
        for early in [fin(14, ""), fin(13, "d")] {
            check(
                &[s(10, 10, "a"), early, b],
                &["at 10", "a", conflict, "bcdef", conflict],
            );
        }
        check(
            &[s(10, 10, "a"), fin(16, ""), b],
            &["at 10", "a", "bcdef", "fin"],
        );
        check(
            &[s(10, 10, "a"), fin(14, "ef"), b],
            &["at 10", "a", "bcdef", "fin"],
        );
        // A forged one before the real one, or after it.
        for order in [[fin(14, ""), fin(16, "")], [fin(16, ""), fin(14, "")]] {
            check(
                &[s(10, 10, "a"), order[0], order[1], b],
                &["at 10", "a", conflict, "bcdef", conflict, "fin"],
            );
        }
        // The socket's own position is past it, or just past it.
        check(
            &[s(10, 10, "a"), fin(14, ""), s(20, 20, "x")],
            &["at 10", "a", "gap 9", "x"],
        );
        check(
            &[s(10, 10, "a"), fin(14, ""), s(15, 15, "")],
            &["at 10", "a", "gap 3", "fin"],
        );
        // Bytes that were not copied go past it too.
        let long = S {
            more: 9,
            ..s(11, 11, "b")
        };
        check(
            &[s(10, 10, "a"), fin(14, ""), long, s(21, 21, "x")],
            &["at 10", "a", "b", "gap 9", "x"],
        );
    }

    #[test]
    fn a_fin_behind_a_hole_does_not_end_the_wait() {
        let mut assembler = Assembler::default();
        let fin = S {
            fin: true,
            ..s(20, 11, "")
        };
        run(&mut assembler, &[s(10, 10, "a"), fin]);
        assert!(assembler.is_waiting());
        let mut items = Vec::new();
        let mut receiver = Receiver::new(PEER, |item: Item<'_>| items.push(shown(item)));
        assembler.pass_hole(&mut receiver);
        assert!(!assembler.is_waiting());
        assert!(items.is_empty());
        assert_eq!(run(&mut assembler, &[s(11, 11, "b")]), ["b"]);
        // Nothing more comes.
        run(&mut assembler, &[fin]);
        let mut receiver = Receiver::new(PEER, |item: Item<'_>| items.push(shown(item)));
        assembler.flush(&mut receiver);
        assert_eq!(items, ["gap 8", "fin"]);
    }

    #[test]
    fn joined_mid_stream() {
        // The socket is at 10; the first segment seen came early, or begins before.
        check(&[s(12, 10, "cd"), s(10, 10, "ab")], &["at 10", "ab", "cd"]);
        check(
            &[s(8, 10, "xxab"), s(12, 12, "cd")],
            &["at 10", "ab~", "cd"],
        );
        check(&[s(8, 10, "xx"), s(10, 10, "ab")], &["at 10", "ab"]);
        // A retransmission of what was before the agent; a socket whose position is not known.
        check(&[s(8, 5_000_000, "ab")], &["at 5000000"]);
        check(&[s(500_000_000, 10, "ab")], &["at 500000000", "ab"]);
    }

    #[test]
    fn out_of_order() {
        check(
            &[
                s(10, 10, "a"),
                s(12, 11, "c"),
                s(13, 11, "d"),
                s(11, 11, "b"),
            ],
            &["at 10", "a", "b", "c", "d"],
        );
        check(
            &[
                s(10, 10, "ab"),
                s(10, 10, "ab"),
                s(11, 12, "bc"),
                s(10, 13, "abcd"),
            ],
            &["at 10", "ab", "c~", "d~"],
        );
        check(
            &[
                s(u32::MAX - 1, u32::MAX - 1, "ab"),
                s(2, 0, "ef"),
                s(0, 0, "cd"),
            ],
            &["at 4294967294", "ab", "cd", "ef"],
        );
    }

    #[test]
    fn gaps() {
        check(
            &[s(10, 10, "a"), s(15, 15, "b")],
            &["at 10", "a", "gap 4", "b"],
        );
        check(
            &[
                s(10, 10, "a"),
                s(15, 11, "b"),
                s(20, 16, "c"),
                s(21, 21, "d"),
            ],
            &["at 10", "a", "gap 4", "b", "gap 4", "c", "d"],
        );
        // The socket is past what never came; nothing new comes with it.
        check(
            &[s(10, 10, "a"), s(11, 20, "b"), s(20, 20, "c")],
            &["at 10", "a", "gap 9", "c"],
        );
        let long = S {
            more: 5,
            ..s(10, 10, "a")
        };
        check(&[long, s(16, 16, "b")], &["at 10", "a", "gap 5", "b"]);
        // What is kept comes again, with more that is not copied.
        let again = S {
            more: 3,
            ..s(11, 11, "bcd")
        };
        check(
            &[s(10, 10, "a"), s(12, 11, "c"), again, s(17, 17, "e")],
            &["at 10", "a", "bcd", "gap 3", "e"],
        );
        // Kept early, and not copied whole.
        let early = S {
            more: 2,
            ..s(11, 10, "b")
        };
        check(
            &[s(10, 10, ""), early, s(10, 10, "a"), s(14, 14, "c")],
            &["at 10", "a", "b", "gap 2", "c"],
        );
    }

    #[test]
    fn omitted_on_purpose() {
        let tail = S {
            more: 5,
            skipped: true,
            ..s(10, 10, "a")
        };
        check(&[tail, s(16, 16, "b")], &["at 10", "a", "skip 5", "b"]);
        let after = S {
            skipped: true,
            ..s(5_000_000, 5_000_000, "b")
        };
        check(
            &[s(10, 10, "a"), after],
            &["at 10", "a", "skip 4999989", "b"],
        );
        // Came early: what is before may be both.
        let early = S {
            skipped: true,
            ..s(20, 11, "b")
        };
        check(
            &[s(10, 10, "a"), early, s(21, 21, "c")],
            &["at 10", "a", "skip 9", "b", "c"],
        );
        // What comes late in between does not say so once more.
        for late in [s(18, 11, "bb"), s(18, 18, "bb")] {
            check(
                &[s(10, 10, "a"), early, late, s(21, 21, "d")],
                &["at 10", "a", "skip 7", "bb", "b", "d"],
            );
        }
        // What came late was skipped, after something else had been kept.
        let later = S {
            skipped: true,
            ..s(30, 30, "d")
        };
        check(
            &[s(10, 10, "a"), s(20, 11, "c"), later],
            &["at 10", "a", "skip 9", "c", "skip 9", "d"],
        );
        let nothing = S {
            more: 10,
            skipped: true,
            ..s(20, 11, "")
        };
        check(
            &[s(10, 10, "a"), nothing, s(30, 30, "c")],
            &["at 10", "a", "skip 19", "c"],
        );
    }

    #[test]
    fn ends() {
        let fin = |seq, expected| S {
            fin: true,
            ..s(seq, expected, "")
        };
        check(&[s(10, 10, "a"), fin(11, 11)], &["at 10", "a", "fin"]);
        check(
            &[s(10, 10, "a"), fin(12, 11), s(11, 11, "b")],
            &["at 10", "a", "b", "fin"],
        );
        check(
            &[s(10, 10, "a"), fin(14, 14)],
            &["at 10", "a", "gap 3", "fin"],
        );
        check(&[fin(10, 10)], &["at 10", "fin"]);
    }

    #[test]
    fn nonsense_is_ignored() {
        check(
            &[s(10, 10, "a"), s(900_000_000, 11, "x"), s(11, 11, "b")],
            &["at 10", "a", "b"],
        );
        let fin = S {
            fin: true,
            ..s(900_000_000, 11, "")
        };
        check(&[s(10, 10, "a"), fin, s(11, 11, "b")], &["at 10", "a", "b"]);
    }

    #[test]
    fn acknowledgements_are_evidence() {
        let mut assembler = Assembler::default();
        run(&mut assembler, &[s(10, 10, "a"), s(20, 11, "b")]);
        let mut items = Vec::new();
        for seq in [5, 11, 15, 21, 25, 900_000_000] {
            assembler.acknowledged(
                seq,
                0,
                &mut Receiver::new(PEER, |item: Item<'_>| items.push(shown(item))),
            );
        }
        assert_eq!(items, ["gap 4", "gap 5", "b", "gap 4"]);
        // A FIN counts one.
        let mut assembler = Assembler::default();
        let fin = S {
            fin: true,
            ..s(13, 11, "")
        };
        run(&mut assembler, &[s(10, 10, "a"), fin]);
        let mut items = Vec::new();
        assembler.acknowledged(
            14,
            0,
            &mut Receiver::new(PEER, |item: Item<'_>| items.push(shown(item))),
        );
        assert_eq!(items, ["gap 2", "fin"]);
    }

    #[test]
    fn acknowledgements_show_a_direction_that_was_not_seen() {
        let mut assembler = Assembler::default();
        let mut items = Vec::new();
        for seq in [100, 100, 90, 900_000_000, 130, 130] {
            assembler.anchor(seq, false);
            let mut receiver = Receiver::new(PEER, |item: Item<'_>| items.push(shown(item)));
            assembler.acknowledged(seq, 0, &mut receiver);
        }
        assert_eq!(items, ["at", "gap 30"]);
    }

    #[test]
    fn bytes_that_tcp_did_not_take() {
        check(
            &[
                s(10, 10, "ab"),
                s(12, 12, "XY"),
                s(12, 12, "cd"),
                s(14, 14, "e"),
            ],
            &["at 10", "ab", "XY", "conflict false", "e"],
        );
        check(
            &[s(10, 10, "XY"), s(10, 10, "ab"), s(12, 12, "c")],
            &["at 10", "XY", "conflict true", "c"],
        );
        // The first bytes again, cut elsewhere.
        check(
            &[s(10, 10, "ab"), s(10, 10, "a"), s(11, 12, "bcd")],
            &["at 10", "ab", "cd~"],
        );
        // A retransmission of what TCP has taken, or of the same.
        check(
            &[
                s(10, 10, "ab"),
                s(10, 12, "XY"),
                s(12, 12, "cd"),
                s(12, 12, "cd"),
            ],
            &["at 10", "ab", "cd"],
        );
        let mut assembler = Assembler::default();
        run(&mut assembler, &[s(10, 10, "ab")]);
        let end = assembler.offset().unwrap();
        assert!(!assembler.is_taken(end));
        assembler.acknowledged(12, 0, &mut Receiver::new(PEER, |_: Item<'_>| ()));
        assert!(assembler.is_taken(end));
    }

    #[test]
    fn what_is_kept_early_is_bounded() {
        let mut assembler = Assembler::default();
        run(&mut assembler, &[s(0, 0, "a")]);
        let mut most = 0;
        let mut gaps = 0;
        for at in 0..10_000 {
            let items = run(&mut assembler, &[s(2 + 2 * at, 1, "x")]);
            gaps += items.iter().filter(|item| item.starts_with("gap")).count();
            most = most.max(assembler.memory());
        }
        assert!(most <= BOUNDS.reorder_bytes);
        assert!(gaps > 9_000);
        let mut items = Vec::new();
        assembler.flush(&mut Receiver::new(PEER, |item: Item<'_>| {
            items.push(shown(item));
        }));
        assert_eq!(assembler.memory(), 0);
        assert!(assembler.waiting_since().is_none());
    }
}
