//! Secrets in JSON fields, found by a scanner that works from each `:` outwards instead of parsing.
//!
//! It so needs no whole document: one that was cut anywhere, JSON lines, server-sent events, a
//! GraphQL query or JSON inside a JSON string are all read alike. A quote at depth `d` of strings
//! within strings stands after `2^d - 1` backslashes (RFC 8259 §7, applied `d` times), which says
//! the quotes of one depth from those of another.

mod pair;
mod quote;

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::counts::Rule;
use super::edit::{Coding, Edit, Edits};
use super::effort::Effort;
use super::names::{Names, Sensitivity, is_label};
use super::sieve::Traces;
pub(super) use quote::string_at;
use quote::{block, quote_at, slashes_at, slashes_at_depth, slashes_before, string};

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
        let value = Value {
            text,
            start: skip_space(text, colon + 1),
            quoted_key: key.quoted,
            slashes: key.slashes,
        };
        let mut sensitivity = document.sensitivity(key.text);
        if traces.may_name(key.start..colon) {
            let start = key.start + key.slashes + usize::from(key.quoted);
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
            done = value.redact(sensitivity, effort, edits);
        } else if pair::may_name(&value, traces)
            && (is_label(key.text) || pair::is_patch(text, &key))
        {
            pair::hide(&key, &value, names, effort, edits);
        }
    }
    pair::lists(text, traces, effort, edits);
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
    let mut end = colon;
    while end > 0 && is_space(text[end - 1]) {
        end -= 1;
    }
    effort.spend(colon - end);
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

struct Value<'a> {
    text: &'a [u8],
    start: usize,
    quoted_key: bool,
    slashes: usize,
}

impl Value<'_> {
    /// It is a string that ends before so many bytes.
    fn is_shorter_than(&self, len: usize) -> bool {
        let inner = self
            .text
            .get(self.start + self.slashes + 1..)
            .unwrap_or_default();
        memchr(b'"', inner.get(..len).unwrap_or(inner)).is_some()
    }

    /// Adds the edits for the value; returns where it ends.
    fn redact(&self, sensitivity: Sensitivity, effort: &mut Effort, edits: &mut Edits) -> usize {
        let text = self.text;
        if let Some((open, depth)) = quote_at(text, self.start) {
            let mut content = string(text, open + 1, depth);
            let inner = text.get(content.clone()).unwrap_or_default();
            if !self.quoted_key && inner.trim_ascii() == b":" {
                // The quote ends the key that this colon stands in: `"password: ": "x"`.
                return self.start;
            }
            if content.is_empty() {
                content = block(text, content.end, depth);
            }
            let end = content.end;
            effort.spend(content.len());
            push_string(text, content, edits);
            return end;
        }
        match text.get(self.start) {
            Some(b'\'') if !self.quoted_key => {
                let rest = &text[self.start + 1..];
                let end = self.start + 1 + memchr(b'\'', rest).unwrap_or(rest.len());
                push_string(text, self.start + 1..end, edits);
                end
            }
            Some(b'{' | b'[') if self.quoted_key => self.container(sensitivity, effort, edits),
            Some(_) if self.quoted_key => {
                let end = scalar_end(text, self.start);
                effort.spend(end - self.start);
                if sensitivity == Sensitivity::Secret {
                    push_scalar(text, self.start..end, self.slashes, edits);
                }
                end
            }
            _ => self.start,
        }
    }

    /// Every string and number inside an object or an array, keys excepted.
    fn container(&self, sensitivity: Sensitivity, effort: &mut Effort, edits: &mut Edits) -> usize {
        let text = self.text;
        let mut at = self.start;
        let mut open = 0_usize;
        while let Some(&byte) = text.get(at) {
            let before = at;
            match byte {
                b'{' | b'[' => open += 1,
                b'}' | b']' => {
                    open -= 1;
                    if open == 0 {
                        return at + 1;
                    }
                }
                b'"' | b'\\' => match quote_at(text, at) {
                    // The string that this document stands in ends.
                    Some((_, depth)) if slashes_at_depth(depth) < self.slashes => return at,
                    Some((quote, depth)) => {
                        let content = string(text, quote + 1, depth);
                        at = content.end + slashes_at_depth(depth) + 1;
                        if text.get(skip_space(text, at)) != Some(&b':') {
                            push_string(text, content, edits);
                        }
                    }
                    // Backslashes before nothing of interest: none is looked at twice.
                    None => at += slashes_at(text, at).max(1),
                },
                b if is_space(b) || matches!(b, b',' | b':') => {}
                _ => {
                    at = scalar_end(text, at).max(at + 1);
                    if sensitivity == Sensitivity::Secret {
                        push_scalar(text, before..at, self.slashes, edits);
                    }
                }
            }
            at = at.max(before + 1);
            if !effort.spend(at - before) {
                return text.len();
            }
        }
        text.len()
    }
}

fn push_string(text: &[u8], range: Range<usize>, edits: &mut Edits) {
    let edit = Edit {
        range,
        rule: Rule::Json,
        coding: Coding::Json,
        quote: None,
    };
    edits.push(text, edit);
}

/// A number, or bytes that are no JSON value; `true`, `false` and `null` say nothing.
fn push_scalar(text: &[u8], range: Range<usize>, slashes: usize, edits: &mut Edits) {
    let value = text.get(range.clone()).unwrap_or_default();
    if [&b"true"[..], b"false", b"null"]
        .iter()
        .any(|literal| literal.starts_with(value))
    {
        return;
    }
    let edit = Edit {
        range,
        rule: Rule::Json,
        coding: Coding::Plain,
        quote: u8::try_from(slashes).ok(),
    };
    edits.push(text, edit);
}

fn scalar_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start
        + rest
            .iter()
            .position(|&b| matches!(b, b',' | b'}' | b']' | b'"' | b'\\') || is_space(b))
            .unwrap_or(rest.len())
}

/// White space, also in its escaped forms, as it stands in JSON within a string.
fn skip_space(text: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match text.get(at..) {
            Some([b, ..]) if is_space(*b) => at += 1,
            Some([b'\\', rest @ ..]) => {
                let more = rest.iter().take_while(|&&b| b == b'\\').count();
                match rest.get(more) {
                    Some(b'n' | b'r' | b't') => at += more + 2,
                    _ => return at,
                }
            }
            _ => return at,
        }
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::document::Search;
    use crate::redact::fixture::{apply, mask, search};

    fn scanned(text: &[u8], edits: &mut Edits) -> u64 {
        let Search { names, sieve, .. } = search();
        let mut effort = Effort::for_len(text.len());
        let mut traces = Traces::default();
        sieve.look(text, names, &mut effort, &mut traces);
        scan(text, names, &traces, &mut effort, edits);
        assert!(!effort.is_spent(), "{} bytes", text.len());
        edits.settle();
        effort.steps()
    }

    /// `expected` has `#` where a replacement stands.
    fn check(text: &str, expected: &str) {
        let run = |text: &str| {
            apply(text, |text, edits| {
                scanned(text, edits);
            })
        };
        let once = run(text);
        assert_eq!(mask(&once), expected, "{text}");
        assert_eq!(run(&once), once, "a second pass changes {text}");
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
