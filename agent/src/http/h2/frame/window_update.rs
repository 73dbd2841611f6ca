//! WINDOW_UPDATE (RFC 9113 §6.9).

use super::{Invalid, number};

/// The sender takes so many more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUpdate {
    /// How many more.
    pub increment: u32,
}

impl WindowUpdate {
    /// Over four bytes.
    ///
    /// # Errors
    /// When there are more or fewer, or the increment is zero.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        match number(payload)? {
            (word, []) if word & 0x7fff_ffff == 0 => Err(Invalid::Value),
            (word, []) => Ok(Self {
                increment: word & 0x7fff_ffff,
            }),
            _ => Err(Invalid::Length),
        }
    }
}
