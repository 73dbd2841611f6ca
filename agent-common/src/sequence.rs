//! TCP sequence numbers.

/// `to - from` modulo 2^32, as a signed distance (RFC 9293 §3.4).
#[inline]
#[must_use]
pub const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}
