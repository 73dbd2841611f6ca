//! Fields whose name is a value itself: `{"name": "password", "value": "x"}`, in either order.
//!
//! From a name that is a secret's, the members of the same object are looked at in both directions,
//! a few and not far: such objects are small. Before the name, strings, numbers and literals are
//! passed over, objects and lists are not.

use memchr::memmem;

use super::quote::{quote_at, slashes_at_depth, slashes_before, string};
use super::{
    KEY, Key, Value, is_space, is_word, key_before, push_scalar, push_string, quoted, scalar_end,
    skip_space,
};
use crate::redact::edit::{Coding, Edits};
use crate::redact::effort::Effort;
use crate::redact::names::{Names, Sensitivity, is_value};
use crate::redact::sieve::{Ident, Traces};

/// Longest name that is taken for one; what is longer is a text that has the word in it.
const NAME: usize = 128;
/// Most members on either side of the name.
const MEMBERS: usize = 8;
/// Most bytes that are passed over on either side: a certificate or a token may stand between the
/// two.
const REACH: usize = 16 * 1024;

/// The value may be the name of a secret: a string in whose beginning part of a name stands.
pub(super) fn may_name(value: &Value<'_>, traces: &Traces) -> bool {
    matches!(value.text.get(value.start), Some(b'"' | b'\\'))
        && traces.may_name(value.start..value.start + NAME)
}

/// The name is the path of a JSON Patch (RFC 6902 §4), whose operation stands near.
pub(super) fn is_patch(text: &[u8], label: &Key<'_>) -> bool {
    const NEAR: usize = 256;
    let start = label.start.saturating_sub(NEAR);
    let near = text.get(start..text.len().min(label.start + NEAR));
    label.text == b"path"
        && ["\"op\"", "\"op\\\""]
            .iter()
            .any(|sign| memmem::find(near.unwrap_or_default(), sign.as_bytes()).is_some())
}

/// Hides the value that belongs to the name which `label` says.
pub(super) fn hide(
    label: &Key<'_>,
    name: &Value<'_>,
    names: &Names,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let text = name.text;
    let Some((quote, depth)) = quote_at(text, name.start) else {
        return;
    };
    let content = string(text, quote + 1, depth);
    let name = text.get(content.clone()).unwrap_or_default();
    if name.len() > NAME || !effort.spend(4 * name.len()) || !names.matches(name, Coding::Json) {
        return;
    }
    let slashes = slashes_at_depth(depth);
    let after = content.end + slashes + 1;
    forward(text, after, slashes, effort, edits);
    backward(text, label.start, slashes, effort, edits);
}

/// Hides the second of two strings in a list that is one of several, when the first is a secret's
/// name: `[["authorization", "x"], …]`, and what follows an option: `["--password", "x", …]`.
pub(super) fn lists(text: &[u8], traces: &Traces, effort: &mut Effort, edits: &mut Edits) {
    for ident in &traces.idents {
        if !effort.spend(16) {
            return;
        }
        if let Some(value) = second_of_pair(text, ident) {
            effort.spend(value.len());
            push_string(text, value, edits);
        }
    }
}

fn second_of_pair(text: &[u8], ident: &Ident) -> Option<std::ops::Range<usize>> {
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
    if !(is_pair || is_option && in_list) {
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
    if is_option {
        let is_value = text.get(value.start) != Some(&b'-') && text.get(end) != Some(&b':');
        return is_value.then_some(value);
    }
    // Cut, it may still be one.
    matches!(text.get(end), Some(b']') | None).then_some(value)
}

fn forward(text: &[u8], from: usize, slashes: usize, effort: &mut Effort, edits: &mut Edits) {
    let mut at = from;
    for _ in 0..MEMBERS {
        at = skip_space(text, at);
        if text.get(at) == Some(&b',') {
            at = skip_space(text, at + 1);
        }
        let Some((key, colon)) = key_at(text, at) else {
            return;
        };
        if !effort.spend(8 + (colon - at) / 4) {
            return;
        }
        if key.quoted && key.slashes != slashes {
            return;
        }
        let value = Value {
            text,
            start: skip_space(text, colon + 1),
            quoted_key: key.quoted,
            slashes: key.slashes,
        };
        if is_value(key.text) {
            value.redact(Sensitivity::Secret, effort, edits);
        }
        let Some(end) = end(text, value.start, from + REACH, effort) else {
            return;
        };
        at = end;
    }
}

/// The key that begins at `at`, and its colon.
fn key_at(text: &[u8], at: usize) -> Option<(Key<'_>, usize)> {
    let (key, end) = match quote_at(text, at) {
        Some((quote, depth)) => {
            let content = string(text, quote + 1, depth);
            let slashes = slashes_at_depth(depth);
            let key = Key {
                text: text.get(content.clone()).filter(|key| key.len() <= KEY)?,
                start: at,
                quoted: true,
                slashes,
                is_cut: false,
            };
            (key, content.end + slashes + 1)
        }
        None => {
            let rest = text.get(at..)?;
            let len = rest.iter().take(KEY).take_while(|&&b| is_word(b)).count();
            let key = Key {
                text: rest.get(..len).filter(|word| !word.is_empty())?,
                start: at,
                quoted: false,
                slashes: 0,
                is_cut: false,
            };
            (key, at + len)
        }
    };
    let colon = skip_space(text, end);
    (text.get(colon) == Some(&b':')).then_some((key, colon))
}

/// Where the value that begins at `start` ends, if that is before `limit`.
fn end(text: &[u8], start: usize, limit: usize, effort: &mut Effort) -> Option<usize> {
    let mut at = start;
    let mut open = 0_usize;
    while at < limit {
        let before = at;
        match *text.get(at)? {
            b'{' | b'[' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' => {
                open = open.checked_sub(1)?;
                at += 1;
            }
            b'"' | b'\\' => {
                let (quote, depth) = quote_at(text, at)?;
                at = string(text, quote + 1, depth).end + slashes_at_depth(depth) + 1;
            }
            b if open > 0 && (is_space(b) || matches!(b, b',' | b':')) => at += 1,
            _ => {
                let end = scalar_end(text, at);
                at = if end > at { end } else { at + 1 };
            }
        }
        if !effort.spend(1 + (at - before) / 4) {
            return None;
        }
        if open == 0 {
            return Some(at).filter(|at| *at < limit);
        }
    }
    None
}

fn backward(text: &[u8], from: usize, slashes: usize, effort: &mut Effort, edits: &mut Edits) {
    let limit = from.saturating_sub(REACH);
    let mut at = from;
    for _ in 0..MEMBERS {
        let mut end = before_space(text, at);
        if end > 0 && text.get(end - 1) == Some(&b',') {
            end = before_space(text, end - 1);
        }
        let Some(found) =
            value_before(text, end, slashes, effort).filter(|found| found.start >= limit)
        else {
            return;
        };
        let colon = before_space(text, found.start);
        if colon == 0 || text.get(colon - 1) != Some(&b':') {
            return;
        }
        let Some(key) = key_before(text, colon - 1, effort) else {
            return;
        };
        if is_value(key.text) {
            if found.quoted {
                push_string(
                    text,
                    end - slashes - 1 - found.text.len()..end - slashes - 1,
                    edits,
                );
            } else if key.quoted {
                push_scalar(text, found.start..end, slashes, edits);
            }
        }
        if !effort.spend(8 + (at - key.start) / 4) {
            return;
        }
        at = key.start;
    }
}

/// The string, number or literal that ends before `end`.
fn value_before<'a>(
    text: &'a [u8],
    end: usize,
    slashes: usize,
    effort: &mut Effort,
) -> Option<Key<'a>> {
    let before = text.get(..end)?;
    if before.last() == Some(&b'"') {
        return quoted(text, end - 1, REACH, effort).filter(|value| value.slashes == slashes);
    }
    let scalar = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'.' | b'-' | b'+');
    let len = before.iter().rev().take(KEY).take_while(scalar).count();
    (len > 0).then(|| Key {
        text: &before[end - len..],
        start: end - len,
        quoted: false,
        slashes,
        is_cut: false,
    })
}

fn before_space(text: &[u8], mut end: usize) -> usize {
    while end > 0 && text.get(end - 1).is_some_and(|&b| is_space(b)) {
        end -= 1;
    }
    end
}
