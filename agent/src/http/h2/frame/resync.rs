//! Finding frames again after bytes are missing.

use super::{Flags, HEADER_LEN, Header, Kind};

/// Headers in a row, each where the one before it says, that are believed. The chance that random
/// bytes look like one is less than one in 2^16 (length, kind, flags and stream must fit), so four
/// are proof; fewer are where the last one ends just where the bytes do, because a sender hands
/// whole frames to its socket. So are two of DATA that are the same, length and stream: a segment
/// holds few large frames.
const CHAIN: usize = 4;

/// Where frames begin in the bytes of a segment, if a chain of headers shows it. `max_stream`: no
/// stream above it is known; a few more may have started in what is missing.
#[must_use]
pub fn find(bytes: &[u8], max_size: u32, max_stream: u32) -> Option<usize> {
    let enough = |at: usize| if at == 0 { 1 } else { 2 };
    (0..bytes.len()).find(|at| is_chain(bytes, *at, enough(*at), max_size, max_stream))
}

/// A chain of headers begins at `at`: of four, of `enough` if it ends with the bytes, or of two of
/// DATA that are the same.
fn is_chain(bytes: &[u8], mut at: usize, enough: usize, max_size: u32, max_stream: u32) -> bool {
    /// A shorter payload may be what is guessed at: frames in a row with the same bytes.
    const LARGE: u32 = 1024;
    let mut before = None;
    for count in 0..CHAIN {
        if at == bytes.len() {
            return count >= enough;
        }
        let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk::<HEADER_LEN>) else {
            return false;
        };
        // The reserved bit is clear in what anybody sends (RFC 9113 §4.1).
        if header[5] & 0x80 != 0 {
            return false;
        }
        let same = before.replace(header) == Some(header);
        let header = Header::parse(header);
        if !is_plausible(&header, max_size, max_stream) {
            return false;
        }
        if same && header.kind == Kind::Data && header.length >= LARGE {
            return true;
        }
        let Ok(length) = usize::try_from(header.length) else {
            return false;
        };
        at = at.saturating_add(HEADER_LEN + length);
    }
    true
}

fn is_plausible(header: &Header, max_size: u32, max_stream: u32) -> bool {
    /// Streams that may have started unseen.
    const UNSEEN: u32 = 1 << 16;
    let known = match header.kind {
        Kind::Data => Flags::END_STREAM.0 | Flags::PADDED.0,
        Kind::Headers => {
            Flags::END_STREAM.0 | Flags::END_HEADERS.0 | Flags::PADDED.0 | Flags::PRIORITY.0
        }
        Kind::Settings | Kind::Ping => Flags::ACK.0,
        Kind::PushPromise => Flags::END_HEADERS.0 | Flags::PADDED.0,
        Kind::Continuation => Flags::END_HEADERS.0,
        // RFC 9218 §7.1.
        Kind::PriorityUpdate if header.stream != 0 || header.length < 4 => return false,
        Kind::Priority
        | Kind::RstStream
        | Kind::GoAway
        | Kind::WindowUpdate
        | Kind::PriorityUpdate => 0,
        Kind::Other(_) => return false,
    };
    header.flags.0 & !known == 0
        && header.check(max_size).is_ok()
        && header.stream <= max_stream.saturating_add(UNSEEN)
}
