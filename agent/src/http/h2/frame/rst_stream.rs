//! RST_STREAM (RFC 9113 §6.4).

use super::{Invalid, number};

/// The end of a stream, before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RstStream {
    /// Why (§7).
    pub code: u32,
}

impl RstStream {
    /// Over four bytes.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        match number(payload)? {
            (code, []) => Ok(Self { code }),
            _ => Err(Invalid::Length),
        }
    }
}
