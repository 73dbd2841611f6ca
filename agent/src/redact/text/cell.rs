//! Names and values in cells: of a table of HTML that stands in a string, of lines with tabs, and
//! strings side by side.

use std::ops::Range;

use super::{Place, Scan, Shape};
use crate::redact::edit::Coding;
use crate::redact::json;
use crate::redact::sieve::Ident;

/// Longest markup between two cells.
const MARKUP: usize = 96;

impl Scan<'_, '_> {
    /// The cell beside the one that holds a name; where it ends.
    pub(super) fn cell(&mut self, ident: &Ident) -> Option<usize> {
        let found = match self.byte_before(ident.range.start) {
            Some(b'>') => self.next_element(ident.range.end),
            Some(b'"') => self.next_string(ident),
            _ => self.behind_tab(ident),
        };
        let value = found?;
        let end = value.end;
        self.effort.spend(value.len() / 8);
        self.push(ident, value, Coding::Plain);
        Some(end)
    }

    /// `<td>Password</td><td>x</td>`, `<dt>Password</dt><dd>x</dd>`, slashes escaped or not.
    fn next_element(&mut self, end: usize) -> Option<Range<usize>> {
        let near = self.bytes(end..end + MARKUP);
        let close = near.strip_prefix(b":").unwrap_or(near);
        let close = close
            .strip_prefix(b"</")
            .or_else(|| close.strip_prefix(br"<\/"))?;
        let kind = close.first_chunk::<3>()?.map(|b| b.to_ascii_lowercase());
        if !matches!(&kind, b"td>" | b"th>" | b"dt>") {
            return None;
        }
        let rest = close.get(3..)?;
        let blank = |b: &&u8| b.is_ascii_whitespace() || matches!(**b, b'\\' | b'n' | b'r' | b't');
        let rest = rest.get(rest.iter().take_while(blank).count()..)?;
        let next = rest.first_chunk::<3>()?.map(|b| b.to_ascii_lowercase());
        if !matches!(&next, b"<td" | b"<dd") {
            return None;
        }
        let open = end + near.len() - rest.len();
        let start = open + memchr::memchr(b'>', rest)? + 1;
        let stop = self.until(start, |b| matches!(b, b'<' | b'"'));
        Some(start..stop - self.trailing_slashes(start, stop))
    }

    /// `"password" "x"`.
    fn next_string(&mut self, ident: &Ident) -> Option<Range<usize>> {
        let at = self.after_quote(ident.range.end)?;
        let start = self.skip_space(at);
        let before = self.trailing_slashes(0, ident.range.start - 1);
        let slashes = self.bytes(start..start + before + 1);
        let is_string = slashes.last() == Some(&b'"')
            && slashes.len() == before + 1
            && slashes.iter().take(before).all(|b| *b == b'\\');
        if !is_string || start == at {
            return None;
        }
        let value = json::string_at(self.text, start)?;
        // Labels of a block: `resource "vault_secret" "db_password" {`.
        let next = self
            .after_quote(value.end)
            .map(|close| self.skip_space(close));
        let is_label = next.is_some_and(|next| self.text.get(next) == Some(&b'{'));
        (!is_label).then_some(value)
    }

    /// Where the words begin of which the last is the name: `Access token`.
    fn beginning_of_label(&self, name: usize) -> usize {
        const LONGEST: usize = 32;
        let before = self.bytes(name.saturating_sub(LONGEST)..name);
        let is_part = |b: &&u8| b.is_ascii_alphanumeric() || **b == b' ';
        let start = name - before.iter().rev().take_while(is_part).count();
        // The letter of an escape is none of the words.
        let is_escape = self.byte_before(start) == Some(b'\\')
            && matches!(self.text.get(start), Some(b'n' | b'r' | b't'));
        start + usize::from(is_escape)
    }

    /// `Password<TAB>x`, alone on a line: more cells are a row of a table.
    fn behind_tab(&mut self, ident: &Ident) -> Option<Range<usize>> {
        let end = ident.range.end;
        let start = self.beginning_of_label(ident.range.start);
        let tab: &[u8] = match self.place(start) {
            Place::Line => b"\t",
            Place::String if self.shape == Shape::Quoted => br"\t",
            Place::String | Place::Middle => return None,
        };
        let mut from = end;
        while self.bytes(from..from + tab.len()) == tab {
            from += tab.len();
        }
        if from == end {
            return None;
        }
        let stop = self.end_of_line(from, self.is_nested(start));
        let value = self.bytes(from..stop).trim_ascii_end();
        let has_more = value.windows(tab.len()).any(|part| part == tab);
        // The names of columns stand first, and a word is one.
        let is_head = self.beginning(start) == 0 && value.iter().all(u8::is_ascii_alphabetic);
        (!has_more && !is_head).then_some(from..from + value.len())
    }
}
