//! Escapes undone: of URLs and forms, and of JSON.

/// Percent-decoding, with `+` for a space (forms). Broken escapes stay as they are.
pub(crate) fn decode_percent(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match hex_pair(*high, *low) {
                Some(decoded) => {
                    out.push(decoded);
                    rest = after;
                }
                None => out.push(byte),
            },
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

/// What two hexadecimal digits stand for.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some((hex(high)? << 4) | hex(low)?)
}

/// What a hexadecimal digit stands for.
pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// JSON string escapes undone, at any depth of strings within strings: a run of backslashes and what follows it is one escape.
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
