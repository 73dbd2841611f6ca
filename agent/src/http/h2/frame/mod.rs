//! Frames (RFC 9113 §4, §6): a header of nine bytes, and checked views of what follows it, one file
//! per kind.

mod continuation;
mod data;
mod goaway;
mod headers;
mod ping;
mod priority;
mod push_promise;
mod reader;
mod resync;
mod rst_stream;
mod settings;
mod window_update;

pub use continuation::Continuation;
pub use data::Data;
pub use goaway::GoAway;
pub use headers::Headers;
pub use ping::Ping;
pub use priority::Priority;
pub use push_promise::PushPromise;
pub use reader::{Event, Reader};
pub use resync::{Search, find, sender};
pub use rst_stream::RstStream;
pub use settings::{Setting, Settings, decode_http2_settings};
pub use window_update::WindowUpdate;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = &meshtap_common::HTTP2_PREFACE;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 9;

/// Largest payload that a length can say (§4.2).
pub const ANY_SIZE: u32 = 0x00ff_ffff;

/// Largest payload before another size is agreed on (§6.5.2).
pub const DEFAULT_MAX_SIZE: u32 = 16_384;

/// The kind of a frame (§6, and RFC 9218 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Body bytes.
    Data,
    /// The beginning of a header block.
    Headers,
    /// Deprecated priority.
    Priority,
    /// The end of a stream, before its time.
    RstStream,
    /// Parameters of the connection.
    Settings,
    /// A stream that the server will open.
    PushPromise,
    /// A round trip.
    Ping,
    /// No new streams.
    GoAway,
    /// Flow control.
    WindowUpdate,
    /// More of a header block.
    Continuation,
    /// Priority (RFC 9218).
    PriorityUpdate,
    /// An extension: ignored (§4.1).
    Other(u8),
}

impl Kind {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            16 => Self::PriorityUpdate,
            other => Self::Other(other),
        }
    }
}

/// The flags of a frame. Their meaning depends on its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// DATA, HEADERS: the last frame of its direction on this stream.
    pub const END_STREAM: Self = Self(0x1);
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: Self = Self(0x1);
    /// HEADERS, PUSH_PROMISE, CONTINUATION: the header block ends here.
    pub const END_HEADERS: Self = Self(0x4);
    /// DATA, HEADERS, PUSH_PROMISE: padded.
    pub const PADDED: Self = Self(0x8);
    /// HEADERS: priority fields stand before the block.
    pub const PRIORITY: Self = Self(0x20);

    /// The flag is set.
    #[must_use]
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload.
    pub length: u32,
    /// The kind.
    pub kind: Kind,
    /// The flags.
    pub flags: Flags,
    /// The stream; zero: the connection.
    pub stream: u32,
}

impl Header {
    /// Reads a header. The reserved bit is ignored (§4.1).
    #[must_use]
    pub const fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags: Flags(flags),
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    /// The frame may be of this connection, as far as its header shows: lengths, flags and streams
    /// as its kind has them (§6).
    ///
    /// # Errors
    /// What it breaks.
    pub fn check(&self, max_size: u32) -> Result<(), Invalid> {
        let length = self.length;
        let stream = self.stream;
        let (on_stream, fits) = match self.kind {
            Kind::Data => (Some(true), true),
            Kind::Headers | Kind::Continuation => (Some(true), true),
            Kind::Priority => (Some(true), length == 5),
            Kind::RstStream => (Some(true), length == 4),
            Kind::Settings if self.flags.has(Flags::ACK) => (Some(false), length == 0),
            Kind::Settings => (Some(false), length.is_multiple_of(6)),
            Kind::PushPromise => (Some(true), length >= 4),
            Kind::Ping => (Some(false), length == 8),
            Kind::GoAway => (Some(false), length >= 8),
            Kind::WindowUpdate => (None, length == 4),
            // §4.1: frames of extensions are ignored by who does not know them.
            Kind::PriorityUpdate | Kind::Other(_) => (None, true),
        };
        if !fits || length > max_size {
            return Err(Invalid::Length);
        }
        match on_stream {
            Some(on_stream) if on_stream != (stream != 0) => Err(Invalid::Stream),
            _ => Ok(()),
        }
    }
}

/// What is wrong with a frame: a connection error of RFC 9113.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Invalid {
    /// A length that its kind cannot have (§4.2).
    #[error("frame of a length that it cannot have")]
    Length,
    /// A stream where there must be none, or the other way round.
    #[error("frame on a stream that it cannot be on")]
    Stream,
    /// More padding than frame (§6.1).
    #[error("frame with more padding than payload")]
    Padding,
    /// A value that is not allowed (§6.5.2, §6.9).
    #[error("frame with a value that is not allowed")]
    Value,
}

/// A payload without its padding (§6.1): what lies between the length of the padding and the
/// padding.
fn unpadded(flags: Flags, payload: &[u8]) -> Result<&[u8], Invalid> {
    if !flags.has(Flags::PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Invalid::Length)?;
    let len = rest.len().checked_sub(usize::from(*padding));
    len.and_then(|len| rest.get(..len)).ok_or(Invalid::Padding)
}

/// The number at the front, without the reserved bit, and what follows it.
fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Invalid> {
    let (first, rest) = bytes.split_first_chunk().ok_or(Invalid::Length)?;
    Ok((u32::from_be_bytes(*first), rest))
}

#[cfg(test)]
mod tests;
