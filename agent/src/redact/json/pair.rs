//! Fields whose name is a value itself: `{"name": "password", "value": "x"}`, in either order.
//!
//! From a name that is a secret's, the members of the same object are looked at in both directions,
//! a few and not far: such objects are small.

use std::ops::Range;

use memchr::memmem;

use super::quote::{quote_at, single, slashes_at_depth, string};
use super::space::{before_space, comment, is_space, skip_space};
use super::value::{Value, scalar_end};
use super::{KEY, Key, is_word, key_before, quoted};
use crate::redact::edit::{Coding, Edits};
use crate::redact::effort::Effort;
use crate::redact::names::{Names, Sensitivity, is_value};
use crate::redact::sieve::Traces;

/// Longest name that is taken for one; what is longer is a text that has the word in it.
const NAME: usize = 128;
/// Most members on either side of the name.
const MEMBERS: usize = 24;
/// Most bytes that are passed over on either side: a certificate or a token may stand between the
/// two.
const REACH: usize = 16 * 1024;

/// The value may be the name of a secret: a string, or a word of a program, in whose beginning
/// part of a name stands.
pub(super) fn may_name(value: &Value<'_>, traces: &Traces) -> bool {
    let is_text = |b: &u8| matches!(b, b'"' | b'\\' | b'\'') || !value.quoted_key && is_word(*b);
    value.text.get(value.start).is_some_and(is_text)
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
    let Some(said) = said(text, name) else {
        return;
    };
    let name = text.get(said.content).unwrap_or_default();
    if name.len() > NAME || !effort.spend(4 * name.len()) || !names.matches(name, Coding::Json) {
        return;
    }
    let search = Search {
        text,
        label: label.text,
        slashes: said.slashes,
    };
    search.forward(said.end, effort, edits);
    search.backward(label.start, effort, edits);
}

/// A name that is a value.
struct Said {
    content: Range<usize>,
    /// After its quote.
    end: usize,
    slashes: usize,
}

fn said(text: &[u8], name: &Value<'_>) -> Option<Said> {
    let at = name.start;
    if let Some((quote, depth)) = quote_at(text, at) {
        let content = string(text, quote + 1, depth);
        let slashes = slashes_at_depth(depth);
        let end = content.end + slashes + 1;
        return Some(Said {
            content,
            end,
            slashes,
        });
    }
    let (content, end) = match text.get(at)? {
        b'\'' => {
            let content = single(text, at);
            let end = content.end + 1;
            (content, end)
        }
        // A word, where a list of members goes on.
        _ => {
            let rest = text.get(at..)?;
            let len = rest.iter().take(NAME).take_while(|&&b| is_word(b)).count();
            let next = text.get(skip_space(text, at + len));
            matches!(next, Some(b',' | b'}')).then_some(())?;
            (at..at + len, at + len)
        }
    };
    Some(Said {
        content,
        end,
        slashes: 0,
    })
}

/// A look for the value around a name.
struct Search<'a> {
    text: &'a [u8],
    /// The key of the name: with a second one, another member begins.
    label: &'a [u8],
    slashes: usize,
}

impl Search<'_> {
    fn forward(&self, from: usize, effort: &mut Effort, edits: &mut Edits) {
        let text = self.text;
        let mut at = from;
        for _ in 0..MEMBERS {
            at = skip_space(text, at);
            if text.get(at) == Some(&b',') {
                at = skip_space(text, at + 1);
            }
            let Some((key, colon)) = key_at(text, at) else {
                return;
            };
            if !effort.spend(24 + (colon - at) / 4) {
                return;
            }
            if key.quoted && key.slashes != self.slashes || key.text == self.label {
                return;
            }
            let value = Value {
                text,
                start: skip_space(text, colon + 1),
                quoted_key: key.quoted || text.get(key.start) == Some(&b'\''),
                slashes: key.slashes,
            };
            if is_value(key.text) {
                self.hide(&value, effort, edits);
            }
            let Some(end) = end(text, value.start, from + REACH, effort) else {
                return;
            };
            at = end;
        }
    }

    /// A word of YAML or of a program is a value here too.
    fn hide(&self, value: &Value<'_>, effort: &mut Effort, edits: &mut Edits) {
        let value = Value {
            quoted_key: true,
            ..*value
        };
        value.redact(Sensitivity::Secret, effort, edits);
    }

    fn backward(&self, from: usize, effort: &mut Effort, edits: &mut Edits) {
        let text = self.text;
        let limit = from.saturating_sub(REACH);
        let mut at = from;
        for _ in 0..MEMBERS {
            let mut end = before_space(text, at);
            if end > 0 && text.get(end - 1) == Some(&b',') {
                end = before_space(text, end - 1);
            }
            let start = self.value_before(end, limit, effort);
            let Some(start) = start.filter(|start| *start >= limit) else {
                return;
            };
            let colon = before_space(text, start);
            if colon == 0 || text.get(colon - 1) != Some(&b':') {
                return;
            }
            let Some(key) = key_before(text, colon - 1, effort) else {
                return;
            };
            if key.text == self.label || !effort.spend(24 + (at - key.start) / 4) {
                return;
            }
            if is_value(key.text) {
                let value = Value {
                    text,
                    start,
                    quoted_key: true,
                    slashes: self.slashes,
                };
                self.hide(&value, effort, edits);
            }
            at = key.start;
        }
    }

    /// Where the value begins that ends before `end`.
    fn value_before(&self, end: usize, limit: usize, effort: &mut Effort) -> Option<usize> {
        let text = self.text;
        let before = text.get(..end)?;
        match before.last()? {
            b'"' => self.string_before(end, effort),
            b'\'' => {
                let content = before.get(limit..end - 1)?;
                let open = memchr::memrchr(b'\'', content);
                effort.spend((content.len() - open.unwrap_or(0)) / 8);
                Some(limit + open?)
            }
            b'}' | b']' => self.container_before(end, limit, effort),
            _ => {
                let scalar = |b: &&u8| b.is_ascii_alphanumeric() || b"_.-+/=$@".contains(*b);
                let len = before.iter().rev().take(KEY).take_while(scalar).count();
                effort.spend(len / 4);
                (len > 0).then_some(end - len)
            }
        }
    }

    fn string_before(&self, end: usize, effort: &mut Effort) -> Option<usize> {
        let value = quoted(self.text, end - 1, REACH, effort)?;
        (value.slashes == self.slashes).then_some(value.start)
    }

    /// Where the object or the list begins that ends before `end`.
    fn container_before(&self, end: usize, limit: usize, effort: &mut Effort) -> Option<usize> {
        let text = self.text;
        let (mut at, mut open) = (end, 0_usize);
        while at > limit {
            let before = at;
            match text.get(at - 1)? {
                b'}' | b']' => {
                    open += 1;
                    at -= 1;
                }
                b'{' | b'[' => {
                    open -= 1;
                    at -= 1;
                    if open == 0 {
                        return Some(at);
                    }
                }
                b'"' => at = self.string_before(at, effort)?,
                _ => at -= 1,
            }
            let string = if before - at > 1 { 8 } else { 1 };
            if !effort.spend(string + (before - at) / 8) {
                return None;
            }
        }
        None
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
        None if text.get(at) == Some(&b'\'') => {
            let content = single(text, at);
            let key = Key {
                text: text.get(content.clone()).filter(|key| key.len() <= KEY)?,
                start: at,
                quoted: false,
                slashes: 0,
                is_cut: false,
            };
            (key, content.end + 1)
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
            b'{' | b'[' | b'(' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' | b')' => {
                open = open.checked_sub(1)?;
                at += 1;
            }
            b'\'' => at = single(text, at).end + 1,
            b'/' if let Some(end) = comment(text, at) => at = end,
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
        let string = if at - before > 1 { 8 } else { 1 };
        if !effort.spend(string + (at - before) / 4) {
            return None;
        }
        if open == 0 {
            return Some(at).filter(|at| *at < limit);
        }
    }
    None
}
