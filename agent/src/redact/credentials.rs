//! Secrets in header fields: `Authorization` (RFC 9110 §11.6.2), `Cookie` and `Set-Cookie` (RFC
//! 6265 §4), and tokens that stand among WebSocket subprotocols (RFC 6455 §11.3.4).

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::names::Names;

/// Schemes of the IANA registry and those in common use. Anything else in their place may be the
/// secret itself.
const SCHEMES: [&str; 22] = [
    "ApiKey",
    "AWS4-HMAC-SHA256",
    "Basic",
    "Bearer",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "Hawk",
    "HMAC",
    "HOBA",
    "Key",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SharedKey",
    "Token",
    "vapid",
];

/// Everything but the scheme.
pub(super) fn authorization(value: &[u8], edits: &mut Edits) {
    authorization_in(value, 0..value.len(), edits);
}

/// The same for a part of a text.
pub(super) fn authorization_in(text: &[u8], range: Range<usize>, edits: &mut Edits) {
    let value = text.get(range.clone()).unwrap_or_default();
    let scheme =
        memchr(b' ', value).filter(|&space| is_scheme(value.get(..space).unwrap_or_default()));
    let start = scheme.map_or(0, |space| {
        let after = value.get(space..).unwrap_or_default();
        space + after.iter().take_while(|&&b| b == b' ').count()
    });
    edits.push_plain(text, range.start + start..range.end, Rule::Authorization);
}

/// The name of an authentication scheme.
pub(super) fn is_scheme(word: &[u8]) -> bool {
    SCHEMES
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

/// Where the credentials begin of a value of a query or a form that has their scheme before them:
/// `Bearer+x`. One word, and none of a language.
pub(super) fn behind_scheme(value: &[u8], effort: &mut Effort) -> Option<usize> {
    const KNOWN: [&[u8]; 6] = [
        b"bearer",
        b"basic",
        b"dpop",
        b"token",
        b"apikey",
        b"negotiate",
    ];
    const LEAST: usize = 8;
    let is_known = |known: &&&[u8]| {
        let scheme = value.get(..known.len());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(known))
    };
    let scheme = KNOWN.iter().find(is_known)?;
    let rest = value.get(scheme.len()..)?;
    let gap = match rest {
        [b'+' | b' ', ..] => 1,
        [b'%', b'2', b'0', ..] => 3,
        _ => return None,
    };
    let word = rest.get(gap..)?;
    effort.spend(word.len());
    let has = |test: fn(&u8) -> bool| word.iter().any(test);
    let is_word = !word.contains(&b'+') && !word.windows(3).any(|escape| escape == b"%20");
    let is_mixed = has(u8::is_ascii_digit)
        || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
        || word.len() >= 3 * LEAST;
    (is_word && is_mixed && word.len() >= LEAST).then_some(scheme.len() + gap)
}

/// What a challenge has beside its scheme and its parameters (RFC 9110 §11.6.1): the token of
/// `Negotiate` and `NTLM`.
pub(super) fn challenge(value: &[u8], edits: &mut Edits) {
    let mut at = 0;
    for word in value.split(|b| matches!(b, b' ' | b',')) {
        let is_token = word.len() >= TOKEN
            && word
                .iter()
                .all(|&b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
            && !word
                .trim_ascii_end()
                .strip_suffix(b"=")
                .map_or(word, |w| w.strip_suffix(b"=").unwrap_or(w))
                .contains(&b'=');
        if is_token {
            edits.push_plain(value, at..at + word.len(), Rule::Authorization);
        }
        at += word.len() + 1;
    }
}

/// Shortest word of a challenge that is taken for a token; no scheme's name is so long.
const TOKEN: usize = 18;

/// User names and passwords before the host of `Forwarded` (RFC 7239 §4), and what some proxies add
/// under the name of a secret.
pub(super) fn forwarded(value: &[u8], names: &Names, edits: &mut Edits) {
    let mut at = 0;
    for pair in value.split(|b| matches!(b, b';' | b',')) {
        let trimmed = pair.trim_ascii_start();
        let start = at + (pair.len() - trimmed.len());
        if let Some((name, host)) = trimmed.split_at_checked(5)
            && name.eq_ignore_ascii_case(b"host=")
        {
            let quote = usize::from(host.first() == Some(&b'"'));
            let mut found = Edits::default();
            super::query::scan_host(host.get(quote..).unwrap_or_default(), &mut found);
            edits.append(found, start + 5 + quote);
        } else if let Some(equals) = memchr(b'=', trimmed)
            && names.matches(trimmed.get(..equals).unwrap_or_default(), Coding::Plain)
        {
            let quoted = trimmed
                .get(equals + 1..)
                .unwrap_or_default()
                .trim_ascii_end();
            let inner = quoted.strip_prefix(b"\"").unwrap_or(quoted);
            let start = start + equals + 1 + (quoted.len() - inner.len());
            let len = inner.strip_suffix(b"\"").unwrap_or(inner).len();
            edits.push_plain(value, start..start + len, Rule::Header);
        }
        at += pair.len() + 1;
    }
}

/// The value of each `name=value`, or the whole of what has no name.
pub(super) fn cookie(value: &[u8], edits: &mut Edits) {
    cookie_in(value, 0..value.len(), edits);
}

/// The same for a part of a text.
pub(super) fn cookie_in(text: &[u8], range: Range<usize>, edits: &mut Edits) {
    let value = text.get(range.clone()).unwrap_or_default();
    let mut start = range.start;
    for end in memchr_iter(b';', value).chain([value.len()]) {
        let end = range.start + end;
        pair(text, start, end, Rule::Cookie, edits);
        start = end + 1;
    }
}

/// The value of each cookie; known attributes stay (RFC 6265 §4.1, and those of browsers). What is
/// none of them is hidden: on a folded line, or behind a comma where fields were joined, stands
/// another cookie.
pub(super) fn set_cookie(value: &[u8], edits: &mut Edits) {
    set_cookie_in(value, 0..value.len(), edits);
}

/// The same for a part of a text.
pub(super) fn set_cookie_in(text: &[u8], range: Range<usize>, edits: &mut Edits) {
    let value = text.get(range.clone()).unwrap_or_default();
    let mut start = range.start;
    for end in memchr_iter(b';', value).chain([value.len()]) {
        let end = range.start + end;
        let part = text.get(start..end).unwrap_or_default();
        let stays = match start == range.start {
            true => 0,
            false => attribute(part),
        };
        if stays < part.len() {
            let joined = start + stays + usize::from(stays > 0);
            pair(text, joined, end, Rule::SetCookie, edits);
        }
        start = end + 1;
    }
}

/// How much of a part of `Set-Cookie` is a known attribute; a comma ends one, but that of a date.
fn attribute(part: &[u8]) -> usize {
    const NAMES: [&[u8]; 10] = [
        b"domain",
        b"expires",
        b"httponly",
        b"max-age",
        b"partitioned",
        b"path",
        b"priority",
        b"samesite",
        b"secure",
        b"version",
    ];
    // What nearly every server writes.
    if matches!(
        part,
        b" Path=/" | b" HttpOnly" | b" Secure" | b" SameSite=Lax" | b" SameSite=Strict"
    ) {
        return part.len();
    }
    let comma = memchr(b',', part).unwrap_or(part.len());
    let (first, rest) = part.split_at(comma);
    let equals = memchr(b'=', first).unwrap_or(first.len());
    let (name, value) = first.split_at(equals);
    let name = name.trim_ascii();
    if name.is_empty() {
        return if value.is_empty() { comma } else { 0 };
    }
    if !NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return 0;
    }
    let after = rest.get(1..).unwrap_or_default();
    let date = after.split(|&b| b == b',').next().unwrap_or_default();
    let is_date = |b: &u8| b.is_ascii_alphanumeric() || b" :-+\t".contains(b);
    let goes_on = name.eq_ignore_ascii_case(b"expires")
        && has_weekday(value)
        && date
            .trim_ascii_start()
            .first()
            .is_some_and(u8::is_ascii_digit)
        && date.iter().all(is_date);
    match goes_on {
        true => comma + 1 + date.len(),
        false => comma,
    }
}

/// `=Wed`, `=Wednesday`.
fn has_weekday(value: &[u8]) -> bool {
    const WEEKDAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
    let day = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
    let day = day.get(..3).unwrap_or_default();
    WEEKDAYS.iter().any(|known| day.eq_ignore_ascii_case(known))
}

/// What Kubernetes puts before the bearer token of a browser's WebSocket, which cannot send
/// `Authorization`.
const KUBERNETES: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// Tokens among the subprotocols of `Sec-WebSocket-Protocol`: browsers have no other place for
/// them. There is no common form: hidden are what follows the name of a scheme (`bearer, <token>`),
/// and what does not look like the name of a protocol.
pub(super) fn subprotocols(value: &[u8], edits: &mut Edits) {
    let mut start = 0;
    let mut announced = false;
    for end in memchr_iter(b',', value).chain([value.len()]) {
        let raw = value.get(start..end).unwrap_or_default();
        let item = raw.trim_ascii();
        let at = start + (raw.len() - raw.trim_ascii_start().len());
        if let Some(token) = item.strip_prefix(KUBERNETES) {
            let token_at = at + item.len() - token.len();
            edits.push_plain(value, token_at..at + item.len(), Rule::Authorization);
        } else if announced || !names_a_protocol(item) {
            edits.push_plain(value, at..at + item.len(), Rule::Authorization);
        }
        const ANNOUNCE: [&[u8]; 7] = [
            b"bearer",
            b"token",
            b"jwt",
            b"auth",
            b"authorization",
            b"access_token",
            b"basic",
        ];
        announced = ANNOUNCE.iter().any(|name| item.eq_ignore_ascii_case(name));
        start = end + 1;
    }
}

/// Names of protocols are words with a version: few digits, and no long run of mixed characters.
fn names_a_protocol(item: &[u8]) -> bool {
    const MOST: usize = 48;
    const DIGITS: usize = 7;
    const RUN: usize = 20;
    let digits = item.iter().filter(|b| b.is_ascii_digit()).count();
    let mixed = |run: &[u8]| {
        run.len() >= RUN
            && (run.iter().any(u8::is_ascii_digit)
                || run.iter().any(u8::is_ascii_uppercase) && run.iter().any(u8::is_ascii_lowercase))
    };
    item.len() <= MOST && digits <= DIGITS && !item.split(|b| !b.is_ascii_alphanumeric()).any(mixed)
}

fn pair(text: &[u8], start: usize, end: usize, rule: Rule, edits: &mut Edits) {
    let raw = text.get(start..end).unwrap_or_default();
    let trimmed = raw.trim_ascii_start();
    let start = start + (raw.len() - trimmed.len());
    let value = memchr(b'=', trimmed).map_or(0, |equals| equals + 1);
    let end = start + trimmed.trim_ascii_end().len();
    edits.push_plain(text, start + value.min(end - start)..end, rule);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::names;

    /// `expected` is what is hidden.
    fn check(scan: fn(&[u8], &mut Edits), value: &str, expected: &[&str]) {
        let mut edits = Edits::default();
        scan(value.as_bytes(), &mut edits);
        let hidden: Vec<_> = edits
            .as_slice()
            .iter()
            .map(|edit| &value[edit.range.clone()])
            .collect();
        assert_eq!(hidden, expected, "{value}");
    }

    fn in_forwarded(value: &[u8], edits: &mut Edits) {
        forwarded(value, names(), edits);
    }

    #[test]
    fn schemes_stay() {
        check(authorization, "Bearer abc.def", &["abc.def"]);
        check(authorization, "basic  dTpw", &["dTpw"]);
        check(
            authorization,
            "Digest username=\"u\", response=\"r\"",
            &["username=\"u\", response=\"r\""],
        );
        check(authorization, "abcdef", &["abcdef"]);
        check(authorization, "my secret", &["my secret"]);
        check(authorization, "Bearer", &["Bearer"]);
        check(authorization, "", &[]);
        check(authorization, "Bearer [redacted:0123456789ab]", &[]);
    }

    #[test]
    fn cookie_names_stay() {
        check(cookie, "sid=1; theme=dark", &["1", "dark"]);
        check(cookie, "sid=a=b ;token; =x;;e=", &["a=b", "token", "x"]);
        check(cookie, "sid=\"q r\"", &["\"q r\""]);
    }

    #[test]
    fn cookie_attributes_stay() {
        check(set_cookie, "a=1; Path=/; HttpOnly", &["1"]);
        check(set_cookie, "bare; Secure", &["bare"]);
        check(set_cookie, "", &[]);
        check(
            set_cookie,
            "a=1; Domain=h; Max-Age=9; SameSite=Lax; expires=Wed, 09 Jun 2030 10:18:14 GMT; secure;",
            &["1"],
        );
        check(
            set_cookie,
            "a=1; Expires=Wednesday, 09-Jun-30 10:18:14 GMT",
            &["1"],
        );
    }

    #[test]
    fn cookies_that_were_joined() {
        check(set_cookie, "a=b;\r\n sid=S", &["b", "S"]);
        check(
            set_cookie,
            "a=b; Secure;\tsid=S; T; Path=/",
            &["b", "S", "T"],
        );
        check(set_cookie, "a=b, sid=S; Path=/", &["b, sid=S"]);
        check(set_cookie, "a=b; Path=/, sid=S; Path=/", &["b", "S"]);
        check(
            set_cookie,
            "a=b; Expires=Wed, 09 Jun 2030 10:18:14 GMT, sid=S; Path=/",
            &["b", "S"],
        );
        check(set_cookie, "a=b; Expires=Wed, sid=S", &["b", "S"]);
        check(set_cookie, "a=b; Secure, S", &["b", "S"]);
    }

    #[test]
    fn challenges_and_proxies() {
        check(
            challenge,
            "Negotiate YIIFaQYGKwYBBQUCoIIF",
            &["YIIFaQYGKwYBBQUCoIIF"],
        );
        check(
            challenge,
            "NTLM TlRMTVNTUAACAAAADAAMADg=",
            &["TlRMTVNTUAACAAAADAAMADg="],
        );
        for value in [
            "Bearer realm=\"https://login.example.com\", error=\"invalid_token\"",
            "Digest realm=\"x\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
            "Basic realm=x, charset=UTF-8",
            "Negotiate",
        ] {
            check(challenge, value, &[]);
        }
        check(
            in_forwarded,
            "for=192.0.2.1;host=ann:S@h.example, for=1;Host=\"T@h\";proto=http",
            &["S", "T"],
        );
        check(in_forwarded, "for=192.0.2.1;host=h.example", &[]);
    }

    #[test]
    fn tokens_among_subprotocols() {
        for names in [
            "graphql-transport-ws, graphql-ws",
            "v5.channel.k8s.io, base64.channel.k8s.io",
            "chat.example.com",
            "mqttv3.1, soap, xmpp",
            "ocpp2.0.1",
            "",
        ] {
            check(subprotocols, names, &[]);
        }
        check(subprotocols, "bearer, abc", &["abc"]);
        check(
            subprotocols,
            "base64url.bearer.authorization.k8s.io.dG9rZW4, base64.binary.k8s.io",
            &["dG9rZW4"],
        );
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
        check(subprotocols, &format!("chat,{jwt}"), &[jwt]);
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        check(subprotocols, &format!("v1 , {uuid}"), &[uuid]);
    }
}
