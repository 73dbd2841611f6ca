//! Heads: found, parsed by `httparse`, kept as slices of one buffer.
//!
//! Tolerated beyond the grammar, as recipients do (RFC 9112 §2.2, §3, §4, §5.2): lines that end
//! with LF alone, folded field lines, start lines of odd words and versions ([`lenient`]), a
//! missing reason, bytes from 0x80 on in targets, reasons and values, control characters in values,
//! field names that are no tokens, field lines without a name. Servers differ in what they make of
//! these, so nobody may hide behind one.
//!
//! A head is bounded in bytes alone ([`Bounds::head`]): HTTP sets no number of fields (RFC 9110
//! §5.4).

use std::mem::MaybeUninit;

use bytes::Bytes;
use httparse::{Header, ParserConfig, Status};

use super::mask::{mask_values, name_fields, unfold};
use super::{lenient, plain};
use crate::http::{
    Anomalies, Bounds, Fields, FieldsBuilder, Reason, RequestHead, ResponseHead, Slice, Unknown,
    Version,
};

/// Fields parsed without an allocation; heads with more are parsed a second time.
const FEW_FIELDS: usize = 48;

/// Why bytes are not a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Not HTTP.
    Malformed,
    /// Over the size limit.
    TooLarge,
}

/// A head that was parsed.
#[derive(Debug)]
pub(super) struct Parsed<H> {
    /// The head.
    pub head: H,
    /// Errors that were tolerated.
    pub anomalies: Anomalies,
    /// Bytes it took.
    pub len: usize,
}

/// Either kind of head.
pub trait Head: Sized {
    #[doc(hidden)]
    const KIND: Kind;

    #[doc(hidden)]
    fn build(line: Line, version: Version, fields: Fields) -> Self;
}

/// Which kind of head.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
}

/// The start line, as positions.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub(super) method: Slice,
    pub(super) target: Slice,
    pub(super) status: u16,
    pub(super) reason: Slice,
}

/// Where the head at the start of `bytes` ends: after the first empty line. Class from `from` on.
#[must_use]
pub(super) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    memchr::memchr_iter(b'\n', tail)
        .map(|at| from + at)
        .find_map(|at| match bytes.get(at + 1..) {
            Some([b'\n', ..]) => Some(at + 2),
            Some([b'\r', b'\n', ..]) => Some(at + 3),
            _ => None,
        })
}

impl Head for RequestHead {
    const KIND: Kind = Kind::Request;

    fn build(line: Line, version: Version, fields: Fields) -> Self {
        let (scheme, authority) = target_parts(fields.buffer(), line.method, line.target);
        Self {
            method: line.method,
            target: line.target,
            authority,
            scheme,
            version,
            unknown: Unknown::default(),
            fields,
        }
    }
}

impl Head for ResponseHead {
    const KIND: Kind = Kind::Response;

    fn build(line: Line, version: Version, fields: Fields) -> Self {
        Self {
            status: line.status,
            version,
            reason: Reason::new(line.status, line.reason.of(fields.buffer())),
            unknown: Unknown::default(),
            fields,
        }
    }
}

/// Scheme and authority of a target in absolute form, the authority of a CONNECT (RFC 9112 §3.2).
fn target_parts(buffer: &[u8], method: Slice, target: Slice) -> (Option<Slice>, Option<Slice>) {
    let text = target.of(buffer);
    if method.of(buffer) == b"CONNECT" {
        // In any other form it is none, and the `Host` field says where to (RFC 9112 §3.2.3).
        let authority = !text.is_empty()
            && memchr::memmem::find(text, b"://").is_none_or(|at| at == 0)
            && !text
                .iter()
                .any(|b| matches!(b, b'/' | b'?' | b'#' | b'*' | b' '));
        if authority {
            return (None, Some(target));
        }
    }
    if text.first().is_none_or(|b| !b.is_ascii_alphabetic()) {
        return (None, None);
    }
    let Some(colon) = memchr::memmem::find(text, b"://") else {
        return (None, None);
    };
    let begin = colon + 3;
    let rest = text.get(begin..).unwrap_or_default();
    let len = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let part = |at: usize, len: usize| -> Option<Slice> {
        Some(Slice {
            start: target.start.checked_add(u16::try_from(at).ok()?)?,
            len: u16::try_from(len).ok()?,
        })
    };
    (part(0, colon), part(begin, len))
}

/// What `httparse` found, as positions.
pub(super) struct Raw {
    pub(super) line: Line,
    pub(super) version: Version,
    pub(super) len: usize,
}

pub(super) enum Outcome {
    Whole(Raw),
    NeedMore,
    Malformed,
}

/// Parses `bytes`, which begin with a head. `Ok(None)`: more bytes are needed.
pub(super) fn parse<H: Head>(
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<Option<Parsed<H>>, ReadError> {
    let window = bytes.get(..bounds.head).unwrap_or(bytes);
    if let Some((raw, spans)) = plain::parse(H::KIND, window) {
        let buffer = Bytes::copy_from_slice(window.get(..raw.len).unwrap_or_default());
        return Ok(Some(built(&raw, buffer, spans, Anomalies::default())));
    }
    let mut spans = Vec::new();
    match attempt(H::KIND, &config(), window, &mut spans) {
        Outcome::Whole(raw) => Ok(Some(whole(
            &raw,
            Bytes::copy_from_slice(window.get(..raw.len).unwrap_or_default()),
            spans,
            Anomalies::default(),
        ))),
        Outcome::NeedMore if window.len() >= bounds.head => Err(ReadError::TooLarge),
        Outcome::NeedMore => Ok(None),
        Outcome::Malformed => lenient::parse(window, bounds),
    }
}

pub(super) fn config() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true);
    config
}

pub(super) fn attempt(
    kind: Kind,
    config: &ParserConfig,
    bytes: &[u8],
    spans: &mut Vec<(Slice, Slice)>,
) -> Outcome {
    let mut few = [const { MaybeUninit::<Header<'_>>::uninit() }; FEW_FIELDS];
    if let Some(outcome) = run(kind, config, bytes, (&mut few, spans)) {
        return outcome;
    }
    // No more fields than lines. The head is bounded, so are they.
    let head = bytes
        .get(..find_end(bytes, 0).unwrap_or(bytes.len()))
        .unwrap_or_default();
    let mut many = Vec::new();
    many.resize_with(
        memchr::memchr_iter(b'\n', head).count() + 1,
        MaybeUninit::uninit,
    );
    run(kind, config, bytes, (&mut many, spans)).unwrap_or(Outcome::Malformed)
}

/// `None`: there are more fields than slots.
fn run<'b>(
    kind: Kind,
    config: &ParserConfig,
    bytes: &'b [u8],
    (slots, spans): (&mut [MaybeUninit<Header<'b>>], &mut Vec<(Slice, Slice)>),
) -> Option<Outcome> {
    let (status, version, line, fields) = match kind {
        Kind::Request => {
            let mut request = httparse::Request::new(&mut []);
            let status = config.parse_request_with_uninit_headers(&mut request, bytes, slots);
            let line = Line {
                method: slice_of(bytes, request.method.unwrap_or_default().as_bytes()),
                target: slice_of(bytes, request.path.unwrap_or_default().as_bytes()),
                ..Line::default()
            };
            (status, request.version, line, request.headers)
        }
        Kind::Response => {
            let mut response = httparse::Response::new(&mut []);
            let status = config.parse_response_with_uninit_headers(&mut response, bytes, slots);
            let line = Line {
                status: response.code.unwrap_or_default(),
                reason: slice_of(bytes, response.reason.unwrap_or_default().as_bytes()),
                ..Line::default()
            };
            (status, response.version, line, response.headers)
        }
    };
    match status {
        Ok(Status::Complete(len)) => {
            spans.reserve_exact(fields.len());
            spans.extend(fields.iter().map(|field| {
                (
                    slice_of(bytes, field.name.as_bytes()),
                    slice_of(bytes, field.value),
                )
            }));
            let version = match version {
                Some(0) => Version::Http10,
                _ => Version::Http11,
            };
            Some(Outcome::Whole(Raw { line, version, len }))
        }
        Ok(Status::Partial) => Some(Outcome::NeedMore),
        Err(httparse::Error::TooManyHeaders) => None,
        Err(_) => Some(Outcome::Malformed),
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn slice_of(whole: &[u8], part: &[u8]) -> Slice {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    match (u16::try_from(start), u16::try_from(part.len())) {
        (Ok(start), Ok(len)) if usize::from(start) + part.len() <= whole.len() => {
            Slice { start, len }
        }
        _ => Slice::default(),
    }
}

pub(super) fn whole<H: Head>(
    raw: &Raw,
    buffer: Bytes,
    spans: Vec<(Slice, Slice)>,
    mut anomalies: Anomalies,
) -> Parsed<H> {
    if bare_line_feed(&buffer, &spans) {
        anomalies = anomalies.with(Anomalies::BARE_LF);
    }
    built(raw, buffer, spans, anomalies)
}

fn built<H: Head>(
    raw: &Raw,
    buffer: Bytes,
    spans: Vec<(Slice, Slice)>,
    anomalies: Anomalies,
) -> Parsed<H> {
    Parsed {
        head: H::build(
            raw.line,
            raw.version,
            FieldsBuilder::from_parts(buffer, spans).build(),
        ),
        anomalies,
        len: raw.len,
    }
}

/// A line ends with LF alone. Lines begin where field names do, so only their ends are looked at.
fn bare_line_feed(head: &[u8], spans: &[(Slice, Slice)]) -> bool {
    let bare_before = |at: usize| at >= 2 && head.get(at - 2) != Some(&b'\r');
    spans
        .iter()
        .any(|(name, _)| bare_before(usize::from(name.start)))
        || bare_before(head.len())
        || bare_before(head.len().saturating_sub(2))
}

/// Trailer fields from their section, which ends with an empty line; `None` when there are none, or
/// they are malformed.
pub(super) fn parse_trailers(mut section: Vec<u8>) -> Option<Fields> {
    unfold(&mut section);
    name_fields(Kind::Request, &mut section);
    let mut masked = section.clone();
    mask_values(&mut masked);
    // No more fields than lines; the section is bounded, so are they.
    let mut slots = vec![httparse::EMPTY_HEADER; memchr::memchr_iter(b'\n', &masked).count()];
    let spans = match httparse::parse_headers(&masked, &mut slots) {
        Ok(Status::Complete((_, fields))) if !fields.is_empty() => fields
            .iter()
            .map(|field| {
                (
                    slice_of(&masked, field.name.as_bytes()),
                    slice_of(&masked, field.value),
                )
            })
            .collect(),
        _ => return None,
    };
    Some(FieldsBuilder::from_parts(section.into(), spans).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        head: 65_535,
        body: 0,
    };

    /// Both as text: start line | name=value | … | anomalies.
    fn request(bytes: &[u8]) -> Result<Option<String>, ReadError> {
        Ok(parse::<RequestHead>(bytes, &BOUNDS)?.map(|parsed| {
            let head = &parsed.head;
            let line = format!(
                "{} {} {} host={} scheme={}",
                head.method().escape_ascii(),
                head.target().escape_ascii(),
                head.version.label(),
                head.host().unwrap_or(b"-").escape_ascii(),
                head.scheme().unwrap_or(b"-").escape_ascii(),
            );
            format!(
                "{line}{}",
                rest(&head.fields, parsed.anomalies, bytes.len() - parsed.len)
            )
        }))
    }

    fn response(bytes: &[u8]) -> Result<Option<String>, ReadError> {
        Ok(parse::<ResponseHead>(bytes, &BOUNDS)?.map(|parsed| {
            let head = &parsed.head;
            let line = format!("{} {}", head.status, head.version.label());
            format!(
                "{line}{}",
                rest(&head.fields, parsed.anomalies, bytes.len() - parsed.len)
            )
        }))
    }

    fn rest(fields: &Fields, anomalies: Anomalies, left: usize) -> String {
        let mut text = String::new();
        for (name, value) in fields.iter() {
            text += &format!(" | {}={}", name.escape_ascii(), value.escape_ascii());
        }
        for (anomaly, name) in [
            (Anomalies::FOLDED, "folded"),
            (Anomalies::BARE_LF, "bare"),
            (Anomalies::INVALID_FIELD, "invalid"),
        ] {
            if anomalies.contains(anomaly) {
                text += &format!(" !{name}");
            }
        }
        if left > 0 {
            text += &format!(" +{left}");
        }
        text
    }

    fn check(
        parse: fn(&[u8]) -> Result<Option<String>, ReadError>,
        bytes: &[u8],
        expected: Result<Option<&str>, ReadError>,
    ) {
        let expected = expected.map(|text| text.map(str::to_owned));
        assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
        // A part of a good head is never an error, and never a head.
        if let Ok(Some(_)) = expected {
            let end = find_end(bytes, 0).unwrap();
            for cut in 0..end {
                assert_eq!(
                    parse(&bytes[..cut]),
                    Ok(None),
                    "{cut} of {}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn requests() {
        check(
            request,
            b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nA:  b c \r\nE:\r\n\r\nbody",
            Ok(Some(
                "GET /a?b=c 1.1 host=x scheme=- | Host=x | A=b c | E= +4",
            )),
        );
        check(
            request,
            b"OPTIONS * HTTP/1.0\r\n\r\n",
            Ok(Some("OPTIONS * 1.0 host=- scheme=-")),
        );
        check(
            request,
            b"GET http://h:81/p HTTP/1.1\r\nHost: x\r\n\r\n",
            Ok(Some("GET http://h:81/p 1.1 host=h:81 scheme=http | Host=x")),
        );
        check(
            request,
            b"GET https://h?q HTTP/1.1\r\n\r\n",
            Ok(Some("GET https://h?q 1.1 host=h scheme=https")),
        );
        check(
            request,
            b"GET /?u=http://x/ HTTP/1.1\r\n\r\n",
            Ok(Some("GET /?u=http://x/ 1.1 host=- scheme=-")),
        );
        check(
            request,
            b"CONNECT h:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            Ok(Some("CONNECT h:443 1.1 host=h:443 scheme=- | Host=x")),
        );
        check(
            request,
            b"G-X /\xc3\xa9 HTTP/1.1\r\nA: \xe9\r\n\r\n",
            Ok(Some("G-X /\\xc3\\xa9 1.1 host=- scheme=- | A=\\xe9")),
        );
        check(
            request,
            b"GET /\xe9 HTTP/1.1\r\nA: b\r\n\r\n",
            Ok(Some("GET /\\xe9 1.1 host=- scheme=- | A=b")),
        );
    }

    #[test]
    fn lenient_requests() {
        check(
            request,
            b"GET / HTTP/1.1\nHost: x\n\nbody",
            Ok(Some("GET / 1.1 host=x scheme=- | Host=x !bare +4")),
        );
        check(
            request,
            b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
            Ok(Some("GET / 1.1 host=x scheme=- | Host=x | A=b !bare")),
        );
        check(
            request,
            b"GET / HTTP/1.1\r\nA: b\r\n  c\r\n\td\r\nB: e\r\n\r\n",
            Ok(Some(
                "GET / 1.1 host=- scheme=- | A=b    c  \\td | B=e !folded",
            )),
        );
        check(
            request,
            b"GET /\xe9 HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            Ok(Some("GET /\\xe9 1.1 host=- scheme=- | A=b   c !folded")),
        );
    }

    #[test]
    fn request_lines_that_servers_take() {
        for line in [
            "GET  /x HTTP/1.1",
            "GET /x  HTTP/1.1",
            "GET /x HTTP/1.1  ",
            "GET /x HTTP/1.2",
            "GET   /x  HTTP/1.9 ",
        ] {
            check(
                request,
                format!("{line}\r\nHost: h\r\n\r\n").as_bytes(),
                Ok(Some("GET /x 1.1 host=h scheme=- | Host=h")),
            );
        }
    }

    #[test]
    fn fields_that_are_none() {
        let cases: [(&[u8], &str); 9] = [
            (b"A: b\x1bc\r\n", "A=b\\x1bc"),
            (b"A: b\0\r\nHost: x\r\n", "A=b\\x00 | Host=x"),
            (b"A: b\rc\r\nB: d\r\n", "A=b\\rc | B=d"),
            (b"bad name: x\r\nB: d\r\n", "bad_name=x | B=d"),
            (b"\xe9: x\r\nB: d\r\n", "_=x | B=d"),
            (b"Content-Type : 5\r\n", "Content-Type_=5"),
            (b" A: b\r\nB: d\r\n", "_A=b | B=d"),
            (b"nothing\r\nB: d\r\n", "B=d"),
            (b": x\r\nB: d\r\n", "B=d"),
        ];
        for (fields, expected) in cases {
            let head = [b"GET / HTTP/1.1\r\n", fields, b"\r\n"].concat();
            let emitted = request(&head).unwrap().unwrap();
            let (_, emitted) = emitted.split_once(" | ").unwrap();
            assert_eq!(emitted, format!("{expected} !invalid"));
        }
    }

    #[test]
    fn wrong_requests() {
        for bad in [
            b"GET /\r\n\r\n".as_slice(),
            b"GET / SIP/2.0\r\n\r\n",
            b"GET / HTTP/1.1\rA: b\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"*1\r\n$4\r\nPING\r\n",
        ] {
            check(request, bad, Err(ReadError::Malformed));
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
        check(request, long.as_bytes(), Err(ReadError::TooLarge));
        let many = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(n));
        for fields in [47, 48, 49, 256, 10_000] {
            let parsed = parse::<RequestHead>(many(fields).as_bytes(), &BOUNDS);
            assert_eq!(parsed.unwrap().unwrap().head.fields.len(), fields);
        }
    }

    #[test]
    fn odd_start_lines() {
        for (line, expected) in [
            ("GET /a b HTTP/1.1", "GET /a b 1.1"),
            ("GET\t/a\tHTTP/1.1", "GET /a 1.1"),
            ("GET  HTTP/1.1", "GET  1.1"),
            ("GET / HTTP/1.0.8", "GET / 1.0"),
            ("GET / HTTP/2.0", "GET / 1.1"),
            ("GET /a\x1bb HTTP/1.1", "GET /a\\x1bb 1.1"),
        ] {
            let text = format!("{line}\r\nHost: x\r\nA : b\r\n\r\n");
            let expected = format!("{expected} host=x scheme=- | Host=x | A_=b !invalid");
            check(request, text.as_bytes(), Ok(Some(&expected)));
            let parsed = parse::<RequestHead>(text.as_bytes(), &BOUNDS);
            assert!(
                parsed
                    .unwrap()
                    .unwrap()
                    .anomalies
                    .contains(Anomalies::ODD_LINE),
                "{line}"
            );
        }
        let text = b"HTTP/1.3  200  Fine\r\nA: b\r\n\r\n";
        check(response, text, Ok(Some("200 1.1 | A=b")));
        let parsed = parse::<ResponseHead>(text, &BOUNDS).unwrap().unwrap();
        assert!(parsed.anomalies.contains(Anomalies::ODD_STATUS_LINE));
    }

    #[test]
    fn the_authority_of_a_connect() {
        for (target, host) in [
            ("h:443", "h:443"),
            ("[::1]:443", "[::1]:443"),
            ("/", "x"),
            ("*", "x"),
            ("http://h:81/", "h:81"),
        ] {
            let text = format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            let parsed = parse::<RequestHead>(text.as_bytes(), &BOUNDS)
                .unwrap()
                .unwrap();
            assert_eq!(parsed.head.host(), Some(host.as_bytes()), "{target}");
        }
    }

    #[test]
    fn responses() {
        check(
            response,
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nx",
            Ok(Some("200 1.1 | A=b +1")),
        );
        check(
            response,
            b"HTTP/1.0 404 Not \xe9\r\n\r\n",
            Ok(Some("404 1.0")),
        );
        check(response, b"HTTP/1.1 200\r\n\r\n", Ok(Some("200 1.1")));
        check(response, b"HTTP/1.1 200 \n\n", Ok(Some("200 1.1 !bare")));
        check(
            response,
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            Ok(Some("200 1.1 | A=b   c !folded")),
        );
        for bad in [b"HTTP/1.1 2x0 OK\r\n\r\n".as_slice(), b"-ERR what\r\n\r\n"] {
            check(response, bad, Err(ReadError::Malformed));
        }
    }
}
