//! Letters and digits that are written as character references (XML 1.0 §4.1): `p&#97;ssword`.

use std::borrow::Cow;

use memchr::memmem;

/// Longest number of a reference: leading zeros are nobody's habit.
const LONGEST: usize = 8;

/// Some letter or digit is written so.
pub(in crate::redact) fn has_letters(text: &[u8]) -> bool {
    memmem::find_iter(text, b"&#").any(|at| letter(text, at).is_some())
}

/// A name with its letters and digits.
pub(super) fn decode(name: &[u8]) -> Cow<'_, [u8]> {
    if memmem::find(name, b"&#").is_none() {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        let (meant, len) = letter(name, at).unwrap_or((byte, 1));
        out.push(meant);
        at += len;
    }
    Cow::Owned(out)
}

/// What the reference at `at` stands for, and its length.
fn letter(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let number = text.get(at..)?.strip_prefix(b"&#")?;
    let end = number.iter().take(LONGEST).position(|&b| b == b';')?;
    let digits = str::from_utf8(number.get(..end)?).ok()?;
    let byte = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u8::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    (byte.is_ascii_alphanumeric() || byte == b'_').then_some((byte, end + 3))
}
