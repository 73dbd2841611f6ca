//! Names and values that are items of a list: `[["token", "x"], …]`, `["--password", "x"]`, raw
//! headers.

use std::ops::Range;

use super::quote::{quote_at, slashes_at_depth, slashes_before, string};
use super::space::{before_space, skip_space};
use super::value::push_string;
use crate::redact::edit::Edits;
use crate::redact::effort::Effort;
use crate::redact::sieve::{Ident, Traces};

/// Hides the second of two strings in a list that is one of several, when the first is a secret's
/// name: `[["authorization", "x"], …]`, and what follows an option: `["--password", "x", …]`.
pub(super) fn scan(text: &[u8], traces: &Traces, effort: &mut Effort, edits: &mut Edits) {
    for ident in &traces.idents {
        if !effort.spend(16) {
            return;
        }
        if let Some(value) = second_of_pair(text, ident, effort) {
            effort.spend(value.len());
            push_string(text, value, edits);
        }
    }
}

fn second_of_pair(text: &[u8], ident: &Ident, effort: &mut Effort) -> Option<Range<usize>> {
    let open = ident.range.start.checked_sub(1)?;
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let slashes = slashes_before(text, open);
    let is_option = text.get(ident.range.clone())?.starts_with(b"--");
    let list = before_space(text, open - slashes).checked_sub(1)?;
    let outer = before_space(text, list).checked_sub(1);
    let is_pair = text.get(list) == Some(&b'[')
        && outer.is_some_and(|outer| matches!(text.get(outer), Some(b'[' | b',')));
    let in_list = matches!(text.get(list), Some(b'[' | b','));
    if !in_list {
        return None;
    }
    let (close, depth) = quote_at(text, ident.range.end)?;
    if slashes_at_depth(depth) != slashes {
        return None;
    }
    let comma = skip_space(text, close + 1);
    if text.get(comma) != Some(&b',') {
        return None;
    }
    let (quote, depth) = quote_at(text, skip_space(text, comma + 1))?;
    let value = string(text, quote + 1, depth);
    let end = skip_space(text, value.end + slashes + 1);
    if !is_pair && !is_option {
        // A list that is the value of a key is one of names, perhaps: `"required": [`.
        let stands_alone = match outer.and_then(|outer| text.get(outer)) {
            None => true,
            Some(before) => matches!(before, b']' | b'}' | b'('),
        };
        let is_whole = text.get(list) == Some(&b'[') && text.get(end) == Some(&b']');
        if is_whole && stands_alone && is_drawn(text.get(value.clone())?) {
            return Some(value);
        }
        let name = text.get(ident.range.clone())?;
        let is_item = matches!(text.get(end), Some(b',' | b']') | None);
        let least = match is_item {
            true => is_credential(name, text.get(value.clone())?)?,
            false => return None,
        };
        let before = names_before(text, open - slashes, effort)?;
        return (before % 2 == 0 && before >= least).then_some(value);
    }
    if is_option {
        let is_value = text.get(value.start) != Some(&b'-') && text.get(end) != Some(&b':');
        return is_value.then_some(value);
    }
    // Cut, it may still be one.
    matches!(text.get(end), Some(b']') | None).then_some(value)
}

/// Beside the name of a secret, alone in a list with it, this is its value and no other name:
/// `["password", "hunter2"]` and not `["username", "password"]`.
fn is_drawn(value: &[u8]) -> bool {
    const LEAST: usize = 6;
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let is_sign =
        |b: &u8| b.is_ascii_graphic() && !b.is_ascii_alphanumeric() && !b"_-.:".contains(b);
    value.len() >= LEAST
        && !has(|b| *b == b' ')
        && (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) || has(is_sign))
}

/// In a list of names and values in turns, as of raw headers, this is a value and no name that
/// follows a name, when so many strings at least stand before it.
fn is_credential(name: &[u8], value: &[u8]) -> Option<usize> {
    const LEAST: usize = 8;
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"cookie") || is(b"set-cookie") {
        return memchr::memchr(b'=', value).map(|_| 0);
    }
    if is(b"authorization") || is(b"proxy-authorization") {
        return memchr::memchr(b' ', value).map(|_| 0);
    }
    // Words of a name change into numbers and back once at most: `address1`, `sha256sum`.
    let kinds = value.iter().map(u8::is_ascii_digit);
    let changes = kinds.clone().zip(kinds.skip(1));
    let changes = changes.filter(|(one, next)| one != next);
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-.+/=~".contains(b);
    let is_mixed = value.len() >= LEAST && changes.count() > 2 && value.iter().all(is_plain);
    is_mixed.then_some(2)
}

/// Strings that stand before the one at `quote` in its list, when nothing else does.
fn names_before(text: &[u8], quote: usize, effort: &mut Effort) -> Option<usize> {
    const MOST: usize = 64;
    const FAR: usize = 4096;
    let start = quote.saturating_sub(FAR);
    let (mut at, mut count) = (quote, 0);
    while at > start && count < MOST {
        let end = before_space(text, at);
        match text.get(end.checked_sub(1)?)? {
            b'[' => return Some(count),
            b',' => {}
            _ => return None,
        }
        let close = before_space(text, end - 1);
        let inner = text.get(start..close)?.strip_suffix(b"\"")?;
        let slashes = slashes_before(inner, inner.len());
        let open = memchr::memrchr(b'"', inner.get(..inner.len() - slashes)?)?;
        if !effort.spend(8 + (at - start - open) / 4) {
            return None;
        }
        at = start + open - slashes.min(open);
        count += 1;
    }
    None
}
