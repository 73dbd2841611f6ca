//! Where words, lines and white space end.

use std::ops::Range;

use super::{SPACE, Scan, Shape};

impl<'a> Scan<'a, '_> {
    pub(super) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        let range = range.start.min(self.text.len())..range.end.min(self.text.len());
        self.text.get(range).unwrap_or_default()
    }

    pub(super) fn byte_before(&self, at: usize) -> Option<u8> {
        self.text.get(at.checked_sub(1)?).copied()
    }

    /// After the quote at `at` that ends a name, its backslashes and the bracket of an index.
    pub(super) fn after_quote(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let slashes = rest.iter().take(SPACE).take_while(|&&b| b == b'\\').count();
        let quote = at + slashes;
        match self.text.get(quote..)? {
            // An index: `config["password"] = …`.
            [b'"' | b'\'' | b'`', b']', ..] => Some(quote + 2),
            [b'"' | b'\'' | b'`', ..] => Some(quote + 1),
            _ => None,
        }
    }

    pub(super) fn skip_space(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let blank = |b: &&u8| matches!(**b, b' ' | b'\t');
        at + rest.iter().take(SPACE).take_while(blank).count()
    }

    pub(super) fn trailing_slashes(&self, start: usize, end: usize) -> usize {
        let part = self.bytes(start..end);
        part.iter().rev().take_while(|&&b| b == b'\\').count()
    }

    /// The first byte from `start` that `stop` says so of, or the end; counted.
    pub(super) fn until(&mut self, start: usize, stop: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest.iter().position(|&b| stop(b)).unwrap_or(rest.len());
        if !self.effort.spend(len) {
            return self.text.len();
        }
        start.min(self.text.len()) + len
    }

    /// A value within a line ends with white space, or with what separates it from others.
    pub(super) fn end_of_word(&mut self, start: usize) -> usize {
        self.until(start, |b| {
            b.is_ascii_whitespace()
                || matches!(b, b';' | b'&' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
        })
    }

    /// A value that has a line to itself ends with it, or with the string that the line stands in.
    /// With an escaped quote when that is the string's (`is_nested`).
    pub(super) fn end_of_line(&mut self, start: usize, is_nested: bool) -> usize {
        let mut at = start;
        loop {
            let quoted = self.shape == Shape::Quoted;
            at = self.until(at, |b| {
                matches!(b, b'\n' | b'\r') || quoted && matches!(b, b'"' | b'\\')
            });
            match self.text.get(at..) {
                // An escaped line, or the string's end; any other escape is the value's.
                Some([b'\\', b'n' | b'r', ..]) => return at,
                Some([b'\\', b'"', ..]) if is_nested => return at,
                Some([b'\\', b'\\' | b'"', ..]) => at += 2,
                Some([b'\\', ..]) => at += 1,
                _ => return at,
            }
        }
    }
}
