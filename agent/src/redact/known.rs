//! Secrets that are recognised by their own form, wherever they stand: tokens with a prefix that
//! their issuer gave them for this purpose, JSON Web Tokens, private keys in PEM, payment cards,
//! and e-mail addresses where that is asked for.

mod card;
mod command;
mod forms;
mod sql;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memchr_iter;

use super::config::Pattern;
use super::counts::Rule;
use super::edit::Edits;
use super::effort::Effort;
use super::sieve::Traces;
use crate::http::percent::hex;
pub(super) use card::cards;
use forms::{Alphabet, Form, is_base64url, run};

/// Nothing that is recognised by its form stands in such a text, but payment cards: it is made of
/// numbers, addresses, dates or hexadecimal digits, which begin none.
pub(super) fn begins_none(text: &[u8]) -> bool {
    static DULL: [bool; 256] = {
        let mut dull = [false; 256];
        let (bytes, mut at) = (b"0123456789abcdef-. ,;", 0);
        while at < bytes.len() {
            dull[bytes[at] as usize] = true;
            at += 1;
        }
        dull
    };
    text.iter().all(|byte| DULL[usize::from(*byte)])
}

/// Finds tokens and keys where the first pass found what they begin with.
pub(super) fn scan(
    text: &[u8],
    traces: &Traces,
    patterns: &[Pattern],
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let has = |pattern| patterns.contains(&pattern);
    let in_address = |range| (range, Rule::UserInfo);
    let mut done = 0;
    for &at in &traces.tokens {
        if at < done {
            continue;
        }
        if let Some(end) = command::scan(text, at, effort, edits) {
            done = end;
            continue;
        }
        let found = match text.get(at) {
            Some(b'i' | b'I') => sql::password(text, at, effort).map(|range| (range, Rule::Text)),
            Some(b'P') if has(Pattern::PrivateKey) && begins_with(text, at, b"Private-Lines") => {
                putty_key(text, at).map(|range| (range, Rule::PrivateKey))
            }
            Some(b'e') if has(Pattern::Jwt) => token(text, at).map(|range| (range, Rule::Jwt)),
            Some(b'b' | b'B') if has(Pattern::KnownToken) => {
                basic(text, at).map(|range| (range, Rule::Authorization))
            }
            Some(b'-') if has(Pattern::PrivateKey) => {
                private_key(text, at).map(|range| (range, Rule::PrivateKey))
            }
            Some(b't') if begins_with(text, at, b"thin:") => oracle(text, at).map(in_address),
            Some(b'@') => password_before(text, done..at, effort).map(in_address),
            Some(b':') if has(Pattern::KnownToken) => {
                bot_token(text, at).map(|range| (range, Rule::KnownToken))
            }
            Some(_) if has(Pattern::KnownToken) => {
                known(text, at).map(|range| (range, Rule::KnownToken))
            }
            _ => None,
        };
        if !effort.spend(32) {
            return;
        }
        if let Some((range, rule)) = found {
            done = range.end;
            if !effort.spend(range.len()) {
                return;
            }
            edits.push_plain(text, range, rule);
        }
    }
    if has(Pattern::Card) {
        cards(text, &traces.digits, effort, edits);
    }
    if has(Pattern::Email) {
        emails(text, effort, edits);
    }
}

/// A token whose prefix begins at `at`, or a little before it.
fn known(text: &[u8], at: usize) -> Option<Range<usize>> {
    // `k_live_` stands for two prefixes, `_v1_` for three.
    let start = match text.get(at..)? {
        [b'_', ..] => at.checked_sub(3)?,
        [b'k' | b'K', b'_', ..] => at.checked_sub(1)?,
        _ => at,
    };
    let rest = text.get(start..)?;
    for Form(prefix, alphabet, least, stays) in forms::by_letter(*rest.first()?) {
        let Some(after) = rest.strip_prefix(prefix.as_bytes()) else {
            continue;
        };
        if *stays == 0 && !begins(text, start) {
            return None;
        }
        let mut len = run(after, *alphabet);
        // What the text goes on with.
        while len > 0 && after.get(len - 1) == Some(&b',') {
            len -= 1;
        }
        if len >= *least {
            return Some(start + stays..start + prefix.len() + len);
        }
    }
    None
}

fn begins_with(text: &[u8], at: usize, start: &[u8]) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(start))
}

/// A Telegram bot's token, `<digits>:AA<33 more>`, whose colon is at `at`.
fn bot_token(text: &[u8], at: usize) -> Option<Range<usize>> {
    const MOST: usize = 12;
    let before = text.get(at.saturating_sub(MOST)..at)?;
    let digits = before
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let secret = text.get(at + 1..)?;
    let len = run(secret, Alphabet::Word);
    let fits = (8..MOST).contains(&digits) && secret.starts_with(b"AA") && len >= 33;
    fits.then_some(at - digits..at + 1 + len)
}

/// User name and password of the scheme `Basic` (RFC 7617 §2), wherever they stand: what is base64
/// of a text with a colon.
fn basic(text: &[u8], at: usize) -> Option<Range<usize>> {
    const SCHEME: usize = b"Basic ".len();
    /// Of a name, a colon and a password.
    const LEAST: usize = 4;
    const LONGEST: usize = 1024;
    let start = at + SCHEME;
    let rest = text.get(start..)?;
    let is_part = |b: &&u8| is_base64url(**b) || matches!(**b, b'+' | b'/');
    let len = rest.iter().take(LONGEST).take_while(is_part).count();
    let padding = rest.get(len..)?.iter().take(2).take_while(|&&b| b == b'=');
    let end = start + len + padding.count();
    if len < LEAST || !begins(text, at) {
        return None;
    }
    // As much as is whole groups: a password may go on further.
    let groups = rest.get(..len.min(LONGEST) / 4 * 4)?;
    let groups: Vec<u8> = groups.iter().map(|&b| standard(b)).collect();
    let pair = STANDARD_NO_PAD.decode(groups).ok()?;
    let is_text = pair.iter().all(|&b| b >= b' ' && b != 0x7f);
    (is_text && pair.contains(&b':')).then_some(start..end)
}

/// The letter of base64 for one of base64url (RFC 4648 §5).
const fn standard(letter: u8) -> u8 {
    match letter {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

/// The password before the host of a data source of Go's MySQL driver: `user:password@tcp(host)`.
fn password_before(
    text: &[u8],
    Range { start, end: at }: Range<usize>,
    effort: &mut Effort,
) -> Option<Range<usize>> {
    const LONGEST: usize = 256;
    let before = text.get(start.max(at.saturating_sub(LONGEST))..at)?;
    effort.spend(before.len());
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'=' | b'<');
    let len = before.iter().rev().position(ends).unwrap_or(before.len());
    let source = before.get(before.len() - len..)?;
    let colon = memchr::memchr(b':', source)?;
    Some(at - len + colon + 1..at)
}

/// The password in an address of Oracle's thin driver: `jdbc:oracle:thin:user/password@host`.
fn oracle(text: &[u8], at: usize) -> Option<Range<usize>> {
    const LONGEST: usize = 256;
    let start = at + b"thin:".len();
    let rest = text.get(start..)?;
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'<');
    let len = rest.iter().take(LONGEST).position(ends);
    let source = rest.get(..len.unwrap_or(LONGEST.min(rest.len())))?;
    // The host begins behind the last one: a password may have one too.
    let host = memchr::memrchr(b'@', source)?;
    let slash = memchr::memchr(b'/', source.get(..host)?)?;
    Some(start + slash + 1..start + host)
}

/// A word begins at `at`: what stands before it is none of it, be it the end of an escape.
fn begins(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    match *before {
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [.., b'%', high, low] if hex(high).is_some() && hex(low).is_some() => true,
        [.., b'u', b'0', b'0', high, low] if hex(high).is_some() && hex(low).is_some() => true,
        [.., byte] => !is_base64url(byte),
        [] => true,
    }
}

/// Three base64url parts or more, the first of which is a JSON object: `eyJ` is `{"` in base64.
fn token(text: &[u8], start: usize) -> Option<Range<usize>> {
    if !text.get(start..)?.starts_with(b"eyJ") || !begins(text, start) {
        return None;
    }
    let dot = |at: usize| match text.get(at..) {
        Some([b'.', ..]) => Some(at + 1),
        Some([b'%', b'2', b'E' | b'e', ..]) => Some(at + 3),
        _ => None,
    };
    let part = |from: usize| from + run(text.get(from..).unwrap_or_default(), Alphabet::Word);
    let claims = dot(part(start))?;
    let mut end = part(claims);
    if end == claims {
        return None;
    }
    // The signature may be empty (an unsecured token), or cut. An encrypted token has five parts.
    for _ in 0..3 {
        match dot(end) {
            Some(next) => end = part(next),
            None => break,
        }
    }
    Some(start..end)
}

/// From `-----BEGIN … PRIVATE KEY-----` to its end, or as far as it goes (RFC 7468; also with the
/// headers of RFC 1421, within JSON strings and in forms).
fn private_key(text: &[u8], start: usize) -> Option<Range<usize>> {
    /// Longest label: `-----BEGIN ENCRYPTED PRIVATE KEY-----` percent-encoded.
    const LABEL: usize = 80;
    const END: &[u8] = b"-----END";
    let rest = text.get(start..)?;
    let label = rest.get(..LABEL).unwrap_or(rest);
    let private = memchr::memmem::find(label, b"PRIVATE")?;
    // The label ends with dashes: they must not come before the word.
    if memchr::memmem::find(label.get(5..private)?, b"-----").is_some() {
        return None;
    }
    let mut at = private;
    let mut ends = false;
    while let Some(&byte) = rest.get(at) {
        if byte == b'-' && rest.get(at..).is_some_and(|rest| rest.starts_with(END)) {
            ends = true;
            at += END.len();
            continue;
        }
        if ends
            && rest
                .get(at..)
                .is_some_and(|rest| rest.starts_with(b"-----"))
        {
            at += 5;
            break;
        }
        let is_part = byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || b"+/=\\-:,.%()*#;_".contains(&byte);
        if !is_part {
            break;
        }
        at += 1;
    }
    Some(start..start + at)
}

/// The private part of a key of PuTTY: the lines of base64 behind `Private-Lines: 14`.
fn putty_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?.strip_prefix(b"Private-Lines:")?;
    let is_number = |b: &&u8| b.is_ascii_digit() || b.is_ascii_whitespace();
    let mut start = rest.iter().take_while(is_number).count();
    while let Some([b'\\', b'r' | b'n', ..]) = rest.get(start..) {
        start += 2;
    }
    let rest = rest.get(start..)?;
    let is_part =
        |b: &&u8| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b"+/=\\".contains(b);
    let len = rest.iter().take_while(is_part).count();
    let lines = rest.get(..len)?;
    // `Private-MAC` comes next.
    let lines = lines
        .strip_suffix(b"Private")
        .unwrap_or(lines)
        .trim_ascii_end();
    let start = at + b"Private-Lines:".len() + start;
    Some(start..start + lines.len())
}

/// `local@domain.tld`, as people write it (a subset of RFC 5321).
fn emails(text: &[u8], effort: &mut Effort, edits: &mut Edits) {
    for at in memchr_iter(b'@', text) {
        let local = text.get(..at).unwrap_or_default();
        let local = local
            .iter()
            .rev()
            .take_while(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-')
            })
            .count();
        let after = text.get(at + 1..).unwrap_or_default();
        let domain = after
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count();
        if !effort.spend(local + domain) {
            return;
        }
        let host = after.get(..domain).unwrap_or_default();
        let host = host.strip_suffix(b".").unwrap_or(host);
        let top = host.rsplit(|&b| b == b'.').next().unwrap_or_default();
        let named =
            top.len() >= 2 && top.len() < host.len() && top.iter().all(u8::is_ascii_alphabetic);
        if local > 0 && named {
            edits.push_plain(text, at - local..at + 1 + host.len(), Rule::Email);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::forms::{FORMS, MORE_FORMS};
    use super::*;
    use crate::redact::fixture::search;

    const ALL: [Pattern; 5] = [
        Pattern::Card,
        Pattern::Email,
        Pattern::Jwt,
        Pattern::KnownToken,
        Pattern::PrivateKey,
    ];

    /// `expected` is what is found.
    fn check(text: &str, expected: &[(&str, Rule)]) {
        let mut edits = Edits::default();
        let mut traces = Traces::default();
        search().sieve.mark(text.as_bytes(), &mut traces);
        let mut effort = Effort::for_len(text.len());
        scan(text.as_bytes(), &traces, &ALL, &mut effort, &mut edits);
        assert!(!effort.is_spent());
        edits.settle();
        let found: Vec<_> = edits
            .as_slice()
            .iter()
            .map(|edit| (&text[edit.range.clone()], edit.rule))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_token_begins_with_something_else_than_a_number() {
        for beginning in crate::redact::sieve::tokens() {
            assert!(!begins_none(beginning.as_bytes()), "{beginning}");
        }
        for text in ["", "505", "203.0.113.7, 10.0.0.1", "6f2b6c1e-0d1f-4d0a"] {
            assert!(begins_none(text.as_bytes()), "{text}");
        }
        assert!(!begins_none(b"a@0.io"));
    }

    #[test]
    fn basic_credentials() {
        for text in [
            "Basic dXNlcjpwYXNz",
            "basic dXNlcjpwYXNz",
            "see BASIC dXNlcjpwYXNz.",
            "{\"a\":\"Basic dXNlcjpwYXNz\"}",
        ] {
            check(text, &[("dXNlcjpwYXNz", Rule::Authorization)]);
        }
        check("x=Basic dTpw/==", &[("dTpw/==", Rule::Authorization)]);
        for text in [
            "Basic authentication is used",
            "Basic realm=x",
            "a basic question: why",
            "Basic dXNlcnBhc3M=",
            "kbasic dXNlcjpwYXNz",
            "Basic ",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn hashed_passwords() {
        let bcrypt = "$2b$12$R9h7cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
        let argon = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b1dWw";
        for hash in [bcrypt, argon] {
            check(
                &format!("{{\"note\":\"{hash}\"}}"),
                &[(hash, Rule::KnownToken)],
            );
        }
        for text in [
            "costs $2b$ or $5$6$",
            "$5$5",
            "a$2b$12$R9h7cIPz0gi",
            "$argon2",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn oracle_passwords() {
        let hidden = |text: &str, password| check(text, &[(password, Rule::UserInfo)]);
        hidden("jdbc:oracle:thin:scott/tiger@//db:1521/x", "tiger");
        hidden("\"jdbc:oracle:thin:scott/ti@g/er@db:1521:x\"", "ti@g/er");
        for text in [
            "jdbc:oracle:thin:@//db:1521/x",
            "thin:scott@db",
            "thin: a/b",
            "something/else@db",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn every_form_has_its_sign() {
        for Form(prefix, alphabet, least, stays) in FORMS.iter().chain(&MORE_FORMS) {
            let unit = if matches!(alphabet, Alphabet::Upper) {
                "A"
            } else {
                "7"
            };
            let value = format!("{prefix}{}", unit.repeat(*least));
            let hidden = &value[*stays..];
            for text in [
                format!("{{\"note\":\"{value}\"}}"),
                format!("see {value}, or"),
                format!("line\\n{value}\\n"),
                format!("a%20{value}"),
            ] {
                check(&text, &[(hidden, Rule::KnownToken)]);
            }
            let cut = format!("see {prefix}{}", unit.repeat(least - 1));
            check(&cut, &[]);
        }
    }

    #[test]
    fn cards() {
        let card = |text| (text, Rule::Card);
        check("pay 4111111111111111 now", &[card("4111111111111111")]);
        check(
            "5500-0000-0000-0004,3400 0000 0000 009",
            &[card("5500-0000-0000-0004"), card("3400 0000 0000 009")],
        );
        check("4222222222222", &[card("4222222222222")]);
        for pad in 0..30 {
            let text = format!("{}4111 1111 1111 1111", ",".repeat(pad));
            check(&text, &[card("4111 1111 1111 1111")]);
        }
        for other in [
            "4111111111111112 a4111111111111111 411111111111 12345678901234567890",
            // Times in milliseconds and nanoseconds since 1970.
            "1700000000003 1700000000000000003 1764160496008",
            "41111111111111111111111111111111",
        ] {
            check(other, &[]);
        }
        let (mut edits, mut effort) = (Edits::default(), Effort::for_len(100));
        super::cards(b"{\"n\": 4111111111111111}", &[6], &mut effort, &mut edits);
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
        check("/v/eyJhbGciOi.eyJ.c2ln/x", &[jwt("eyJhbGciOi.eyJ.c2ln")]);
        check("eyJhbGciOi%2EeyJ%2Ec2ln", &[jwt("eyJhbGciOi%2EeyJ%2Ec2ln")]);
        check("eyJa.b.c.d.e.f", &[jwt("eyJa.b.c.d.e")]);
        check("eyJhbGciOi eyJ.. xeyJh.b.c", &[]);
        let bot = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw-";
        check(bot, &[(bot, Rule::KnownToken)]);
        check("12:AA aa:aa:aa", &[]);
    }

    #[test]
    fn private_keys() {
        for label in ["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA ", ""] {
            for line in ["\n", "\r\n", "\\n", "\\r\\n"] {
                let key = format!(
                    "-----BEGIN {label}PRIVATE KEY-----{line}MIIE+/=={line}-----END {label}PRIVATE KEY-----"
                );
                check(&format!("\"{key}{line}\""), &[(&key, Rule::PrivateKey)]);
                let cut = format!("-----BEGIN {label}PRIVATE KEY-----{line}MIIE+/");
                check(
                    &format!("{{\"a\":\"{cut}\",\"b\":1}}"),
                    &[(&cut, Rule::PrivateKey)],
                );
            }
        }
        let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1 (x)\n\nlQ\n-----END PGP PRIVATE KEY BLOCK-----";
        check(pgp, &[(pgp, Rule::PrivateKey)]);
        let form = "-----BEGIN+RSA+PRIVATE+KEY-----%0AMIIE%2B%0A-----END+RSA+PRIVATE+KEY-----";
        check(&format!("k={form}&a=b"), &[(form, Rule::PrivateKey)]);
        for public in [
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE----- PRIVATE",
        ] {
            check(public, &[]);
        }
    }
}
