//! Fields whose name is a value itself: `{"name": "password", "value": "x"}`, in either order.
//!
//! From a name that is a secret's, the members of the same object are looked at in both directions, a few and not far: such objects are
//! small. Before the name, strings, numbers and literals are passed over, objects and lists are not.

use super::{
    KEY, Key, Value, is_space, is_word, key_before, push_scalar, push_string, quote_at, quoted,
    scalar_end, skip_space, slashes_at_depth, string,
};
use crate::redact::edit::{Coding, Edits};
use crate::redact::names::{Letters, Names};

/// Longest name that is taken for one; what is longer is a text that has the word in it.
const NAME: usize = 128;
/// Most members on either side of the name.
const MEMBERS: usize = 8;
/// Most bytes that are passed over on either side: a certificate or a token may stand between the two.
const REACH: usize = 16 * 1024;

/// The value after this colon may be the name of a secret: told from its letters.
#[inline]
pub(super) fn may_name(text: &[u8], colon: usize, names: &Names) -> bool {
    let start = skip_space(text, colon + 1);
    let name = match text.get(start..) {
        Some([b'"', rest @ ..]) => &rest[..rest.len().min(NAME + 1)],
        // A string within a string, or nothing to go by.
        Some([b'\\', ..]) => return true,
        _ => return false,
    };
    let mut letters = Letters::default();
    let mut end = name.len();
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'"' => {
                end = at;
                break;
            }
            b'\\' => return true,
            _ => letters.add(byte),
        }
    }
    let digits = |b: &&u8| b.is_ascii_digit();
    let counted = name[..end].iter().rev().take_while(digits).count();
    let word = name[..end - counted].trim_ascii_end();
    match *word {
        [.., a, b] => names.may_match(letters, a, b),
        _ => false,
    }
}

/// Hides the value that belongs to the name which `label` says. Whether anything was hidden.
pub(super) fn hide(label: &Key<'_>, name: &Value<'_>, names: &Names, edits: &mut Edits) -> bool {
    let text = name.text;
    let Some((quote, depth)) = quote_at(text, name.start) else {
        return false;
    };
    let content = string(text, quote + 1, depth);
    let name = text.get(content.clone()).unwrap_or_default();
    if name.len() > NAME || !names.matches(name, Coding::Json) {
        return false;
    }
    let before = edits.as_slice().len();
    let slashes = slashes_at_depth(depth);
    forward(text, content.end + slashes + 1, slashes, names, edits);
    backward(text, label.start, slashes, names, edits);
    edits.as_slice().len() > before
}

fn forward(text: &[u8], from: usize, slashes: usize, names: &Names, edits: &mut Edits) {
    let mut at = from;
    for _ in 0..MEMBERS {
        at = skip_space(text, at);
        if text.get(at) == Some(&b',') {
            at = skip_space(text, at + 1);
        }
        let Some((key, colon)) = key_at(text, at) else {
            return;
        };
        if key.quoted && key.slashes != slashes {
            return;
        }
        let value = Value {
            text,
            start: skip_space(text, colon + 1),
            quoted_key: key.quoted,
            slashes: key.slashes,
        };
        if names.is_value(key.text) {
            value.redact(edits);
        }
        let Some(end) = end(text, value.start, from + REACH) else {
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
            };
            (key, at + len)
        }
    };
    let colon = skip_space(text, end);
    (text.get(colon) == Some(&b':')).then_some((key, colon))
}

/// Where the value that begins at `start` ends, if that is before `limit`.
fn end(text: &[u8], start: usize, limit: usize) -> Option<usize> {
    let mut at = start;
    let mut open = 0_usize;
    while at < limit {
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
        if open == 0 {
            return Some(at).filter(|at| *at < limit);
        }
    }
    None
}

fn backward(text: &[u8], from: usize, slashes: usize, names: &Names, edits: &mut Edits) {
    let limit = from.saturating_sub(REACH);
    let mut at = from;
    for _ in 0..MEMBERS {
        let mut end = before_space(text, at);
        if end > 0 && text.get(end - 1) == Some(&b',') {
            end = before_space(text, end - 1);
        }
        let Some(found) = value_before(text, end, slashes).filter(|found| found.start >= limit)
        else {
            return;
        };
        let colon = before_space(text, found.start);
        if colon == 0 || text.get(colon - 1) != Some(&b':') {
            return;
        }
        let Some(key) = key_before(text, colon - 1) else {
            return;
        };
        if names.is_value(key.text) {
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
        at = key.start;
    }
}

/// The string, number or literal that ends before `end`.
fn value_before(text: &[u8], end: usize, slashes: usize) -> Option<Key<'_>> {
    let before = text.get(..end)?;
    if before.last() == Some(&b'"') {
        return quoted(text, end - 1, REACH).filter(|value| value.slashes == slashes);
    }
    let scalar = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'.' | b'-' | b'+');
    let len = before.iter().rev().take(KEY).take_while(scalar).count();
    (len > 0).then(|| Key {
        text: &before[end - len..],
        start: end - len,
        quoted: false,
        slashes,
    })
}

fn before_space(text: &[u8], mut end: usize) -> usize {
    while end > 0 && text.get(end - 1).is_some_and(|&b| is_space(b)) {
        end -= 1;
    }
    end
}
