//! What a message is, told from its first bytes.

/// What the first bytes of a message look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Too few bytes to tell.
    Undecided,
    /// A request line, as far as it goes.
    Request,
    /// A status line.
    Response,
    /// The connection preface of HTTP/2 (RFC 9113 §3.4).
    Http2,
    /// None of these.
    Other,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No registered method is longer than 17 (`UPDATEREDIRECTREF`); extension methods are given some room.
const LONGEST_METHOD: usize = 32;

/// Bytes of a status line from its minor version to the end of its status.
const STATUS: usize = 5;

/// Tells from the first bytes what a message is. A request is only certain once its first line is whole and names HTTP.
#[must_use]
pub fn classify(bytes: &[u8]) -> Class {
    if let Some(rest) = bytes.strip_prefix(b"HTTP/1.") {
        return status_line(rest);
    }
    if b"HTTP/1.".starts_with(bytes) {
        return Class::Undecided;
    }
    if bytes.starts_with(PREFACE) {
        return Class::Http2;
    }
    if bytes.len() >= b"PRI ".len() && PREFACE.starts_with(bytes) {
        return Class::Undecided;
    }
    let method = bytes.iter().take_while(|b| is_token(**b)).count();
    if method > LONGEST_METHOD {
        return Class::Other;
    }
    match (method, bytes.get(method)) {
        (_, None) => Class::Undecided,
        (1.., Some(b' ')) => request_line(bytes.get(method + 1..).unwrap_or_default()),
        _ => Class::Other,
    }
}

/// After the major version. The status is part of it: an interim response is told apart from a final one by it.
fn status_line(rest: &[u8]) -> Class {
    let fits = |(at, byte): (usize, &u8)| match at {
        0 => matches!(byte, b'0' | b'1'),
        1 => *byte == b' ',
        _ => byte.is_ascii_digit(),
    };
    let begin = rest.get(..STATUS).unwrap_or(rest);
    match begin.iter().enumerate().all(fits) {
        true if begin.len() == STATUS => Class::Response,
        true => Class::Undecided,
        false => Class::Other,
    }
}

/// After the method and the space. Servers take more spaces than one, some at the end, and any minor version.
fn request_line(rest: &[u8]) -> Class {
    // A target holds no control characters and no space; after it comes the version.
    let rest = skip_spaces(rest);
    let target = rest
        .iter()
        .take_while(|b| **b > b' ' && **b != 0x7f)
        .count();
    let after = rest.get(target..).unwrap_or_default();
    if target == 0 || after.is_empty() {
        return match after.is_empty() {
            true => Class::Undecided,
            false => Class::Other,
        };
    }
    let version = skip_spaces(after);
    if version.len() == after.len() {
        return Class::Other;
    }
    let names = version.len().min(VERSION.len());
    if version.get(..names) != VERSION.get(..names) {
        return Class::Other;
    }
    match version.get(VERSION.len()..).unwrap_or_default() {
        [] => Class::Undecided,
        [b'0'..=b'9', end @ ..] => match skip_spaces(end) {
            [] | [b'\r'] => Class::Undecided,
            [b'\n', ..] | [b'\r', b'\n', ..] => Class::Request,
            _ => Class::Other,
        },
        _ => Class::Other,
    }
}

const VERSION: &[u8] = b"HTTP/1.";

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|b| **b == b' ').count();
    bytes.get(spaces..).unwrap_or_default()
}

/// It can be in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks() {
        use Class::{Http2, Other, Request, Response, Undecided};
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
            (b"GET  /a  HTTP/1.2 \r\n", Request),
            (b"GET  /a  HTTP/1.2 \r", Undecided),
            (b"GET   ", Undecided),
            (b"GET /a HTTP/2.0\r\n", Other),
            (b"GET /a HTTP/1.1x\r\n", Other),
            (b"GET /a b HTTP/1.1\r\n", Other),
            (b"GET /a\r\n", Other),
            (b"GET key\r\n", Other),
            (b"set k 0 0 5\r\n", Other),
            (b"EHLO host\r\n", Other),
            (b"220 mail ESMTP", Other),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Other),
            (b"*1\r\n", Other),
            (b"+OK\r\n", Other),
            (b"\x16\x03", Other),
            (b"\0\0\0\x08", Other),
            (b"HTTP", Undecided),
            (b"HTTP/1.1", Undecided),
            (b"HTTP/1.1 20", Undecided),
            (b"HTTP/1.1 200", Response),
            (b"HTTP/1.1 2x0", Other),
            (b"HTTP/1.2 200", Other),
            (b"PRI ", Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Http2),
        ] {
            assert_eq!(classify(bytes), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(classify(&[b'x'; 40]), Other);
    }
}
