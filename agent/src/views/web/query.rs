//! The query of an address.

use std::borrow::Cow;

use crate::http::percent::decode_percent;

/// The value of a parameter, decoded. The first one counts.
pub(super) fn value<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    Some(decoded(value))
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = decode_percent(text.as_bytes());
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ranges of numbers, `1-3,7`, in rising order. `None` when it is none.
pub(super) fn ranges(text: &str) -> Option<Vec<(u64, u64)>> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let before = found.last().map_or(0, |(_, last)| *last);
        if first <= before || last < first {
            return None;
        }
        found.push((first, last));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |query: &str, name: &str, expected: Option<&str>| {
            assert_eq!(value(Some(query), name).as_deref(), expected, "{query}");
        };
        check("a=1&b=2&b=3", "b", Some("2"));
        check(
            "filter=status%3A5xx%20a%2Bb+c",
            "filter",
            Some("status:5xx a+b c"),
        );
        check("filter=%ff", "filter", Some("\u{fffd}"));
        check("filter=", "filter", Some(""));
        check("filter", "filter", None);
        assert_eq!(value(None, "filter"), None);
    }

    #[test]
    fn ranges_rise() {
        let check = |text: &str, expected: Option<&[(u64, u64)]>| {
            assert_eq!(ranges(text).as_deref(), expected, "{text}");
        };
        check("7", Some(&[(7, 7)]));
        check("1-3,7,9-9", Some(&[(1, 3), (7, 7), (9, 9)]));
        check("", None);
        check("3-1", None);
        check("5,4", None);
        check("0", None);
        check("1-3,3", None);
        check("a", None);
    }
}
