//! YAML, as far as a value stands on other lines than its name: below it, or beside it in a list of
//! names and values.

use super::{SPACE, Scan};
use crate::redact::counts::Rule;
use crate::redact::names::{is_label, is_value};
use crate::redact::sieve::is_name;

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
            let end = self.end_of_line(at + 4);
            if self.bytes(at + 4..end).trim_ascii().is_empty() {
                done = self.block(start, end);
            }
        }
    }

    /// `name: DB_PASSWORD`, and `value:` on the line below: the value. `from`: what follows the
    /// name.
    pub(super) fn value_below(&mut self, start: usize, from: usize) -> Option<usize> {
        if !matches!(self.text.get(from), Some(b'\n' | b'\r')) {
            return None;
        }
        let line = self.bytes(start.saturating_sub(SPACE * 2)..start);
        let line = line.rsplit(|&b| b == b'\n').next()?;
        let label = line.trim_ascii_end().strip_suffix(b"\"").unwrap_or(line);
        let label = label.trim_ascii().strip_suffix(b":")?;
        let label = label.strip_prefix(b"- ").unwrap_or(label).trim_ascii();
        if !is_label(label) {
            return None;
        }
        let next = self.until(from, |b| b == b'\n') + 1;
        let end = self.until(next, |b| b == b'\n');
        let line = self.bytes(next..end);
        let colon = memchr::memchr(b':', line)?;
        if !is_value(line.get(..colon)?.trim_ascii()) {
            return None;
        }
        let value = line.get(colon + 1..)?;
        let start = next + colon + 1 + (value.len() - value.trim_ascii_start().len());
        let end = next + line.trim_ascii_end().len();
        self.edits
            .push_plain(self.text, start.min(end)..end, Rule::Text);
        Some(end)
    }

    /// Everything below a key of YAML: lines that stand deeper than it.
    pub(super) fn block(&mut self, key: usize, from: usize) -> usize {
        let line_start = |at: usize| {
            let before = self.bytes(at.saturating_sub(SPACE * 4)..at);
            at - before.iter().rev().take_while(|&&b| b != b'\n').count()
        };
        let indent = key - line_start(key);
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
            let value = start + blanks + plain_scalar(content);
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
