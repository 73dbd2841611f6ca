//! Secrets that are recognised by their own form, wherever they stand: tokens with a prefix that their issuer gave them for this purpose,
//! JSON Web Tokens, private keys in PEM, payment cards, and e-mail addresses where that is asked for.

use std::ops::Range;

use memchr::memchr_iter;

use super::config::Pattern;
use super::counts::Rule;
use super::edit::{Coding, Edit, Edits};
use super::effort::Effort;
use crate::http::percent::hex;

/// What such values begin with, in lower case. Where one stands, [`FORMS`] and the like decide.
pub(super) const SIGNS: [&str; 59] = [
    "eyj",
    "-----begin",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glptt-",
    "xox",
    "xapp-",
    "slack.com/",
    "/webhooks/",
    "webhookb2/",
    "k_live_",
    "k_test_",
    "whsec_",
    "akia",
    "asia",
    "abia",
    "acca",
    "aiza",
    "ya29.",
    "gocspx-",
    "1//0",
    "npm_",
    "pypi-",
    "_v1_",
    "hf_",
    "sk-",
    "sg.",
    "key-",
    "shpat_",
    "shpss_",
    "shpca_",
    "shppa_",
    "sq0",
    "xkeysib-",
    "lin_api_",
    "ntn_",
    "figd_",
    "dckr_pat_",
    "hvs.",
    "hvb.",
    "glsa_",
    "pmak-",
    "sntry",
    "atatt3x",
    "rubygems_",
    "pul-",
    "dapi",
    "gsk_",
    "tskey-",
    "sbp_",
    ":aa",
    "secret-key-1",
];

/// Which bytes a token goes on with.
#[derive(Clone, Copy)]
enum Alphabet {
    Word,
    Dotted,
    Path,
    Upper,
    Hex,
    Alnum,
}

impl Alphabet {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Word => is_base64url(byte),
            Self::Dotted => is_base64url(byte) || byte == b'.',
            Self::Path => is_base64url(byte) || matches!(byte, b'/' | b'@'),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
        }
    }
}

/// A prefix, what follows it and at least how much, and how much of the prefix stays.
struct Form(&'static str, Alphabet, usize, usize);

/// From their issuers' documentation and the patterns of GitHub's secret scanning. Public identifiers (Stripe's `pk_`) are not among them.
const FORMS: [Form; 72] = {
    use Alphabet::{Alnum, Dotted, Hex, Path, Upper, Word};
    [
        Form("ghp_", Word, 20, 0),
        Form("gho_", Word, 20, 0),
        Form("ghu_", Word, 20, 0),
        Form("ghs_", Word, 20, 0),
        Form("ghr_", Word, 20, 0),
        Form("github_pat_", Word, 20, 0),
        Form("glpat-", Word, 16, 0),
        Form("gldt-", Word, 16, 0),
        Form("glrt-", Word, 16, 0),
        Form("glptt-", Word, 16, 0),
        Form("xoxa-", Word, 10, 0),
        Form("xoxb-", Word, 10, 0),
        Form("xoxc-", Word, 10, 0),
        Form("xoxd-", Word, 10, 0),
        Form("xoxe-", Word, 10, 0),
        Form("xoxe.", Dotted, 10, 0),
        Form("xoxo-", Word, 10, 0),
        Form("xoxp-", Word, 10, 0),
        Form("xoxr-", Word, 10, 0),
        Form("xoxs-", Word, 10, 0),
        Form("xapp-", Word, 10, 0),
        Form("slack.com/services/", Path, 10, 19),
        Form("slack.com/workflows/", Path, 10, 20),
        Form("slack.com/triggers/", Path, 10, 19),
        Form("/webhooks/", Path, 40, 10),
        Form("webhookb2/", Path, 40, 10),
        Form("sk_live_", Word, 10, 0),
        Form("sk_test_", Word, 10, 0),
        Form("rk_live_", Word, 10, 0),
        Form("rk_test_", Word, 10, 0),
        Form("whsec_", Word, 16, 0),
        Form("AKIA", Upper, 16, 0),
        Form("ASIA", Upper, 16, 0),
        Form("ABIA", Upper, 16, 0),
        Form("ACCA", Upper, 16, 0),
        Form("AIza", Word, 30, 0),
        Form("ya29.", Word, 20, 0),
        Form("GOCSPX-", Word, 20, 0),
        Form("1//0", Word, 30, 0),
        Form("npm_", Alnum, 30, 0),
        Form("pypi-", Word, 40, 0),
        Form("dop_v1_", Hex, 40, 0),
        Form("doo_v1_", Hex, 40, 0),
        Form("dor_v1_", Hex, 40, 0),
        Form("hf_", Alnum, 30, 0),
        Form("sk-ant-", Word, 20, 0),
        Form("sk-proj-", Word, 20, 0),
        Form("sk-svcacct-", Word, 20, 0),
        Form("sk-or-", Word, 20, 0),
        Form("sk-", Alnum, 32, 0),
        Form("SG.", Dotted, 40, 0),
        Form("key-", Hex, 32, 0),
        Form("shpat_", Hex, 32, 0),
        Form("shpss_", Hex, 32, 0),
        Form("shpca_", Hex, 32, 0),
        Form("shppa_", Hex, 32, 0),
        Form("sq0atp-", Word, 20, 0),
        Form("sq0csp-", Word, 20, 0),
        Form("xkeysib-", Word, 40, 0),
        Form("lin_api_", Alnum, 30, 0),
        Form("ntn_", Alnum, 40, 0),
        Form("figd_", Word, 30, 0),
        Form("dckr_pat_", Word, 20, 0),
        Form("hvs.", Word, 20, 0),
        Form("hvb.", Word, 20, 0),
        Form("glsa_", Word, 30, 0),
        Form("PMAK-", Word, 40, 0),
        Form("sntrys_", Word, 30, 0),
        Form("sntryu_", Hex, 40, 0),
        Form("ATATT3x", Word, 40, 0),
        Form("rubygems_", Hex, 40, 0),
        Form("gsk_", Alnum, 40, 0),
    ]
};

/// Those whose prefix is written in too many ways for [`FORMS`], or whose number matters.
const MORE_FORMS: [Form; 5] = {
    use Alphabet::{Alnum, Hex, Upper, Word};
    [
        Form("pul-", Hex, 40, 0),
        Form("dapi", Hex, 32, 0),
        Form("tskey-", Word, 20, 0),
        Form("sbp_", Alnum, 40, 0),
        Form("SECRET-KEY-1", Upper, 50, 0),
    ]
};

/// Finds tokens and keys. `signs`: where [`SIGNS`] stand, in order.
pub(super) fn scan(
    text: &[u8],
    signs: &[usize],
    patterns: &[Pattern],
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let has = |pattern| patterns.contains(&pattern);
    let mut done = 0;
    for &at in signs {
        if at < done {
            continue;
        }
        let found = match text.get(at) {
            Some(b'e') if has(Pattern::Jwt) => token(text, at).map(|range| (range, Rule::Jwt)),
            Some(b'-') if has(Pattern::PrivateKey) => {
                private_key(text, at).map(|range| (range, Rule::PrivateKey))
            }
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
        cards(text, effort, edits);
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
    let forms = FORMS.iter().chain(&MORE_FORMS);
    let likely = forms.filter(|form| form.0.as_bytes().first() == rest.first());
    for Form(prefix, alphabet, least, stays) in likely {
        let Some(after) = rest.strip_prefix(prefix.as_bytes()) else {
            continue;
        };
        if *stays == 0 && !begins(text, start) {
            return None;
        }
        let len = run(after, *alphabet);
        if len >= *least {
            return Some(start + stays..start + prefix.len() + len);
        }
    }
    None
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

/// How many bytes are of an alphabet.
fn run(text: &[u8], alphabet: Alphabet) -> usize {
    text.iter().take_while(|&&b| alphabet.has(b)).count()
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

/// From `-----BEGIN … PRIVATE KEY-----` to its end, or as far as it goes (RFC 7468; also with the headers of RFC 1421, within JSON strings
/// and in forms).
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

/// Payment card numbers (ISO/IEC 7812): the digits of a network, single spaces or dashes between them allowed, that pass the Luhn check.
fn cards(text: &[u8], effort: &mut Effort, edits: &mut Edits) {
    /// Fewest digits. Of two neighbours in a number at least one is a digit, so a look at every twelfth byte and the next misses none.
    const STEP: usize = 12;
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    effort.spend(text.len() / STEP);
    let mut done = 0;
    let mut at = 0;
    while at < text.len() {
        if !is_digit(at) && !is_digit(at + 1) {
            at += STEP;
            continue;
        }
        let start = digits_start(text, if is_digit(at) { at } else { at + 1 }, done);
        let end = digits_end(text, start);
        if !effort.spend(end - start) {
            return;
        }
        if begins(text, start) && is_card(text.get(start..end).unwrap_or_default()) {
            let edit = Edit {
                range: start..end,
                rule: Rule::Card,
                coding: Coding::Plain,
                quote: json_number(text, start..end).then_some(0),
            };
            edits.push(text, edit);
        }
        done = end;
        at = at.max(end) + 1;
    }
}

fn digits_start(text: &[u8], from: usize, done: usize) -> usize {
    let mut start = from;
    while start > done {
        match text.get(..start) {
            Some([.., b'0'..=b'9']) => start -= 1,
            Some([.., b'0'..=b'9', b' ' | b'-']) if start > done + 1 => start -= 2,
            _ => break,
        }
    }
    start
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

/// The number of digits and the first of them are those of a network, and the last one is right.
fn is_card(text: &[u8]) -> bool {
    const MOST: usize = 19;
    let digits = || text.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
    let len = digits().take(MOST + 1).count();
    let first = digits()
        .take(4)
        .fold(0_u16, |number, digit| number * 10 + u16::from(digit));
    let network = match first {
        // Visa
        4000..=4999 => matches!(len, 13 | 16 | 19),
        // American Express
        3400..=3499 | 3700..=3799 => len == 15,
        // Diners Club
        3000..=3059 | 3600..=3699 | 3800..=3999 => (14..=MOST).contains(&len),
        // JCB
        3528..=3589 => (16..=MOST).contains(&len),
        // Mastercard
        2221..=2720 | 5100..=5599 => len == 16,
        // Maestro, Discover, UnionPay
        5000..=5099 | 5600..=6999 => (16..=MOST).contains(&len),
        _ => false,
    };
    network && luhn(digits())
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
    /// White space looked through on either side.
    const SPACE: usize = 16;
    let before = text.get(range.start.saturating_sub(SPACE)..range.start);
    let after = text.get(range.end..).unwrap_or_default();
    let after = after.get(..SPACE).unwrap_or(after);
    let before = before.unwrap_or_default().trim_ascii_end().last();
    matches!(before, Some(b':' | b',' | b'['))
        && matches!(after.trim_ascii_start().first(), Some(b',' | b'}' | b']'))
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

pub(super) const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let lower = text.to_ascii_lowercase();
        let mut signs: Vec<_> = SIGNS
            .iter()
            .flat_map(|sign| lower.match_indices(sign).map(|(at, _)| at))
            .collect();
        signs.sort_unstable();
        let mut effort = Effort::for_len(text.len());
        scan(text.as_bytes(), &signs, &ALL, &mut effort, &mut edits);
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
        super::cards(b"{\"n\": 4111111111111111}", &mut effort, &mut edits);
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
