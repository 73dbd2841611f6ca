//! Secrets in multipart bodies (RFC 7578): a part whose name is a secret's is hidden whole, JSON and XML parts are looked
//! into.

use memchr::{memchr, memmem};

use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::names::Names;
use super::{json, xml};

/// Longest head of a part. Browsers and libraries stay below 1 KiB; a file name is at most 255 bytes on any system.
const PART_HEAD: usize = 8 * 1024;

/// Finds the values of secret parts. The boundary is taken from the body's own first line, so a wrong one in the head does no
/// harm.
pub(super) fn scan(text: &[u8], names: &Names, edits: &mut Edits) {
    let Some(boundary) = boundary(text) else {
        return;
    };
    let finder = memmem::Finder::new(boundary);
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| finder.find(rest)) {
        let head = at + found + boundary.len();
        let rest = text.get(head..).unwrap_or_default();
        let Some((head_len, blank)) = head_end(&rest[..rest.len().min(PART_HEAD)]) else {
            at = head;
            continue;
        };
        let start = head + head_len + blank;
        let body = text.get(start..).unwrap_or_default();
        let end = start
            + finder
                .find(body)
                .map_or(body.len(), |end| trim_newline(body, end));
        if names_a_secret(&rest[..head_len], names) {
            edits.push_plain(text, start..end, Rule::Multipart);
        } else {
            let mut inner = Edits::default();
            let content = &text[start..end];
            if xml::recognizes(content.trim_ascii_start()) {
                xml::scan(content, names, &mut inner);
            } else {
                json::scan(content, names, &mut inner);
            }
            edits.append(inner, start);
        }
        at = end;
    }
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

fn trim_newline(body: &[u8], end: usize) -> usize {
    let body = &body[..end];
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
    use crate::redact::defaults;
    use crate::redact::digest::Digest;

    fn check(part_head: &str, value: &str, hidden: bool) {
        let names = Names::new(&defaults::NAMES.map(str::to_owned)).unwrap();
        let digest = Digest::new(Some("test")).unwrap();
        for newline in ["\r\n", "\n"] {
            let before = format!(
                "--b0{newline}content-disposition: form-data; name=\"user\"{newline}{newline}bob{newline}"
            );
            let part = format!("--b0{newline}{part_head}{newline}{newline}");
            for after in [format!("{newline}--b0--{newline}"), String::new()] {
                let text = format!("{before}{part}{value}{after}");
                let (mut edits, mut out) = (Edits::default(), Vec::new());
                scan(text.as_bytes(), &names, &mut edits);
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
