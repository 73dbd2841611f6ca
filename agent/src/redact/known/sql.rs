//! Passwords in statements of SQL that have no name beside them: `CREATE USER ann IDENTIFIED BY
//! 'x'`.

use std::ops::Range;

use crate::redact::effort::Effort;

/// What follows `IDENTIFIED` at `at`: `BY 'x'`, `WITH plugin BY 'x'`, `BY PASSWORD '*…'`, `BY x`.
/// Prose says that something is identified by something else, too: a statement's verb has to stand
/// before.
pub(super) fn password(text: &[u8], at: usize, effort: &mut Effort) -> Option<Range<usize>> {
    const FAR: usize = 128;
    const VERBS: [&[u8]; 3] = [b"create", b"alter", b"grant"];
    let value = identified(text, at)?;
    if !effort.spend(FAR) {
        return None;
    }
    let before = text.get(at.saturating_sub(FAR)..at)?;
    let is_verb = |word: &[u8]| VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb));
    let mut words = before.split(|b| !b.is_ascii_alphabetic());
    words.any(is_verb).then_some(value)
}

fn identified(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut at = blank(text, at + b"identified".len())?;
    if let Some(after) = word(text, at, b"with") {
        let plugin = blank(text, after)?;
        let rest = text.get(plugin..)?;
        let len = rest.iter().take(64).position(u8::is_ascii_whitespace)?;
        at = blank(text, plugin + len)?;
    }
    at = [&b"by"[..], b"as"]
        .iter()
        .find_map(|verb| word(text, at, verb))?;
    at = blank(text, at)?;
    let more = [&b"password"[..], b"values"];
    if let Some(after) = more.iter().find_map(|more| word(text, at, more))
        && let Some(next) = blank(text, after)
    {
        at = next;
    }
    value(text, at)
}

fn value(text: &[u8], at: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 512;
    let rest = text.get(at..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let slashes = rest.iter().take_while(|&&b| b == b'\\').count();
    let (start, len) = match *rest.get(slashes)? {
        quote @ (b'\'' | b'"' | b'`') => {
            let start = slashes + 1;
            let inner = rest.get(start..)?;
            let end = inner.iter().position(|&b| b == quote || b == b'\n');
            let content = inner.get(..end.unwrap_or(inner.len()))?;
            let escapes = content.iter().rev().take_while(|&&b| b == b'\\').count();
            (start, content.len() - escapes.min(slashes))
        }
        _ => {
            let ends =
                |b: &u8| b.is_ascii_whitespace() || matches!(b, b';' | b'"' | b'\\' | b',' | b')');
            (0, rest.iter().position(ends).unwrap_or(rest.len()))
        }
    };
    (len > 0).then_some(at + start..at + start + len)
}

/// After a word in any case, with white space behind it.
fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let end = at + word.len();
    let is_here = text.get(at..end)?.eq_ignore_ascii_case(word);
    (is_here && blank(text, end).is_some()).then_some(end)
}

/// After white space, of which there is some; in a JSON string it may be escaped.
fn blank(text: &[u8], from: usize) -> Option<usize> {
    const MOST: usize = 64;
    let mut at = from;
    while at < from + MOST {
        match text.get(at..) {
            Some([b, ..]) if b.is_ascii_whitespace() => at += 1,
            Some([b'\\', b'n' | b't' | b'r', ..]) => at += 2,
            _ => break,
        }
    }
    (at > from).then_some(at)
}
