//! Which end of a connection serves: reported, in this order, by the handshake, by the first bytes
//! of a message, and by the ports (the lower one serves).

use memchr::memmem;
use meshtap_common::HTTP2_PREFACE;

use super::packet::Packet;

/// Why an end is taken for the server, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    Ports,
    Message,
    Handshake,
}

/// Whether the packet's sender is the server, and what says so.
pub(super) fn judge(packet: &Packet<'_>) -> (bool, Evidence) {
    if packet.syn {
        (packet.ack.is_some(), Evidence::Handshake)
    } else if begins_request(packet.payload) {
        (false, Evidence::Message)
    } else if begins_response(packet.payload) {
        (true, Evidence::Message)
    } else {
        (
            packet.source.port() < packet.destination.port(),
            Evidence::Ports,
        )
    }
}

/// A status line as far as its first digit. What is before that may be the end of a request line,
/// in a segment of its own.
fn begins_response(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(b"HTTP/1.");
    matches!(rest, Some([_, b' ', b'0'..=b'9', ..]))
}

/// The first line is a request line of HTTP/1, or the bytes begin an HTTP/2 connection (RFC 9113
/// §3.4).
fn begins_request(bytes: &[u8]) -> bool {
    /// Longest request line looked through; a longer one leaves the decision to the ports.
    const LINE: usize = 8192;
    /// `PRI * HTTP/2.0`.
    const PREFACE_LINE: usize = 14;
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let bytes = bytes.get(..LINE).unwrap_or(bytes);
    let line = memchr::memchr(b'\n', bytes)
        .and_then(|end| bytes.get(..end))
        .unwrap_or(bytes);
    let (preface, _) = HTTP2_PREFACE.split_at(PREFACE_LINE);
    memmem::find(line, b" HTTP/1.").is_some() || line.starts_with(preface)
}
