//! SETTINGS (RFC 9113 §6.5).

use super::{Flags, Header, Invalid};

/// Parameters that the sender's peer has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    payload: &'a [u8],
    /// Those of the other end are in force; it has none of its own.
    pub ack: bool,
}

/// A parameter that matters to one who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Largest dynamic table that the sender keeps for decoding.
    HeaderTableSize(u32),
    /// The sender takes pushed streams.
    EnablePush(bool),
    /// Most streams that the peer may have open.
    MaxConcurrentStreams(u32),
    /// Flow control of a new stream.
    InitialWindowSize(u32),
    /// Largest payload that the sender takes.
    MaxFrameSize(u32),
    /// Longest head that the sender takes.
    MaxHeaderListSize(u32),
    /// Extended CONNECT is understood (RFC 8441 §3).
    EnableConnectProtocol(bool),
    /// Any other: ignored (§6.5.2).
    Other(u16, u32),
}

impl<'a> Settings<'a> {
    /// Over a whole payload.
    ///
    /// # Errors
    /// When its length is no multiple of a parameter's.
    pub fn parse(header: &Header, payload: &'a [u8]) -> Result<Self, Invalid> {
        let ack = header.flags.has(Flags::ACK);
        match payload.len().is_multiple_of(6) && (!ack || payload.is_empty()) {
            true => Ok(Self { payload, ack }),
            false => Err(Invalid::Length),
        }
    }

    /// Over a payload without a frame.
    #[must_use]
    pub const fn of(payload: &'a [u8]) -> Self {
        Self {
            payload,
            ack: false,
        }
    }

    /// Each parameter, in order.
    ///
    /// # Errors
    /// For a value that its parameter cannot have.
    pub fn iter(&self) -> impl Iterator<Item = Result<Setting, Invalid>> {
        self.payload.chunks_exact(6).map(|bytes| match bytes {
            [a, b, c, d, e, f] => setting(
                u16::from_be_bytes([*a, *b]),
                u32::from_be_bytes([*c, *d, *e, *f]),
            ),
            _ => Err(Invalid::Length),
        })
    }
}

/// The payload that `HTTP2-Settings` stands for: base64 for URLs, without padding (RFC 7540
/// §3.2.1).
#[must_use]
pub fn decode_http2_settings(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut have = 0;
    for byte in text.iter().filter(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            let [.., byte] = (bits >> have).to_be_bytes();
            bytes.push(byte);
        }
    }
    bytes.len().is_multiple_of(6).then_some(bytes)
}

fn setting(identifier: u16, value: u32) -> Result<Setting, Invalid> {
    let flag = |value| match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Invalid::Value),
    };
    Ok(match identifier {
        1 => Setting::HeaderTableSize(value),
        2 => Setting::EnablePush(flag(value)?),
        3 => Setting::MaxConcurrentStreams(value),
        4 if value > 0x7fff_ffff => return Err(Invalid::Value),
        4 => Setting::InitialWindowSize(value),
        5 if !(16_384..=16_777_215).contains(&value) => return Err(Invalid::Value),
        5 => Setting::MaxFrameSize(value),
        6 => Setting::MaxHeaderListSize(value),
        8 => Setting::EnableConnectProtocol(flag(value)?),
        other => Setting::Other(other, value),
    })
}
