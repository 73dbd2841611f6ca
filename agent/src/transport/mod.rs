//! From what a hook saw to ordered bytes with offsets. The only place that knows numbers of the
//! wire.
//!
//! A transport hands on [`Item`]s: the position of a direction first, then chunks and gaps without
//! overlap, then its end. Offsets of the two directions of a connection are comparable with each
//! other's [`Chunk::heard`].

mod either;
mod handshake;
pub mod plain;
pub mod tcp;

pub(crate) use either::{Place, Transport};
pub(crate) use handshake::Handshake;
#[cfg(test)]
pub(crate) use handshake::tests::flight;

use crate::flow::{Nanos, Offset};

/// What a transport hands on of one direction, in stream order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The direction's position became known. Comes first, once.
    Opens {
        /// Offset of the next byte.
        offset: Offset,
        /// It is the first byte of this direction: nothing came before it.
        start: bool,
    },
    /// Bytes.
    Chunk(Chunk<'a>),
    /// Bytes that are not there.
    Gap(Gap),
    /// Between the last bytes and the next, the sender had received the other direction up to here.
    Heard(Offset),
    /// TCP may have taken another copy of the last bytes than the one that is handed on. Comes
    /// after the bytes; where that is known before them, before and after, since a message may
    /// begin there.
    Conflict {
        /// The bytes were the first of this direction, and the segment that comes has them all.
        first: bool,
    },
    /// An urgent byte was here, which is excluded (RFC 6093). Comes there, and again after the next
    /// bytes, since a message may begin there.
    Urgent,
    /// The direction has ended: nothing follows.
    End {
        /// When that was known.
        time: Nanos,
    },
}

/// A range of bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The bytes; never empty.
    pub bytes: &'a [u8],
    /// Offset of the first.
    pub offset: Offset,
    /// How far the sender had received the other direction when it sent these bytes, where that is
    /// known.
    pub heard: Option<Offset>,
    /// When the hook saw them.
    pub time: Nanos,
    /// The first byte is the first byte of what the sender sent at a time (a segment, a record).
    pub boundary: bool,
}

impl Chunk<'_> {
    /// Offset of the byte after the last.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.offset + self.bytes.len() as u64
    }

    /// Cuts off the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        if n > 0 {
            let (gone, rest) = self.bytes.split_at(n.min(self.bytes.len()));
            self.offset = self.offset + gone.len() as u64;
            self.bytes = rest;
            self.boundary = false;
        }
    }
}

/// A range of bytes that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Offset of the first.
    pub offset: Offset,
    /// How many; never zero.
    pub len: u64,
    /// Skipped on purpose, not missing.
    pub skipped: bool,
    /// As in [`Chunk::heard`], where the segment is known whose last bytes these are.
    pub heard: Option<Offset>,
    /// When that was known.
    pub time: Nanos,
}

impl Gap {
    /// Offset of the byte after the last.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.offset + self.len
    }
}
