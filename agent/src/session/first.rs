//! What the first bytes of a connection look like, and those that only a response can explain.

use super::h1::is_plain_request;
use super::held::Start;
use crate::flow::Direction;
use crate::http::h1::{Class, classify};
use crate::transport::Chunk;

/// Bytes that hold a usual method and the beginning of a target, or the whole of anything else
/// that is recognised.
const ENOUGH: usize = 64;

/// What the first bytes of a direction are.
pub(super) enum First {
    /// Not decided: what follows a preamble of so many bytes is to be held.
    Undecided { preamble: usize },
    /// A message, after a preamble of so many bytes.
    Message { class: Class, preamble: usize },
    /// No message, if the other side bears that out.
    Unknown { foreign: bool },
}

/// First bytes that are no request line of HTTP. When a status line responds to them, they were a
/// request.
#[derive(Debug)]
pub(super) struct Unnamed {
    pub(super) direction: Direction,
    start: Start,
}

impl Unnamed {
    /// Longest request that is kept: what servers accept of a line (RFC 9112 §3 asks for 8000
    /// bytes).
    const MOST: usize = 8 * 1024;

    pub(super) fn new(direction: Direction, start: Start) -> Option<Box<Self>> {
        let fits = start.bytes.len() <= Self::MOST;
        fits.then(|| Box::new(Self { direction, start }))
    }

    /// More of its direction came. `None`: that is too much.
    pub(super) fn push(mut self: Box<Self>, chunk: &Chunk<'_>) -> Option<Box<Self>> {
        if self.start.bytes.len() + chunk.bytes.len() > Self::MOST {
            return None;
        }
        self.start.bytes.extend_from_slice(chunk.bytes);
        Some(self)
    }

    /// What a response came to, and how many bytes come before it: behind lines that are none, the
    /// request that names HTTP. `None`: there are several, and the response is of one of them.
    pub(super) fn request(mut self) -> Option<(Start, usize)> {
        let is_request = |line| matches!(classify(line), Class::Request | Class::OddRequest);
        let (mut at, mut found) = (0, None);
        for line in self.start.bytes.split_inclusive(|byte| *byte == b'\n') {
            if is_request(line) && found.replace(at).is_some() {
                return None;
            }
            at += line.len();
        }
        let before = found.unwrap_or(0);
        self.start.bytes.drain(..before);
        self.start.offset = self.start.offset + before as u64;
        Some((self.start, before))
    }

    pub(super) const fn memory(&self) -> usize {
        self.start.bytes.capacity()
    }
}

/// What the first bytes of a direction look like, however many came at a time. A method and the
/// beginning of a long target are a request: the reader finds out.
pub(super) fn first_look(bytes: &[u8]) -> Class {
    if is_server_preface(bytes) {
        // Servers of HTTP/2 need not wait for the client's (RFC 9113 §3.4).
        return Class::Undecided;
    }
    let bytes = skip_empty_lines(bytes);
    match classify(bytes) {
        Class::Undecided if bytes.len() >= ENOUGH => Class::Request,
        class => class,
    }
}

/// The first frame of a server of HTTP/2: SETTINGS, as far as it has come. Few bytes follow it
/// before the client has spoken.
pub(super) fn is_server_preface(bytes: &[u8]) -> bool {
    /// Bytes held while the client is awaited.
    const MOST: usize = 4096;
    // Length (three bytes, a multiple of six), type, flags, stream (four bytes).
    let fits = |(at, byte): (usize, &u8)| match at {
        1 => *byte == 0,
        2 => byte.is_multiple_of(6),
        3 => *byte == 4,
        _ => *byte == 0,
    };
    !bytes.is_empty() && bytes.len() <= MOST && bytes.iter().take(9).enumerate().all(fits)
}

/// The head of a record of TLS (RFC 8446 §5.1), as a capture meets it that began mid-stream.
pub(super) const fn is_tls_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, 0..=4, _, _, ..])
}

pub(super) fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    bytes.get(empty..).unwrap_or_default()
}

/// A message as it may be believed mid-stream.
pub(super) fn is_plain_message(class: Class, bytes: &[u8]) -> bool {
    class == Class::Response || is_plain_request(class, bytes)
}

/// From by-direction to by-what it carries.
pub(super) fn by_messages<T>([ingress, egress]: [T; 2], requests: Direction) -> [T; 2] {
    match requests {
        Direction::Ingress => [ingress, egress],
        Direction::Egress => [egress, ingress],
    }
}
