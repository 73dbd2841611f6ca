//! What first payload bytes look like.
//!
//! Whatever may be HTTP to some server passes: user space decides, and asks to ignore the rest. A
//! method is any token (RFC 9110 §9.1), empty lines may come before it (RFC 9112 §2.2), and what
//! follows it is nobody's business here. Where a stream begins, servers also take white space
//! before the method, and other visible characters in it.

use aya_ebpf::bindings::__sk_buff;
use meshtap_common::{HTTP2_PREFACE, PROXY_V2_SIGNATURE};

use crate::asm::opaque;
use crate::read::{Head, LOOK, Packet};
use crate::shape::Shape;

/// What first payload bytes look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A request line of a known shape, or a preamble that comes before one.
    Request,
    /// What may become a request line.
    Token,
    /// The same, so little of it that nothing speaks against one: the beginning of a method.
    Start,
    /// `H` alone: the beginning of a method, or of a response.
    Letter,
    /// A response, or what an HTTP/2 server sends first.
    Response,
    /// What a frame of HTTP/2 begins with: not which side sent it.
    Frame,
    /// The start of a TLS handshake.
    Tls,
    /// The greeting of a SOCKS proxy or its client (RFC 1928 §3): anything may follow.
    Socks,
    /// Nothing that HTTP begins with.
    Other,
}

/// Looks at the first bytes of a stream.
#[inline(always)]
pub(crate) fn first(skb: *mut __sk_buff, packet: &Packet) -> Look {
    if packet.is_urgent() {
        // The urgent byte is not read by who takes the others for a request.
        return Look::Token;
    }
    let Some(head) = Head::load(skb, packet.payload_offset, packet.payload_len) else {
        return Look::Other;
    };
    let shape = Shape::of(&head);
    if is_response(&head) {
        return Look::Response;
    }
    if head.byte(0) == b'\r' && is_prefix(&head, &PROXY_V2_SIGNATURE) {
        // An empty line begins it, and anybody may send one.
        let is_whole = head.len >= PROXY_V2_SIGNATURE.len() as u32;
        return if is_whole { Look::Request } else { Look::Start };
    }
    // The preamble of version 1 (PROXY protocol §2.1), or a request line.
    let is_preamble = head.len > PROXY_V1.len() as u32 && is_prefix(&head, PROXY_V1);
    if is_preamble || shape.is_request(&head) {
        return Look::Request;
    }
    if shape.is_start() {
        let is_letter = head.len == 1 && head.byte(0) == b'H';
        return if is_letter { Look::Letter } else { Look::Start };
    }
    if shape.may_become_request(true) {
        return Look::Token;
    }
    // TLS record header, handshake type and length (RFC 8446 §5.1, §4): ClientHello, ServerHello.
    if head.byte(0) == 22
        && head.byte(1) == 3
        && head.byte(2) <= 4
        && matches!(head.byte(5), 1 | 2)
        && head.byte(6) == 0
    {
        return Look::Tls;
    }
    if matches!(head.byte(0), 4 | 5) {
        Look::Socks
    } else {
        Look::Other
    }
}

/// Looks at the first bytes of a stream that is followed: after how many of them the frames of
/// HTTP/2 begin.
#[inline(always)]
pub(crate) fn frames(skb: *mut __sk_buff, packet: &Packet) -> Option<u32> {
    let head = Head::load(skb, packet.payload_offset, packet.payload_len)?;
    if is_settings(&head) {
        return Some(0);
    }
    let len = HTTP2_PREFACE.len() as u32;
    (head.len >= len && is_prefix(&head, &HTTP2_PREFACE)).then_some(len)
}

/// Looks at bytes in the middle of a stream that follow a change of direction.
#[inline(always)]
pub(crate) fn later(skb: *mut __sk_buff, packet: &Packet) -> Look {
    if packet.is_urgent() {
        return Look::Token;
    }
    let Some(head) = Head::load(skb, packet.payload_offset, packet.payload_len) else {
        return Look::Other;
    };
    let shape = Shape::of(&head);
    if is_response(&head) {
        return Look::Response;
    }
    if shape.is_request(&head) {
        return Look::Request;
    }
    let block = header_block::<0>(&head)
        .or(header_block::<WINDOW_UPDATE>(&head))
        .or(header_block::<PING>(&head));
    match block {
        Some(1..8) => return Look::Request,
        Some(8..15) => return Look::Response,
        _ => {}
    }
    if is_frame(&head) {
        Look::Frame
    } else if shape.may_become_request(false) {
        Look::Token
    } else {
        Look::Other
    }
}

/// Any length.
const ANY: u8 = 0xff;

/// The length and the flags that a frame may have, by its kind (RFC 9113 §6): those that come
/// before a head in one packet, or beside it.
static FRAMES: [(u8, u8); 16] = {
    // None of the kinds that are not here has a length of 0xfe.
    let mut frames = [(0xfe, 0); 16];
    // DATA, HEADERS, PRIORITY, RST_STREAM, the acknowledgement of SETTINGS, PING, WINDOW_UPDATE.
    frames[0] = (ANY, 0x09);
    frames[1] = (ANY, 0x2d);
    frames[2] = (5, 0);
    frames[3] = (4, 0);
    frames[4] = (0, 1);
    frames[6] = (8, 1);
    frames[8] = (4, 0);
    frames
};

/// The header of a frame, as nearly all are: less than 64 KiB, and not of the millionth stream.
#[inline(always)]
fn is_frame(head: &Head) -> bool {
    let kind = head.byte(3);
    let (length, flags) = FRAMES[usize::from(kind & 15)];
    let is_any = u8::from(length == ANY);
    // A body's and a head's stream is one of a client. Nothing else may be set.
    let is_even = is_any & !head.byte(8) & 1;
    let other_length = (head.byte(2) ^ length) | head.byte(1);
    let wrong = (other_length * (1 - is_any))
        | (kind & 0xf0)
        | (head.byte(4) & !flags)
        | head.byte(0)
        | head.byte(5)
        | is_even;
    head.len >= 9 && wrong == 0
}

/// Bytes of frames of HTTP/2 that come before others (RFC 9113 §6.7, §6.9).
const WINDOW_UPDATE: usize = 13;
const PING: usize = 17;

/// HTTP/2 HEADERS at `AT` (RFC 9113 §6.2): the index of the first field of its header block in the
/// tables (RFC 7541 §6, Appendix A). Pseudo-fields come first: those of a request are 1 to 7, the
/// status is 8 to 14.
#[inline(always)]
fn header_block<const AT: usize>(head: &Head) -> Option<u8> {
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const PADDED: u8 = 8;
    const PRIORITY: u8 = 0x20;
    // Behind PING, the field of a block with both is beyond what is looked at.
    const BOTH: u8 = PADDED | PRIORITY;
    // One comparison for all bytes: the verifier follows each.
    // Length, kind, flags, and the stream: no connection has that many, clients' are odd, and
    // others carry no request.
    const KNOWN: u8 = END_STREAM | END_HEADERS | PADDED | PRIORITY;
    const HEADER: u64 = u64::from_le_bytes([0xff, 0, 0, 0xff, !KNOWN, 0xff, 0, 0]);
    const EXPECTED: u64 = u64::from_le_bytes([0, 0, 0, 1, 0, 0, 0, 0]);
    // The frame before it: its length and its kind.
    const BEFORE: u64 = u64::from_le_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    let before = match AT {
        WINDOW_UPDATE => u64::from_le_bytes([0, 0, 4, 8, 0, 0, 0, 0]),
        PING => u64::from_le_bytes([0, 0, 8, 6, 0, 0, 0, 0]),
        _ => head.eight::<0>() & BEFORE,
    };
    let frame = (head.eight::<AT>() & HEADER) ^ EXPECTED;
    let others = frame | ((head.eight::<0>() & BEFORE) ^ before);
    let is_odd = u64::from(head.byte(AT + 8)) & 1;
    if others | (is_odd ^ 1) != 0 {
        return None;
    }
    let flags = head.byte(AT + 4);
    let field = match flags & BOTH {
        0 => head.byte(AT + 9),
        PADDED => head.byte(AT + 10),
        PRIORITY => head.byte(AT + 14),
        _ if AT == PING => return None,
        _ => head.byte(AT + 15),
    };
    Some(match field {
        0x80.. => field & 0x7f,
        0x40.. => field & 0x3f,
        _ => field & 0x0f,
    })
}

const PROXY_V1: &[u8; 6] = b"PROXY ";

/// `HTTP/1.1 200`: the version, and what follows it. A method may have such a name.
const VERSION: usize = 5;
const STATUS: usize = 9;

#[inline(always)]
fn is_response(head: &Head) -> bool {
    // Both at once: the verifier follows each branch.
    const DIGITS: u64 = 0x3ff << b'0';
    const BLANKS: u64 = 1 << b' ' | 1 << b'\t';
    let (version, status) = (head.byte(VERSION), head.byte(STATUS));
    let fits = DIGITS >> (version & 63) & (DIGITS | BLANKS) >> (status & 63);
    let is_status = (version | status) & 0xc0 == 0 && fits & 1 != 0;
    (head.len > 1 && is_prefix(head, b"HTTP/") && (head.len <= STATUS as u32 || is_status))
        || is_settings(head)
}

/// Masks of as many bytes as there are, less one.
static PRESENT: [[u64; PATTERN / 8]; LOOK] = {
    let mut masks = [[0; PATTERN / 8]; LOOK];
    let mut at = 0;
    while at < LOOK * PATTERN {
        let (len, byte) = (at / PATTERN + 1, at % PATTERN);
        if byte < len {
            masks[len - 1][byte / 8] |= 0xff << (8 * (byte % 8));
        }
        at += 1;
    }
    masks
};

/// Longest pattern.
const PATTERN: usize = 24;

/// Does the head begin with the pattern, or is it cut short within it?
///
/// One comparison for all bytes: the verifier follows each.
#[inline(always)]
fn is_prefix<const N: usize>(head: &Head, pattern: &[u8; N]) -> bool {
    const { assert!(N <= PATTERN) };
    let present = &PRESENT[opaque(head.len.wrapping_sub(1)) as usize % LOOK];
    let mut others = 0;
    for (at, byte) in [head.eight::<0>(), head.eight::<8>(), head.eight::<16>()]
        .into_iter()
        .enumerate()
    {
        let (mut expected, mut mask) = (0, 0);
        for (n, &known) in pattern.iter().skip(8 * at).take(8).enumerate() {
            expected |= u64::from(known) << (8 * n);
            mask |= 0xff << (8 * n);
        }
        others |= (byte ^ expected) & mask & present[at];
    }
    others == 0
}

/// HTTP/2 SETTINGS on stream 0, as a server may send before it has read anything (RFC 9113 §3.4,
/// §4.1, §6.5): a length of less than 256, a multiple of 6, type 4, no flags. What follows is a
/// small identifier, one that nobody knows (RFC 8701 §3.1, the same digit four times), or a frame.
#[inline(always)]
fn is_settings(head: &Head) -> bool {
    // One comparison for most bytes: the verifier follows each.
    const HEADER: u64 = u64::from_le_bytes([0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff]);
    const EXPECTED: u64 = u64::from_le_bytes([0, 0, 0, 4, 0, 0, 0, 0]);
    let others = ((head.eight::<0>() & HEADER) ^ EXPECTED) | u64::from(head.byte(8));
    head.len >= 9
        && others == 0
        && head.byte(2).is_multiple_of(6)
        && (head.byte(9) == 0 || head.byte(9) & 0x0f == 0x0a)
}
