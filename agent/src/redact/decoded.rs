//! Copies of parts of a text with their escapes undone, and texts of several lines that stand in
//! JSON strings: settings, YAML, scripts.

use std::ops::Range;

use memchr::{memchr, memchr2, memmem, memrchr2};

use super::document;
use super::edit::{Coding, Edit, Edits};
use super::effort::Effort;
use super::json;
use super::query::Tools;
use super::sieve::Traces;
use super::text::{self, Shape};
use super::xml;
use crate::http::percent::hex_pair;

/// Deepest strings within strings whose lines are looked at.
const DEPTH: usize = 3;

/// Steps that a copy takes, whatever is in it.
const COPY: usize = 96;

/// A copy of a part of a text.
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    /// Where each byte comes from, and where the part ends.
    origin: Vec<usize>,
}

impl Decoded {
    /// An escape begins with one of `signs`; `escape` says what it stands for, and its length.
    pub(super) fn of(
        text: &[u8],
        range: Range<usize>,
        signs: [u8; 2],
        escape: impl Fn(&[u8], usize) -> Option<(u8, usize)>,
    ) -> Self {
        let (start, end) = (range.start, range.end);
        let value = text.get(range).unwrap_or_default();
        let mut copy = Self {
            text: Vec::with_capacity(value.len()),
            origin: Vec::with_capacity(value.len() + 1),
        };
        let mut at = 0;
        while let Some(rest) = value.get(at..) {
            let plain = match rest.first() {
                Some(first) if signs.contains(first) => 0,
                _ => memchr2(signs[0], signs[1], rest).unwrap_or(rest.len()),
            };
            copy.text.extend_from_slice(&rest[..plain]);
            copy.origin.extend(start + at..start + at + plain);
            at += plain;
            let Some(&byte) = value.get(at) else {
                break;
            };
            let (meant, len) = escape(value, at).unwrap_or((byte, 1));
            copy.origin.push(start + at);
            copy.text.push(meant);
            at += len;
        }
        copy.origin.push(end);
        copy
    }

    /// Looks at the copy for names beside quoted values: what there is, and what is to be replaced.
    fn scan(&self, tools: Tools<'_>, effort: &mut Effort) -> (Traces, Edits) {
        let (mut traces, mut found) = (Traces::default(), Edits::default());
        let sieve = tools.sieve;
        sieve.look(&self.text, tools.names, effort, &mut traces);
        json::scan(&self.text, tools.names, &traces, effort, &mut found);
        text::scan(&self.text, &traces, Shape::Quoted, effort, &mut found);
        (traces, found)
    }

    /// Adds what was found in the copy, at its places in the text.
    pub(super) fn restore(&self, found: &mut Edits, coding: Coding, edits: &mut Edits) {
        found.settle();
        for edit in found.as_slice() {
            let place = |at: usize| self.origin.get(at).copied();
            if let (Some(from), Some(to)) = (place(edit.range.start), place(edit.range.end)) {
                edits.push_unchecked(Edit {
                    range: from..to,
                    coding,
                    ..edit.clone()
                });
            }
        }
    }
}

/// Looks at the lines of strings in which a name stands.
pub(super) fn scan_strings(
    text: &[u8],
    traces: &Traces,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    strings(text, traces, tools, DEPTH, effort, edits);
}

fn strings(
    text: &[u8],
    traces: &Traces,
    tools: Tools<'_>,
    depth: usize,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let mut idents = traces
        .idents
        .iter()
        .map(|ident| ident.range.start)
        .peekable();
    let mut at = 0;
    while let Some(&first) = idents.peek()
        && let Some(found) = text.get(at..).and_then(|rest| memchr(b'"', rest))
    {
        let content = json::string_at(text, at + found).unwrap_or(text.len()..text.len());
        at = content.end + 1;
        if !effort.spend(2 + content.len() / 8) {
            return;
        }
        while idents.next_if(|&ident| ident < content.start).is_some() {}
        if first >= content.end || idents.peek().is_none_or(|&ident| ident >= content.end) {
            continue;
        }
        let value = text.get(content.clone()).unwrap_or_default();
        let is_text = value.trim_ascii_start().starts_with(b"<");
        if !is_text && memmem::find(value, br"\n").is_none() {
            continue;
        }
        if !effort.spend(COPY + 3 * value.len()) {
            return;
        }
        let copy = Decoded::of(text, content, [b'\\'; 2], json_escape);
        let mut found = Edits::default();
        lines(&copy.text, tools, depth, effort, &mut found);
        copy.restore(&mut found, Coding::Json, edits);
    }
}

fn lines(text: &[u8], tools: Tools<'_>, depth: usize, effort: &mut Effort, edits: &mut Edits) {
    let mut traces = Traces::default();
    tools.sieve.look(text, tools.names, effort, &mut traces);
    if !traces.has_no_names() {
        part(text, &traces, tools, depth, effort, edits);
    }
}

/// Looks at a text that stood in another, which has names: lines, XML, or strings of JSON.
pub(super) fn scan_part(
    text: &[u8],
    traces: &Traces,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    part(text, traces, tools, DEPTH, effort, edits);
}

fn part(
    text: &[u8],
    traces: &Traces,
    tools: Tools<'_>,
    depth: usize,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let bare = text.trim_ascii_start();
    if xml::recognizes(bare) {
        xml::scan(text, tools.names, traces, effort, edits);
    } else if !matches!(bare.first(), Some(b'{' | b'[')) || document::is_section(bare) {
        if memchr(b'\n', text).is_some() {
            text::scan(text, traces, Shape::Lines, effort, edits);
        }
    } else if let Some(deeper) = depth.checked_sub(1) {
        strings(text, traces, tools, deeper, effort, edits);
    }
}

/// Looks at a table whose cells have quotes, which are doubled in it (RFC 4180 §2).
pub(super) fn scan_doubled(text: &[u8], tools: Tools<'_>, effort: &mut Effort, edits: &mut Edits) {
    if memmem::find(text, b"\"\"").is_none() || !effort.spend(2 * text.len()) {
        return;
    }
    let copy = Decoded::of(text, 0..text.len(), [b'"'; 2], |text, at| {
        let rest = text.get(at..)?;
        rest.starts_with(b"\"\"").then_some((b'"', 2))
    });
    let (_, mut found) = copy.scan(tools, effort);
    copy.restore(&mut found, Coding::Plain, edits);
}

/// Looks at server-sent events whose data stands on several lines, as their reader joins them
/// (WHATWG HTML §9.2). `false`: there are none.
pub(super) fn scan_events(
    text: &[u8],
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) -> bool {
    if memmem::find(text, FIELD).is_none() || !effort.spend(3 * text.len()) {
        return false;
    }
    let copy = Decoded::of(text, 0..text.len(), [b'\n', b'\r'], joint);
    if copy.text.len() == text.len() {
        return false;
    }
    let (traces, mut found) = copy.scan(tools, effort);
    scan_strings(&copy.text, &traces, tools, effort, &mut found);
    copy.restore(&mut found, Coding::Json, edits);
    true
}

/// What begins a line of an event's data.
const FIELD: &[u8] = b"data:";

/// The end of a line of data, up to the data of the event's next line that has some: a line feed.
fn joint(text: &[u8], at: usize) -> Option<(u8, usize)> {
    /// Most lines of other fields between.
    const OTHERS: usize = 4;
    let mut end = at + line_end(text, at)?;
    let before = text.get(..at).unwrap_or_default();
    if !begins_data(before) {
        return None;
    }
    for _ in 0..=OTHERS {
        let rest = text.get(end..)?;
        if let Some(data) = rest.strip_prefix(FIELD) {
            let blank = usize::from(data.first() == Some(&b' '));
            return Some((b'\n', end + FIELD.len() + blank - at));
        }
        let near = rest.get(..OTHER).unwrap_or(rest);
        let len = memchr2(b'\n', b'\r', near).filter(|&len| len > 0)?;
        end += len + line_end(rest, len)?;
    }
    None
}

/// Longest line of another field that data goes on behind.
const OTHER: usize = 128;

/// Length of the end of a line that stands here.
fn line_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at..)? {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r' | b'\n', ..] => Some(1),
        _ => None,
    }
}

/// The last line is one of data.
fn begins_data(text: &[u8]) -> bool {
    let start = memrchr2(b'\n', b'\r', text).map_or(0, |end| end + 1);
    text.get(start..).unwrap_or_default().starts_with(FIELD)
}

/// What an escape of JSON stands for that is one byte (RFC 8259 §7).
fn json_escape(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = text.get(at..)?.strip_prefix(b"\\")?;
    let byte = match *rest {
        [b'n', ..] => b'\n',
        [b'r', ..] => b'\r',
        [b't', ..] => b'\t',
        [b'u', b'0', b'0', high, low, ..] => return Some((hex_pair(high, low)?, 6)),
        [sign @ (b'"' | b'\\' | b'/'), ..] => sign,
        _ => return None,
    };
    Some((byte, 2))
}

#[cfg(test)]
mod tests {
    use crate::redact::fixture::check_body as check;

    fn events(text: &str, expected: &str) {
        for media_type in ["text/event-stream", "text/plain", ""] {
            for end in ["\n", "\r\n", "\r"] {
                check(
                    media_type,
                    &text.replace('\n', end),
                    &expected.replace('\n', end),
                );
            }
        }
    }

    #[test]
    fn data_over_several_lines() {
        events(
            "data: {\"password\":\ndata: \"S\"}\n\n",
            "data: {\"password\":\ndata: \"#\"}\n\n",
        );
        events(
            "event: x\ndata:{\"a\":1, \"pin\"\nid: 7\ndata::\ndata:\"S\",\ndata:\"b\":2}\n\n",
            "event: x\ndata:{\"a\":1, \"pin\"\nid: 7\ndata::\ndata:\"#\",\ndata:\"b\":2}\n\n",
        );
    }

    #[test]
    fn other_events_stay() {
        events(
            "data: {\"user\":\ndata: \"S\", \"keyboard\":\ndata: 1}\n\n",
            "data: {\"user\":\ndata: \"S\", \"keyboard\":\ndata: 1}\n\n",
        );
    }

    #[test]
    fn parts_in_base64() {
        let part = |encoding: &str, content: &str| {
            format!(
                "--b\r\nContent-Type: application/json\r\n{encoding}\r\n\r\n{content}\r\n--b--\r\n"
            )
        };
        let secret = "eyJwYXNzd29yZCI6\r\nIlMifQ==";
        for encoding in [
            "Content-Transfer-Encoding: base64",
            "content-transfer-encoding: BASE64",
        ] {
            check(
                "multipart/form-data; boundary=b",
                &part(encoding, secret),
                &part(encoding, "#"),
            );
            let other = part(encoding, "eyJ1c2VyIjoiUyJ9");
            check("multipart/form-data; boundary=b", &other, &other);
        }
        let other = part("Content-Transfer-Encoding: 7bit", secret);
        check("multipart/form-data; boundary=b", &other, &other);
    }

    #[test]
    fn objects_in_strings_in_strings() {
        let mut text = "{\"password\":\"S\"}".to_owned();
        for _ in 0..6 {
            check("application/json", &text, &text.replace('S', "#"));
            let inner = text.replace('\\', "\\\\").replace('"', "\\\"");
            text = format!("{{\"d\":\"{inner}\"}}");
        }
        check("application/json", &text, &text.replace('S', "#"));
    }
}
