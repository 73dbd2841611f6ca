//! Escapes undone: of JSON strings, and of URLs in URLs.

use crate::http::percent::hex_pair;

/// JSON string escapes undone, at any depth of strings within strings: a run of backslashes and
/// what follows it is one escape.
pub(super) fn decode_json(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let slashes = tail.iter().take_while(|&&b| b == b'\\').count();
        rest = &tail[slashes..];
        if let [b'u', a, b, c, d, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex_pair(*a, *b), hex_pair(*c, *d))
        {
            let unit = u32::from(high) << 8 | u32::from(low);
            let mut utf8 = [0; 4];
            let c = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
            rest = after;
        } else if let [escape, after @ ..] = rest {
            out.push(match escape {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                other => *other,
            });
            rest = after;
        }
    }
    out
}

/// Longest percent escape that is read: a sign that was escaped seven times.
const ESCAPE: usize = 6 + 2 * 7;

/// What stands behind the sign of a percent escape, and how long that is: two digits, or `u` and
/// four, as JavaScript's `escape` writes and servers of Microsoft read (`%u0070`).
pub(super) fn unit(digits: &[u8]) -> Option<(u8, usize)> {
    match *digits {
        [b'u' | b'U', b'0', b'0', high, low, ..] => Some((hex_pair(high, low)?, 5)),
        [high, low, ..] => Some((hex_pair(high, low)?, 2)),
        _ => None,
    }
}

/// What the percent escape at `at` stands for, and its length; a percent sign that was escaped
/// itself is one.
pub(super) fn percent(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = text.get(at..)?;
    let rest = rest.get(..ESCAPE).unwrap_or(rest).strip_prefix(b"%")?;
    let mut digits = rest;
    while let [b'2', b'5', deeper @ ..] = digits
        && unit(deeper).is_some()
    {
        digits = deeper;
    }
    let (meant, len) = unit(digits)?;
    Some((meant, rest.len() - digits.len() + 1 + len))
}

/// What a character of full width (U+FF01 to U+FF5E) is in ASCII.
pub(super) fn narrow(wide: u32) -> Option<u8> {
    const FIRST: u32 = 0xff01;
    const LAST: u32 = 0xff5e;
    (FIRST..=LAST)
        .contains(&wide)
        .then(|| u8::try_from(wide - FIRST + u32::from(b'!')).unwrap_or_default())
}

/// The same of its three bytes in UTF-8.
pub(super) fn wide(utf8: &[u8]) -> Option<u8> {
    match *utf8 {
        [0xef, b @ 0xbc..=0xbd, c @ 0x80..=0xbf] => {
            narrow(0xf000 | u32::from(b & 0x3f) << 6 | u32::from(c & 0x3f))
        }
        _ => None,
    }
}
