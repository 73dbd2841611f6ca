//! HEADERS (RFC 9113 §6.2).

use super::{Flags, Header, Invalid, Priority, unpadded};

/// The beginning of a header block: a request, a response, or trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// Deprecated priority, where it is there.
    pub priority: Option<Priority>,
    /// The header block, or its beginning.
    pub block: &'a [u8],
    /// The block is whole.
    pub end_headers: bool,
    /// Nothing of this direction follows on the stream.
    pub end_stream: bool,
}

impl<'a> Headers<'a> {
    /// Over a whole payload.
    ///
    /// # Errors
    /// When padding or priority do not fit.
    pub fn parse(header: &Header, payload: &'a [u8]) -> Result<Self, Invalid> {
        let rest = unpadded(header.flags, payload)?;
        let (priority, block) = match header.flags.has(Flags::PRIORITY) {
            true => {
                let (first, rest) = rest.split_at_checked(5).ok_or(Invalid::Length)?;
                (Some(Priority::parse(first)?), rest)
            }
            false => (None, rest),
        };
        Ok(Self {
            priority,
            block,
            end_headers: header.flags.has(Flags::END_HEADERS),
            end_stream: header.flags.has(Flags::END_STREAM),
        })
    }

    /// Over the beginning of a payload. `None`: that is before its block.
    #[must_use]
    pub fn beginning(header: &Header, payload: &'a [u8]) -> Option<Self> {
        let (padding, mut block) = match header.flags.has(Flags::PADDED) {
            true => payload.split_first().map(|(len, rest)| (*len, rest))?,
            false => (0, payload),
        };
        // What is padding is no part of the block.
        let end = usize::try_from(header.length).ok()?;
        let missing = end.checked_sub(payload.len())?;
        let padding = usize::from(padding).saturating_sub(missing);
        block = block.get(..block.len().checked_sub(padding)?)?;
        if header.flags.has(Flags::PRIORITY) {
            block = block.get(5..)?;
        }
        Some(Self {
            priority: None,
            block,
            end_headers: header.flags.has(Flags::END_HEADERS),
            end_stream: header.flags.has(Flags::END_STREAM),
        })
    }
}
