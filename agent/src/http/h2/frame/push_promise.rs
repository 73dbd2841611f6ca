//! PUSH_PROMISE (RFC 9113 §6.6).

use super::{Flags, Header, Invalid, number, unpadded};

/// A stream that the server will open, with the request that it responds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushPromise<'a> {
    /// The stream to come.
    pub promised: u32,
    /// The header block of the request, or its beginning.
    pub block: &'a [u8],
    /// The block is whole.
    pub end_headers: bool,
}

impl<'a> PushPromise<'a> {
    /// Over a whole payload.
    ///
    /// # Errors
    /// When the padding does not fit, or no stream is named.
    pub fn parse(header: &Header, payload: &'a [u8]) -> Result<Self, Invalid> {
        let (word, block) = number(unpadded(header.flags, payload)?)?;
        let promised = word & 0x7fff_ffff;
        // Even: a stream of the server's (§5.1.1).
        if promised == 0 || !promised.is_multiple_of(2) {
            return Err(Invalid::Stream);
        }
        Ok(Self {
            promised,
            block,
            end_headers: header.flags.has(Flags::END_HEADERS),
        })
    }
}
