//! Field lines that no grammar knows, made such that a parser takes them, without moving a byte.

use super::classify::is_token;
use super::head::Kind;

/// Makes a request line whose version is not 1.0 or 1.1, or has spaces after it, one that a parser takes: the version moves to the end.
/// Says whether it was such a line.
pub(super) fn straighten(line: &mut [u8]) -> bool {
    let end = line.trim_ascii_end().len();
    let full = match line {
        [.., b'\r', b'\n'] => line.len() - 2,
        _ => line.len().saturating_sub(1),
    };
    let Some(start) = end.checked_sub(b" HTTP/1.1".len()) else {
        return false;
    };
    let minor = match line.get(start..end) {
        Some(
            [
                b' ',
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'1',
                b'.',
                minor @ b'0'..=b'9',
            ],
        ) => *minor,
        _ => return false,
    };
    if full == end && minor <= b'1' {
        return false;
    }
    if let Some(tail) = line.get_mut(start..full) {
        tail.fill(b' ');
    }
    let version = if minor == b'0' {
        b" HTTP/1.0"
    } else {
        b" HTTP/1.1"
    };
    if let Some(place) = line.get_mut(full - version.len()..full) {
        place.copy_from_slice(version);
    }
    true
}

/// Replaces each line end before a space or a tab by spaces (RFC 9112 §5.2); says whether there was one.
pub(super) fn unfold(fields: &mut [u8]) -> bool {
    let mut folded = false;
    for at in 0..fields.len() {
        let Some([b'\n', b' ' | b'\t']) = fields.get(at..at + 2) else {
            continue;
        };
        folded = true;
        if let Some(line_feed) = fields.get_mut(at) {
            *line_feed = b' ';
        }
        if let Some(cr @ b'\r') = at.checked_sub(1).and_then(|at| fields.get_mut(at)) {
            *cr = b' ';
        }
    }
    folded
}

/// Puts an underscore for each byte of a field's name that cannot be in one (RFC 9110 §5.1): the name is told so, and means nothing
/// to anybody. Says whether there was one.
pub(super) fn name_fields(kind: Kind, fields: &mut [u8]) -> bool {
    let mut found = false;
    for line in fields.split_mut(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else {
            // Without a name the line is passed over; the last is the end of the head.
            found |= !matches!(line, [] | [b'\r']);
            continue;
        };
        let (name, _) = line.split_at_mut(colon);
        found |= name.is_empty();
        // White space after a name is dropped from responses, and makes a request's field another one (RFC 9112 §5.1).
        let name = match kind {
            Kind::Request => name,
            Kind::Response => {
                let len = name.trim_ascii_end().len();
                name.get_mut(..len).unwrap_or_default()
            }
        };
        for byte in name.iter_mut().filter(|byte| !is_token(**byte)) {
            *byte = b'_';
            found = true;
        }
    }
    found
}

/// Puts a question mark for each control character of a value, and says whether there was one.
pub(super) fn mask_values(fields: &mut [u8]) -> bool {
    let mut found = false;
    for line in fields.split_mut(|byte| *byte == b'\n') {
        let line = match line {
            [line @ .., b'\r'] => line,
            line => line,
        };
        for byte in line {
            if byte.is_ascii_control() && *byte != b'\t' {
                *byte = b'?';
                found = true;
            }
        }
    }
    found
}
