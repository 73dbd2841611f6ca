//! Texts that stand escaped in another: a copy with the signs that names and values stand between,
//! and where each came from.
//!
//! Writers escape more signs than they must: `\u0022`, `\u0026` and `\u003c` in JSON strings (.NET,
//! Go, PHP's `JSON_HEX_*`), `&quot;` and `&lt;` in HTML and XML, `%22` in a value that was
//! percent-encoded. The copy has `\"` for the first, so that the quotes of strings within strings
//! are distinguished as elsewhere.

use memchr::{memchr_iter, memchr3};

use super::edit::{Edit, Edits};
use super::effort::Effort;
use super::escape::percent;
use super::sieve::Traces;
use crate::http::percent::hex_pair;

/// A copy of a text.
pub(super) struct Unescaped {
    pub(super) text: Vec<u8>,
    escapes: Vec<Escape>,
}

/// What was replaced.
struct Escape {
    /// Where its sign stands in the copy, and how many bytes it takes.
    at: usize,
    len: usize,
    /// The same of the escape in the text.
    from: usize,
    raw: usize,
}

/// Part of a name stands in the text, and signs beside it may be escaped.
pub(super) fn is_needed(text: &[u8], traces: &Traces, effort: &mut Effort) -> bool {
    if traces.stems.is_empty() && !traces.is_escaped {
        return false;
    }
    traces.has_signs
        || memchr_iter(b'&', text)
            .take_while(|_| effort.spend(4))
            .any(|at| entity(text.get(at + 1..).unwrap_or_default()).is_some())
}

impl Unescaped {
    /// The copy of a text.
    pub(super) fn of(text: &[u8], effort: &mut Effort) -> Self {
        let mut copy = Self {
            text: Vec::with_capacity(text.len()),
            escapes: Vec::new(),
        };
        effort.spend(text.len());
        let mut at = 0;
        while let Some(rest) = text.get(at..)
            && let Some(found) = memchr3(b'\\', b'&', b'%', rest)
        {
            copy.text.extend_from_slice(&rest[..found]);
            at += found;
            at += copy.sign(text, at);
            if !effort.spend(4) {
                return copy;
            }
        }
        copy.text
            .extend_from_slice(text.get(at..).unwrap_or_default());
        copy
    }

    /// Copies what begins with the sign of an escape; how many bytes it took.
    fn sign(&mut self, text: &[u8], from: usize) -> usize {
        let rest = text.get(from..).unwrap_or_default();
        let slashes = rest.iter().take_while(|&&b| b == b'\\').count();
        let found = match rest.first() {
            Some(b'&') => entity(&rest[1..]).map(|(sign, len)| (sign, 1 + len)),
            Some(b'%') => percent(text, from).filter(|(sign, _)| is_sign(*sign)),
            _ => {
                unicode(rest.get(slashes - 1..).unwrap_or_default()).map(|sign| (sign, slashes + 5))
            }
        };
        let Some((sign, raw)) = found else {
            let len = slashes.max(1);
            self.text
                .extend_from_slice(rest.get(..len).unwrap_or_default());
            return len;
        };
        let (at, mut sign, mut raw) = (self.text.len(), sign, raw);
        if sign == b'&'
            && let Some((meant, len)) = entity(rest.get(raw..).unwrap_or_default())
        {
            // HTML in a JSON string.
            (sign, raw) = (meant, raw + len);
        }
        if sign == b'"' && slashes > 0 && rest.get(slashes) == Some(&b'u') {
            // A quote at this depth of strings.
            self.text
                .extend(std::iter::repeat_n(b'\\', 2 * slashes - 1));
        }
        self.text.push(sign);
        let len = self.text.len() - at;
        self.escapes.push(Escape { at, len, from, raw });
        raw
    }

    /// Adds what was found in the copy, at its places in the text.
    pub(super) fn restore(&self, found: &Edits, edits: &mut Edits) {
        for edit in found.as_slice() {
            let range = self.place(edit.range.start, false)..self.place(edit.range.end, true);
            edits.push_unchecked(Edit {
                range,
                ..edit.clone()
            });
        }
    }

    /// Where a byte of the copy stands in the text; within an escape, where that begins or ends.
    fn place(&self, at: usize, ends: bool) -> usize {
        let next = self.escapes.partition_point(|escape| escape.at <= at);
        let Some(escape) = next.checked_sub(1).and_then(|last| self.escapes.get(last)) else {
            return at;
        };
        let inside = at - escape.at;
        match inside {
            0 => escape.from,
            _ if inside >= escape.len => escape.from + escape.raw + (inside - escape.len),
            _ if ends => escape.from + escape.raw,
            _ => escape.from,
        }
    }
}

/// Signs that names and values stand between.
pub(super) const fn is_sign(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\'' | b'`' | b'&' | b'=' | b'<' | b'>' | b':' | b',' | b'{' | b'}' | b'[' | b']'
    )
}

/// The sign that `\u00..` stands for.
fn unicode(escape: &[u8]) -> Option<u8> {
    match escape {
        [b'\\', b'u', b'0', b'0', high, low, ..] => hex_pair(*high, *low).filter(|b| is_sign(*b)),
        _ => None,
    }
}

/// The sign that an entity of HTML or XML stands for, and its length after `&`; an ampersand may be
/// escaped again.
fn entity(rest: &[u8]) -> Option<(u8, usize)> {
    const NAMES: [(&[u8], u8); 9] = [
        (b"quot;", b'"'),
        (b"apos;", b'\''),
        (b"lt;", b'<'),
        (b"gt;", b'>'),
        (b"colon;", b':'),
        (b"equals;", b'='),
        (b"QUOT;", b'"'),
        (b"lbrace;", b'{'),
        (b"rbrace;", b'}'),
    ];
    /// Most times that an ampersand is escaped again.
    const AGAIN: usize = 4;
    let mut at = 0;
    for _ in 0..AGAIN {
        let after = rest.get(at..)?.strip_prefix(b"amp;");
        at += after.map_or(0, |_| b"amp;".len());
    }
    let body = rest.get(at..)?;
    if let Some(number) = body.strip_prefix(b"#") {
        let end = number.iter().take(8).position(|&b| b == b';')?;
        let digits = str::from_utf8(number.get(..end)?).ok()?;
        let sign = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u8::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        return is_sign(sign).then_some((sign, at + end + 2));
    }
    NAMES
        .iter()
        .find(|(name, _)| body.starts_with(name))
        .map(|(name, sign)| (*sign, at + name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::check_body;

    /// `expected` has `#` where a replacement stands.
    fn check(text: &str, expected: &str) {
        check_body("application/json", text, expected);
    }

    #[test]
    fn signs_in_json_strings() {
        for (text, expected) in [
            (
                r#"{"d":"{\u0022password\u0022:\u0022S\u0022,\u0022a\u0022:1}"}"#,
                r#"{"d":"{\u0022password\u0022:\u0022#\u0022,\u0022a\u0022:1}"}"#,
            ),
            (
                r#"{"d":"{\u0022e\u0022:\u0022{\\u0022password\\u0022:\\u0022S\\u0022}\u0022}"}"#,
                r#"{"d":"{\u0022e\u0022:\u0022{\\u0022password\\u0022:\\u0022#\\u0022}\u0022}"}"#,
            ),
            (
                r#"{"d":"{\u0022password\u0022:\u0022a\\u0022S\u0022}"}"#,
                r#"{"d":"{\u0022password\u0022:\u0022#\u0022}"}"#,
            ),
            (
                r#"{"d":"{\u0022password\u0022\u003a\u0022S\u0022}"}"#,
                r#"{"d":"{\u0022password\u0022\u003a\u0022#\u0022}"}"#,
            ),
            (
                r#"{"d":"{\u0022pin\u0022:1234}"}"#,
                "{\"d\":\"{\\u0022pin\\u0022:\\\"#\\\"}\"}",
            ),
            (
                r#"{"d":"{\u0027password\u0027:\u0027S\u0027}"}"#,
                r#"{"d":"{\u0027password\u0027:\u0027#\u0027}"}"#,
            ),
            (r#"{"d":"password\u003dS"}"#, r#"{"d":"password\u003d#"}"#),
            (
                r#"{"d":"a=1\u0026password=S\u0026b=2"}"#,
                r#"{"d":"a=1\u0026password=#\u0026b=2"}"#,
            ),
            (
                r#"{"d":"\u003cpassword\u003eS\u003c/password\u003e"}"#,
                r#"{"d":"\u003cpassword\u003e#\u003c/password\u003e"}"#,
            ),
            (
                r#"{"d":"\u003ca password=\u0022S\u0022\u003e"}"#,
                r#"{"d":"\u003ca password=\u0022#\u0022\u003e"}"#,
            ),
            (
                r#"{"d":"\u003ca b=\u0022{\u0026quot;password\u0026quot;:\u0026quot;S\u0026quot;}"}"#,
                r#"{"d":"\u003ca b=\u0022{\u0026quot;password\u0026quot;:\u0026quot;#\u0026quot;}"}"#,
            ),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn entities() {
        for (text, expected) in [
            (
                r#"<div data-x="{&quot;password&quot;:&quot;S&quot;,&quot;a&quot;:1}">b</div>"#,
                r#"<div data-x="{&quot;password&quot;:&quot;#&quot;,&quot;a&quot;:1}">b</div>"#,
            ),
            (
                r#"<div data-x="{&#34;password&#34;:&#x22;S&#34;}">b</div>"#,
                r#"<div data-x="{&#34;password&#34;:&#x22;#&#34;}">b</div>"#,
            ),
            (
                "<a>{&amp;quot;password&amp;quot;:&amp;quot;S&amp;quot;}</a>",
                "<a>{&amp;quot;password&amp;quot;:&amp;quot;#&amp;quot;}</a>",
            ),
            (
                "<a>&lt;password&gt;S&lt;/password&gt;&lt;b&gt;c&lt;/b&gt;</a>",
                "<a>&lt;password&gt;#&lt;/password&gt;&lt;b&gt;c&lt;/b&gt;</a>",
            ),
        ] {
            check_body("text/html", text, expected);
        }
    }

    #[test]
    fn percent_encoded_json() {
        let form = "application/x-www-form-urlencoded";
        for (text, expected) in [
            (
                "%7B%22password%22%3A%22S%22%2C%22a%22%3A1%7D",
                "%7B%22password%22%3A%22#%22%2C%22a%22%3A1%7D",
            ),
            (
                "a=%257B%2522password%2522%253A%2522S%2522%257D",
                "a=%257B%2522password%2522%253A%2522#%2522%257D",
            ),
        ] {
            check_body(form, text, expected);
        }
        check(
            r#"{"d":"%7B%22password%22%3A%22S%22%7D","e":"f"}"#,
            r#"{"d":"%7B%22password%22%3A%22#%22%7D","e":"f"}"#,
        );
    }

    #[test]
    fn other_texts_stay() {
        for text in [
            r#"{"d":"{\u0022user\u0022:\u0022S\u0022}","e":"keyboard \u003d 1"}"#,
            r#"{"html":"\u003cb\u003eForgot your password?\u003c/b\u003e \u0026 more"}"#,
            r#"{"d":"{\u0022password_policy\u0022:\u0022S\u0022}"}"#,
            r#"{"d":"{\u0022max_tokens\u0022:12}"}"#,
            "<p>Forgot your &quot;password&quot;? Read &lt;b&gt;this&lt;/b&gt; &amp; that.</p>",
            "<p>a &lt; b, keyboard &#38; mouse &unknown; &#99999999; &</p>",
            r#"{"q":"100%25 %22keyboard%22 %7B%7D"}"#,
        ] {
            check(text, text);
            check_body("text/html", text, text);
        }
    }

    #[test]
    fn places_of_the_copy_are_those_of_the_text() {
        let text = br#"a\u0022b&quot;c%22d\\u0022e"#;
        let copy = Unescaped::of(text, &mut Effort::for_len(text.len()));
        assert_eq!(copy.text, br#"a\"b"c"d\\\"e"#);
        for letter in b'a'..=b'e' {
            let here = |text: &[u8]| memchr::memrchr(letter, text).unwrap();
            assert_eq!(copy.place(here(&copy.text), false), here(text));
        }
        assert_eq!(copy.place(copy.text.len(), true), text.len());
    }
}
