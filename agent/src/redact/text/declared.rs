//! Values that a declaration gives to a name: defaults of GraphQL's variables, blocks and here
//! documents of HCL and of shells, attributes of LDIF.

use std::ops::Range;

use super::{Place, Scan};
use crate::redact::edit::Coding;
use crate::redact::sieve::{Ident, is_name};

/// Longest block, here document or folded line.
const LONGEST: usize = 16 * 1024;

impl Scan<'_, '_> {
    /// The default of a variable: `$password: String! = "x"`. Where it ends, or its type begins.
    pub(super) fn default_value(&mut self, ident: &Ident, from: usize) -> usize {
        let start = self.skip_space(from);
        let end = self.until(start, |b| {
            !(b.is_ascii_alphanumeric() || b"_![]".contains(&b))
        });
        let equals = self.skip_space(end);
        if end == start || self.text.get(equals) != Some(&b'=') {
            return start;
        }
        let value = self.skip_space(equals + 1);
        if let Some(close) = self.brackets(value) {
            return self.hide(ident, value + 1..close);
        }
        self.string(ident, value).unwrap_or(value)
    }

    /// The second colon of an attribute whose value is base64 (RFC 2849) stands at `colon`:
    /// `userPassword:: e1NTSEF9`.
    pub(super) fn is_ldif(&self, start: usize, colon: usize) -> bool {
        /// Lines are folded after 76 bytes; some writers never do that.
        const LINE: usize = 256;
        if self.text.get(colon) != Some(&b':') || self.place(start) != Place::Line {
            return false;
        }
        let near = self.bytes(colon + 1..colon + 1 + LINE);
        let line = near.split(|b| matches!(b, b'\n' | b'\r')).next();
        let line = line.unwrap_or_default();
        let content = line.trim_ascii();
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        // Programs have paths with two colons: no space follows them, and a word.
        let is_apart = line.first() == Some(&b' ');
        let is_mixed = content.len().is_multiple_of(4)
            && content.iter().any(|b| b.is_ascii_digit() || *b == b'=');
        !content.is_empty() && content.iter().all(is_base64) && (is_apart || is_mixed)
    }

    /// A value that goes on over lines which begin with one space.
    pub(super) fn folded_line(&mut self, ident: &Ident, from: usize) -> usize {
        let start = self.skip_space(from);
        let mut end = self.until(start, |b| matches!(b, b'\n' | b'\r'));
        loop {
            let next = match self.text.get(end..) {
                Some([b'\r', b'\n', b' ', ..]) => end + 2,
                Some([b'\n', b' ', ..]) => end + 1,
                _ => break,
            };
            end = self.until(next, |b| matches!(b, b'\n' | b'\r'));
        }
        self.hide(ident, start..end)
    }

    /// A here document: `<<EOF`, `<<-'EOF'`; its lines, up to the one that ends it.
    pub(super) fn here_document(
        &mut self,
        ident: &Ident,
        start: usize,
        end: usize,
    ) -> Option<usize> {
        let sign = self.bytes(start..end).trim_ascii().strip_prefix(b"<<")?;
        let sign = sign.strip_prefix(b"-").unwrap_or(sign);
        let sign = sign.strip_prefix(b"~").unwrap_or(sign);
        let is_quote = |b: &u8| matches!(b, b'\'' | b'"');
        let sign = match sign {
            [first, inner @ .., last] if is_quote(first) && first == last => inner,
            _ => sign,
        };
        if sign.is_empty() || !sign.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
            return None;
        }
        let from = self.until(end, |b| b == b'\n') + 1;
        let mut at = from;
        while at < self.text.len().min(from + LONGEST) {
            let stop = self.until(at, |b| b == b'\n');
            if self.bytes(at..stop).trim_ascii() == sign {
                break;
            }
            at = stop + 1;
        }
        let last = at.saturating_sub(1).max(from).min(self.text.len());
        (last > from).then(|| self.hide(ident, from..last))
    }

    /// A block whose label is the name: `variable "db_password" { default = "x" }`. `at`: behind
    /// the label.
    pub(super) fn labelled_block(&mut self, ident: &Ident, at: usize) -> Option<usize> {
        let is_label = self.byte_before(ident.range.start) == Some(b'"');
        if !is_label || self.text.get(at) != Some(&b'{') {
            return None;
        }
        let line = self.bytes(ident.range.start.saturating_sub(128)..ident.range.start - 1);
        let line = line
            .rsplit(|b| matches!(b, b'\n' | b';' | b'}'))
            .next()?
            .trim_ascii_start();
        if !line.first().is_some_and(u8::is_ascii_lowercase) || !line.ends_with(b" ") {
            return None;
        }
        let close = self.brackets(at)?;
        let mut from = at + 1;
        while from < close {
            let stop = self.until(from, |b| b == b'=').min(close);
            if let Some(value) = self.declared(from..stop, close) {
                self.push(ident, value.clone(), Coding::Json);
                from = value.end;
            }
            from = from.max(stop + 1);
        }
        Some(close)
    }

    /// The string behind the sign at the end of a range, if a name of values stands before it.
    fn declared(&mut self, range: Range<usize>, close: usize) -> Option<Range<usize>> {
        const NAMES: [&[u8]; 6] = [
            b"default",
            b"value",
            b"content",
            b"data",
            b"secret_string",
            b"string",
        ];
        let before = self.bytes(range.clone()).trim_ascii_end();
        let len = before.iter().rev().take_while(|&&b| is_name(b)).count();
        let name = before.get(before.len() - len..)?;
        if range.end >= close || !NAMES.contains(&name) {
            return None;
        }
        let value = self.skip_space(range.end + 1);
        crate::redact::json::string_at(self.text, value).filter(|value| value.end <= close)
    }
}
