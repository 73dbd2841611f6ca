//! CONTINUATION (RFC 9113 §6.10).

use super::{Flags, Header};

/// More of the header block that the frame before it left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuation<'a> {
    /// The next bytes of the block.
    pub block: &'a [u8],
    /// The block is whole.
    pub end_headers: bool,
}

impl<'a> Continuation<'a> {
    /// Over a whole payload.
    #[must_use]
    pub const fn parse(header: &Header, payload: &'a [u8]) -> Self {
        Self {
            block: payload,
            end_headers: header.flags.has(Flags::END_HEADERS),
        }
    }
}
