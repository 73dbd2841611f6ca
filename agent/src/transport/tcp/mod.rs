//! Order and gaps of one direction of a TCP connection.
//!
//! [`Assembler`] takes segments as the hook gave them (reordered, repeated, overlapping, with holes) and hands on an ordered
//! sequence of [`Item`]s: bytes, gaps, the end. Nothing is copied as long as segments come in order; what comes early is kept,
//! bounded, in a [`reorder`] buffer.
//!
//! A hole becomes a [`Item::Gap`] only on evidence that its bytes will never come:
//!
//! | evidence | why it is enough |
//! |---|---|
//! | a segment's `expected` lies past the hole | the socket itself is past it, so the hook was given those bytes before |
//! | the other direction acknowledges bytes past the hole | its sender had received them, so the hook was given them before |
//! | the record of the segment says that its tail was not copied | the hook left it out |
//! | the reorder bound is reached, or the wait is over | bounds; the bytes may still come, and are then ignored |
//!
//! Sequence numbers are compared modulo 2^32 (RFC 9293 §3.4).

mod assembler;
pub(crate) mod pre_accept;
mod reorder;
mod window;

pub use assembler::{Assembler, Bounds};
pub(crate) use window::Credit;

use crate::flow::Nanos;

/// What an [`Assembler`] hands on, in stream order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The direction's position became known. `fresh`: nothing came before it. Comes first, once.
    Opens {
        /// Sequence number of the next byte.
        seq: u32,
        /// It is the first byte of this direction.
        fresh: bool,
    },
    /// Bytes.
    Bytes(Piece<'a>),
    /// Bytes that are not there.
    Gap(Gap),
    /// The direction has ended: nothing follows.
    Fin {
        /// When that was known.
        time: Nanos,
    },
}

/// A stretch of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes; never empty.
    pub bytes: &'a [u8],
    /// Sequence number of the first.
    pub seq: u32,
    /// Acknowledgement number of the segment that brought them.
    pub ack: u32,
    /// When that segment was handled.
    pub time: Nanos,
    /// The first byte is the first byte of its segment.
    pub boundary: bool,
}

impl Piece<'_> {
    /// Sequence number of the byte after the last.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.seq.wrapping_add(length(self.bytes))
    }

    /// Leaves out the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        if n > 0 {
            let (gone, rest) = self.bytes.split_at(n.min(self.bytes.len()));
            self.seq = self.seq.wrapping_add(length(gone));
            self.bytes = rest;
            self.boundary = false;
        }
    }
}

/// A stretch of bytes that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Sequence number of the first.
    pub seq: u32,
    /// How many.
    pub len: u32,
    /// Left out on purpose, not lost.
    pub skipped: bool,
    /// When that was known.
    pub time: Nanos,
}

/// `to - from` modulo 2^32, as a signed distance.
#[must_use]
pub const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// The length of a piece of a segment, in sequence-number space. No segment is longer than 2^32.
#[must_use]
pub const fn length(bytes: &[u8]) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a segment's length is a 32-bit number on the wire"
    )]
    let len = bytes.len() as u32;
    len
}
