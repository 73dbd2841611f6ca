//! Secrets in multipart bodies (RFC 7578): a part whose name is a secret's is hidden whole, every
//! other one is a document of its own.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::body::starts_with;
use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::members::Members;
use super::names::Names;

/// Longest head of a part. Browsers and libraries stay below 1 KiB; a file name is at most 255
/// bytes on any system.
const PART_HEAD: usize = 8 * 1024;

/// A part that is a document of its own.
pub(super) struct Part<'a> {
    /// Where its content stands.
    pub(super) range: Range<usize>,
    /// Its media type, empty when it says none.
    pub(super) media_type: &'a [u8],
    /// It is base64 of the content (RFC 2045 §6.8).
    pub(super) is_base64: bool,
}

impl<'a> Part<'a> {
    fn of(head: &'a [u8], range: Range<usize>) -> Self {
        Self {
            range,
            media_type: field(head, b"content-type:"),
            is_base64: is_base64(head),
        }
    }

    const fn unlabelled(range: Range<usize>) -> Self {
        Self {
            range,
            media_type: b"",
            is_base64: false,
        }
    }
}

/// Hides secret parts; the others go to `each`. The boundary is taken from the body's own first
/// line, so a wrong one in the head does no harm. Each byte belongs to one part, and is looked at
/// once.
pub(super) fn scan<'a>(
    text: &'a [u8],
    names: &Names,
    effort: &mut Effort,
    edits: &mut Edits,
    mut each: impl FnMut(Part<'a>, &mut Effort, &mut Edits),
) -> bool {
    let Some(boundary) = boundary(text) else {
        return false;
    };
    effort.spend(text.len());
    let finder = memmem::Finder::new(boundary);
    // At the beginning of a line only.
    let mut places = finder
        .find_iter(text)
        .filter(|&at| at == 0 || text.get(at - 1) == Some(&b'\n'))
        .peekable();
    let before = 0..places.peek().copied().unwrap_or(text.len());
    if !before.is_empty() {
        each(Part::unlabelled(before), effort, edits);
    }
    let mut members = Members::default();
    while let Some(at) = places.next() {
        let head = at + boundary.len();
        let end_of = |next: Option<&usize>| match next {
            Some(&next) => head + trim_newline(text.get(head..next).unwrap_or_default()),
            None => text.len(),
        };
        let mut end = end_of(places.peek());
        let part = text.get(head..end).unwrap_or_default();
        let Some((head_len, blank)) = head_end(part.get(..PART_HEAD).unwrap_or(part)) else {
            match part.trim_ascii() {
                // What belongs to which name cannot be said.
                _ if part.len() > PART_HEAD => edits.push_plain(text, head..end, Rule::Multipart),
                b"" | b"--" => {}
                _ => each(Part::unlabelled(head..end), effort, edits),
            }
            continue;
        };
        let (part_head, start) = (&part[..head_len], head + head_len + blank);
        if !effort.spend(4 * head_len + 16) {
            return true;
        }
        note(text, part_head, start..end, &mut members, names, effort);
        if names_a_secret(part_head, names) {
            // A line that only begins like a boundary is the value's.
            while let Some(next) = places.next_if(|&next| !ends_line(text, next + boundary.len())) {
                effort.spend(next - at);
                end = end_of(places.peek());
            }
            edits.push_plain(text, start.min(end)..end, Rule::Multipart);
        } else if start < end {
            each(Part::of(part_head, start..end), effort, edits);
        }
    }
    let values = members.secrets().into_iter();
    values.for_each(|range| edits.push_plain(text, range, Rule::Multipart));
    true
}

/// Notes a part that may say the name or the value of another.
fn note(
    text: &[u8],
    head: &[u8],
    range: Range<usize>,
    members: &mut Members,
    names: &Names,
    effort: &mut Effort,
) {
    if let Some((name, coding)) = part_name(head)
        && members.may_have(name)
    {
        let content = text.get(range.clone()).unwrap_or_default();
        members.note((name, content), range, (coding, 0), names, effort);
    }
}

/// The media type says that there are parts, or a mail, which may have some.
pub(super) fn is_labelled(media_type: &[u8]) -> bool {
    starts_with(media_type, b"multipart/") || starts_with(media_type, b"message/rfc822")
}

/// The text has parts.
pub(super) fn recognizes(media_type: &[u8], text: &[u8]) -> bool {
    is_labelled(media_type)
        || text.trim_ascii_start().starts_with(b"--") && boundary(text).is_some()
}

/// Nothing but white space, or the dashes of the last boundary, stands before the line's end.
fn ends_line(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let rest = rest.strip_prefix(b"--").unwrap_or(rest);
    let blank = |b: &&u8| matches!(**b, b' ' | b'\t' | b'\r');
    let len = rest.iter().take_while(blank).count();
    matches!(rest.get(len), Some(b'\n') | None)
}

/// The field of a part's head that has this name, which ends with its colon.
fn field<'a>(head: &'a [u8], name: &[u8]) -> &'a [u8] {
    let mut lines = head.split(|&b| b == b'\n');
    let value = lines.find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    value.unwrap_or_default().trim_ascii()
}

fn is_base64(head: &[u8]) -> bool {
    field(head, ENCODING).eq_ignore_ascii_case(b"base64")
}

const ENCODING: &[u8] = b"content-transfer-encoding:";

/// Some part may be base64: names in it stand nowhere else.
pub(super) fn may_have_base64(text: &[u8]) -> bool {
    [b"ncoding:", b"NCODING:"].iter().any(|last| {
        memmem::find_iter(text, last).any(|at| {
            let end = at + last.len();
            let name = text.get(end.saturating_sub(ENCODING.len())..end);
            name.is_some_and(|name| name.eq_ignore_ascii_case(ENCODING))
        })
    })
}

/// `--boundary` as it stands on the first line that begins with two dashes and is before a part's
/// head, which may be empty. RFC 2046 §5.1.1 allows 70 characters; servers take more.
fn boundary(text: &[u8]) -> Option<&[u8]> {
    let first = text.starts_with(b"--").then_some(0);
    let others = memmem::find_iter(text, b"\n--").map(|at| at + 1);
    first.into_iter().chain(others).find_map(|start| {
        let line = text.get(start..)?;
        let end = memchr(b'\n', line)?;
        let after = line.get(end + 1..)?;
        let name = after.iter().take_while(|&&b| is_token(b)).count();
        let is_head = matches!(after.get(name), Some(b':' | b' ' | b'\t')) && name > 0
            || matches!(after, [b'\r' | b'\n', ..]);
        let line = line.get(..end)?.trim_ascii_end();
        (line.len() > 2 && is_head).then_some(line)
    })
}

/// Bytes of a field's name (RFC 9110 §5.6.2), as far as parts have them.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Length of a part's head and of the empty line after it.
fn head_end(rest: &[u8]) -> Option<(usize, usize)> {
    let crlf = memmem::find(rest, b"\r\n\r\n").map(|at| (at, 4));
    let lf = memmem::find(rest, b"\n\n").map(|at| (at, 2));
    match (crlf, lf) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// The length of a part without the line's end before the next boundary.
fn trim_newline(body: &[u8]) -> usize {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body).len()
}

/// Some `name=` or `name*=` in a part's head, whatever its quoting, is a secret's.
fn names_a_secret(head: &[u8], names: &Names) -> bool {
    let lower = head.to_ascii_lowercase();
    part_names(head, &lower).any(|(name, coding)| names.matches(name, coding))
}

/// The name of a part.
fn part_name(head: &[u8]) -> Option<(&[u8], Coding)> {
    let lower = head.to_ascii_lowercase();
    part_names(head, &lower).next()
}

/// Every `name=` and `name*=` in a part's head, which `lower` is a copy of in lower case.
fn part_names<'a>(head: &'a [u8], lower: &[u8]) -> impl Iterator<Item = (&'a [u8], Coding)> {
    memmem::find_iter(lower, b"name").filter_map(|at| {
        // Not the end of `filename`.
        let whole = at == 0 || !head[at - 1].is_ascii_alphanumeric();
        whole.then(|| parameter(&head[at + 4..])).flatten()
    })
}

/// The value of a parameter, from after its name.
fn parameter(rest: &[u8]) -> Option<(&[u8], Coding)> {
    let rest = rest.strip_prefix(b"*").unwrap_or(rest);
    let value = rest
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => &quoted[..memchr(b'"', quoted).unwrap_or(quoted.len())],
        None => {
            let end = value
                .iter()
                .position(|&b| matches!(b, b';' | b'\r' | b'\n'));
            let value = &value[..end.unwrap_or(value.len())];
            // Quotes of another kind, which some servers take off.
            let inner = value.strip_prefix(b"'").unwrap_or(value);
            inner.strip_suffix(b"'").unwrap_or(inner)
        }
    };
    // RFC 8187: charset'language'value.
    let plain = value.rsplit(|&b| b == b'\'').next().unwrap_or(value);
    let coding = if plain.contains(&b'%') {
        Coding::Percent
    } else {
        Coding::Json
    };
    Some((plain, coding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::digest::Digest;
    use crate::redact::fixture::search;

    fn check(part_head: &str, value: &str, hidden: bool) {
        let names = &search().names;
        let digest = Digest::new(Some("test")).unwrap();
        for newline in ["\r\n", "\n"] {
            let before = format!(
                "--b0{newline}content-disposition: form-data; name=\"user\"{newline}{newline}bob{newline}"
            );
            let part = format!("--b0{newline}{part_head}{newline}{newline}");
            for after in [format!("{newline}--b0--{newline}"), String::new()] {
                let text = format!("{before}{part}{value}{after}");
                let (mut edits, mut out) = (Edits::default(), Vec::new());
                let mut effort = Effort::for_len(text.len());
                scan(
                    text.as_bytes(),
                    names,
                    &mut effort,
                    &mut edits,
                    |_, _, _| (),
                );
                edits.apply(text.as_bytes(), &digest, &mut out);
                let mut expected = format!("{before}{part}").into_bytes();
                if hidden {
                    digest.replace(value.as_bytes(), Coding::Plain, &mut expected);
                } else {
                    expected.extend_from_slice(value.as_bytes());
                }
                expected.extend_from_slice(after.as_bytes());
                assert_eq!(
                    String::from_utf8_lossy(&out),
                    String::from_utf8_lossy(&expected)
                );
            }
        }
    }

    #[test]
    fn secret_parts_are_hidden_whole() {
        check(
            "Content-Disposition: form-data; name=\"password\"",
            "a\nb=c&d",
            true,
        );
        check(
            "content-disposition: form-data; NAME=password; filename=\"x\"",
            "abc",
            true,
        );
        check(
            "content-disposition: form-data; filename=\"name=x\"; name=\"api_key\"",
            "abc",
            true,
        );
        check(
            "content-disposition: form-data; name='password'",
            "abc",
            true,
        );
        check(
            "content-disposition: form-data; name=\"password\"",
            "x--b0\ny--b0--z\n--b0x\nabc",
            true,
        );
        check(
            "content-disposition: form-data; name=\"pass%77ord\"",
            "abc",
            true,
        );
        check(
            "content-disposition: form-data; name*=utf-8''pass%77ord",
            "abc",
            true,
        );
        check(
            "content-disposition: form-data; name=\"user[password]\"",
            "abc",
            true,
        );
    }

    #[test]
    fn other_parts_stay() {
        check(
            "content-disposition: form-data; name=\"comment\"",
            "my password",
            false,
        );
        check(
            "content-disposition: form-data; filename=\"password\"",
            "abc",
            false,
        );
        check("content-type: text/plain", "abc", false);
    }
}
