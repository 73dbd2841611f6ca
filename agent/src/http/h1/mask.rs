//! Field lines that no grammar knows, made such that a parser takes them, without moving a byte.

use super::head::Kind;
use super::line::is_token;

/// Replaces each line end before a space or a tab by spaces (RFC 9112 §5.2); says whether there was
/// one.
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

/// Puts an underscore for each byte of a field's name that cannot be in one (RFC 9110 §5.1): the
/// name is emitted so, and means nothing to anybody. Says whether there was one.
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
        // White space after a name is dropped from responses, and makes a request's field another
        // one (RFC 9112 §5.1).
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

/// Moves the colon of a request's length or transfer coding to its name, where white space stands
/// between the two, and says whether there was one. Most servers refuse that (RFC 9112 §5.1: nginx,
/// Apache, Node.js, Go, Envoy), and what follows is of no matter then; one that takes it takes the
/// length.
pub(super) fn join_lengths(fields: &mut [u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
    let mut found = false;
    for line in fields.split_mut(|byte| *byte == b'\n') {
        let name = memchr::memchr(b':', line).and_then(|colon| line.get_mut(..=colon));
        let Some([name @ .., colon]) = name else {
            continue;
        };
        let len = name.trim_ascii_end().len();
        let (start, blanks) = name.split_at_mut(len);
        if let Some(first) = blanks.first_mut()
            && NAMES.iter().any(|known| start.eq_ignore_ascii_case(known))
        {
            *first = b':';
            *colon = b' ';
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
