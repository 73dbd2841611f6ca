//! Names and attributes of tags.

use std::ops::Range;

use memchr::memchr;

use super::Tag;

pub(super) struct Attribute<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: Range<usize>,
    pub(super) end: usize,
}

/// The attribute after `from`; with none left, the tag's end is set.
pub(super) fn attribute<'a>(
    text: &'a [u8],
    from: usize,
    tag: &mut Tag<'_>,
) -> Option<Attribute<'a>> {
    let mut at = from;
    loop {
        match *text.get(at)? {
            b'>' => {
                tag.end = at + 1;
                return None;
            }
            b'/' => {
                tag.is_empty = text.get(at + 1) == Some(&b'>');
                at += 1;
            }
            b if b.is_ascii_whitespace() || b == b'=' => at += 1,
            _ => break,
        }
    }
    let name = name_at(text, at);
    let name = if name.is_empty() {
        text.get(at..at + 1)?
    } else {
        name
    };
    let mut end = at + name.len();
    let space = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + (rest.len() - rest.trim_ascii_start().len())
    };
    let equals = space(end);
    if text.get(equals) != Some(&b'=') {
        return Some(Attribute {
            name,
            value: end..end,
            end,
        });
    }
    let start = space(equals + 1);
    let rest = text.get(start..).unwrap_or_default();
    let value = match rest.first() {
        Some(&quote @ (b'"' | b'\'')) => {
            let inner = rest.get(1..).unwrap_or_default();
            let len = memchr(quote, inner).unwrap_or(inner.len());
            end = (start + 1 + len + 1).min(text.len());
            start + 1..start + 1 + len
        }
        _ => {
            let stop = |b: &u8| b.is_ascii_whitespace() || *b == b'>';
            let len = rest.iter().position(stop).unwrap_or(rest.len());
            end = end.max(start + len);
            start..start + len
        }
    };
    Some(Attribute { name, value, end })
}

/// The name that begins at `at`.
pub(super) fn name_at(text: &[u8], at: usize) -> &[u8] {
    let rest = text.get(at..).unwrap_or_default();
    let stop = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'>' | b'=' | b'<' | b'"');
    rest.get(..rest.iter().position(stop).unwrap_or(rest.len()))
        .unwrap_or_default()
}

/// A name without the prefix of its namespace.
pub(super) fn local(name: &[u8]) -> &[u8] {
    name.rsplit(|&b| b == b':').next().unwrap_or(name)
}
