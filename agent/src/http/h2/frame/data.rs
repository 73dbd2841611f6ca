//! DATA (RFC 9113 §6.1).

use super::{Flags, Header, Invalid, unpadded};

/// Body bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// They are the last ones.
    pub end_stream: bool,
}

impl<'a> Data<'a> {
    /// Over a whole payload.
    ///
    /// # Errors
    /// When the padding is longer than the frame.
    pub fn parse(header: &Header, payload: &'a [u8]) -> Result<Self, Invalid> {
        Ok(Self {
            bytes: unpadded(header.flags, payload)?,
            end_stream: header.flags.has(Flags::END_STREAM),
        })
    }
}
