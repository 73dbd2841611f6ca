//! What a message is, as its first bytes say.

use meshtap_common::HTTP2_PREFACE;

use super::line::{self, Start};

/// What the first bytes of a message look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too few bytes to know.
    Undecided,
    /// A request line, as far as it goes.
    Request,
    /// A request line that only a tolerant server takes ([`line`]).
    OddRequest,
    /// A status line.
    Response,
    /// The connection preface of HTTP/2 (RFC 9113 §3.4).
    Http2,
    /// None of these.
    Other,
    /// A TLS record with the first bytes of what it has (RFC 8446 §5.1): what HTTP begins with
    /// only where a server takes any bytes for a method.
    Foreign,
}

/// Digits of a status.
const STATUS: usize = 3;

/// Says what a message is, from its first bytes. A request is only certain once its first line is
/// whole and names HTTP.
#[must_use]
pub fn classify(bytes: &[u8]) -> Class {
    if let Some(rest) = bytes.strip_prefix(b"HTTP/1.") {
        match status_line(rest) {
            // A method may have that name.
            Class::Other => {}
            class => return class,
        }
    }
    if b"HTTP/1.".starts_with(bytes) {
        return Class::Undecided;
    }
    if bytes.starts_with(&HTTP2_PREFACE) {
        return Class::Http2;
    }
    if bytes.len() >= b"PRI ".len() && HTTP2_PREFACE.starts_with(bytes) {
        return Class::Undecided;
    }
    if is_foreign(bytes) {
        return Class::Foreign;
    }
    match line::look(bytes) {
        Start::Undecided => Class::Undecided,
        Start::Request => Class::Request,
        Start::OddRequest => Class::OddRequest,
        Start::Other => Class::Other,
    }
}

/// A status line may begin with these bytes, behind empty lines. `false`: whatever follows, no
/// recipient reads one.
pub(super) fn may_be_status_line(bytes: &[u8]) -> bool {
    let begin = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let line = bytes.get(begin..).unwrap_or_default();
    match line.strip_prefix(b"HTTP/1.") {
        Some(rest) => status_line(rest) != Class::Other,
        None => b"HTTP/1.".starts_with(line),
    }
}

/// A whole header of a record of plausible length, and the type of a message that a handshake
/// begins with.
fn is_foreign(bytes: &[u8]) -> bool {
    /// RFC 5246 §6.2.3; RFC 8446 §5.2 allows less.
    const LONGEST: u16 = (1 << 14) + 2048;
    let [kind, 0x03, 0x00..=0x04, high, low, message @ ..] = bytes else {
        return false;
    };
    let is_plausible = match kind {
        // Cipher change, alert.
        0x14 => [*high, *low] == [0, 1],
        0x15 => *high == 0,
        // ClientHello, ServerHello.
        0x16 => matches!(message, [] | [1 | 2, ..]),
        0x17 => true,
        _ => false,
    };
    is_plausible && (1..=LONGEST).contains(&u16::from_be_bytes([*high, *low]))
}

/// After the major version. The status is part of it: it separates an interim response from a final
/// one.
fn status_line(rest: &[u8]) -> Class {
    let Some((minor, rest)) = rest.split_first() else {
        return Class::Undecided;
    };
    let spaces = rest
        .iter()
        .take_while(|byte| line::is_space(**byte))
        .count();
    let status = rest.get(spaces..).unwrap_or_default();
    let status = status.get(..STATUS).unwrap_or(status);
    let fits = minor.is_ascii_digit()
        && (spaces > 0 || rest.is_empty())
        && status.iter().all(u8::is_ascii_digit);
    match fits {
        true if status.len() == STATUS => Class::Response,
        true => Class::Undecided,
        false => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks() {
        use Class::{Foreign, Http2, OddRequest, Other, Request, Response, Undecided};
        for (bytes, expected) in [
            (b"".as_slice(), Undecided),
            (b"G", Undecided),
            (b"GET", Undecided),
            (b"GET /", Undecided),
            (b"GET /a HT", Undecided),
            (b"GET /a HTTP/1.1\r", Undecided),
            (b"GET /a HTTP/1.1\r\n", Request),
            (b"GET /a HTTP/1.0\n", Request),
            (b"get-it a HTTP/1.1\r\n", Request),
            (b"GET  /a  HTTP/1.2 \r\n", OddRequest),
            (b"GET  /a  HTTP/1.2 \r", Undecided),
            (b"GET   ", Undecided),
            (b"GET /a HTTP/2.0\r\n", OddRequest),
            (b"GET /a HTTP/1.1x\r\n", OddRequest),
            (b"GET /a b HTTP/1.1\r\n", OddRequest),
            (b"GET /a b SIP/2.0\r\n", Other),
            (b"GET /a\r\n", Other),
            (b" GET /a HTTP/1.1\r\n", OddRequest),
            (b"\"GET\" /a HTTP/1.1\r\n", OddRequest),
            (b"{\"a\": 1}\n", Other),
            (b"GET key\r\n", Other),
            (b"set k 0 0 5\r\n", Other),
            (b"EHLO host\r\n", Other),
            (b"220 mail ESMTP", Undecided),
            (b"220 mail ESMTP\r\n", Other),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Other),
            (b"SSH-2.0-a", Undecided),
            (b"SSH-2.0-a /a HTTP/1.1\r\n", Request),
            (b"HTTP/1.1 /a HTTP/1.1\r\n", OddRequest),
            (b"\x16\x03\x01 /a HTTP/1.1\r\n", Other),
            (b"\x17\x03\x03\xff\xff", Other),
            (b"*1\r\n", Other),
            (b"+OK\r\n", Other),
            (b"\x16\x03", Other),
            (b"\x16\x03\x01\x02\0\x01", Foreign),
            (b"\0\0\0\x08", Other),
            (b"HTTP", Undecided),
            (b"HTTP/1.1", Undecided),
            (b"HTTP/1.1 20", Undecided),
            (b"HTTP/1.1 200", Response),
            (b"HTTP/1.1 2x0", Undecided),
            (b"HTTP/1.1 2x0\r\n", Other),
            (b"HTTP/1.1  20", Undecided),
            (b"HTTP/1.1\t200", Response),
            (b"HTTP/1.1200\r\n", Other),
            (b"HTTP/1.2 200", Response),
            (b"PRI ", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Http2),
        ] {
            assert_eq!(classify(bytes), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(classify(&[b'x'; 400]), Undecided);
    }
}
