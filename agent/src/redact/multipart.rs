//! Secrets in multipart bodies (RFC 7578): a part whose name is a secret's is hidden whole, every
//! other one is a document of its own.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::effort::Effort;
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
) {
    let Some(boundary) = boundary(text) else {
        return;
    };
    effort.spend(text.len());
    let finder = memmem::Finder::new(boundary);
    let mut next = finder.find(text);
    while let Some(at) = next {
        let head = at + boundary.len();
        let rest = text.get(head..).unwrap_or_default();
        let len = finder.find(rest).unwrap_or(rest.len());
        next = (len < rest.len()).then_some(head + len);
        let part = rest.get(..len).unwrap_or_default();
        let Some((head_len, blank)) = head_end(part.get(..PART_HEAD).unwrap_or(part)) else {
            continue;
        };
        let part_head = part.get(..head_len).unwrap_or_default();
        let start = head + head_len + blank;
        let end = match next {
            Some(_) => head + trim_newline(part),
            None => text.len(),
        };
        if !effort.spend(4 * head_len + 16) {
            return;
        }
        if names_a_secret(part_head, names) {
            edits.push_plain(text, start.min(end)..end, Rule::Multipart);
        } else if start < end {
            let media_type = media_type(part_head);
            let range = start..end;
            each(Part { range, media_type }, effort, edits);
        }
    }
}

/// What a part's head says of its content.
fn media_type(head: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"content-type:";
    let mut lines = head.split(|&b| b == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    value.unwrap_or_default().trim_ascii()
}

/// `--boundary` as it stands on the first line that begins with two dashes.
fn boundary(text: &[u8]) -> Option<&[u8]> {
    let start = if text.starts_with(b"--") {
        0
    } else {
        memmem::find(text, b"\n--")? + 1
    };
    let line = text.get(start..)?;
    let end = line.iter().position(|&b| matches!(b, b'\r' | b'\n'))?;
    // RFC 2046 §5.1.1: 1 to 70 characters after the dashes.
    line.get(..end)
        .filter(|line| (3..=72).contains(&line.len()))
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
    memmem::find_iter(&lower, b"name").any(|at| {
        // Not the end of `filename`.
        let whole = at == 0 || !head[at - 1].is_ascii_alphanumeric();
        whole
            && parameter(&head[at + 4..]).is_some_and(|(name, coding)| names.matches(name, coding))
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
            &value[..end.unwrap_or(value.len())]
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
