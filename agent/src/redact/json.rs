//! Secrets in JSON fields, found by a scanner that works from each `:` outwards instead of parsing.
//!
//! It so needs no whole document: one that was cut anywhere, JSON lines, server-sent events, a
//! GraphQL query or JSON inside a JSON string are all read alike. A quote at depth `d` of strings
//! within strings stands after `2^d - 1` backslashes (RFC 8259 §7, applied `d` times), which says
//! the quotes of one depth from those of another.

mod lists;
mod pair;
mod quote;
mod space;
mod value;
mod variables;

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::names::{Names, Sensitivity, is_label};
use super::sieve::Traces;
use quote::slashes_before;
pub(super) use quote::{single, string_at};
use space::{before_space, skip_space};
use value::Value;
pub(super) use variables::scan as scan_variables;

/// Longest key in raw bytes. `pass` spelt in escapes takes 24; real keys are below 64.
const KEY: usize = 512;

/// Shortest `code` that is a secret, as in forms: those of errors and countries are shorter.
const CODE: usize = 6;

/// Names that are secrets' in some documents only.
#[derive(Clone, Copy, Debug, Default)]
struct Document {
    /// It speaks of OAuth (RFC 6749 §4.1.3): `code` is one.
    exchanges_code: bool,
    /// It has a Secret of Kubernetes: `data` and `stringData` are.
    is_kubernetes: bool,
    /// It has a JSON Web Key: what only its owner knows (RFC 7518 §6) is.
    is_jwk: bool,
}

impl Document {
    fn of(text: &[u8], traces: &Traces) -> Self {
        Self {
            exchanges_code: traces.is_oauth,
            is_kubernetes: has_kubernetes_secret(text, traces),
            is_jwk: traces.is_jwk,
        }
    }

    /// What a plain name means here.
    fn sensitivity(self, key: &[u8]) -> Sensitivity {
        let is_secret = self.exchanges_code && key == b"code"
            || self.is_jwk && matches!(key, b"d" | b"k" | b"p" | b"q" | b"dp" | b"dq" | b"qi")
            || self.is_kubernetes && matches!(key, b"data" | b"stringData");
        if is_secret {
            Sensitivity::SecretText
        } else {
            Sensitivity::Plain
        }
    }
}

/// A name is the value of `kind`: the text has a Secret of Kubernetes, in JSON or in YAML.
pub(super) fn has_kubernetes_secret(text: &[u8], traces: &Traces) -> bool {
    traces.idents.iter().any(|ident| {
        let name = text.get(ident.range.clone()).unwrap_or_default();
        let start = ident.range.start;
        let before = text.get(start.saturating_sub(24)..start);
        let before = before.unwrap_or_default();
        matches!(name, b"Secret" | b"SecretList") && memmem::find(before, b"kind").is_some()
    })
}

/// Finds the values of secret fields. What is found may overlap.
pub(super) fn scan(
    text: &[u8],
    names: &Names,
    traces: &Traces,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let document = Document::of(text, traces);
    let mut done = 0;
    for colon in memchr_iter(b':', text) {
        if colon < done {
            continue;
        }
        if !effort.spend(8) {
            return;
        }
        let Some(key) = key_before(text, colon, effort) else {
            continue;
        };
        let start = after_colon(text, colon, key.quoted);
        if !effort.spend((start - colon) / 4) {
            return;
        }
        let value = Value {
            text,
            start,
            quoted_key: key.quoted || text.get(key.start) == Some(&b'\''),
            slashes: key.slashes,
        };
        let mut sensitivity = document.sensitivity(key.text);
        if traces.may_name(key.start..colon) {
            let start = key.start + key.slashes + usize::from(value.quoted_key);
            let seen = match traces.of(&(start..start + key.text.len())) {
                Some(seen) => seen,
                None if effort.spend(4 * key.text.len()) => names.of(key.text, Coding::Json),
                None => return,
            };
            sensitivity = sensitivity.max(seen);
        }
        if key.is_cut {
            // What it says stands before.
            sensitivity = Sensitivity::Secret;
        }
        if sensitivity > Sensitivity::Plain {
            if key.text == b"code" && value.is_shorter_than(CODE) {
                continue;
            }
            hide_comment(text, colon + 1..start, edits);
            done = value.redact(sensitivity, effort, edits);
        } else if pair::may_name(&value, traces)
            && (is_label(key.text) || pair::is_patch(text, &key))
        {
            pair::hide(&key, &value, names, effort, edits);
        }
    }
    lists::scan(text, traces, effort, edits);
    variables::scan(text, traces, effort, edits);
}

/// Where the value begins after a colon. Of a bare name what follows is a scheme's: `token://`.
fn after_colon(text: &[u8], colon: usize, is_quoted: bool) -> usize {
    match text.get(colon + 1) {
        Some(b'/') if !is_quoted => colon + 1,
        _ => skip_space(text, colon + 1),
    }
}

/// What a comment says between a name and its value may be another value.
fn hide_comment(text: &[u8], between: Range<usize>, edits: &mut Edits) {
    let raw = text.get(between.clone()).unwrap_or_default();
    let inner = raw.trim_ascii();
    if inner.len() > 4 && matches!(inner.first(), Some(b'/' | b'#')) {
        let start = between.start + (raw.len() - raw.trim_ascii_start().len()) + 2;
        let end = start + inner.len() - 2 - 2 * usize::from(inner.ends_with(b"*/"));
        edits.push_plain(text, start..end, Rule::Json);
    }
}

struct Key<'a> {
    text: &'a [u8],
    /// Where it begins, its quote and the backslashes before that included.
    start: usize,
    quoted: bool,
    /// Backslashes before its quotes.
    slashes: usize,
    /// It is longer than [`KEY`], and this is its end.
    is_cut: bool,
}

fn key_before<'a>(text: &'a [u8], colon: usize, effort: &mut Effort) -> Option<Key<'a>> {
    let end = before_space(text, colon);
    // A comment is looked for in both directions.
    let comment = if text.get(..end)?.ends_with(b"/") {
        32
    } else {
        0
    };
    effort.spend(colon - end + comment);
    match *text.get(end.checked_sub(1)?)? {
        b'"' => quoted(text, end - 1, KEY, effort).or_else(|| cut(text, end - 1, effort)),
        b'\'' => {
            let content = text.get(..end - 1)?;
            let open = memrchr(b'\'', &content[content.len().saturating_sub(KEY)..])?;
            let open = open + content.len().saturating_sub(KEY);
            Some(Key {
                text: &content[open + 1..],
                start: open,
                quoted: false,
                slashes: 0,
                is_cut: false,
            })
        }
        b if is_word(b) => {
            let from = end.saturating_sub(KEY);
            let word = text[from..end]
                .iter()
                .rev()
                .take_while(|&&b| is_word(b))
                .count();
            Some(Key {
                text: &text[end - word..end],
                start: end - word,
                quoted: false,
                slashes: 0,
                is_cut: false,
            })
        }
        _ => None,
    }
}

/// The end of a key that is longer than [`KEY`].
fn cut<'a>(text: &'a [u8], quote: usize, effort: &mut Effort) -> Option<Key<'a>> {
    let slashes = slashes_before(text, quote);
    let end = quote - slashes;
    let start = end.checked_sub(KEY)?;
    let part = text.get(start..end)?;
    let is_one = slashes.wrapping_add(1).is_power_of_two()
        && effort.spend(KEY / 8)
        && memchr(b'"', part).is_none();
    is_one.then_some(Key {
        text: part,
        start,
        quoted: true,
        slashes,
        is_cut: true,
    })
}

/// The key, or another string of at most `longest` bytes, whose closing quote is at `quote`.
fn quoted<'a>(
    text: &'a [u8],
    quote: usize,
    longest: usize,
    effort: &mut Effort,
) -> Option<Key<'a>> {
    let slashes = slashes_before(text, quote);
    if !slashes.wrapping_add(1).is_power_of_two() {
        return None;
    }
    let end = quote - slashes;
    let from = end.saturating_sub(longest);
    let mut search = end;
    // Opening quote: the nearest one at the same depth.
    loop {
        let open = from + memrchr(b'"', &text[from..search])?;
        let before = slashes_before(text, open);
        if !effort.spend((search - open) / 8 + before + 1) {
            return None;
        }
        if before == slashes || (slashes == 0 && before.is_multiple_of(2)) {
            return Some(Key {
                text: &text[open + 1..end],
                start: open - slashes,
                quoted: true,
                slashes,
                is_cut: false,
            });
        }
        if before < slashes {
            return None;
        }
        search = open;
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::{check_traced, names};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        check_traced(text, expected, |text, traces, effort, edits| {
            scan(text, names(), traces, effort, edits);
        });
    }

    #[test]
    fn flat_and_nested_fields() {
        check(
            r#"{"user":"bob","pw":"s3cr\"et"}"#,
            r##"{"user":"bob","pw":"#"}"##,
        );
        check(
            r#"{"a":{"b":[{"password" : "x\\"},"y"]}}"#,
            r##"{"a":{"b":[{"password" : "#"},"y"]}}"##,
        );
        check(
            r#"{"pass\u0077ord":"x","n":1}"#,
            r##"{"pass\u0077ord":"#","n":1}"##,
        );
        check(
            "{\n  \"api-key\"\t:\r\n \"x\"\n}",
            "{\n  \"api-key\"\t:\r\n \"#\"\n}",
        );
        check(r#"{"password":""}"#, r#"{"password":""}"#);
    }

    #[test]
    fn numbers_become_strings_and_literals_stay() {
        check(r#"{"pin":1234,"otp":-1.5e3}"#, r##"{"pin":"#","otp":"#"}"##);
        check(
            r#"{"password":null,"token":true,"secret":false}"#,
            r#"{"password":null,"token":true,"secret":false}"#,
        );
        check(r#"{"password": hunter2 }"#, r##"{"password": "#" }"##);
    }

    #[test]
    fn everything_inside_a_secret_container() {
        check(
            r#"{"credentials":{"user":"u","list":["a",{"b":"c"},7,null]},"next":"n"}"#,
            r##"{"credentials":{"user":"#","list":["#",{"b":"#"},"#",null]},"next":"n"}"##,
        );
        check(r#"{"secrets":["a","b"#, r##"{"secrets":["#","#"##);
        check(
            r#"{"secrets":[]}, "x": ["y"]"#,
            r#"{"secrets":[]}, "x": ["y"]"#,
        );
    }

    #[test]
    fn json_within_json_strings() {
        check(
            r#"{"body":"{\"password\":\"x\\\"y\",\"pin\": 12,\"u\":\"v\"}","n":"m"}"#,
            r##"{"body":"{\"password\":\"#\",\"pin\": \"#\",\"u\":\"v\"}","n":"m"}"##,
        );
        check(
            r#"{"b":"{\"c\":\"{\\\"token\\\":\\\"x\\\"}\"}"}"#,
            r##"{"b":"{\"c\":\"{\\\"token\\\":\\\"#\\\"}\"}"}"##,
        );
        check(
            r#"{"b":"{\n \"token\":\n \"x\"\n}"}"#,
            r##"{"b":"{\n \"token\":\n \"#\"\n}"}"##,
        );
        // The inner document is cut, the outer one goes on.
        check(
            r#"{"b":"{\"token\":\"x","n":"m"}"#,
            r##"{"b":"{\"token\":\"#","n":"m"}"##,
        );
        check(
            r#"{"b":"{\"secrets\":[\"x","n":"m"}"#,
            r##"{"b":"{\"secrets\":[\"#","n":"m"}"##,
        );
    }

    #[test]
    fn cut_documents() {
        for cut in ["x", "xy", r"x\", r#"x\""#, r"x\u00"] {
            check(&format!(r#"{{"token":"{cut}"#), r##"{"token":"#"##);
        }
        check(r#"{"token":12"#, r##"{"token":"#""##);
        check(r#"{"token":"#, r#"{"token":"#);
        check(r#"{"token"#, r#"{"token"#);
        check(r#"rd":"a","token":"b""#, r##"rd":"a","token":"#""##);
    }

    #[test]
    fn not_json_but_close() {
        check(
            r#"mutation { login(user: "u", password: "p") }"#,
            r##"mutation { login(user: "u", password: "#") }"##,
        );
        check("{password: 'p', user: 'u'}", "{password: '#', user: 'u'}");
        check(
            "data: {\"token\":\"x\"}\n\ndata: {\"a\":1}\n",
            "data: {\"token\":\"#\"}\n\ndata: {\"a\":1}\n",
        );
        check(
            "{\"token\":\"x\"}\n{\"token\":\"y\"}\n",
            "{\"token\":\"#\"}\n{\"token\":\"#\"}\n",
        );
        check(
            "Password: hunter2 is a phrase",
            "Password: hunter2 is a phrase",
        );
    }

    #[test]
    fn block_strings() {
        check(
            r#"login(password: """p "q" r""", user: "u")"#,
            r##"login(password: """#""", user: "u")"##,
        );
        check(
            r#"{"query":"{ a(token: \"\"\"p\"\"\") }","n":1}"#,
            r##"{"query":"{ a(token: \"\"\"#\"\"\") }","n":1}"##,
        );
        check(r#"a(token: """cut"#, r##"a(token: """#"##);
        check(r#"{"token":"","a":"b"}"#, r#"{"token":"","a":"b"}"#);
    }

    #[test]
    fn name_and_value_apart() {
        check(
            r#"{"name":"password","value":"x","b":"c"}"#,
            r##"{"name":"password","value":"#","b":"c"}"##,
        );
        check(
            r#"[{"value":"x\"y", "name" : "DB_PASSWORD"},{"name":"a","value":"b"}]"#,
            r##"[{"value":"#", "name" : "DB_PASSWORD"},{"name":"a","value":"b"}]"##,
        );
        check(
            r#"{"Key":"api_key","Type":{"a":["}"]},"n":1,"Value":17}"#,
            r##"{"Key":"api_key","Type":{"a":["}"]},"n":1,"Value":"#"}"##,
        );
        check(
            r#"{"key":"http.request.header.authorization","value":{"arrayValue":{"values":[{"stringValue":"x"}]}}}"#,
            r##"{"key":"http.request.header.authorization","value":{"arrayValue":{"values":[{"stringValue":"#"}]}}}"##,
        );
        check(
            r#"{"b":"{\"name\":\"pin\",\"value\":\"x\"}","value":"y"}"#,
            r##"{"b":"{\"name\":\"pin\",\"value\":\"#\"}","value":"y"}"##,
        );
        check(
            r#"{"b":"{\"value\":12,\"name\":\"pin\"}","value":"y"}"#,
            r##"{"b":"{\"value\":\"#\",\"name\":\"pin\"}","value":"y"}"##,
        );
        check(
            r#"set(input: {name: "token" value: "x"}) { a }"#,
            r##"set(input: {name: "token" value: "#"}) { a }"##,
        );
        check(
            r#"{"name":"password","value":"{\"token\":\"x\"}"}"#,
            r##"{"name":"password","value":"#"}"##,
        );
        // Cut.
        check(
            r#"{"name":"password","value":"x"#,
            r##"{"name":"password","value":"#"##,
        );
        // Another object's value.
        for other in [
            r#"{"a":{"name":"password"},"value":"x"}"#,
            r#"[{"name":"password"},{"value":"x"}]"#,
            r#"[{"value":"x"},{"name":"password"}]"#,
            r#"{"value":"x","a":{"name":"password"}}"#,
            r#"{"name":"size","value":"x"}"#,
            r#"{"name":"password","comment":"x"}"#,
        ] {
            check(other, other);
        }
    }

    #[test]
    fn many_names_cost_no_more_than_their_length() {
        // Every name looks ahead: the work is bounded all the same.
        let text = r#""name":"password","#.repeat(20_000);
        check(&text, &text);
    }

    #[test]
    fn lists_of_pairs() {
        check(
            r#"{"headers":[["host","h"],["authorization","Bearer S"] , [ "x-api-key" , "T" ]]}"#,
            r##"{"headers":[["host","h"],["authorization","#"] , [ "x-api-key" , "#" ]]}"##,
        );
        check(
            r#"{"a":"[[\"token\",\"S\"]]"}"#,
            r##"{"a":"[[\"token\",\"#\"]]"}"##,
        );
        for other in [
            r#"{"required":["password","email"]}"#,
            r#"[["password","a","b"]]"#,
            r#"[["password"]]"#,
        ] {
            check(other, other);
        }
    }

    #[test]
    fn names_that_are_secret_in_some_documents() {
        check(
            r#"{"grant_type":"authorization_code","code":"S123456"}"#,
            r##"{"grant_type":"authorization_code","code":"#"}"##,
        );
        check(r#"{"code":"S123456"}"#, r#"{"code":"S123456"}"#);
        check(
            r#"{"redirect_uri":"r","code":"de"}"#,
            r#"{"redirect_uri":"r","code":"de"}"#,
        );
        check(
            r#"{"data":{"db":"S"},"kind":"Secret","metadata":{"name":"n"}}"#,
            r##"{"data":{"db":"#"},"kind":"Secret","metadata":{"name":"n"}}"##,
        );
        check(
            r#"{"kind":"ConfigMap","data":{"db":"x"}}"#,
            r#"{"kind":"ConfigMap","data":{"db":"x"}}"#,
        );
        check(r#"{"tokens":["S",1]}"#, r##"{"tokens":["#",1]}"##);
        check(r#"{"tokens":12}"#, r#"{"tokens":12}"#);
        check(
            r#"{"kty":"RSA","n":"x","e":"AQAB","d":"S","qi":"T"}"#,
            r##"{"kty":"RSA","n":"x","e":"AQAB","d":"#","qi":"#"}"##,
        );
        check(r#"{"d":"x","k":"y"}"#, r#"{"d":"x","k":"y"}"#);
    }

    #[test]
    fn other_fields_stay() {
        for text in [
            r#"{"url":"https://a/b?c=d","time":"12:30","max_tokens":5,"token_type":"x"}"#,
            r#"{"a":"the \"password\" field"}"#,
            "::::\":\":\\\":\\\":",
            "\"\\\\\":",
        ] {
            check(text, text);
        }
    }
}
