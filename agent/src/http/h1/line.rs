//! Start lines as servers and clients read them, which is more than the grammar allows.
//!
//! A recipient may split a request line at white space of any kind and drop what stands around it
//! (RFC 9112 §3). What remains must name HTTP in its last word: that is the evidence that the line
//! is a request. The target may then be empty, hold spaces, or name any scheme, and the version may
//! be any. A line without that evidence is one only when its response shows it ([`any`]).

use crate::http::Version;

/// Positions of a request line's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    /// Where the method begins and ends.
    pub method: (usize, usize),
    /// Where the target begins and ends; empty when there is none.
    pub target: (usize, usize),
    /// The version that its framing follows.
    pub version: Version,
    /// The grammar of RFC 9112 §3 does not allow it.
    pub odd: bool,
}

/// Positions of a status line's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    /// Three digits.
    pub status: u16,
    /// Where the reason begins and ends.
    pub reason: (usize, usize),
    /// The version that its framing follows.
    pub version: Version,
    /// The grammar of RFC 9112 §4 does not allow it.
    pub odd: bool,
}

/// What a line is that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It may become a request line.
    Undecided,
    /// It is one.
    Request,
    /// It is one, and the grammar does not allow it.
    OddRequest,
    /// It is none, whatever follows.
    Other,
}

/// White space between words, line ends apart (RFC 9112 §3: SP, HTAB, VT, FF, and a CR that is
/// alone).
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// It can be in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// What begins with `bytes`: a word, white space, and a line whose last word names HTTP.
pub(super) fn look(bytes: &[u8]) -> Start {
    let method = leading_spaces(bytes);
    let method = method + word(bytes.get(method..).unwrap_or_default());
    match (method, bytes.get(method)) {
        (_, None) => Start::Undecided,
        (1.., Some(byte)) if is_space(*byte) && method > leading_spaces(bytes) => {
            match memchr::memchr(b'\n', bytes) {
                None => Start::Undecided,
                Some(end) => match request(bytes.get(..end).unwrap_or_default()) {
                    Some(RequestLine { odd: false, .. }) => Start::Request,
                    Some(_) => Start::OddRequest,
                    None => Start::Other,
                },
            }
        }
        _ => Start::Other,
    }
}

/// Reads a request line, with or without its line end. `None`: nothing that names HTTP.
pub(super) fn request(line: &[u8]) -> Option<RequestLine> {
    let bare = line.strip_suffix(b"\n").unwrap_or(line);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    let end = bare.len() - trailing_spaces(bare);
    let lead = leading_spaces(bare);
    let method = lead + word(bare.get(lead..)?);
    let version = end
        - bare
            .get(method..end)?
            .iter()
            .rev()
            .take_while(|byte| !is_space(**byte))
            .count();
    // Something, white space, and a last word: the method is not that word.
    if method == lead || version <= method || !is_space(*bare.get(method)?) {
        return None;
    }
    let (number, plain) = named_version(bare.get(version..end)?)?;
    let middle = bare.get(method..version)?;
    let begin = method + middle.iter().take_while(|byte| is_space(**byte)).count();
    let stop = version - trailing_spaces(bare.get(method..version)?);
    let target = (begin.min(version), stop.max(begin).min(version));
    let inside = bare.get(target.0..target.1)?;
    let regular = plain
        && lead == 0
        && bare.get(..method)?.iter().all(|byte| is_token(*byte))
        && end == bare.len()
        && (target.0, target.1) == (method + 1, version - 1)
        && bare.get(method) == Some(&b' ')
        && bare.get(target.1) == Some(&b' ')
        && !inside.is_empty()
        && !inside.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
    Some(RequestLine {
        method: (lead, method),
        target,
        version: number,
        odd: !regular,
    })
}

/// Reads a line that a response has shown to be a request line: its first word is the method, the
/// rest the target, but for a last word that names HTTP. `None`: it has no word.
pub(super) fn any(line: &[u8]) -> Option<RequestLine> {
    let end = line.len() - line.iter().rev().take_while(|byte| is_end(**byte)).count();
    let lead = leading_spaces(line);
    let bare = line.get(..end).filter(|bare| lead < bare.len())?;
    let words = bare.get(lead..)?;
    let method = lead + words.iter().take_while(|byte| !is_space(**byte)).count();
    let target = method + leading_spaces(bare.get(method..)?);
    let rest = bare.get(target..)?;
    let last = rest.len()
        - rest
            .iter()
            .rev()
            .take_while(|byte| !is_space(**byte))
            .count();
    let (stop, version) = match named_version(rest.get(last..)?) {
        Some((version, _)) => (last - trailing_spaces(rest.get(..last)?), version),
        // Nothing says that the connection persists.
        None => (rest.len(), Version::Http10),
    };
    Some(RequestLine {
        method: (lead, method),
        target: (target, target + stop),
        version,
        odd: true,
    })
}

const fn is_end(byte: u8) -> bool {
    is_space(byte) || byte == b'\n'
}

/// Length of the word that a line begins with, as far as it may be a method. Servers take `GET:`
/// and `"GET"` for one.
fn word(bytes: &[u8]) -> usize {
    let first = |byte: u8| is_token(byte) || byte == b'"';
    match bytes.first() {
        Some(byte) if first(*byte) => bytes
            .iter()
            .take_while(|byte| byte.is_ascii_graphic())
            .count(),
        _ => 0,
    }
}

fn leading_spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_space(**byte)).count()
}

/// Reads a status line, with or without its line end. `None`: no version of HTTP/1, or no status of
/// three digits.
pub(super) fn status(line: &[u8]) -> Option<StatusLine> {
    let bare = line.strip_suffix(b"\n").unwrap_or(line);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    let [minor @ b'0'..=b'9', rest @ ..] = bare.strip_prefix(b"HTTP/1.")? else {
        return None;
    };
    let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
    let (digits, after) = rest.get(spaces..)?.split_at_checked(3)?;
    let separated = after.first().is_none_or(|byte| is_space(*byte));
    if spaces == 0 || !separated || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    let begin = (bare.len() - after.len() + 1).min(bare.len());
    Some(StatusLine {
        status,
        reason: (begin, bare.len()),
        version: match minor {
            b'0' => Version::Http10,
            _ => Version::Http11,
        },
        odd: *minor > b'1' || spaces > 1 || rest.first() != Some(&b' '),
    })
}

/// The version that a word names, and whether it is one of HTTP/1's two.
fn named_version(word: &[u8]) -> Option<(Version, bool)> {
    let (name, number) = word.split_at_checked(b"HTTP/".len())?;
    if !name.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    Some(match number {
        b"1.1" => (Version::Http11, name == b"HTTP/"),
        b"1.0" => (Version::Http10, name == b"HTTP/"),
        // Whatever a server makes of it, it is older than persistent connections or newer.
        [b'0', ..] | [b'1', b'.', b'0', ..] => (Version::Http10, false),
        _ => (Version::Http11, false),
    })
}

fn trailing_spaces(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rev()
        .take_while(|byte| is_space(**byte))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, target, version and oddness as text; `-` for what is no request line.
    fn check(line: &[u8], expected: &str) {
        let read = request(line).map_or("-".to_owned(), |read| {
            let part = |(from, to): (usize, usize)| line[from..to].escape_ascii().to_string();
            let odd = if read.odd { " odd" } else { "" };
            format!(
                "{}|{}|{}{odd}",
                part(read.method),
                part(read.target),
                read.version.label()
            )
        });
        assert_eq!(read, expected, "{}", line.escape_ascii());
    }

    #[test]
    fn regular_lines() {
        check(b"GET / HTTP/1.1\r\n", "GET|/|1.1");
        check(b"GET / HTTP/1.0\n", "GET|/|1.0");
        check(
            b"INVOKE2 ws://a.example/x HTTP/1.1",
            "INVOKE2|ws://a.example/x|1.1",
        );
        check(b"m-search * HTTP/1.1\r\n", "m-search|*|1.1");
        check(
            &[&[b'A'; 300][..], b" / HTTP/1.1\r\n"].concat(),
            &format!("{}|/|1.1", "A".repeat(300)),
        );
        check(b"GET /\xff HTTP/1.1\r\n", "GET|/\\xff|1.1");
    }

    #[test]
    fn lines_that_only_servers_understand() {
        check(b"GET  /a  HTTP/1.1 \r\n", "GET|/a|1.1 odd");
        check(b"GET\t/a\tHTTP/1.1\r\n", "GET|/a|1.1 odd");
        check(b"GET /a b  c HTTP/1.1\r\n", "GET|/a b  c|1.1 odd");
        check(b"GET  HTTP/1.1\r\n", "GET||1.1 odd");
        check(b"GET HTTP/1.1\r\n", "GET||1.1 odd");
        check(b"GET / HTTP/1.0.8\r\n", "GET|/|1.0 odd");
        check(b"GET / HTTP/1.7\r\n", "GET|/|1.1 odd");
        check(b"GET / HTTP/2.0\r\n", "GET|/|1.1 odd");
        check(b"GET / HTTP/0.9\r\n", "GET|/|1.0 odd");
        check(b"GET / HTTP/\r\n", "GET|/|1.1 odd");
        check(b"GET / http/1.1\r\n", "GET|/|1.1 odd");
        check(b"GET /a\x01 HTTP/1.1\r\n", "GET|/a\\x01|1.1 odd");
        check(b"GET /a\r HTTP/1.1\r\n", "GET|/a|1.1 odd");
        check(b" \tGET / HTTP/1.1\r\n", "GET|/|1.1 odd");
        check(b"GET: / HTTP/1.1\r\n", "GET:|/|1.1 odd");
        check(b"\"GET\" / HTTP/1.1\r\n", "\\\"GET\\\"|/|1.1 odd");
    }

    #[test]
    fn other_lines() {
        for line in [
            &b""[..],
            b"\r\n",
            b"HTTP/1.1",
            b"HTTP/1.1 200 OK",
            b"GET /",
            b"GET key",
            b"{GET / HTTP/1.1",
            b"INVITE sip:a@b.example SIP/2.0",
            b"DESCRIBE rtsp://a.example RTSP/1.0",
            b"@x / HTTP/1.1",
            b"GET / xHTTP/1.1",
        ] {
            check(line, "-");
        }
    }

    #[test]
    fn lines_that_a_response_has_shown_to_be_one() {
        for (line, expected) in [
            (&b"GET /ok\r\n"[..], Some(("GET", "/ok"))),
            (b"GET /ok HTTP 1.1\n", Some(("GET", "/ok HTTP 1.1"))),
            (b" \t GET  /ok ICY/1.0 \r\n", Some(("GET", "/ok ICY/1.0"))),
            (b"help\r\n", Some(("help", ""))),
            (b"<GET> /ok HTTP/1.1\r\n", Some(("<GET>", "/ok"))),
            (b"\0GET  HTTP/1.1\r\n", Some(("\0GET", ""))),
            (b"\r\n", None),
            (b" \t\r\n", None),
            (b"", None),
        ] {
            let text = |(from, to): (usize, usize)| std::str::from_utf8(&line[from..to]).unwrap();
            let read = any(line).map(|read| (text(read.method), text(read.target)));
            assert_eq!(read, expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], Some((200, "OK", false))),
            (b"HTTP/1.0 404\n", Some((404, "", false))),
            (b"HTTP/1.1 404 \r\n", Some((404, "", false))),
            (b"HTTP/1.1  200  Fine", Some((200, " Fine", true))),
            (b"HTTP/1.7 200 OK", Some((200, "OK", true))),
            (b"HTTP/1.1\t200\tOK", Some((200, "OK", true))),
            (b"HTTP/1.1 2000 OK", None),
            (b"HTTP/1.1 20", None),
            (b"HTTP/1.1200 OK", None),
            (b"HTTP/2 200", None),
            (b"http/1.1 200 OK", None),
        ] {
            let read = status(line).map(|read| {
                let (from, to) = read.reason;
                (
                    read.status,
                    std::str::from_utf8(&line[from..to]).unwrap(),
                    read.odd,
                )
            });
            assert_eq!(read, expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_prefix_is_never_decided_against_the_whole() {
        for (line, start) in [
            (&b"GET\t/a b HTTP/1.0.8 \r\n"[..], Start::OddRequest),
            (b"p / HTTP/1.1\n", Start::Request),
            (b" \tGET: / HTTP/1.1\n", Start::OddRequest),
        ] {
            for len in 0..line.len() {
                assert_eq!(look(&line[..len]), Start::Undecided, "{len}");
            }
            assert_eq!(look(line), start);
        }
        assert_eq!(look(b"GET key\r\n"), Start::Other);
        assert_eq!(look(b"*1\r\n"), Start::Other);
        assert_eq!(look(b"\x16\x03"), Start::Other);
    }
}
