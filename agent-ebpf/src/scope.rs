//! Which sockets are of interest: marks, ports, and the first payload bytes.
//!
//! The classifier is permissive on purpose. It keeps what may be HTTP and leaves the rest of the node's traffic alone; user space
//! decides, and tells the kernel when it was wrong.

use aya_ebpf::bindings::__sk_buff;
use meshtap_common::{
    CaptureConfig, DIRECTION_INGRESS, ROLE_CLIENT, ROLE_SERVER, SIDE_CLIENT, SIDE_SERVER,
};

use crate::read::{Head, Packet, Socket};

/// Longest method (RFC 9110 has no bound; `UPDATEREDIRECTREF`, the longest registered, has 17 letters).
const METHOD: usize = 20;

/// First bytes of a PROXY protocol v2 header.
const PROXY_V2: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What first payload bytes look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A request, or a preamble that comes before one. Also when it is cut short.
    Request,
    /// A response, or what an HTTP/2 server says first.
    Response,
    /// A TLS record.
    Tls,
    /// Anything else.
    Other,
}

/// Is the socket's mark the one to leave alone?
#[inline(always)]
pub(crate) fn is_marked(config: &CaptureConfig, socket: Socket) -> bool {
    config.mark_mask != 0 && socket.mark() & config.mark_mask == config.ignored_mark
}

/// Is either port selected? Unused entries are zero, which is nobody's port.
#[inline(always)]
pub(crate) fn is_selected(config: &CaptureConfig, local: u16, remote: u16) -> bool {
    if config.port_count == 0 {
        return true;
    }
    // All of them: the verifier of kernel 5.10 cannot follow a count.
    for &port in &config.ports {
        if port == local || port == remote {
            return true;
        }
    }
    false
}

/// Which end the socket is when a request goes in this direction.
pub(crate) const fn requests(direction: u8) -> u8 {
    if direction == DIRECTION_INGRESS {
        ROLE_SERVER
    } else {
        ROLE_CLIENT
    }
}

/// Which end the socket is when a response goes in this direction.
pub(crate) const fn responses(direction: u8) -> u8 {
    if direction == DIRECTION_INGRESS {
        ROLE_CLIENT
    } else {
        ROLE_SERVER
    }
}

/// Is a socket of this role to be recorded?
#[inline(always)]
pub(crate) const fn is_wanted(config: &CaptureConfig, role: u8) -> bool {
    match config.side {
        SIDE_SERVER => role == ROLE_SERVER,
        SIDE_CLIENT => role == ROLE_CLIENT,
        _ => true,
    }
}

/// Looks at the first payload bytes of a segment.
#[inline(always)]
pub(crate) fn look(skb: *mut __sk_buff, packet: &Packet) -> Look {
    let Some(head) = Head::load(skb, packet.payload_offset, packet.payload_len) else {
        return Look::Other;
    };
    if head.byte(0) != b'\r' {
        return classify(&head);
    }
    if is_prefix(&head, &PROXY_V2) {
        return Look::Request;
    }
    // RFC 9112 §2.2: a server should ignore an empty line received prior to the request-line. What comes after it is not looked at: in this
    // place nothing but HTTP begins so.
    if head.byte(1) == b'\n' {
        Look::Request
    } else {
        Look::Other
    }
}

/// Does the head begin with the pattern, or is it cut short within it?
#[inline(always)]
fn is_prefix<const N: usize>(head: &Head, pattern: &[u8; N]) -> bool {
    for (i, &expected) in pattern.iter().enumerate() {
        if i as u32 >= head.len {
            return true;
        }
        if head.byte(i) != expected {
            return false;
        }
    }
    true
}

#[inline(always)]
fn classify(head: &Head) -> Look {
    // TLS record header: content type 20 to 23, major version 3 (RFC 8446 §5.1).
    if matches!(head.byte(0), 20..=23) && head.byte(1) == 3 {
        return Look::Tls;
    }
    if head.len > 1 && is_prefix(head, b"HTTP/") {
        return Look::Response;
    }
    if is_settings(head) {
        return Look::Response;
    }
    // The method, and the space after it.
    let mut at = 0;
    while at <= METHOD {
        if at as u32 >= head.len {
            return Look::Request;
        }
        let letter = head.byte(at);
        if letter == b' ' && at > 0 {
            break;
        }
        if !(letter.is_ascii_uppercase() || letter == b'-' || letter == b'_') {
            return Look::Other;
        }
        at += 1;
    }
    at += 1;
    // The target: origin form, asterisk form, absolute form, or authority form after CONNECT (RFC 9112 §3.2). After `PROXY` (version 1) comes
    // `TCP4`, `TCP6` or `UNKNOWN`.
    if at > METHOD + 1 {
        return Look::Other;
    }
    if at as u32 >= head.len {
        return Look::Request;
    }
    let first = head.byte(at);
    let plausible = match first {
        // Servers take more than one space.
        b'/' | b'*' | b' ' => true,
        b'h' | b'H' if at + 1 == head.len as usize || head.byte(at + 1) | 0x20 == b't' => true,
        b'T' | b'U' if at == 6 && is_prefix(head, b"PROXY ") => true,
        _ => at == 8 && is_authority(first) && is_prefix(head, b"CONNECT "),
    };
    if plausible {
        Look::Request
    } else {
        Look::Other
    }
}

/// HTTP/2 SETTINGS on stream 0, as a server may send before it has read anything (RFC 9113 §3.4, §4.1, §6.5): a length of less than 256, a
/// multiple of 6, type 4, no flags.
#[inline(always)]
fn is_settings(head: &Head) -> bool {
    const REST: [u8; 6] = [4, 0, 0, 0, 0, 0];
    head.len >= 9
        && head.byte(0) == 0
        && head.byte(1) == 0
        && head.byte(2).is_multiple_of(6)
        && (3..)
            .zip(REST)
            .all(|(at, expected)| head.byte(at) == expected)
}

#[inline(always)]
const fn is_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'['
}
