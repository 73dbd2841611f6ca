//! Values of JSON, and of literals that are nearly JSON.

use std::ops::Range;

use memchr::memchr;

use super::is_word;
use super::quote::{block, quote_at, single, slashes_at, slashes_at_depth, string};
use super::space::{comment, is_space, skip_space};
use crate::redact::counts::Rule;
use crate::redact::edit::{Coding, Edit, Edits};
use crate::redact::effort::Effort;
use crate::redact::names::Sensitivity;

/// What stands after a key and its colon.
pub(super) struct Value<'a> {
    pub(super) text: &'a [u8],
    pub(super) start: usize,
    /// The key is in quotes: this is JSON, or a literal of a program.
    pub(super) quoted_key: bool,
    pub(super) slashes: usize,
}

impl Value<'_> {
    /// It is a string that ends before so many bytes.
    pub(super) fn is_shorter_than(&self, len: usize) -> bool {
        let inner = self
            .text
            .get(self.start + self.slashes + 1..)
            .unwrap_or_default();
        memchr(b'"', inner.get(..len).unwrap_or(inner)).is_some()
    }

    /// Adds the edits for the value; returns where it ends.
    pub(super) fn redact(
        &self,
        sensitivity: Sensitivity,
        effort: &mut Effort,
        edits: &mut Edits,
    ) -> usize {
        let text = self.text;
        if let Some((open, depth)) = quote_at(text, self.start) {
            let mut content = string(text, open + 1, depth);
            let inner = text.get(content.clone()).unwrap_or_default();
            if !self.quoted_key && inner.trim_ascii() == b":" {
                // The quote ends the key that this colon stands in: `"password: ": "x"`.
                return self.start;
            }
            if content.is_empty() {
                content = block(text, content.end, depth);
            }
            let end = content.end;
            effort.spend(content.len());
            push_string(text, content, edits);
            return end;
        }
        match text.get(self.start) {
            Some(b'\'') => {
                let content = single(text, self.start);
                let end = content.end;
                effort.spend(content.len());
                push_string(text, content, edits);
                end
            }
            Some(b'{' | b'[' | b'(') if self.quoted_key => {
                self.container(sensitivity, effort, edits)
            }
            Some(_) if self.quoted_key => {
                if let Some(start) = wrapped(text, self.start) {
                    return Value { start, ..*self }.redact(sensitivity, effort, edits);
                }
                let end = scalar_end(text, self.start);
                effort.spend(end - self.start);
                if sensitivity == Sensitivity::Secret {
                    push_scalar(text, self.start..end, self.slashes, edits);
                }
                end
            }
            _ => self.start,
        }
    }

    /// Every string and number inside an object or an array, keys excepted.
    fn container(&self, sensitivity: Sensitivity, effort: &mut Effort, edits: &mut Edits) -> usize {
        let text = self.text;
        let mut at = self.start;
        let mut open = 0_usize;
        while let Some(&byte) = text.get(at) {
            let before = at;
            match byte {
                b'{' | b'[' | b'(' => open += 1,
                b'}' | b']' | b')' => {
                    open -= 1;
                    if open == 0 {
                        return at + 1;
                    }
                }
                b'"' | b'\\' => match quote_at(text, at) {
                    // The string that this document stands in ends.
                    Some((_, depth)) if slashes_at_depth(depth) < self.slashes => return at,
                    Some((quote, depth)) => {
                        let content = string(text, quote + 1, depth);
                        at = content.end + slashes_at_depth(depth) + 1;
                        if text.get(skip_space(text, at)) != Some(&b':') {
                            push_string(text, content, edits);
                        }
                    }
                    // Backslashes before nothing of interest: none is looked at twice.
                    None => at += slashes_at(text, at).max(1),
                },
                b'\'' => {
                    let content = single(text, at);
                    at = content.end + (content.start - before);
                    if text.get(skip_space(text, at)) != Some(&b':') {
                        push_string(text, content, edits);
                    }
                }
                // What is said in a comment may be what was said before.
                b'/' | b'#' if let Some(end) = comment(text, at) => {
                    at = end;
                    let close = if byte == b'/' && text.get(before + 1) == Some(&b'*') {
                        2
                    } else {
                        0
                    };
                    edits.push_plain(text, before + 2..end - close, Rule::Json);
                }
                b if is_space(b) || matches!(b, b',' | b':') => {}
                _ => {
                    at = scalar_end(text, at).max(at + 1);
                    if sensitivity == Sensitivity::Secret && !is_key(text, before..at) {
                        push_scalar(text, before..at, self.slashes, edits);
                    }
                }
            }
            at = at.max(before + 1);
            // A string is looked for, and noted.
            if !effort.spend(at - before + 8 * usize::from(at > before + 1)) {
                return text.len();
            }
        }
        text.len()
    }
}

pub(super) fn push_string(text: &[u8], range: Range<usize>, edits: &mut Edits) {
    let edit = Edit {
        range,
        rule: Rule::Json,
        coding: Coding::Json,
        quote: None,
    };
    edits.push(text, edit);
}

/// A number, or bytes that are no JSON value; `true`, `false` and `null` say nothing.
pub(super) fn push_scalar(text: &[u8], range: Range<usize>, slashes: usize, edits: &mut Edits) {
    let value = text.get(range.clone()).unwrap_or_default();
    const LITERALS: [&[u8]; 7] = [
        b"true",
        b"false",
        b"null",
        b"None",
        b"True",
        b"False",
        b"undefined",
    ];
    if LITERALS.iter().any(|literal| literal.starts_with(value)) {
        return;
    }
    let edit = Edit {
        range,
        rule: Rule::Json,
        coding: Coding::Plain,
        quote: u8::try_from(slashes).ok(),
    };
    edits.push(text, edit);
}

pub(super) fn scalar_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start
        + rest
            .iter()
            .position(|&b| matches!(b, b',' | b'}' | b']' | b')' | b'"' | b'\\') || is_space(b))
            .unwrap_or(rest.len())
}

/// A name without quotes, with its colon or before it.
fn is_key(text: &[u8], range: Range<usize>) -> bool {
    let word = text.get(range.clone()).unwrap_or_default();
    let colon = skip_space(text, range.end);
    let name = match word.split_last() {
        Some((b':', name)) => name,
        _ if text.get(colon) == Some(&b':') => word,
        _ => return false,
    };
    name.iter().all(|&b| is_word(b))
}

/// The string or the bracket behind what programs put before it: `b'x'`, `SecretStr('x')`.
fn wrapped(text: &[u8], start: usize) -> Option<usize> {
    const LONGEST: usize = 64;
    let rest = text.get(start..)?;
    let is_part = |b: &&u8| is_word(**b) || matches!(**b, b'.' | b':' | b'#' | b'&' | b'@');
    let len = rest.iter().take(LONGEST).take_while(is_part).count();
    match rest.get(len)? {
        b'(' if len > 0 => Some(start + len),
        b'\'' | b'"' if (1..=3).contains(&len) => Some(start + len),
        _ => None,
    }
}
