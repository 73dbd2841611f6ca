//! The part of a packet that is copied.
//!
//! Without a branch: the verifier would follow both ways of each for every frame of a packet.

use super::WORTH;

/// From the first frame that is wanted to the end of the last one.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Range {
    /// Payload bytes before it.
    pub(crate) from: u32,
    /// Where it ends. Not before `from`.
    pub(crate) to: u32,
    /// Headers of frames before it.
    pub(crate) before: u32,
    /// The first one behind it.
    pub(crate) after: u32,
    /// How many there are.
    pub(crate) count: u32,
    /// All ones: something is wanted; else zero.
    wanted: u32,
}

impl Range {
    pub(crate) const EMPTY: Self = Self {
        from: 0,
        to: 0,
        before: 0,
        after: 0,
        count: 0,
        wanted: 0,
    };

    /// Up to `to` all is wanted, if `wanted` is all ones; nothing, if it is zero.
    #[inline(always)]
    pub(super) fn start(&mut self, to: u32, wanted: u32) {
        self.from = 0;
        self.to = to & wanted;
        self.before = 0;
        self.after = 0;
        self.wanted = wanted;
    }

    /// A frame, or a part of one. `index`: which one it is in the packet.
    #[inline(always)]
    pub(super) fn add(&mut self, (start, end): (u32, u32), index: u32, wanted: u32) {
        let first = wanted & !self.wanted;
        self.from = select(first, start, self.from);
        self.before = select(first, index, self.before);
        self.to = select(wanted, end, self.to);
        self.after = select(wanted, index.wrapping_add(1), self.after);
        self.wanted |= wanted;
    }

    /// The packet ends. False: all of it is copied. `all`: all ones, if that is so anyway.
    #[inline(always)]
    pub(super) fn end(&mut self, len: u32, count: u32, all: u32) -> bool {
        self.count = count;
        // Nothing is wanted: the range is empty, behind all frames.
        self.from = select(self.wanted, self.from, len);
        self.to = select(self.wanted, self.to, len);
        self.before = select(self.wanted, self.before, count);
        self.after = select(self.wanted, self.after, count);
        if all != 0 {
            return false;
        }
        if self.wanted == 0 {
            return true;
        }
        // A record has a header as well.
        if self.from < WORTH {
            self.from = 0;
            self.before = 0;
        }
        if len.wrapping_sub(self.to) < WORTH {
            self.to = len;
            self.after = count;
        }
        self.from != 0 || self.to != len
    }
}

/// `yes` where `mask` is all ones, `no` where it is zero.
#[inline(always)]
const fn select(mask: u32, yes: u32, no: u32) -> u32 {
    (yes & mask) | (no & !mask)
}
