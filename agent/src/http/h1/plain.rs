//! Heads as nearly all of them are, read in one pass: what `httparse` makes of them, for half of
//! the work. Whatever is not of the plainest form is left to it, so it stays the one who judges.

use super::head::{Kind, Line, Raw};
use super::lanes::{LANES, controls, first, no_graphics, no_names};
use super::line::is_token;
use crate::http::{Slice, Version};

/// Fields that are read here; heads with more are rare.
const FIELDS: usize = 48;

const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_token(byte as u8);
        byte += 1;
    }
    table
};

/// Reads a whole head whose lines end with CRLF, whose target and reason are printable ASCII, and
/// whose values have no control characters but tabs. `None`: it is of another form, or not whole.
pub(super) fn parse(kind: Kind, bytes: &[u8]) -> Option<(Raw, Vec<(Slice, Slice)>)> {
    let (line, version, start) = match kind {
        Kind::Request => request_line(bytes)?,
        Kind::Response => status_line(bytes)?,
    };
    let mut spans = [(Slice::default(), Slice::default()); FIELDS];
    let (count, len) = fields(bytes, start, &mut spans)?;
    let spans = spans.get(..count)?.to_vec();
    Some((Raw { line, version, len }, spans))
}

/// The line, and where the next one begins.
fn request_line(bytes: &[u8]) -> Option<(Line, Version, usize)> {
    let method = token(bytes)?;
    let target = bytes.get(method..)?.strip_prefix(b" ")?;
    let len = printable(target)?;
    let end = target.get(len..)?.first_chunk::<11>()?;
    let version = match end {
        b" HTTP/1.1\r\n" => Version::Http11,
        b" HTTP/1.0\r\n" => Version::Http10,
        _ => return None,
    };
    let line = Line {
        method: slice(0, method)?,
        target: slice(method + 1, len)?,
        ..Line::default()
    };
    Some((line, version, method + 1 + len + end.len()))
}

fn status_line(bytes: &[u8]) -> Option<(Line, Version, usize)> {
    let (version, rest) = bytes.split_first_chunk::<9>()?;
    let version = match version {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return None,
    };
    let ([hundreds, tens, ones, b' '], rest) = rest.split_first_chunk::<4>()? else {
        return None;
    };
    let mut status = 0;
    for digit in [hundreds, tens, ones] {
        status = status * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    // Spaces before it are more than the grammar allows.
    printable(rest)?;
    let reason = control(rest)?;
    if rest.get(reason..reason + 2)? != b"\r\n" || !rest.get(..reason)?.is_ascii() {
        return None;
    }
    let start = bytes.len() - rest.len();
    let line = Line {
        status,
        reason: slice(start, reason)?,
        ..Line::default()
    };
    Some((line, version, start + reason + 2))
}

/// How many fields there are, and where the head ends.
fn fields(bytes: &[u8], start: usize, spans: &mut [(Slice, Slice)]) -> Option<(usize, usize)> {
    let mut at = start;
    let mut count = 0;
    loop {
        let line = bytes.get(at..)?;
        if let [b'\r', b'\n', ..] = line {
            return Some((count, at + 2));
        }
        let name = token(line)?;
        let rest = line.get(name..)?.strip_prefix(b":")?;
        let blanks = rest.iter().position(|byte| !is_blank(*byte))?;
        let value = rest.get(blanks..)?;
        let end = control(value)?;
        if value.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        let text = value.get(..end)?;
        let last = text.iter().rposition(|byte| !is_blank(*byte));
        let place = at + name + 1 + blanks;
        *spans.get_mut(count)? = (slice(at, name)?, slice(place, last.map_or(0, |at| at + 1))?);
        count += 1;
        at = place + end + 2;
    }
}

fn slice(start: usize, len: usize) -> Option<Slice> {
    Some(Slice {
        start: u16::try_from(start).ok()?,
        len: u16::try_from(len).ok()?,
    })
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The length of the token at the start (RFC 9110 §5.6.2), which something follows.
fn token(bytes: &[u8]) -> Option<usize> {
    let start = run(bytes, no_names);
    let rest = bytes.get(start..)?;
    let more = rest.iter().position(|byte| !IS_TOKEN[usize::from(*byte)])?;
    let len = start + more;
    (len > 0).then_some(len)
}

/// The length of the printable ASCII at the start, without a space, which something follows.
fn printable(bytes: &[u8]) -> Option<usize> {
    let start = run(bytes, no_graphics);
    let rest = bytes.get(start..)?;
    let len = start + rest.iter().position(|byte| !byte.is_ascii_graphic())?;
    (len > 0).then_some(len)
}

/// Where the first control character is that is no tab.
fn control(bytes: &[u8]) -> Option<usize> {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    let start = run(bytes, controls);
    let rest = bytes.get(start..)?;
    Some(start + rest.iter().position(is_control)?)
}

/// Where the first byte of a kind is, or as far as whole chunks go.
#[inline]
fn run(bytes: &[u8], find: impl Fn(&[u8; LANES]) -> u32) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = first(find(chunk));
        at += found;
        if found < LANES {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::{Outcome, attempt, config};
    use super::*;

    /// What is read here is what `httparse` reads. True when it is read here.
    fn check(kind: Kind, bytes: &[u8]) -> bool {
        let Some((raw, spans)) = parse(kind, bytes) else {
            return false;
        };
        let mut expected = Vec::new();
        let outcome = attempt(kind, &config(), bytes, &mut expected);
        let Outcome::Whole(found) = outcome else {
            panic!("not a head: {}", bytes.escape_ascii());
        };
        let text = |slice: Slice| slice.of(bytes).escape_ascii().to_string();
        let line = |line: Line| {
            let parts = [line.method, line.target, line.reason].map(text);
            (line.status, parts)
        };
        assert_eq!(line(raw.line), line(found.line));
        assert_eq!((raw.version, raw.len), (found.version, found.len));
        assert_eq!(spans, expected, "{}", bytes.escape_ascii());
        true
    }

    #[test]
    fn plain_heads_are_read() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "get-it /a?b=c#d HTTP/1.0\r\nHost: x\r\n\r\nbody",
            "POST {} HTTP/1.1\r\nA:b\r\nC: \r\nD:\r\nE: \t f g\th \t\r\nG: é\r\n\r\n",
        ] {
            assert!(check(Kind::Request, head.as_bytes()), "{head}");
        }
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 404 Not\tFound \r\nServer: x\r\n\r\n",
        ] {
            assert!(check(Kind::Response, head.as_bytes()), "{head}");
        }
    }

    #[test]
    fn others_are_not() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET /é HTTP/1.1\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(!check(Kind::Request, head.as_bytes()), "{head}");
        }
        for head in [
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200  OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 é\r\n\r\n",
        ] {
            assert!(!check(Kind::Response, head.as_bytes()), "{head}");
        }
        let many = "A: b\r\n".repeat(FIELDS + 1);
        assert!(!check(
            Kind::Request,
            format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()
        ));
    }

    #[test]
    fn every_byte_is_seen() {
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'x'; len];
                    text[at] = byte;
                    let is_control = byte.is_ascii_control() && byte != b'\t';
                    assert_eq!(control(&text), is_control.then_some(at), "{byte}");
                }
            }
        }
        assert_eq!(control(b"\x80\xff\t\t\t\x1f\x1f\x1f"), Some(5));
        assert_eq!(control(b"\t\t\t\t\t\t\t\t\t\x7f"), Some(9));
    }

    proptest! {
        /// Chunks of heads in any order, some of them odd.
        #[test]
        fn nothing_is_read_that_httparse_reads_otherwise(
            is_request in any::<bool>(),
            odd in proptest::option::of((0_usize..200, any::<u8>())),
            chunks in proptest::collection::vec(
                prop_oneof![
                    Just("\r\n"), Just("\n"), Just("\r"), Just(": "), Just(":"), Just(" "),
                    Just("\t"), Just("name"), Just("x-Y_1"), Just("a value, with 8 more"),
                    Just("é"), Just("\x7f"), Just("A: b\r\n"), Just("C:\r\n"), Just("D:  \t e \r\n"),
                ],
                0..24,
            ),
        ) {
            let (kind, start) = match is_request {
                true => (Kind::Request, "PUT /a/b?c HTTP/1.1\r\n"),
                false => (Kind::Response, "HTTP/1.1 201 Created\r\n"),
            };
            let mut head = format!("{start}{}\r\n\r\n", chunks.concat()).into_bytes();
            if let Some((at, byte)) = odd
                && let Some(place) = head.get_mut(at)
            {
                *place = byte;
            }
            check(kind, &head);
        }
    }
}
