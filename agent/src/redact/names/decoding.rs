//! Names without their escapes.

use std::borrow::Cow;

use super::folded;
use crate::redact::edit::Coding;
use crate::redact::escape::{decode_json, unit, wide};

/// Times that a name is decoded: URLs in URLs.
const DECODED: usize = 3;

pub(in super::super) fn decode(raw: &[u8], coding: Coding) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(raw);
    match coding {
        Coding::Percent if memchr::memchr(b'%', raw).is_some() => {
            text = Cow::Owned(decode_again(raw));
        }
        Coding::Json if memchr::memchr(b'\\', raw).is_some() => {
            text = Cow::Owned(decode_json(raw));
        }
        Coding::Percent | Coding::Json | Coding::Plain => {}
    }
    match memchr::memchr(WIDE, &text) {
        Some(_) => Cow::Owned(narrowed(&text)),
        None => text,
    }
}

/// A name without percent escapes, as often as they were escaped; in one copy.
fn decode_again(raw: &[u8]) -> Vec<u8> {
    let mut text = raw.to_vec();
    for _ in 0..DECODED {
        let (mut from, mut to) = (0, 0);
        while let Some(&byte) = text.get(from) {
            let escape = match byte {
                b'%' => unit(text.get(from + 1..).unwrap_or_default()),
                _ => None,
            };
            from += escape.map_or(1, |(_, len)| 1 + len);
            let plain = if byte == b'+' { b' ' } else { byte };
            let meant = escape.map_or(plain, |(meant, _)| meant);
            // It is not after `from`.
            if let Some(place) = text.get_mut(to) {
                *place = meant;
            }
            to += 1;
        }
        let is_done = to == text.len();
        text.truncate(to);
        if is_done {
            break;
        }
    }
    text
}

/// The first byte of a letter of full width in UTF-8.
const WIDE: u8 = 0xef;

/// A name with its letters of full width as those of ASCII.
fn narrowed(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.get(..3).and_then(wide) {
            Some(letter) => {
                out.push(letter);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

/// A name of at most `N` letters and digits, percent-decoded and folded; nothing when there are
/// more.
pub(in super::super) fn short<const N: usize>(raw: &[u8]) -> Option<([u8; N], usize)> {
    let (mut name, mut len) = ([0; N], 0);
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [_, _, ..]) => {
                let (meant, len) = unit(tail)?;
                rest = tail.get(len..).unwrap_or_default();
                meant
            }
            _ => first,
        };
        if let Some(fold) = folded(byte) {
            *name.get_mut(len)? = fold;
            len += 1;
        }
    }
    Some((name, len))
}
