//! Status codes as people write them.

use std::ops::RangeInclusive;

/// `404`, `4xx`, `400-499`. A code has three digits (RFC 9112 §4), whatever they are, for a server
/// may send any; a class is one that there is (RFC 9110 §15).
#[must_use]
pub fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let code = |part: &str| {
        let is_code = part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
        is_code.then(|| part.parse().ok())?
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let first = match class.as_bytes() {
            [digit @ b'1'..=b'5'] => u16::from(digit - b'0') * 100,
            _ => return None,
        };
        return Some(first..=first + 99);
    }
    let range = match text.split_once('-') {
        Some((from, to)) => code(from)?..=code(to)?,
        None => code(text)?..=code(text)?,
    };
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |text: &str, expected| assert_eq!(range(text), expected, "{text}");
        check("200", Some(200..=200));
        check("099", Some(99..=99));
        check("999", Some(999..=999));
        check("4xx", Some(400..=499));
        check("5XX", Some(500..=599));
        check("400-404", Some(400..=404));
        for wrong in [
            "", "xx", "20", "99", "1000", "0200", "0xx", "6xx", "9XX", "10xx", "+1xx", "404-400",
            "4x", "a-b", "200-", "-200", "+20", "2 0", "²00",
        ] {
            check(wrong, None);
        }
    }
}
