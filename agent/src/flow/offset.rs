//! Positions in one direction of a connection.

use std::fmt;
use std::ops::{Add, Sub};

/// The position of a byte in one direction of a connection: 64 bits, so it never wraps.
///
/// Offsets of one direction compare with each other, and with the `heard` of the other direction.
/// They are not numbers on the wire: only `transport/tcp` knows how they and TCP sequence numbers
/// belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

impl Offset {
    /// Where a stream is taken to begin whose first byte may be preceded by bytes that come later.
    /// The room before it holds whatever TCP can still bring: sequence numbers reach back 2^31
    /// bytes (RFC 9293 §3.4).
    pub const ORIGIN: Self = Self(1 << 32);

    /// Where the bytes of a stream in a tunnel are counted from that began before anything was seen
    /// of it: no other one is so long.
    pub const MID_STREAM: Self = Self(1 << 56);

    /// It counts from [`Self::MID_STREAM`].
    #[must_use]
    pub const fn is_mid_stream(self) -> bool {
        self.0 >= Self::MID_STREAM.0
    }

    /// How many bytes lie from here to `later`; zero when it is not later.
    #[must_use]
    pub const fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

impl Add<u64> for Offset {
    type Output = Self;

    fn add(self, len: u64) -> Self {
        Self(self.0.saturating_add(len))
    }
}

impl Sub<u64> for Offset {
    type Output = Self;

    fn sub(self, len: u64) -> Self {
        Self(self.0.saturating_sub(len))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
