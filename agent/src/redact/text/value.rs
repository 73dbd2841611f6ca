//! Where the value of a name begins and ends: a word, a line, a string, or what stands in brackets.

use std::ops::Range;

use super::lines::{is_above, is_literal};
use super::{Place, Scan, Shape, Sign, ends_with_word};
use crate::redact::digest::{REPLACEMENT, is_replacement};
use crate::redact::edit::Coding;
use crate::redact::sieve::Ident;
use crate::redact::{credentials, json};

/// Most strings that are joined into one value.
const JOINED: usize = 64;

impl Scan<'_, '_> {
    /// Hides the value that begins after `from`; where it ends.
    pub(super) fn value(&mut self, ident: &Ident, sign: Sign, from: usize) -> usize {
        let mut start = self.skip_space(from);
        if self.bytes(from.saturating_sub(2)..from) == b"=>" {
            // PHP shows values on lines of their own: `=>`, and `string(7) "x"` below.
            start = self.skip_blank(start);
            let shown = self.bytes(start..start + 32).strip_prefix(b"string(");
            let digits = shown.map(|rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
            start += digits.map_or(0, |len| b"string() ".len() + len);
        }
        while self.shape == Shape::Quoted && self.bytes(start..start + 2) == br"\t" {
            start = self.skip_space(start + 2);
        }
        if sign == Sign::Colon && start == from && !self.is_likely_secret(start) {
            // `tokens:read`: names of rights, of keys in a store, of parts.
            return start;
        }
        let place = self.place(ident.range.start);
        let (is_line, has_lines) = (place != Place::Middle, place == Place::Line);
        if has_lines && let Some(end) = self.quoted_lines(ident, start) {
            return self.joined(ident, end);
        }
        if (sign == Sign::Equals || !is_line)
            && let Some(end) = self.string(ident, start)
        {
            return self.joined(ident, end);
        }
        if sign == Sign::Colon
            && self.text.get(start) == Some(&b'$')
            && (!is_line || self.shape == Shape::Quoted)
        {
            // GraphQL's variable.
            return start;
        }
        match is_line {
            true => self.line(ident, sign, start, has_lines),
            false => self.within_line(ident, sign, start),
        }
    }

    /// A value with other text behind it on its line.
    fn within_line(&mut self, ident: &Ident, sign: Sign, start: usize) -> usize {
        if let Some(end) = self.brackets(start) {
            return self.hide(ident, start + 1..end);
        }
        if sign == Sign::Colon
            && let Some(end) = self.end_of_member(ident.range.start, start)
        {
            return self.hide(ident, start..end);
        }
        let end = self.end_of_word(start);
        let word = self.bytes(start..end);
        if credentials::is_scheme(word) {
            // `Authorization: Bearer x` within a line: the scheme stays.
            let end = self.end_of_word(self.skip_space(end));
            credentials::authorization_in(self.text, start..end, self.edits);
            return end;
        }
        if let Some(end) = self.wrapped(ident, start, end) {
            return end;
        }
        if sign == Sign::Colon
            && let Some(string) = self.after_type(start)
            && let Some(end) = self.string(ident, string)
        {
            return end;
        }
        self.hide(ident, start..end)
    }

    /// Where a value without quotes ends in a flow mapping of YAML: `{a: 1, password: x y}`.
    fn end_of_member(&mut self, key: usize, start: usize) -> Option<usize> {
        const FAR: usize = 256;
        let before = self.bytes(key.saturating_sub(FAR)..key);
        let line = before.rsplit(|&b| b == b'\n').next()?;
        let is_plain = self.text.get(start).is_some_and(u8::is_ascii_alphanumeric);
        let is_member = is_plain
            && matches!(line.trim_ascii_end().last(), Some(b'{' | b','))
            && memchr::memchr(b'{', line).is_some()
            && memchr::memchr(b'"', line).is_none();
        if !is_member || !self.effort.spend(line.len() / 8) {
            return None;
        }
        let near = self.bytes(start..start + FAR);
        let end = near
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b'"' | b'(' | b'\n'))?;
        matches!(near.get(end), Some(b',' | b'}')).then_some(start + end)
    }

    /// A value that has the rest of its line, and maybe more lines.
    fn line(&mut self, ident: &Ident, sign: Sign, start: usize, has_lines: bool) -> usize {
        let name = self.bytes(ident.range.clone());
        let end = self.end_of_line(start, self.is_nested(ident.range.start));
        let value = self.bytes(start..end).trim_ascii_end();
        if has_lines && let Some(end) = self.over_lines(ident, sign, start..end) {
            return end;
        }
        if sign == Sign::Colon && ends_with_word(name, b"authorization") {
            credentials::authorization_in(self.text, start..end, self.edits);
            return end;
        }
        if ends_with_word(name, b"set-cookie") {
            credentials::set_cookie_in(self.text, start..end, self.edits);
            return end;
        }
        if sign == Sign::Colon && ends_with_word(name, b"cookie") {
            credentials::cookie_in(self.text, start..end, self.edits);
            return end;
        }
        self.hide(ident, start..start + value.len())
    }

    /// A value that is not all on its line.
    fn over_lines(&mut self, ident: &Ident, sign: Sign, line: Range<usize>) -> Option<usize> {
        let Range { start, end } = line;
        let value = self.bytes(line).trim_ascii_end();
        if let Some(end) = self.here_document(ident, start, end) {
            return Some(end);
        }
        if sign == Sign::Colon && is_above(value) {
            return Some(self.block(ident.range.start, end, is_literal(value)));
        }
        let brackets = memchr::memchr3(b'[', b'{', b'(', value).map(|at| start + at);
        if let Some(close) = brackets.and_then(|at| self.brackets(at))
            && close > end
        {
            // What follows on the line of the last bracket belongs to it.
            let stop = self.until(close, |b| matches!(b, b'\n' | b'\r'));
            return Some(self.hide(ident, start..stop));
        }
        let stop = self.continued(ident.range.start, sign, end);
        let goes_on = stop > end && !super::says_nothing(value);
        goes_on.then(|| self.hide(ident, start..stop))
    }

    /// A value in quotes where lines are lines: of YAML, TOML, or a shell. It may go on over them.
    fn quoted_lines(&mut self, ident: &Ident, start: usize) -> Option<usize> {
        let rest = self.text.get(start..)?;
        let quote = match rest.first()? {
            quote @ (b'"' | b'\'') => *quote,
            _ => return None,
        };
        let triple = [quote; 3];
        if rest.starts_with(&triple) {
            let from = start + triple.len();
            let rest = self.text.get(from..).unwrap_or_default();
            let len = memchr::memmem::find(rest, &triple).unwrap_or(rest.len());
            self.effort.spend(len);
            return Some(self.hide(ident, from..from + len));
        }
        let end = self.end_of_quoted(ident.range.start, start + 1, quote);
        let coding = match quote {
            b'"' => Coding::Json,
            _ => Coding::Plain,
        };
        self.push(ident, start + 1..end, coding);
        Some(end)
    }

    /// A value in quotes.
    pub(super) fn string(&mut self, ident: &Ident, start: usize) -> Option<usize> {
        let rest = self.text.get(start..)?;
        match rest.first()? {
            b'"' | b'\\' => {
                let content = json::string_at(self.text, start)?;
                if self.bytes(content.clone()).trim_ascii() == b":" {
                    // It ends the string that the name stands in.
                    return None;
                }
                let end = content.end;
                self.push(ident, content, Coding::Json);
                Some(end)
            }
            b'`' => {
                let end = self.end_of_template(start + 1);
                Some(self.hide(ident, start + 1..end))
            }
            b'\'' => {
                let content = json::single(self.text, start);
                let end = self.until(content.start, |b| b == b'\n').min(content.end);
                Some(self.hide(ident, content.start..end.max(content.start)))
            }
            _ => None,
        }
    }

    /// Where a string in backquotes ends, which may have several lines.
    fn end_of_template(&mut self, start: usize) -> usize {
        const LONGEST: usize = 16 * 1024;
        let near = self.bytes(start..start + LONGEST);
        if let Some(len) = memchr::memchr(b'`', near) {
            self.effort.spend(len);
            return start + len;
        }
        self.effort.spend(near.len() / 8);
        self.until(start, |b| b == b'\n')
    }

    /// Strings that are joined to the one which ends at `end`: `"a" + "b"`, `"a" \` and the next
    /// line.
    fn joined(&mut self, ident: &Ident, end: usize) -> usize {
        let mut last = end;
        for _ in 0..JOINED {
            let close = self.after_quote(last).unwrap_or(last);
            let mut at = self.skip_blank(close);
            let is_joined = match self.text.get(at) {
                Some(b'+' | b'.') => true,
                Some(b'\\') => matches!(self.text.get(at + 1), Some(b'\n' | b'\r')),
                _ => false,
            };
            if !is_joined {
                return last;
            }
            at = self.skip_blank(at + 1);
            match self.string(ident, at) {
                Some(end) if end > at => last = end,
                _ => return last,
            }
        }
        last
    }

    /// A string that stands in a call or behind a letter: `Some("x")`, `String::from("x")`,
    /// `b"x"`, `new String("x")`. The word before it is at `start..end`.
    fn wrapped(&mut self, ident: &Ident, start: usize, end: usize) -> Option<usize> {
        const WORDS: [&[u8]; 5] = [b"new", b"await", b"Box", b"mut", b"typeof"];
        let word = self.bytes(start..end);
        if WORDS.contains(&word) {
            let next = self.skip_space(end);
            let after = self.end_of_word(next);
            return (next > end && after > next)
                .then(|| self.wrapped(ident, next, after))
                .flatten();
        }
        if let Some(open) = memchr::memchr(b'(', word)
            && is_path(word.get(..open).unwrap_or_default())
            && let Some(close) = self.brackets(start + open)
            && close > end
        {
            return Some(self.hide(ident, start + open + 1..close));
        }
        let is_prefix = matches!(
            word,
            b"b" | b"B"
                | b"u"
                | b"U"
                | b"r"
                | b"R"
                | b"f"
                | b"F"
                | b"L"
                | b"rb"
                | b"br"
                | b"r#"
                | b"br#"
                | b"@"
                | b"N"
                | b"c"
        );
        is_prefix.then(|| self.string(ident, end)).flatten()
    }

    /// The string behind a type: `: &str = "x"`, `: string = 'x'`.
    fn after_type(&self, start: usize) -> Option<usize> {
        const LONGEST: usize = 64;
        let line = self.bytes(start..start + LONGEST);
        let is_type = |&b: &u8| b.is_ascii_alphanumeric() || b"_&<>:' []|?,".contains(&b);
        let len = line.iter().take_while(|&b| is_type(b)).count();
        let equals = line.get(len..)?.strip_prefix(b"=")?;
        let blanks = equals.iter().take_while(|&&b| b == b' ').count();
        matches!(equals.get(blanks), Some(b'"' | b'\'' | b'`' | b'\\'))
            .then_some(start + len + 1 + blanks)
    }

    /// Where the bracket at `start` is closed, if it is one and closed near: strings within are
    /// passed over.
    pub(super) fn brackets(&mut self, start: usize) -> Option<usize> {
        const LONGEST: usize = 16 * 1024;
        if !matches!(self.text.get(start), Some(b'(' | b'[' | b'{')) {
            return None;
        }
        let rest = self.bytes(start..start + LONGEST);
        if rest.get(..REPLACEMENT).is_some_and(is_replacement) {
            return None;
        }
        let (mut open, mut at) = (0_usize, 0);
        while let Some(&byte) = rest.get(at) {
            let before = at;
            at += 1;
            match byte {
                b'(' | b'[' | b'{' => open += 1,
                b')' | b']' | b'}' => {
                    open -= 1;
                    if open == 0 {
                        return Some(start + before);
                    }
                }
                b'"' | b'\\' => {
                    if let Some(content) = json::string_at(rest, before) {
                        if !self.may_open(rest, before) {
                            // It ends the string that all this stands in.
                            return None;
                        }
                        at = content.end + (content.start - before);
                    }
                }
                b'\'' | b'`' if self.may_open(rest, before) => {
                    let inner = rest.get(at..).unwrap_or_default();
                    let stop = |b: &u8| *b == byte || *b == b'\n';
                    at += inner.iter().position(stop).map_or(0, |len| len + 1);
                }
                _ => {}
            }
            if !self.effort.spend(1 + (at - before) / 8) {
                return None;
            }
        }
        None
    }

    /// A quote here begins a string: a sign, a bracket or a word's prefix stands before it.
    fn may_open(&self, text: &[u8], quote: usize) -> bool {
        let before = text.get(..quote).unwrap_or_default().trim_ascii_end();
        matches!(
            before.last(),
            Some(
                b'(' | b'['
                    | b'{'
                    | b','
                    | b':'
                    | b'='
                    | b'>'
                    | b'+'
                    | b'&'
                    | b'\\'
                    | b'/'
                    | b'?'
                    | b'|'
                    | b'!'
                    | b'*'
                    | b';'
            )
        ) || quote == before.len()
            && matches!(before.last(), Some(b'b' | b'u' | b'r' | b'f' | b'#'))
            || matches!(before, [.., b'\\', b'n'])
    }
}

/// A path of names, as stands before a call's bracket; nothing for a tuple.
fn is_path(word: &[u8]) -> bool {
    word.iter()
        .all(|&b| b.is_ascii_alphanumeric() || b"_.:<>!&*$[]?#@".contains(&b))
}
