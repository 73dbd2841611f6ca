//! YAML, as far as a value stands on other lines than its name: below it, or beside it in a list of
//! names and values.

use std::ops::Range;

use super::{Place, SPACE, Scan, Shape, Sign};
use crate::redact::counts::Rule;
use crate::redact::names::{Sensitivity, is_label, is_value};
use crate::redact::sieve::{Ident, is_name};

/// Most lines between a name and its value.
const LINES: usize = 24;
/// Longest line above a name that is looked at.
const LINE: usize = 1024;

impl Scan<'_, '_> {
    /// What a Secret of Kubernetes holds: everything below `data` and `stringData`.
    pub(super) fn kubernetes(&mut self) {
        let mut done = 0;
        self.effort.spend(self.text.len() / 8);
        for at in memchr::memmem::find_iter(self.text, b"ata:") {
            let start = [b"data".len(), b"stringData".len()]
                .into_iter()
                .filter_map(|len| (at + 3).checked_sub(len))
                .find(|&start| matches!(self.bytes(start..at + 3), b"data" | b"stringData"));
            let Some(start) = start.filter(|&start| start >= done && self.begins_line(start))
            else {
                continue;
            };
            let end = self.end_of_line(at + 4, false);
            if self.bytes(at + 4..end).trim_ascii().is_empty() {
                done = self.block(start, end, false);
            }
        }
    }

    /// A quoted name whose value is one of YAML and not of JSON. `from`: what follows its colon.
    pub(super) fn is_yaml(&mut self, start: usize, from: usize) -> bool {
        if self.shape != Shape::Lines || self.place(start) != Place::Line {
            return false;
        }
        let end = self.until(from, |b| b == b'\n');
        let value = self.bytes(from..end).trim_ascii();
        match value.first() {
            Some(b'"' | b'\'' | b'{' | b'[') => false,
            Some(_) => !matches!(value.last(), Some(b',' | b'}' | b']')),
            None => {
                let next = self.text.get(self.skip_blank(end));
                !matches!(next, Some(b'"' | b'\'' | b'{' | b'[' | b'/'))
            }
        }
    }

    /// `name: DB_PASSWORD`, and `value:` on another line of the same list item: the value. `from`:
    /// what follows the name.
    pub(super) fn beside(&mut self, start: usize, from: usize) -> Option<usize> {
        if !matches!(self.text.get(from), Some(b'\n' | b'\r') | None) {
            return None;
        }
        let line = self.bytes(start.saturating_sub(SPACE * 2)..start);
        let line = line.rsplit(|&b| b == b'\n').next()?.trim_ascii_end();
        let label = line.strip_suffix(b"\"").or(line.strip_suffix(b"'"));
        let label = label.unwrap_or(line).trim_ascii().strip_suffix(b":")?;
        let is_first = label.starts_with(b"- ");
        let label = label.strip_prefix(b"- ").unwrap_or(label).trim_ascii();
        if !is_label(label) {
            return None;
        }
        let indent = self.indent(start);
        if !is_first {
            self.above(start, label, indent);
        }
        Some(self.below(from, label, indent))
    }

    /// Looks for the value on the lines below the one that ends at `from`; where the last of them
    /// ends.
    fn below(&mut self, from: usize, label: &[u8], indent: usize) -> usize {
        let mut at = self.until(from, |b| b == b'\n');
        for _ in 0..LINES {
            let start = at + 1;
            let end = self.until(start, |b| b == b'\n');
            let depth = self.depth(start..end);
            let is_other = depth.is_some_and(|depth| depth < indent);
            if start >= self.text.len() || is_other {
                return from;
            }
            if depth == Some(indent) && (self.says(start..end, label) || self.member(start..end)) {
                return from;
            }
            at = end;
        }
        from
    }

    /// The same on the lines above the one that `key` stands on.
    fn above(&mut self, key: usize, label: &[u8], indent: usize) {
        let mut next = key;
        for _ in 0..LINES {
            let before = self.bytes(next.saturating_sub(LINE)..next);
            let Some(line_end) = memchr::memrchr(b'\n', before) else {
                return;
            };
            let end = next - before.len() + line_end;
            let line = self.bytes(end.saturating_sub(LINE)..end);
            let start = end
                - line
                    .rsplit(|&b| b == b'\n')
                    .next()
                    .unwrap_or_default()
                    .len();
            if !self.effort.spend(end - start + 8) {
                return;
            }
            let is_first = self.bytes(start..end).trim_ascii_start().starts_with(b"- ");
            let depth = match is_first {
                true => Some(
                    self.indent(end)
                        .min(self.depth(start..end).unwrap_or(0) + 2),
                ),
                false => self.depth(start..end),
            };
            let is_here = depth == Some(indent);
            if depth.is_some_and(|depth| depth < indent)
                || is_here && (self.says(start..end, label) || self.member(start..end) || is_first)
            {
                return;
            }
            next = end;
        }
    }

    /// The line says another name: another item began.
    fn says(&self, line: Range<usize>, label: &[u8]) -> bool {
        let line = self.bytes(line).trim_ascii_start();
        let line = line.strip_prefix(b"- ").unwrap_or(line);
        line.strip_prefix(label)
            .is_some_and(|rest| rest.starts_with(b":"))
    }

    /// How deep a line is indented; nothing when it is blank or a comment.
    fn depth(&self, line: Range<usize>) -> Option<usize> {
        let line = self.bytes(line);
        let content = line.trim_ascii_start();
        (!matches!(content.first(), None | Some(b'#'))).then_some(line.len() - content.len())
    }

    /// Hides the value on a line that says `value:`.
    fn member(&mut self, line: Range<usize>) -> bool {
        let text = self.bytes(line.clone());
        let key = text.len() - text.trim_ascii_start().len();
        let key = key + 2 * usize::from(text.get(key..).unwrap_or_default().starts_with(b"- "));
        let rest = text.get(key..).unwrap_or_default();
        let Some(colon) = memchr::memchr(b':', rest) else {
            return false;
        };
        let name = rest.get(..colon).unwrap_or_default().trim_ascii();
        if !is_value(name) || !matches!(rest.get(colon + 1), None | Some(b' ' | b'\t' | b'\r')) {
            return false;
        }
        let start = line.start + key;
        let ident = Ident {
            range: start..start + name.len(),
            sensitivity: Sensitivity::Secret,
        };
        self.value(&ident, Sign::Colon, start + colon + 1);
        true
    }

    /// Everything below a key of YAML: lines that stand deeper than it. `is_literal`: they are a
    /// text and no structure.
    pub(super) fn block(&mut self, key: usize, from: usize, is_literal: bool) -> usize {
        let indent = self.indent(key);
        let mut at = from;
        loop {
            // `at` is at a line's end.
            let start = at + 1;
            let line_end = self.until(start, |b| b == b'\n');
            let line = self.bytes(start..line_end);
            let blanks = line
                .iter()
                .take_while(|b| matches!(b, b' ' | b'\t'))
                .count();
            let content = line.get(blanks..).unwrap_or_default().trim_ascii_end();
            let is_item = content.starts_with(b"- ") && blanks == indent;
            if start >= self.text.len() || !content.is_empty() && blanks <= indent && !is_item {
                return at;
            }
            if !self.effort.spend(line.len()) {
                return self.text.len();
            }
            let skipped = match is_literal {
                true => 0,
                false => plain_scalar(content),
            };
            let value = start + blanks + skipped;
            let end = start + blanks + content.len();
            self.edits
                .push_plain(self.text, value.min(end)..end, Rule::Text);
            at = line_end;
        }
    }
}

/// Where the value of a line of YAML begins: after `key: ` or `- `, at the line's beginning
/// otherwise.
fn plain_scalar(line: &[u8]) -> usize {
    let item = if line.starts_with(b"- ") { 2 } else { 0 };
    let rest = line.get(item..).unwrap_or_default();
    let key = rest
        .iter()
        .take_while(|&&b| is_name(b) || matches!(b, b'"' | b'\'' | b'/'))
        .count();
    match rest.get(key..) {
        Some([b':']) => line.len(),
        Some([b':', b' ', ..]) => {
            let value = rest.get(key + 1..).unwrap_or_default();
            item + key + 1 + (value.len() - value.trim_ascii_start().len())
        }
        _ => item,
    }
}
