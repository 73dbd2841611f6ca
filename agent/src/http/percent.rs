//! Percent-encoding (RFC 3986 §2.1) undone, and hexadecimal digits.

/// Percent-decoding, with `+` for a space (forms, WHATWG URL §5.1).
#[must_use]
pub fn decode_percent(raw: &[u8]) -> Vec<u8> {
    decode(raw, b' ')
}

/// Percent-decoding, where a `+` is one.
#[must_use]
pub(crate) fn decode_escapes(raw: &[u8]) -> Vec<u8> {
    decode(raw, b'+')
}

/// `plus`: what a `+` stands for. Broken escapes stay as they are.
fn decode(raw: &[u8], plus: u8) -> Vec<u8> {
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
            (b'+', _) => out.push(plus),
            _ => out.push(byte),
        }
    }
    out
}

/// What two hexadecimal digits stand for.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some((hex(high)? << 4) | hex(low)?)
}

/// What a hexadecimal digit stands for.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(decode_percent(raw.as_bytes()), expected.as_bytes(), "{raw}");
    }

    #[test]
    fn escapes() {
        check("a%2Fb+c%2f", "a/b c/");
        check("%zz%4", "%zz%4");
        check("%", "%");
        check("", "");
        assert_eq!(decode_escapes(b"a%2Fb+c%2f%"), b"a/b+c/%");
    }
}
