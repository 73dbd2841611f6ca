//! Secrets without a sign between name and value: options of commands, arguments of calls, what
//! PHP serialises, bearer tokens.

use std::ops::Range;

use super::{Place, SPACE, Scan, Shape};
use crate::redact::counts::Rule;
use crate::redact::edit::Coding;
use crate::redact::json;
use crate::redact::sieve::{Ident, is_name};

impl Scan<'_, '_> {
    /// `Bearer <token>`: the token, when it looks like one and not like a word.
    pub(super) fn bearer(&mut self, end: usize) -> Option<usize> {
        const LEAST: usize = 8;
        let start = match self.text.get(end..)? {
            [b' ' | b'+', ..] => self.skip_space(end).max(end + 1),
            [b'%', b'2', b'0', ..] => end + 3,
            _ => return None,
        };
        let stop = self.until(start, |b| !is_token68(b));
        let token = self.bytes(start..stop);
        let has = |test: fn(&u8) -> bool| token.iter().any(test);
        let is_token = token.len() >= LEAST
            && (has(u8::is_ascii_digit)
                || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
                || token.len() >= 20);
        if !is_token {
            return None;
        }
        self.edits
            .push_plain(self.text, start..stop, Rule::Authorization);
        Some(stop)
    }

    /// What follows a name without a sign: in a call, in a list of pairs, serialised, or as an
    /// option's argument. `at`: after the name and its quote.
    pub(super) fn argument(&mut self, ident: &Ident, at: usize) -> usize {
        let found = match self.text.get(at) {
            Some(b';') => self.serialized(at + 1),
            Some(b',' | b' ') => self.second(ident, at),
            _ => None,
        };
        let found = found
            .or_else(|| self.call(at))
            .or_else(|| self.setting(ident, at));
        if let Some(value) = found {
            let end = value.end;
            self.effort.spend(value.len() / 8);
            self.push(ident, value, Coding::Plain);
            return end;
        }
        self.option(ident.range.start, ident.range.end)
    }

    /// `s:8:"password";s:1:"x";` as PHP serialises it.
    fn serialized(&self, at: usize) -> Option<Range<usize>> {
        let rest = self.bytes(at..at + SPACE).strip_prefix(b"s:")?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let colon = at + 2 + digits;
        (digits > 0 && self.text.get(colon) == Some(&b':')).then_some(())?;
        json::string_at(self.text, colon + 1)
    }

    /// The second of two: `setItem("token", "x")`, `[("token", "x")]`.
    fn second(&mut self, ident: &Ident, at: usize) -> Option<Range<usize>> {
        let quote = self.byte_before(ident.range.start)?;
        if !matches!(quote, b'"' | b'\'') {
            return None;
        }
        let slashes = self.trailing_slashes(0, ident.range.start - 1);
        let open = ident.range.start.checked_sub(2 + slashes)?;
        let outside = self.bytes(open.saturating_sub(2)..open);
        // The arguments of a call, or one pair of many.
        let is_pair = outside.last().is_some_and(|&b| {
            is_name(b) && b != b']' || matches!(b, b'[' | b'(' | b'{' | b',') || outside == b", "
        });
        let comma = self.skip_space(at);
        let is_open = matches!(self.text.get(open), Some(b'(' | b'{'));
        if !is_open || self.text.get(comma) != Some(&b',') {
            return None;
        }
        let value = self.literal(self.skip_blank(comma + 1))?;
        if !is_pair && !is_mixed(self.bytes(value.clone())) {
            // Two names, perhaps.
            return None;
        }
        let close = self.after_quote(value.end)?;
        let last = self.text.get(self.skip_blank(close));
        matches!(last, Some(b')' | b'}') | None).then_some(value)
    }

    /// `password("x")`: the only argument of a call.
    fn call(&mut self, at: usize) -> Option<Range<usize>> {
        if self.text.get(at) != Some(&b'(') {
            return None;
        }
        let value = self.literal(self.skip_blank(at + 1))?;
        let close = self.after_quote(value.end)?;
        let last = self.text.get(self.skip_blank(close));
        matches!(last, Some(b')') | None).then_some(value)
    }

    /// `password "x"` on a line of its own, `:password "x"`.
    fn setting(&mut self, ident: &Ident, at: usize) -> Option<Range<usize>> {
        let start = self.skip_space(at);
        let is_here = at == ident.range.end
            && start > at
            && self.shape == Shape::Lines
            && (self.byte_before(ident.range.start) == Some(b':')
                || self.place(ident.range.start) == Place::Line);
        if !is_here || !matches!(self.text.get(start), Some(b'"' | b'\\')) {
            return None;
        }
        self.literal(start)
    }

    /// The content of a string of a program.
    fn literal(&mut self, at: usize) -> Option<Range<usize>> {
        match self.text.get(at)? {
            b'"' | b'\\' => json::string_at(self.text, at),
            quote @ (b'\'' | b'`') => {
                let end = self.until(at + 1, |b| b == *quote || b == b'\n');
                Some(at + 1..end)
            }
            _ => None,
        }
    }

    /// `--password x`, `PASSWORD 'x'` in SQL, `login ann password x` in `.netrc`.
    fn option(&mut self, start: usize, end: usize) -> usize {
        let name = self.bytes(start..end);
        let at = self.skip_space(end);
        if self.text.get(at) == Some(&b'\'') && at > end {
            let stop = self.until(at + 1, |b| matches!(b, b'\'' | b'"' | b'\n'));
            self.edits.push_plain(self.text, at + 1..stop, Rule::Text);
            return stop;
        }
        let before = self.bytes(start.saturating_sub(SPACE * 2)..start);
        let is_netrc = || name == b"password" && before.windows(6).any(|word| word == b"login ");
        let is_option =
            name.starts_with(b"--") && self.byte_before(start) != Some(b'-') || is_netrc();
        if !is_option || at == end || matches!(self.text.get(at), Some(b'-') | None) {
            return end;
        }
        if let Some(value) = self.literal(at) {
            let end = value.end;
            self.effort.spend(value.len());
            self.edits.push_plain(self.text, value, Rule::Text);
            return end;
        }
        let stop = self.end_of_word(at);
        self.edits.push_plain(self.text, at..stop, Rule::Text);
        stop
    }
}

/// No word of a language, and no name.
fn is_mixed(word: &[u8]) -> bool {
    const LEAST: usize = 8;
    let has = |test: fn(&u8) -> bool| word.iter().any(test);
    word.len() >= LEAST && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

/// RFC 9110 §11.2.
const fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}
