//! Values that go on over lines.

use super::{Scan, Sign};
use crate::redact::sieve::is_name;

/// Most bytes of a value that goes on over lines.
const LONGEST: usize = 16 * 1024;

impl Scan<'_, '_> {
    /// How far the line is indented that `key` stands on; the signs of list items count.
    pub(super) fn indent(&self, key: usize) -> usize {
        const FAR: usize = 128;
        let before = self.bytes(key.saturating_sub(FAR)..key);
        let line = before.rsplit(|&b| b == b'\n').next().unwrap_or_default();
        let mut len = 0;
        loop {
            match line.get(len..) {
                Some([b' ' | b'\t', ..]) => len += 1,
                Some([b'-', b' ', ..]) => len += 2,
                _ => return len,
            }
        }
    }

    /// After white space and ends of lines.
    pub(super) fn skip_blank(&self, at: usize) -> usize {
        const FAR: usize = 256;
        let rest = self.bytes(at..at + FAR);
        at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
    }

    /// Where a quoted value ends that begins at `start`. It may have several lines, when they are
    /// indented as its name says, or do not begin with other names.
    pub(super) fn end_of_quoted(&mut self, key: usize, start: usize, quote: u8) -> usize {
        let indent = self.indent(key);
        let mut at = start;
        while at < start + LONGEST {
            at = self.until(at, |b| b == quote || matches!(b, b'\\' | b'\n'));
            match self.text.get(at) {
                Some(b'\\') if quote == b'"' || self.is_escape(at + 1) => at += 2,
                Some(b'\\') => at += 1,
                Some(b'\n') => {
                    let end = self.until(at + 1, |b| b == b'\n');
                    let line = self.bytes(at + 1..end);
                    let content = line.trim_ascii_start();
                    let is_deep = line.len() - content.len() > indent;
                    if !is_deep && is_entry(content, Sign::Equals) {
                        return at;
                    }
                    at += 1;
                }
                Some(_) if self.text.get(at + 1) == Some(&quote) => at += 2,
                _ => return at.min(self.text.len()),
            }
        }
        at.min(self.text.len())
    }

    /// The quote at `at` is escaped: more follows that is none of what stands behind a string.
    fn is_escape(&self, at: usize) -> bool {
        self.text.get(at) == Some(&b'\'')
            && !matches!(
                self.text.get(at + 1),
                None | Some(b'\n' | b'\r' | b' ' | b',' | b';' | b')')
            )
    }

    /// Where a value ends whose first line ends at `end`: after a backslash it goes on, and on
    /// lines that are indented deeper than its name and have none of their own.
    pub(super) fn continued(&mut self, key: usize, sign: Sign, end: usize) -> usize {
        let indent = self.indent(key);
        let mut stop = end;
        let mut at = end;
        while at < end + LONGEST {
            at = self.until(at, |b| b == b'\n');
            let line = self.bytes(end.saturating_sub(64)..at);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let slashes = line.iter().rev().take_while(|&&b| b == b'\\').count();
            let start = at + 1;
            let next = self.until(start, |b| b == b'\n');
            let line = self.bytes(start..next);
            let content = line.trim_ascii();
            let blanks = line.len() - line.trim_ascii_start().len();
            let is_more = slashes % 2 == 1
                || content.is_empty()
                || blanks > indent
                    && !is_entry(content, sign)
                    && !matches!(content.first(), Some(b'#' | b'<' | b'}' | b')' | b']'));
            if start >= self.text.len() || !is_more {
                return stop;
            }
            if !content.is_empty() {
                stop = start + line.trim_ascii_end().len();
            }
            at = next;
        }
        stop
    }
}

/// The line begins with a name and its sign.
fn is_entry(line: &[u8], sign: Sign) -> bool {
    const LONGEST: usize = 64;
    let is_part = |b: &&u8| is_name(**b) || matches!(**b, b'"' | b'\'' | b'/' | b'-' | b'@');
    let name = line.iter().take(LONGEST).take_while(is_part).count();
    let rest = line.get(name..).unwrap_or_default();
    let rest = match sign {
        Sign::Equals => rest.trim_ascii_start(),
        Sign::Colon => rest,
    };
    name > 0
        && match rest {
            [b':'] | [b':', b' ' | b'\t' | b'\r', ..] => true,
            // Not what base64 ends with.
            [b'=', more @ ..] => {
                sign == Sign::Equals && more.iter().any(|b| !matches!(b, b'=' | b' ' | b'\r'))
            }
            _ => false,
        }
}

/// The value stands on the lines below: nothing but a comment, an anchor, a tag, or the sign of a
/// block scalar (YAML 1.2 §6.9, §8.1) is on this one.
pub(super) fn is_above(value: &[u8]) -> bool {
    let mut rest = value.trim_ascii();
    loop {
        match rest.first() {
            None | Some(b'#') => return true,
            Some(b'&' | b'!') => {
                let len = rest.iter().take_while(|b| !b.is_ascii_whitespace()).count();
                rest = rest.get(len..).unwrap_or_default().trim_ascii_start();
            }
            Some(b'|' | b'>') => {
                let signs = |b: &&u8| matches!(**b, b'|' | b'>' | b'+' | b'-' | b'0'..=b'9');
                let len = rest.iter().take_while(signs).count();
                let after = rest.get(len..).unwrap_or_default();
                return len <= 3
                    && (after.is_empty()
                        || after.starts_with(b" ") && after.trim_ascii().starts_with(b"#"));
            }
            Some(_) => return false,
        }
    }
}

/// It is the text as it stands, and not a structure.
pub(super) fn is_literal(value: &[u8]) -> bool {
    value
        .split(|b| *b == b' ')
        .any(|part| matches!(part.first(), Some(b'|' | b'>')))
}
