//! Heads of which only the first bytes are there: they are over their bound, or bytes are missing.

use super::head::parse;
use super::line::is_space;
use super::{Class, classify};
use crate::http::{Anomalies, Bounds, RequestHead, ResponseHead};

/// A request head as far as its last whole line within the bounds. `None`: not even its first line
/// is whole.
#[must_use]
pub fn cut_request(bytes: &[u8], bounds: &Bounds) -> Option<(RequestHead, Anomalies)> {
    let parsed = parse(&whole_lines(bytes, bounds)?, bounds).ok()??;
    Some((parsed.head, parsed.anomalies))
}

/// A request whose first line is not whole: its method, and its target as far as it goes.
#[must_use]
pub fn cut_request_line(bytes: &[u8], bounds: &Bounds) -> Option<(RequestHead, Anomalies)> {
    const END: &[u8] = b" HTTP/1.1\r\n\r\n";
    let room = bytes.len().min(bounds.head.saturating_sub(END.len()));
    let line = bytes.get(..room).filter(|line| !line.contains(&b'\n'))?;
    let method = line.iter().position(|byte| *byte == b' ')?;
    let rest = line.get(method + 1..)?;
    let target = rest.iter().position(|byte| is_space(*byte));
    let target = target.unwrap_or(rest.len());
    if target == 0 {
        return None;
    }
    let end = match rest.get(target..)? {
        [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', ..] => b" HTTP/1.0\r\n\r\n",
        _ => END,
    };
    let whole = [line.get(..=method + target)?, end].concat();
    let parsed = parse(&whole, bounds).ok()??;
    Some((parsed.head, parsed.anomalies))
}

/// A response head as far as its last whole line within the bounds, and no less than its status.
#[must_use]
pub fn cut_response(bytes: &[u8], bounds: &Bounds) -> Option<(ResponseHead, Anomalies)> {
    let whole = match whole_lines(bytes, bounds) {
        Some(lines) => lines,
        None => {
            if classify(bytes) != Class::Response {
                return None;
            }
            let space = bytes.iter().position(|byte| is_space(*byte))?;
            let digit = bytes.get(space..)?.iter().position(u8::is_ascii_digit)?;
            // What there is of the reason may be half of it.
            [bytes.get(..space + digit + 3)?, b"\r\n\r\n"].concat()
        }
    };
    let parsed = parse(&whole, bounds).ok()??;
    Some((parsed.head, parsed.anomalies))
}

/// The lines that are whole, and an empty one.
fn whole_lines(bytes: &[u8], bounds: &Bounds) -> Option<Vec<u8>> {
    const END: &[u8] = b"\r\n";
    let room = bytes.len().min(bounds.head.saturating_sub(END.len()));
    let lines = bytes.get(..room)?;
    let lines = lines.get(..=memchr::memrchr(b'\n', lines)?)?;
    Some([lines, END].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { head: 40, body: 0 };

    #[test]
    fn what_is_within_the_bounds_of_a_long_head() {
        for (bytes, expected) in [
            (
                "GET /a HTTP/1.1\r\nHost: x\r\nLong: yyyyyyyyyyyyyyyyyyyyyy",
                Some("/a 1"),
            ),
            (
                "GET /a HTTP/1.1\nHost: x\nA: b\nLong: yyyyyyyyyyyyyyyyyyyy",
                Some("/a 2"),
            ),
            (
                "GET /a HTTP/1.1\r\nLong: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
                Some("/a 0"),
            ),
            (
                "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n",
                None,
            ),
        ] {
            let shown = cut_request(bytes.as_bytes(), &BOUNDS).map(|(head, _)| {
                let target = std::str::from_utf8(head.target()).unwrap().to_owned();
                format!("{target} {}", head.fields.len())
            });
            assert_eq!(shown.as_deref(), expected, "{bytes}");
        }
    }

    #[test]
    fn request_lines_that_are_not_whole() {
        for (bytes, expected) in [
            ("GET /a", Some("GET /a 1.1")),
            ("GET /a?b=c HTT", Some("GET /a?b=c 1.1")),
            ("PUT /a HTTP/1.0", Some("PUT /a 1.0")),
            ("PUT /a HTTP/1.0\r", Some("PUT /a 1.0")),
            (
                "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                Some("GET /aaaaaaaaaaaaaaaaaaaaaa 1.1"),
            ),
            ("GET ", None),
            ("GET", None),
            ("GET /a\r\n", None),
        ] {
            let shown = cut_request_line(bytes.as_bytes(), &BOUNDS).map(|(head, _)| {
                let parts = [head.method(), head.target()].map(String::from_utf8_lossy);
                format!("{} {}", parts.join(" "), head.version.label())
            });
            assert_eq!(shown.as_deref(), expected, "{bytes}");
        }
    }

    #[test]
    fn responses_that_are_not_whole() {
        for (bytes, expected) in [
            ("HTTP/1.1 200", Some("200  0")),
            ("HTTP/1.1 404 Not Fo", Some("404  0")),
            ("HTTP/1.1 404 Not Found\r\nA: b", Some("404 Not Found 0")),
            ("HTTP/1.1 404 None\r\nA: b\r\nC", Some("404 None 1")),
            ("HTTP/1.1 20", None),
            ("nothing", None),
        ] {
            let shown = cut_response(bytes.as_bytes(), &BOUNDS).map(|(head, _)| {
                let reason = String::from_utf8_lossy(head.reason.as_bytes()).into_owned();
                format!("{} {reason} {}", head.status, head.fields.len())
            });
            assert_eq!(shown.as_deref(), expected, "{bytes}");
        }
    }
}
