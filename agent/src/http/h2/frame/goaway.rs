//! GOAWAY (RFC 9113 §6.8).

use super::{Invalid, number};

/// The sender takes no new streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// Streams of the peer's above it were not, and will not be, looked at.
    pub last_stream: u32,
    /// Why (§7).
    pub code: u32,
}

impl GoAway {
    /// Over a payload; what follows the two numbers is a text for people.
    ///
    /// # Errors
    /// When it is too short.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        let (stream, rest) = number(payload)?;
        let (code, _) = number(rest)?;
        Ok(Self {
            last_stream: stream & 0x7fff_ffff,
            code,
        })
    }
}
