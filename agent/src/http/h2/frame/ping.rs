//! PING (RFC 9113 §6.7).

use super::{Flags, Header, Invalid};

/// A round trip, measured by the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Eight bytes of the sender's choice.
    pub data: [u8; 8],
    /// The way back.
    pub ack: bool,
}

impl Ping {
    /// Over eight bytes.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub fn parse(header: &Header, payload: &[u8]) -> Result<Self, Invalid> {
        Ok(Self {
            data: payload.try_into().map_err(|_| Invalid::Length)?,
            ack: header.flags.has(Flags::ACK),
        })
    }
}
