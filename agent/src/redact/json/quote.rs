//! Quotes and strings at a depth of strings within strings.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

/// Deepest JSON in JSON that is distinguished: six times in strings. Each level doubles the
/// backslashes, which are counted in a byte.
const DEPTH: u32 = 6;

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
pub(in crate::redact) fn single(text: &[u8], at: usize) -> Range<usize> {
    const TRIPLE: &[u8] = b"'''";
    let rest = text.get(at..).unwrap_or_default();
    if rest.starts_with(TRIPLE) {
        let start = at + TRIPLE.len();
        let rest = text.get(start..).unwrap_or_default();
        return start..start + memmem::find(rest, TRIPLE).unwrap_or(rest.len());
    }
    let start = (at + 1).min(text.len());
    let end = end_of_single(text, start);
    let near = text
        .get(start..end.unwrap_or(text.len()))
        .unwrap_or_default();
    let near = near.get(..LONGEST).unwrap_or(near);
    let mut quotes = memchr_iter(b'"', near).take(QUOTES);
    let outer = quotes.find(|&quote| {
        let after = near.get(quote + 1..).unwrap_or_default();
        slashes_before(near, quote) == 0
            && matches!(after.trim_ascii_start().first(), Some(b',' | b'}' | b']'))
    });
    match outer {
        // It is an apostrophe, and this the end of the string that it stands in: none closes it, or
        // another member begins before one does.
        Some(quote) if end.is_none() || is_followed(near.get(quote + 1..).unwrap_or_default()) => {
            start..start + quote
        }
        _ => start..end.unwrap_or(text.len()),
    }
}

/// Longest string in single quotes of which more than its first quote is looked at.
const LONGEST: usize = 16 * 1024;
/// Most quotes that are looked at for the one that closes it.
const QUOTES: usize = 16;

/// Another string or another key follows the quote of a string.
fn is_followed(after: &[u8]) -> bool {
    let comma = after
        .trim_ascii_start()
        .strip_prefix(b",")
        .unwrap_or_default();
    comma.trim_ascii_start().starts_with(b"\"") || memmem::find(after, b"\":").is_some()
}

/// The quote that closes a string: none that is escaped, or stands in a word.
fn end_of_single(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let near = rest.get(..LONGEST).unwrap_or(rest);
    let mut quotes = memchr_iter(b'\'', near).take(QUOTES);
    let end = quotes.find(|&at| {
        let next = near.get(at + 1);
        slashes_before(near, at).is_multiple_of(2) && !next.is_some_and(u8::is_ascii_alphanumeric)
    });
    end.map(|end| start + end)
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
