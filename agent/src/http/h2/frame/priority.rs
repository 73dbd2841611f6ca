//! PRIORITY (RFC 9113 §6.3), deprecated: read, and used for nothing.

use super::{Invalid, number};

/// Where a stream stood among others (RFC 7540 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// It alone depends on the other stream.
    pub exclusive: bool,
    /// The stream that it depends on.
    pub dependency: u32,
    /// Its weight, less one.
    pub weight: u8,
}

impl Priority {
    /// Over five bytes.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        let (word, rest) = number(payload)?;
        let [weight] = rest.try_into().map_err(|_| Invalid::Length)?;
        Ok(Self {
            exclusive: word >> 31 != 0,
            dependency: word & 0x7fff_ffff,
            weight,
        })
    }
}
