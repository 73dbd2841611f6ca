//! Secrets in `name=value` pairs: queries (RFC 3986 §3.4), urlencoded forms (WHATWG URL §5), and user names and passwords in
//! URLs (RFC 3986 §3.2.1).
//!
//! A value ends at `&` and nowhere else: whatever else follows may belong to it. One level of percent-encoded pairs is
//! looked into (`next=https%3A%2F%2Fa%2F%3Ftoken%3Dx`), and JSON that is the value of a pair.

use memchr::{memchr, memchr2_iter, memmem};

use super::counts::Rule;
use super::edit::{Coding, Edit, Edits};
use super::json;
use super::names::{Names, hex_pair};

/// Longest name in raw bytes; see [`super::names`].
const NAME: usize = 512;

/// Finds the values of secret parameters in a URL, or in a part of one, and its password. The caller
/// settles the edits.
pub(super) fn scan_url(text: &[u8], names: &Names, edits: &mut Edits) {
    scan_userinfo(text, edits);
    // Pairs begin after `?`, `;` or `#`; most URLs have none.
    if memchr(b'=', text).is_some() || memchr(b'%', text).is_some() {
        scan_pairs(text, Rule::Query, names, edits);
    }
}

/// Finds the values of secret fields of an urlencoded form.
pub(super) fn scan_form(text: &[u8], names: &Names, edits: &mut Edits) {
    scan_pairs(text, Rule::Form, names, edits);
}

fn scan_pairs(text: &[u8], rule: Rule, names: &Names, edits: &mut Edits) {
    let mut done = 0;
    for at in memchr2_iter(b'=', b'%', text) {
        if at < done {
            continue;
        }
        let nested = text[at] == b'%';
        if nested && escape(text, at) != Some(b'=') {
            continue;
        }
        let value = at + if nested { 3 } else { 1 };
        if names.matches(name_before(text, at, nested), Coding::Percent) {
            done = value_end(text, value, nested);
            let edit = Edit {
                range: value..done,
                rule,
                coding: Coding::Percent,
                quote: None,
            };
            edits.push(text, edit);
        } else if !nested && begins_json(text, value) {
            // Whatever else it holds, it is looked at once, so that no text costs more than its length.
            done = value_end(text, value, false);
            scan_json_value(text, value, done, names, edits);
        }
    }
}

fn name_before(text: &[u8], end: usize, nested: bool) -> &[u8] {
    let from = end.saturating_sub(NAME);
    let mut start = end;
    while start > from {
        let byte = text[start - 1];
        // At `=` too: what is between two of them may be the name that a server takes.
        if matches!(byte, b'&' | b'?' | b';' | b'#' | b'/' | b'=') {
            break;
        }
        if nested
            && matches!(
                escape(text, start - 1),
                Some(b'&' | b'?' | b';' | b'#' | b'/')
            )
        {
            start += 2;
            break;
        }
        start -= 1;
    }
    text.get(start..end).unwrap_or_default()
}

fn value_end(text: &[u8], start: usize, nested: bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let end = start + memchr(b'&', rest).unwrap_or(rest.len());
    if !nested {
        return end;
    }
    (start..end)
        .find(|&at| escape(text, at) == Some(b'&'))
        .unwrap_or(end)
}

/// What the percent escape at `at` stands for.
fn escape(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at..at + 3)? {
        [b'%', high, low] => hex_pair(*high, *low),
        _ => None,
    }
}

/// The value is JSON, encoded or not.
fn begins_json(text: &[u8], value: usize) -> bool {
    matches!(text.get(value), Some(b'{' | b'[')) || matches!(escape(text, value), Some(b'{' | b'['))
}

fn scan_json_value(text: &[u8], start: usize, end: usize, names: &Names, edits: &mut Edits) {
    let value = text.get(start..end).unwrap_or_default();
    // Each decoded byte with the place it came from.
    let mut decoded = Vec::with_capacity(value.len());
    let mut origin = Vec::with_capacity(value.len() + 1);
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        origin.push(start + at);
        match escape(value, at) {
            Some(meant) => {
                decoded.push(meant);
                at += 3;
            }
            None => {
                decoded.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    origin.push(end);
    let mut found = Edits::default();
    json::scan(&decoded, names, &mut found);
    for edit in found.as_slice() {
        if let (Some(&from), Some(&to)) = (origin.get(edit.range.start), origin.get(edit.range.end))
        {
            edits.push_unchecked(Edit {
                range: from..to,
                coding: Coding::Percent,
                ..edit.clone()
            });
        }
    }
}

/// The password of `scheme://user:password@host`, or all before the `@` when there is no colon.
fn scan_userinfo(text: &[u8], edits: &mut Edits) {
    if memchr(b'@', text).is_none() {
        return;
    }
    for scheme in memmem::find_iter(text, b"//") {
        let start = scheme + 2;
        let rest = text.get(start..).unwrap_or_default();
        let authority = rest
            .iter()
            .position(|&b| matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'<' | b'>'))
            .unwrap_or(rest.len());
        let Some(at) = memchr::memrchr(b'@', &rest[..authority]) else {
            continue;
        };
        let userinfo = &rest[..at];
        if super::digest::is_replacement(userinfo) {
            continue;
        }
        let secret = memchr(b':', userinfo).map_or(0, |colon| colon + 1);
        edits.push(
            text,
            Edit {
                range: start + secret..start + at,
                rule: Rule::UserInfo,
                coding: Coding::Percent,
                quote: None,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::defaults;
    use crate::policy::digest::Digest;

    /// `expected` has `#` where a replacement stands.
    fn check(scan: fn(&[u8], &Names, &mut Edits), text: &str, expected: &str) {
        let names = Names::new(&defaults::NAMES.map(str::to_owned)).unwrap();
        let digest = Digest::new(Some("test"));
        let run = |text: &str| {
            let (mut edits, mut out) = (Edits::default(), Vec::new());
            scan(text.as_bytes(), &names, &mut edits);
            edits.settle();
            edits.apply(text.as_bytes(), &digest, &mut out);
            String::from_utf8(out).unwrap()
        };
        let once = run(text);
        let mut masked = String::new();
        let mut rest = once.as_str();
        while let Some((before, after)) = rest.split_once("[redacted:") {
            masked = masked + before + "*";
            rest = &after[13..];
        }
        assert_eq!(masked + rest, expected, "{text}");
        assert_eq!(run(&once), once, "a second pass changes {text}");
    }

    #[test]
    fn parameters() {
        check(scan_url, "/a?x=1&token=abc&y=2", "/a?x=1&token=*&y=2");
        check(scan_url, "/a?token=abc", "/a?token=*");
        check(scan_url, "/a?pass%77ord=a=b?c#d", "/a?pass%77ord=*");
        check(scan_url, "/a;jsessionid=1F?x=1", "/a;jsessionid=*");
        check(
            scan_url,
            "https://h/cb#access_token=x&state=y",
            "https://h/cb#access_token=*&state=y",
        );
        check(
            scan_url,
            "/a?X-Amz-Signature=f00&X-Amz-Date=1",
            "/a?X-Amz-Signature=*&X-Amz-Date=1",
        );
        check(scan_url, "/a?user[password]=x", "/a?user[password]=*");
        check(scan_url, "/token=/a?b=c", "/token=*");
        check(scan_url, "/a?x=token=y&z", "/a?x=token=*&z");
    }

    #[test]
    fn encoded_urls_inside() {
        check(
            scan_url,
            "/go?next=https%3A%2F%2Fa%2F%3Ftoken%3Dx%26b%3Dc&d=e",
            "/go?next=https%3A%2F%2Fa%2F%3Ftoken%3D*%26b%3Dc&d=e",
        );
        check(scan_url, "/go?next=token%3dx", "/go?next=token%3d*");
    }

    #[test]
    fn user_names_and_passwords() {
        check(scan_url, "https://u:p:q@h/x", "https://u:*@h/x");
        check(scan_url, "https://ghp_abc@h:80/x?@y", "https://*@h:80/x?@y");
        check(scan_url, "//u:p@q@h", "//u:*@h");
        check(scan_url, "https://h/@me?a=b@c", "https://h/@me?a=b@c");
        check(scan_url, "https://u:p@h/?token=x", "https://u:*@h/?token=*");
    }

    #[test]
    fn forms() {
        check(
            scan_form,
            "user=bob&password=a%26b+c&x=",
            "user=bob&password=*&x=",
        );
        check(scan_form, "password=abc", "password=*");
        check(scan_form, "password", "password");
        check(scan_form, "password=", "password=");
        check(scan_form, "a=%", "a=%");
        check(scan_form, "a=%3", "a=%3");
    }

    #[test]
    fn json_in_a_value() {
        check(
            scan_form,
            "payload=%7B%22token%22%3A%22x%22%2C%22a%22%3A+1%7D&b=c",
            "payload=%7B%22token%22%3A%22*%22%2C%22a%22%3A+1%7D&b=c",
        );
        check(scan_form, "f={\"pw\":\"x\"}&b=c", "f={\"pw\":\"*\"}&b=c");
        check(scan_form, "f={\"pin\":12", "f={\"pin\":\"*\"");
        check(scan_form, "f={\"a\":1}&pin=12", "f={\"a\":1}&pin=*");
    }
}
