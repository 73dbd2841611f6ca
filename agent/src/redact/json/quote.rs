//! Quotes and strings at a depth of strings within strings.

use std::ops::Range;

use memchr::{memchr, memmem};

/// Deepest JSON in JSON that is distinguished: three times in strings. Each level doubles the
/// backslashes.
const DEPTH: u32 = 3;

/// The content of the string that begins at `start`, with its quote's backslashes.
pub(in crate::redact) fn string_at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let (quote, depth) = quote_at(text, start)?;
    Some(string(text, quote + 1, depth))
}

/// The content of a string whose opening quote, at depth `depth`, is just before `start`; without
/// an end, all there is.
pub(super) fn string(text: &[u8], start: usize, depth: u32) -> Range<usize> {
    let mut from = start;
    while let Some(found) = text.get(from..).and_then(|rest| memchr(b'"', rest)) {
        let quote = from + found;
        let slashes = slashes_before(&text[start..], quote - start);
        match closes(slashes, depth) {
            Quote::Closes => return start..quote - slashes_at_depth(depth),
            Quote::ClosesOuter => return start..quote,
            Quote::Content => from = quote + 1,
        }
    }
    start..text.len()
}

/// The content of a GraphQL block string, of whose three opening quotes the second closed an empty
/// string before `end`; else nothing.
pub(super) fn block(text: &[u8], end: usize, depth: u32) -> Range<usize> {
    let len = slashes_at_depth(depth) + 1;
    let third = end + len;
    let quote = text.get(end..third).unwrap_or_default();
    if quote.is_empty() || text.get(third..third + len) != Some(quote) {
        return end..end;
    }
    let start = third + len;
    let rest = text.get(start..).unwrap_or_default();
    start..start + memmem::find(rest, &quote.repeat(3)).unwrap_or(rest.len())
}

/// The content of the string in single quotes whose quote is at `at`; Python's may have three.
pub(super) fn single(text: &[u8], at: usize) -> Range<usize> {
    const TRIPLE: &[u8] = b"'''";
    let rest = text.get(at..).unwrap_or_default();
    if rest.starts_with(TRIPLE) {
        let start = at + TRIPLE.len();
        let rest = text.get(start..).unwrap_or_default();
        return start..start + memmem::find(rest, TRIPLE).unwrap_or(rest.len());
    }
    let mut end = at + 1;
    while let Some(found) = text.get(end..).and_then(|rest| memchr(b'\'', rest)) {
        end += found;
        if slashes_before(text.get(..end).unwrap_or_default(), end).is_multiple_of(2) {
            return at + 1..end;
        }
        end += 1;
    }
    (at + 1).min(text.len())..text.len()
}

enum Quote {
    /// The string at this depth ends.
    Closes,
    /// A string around it ends.
    ClosesOuter,
    /// An escaped quote of the string's own.
    Content,
}

/// What a quote after `slashes` backslashes is to a string at `depth`.
fn closes(mut slashes: usize, depth: u32) -> Quote {
    for _ in 0..depth {
        if slashes.is_multiple_of(2) {
            return Quote::ClosesOuter;
        }
        slashes = (slashes - 1) / 2;
    }
    if slashes.is_multiple_of(2) {
        Quote::Closes
    } else {
        Quote::Content
    }
}

/// The quote at `at`, behind its backslashes, and its depth.
pub(super) fn quote_at(text: &[u8], at: usize) -> Option<(usize, u32)> {
    let rest = text.get(at..)?;
    let slashes = slashes_at(text, at);
    if rest.get(slashes) != Some(&b'"') {
        return None;
    }
    (0..=DEPTH)
        .find(|&depth| slashes_at_depth(depth) == slashes)
        .map(|depth| (at + slashes, depth))
}

pub(super) const fn slashes_at_depth(depth: u32) -> usize {
    (1 << depth) - 1
}

pub(super) fn slashes_at(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().take_while(|&&b| b == b'\\').count()
}

pub(super) fn slashes_before(text: &[u8], at: usize) -> usize {
    text[..at].iter().rev().take_while(|&&b| b == b'\\').count()
}
