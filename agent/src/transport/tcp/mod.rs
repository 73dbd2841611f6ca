//! Order and gaps of a TCP connection (RFC 9293). Sequence numbers stay in this folder.
//!
//! An [`Assembler`] takes the segments of one direction as the hook gave them (reordered, repeated,
//! overlapping, with holes) and hands on [`Item`](super::Item)s in order. Nothing is copied as long
//! as segments come in order; what comes early is kept, bounded, in a [`reorder`] buffer. `Tcp`
//! holds both directions, and what a reset and the demand of a session mean to them.
//!
//! A hole becomes a gap only on evidence that its bytes will never come:
//!
//! | evidence | why it is enough |
//! |---|---|
//! | a segment's `expected` lies past the hole | the socket itself is past it, so the hook was given those bytes before |
//! | the other direction acknowledges bytes past the hole | its sender had received them, so the hook was given them before |
//! | the record of the segment says that its tail was not copied | the hook skipped it |
//! | the reorder bound is reached, or the wait is over | bounds; the bytes may still come, and are then ignored |
//!
//! Sequence numbers are compared modulo 2^32 (RFC 9293 §3.4).

mod advance;
mod assembler;
mod connection;
mod declined;
mod doubt;
mod gate;
mod owned;
pub(crate) mod pre_accept;
mod reorder;
mod reset;
mod urgent;
mod window;

pub use advance::Receiver;
pub use assembler::{Assembler, Bounds};
pub(crate) use connection::{Progress, Tcp, WirePosition};

use meshtap_common::distance;

use crate::capture::Segment;
use crate::flow::{Nanos, Offset};

/// How sequence numbers of a direction and its offsets belong together: this number is that offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    seq: u32,
    offset: Offset,
}

impl Anchor {
    /// `seq` is where the direction is first known.
    #[must_use]
    pub const fn new(seq: u32) -> Self {
        Self {
            seq,
            offset: Offset::ORIGIN,
        }
    }

    /// The offset of a sequence number within 2^31 of the anchor.
    #[must_use]
    pub fn offset(self, seq: u32) -> Offset {
        let ahead = distance(self.seq, seq);
        let len = u64::from(ahead.unsigned_abs());
        match ahead >= 0 {
            true => self.offset + len,
            false => self.offset - len,
        }
    }

    /// The sequence number of an offset: what is left of it modulo 2^32.
    #[must_use]
    pub const fn seq(self, offset: Offset) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sequence numbers are offsets modulo 2^32"
        )]
        let ahead = offset.0.wrapping_sub(self.offset.0) as u32;
        self.seq.wrapping_add(ahead)
    }

    /// Moves it to a sequence number that lies ahead.
    fn pass(&mut self, seq: u32) {
        self.offset = self.offset(seq);
        self.seq = seq;
    }

    /// Moves it past a byte that has no offset.
    const fn exclude(&mut self) {
        self.seq = self.seq.wrapping_add(1);
    }
}

/// A range of bytes with the numbers of the segment that brought them.
#[derive(Clone, Copy, Debug)]
struct Range<'a> {
    /// The bytes.
    bytes: &'a [u8],
    /// Sequence number of the first.
    seq: u32,
    /// Acknowledgement number of the segment.
    ack: u32,
    /// When the segment was handled.
    time: Nanos,
    /// The first byte is the first byte of its segment.
    boundary: bool,
}

impl Range<'_> {
    /// Sequence number of the byte after the last.
    fn end(&self) -> u32 {
        self.seq.wrapping_add(length(self.bytes))
    }

    /// The first `n` bytes.
    fn first(&self, n: usize) -> Self {
        Self {
            bytes: self.bytes.get(..n).unwrap_or(self.bytes),
            ..*self
        }
    }

    /// Cuts off the first `n` bytes.
    fn advance(&mut self, n: usize) {
        if n > 0 {
            let (gone, rest) = self.bytes.split_at(n.min(self.bytes.len()));
            self.seq = self.seq.wrapping_add(length(gone));
            self.bytes = rest;
            self.boundary = false;
        }
    }
}

/// The length of a part of a segment, in sequence-number space. No segment is longer than 2^32.
#[must_use]
pub const fn length(bytes: &[u8]) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a segment's length is a 32-bit number on the wire"
    )]
    let len = bytes.len() as u32;
    len
}

/// Nothing new comes with it: a retransmission after the end of its connection, or a bare FIN or
/// RST.
pub(crate) fn is_old(segment: &Segment<'_>) -> bool {
    let end = segment.seq.wrapping_add(segment.wire_len);
    segment.wire_len == 0 || segment.rst || distance(end, segment.expected) >= 0
}
