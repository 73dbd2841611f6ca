//! Heads that the grammar refuses and recipients accept.

use super::classify::may_be_status_line;
use super::head::{
    Head, Kind, Line, Outcome, Parsed, Raw, ReadError, attempt, config, find_end, whole,
};
use super::mask::{join_lengths, mask_values, name_fields, unfold};
use super::{Class, classify, line};
use crate::http::{Anomalies, Bounds, Slice, Version};

/// Parses what `httparse` refuses and recipients accept. The start line is read here; the fields
/// are parsed in a copy in which every odd byte is made harmless without moving one, behind a plain
/// start line. So the positions found are right in the original, once they are moved by the
/// difference of the two lines.
#[cold]
pub(super) fn parse<H: Head>(
    window: &[u8],
    bounds: &Bounds,
) -> Result<Option<Parsed<H>>, ReadError> {
    let Some(end) = find_end(window, 0) else {
        let hopeless = match H::KIND {
            Kind::Request => matches!(classify(window), Class::Other | Class::Foreign),
            Kind::Response => !may_be_status_line(window),
        };
        return match window.len() >= bounds.head {
            _ if hopeless => Err(ReadError::Malformed),
            true => Err(ReadError::TooLarge),
            false => Ok(None),
        };
    };
    let head = window.get(..end).unwrap_or_default().to_vec();
    fields(head, |start| start_line(H::KIND, start)).map(Some)
}

/// Parses a request that its response has shown to be one, whatever its line says. Without an empty
/// line it ends where its last line does: the server did not wait for more.
#[cold]
pub(super) fn parse_any<H: Head>(
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<Option<Parsed<H>>, ReadError> {
    let window = bytes.get(..bounds.head).unwrap_or(bytes);
    let last_line = || memchr::memrchr(b'\n', window).map(|at| at + 1);
    let Some(end) = find_end(window, 0).or_else(last_line) else {
        return Err(ReadError::Malformed);
    };
    let head = window.get(..end).unwrap_or_default().to_vec();
    fields(head, |start| {
        let read = line::request(start).or_else(|| line::any(start))?;
        request_line(&read)
    })
    .map(|parsed| {
        // Its line is odd, or the lines before it are.
        let anomalies = parsed.anomalies.with(Anomalies::ODD_LINE);
        Some(Parsed {
            anomalies,
            ..parsed
        })
    })
}

/// Parses a head that is whole, but for its empty line, whose start line `start` reads.
fn fields<H: Head>(
    mut head: Vec<u8>,
    start_line: impl FnOnce(&[u8]) -> Option<(Line, Version, Anomalies)>,
) -> Result<Parsed<H>, ReadError> {
    let end = head.len();
    let first = memchr::memchr(b'\n', &head).map_or(0, |at| at + 1);
    let (start, fields) = head.split_at_mut(first);
    let (line, version, mut anomalies) = start_line(start).ok_or(ReadError::Malformed)?;
    if unfold(fields) {
        anomalies = anomalies.with(Anomalies::FOLDED);
    }
    let is_spaced = H::KIND == Kind::Request && join_lengths(fields);
    if is_spaced {
        anomalies = anomalies.with(Anomalies::SPACED_LENGTH);
    }
    let mut invalid = is_spaced;
    invalid |= name_fields(H::KIND, fields);
    let plain: &[u8] = match H::KIND {
        Kind::Request => b"G / HTTP/1.1\r\n",
        Kind::Response => b"HTTP/1.1 200\r\n",
    };
    let mut masked = [plain, &*fields].concat();
    invalid |= mask_values(masked.get_mut(plain.len()..).unwrap_or_default());
    masked.extend_from_slice(b"\r\n");
    if invalid {
        anomalies = anomalies.with(Anomalies::INVALID_FIELD);
    }
    let mut config = config();
    config
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true);
    let mut spans = Vec::new();
    let Outcome::Whole(raw) = attempt(H::KIND, &config, &masked, &mut spans) else {
        return Err(ReadError::Malformed);
    };
    for (name, value) in &mut spans {
        *name = moved(*name, plain.len(), first);
        *value = moved(*value, plain.len(), first);
    }
    let raw = Raw {
        line,
        version,
        len: (raw.len + first - plain.len()).min(end),
    };
    Ok(whole(&raw, head.into(), spans, anomalies))
}

/// The start line of a head that is whole, and what is odd about it.
fn start_line(kind: Kind, start: &[u8]) -> Option<(Line, Version, Anomalies)> {
    match kind {
        Kind::Request => request_line(&line::request(start)?),
        Kind::Response => {
            let read = line::status(start)?;
            let line = Line {
                status: read.status,
                reason: slice(read.reason)?,
                ..Line::default()
            };
            Some((
                line,
                read.version,
                odd(read.odd, Anomalies::ODD_STATUS_LINE),
            ))
        }
    }
}

fn request_line(read: &line::RequestLine) -> Option<(Line, Version, Anomalies)> {
    let line = Line {
        method: slice(read.method)?,
        target: slice(read.target)?,
        ..Line::default()
    };
    Some((line, read.version, odd(read.odd, Anomalies::ODD_LINE)))
}

const fn odd(odd: bool, anomaly: Anomalies) -> Anomalies {
    match odd {
        true => anomaly,
        false => Anomalies(0),
    }
}

/// From positions; `None` beyond what a slice can say, which no head within its bound reaches.
fn slice((from, to): (usize, usize)) -> Option<Slice> {
    Some(Slice {
        start: u16::try_from(from).ok()?,
        len: u16::try_from(to.checked_sub(from)?).ok()?,
    })
}

/// A slice of what came after a start line of `from` bytes, after one of `to` bytes.
fn moved(slice: Slice, from: usize, to: usize) -> Slice {
    let start = (usize::from(slice.start) + to).saturating_sub(from);
    Slice {
        start: u16::try_from(start).unwrap_or(u16::MAX),
        len: slice.len,
    }
}
