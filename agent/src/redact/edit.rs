//! Replacements to be made: scanners find ranges, then the text is rewritten once, or only counted.

use std::ops::Range;

use super::counts::{Counts, Rule};
use super::digest::{Digest, REPLACEMENT, is_replacement};

/// How a value stands in the text around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// Percent-encoded.
    Percent,
    /// A JSON string's content.
    Json,
}

/// One replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// Which bytes.
    pub(super) range: Range<usize>,
    /// Why.
    pub(super) rule: Rule,
    /// How the value is encoded.
    pub(super) coding: Coding,
    /// The replacement is quoted, each quote after this many backslashes: it stands where JSON has
    /// a number.
    pub(super) quote: Option<u8>,
}

/// Replacements of one text, in order, none overlapping another.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    /// Adds one, unless there is nothing to hide: an empty value, or one that is replaced already.
    pub(super) fn push(&mut self, text: &[u8], edit: Edit) {
        let value = text.get(edit.range.clone()).unwrap_or_default();
        if !value.is_empty() && !is_replacement(value) {
            self.0.push(edit);
        }
    }

    /// Adds the value at `range` as it stands.
    pub(super) fn push_plain(&mut self, text: &[u8], range: Range<usize>, rule: Rule) {
        let edit = Edit {
            range,
            rule,
            coding: Coding::Plain,
            quote: None,
        };
        self.push(text, edit);
    }

    /// Adds one that was found in a decoded copy of the text.
    pub(super) fn push_unchecked(&mut self, edit: Edit) {
        self.0.push(edit);
    }

    /// Adds those of a part of the text that begins at `offset`.
    pub(super) fn append(&mut self, part: Self, offset: usize) {
        self.0.extend(part.0.into_iter().map(|edit| Edit {
            range: edit.range.start + offset..edit.range.end + offset,
            ..edit
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn as_slice(&self) -> &[Edit] {
        &self.0
    }

    /// Puts what several scanners found in order. Of two that overlap the first stays, and goes as
    /// far as either: what one scanner wants hidden is hidden.
    pub(super) fn settle(&mut self) {
        if self.0.len() < 2 {
            return;
        }
        self.0
            .sort_by_key(|edit| (edit.range.start, usize::MAX - edit.range.end));
        self.0.dedup_by(|next, kept| {
            let overlaps = next.range.start < kept.range.end;
            if overlaps && next.range.end > kept.range.end {
                kept.range.end = next.range.end;
                kept.coding = Coding::Plain;
            }
            overlaps
        });
    }

    /// Counts each by its rule.
    pub(super) fn count(&self, counts: &mut Counts) {
        for edit in &self.0 {
            counts.redact(edit.rule);
        }
    }

    /// Appends the text with its replacements made.
    pub(super) fn apply(&self, text: &[u8], digest: &Digest, out: &mut Vec<u8>) {
        apply(&self.0, text, digest, out);
    }

    /// Bytes that the rewritten text takes at most.
    pub(super) fn grown(&self, text: &[u8]) -> usize {
        grown(text, self.0.len())
    }
}

/// Bytes that a text takes at most with so many replacements.
pub(super) const fn grown(text: &[u8], edits: usize) -> usize {
    text.len() + edits * (REPLACEMENT + 2)
}

/// Appends `text` with `edits` made.
pub(super) fn apply<'a>(
    edits: impl IntoIterator<Item = &'a Edit>,
    text: &[u8],
    digest: &Digest,
    out: &mut Vec<u8>,
) {
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(text.get(at..edit.range.start).unwrap_or_default());
        let value = text.get(edit.range.clone()).unwrap_or_default();
        quote(edit.quote, out);
        digest.replace(value, edit.coding, out);
        quote(edit.quote, out);
        at = edit.range.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

fn quote(slashes: Option<u8>, out: &mut Vec<u8>) {
    if let Some(slashes) = slashes {
        out.extend(std::iter::repeat_n(b'\\', usize::from(slashes)));
        out.push(b'"');
    }
}
