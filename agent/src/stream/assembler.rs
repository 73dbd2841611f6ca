//! One direction's position, its holes, its end.

use super::reorder::Reorder;
use super::{Gap, Item, Piece, distance, length};
use crate::flow::{Nanos, Segment};

/// How far ahead of its position a direction believes a sequence number that nothing but a packet vouches for. Larger
/// than the receive windows in use (6 MiB by default), small enough that a forged number cannot put a connection out for long.
const AHEAD: i32 = 16 * 1024 * 1024;

/// Bounds of reordering.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes kept early, bookkeeping included.
    pub reorder_bytes: usize,
}

/// Puts the segments of one direction in order.
#[derive(Debug, Default)]
pub struct Assembler {
    /// The next byte to hand on.
    next: u32,
    /// Where the direction ends, and since when that is known.
    fin: Option<(u32, Nanos)>,
    /// Bytes before this are not wanted: a hole there is on purpose.
    unneeded: Option<u32>,
    opened: bool,
    ended: bool,
    reorder: Option<Box<Reorder>>,
}

impl Assembler {
    /// The next byte to hand on, once anything is known of this direction.
    #[must_use]
    pub fn position(&self) -> Option<u32> {
        self.opened.then_some(self.next)
    }

    /// The end was handed on.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes kept early, bookkeeping included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.reorder.as_ref().map_or(0, |reorder| reorder.cost())
    }

    /// Since when an earlier segment is awaited, if one is.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Nanos> {
        match self.reorder.as_ref().and_then(|reorder| reorder.first()) {
            Some(kept) => Some(kept.time),
            None if self.ended => None,
            None => self.fin.map(|(_, since)| since),
        }
    }

    /// Bytes before `seq` are not wanted any more, so a hole there is no loss.
    pub const fn unneeded(&mut self, seq: u32) {
        self.unneeded = Some(seq);
    }

    /// Takes a segment of this direction.
    #[inline]
    pub fn push(
        &mut self,
        segment: &Segment<'_>,
        bounds: &Bounds,
        sink: &mut impl FnMut(Item<'_>),
    ) {
        if !self.opened {
            self.open(segment, sink);
        }
        if self.ended {
            return;
        }
        if self
            .unneeded
            .is_some_and(|until| distance(until, self.next) >= 0)
        {
            self.unneeded = None;
        }
        // What lies before `expected` was given, or is lost: no later segment brings it.
        if distance(self.next, segment.expected) > 0 {
            self.pass(segment.expected, segment.skipped, segment.time, sink);
        }
        let len = length(segment.payload).min(segment.wire_len);
        let end = segment.seq.wrapping_add(segment.wire_len);
        let offset = distance(self.next, segment.seq);
        if segment.fin && self.fin.is_none() && distance(self.next, end) >= 0 {
            if !self.believable(segment.seq, segment.skipped) {
                return;
            }
            self.fin = Some((end, segment.time));
        }
        if offset <= 0 {
            self.in_order(segment, offset.unsigned_abs(), len, sink);
        } else if len > 0 && self.believable(segment.seq, segment.skipped) {
            self.keep(segment, len, bounds, sink);
        }
        self.end(segment.time, sink);
    }

    /// Learns the position from the first segment. `expected` is where the socket stands; a replay may not know it.
    fn open(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(Item<'_>)) {
        let before = distance(segment.expected, segment.seq);
        let known = if before >= 0 {
            before < AHEAD || segment.skipped
        } else {
            // A retransmission that reaches to or past the socket's position.
            distance(segment.expected, segment.seq.wrapping_add(segment.wire_len)) >= 0
        };
        self.next = if known { segment.expected } else { segment.seq };
        self.opened = true;
        sink(Item::Opens {
            seq: self.next,
            fresh: segment.start && known,
        });
    }

    #[inline]
    fn in_order(
        &mut self,
        segment: &Segment<'_>,
        behind: u32,
        len: u32,
        sink: &mut impl FnMut(Item<'_>),
    ) {
        if behind < len {
            let mut piece = Piece {
                bytes: segment.payload.get(..len as usize).unwrap_or_default(),
                seq: segment.seq,
                ack: segment.ack,
                time: segment.time,
                boundary: true,
            };
            piece.advance(behind as usize);
            if let Some(first) = self.reorder.as_ref().and_then(|reorder| reorder.first())
                && distance(first.seq, piece.end()) > 0
            {
                // Reaches into what is kept: the first copy wins.
                self.overlapping(piece, segment, sink);
                return;
            }
            self.next = piece.end();
            sink(Item::Bytes(piece));
        }
        let end = segment.seq.wrapping_add(segment.wire_len);
        if segment.wire_len > len && distance(self.next, end) > 0 {
            self.pass(end, segment.skipped, segment.time, sink);
        }
        if self.reorder.is_some() {
            self.drain(sink);
        }
    }

    fn overlapping(
        &mut self,
        piece: Piece<'_>,
        segment: &Segment<'_>,
        sink: &mut impl FnMut(Item<'_>),
    ) {
        let uncopied = segment.wire_len.saturating_sub(length(segment.payload));
        if let Some(reorder) = &mut self.reorder {
            reorder.insert(&piece, uncopied, segment.skipped);
        }
        self.drain(sink);
    }

    fn keep(
        &mut self,
        segment: &Segment<'_>,
        len: u32,
        bounds: &Bounds,
        sink: &mut impl FnMut(Item<'_>),
    ) {
        let piece = Piece {
            bytes: segment.payload.get(..len as usize).unwrap_or_default(),
            seq: segment.seq,
            ack: segment.ack,
            time: segment.time,
            boundary: true,
        };
        let reorder = self.reorder.get_or_insert_with(|| Box::new(Reorder::new()));
        reorder.insert(&piece, segment.wire_len - len, segment.skipped);
        while self.memory() > bounds.reorder_bytes {
            self.give_up(segment.time, sink);
        }
    }

    /// Something vouches that no byte before `seq` will come any more: an acknowledgement by the other end.
    #[inline]
    pub fn acknowledged(&mut self, seq: u32, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        if !self.opened || self.ended || distance(self.next, seq) <= 0 {
            return;
        }
        // A FIN takes one sequence number.
        let seq = match self.fin {
            Some((fin, _)) if distance(fin, seq) > 0 => fin,
            _ => seq,
        };
        if self.believable(seq, false) {
            self.pass(seq, false, time, sink);
            self.end(time, sink);
        }
    }

    /// Gives up on the first hole.
    pub fn give_up(&mut self, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        let to = self.first_kept().or(self.fin.map(|(fin, _)| fin));
        if let Some(seq) = to {
            self.pass(seq, false, time, sink);
        }
        self.end(time, sink);
    }

    /// Gives up on every hole: nothing more comes.
    pub fn flush(&mut self, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        while self.waiting_since().is_some() {
            self.give_up(time, sink);
        }
    }

    fn first_kept(&self) -> Option<u32> {
        self.reorder.as_ref()?.first().map(|kept| kept.seq)
    }

    fn believable(&self, seq: u32, skipped: bool) -> bool {
        let ahead = distance(self.next, seq);
        let unneeded = self
            .unneeded
            .map_or(0, |until| distance(self.next, until).max(0));
        skipped || ahead <= AHEAD.saturating_add(unneeded)
    }

    /// Moves the position to `to` at least: what is kept before it is handed on, the holes between are gaps.
    fn pass(&mut self, to: u32, skipped: bool, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        while distance(self.next, to) > 0 {
            let first = self
                .reorder
                .as_ref()
                .and_then(|reorder| reorder.first())
                .map(|kept| (kept.seq, kept.skipped));
            match first {
                Some((seq, kept_skipped)) if distance(seq, to) > 0 => {
                    self.gap(seq, kept_skipped, time, sink);
                    self.drain(sink);
                }
                _ => self.gap(to, skipped, time, sink),
            }
        }
        self.drain(sink);
    }

    /// Hands on kept stretches that are in order now.
    fn drain(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        while let Some(reorder) = &mut self.reorder {
            let Some(first) = reorder.first() else {
                self.reorder = None;
                return;
            };
            let behind = distance(first.seq, self.next);
            let Ok(behind) = usize::try_from(behind) else {
                return;
            };
            let Some(kept) = reorder.pop() else { return };
            let end = kept.end().wrapping_add(kept.uncopied);
            let mut piece = Piece {
                bytes: &kept.bytes,
                seq: kept.seq,
                ack: kept.ack,
                time: kept.time,
                boundary: kept.boundary,
            };
            piece.advance(behind);
            if !piece.bytes.is_empty() {
                self.next = piece.end();
                sink(Item::Bytes(piece));
            }
            if kept.uncopied > 0 && distance(self.next, end) > 0 {
                let to = match self.first_kept() {
                    Some(seq) if distance(seq, end) > 0 => seq,
                    _ => end,
                };
                self.gap(to, kept.skipped, kept.time, sink);
            }
        }
    }

    /// Hands on the hole up to `to`; the part that nobody wanted is on purpose.
    fn gap(&mut self, to: u32, skipped: bool, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        let mut part = |from: u32, to: u32, skipped: bool| {
            if let Ok(len) = u32::try_from(distance(from, to))
                && len > 0
            {
                sink(Item::Gap(Gap {
                    seq: from,
                    len,
                    skipped,
                    time,
                }));
            }
        };
        let unneeded = self.unneeded.map_or(0, |until| distance(self.next, until));
        let middle = if unneeded <= 0 {
            self.next
        } else if distance(self.next, to) > unneeded {
            self.next.wrapping_add(unneeded.unsigned_abs())
        } else {
            to
        };
        part(self.next, middle, true);
        part(middle, to, skipped);
        self.next = to;
    }

    fn end(&mut self, time: Nanos, sink: &mut impl FnMut(Item<'_>)) {
        if let Some((fin, _)) = self.fin
            && !self.ended
            && distance(fin, self.next) >= 0
        {
            self.ended = true;
            self.reorder = None;
            sink(Item::Fin { time });
        }
    }
}
