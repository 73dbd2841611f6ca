//! How a direction's position moves on: over kept ranges, over holes, to the end.

use super::assembler::Assembler;
use super::doubt::Doubt;
use super::{Anchor, Range, distance};
use crate::flow::{Nanos, Offset};
use crate::transport::{Chunk, Gap, Item};

/// Where items go, and what acknowledgement numbers of this direction mean in the other.
#[derive(Debug)]
pub struct Receiver<F> {
    peer: Anchor,
    item: F,
}

impl<F: FnMut(Item<'_>)> Receiver<F> {
    /// `peer`: how the other direction's numbers and offsets belong together.
    pub const fn new(peer: Anchor, item: F) -> Self {
        Self { peer, item }
    }

    pub(super) fn item(&mut self, item: Item<'_>) {
        (self.item)(item);
    }

    #[inline]
    pub(super) fn chunk(&mut self, range: &Range<'_>, offset: Offset) {
        (self.item)(Item::Chunk(Chunk {
            bytes: range.bytes,
            offset,
            heard: Some(self.peer.offset(range.ack)),
            time: range.time,
            boundary: range.boundary,
        }));
    }
}

/// A hole: why its bytes are not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) skipped: bool,
    /// The acknowledgement number of the segment whose last bytes these are, if that came.
    pub(super) ack: Option<u32>,
    pub(super) time: Nanos,
}

impl Hole {
    /// Of bytes of which nothing came.
    pub(super) const fn new(skipped: bool, time: Nanos) -> Self {
        Self {
            skipped,
            ack: None,
            time,
        }
    }

    /// Of the bytes after these, which are the first of their segment. Where none of them came, a
    /// reader of files may have made it up.
    pub(super) fn after(bytes: &[u8], ack: u32, skipped: bool, time: Nanos) -> Self {
        Self {
            skipped,
            ack: (!bytes.is_empty()).then_some(ack),
            time,
        }
    }
}

impl Assembler {
    /// Moves the position to `to` at least: what is kept before it is handed on, the holes between
    /// are gaps.
    pub(super) fn pass(
        &mut self,
        to: u32,
        hole: Hole,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        // What is kept may have come again, in order.
        self.drain(0, receiver);
        while !self.ended && distance(self.at.seq, to) > 0 {
            let first = self
                .reorder
                .as_ref()
                .and_then(|reorder| reorder.first())
                .map(|kept| (kept.seq, kept.skipped, kept.time));
            // Some of what is missing before a kept range may have come late, or been skipped late:
            // one of the two said so.
            let hole = Hole {
                skipped: hole.skipped || first.is_some_and(|(_, skipped, _)| skipped),
                ..hole
            };
            match first {
                Some((seq, _, time)) if distance(seq, to) > 0 => {
                    self.gap(seq, Hole::new(hole.skipped, time), receiver);
                    self.drain(0, receiver);
                }
                // What is missing before a kept range was sent before that came.
                Some((seq, _, time)) if seq == to => {
                    let time = hole.time.min(time);
                    self.gap(to, Hole { time, ..hole }, receiver);
                }
                _ => self.gap(to, hole, receiver),
            }
        }
        self.drain(0, receiver);
    }

    /// Hands on kept ranges that are in order now. `filled`: when the bytes before them came, if
    /// they did: nobody could read further until then.
    pub(super) fn drain(&mut self, filled: Nanos, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        while let Some(reorder) = &mut self.reorder {
            let Some(first) = reorder.first() else {
                self.reorder = None;
                return;
            };
            let behind = distance(first.seq, self.at.seq);
            let Ok(behind) = usize::try_from(behind) else {
                return;
            };
            let Some(kept) = reorder.pop() else { return };
            if kept.fin {
                // One that data went past is discarded, as TCP does.
                if behind == 0 {
                    self.end(kept.time.max(filled), receiver);
                }
                continue;
            }
            let end = kept.end().wrapping_add(kept.uncopied);
            let mut range = Range {
                bytes: &kept.bytes,
                seq: kept.seq,
                ack: kept.ack,
                time: kept.time.max(filled),
                boundary: kept.boundary,
            };
            range.advance(behind);
            if !range.bytes.is_empty() {
                self.give(&range, kept.disputed, receiver);
            }
            if kept.uncopied > 0 && distance(self.at.seq, end) > 0 {
                let to = match self.first_kept() {
                    // The next one has the bytes.
                    Some(seq) if distance(self.at.seq, seq) <= 0 => continue,
                    Some(seq) if distance(seq, end) > 0 => seq,
                    _ => end,
                };
                let hole = Hole::after(&kept.bytes, kept.ack, kept.skipped, kept.time);
                self.gap(to, hole, receiver);
            }
        }
    }

    /// Hands on bytes at the position. `disputed`: other copies of them came.
    #[inline]
    pub(super) fn give(
        &mut self,
        range: &Range<'_>,
        disputed: bool,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        // A message may be at its end there, another one may begin: both are in doubt.
        if disputed {
            receiver.item(Item::Conflict { first: false });
        }
        let is_given = match self.urgent {
            None => {
                receiver.chunk(range, self.at.offset);
                self.at.pass(range.end());
                true
            }
            Some(_) => self.chunks(range, receiver),
        };
        if is_given && std::mem::take(&mut self.excluded) {
            receiver.item(Item::Urgent);
        }
        if disputed {
            receiver.item(Item::Conflict { first: false });
        }
        let first = !std::mem::replace(&mut self.given, true);
        if self.received {
            Doubt::add(&mut self.doubt, range, first, self.keeps);
        }
    }

    /// Hands on the hole up to `to`; the part that nobody wanted is on purpose.
    pub(super) fn gap(
        &mut self,
        to: u32,
        hole: Hole,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) {
        while !self.ended && distance(self.at.seq, to) > 0 {
            let at = self.at.seq;
            let within = |place: u32| if distance(place, to) > 0 { place } else { to };
            let declined = self.declined.end(at);
            if declined == at {
                let next = self.declined.next(at);
                self.part(next.map_or(to, within), hole, receiver);
            } else {
                let skipped = true;
                self.part(within(declined), Hole { skipped, ..hole }, receiver);
            }
        }
    }

    fn part(&mut self, to: u32, hole: Hole, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        let offset = self.at.offset;
        match self.urgent {
            None => self.at.pass(to),
            Some(_) => self.pass_to(to, receiver),
        }
        self.given = true;
        let len = offset.until(self.at.offset);
        if len > 0 {
            receiver.item(Item::Gap(Gap {
                offset,
                len,
                skipped: hole.skipped,
                heard: hole.ack.map(|ack| receiver.peer.offset(ack)),
                time: hole.time,
            }));
        }
    }

    pub(super) fn end(&mut self, time: Nanos, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        self.ended = true;
        self.reorder = None;
        receiver.item(Item::End { time });
    }
}
