//! Values that are recognised by their own form, wherever they stand. Opt-in: each costs a pass over every text.

use std::ops::Range;

use memchr::{memchr_iter, memmem};

use super::config::Pattern;
use super::counts::Rule;
use super::edit::{Coding, Edit, Edits};

/// Finds the values of the kinds in `patterns`. The caller settles what overlaps.
pub(super) fn scan(text: &[u8], patterns: &[Pattern], edits: &mut Edits) {
    for pattern in patterns {
        match pattern {
            Pattern::Card => cards(text, edits),
            Pattern::Email => emails(text, edits),
            Pattern::Jwt => tokens(text, edits),
        }
    }
}

/// 13 to 19 digits (ISO/IEC 7812), single spaces or dashes between them allowed, that pass the Luhn check.
fn cards(text: &[u8], edits: &mut Edits) {
    let mut at = 0;
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(u8::is_ascii_digit))
    {
        let start = at + found;
        let end = digits_end(text, start);
        let bounded = start == 0 || !text[start - 1].is_ascii_alphanumeric();
        let digits = || {
            text[start..end]
                .iter()
                .filter(|b| b.is_ascii_digit())
                .map(|b| b - b'0')
        };
        if bounded && (13..=19).contains(&digits().count()) && luhn(digits()) {
            edits.push(
                text,
                Edit {
                    range: start..end,
                    rule: Rule::Card,
                    coding: Coding::Plain,
                    quote: json_number(text, start..end).then_some(0),
                },
            );
        }
        at = end;
    }
}

fn digits_end(text: &[u8], start: usize) -> usize {
    let mut end = start;
    loop {
        match text.get(end..) {
            Some([b'0'..=b'9', ..]) => end += 1,
            Some([b' ' | b'-', b'0'..=b'9', ..]) if end > start => end += 2,
            _ => return end,
        }
    }
}

fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, u32::from(digit) * 2) {
            (0, double) => double / 2,
            (_, double) => double % 10 + double / 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The digits stand where JSON has a value.
fn json_number(text: &[u8], range: Range<usize>) -> bool {
    let before = text[..range.start].trim_ascii_end().last();
    let after = text[range.end..].trim_ascii_start().first();
    matches!(before, Some(b':' | b',' | b'[')) && matches!(after, Some(b',' | b'}' | b']'))
}

/// `local@domain.tld`, as people write it (a subset of RFC 5321).
fn emails(text: &[u8], edits: &mut Edits) {
    for at in memchr_iter(b'@', text) {
        let local = text[..at]
            .iter()
            .rev()
            .take_while(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-')
            })
            .count();
        let domain = text[at + 1..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count();
        let host = text[at + 1..at + 1 + domain].trim_ascii_end();
        let host = host.strip_suffix(b".").unwrap_or(host);
        let top = host.rsplit(|&b| b == b'.').next().unwrap_or_default();
        let named =
            top.len() >= 2 && top.len() < host.len() && top.iter().all(u8::is_ascii_alphabetic);
        if local > 0 && named {
            edits.push_plain(text, at - local..at + 1 + host.len(), Rule::Email);
        }
    }
}

/// Three base64url parts, the first of which is a JSON object: `eyJ` is `{"` in base64.
fn tokens(text: &[u8], edits: &mut Edits) {
    let mut done = 0;
    for start in memmem::find_iter(text, b"eyJ") {
        if start < done || (start > 0 && is_base64url(text[start - 1])) {
            continue;
        }
        let part = |from: usize| {
            let rest = text.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|&&b| is_base64url(b)).count()
        };
        let header = part(start);
        let claims = part(header + 1);
        if text.get(header) != Some(&b'.') || claims == header + 1 {
            continue;
        }
        // The signature may be empty (an unsecured token), or cut.
        done = if text.get(claims) == Some(&b'.') {
            part(claims + 1)
        } else {
            claims
        };
        edits.push_plain(text, start..done, Rule::Jwt);
    }
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is what is found.
    fn check(text: &str, expected: &[(&str, Rule)]) {
        let mut edits = Edits::default();
        let all = [Pattern::Card, Pattern::Email, Pattern::Jwt];
        scan(text.as_bytes(), &all, &mut edits);
        edits.settle();
        let found: Vec<_> = edits
            .as_slice()
            .iter()
            .map(|edit| (&text[edit.range.clone()], edit.rule))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn cards() {
        let card = |text| (text, Rule::Card);
        check("pay 4111111111111111 now", &[card("4111111111111111")]);
        check(
            "5500-0000-0000-0004,3400 0000 0000 009",
            &[card("5500-0000-0000-0004"), card("3400 0000 0000 009")],
        );
        check(
            "4111111111111112 a4111111111111111 411111111111 12345678901234567890",
            &[],
        );
        let mut edits = Edits::default();
        scan(b"{\"n\": 4111111111111111}", &[Pattern::Card], &mut edits);
        assert_eq!(edits.as_slice()[0].quote, Some(0));
    }

    #[test]
    fn emails() {
        let email = |text| (text, Rule::Email);
        check(
            "{\"to\":\"a.b+c@mail.example.com\"}",
            &[email("a.b+c@mail.example.com")],
        );
        check("write to me@example.org.", &[email("me@example.org")]);
        check("@ a@ @b a@b a@1.2 user@host x@y.z", &[]);
    }

    #[test]
    fn tokens() {
        let jwt = |text| (text, Rule::Jwt);
        check(
            "t=eyJhbGciOi.eyJzdWIi.c2ln-_ x",
            &[jwt("eyJhbGciOi.eyJzdWIi.c2ln-_")],
        );
        check("eyJhbGciOi.eyJzdW", &[jwt("eyJhbGciOi.eyJzdW")]);
        check("eyJhbGciOi eyJ.. xeyJh.b.c", &[]);
    }
}
