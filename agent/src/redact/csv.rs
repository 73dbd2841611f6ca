//! Secrets in tables of text (RFC 4180, and with semicolons or tabs): the cells below a column's
//! name.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::counts::Rule;
use super::edit::Edits;
use super::effort::Effort;
use super::sieve::{Traces, is_name};

/// Longest first line that is taken for one of names.
const HEADER: usize = 4096;

/// Most columns of a table that are distinguished.
const COLUMNS: usize = 128;

/// Hides the cells of secret columns when the text is a table: by its media type, or because its
/// first line is a list of names and its second has as many cells.
pub(super) fn scan(
    text: &[u8],
    media_type: &[u8],
    traces: &Traces,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let header_end = memchr(b'\n', text).unwrap_or(text.len());
    if header_end > HEADER {
        return;
    }
    if !traces
        .idents
        .iter()
        .any(|ident| ident.range.end <= header_end)
    {
        return;
    }
    let header = text.get(..header_end).unwrap_or_default();
    let Some(separator) = separator(header) else {
        return;
    };
    let columns: Vec<bool> = cells(text, 0, separator)
        .take(COLUMNS)
        .map(|cell| {
            let within = |start: usize| cell.start <= start && start < cell.end;
            traces.idents.iter().any(|ident| within(ident.range.start))
        })
        .collect();
    let labelled = is_labelled(media_type);
    let second = cells(text, header_end + 1, separator).take(COLUMNS).count();
    let mut names = header.split(|&b| b == separator);
    let is_table = second == columns.len() && names.all(is_column_name);
    if !labelled && !is_table {
        return;
    }
    let mut at = header_end + 1;
    while at < text.len() {
        let mut end = at;
        for (cell, is_secret) in
            cells(text, at, separator).zip(columns.iter().chain(std::iter::repeat(&false)))
        {
            if !effort.spend(cell.len() + 1) {
                return;
            }
            end = cell.end;
            if *is_secret {
                edits.push_plain(text, unquoted(text, cell), Rule::Text);
            }
        }
        at = end.max(at) + 1;
    }
}

/// The media type says that it is a table.
pub(super) fn is_labelled(media_type: &[u8]) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    [&b"csv"[..], b"tab-separated", b"comma-separated"]
        .iter()
        .any(|kind| memchr::memmem::find(&media_type, kind).is_some())
}

/// What stands between the names of the first line.
fn separator(header: &[u8]) -> Option<u8> {
    [b',', b'\t', b';', b'|']
        .into_iter()
        .find(|separator| memchr(*separator, header).is_some())
}

/// A name of one or two words, and no part of a sentence.
fn is_column_name(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    let is_part = |&b: &u8| is_name(b) || matches!(b, b' ' | b'"' | b'/' | b'(' | b')');
    let words = cell.split(|b| *b == b' ').count();
    words <= 2 && !cell.ends_with(b".") && cell.iter().all(is_part)
}

/// The cells of the line that begins at `from`.
fn cells(text: &[u8], from: usize, separator: u8) -> impl Iterator<Item = Range<usize>> {
    let mut next = (from < text.len()).then_some(from);
    std::iter::from_fn(move || {
        let start = next.take()?;
        let mut end = start;
        if text.get(start) == Some(&b'"') {
            end = end_of_quoted(text, start + 1);
        }
        let rest = text.get(end..).unwrap_or_default();
        end += memchr2(separator, b'\n', rest).unwrap_or(rest.len());
        if text.get(end) == Some(&separator) {
            next = Some(end + 1);
        }
        Some(start..end)
    })
}

/// Where a quoted cell ends; a quote in it is doubled.
fn end_of_quoted(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = text.get(at..).and_then(|rest| memchr(b'"', rest)) {
        at += found + 1;
        if text.get(at) != Some(&b'"') {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// A cell without its quotes and the end of its line.
fn unquoted(text: &[u8], cell: Range<usize>) -> Range<usize> {
    let mut range = cell;
    let is = |at: Option<usize>, byte| at.and_then(|at| text.get(at)) == Some(&byte);
    if is(range.end.checked_sub(1), b'\r') && range.end > range.start {
        range.end -= 1;
    }
    if range.len() >= 2 && is(Some(range.start), b'"') && is(range.end.checked_sub(1), b'"') {
        range = range.start + 1..range.end - 1;
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::document::Search;
    use crate::redact::fixture::{apply, mask, search};

    fn check(media_type: &str, text: &str, expected: &str) {
        let Search { names, sieve, .. } = search();
        let once = apply(text, |text, edits| {
            let mut effort = Effort::for_len(text.len());
            let mut traces = Traces::default();
            sieve.look(text, names, &mut effort, &mut traces);
            scan(text, media_type.as_bytes(), &traces, &mut effort, edits);
        });
        assert_eq!(mask(&once), expected, "{text}");
    }

    #[test]
    fn columns() {
        check(
            "text/csv",
            "user,password\nann,S\n",
            "user,password\nann,#\n",
        );
        check(
            "",
            "password;user\r\n\"S;\"\"T\";\"a\nb\"\r\nU;b\r\n",
            "password;user\r\n\"#\";\"a\nb\"\r\n#;b\r\n",
        );
        check(
            "text/plain",
            "id\tapi key\n1\tS\n2\tT",
            "id\tapi key\n1\t#\n2\t#",
        );
        check("text/csv", "password,b\nS", "password,b\n#");
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "Enter your password, then press return.\nThank you, ann.",
            "user,name\nann,b\n",
            "a\npassword,b\nc,d",
            "password",
        ] {
            check("text/plain", text, text);
        }
    }
}
