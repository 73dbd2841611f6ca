//! Where a direction stands among frames.

/// Frames, each of which begins where the one before it ends.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Chain {
    /// Where the header of the next frame begins: a sequence number.
    pub(super) next: u32,
    /// Where that of the frame at hand does; `next`, when it is not known.
    pub(super) begin: u32,
    /// Non-zero: the payload of the frame at hand is not copied.
    pub(super) skips: u32,
    /// Bytes of the header at `next` that the packets before have had.
    pub(super) have: u32,
    /// The header; longer than that, because the verifier adds the largest place and length.
    pub(super) header: [u8; 24],
}

impl Chain {
    /// A frame begins here.
    #[inline(always)]
    pub(super) fn start(&mut self, seq: u32) {
        self.next = seq;
        self.begin = seq;
        self.skips = 0;
        self.have = 0;
    }
}

const _: () = assert!(size_of::<Chain>() == 4 * 4 + 24);
