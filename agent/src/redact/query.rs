//! Secrets in `name=value` pairs: queries (RFC 3986 §3.4), urlencoded forms (WHATWG URL §5), and
//! user names and passwords in URLs (RFC 3986 §3.2.1).
//!
//! A value ends at `&` and nowhere else: whatever else follows may belong to it. Percent-encoded
//! pairs are looked into, however often they were encoded (`next=https%3A%2F%2Fa%2F%3Ftoken%3Dx`),
//! and JSON that is the value of a pair.
//!
//! Some names are those of secrets in one place and of harmless things in another (`code`, `key`,
//! `state`): [`pairs`].

mod authority;
mod pairs;

use std::ops::Range;

use memchr::{memchr, memchr2_iter, memmem};

use super::counts::Rule;
use super::decoded::{self, Decoded};
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::escape::percent;
use super::json;
use super::names::Names;
use super::sieve::{Sieve, Traces};
use super::text::{self, Shape};
use crate::http::percent::hex_pair;
use authority::scan_authority;

/// What pairs are looked at with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tools<'a> {
    pub(super) names: &'a Names,
    /// For JSON in a value.
    pub(super) sieve: &'a Sieve,
}

/// Finds the values of secret parameters in a URL, or in a part of one, and its password. The
/// caller settles the edits.
pub(super) fn scan_url(text: &[u8], tools: Tools<'_>, effort: &mut Effort, edits: &mut Edits) {
    if memchr(b'@', text).is_some() {
        let mut done = 0;
        for first in memchr2_iter(b'/', b'\\', text) {
            if first < done {
                continue;
            }
            let len = slashes(text, first);
            if len < 2 {
                continue;
            }
            done = first + len;
            let found = scan_authority(text, done, is_odd(text, first, len), edits);
            if !effort.spend(1 + len + found) {
                return;
            }
        }
    }
    // Pairs begin after `?`, `;` or `#`; most URLs have none.
    if memchr(b'=', text).is_some() || memchr(b'%', text).is_some() {
        pairs::scan(text, Rule::Query, tools, effort, edits);
    }
}

/// [`scan_url`] may find something in a text in which the first pass found what `traces` has.
pub(super) fn may_find(text: &[u8], traces: &Traces, names: &Names) -> bool {
    text.iter().any(|byte| matches!(byte, b'@' | b'%')) || pairs::may_find(text, traces, names)
}

/// Slashes and backslashes that stand in a row: browsers take one for the other (WHATWG URL §4.4).
fn slashes(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter()
        .take_while(|&&b| matches!(b, b'/' | b'\\'))
        .count()
}

/// They may be none of a URL's: backslashes escape other things, too.
fn is_odd(text: &[u8], from: usize, len: usize) -> bool {
    let run = text.get(from..from + len).unwrap_or_default();
    memchr(b'\\', run).is_some() && !run.starts_with(br"\/\/")
}

/// Finds the values of secret fields of an urlencoded form.
pub(super) fn scan_form(text: &[u8], tools: Tools<'_>, effort: &mut Effort, edits: &mut Edits) {
    pairs::scan(text, Rule::Form, tools, effort, edits);
}

/// Finds what [`scan_url`] does in every URL with a scheme that stands in a text, also where JSON
/// escaped its slashes.
pub(super) fn scan_text(
    text: &[u8],
    traces: &Traces,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    if traces.schemes.is_empty() {
        return;
    }
    for kind in [Scheme::Plain, Scheme::Escaped, Scheme::Odd] {
        let mut done = 0;
        for &at in &traces.schemes {
            if at < done || Scheme::of(text, at) != kind {
                continue;
            }
            let authority = at + 1 + slashes(text, at + 1);
            let rest = text.get(authority..).unwrap_or_default();
            let inside = |b: &u8| *b > b' ' && !matches!(b, b'"' | b'<' | b'>' | b'`');
            let len = rest.iter().position(|b| !inside(b)).unwrap_or(rest.len());
            done = authority + len;
            if !effort.spend(len + 4) {
                return;
            }
            let mut url = rest.get(..len).unwrap_or_default();
            // The quote after it is escaped, not the URL's.
            if text.get(done) == Some(&b'"') {
                let slashes = url.iter().rev().take_while(|&&b| b == b'\\').count();
                url = url.get(..len - slashes).unwrap_or(url);
            }
            if !url.iter().any(|b| matches!(b, b'@' | b'=' | b'%')) {
                continue;
            }
            let mut found = Edits::default();
            scan_authority(url, 0, kind == Scheme::Odd, &mut found);
            scan_url(url, tools, effort, &mut found);
            edits.append(found, authority);
        }
    }
}

/// How the slashes after a scheme are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Plain,
    /// As JSON may escape them.
    Escaped,
    /// With backslashes among them, or more of them.
    Odd,
}

impl Scheme {
    fn of(text: &[u8], colon: usize) -> Self {
        match text.get(colon + 1..) {
            Some([b'/', b'/', ..]) => Self::Plain,
            Some([b'\\', b'/', b'\\', b'/', ..]) => Self::Escaped,
            _ => Self::Odd,
        }
    }
}

/// Hides what stands before the host of an authority (`user:password@host`).
pub(super) fn scan_host(text: &[u8], edits: &mut Edits) {
    scan_authority(text, 0, false, edits);
}

/// What the percent escape at `at` stands for, decoded once.
fn escape_once(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at..at + 3)? {
        [b'%', high, low] => Some((hex_pair(*high, *low)?, 3)),
        _ => None,
    }
}

/// Looks into a percent-encoded part of a text: JSON, GraphQL, lines, URLs.
pub(super) fn scan_encoded(
    text: &[u8],
    range: Range<usize>,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let value = text.get(range.clone()).unwrap_or_default();
    let is_twice = memmem::find(value, b"%25").is_some();
    scan_decoded(text, range.clone(), escape_once, tools, effort, edits);
    if is_twice {
        // Once decoded, a sign may belong to a value; wholly decoded, it may end one.
        scan_decoded(text, range, percent, tools, effort, edits);
    }
}

/// Looks for the values of GraphQL's variables that stand in another parameter than their names:
/// `query=mutation($p:String){login(password:$p)}&variables={"p":"x"}`.
fn scan_variables(text: &[u8], tools: Tools<'_>, effort: &mut Effort, edits: &mut Edits) {
    if !effort.spend(64 + 4 * text.len()) {
        return;
    }
    let range = 0..text.len();
    let copy = Decoded::of(text, range, [b'%', b'+'], |text, at| match text.get(at) {
        Some(b'+') => Some((b' ', 1)),
        _ => escape_once(text, at),
    });
    let (mut traces, mut found) = (Traces::default(), Edits::default());
    let Tools { names, sieve } = tools;
    sieve.look(&copy.text, names, effort, &mut traces);
    json::scan_variables(&copy.text, &traces, effort, &mut found);
    copy.restore(&mut found, Coding::Percent, edits);
}

/// As [`scan_encoded`], with what `escape` says of an escape and its length.
fn scan_decoded(
    text: &[u8],
    range: Range<usize>,
    escape: impl Fn(&[u8], usize) -> Option<(u8, usize)>,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let copy = Decoded::of(text, range, [b'%', b'+'], |text, at| match text.get(at) {
        Some(b'+') => Some((b' ', 1)),
        _ => escape(text, at),
    });
    let decoded = &copy.text;
    let mut found = Edits::default();
    effort.spend(64 + 4 * decoded.len());
    let mut traces = Traces::default();
    let Tools { names, sieve } = tools;
    sieve.look(decoded, names, effort, &mut traces);
    if traces.has_no_names() {
        return;
    }
    json::scan(decoded, names, &traces, effort, &mut found);
    text::scan(decoded, &traces, Shape::Quoted, effort, &mut found);
    decoded::scan_part(decoded, &traces, tools, effort, &mut found);
    copy.restore(&mut found, Coding::Percent, edits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::{check_scan, search};

    type Scan = fn(&[u8], Tools<'_>, &mut Effort, &mut Edits);

    fn scan_text(text: &[u8], tools: Tools<'_>, effort: &mut Effort, edits: &mut Edits) {
        let mut traces = Traces::default();
        tools.sieve.mark(text, &mut traces);
        super::scan_text(text, &traces, tools, effort, edits);
    }

    /// `expected` has `*` where a replacement stands.
    #[track_caller]
    fn check(scan: Scan, text: &str, expected: &str) {
        check_scan(text, expected, "*", |text, effort, edits| {
            scan(text, search().tools(), effort, edits);
        });
    }

    #[test]
    fn parameters() {
        check(scan_url, "/a?x=1&token=abc&y=2", "/a?x=1&token=*&y=2");
        check(scan_url, "/a?token=abc", "/a?token=*");
        check(scan_url, "/a?pass%77ord=a=b?c#d", "/a?pass%77ord=*");
        check(scan_url, "/a?%u0070assword=x&b=c", "/a?%u0070assword=*&b=c");
        check(scan_url, "/a?pass%25u0077ord=x", "/a?pass%25u0077ord=*");
        check(scan_url, "/a;jsessionid=1F?x=1", "/a;jsessionid=*");
        check(
            scan_url,
            "https://h/cb#access_token=x&state=y",
            "https://h/cb#access_token=*&state=*",
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
        check(
            scan_url,
            "/go?u=https%3A%2F%2Fu%3AS%40h%2Fp&v=https%3a%2f%2fS%40h",
            "/go?u=https%3A%2F%2Fu%3A*%40h%2Fp&v=https%3a%2f%2f*%40h",
        );
        check(
            scan_form,
            "dsn=postgres%3A%2F%2Fapp%3AS:a%40b%40db%2Fshop&mail=a%40b",
            "dsn=postgres%3A%2F%2Fapp%3A*%40db%2Fshop&mail=a%40b",
        );
        check(
            scan_url,
            "/go?u=https%253A%252F%252Fu%253AS%2540h",
            "/go?u=https%253A%252F%252Fu%253A*%2540h",
        );
        check(
            scan_url,
            "/go?u=https%3A%2F%2Fh%2Fa%40b",
            "/go?u=https%3A%2F%2Fh%2Fa%40b",
        );
        check(
            scan_url,
            "/go?n=https%3A%2F%2Fa%3Fn%3Dhttps%253A%252F%252Fb%253Ftoken%253Dx%2526c%253Dd%26e%3Df",
            "/go?n=https%3A%2F%2Fa%3Fn%3Dhttps%253A%252F%252Fb%253Ftoken%253D*%2526c%253Dd%26e%3Df",
        );
        check(scan_url, "/?a=%2525&b=100%25", "/?a=%2525&b=100%25");
    }

    #[test]
    fn names_that_mean_two_things() {
        check(
            scan_url,
            "/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz&iss=i",
            "/cb?code=*&state=*&iss=i",
        );
        check(scan_url, "/cb?c%6Fde=SplxlOBe", "/cb?c%6Fde=*");
        check(
            scan_url,
            "/authorize?response_type=code&client_id=c&state=xyz&nonce=n&redirect_uri=r",
            "/authorize?response_type=code&client_id=c&state=*&nonce=*&redirect_uri=r",
        );
        check(
            scan_url,
            "/orders?state=shipped&code=404",
            "/orders?state=shipped&code=404",
        );
        check(scan_url, "/verify?code=123456", "/verify?code=*");
        check(scan_url, "/cb?code=abcdef&state=xyz", "/cb?code=*&state=*");
        check(
            scan_url,
            "/pay?sign=0123456789abcdef0123456789abcdef",
            "/pay?sign=*",
        );
        for plain in [
            "/buy?code=SUMMER2026",
            "/e?code=ERR_TIMEOUT",
            "/x?hash=consistent-hashing-of-keys",
            "/x?sign=true&key=a_long_name_of_a_column",
        ] {
            check(scan_url, plain, plain);
        }
        check(
            scan_url,
            "/maps?key=AIzaSyA1234567890abcdef&v=3",
            "/maps?key=*&v=3",
        );
        check(scan_url, "/sort?key=price", "/sort?key=price");
        check(
            scan_url,
            "/login?ticket=ST-1856339-aA5Yuvrxzpv8",
            "/login?ticket=*",
        );
        check(
            scan_form,
            "grant_type=authorization_code&code=abcdef&code_verifier=v",
            "grant_type=authorization_code&code=*&code_verifier=*",
        );
    }

    #[test]
    fn urls_in_text() {
        check(
            scan_text,
            r#"{"url":"https://b.example/o?X-Amz-Signature=f00&X-Amz-Date=1","next":"/?token=t"}"#,
            r#"{"url":"https://b.example/o?X-Amz-Signature=*&X-Amz-Date=1","next":"/?token=t"}"#,
        );
        check(
            scan_text,
            r#"{"u":"https:\/\/h\/?a=1&token=x","n":1} dsn=postgres://u:p@h/db;"#,
            r#"{"u":"https:\/\/h\/?a=1&token=*","n":1} dsn=postgres://u:*@h/db;"#,
        );
        check(
            scan_text,
            r#"{"a":"{\"u\":\"https://u:p@h\",\"v\":\"https://h/?a=1\u0026sig=x\"}"}"#,
            r#"{"a":"{\"u\":\"https://u:*@h\",\"v\":\"https://h/?a=1\u0026sig=*\"}"}"#,
        );
        check(
            scan_text,
            "<a href=\"https://h/?a=b&amp;token=x\">see http://h/?x=y @me</a>",
            "<a href=\"https://h/?a=b&amp;token=*\">see http://h/?x=y @me</a>",
        );
    }

    #[test]
    fn user_names_and_passwords() {
        check(
            |text, _, _, edits| scan_host(text, edits),
            "u:p@h:443",
            "u:*@h:443",
        );
        check(|text, _, _, edits| scan_host(text, edits), "h:443", "h:443");
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
        check(scan_form, "h=Bearer+abc1def2&x=1", "h=Bearer+*&x=1");
        check(scan_url, "/?h=Basic%20dTpwYXNz", "/?h=Basic%20*");
        for plain in [
            "q=bearer+of+good+tidings",
            "x=Basic+monthly",
            "q=token+economy2+x",
        ] {
            check(scan_form, plain, plain);
        }
    }

    #[test]
    fn variables_of_another_parameter() {
        check(
            scan_url,
            "/graphql?query=mutation($p:String!){login(password:$p){id}}&variables={%22p%22:%22S%22,%22a%22:%22b%22}",
            "/graphql?query=mutation($p:String!){login(password:$p){id}}&variables={%22p%22:%22*%22,%22a%22:%22b%22}",
        );
        check(
            scan_form,
            "variables=%7B%22p%22%3A%22S%22%7D&query=mutation%28%24p%3AString%21%29%7Blogin%28password%3A%24p%29%7Bid%7D%7D",
            "variables=%7B%22p%22%3A%22*%22%7D&query=mutation%28%24p%3AString%21%29%7Blogin%28password%3A%24p%29%7Bid%7D%7D",
        );
        let plain = "/g?query={a(id:$p)}&variables={%22p%22:%22x%22}";
        check(scan_url, plain, plain);
    }

    #[test]
    fn text_in_a_value() {
        check(
            scan_url,
            "/graphql?query=mutation%7Blogin(user:%22a%22,password:%22S%22)%7Bid%7D%7D&a=b",
            "/graphql?query=mutation%7Blogin(user:%22a%22,password:%22*%22)%7Bid%7D%7D&a=b",
        );
        check(
            scan_form,
            "log=sent+Authorization%3A+Bearer+abc1def2&b=c",
            "log=sent+Authorization%3A+Bearer+*&b=c",
        );
        check(
            scan_form,
            "note=the+author%3A+ann&b=c",
            "note=the+author%3A+ann&b=c",
        );
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
        check(
            scan_url,
            "/?f=%257B%2522token%2522%253A%2522x%2522%257D&b=c",
            "/?f=%257B%2522token%2522%253A%2522*%2522%257D&b=c",
        );
        check(
            scan_url,
            "/?f=%7B%22token%22%3A%22x%2522y%22%7D&b=%2525",
            "/?f=%7B%22token%22%3A%22*%22%7D&b=%2525",
        );
    }
}
