//! Copies of parts of a text with their escapes undone, and texts of several lines that stand in
//! JSON strings: settings, YAML, scripts.

use std::ops::Range;

use memchr::{memchr, memmem};

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

/// A copy of a part of a text.
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    /// Where each byte comes from, and where the part ends.
    origin: Vec<usize>,
}

impl Decoded {
    /// `escape` says what an escape stands for, and its length.
    pub(super) fn of(
        text: &[u8],
        range: Range<usize>,
        escape: impl Fn(&[u8], usize) -> Option<(u8, usize)>,
    ) -> Self {
        let (start, end) = (range.start, range.end);
        let value = text.get(range).unwrap_or_default();
        let mut copy = Self {
            text: Vec::with_capacity(value.len()),
            origin: Vec::with_capacity(value.len() + 1),
        };
        let mut at = 0;
        while let Some(&byte) = value.get(at) {
            let (meant, len) = escape(value, at).unwrap_or((byte, 1));
            copy.origin.push(start + at);
            copy.text.push(meant);
            at += len;
        }
        copy.origin.push(end);
        copy
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
        if !effort.spend(3 * value.len()) {
            return;
        }
        let copy = Decoded::of(text, content, json_escape);
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
    let copy = Decoded::of(text, 0..text.len(), |text, at| {
        let rest = text.get(at..)?;
        rest.starts_with(b"\"\"").then_some((b'"', 2))
    });
    let (mut traces, mut found) = (Traces::default(), Edits::default());
    tools
        .sieve
        .look(&copy.text, tools.names, effort, &mut traces);
    json::scan(&copy.text, tools.names, &traces, effort, &mut found);
    text::scan(&copy.text, &traces, Shape::Quoted, effort, &mut found);
    copy.restore(&mut found, Coding::Plain, edits);
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
