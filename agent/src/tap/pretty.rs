//! JSON for a person: a member or element a line, indented. Names, numbers and strings stay as they
//! came.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Spaces of one level.
const INDENT: usize = 2;
/// Deepest level that is indented, as deep as most parsers go: the indentation of deeper ones would
/// be most of the output.
const MAX_LEVELS: usize = 128;

/// The text over several lines, if it is JSON; as it came otherwise. Linear in the text, save for
/// the indentation of up to 128 levels.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let is_structured = text.trim_start().starts_with(['{', '[']);
    if !is_structured || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut pretty = Pretty {
        out: String::with_capacity(text.len() * 2),
        level: 0,
    };
    let mut in_string = false;
    let mut is_escaped = false;
    let mut previous = ' ';
    for c in text.chars() {
        if in_string {
            pretty.out.push(c);
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        // JSON's own whitespace (RFC 8259 §2); the parser took no other here.
        if c.is_ascii_whitespace() {
            continue;
        }
        pretty.token(c, previous);
        if pretty.level > MAX_LEVELS {
            return Cow::Borrowed(text);
        }
        in_string = c == '"';
        previous = c;
    }
    Cow::Owned(pretty.out)
}

struct Pretty {
    out: String,
    level: usize,
}

impl Pretty {
    /// A character outside of strings, and the one before it.
    fn token(&mut self, c: char, previous: char) {
        let is_first = matches!(previous, '{' | '[');
        match c {
            // An empty one opens no level.
            '}' | ']' if is_first => {}
            '}' | ']' => {
                self.level = self.level.saturating_sub(1);
                self.line();
            }
            _ if is_first => {
                self.level += 1;
                self.line();
            }
            _ => {}
        }
        self.out.push(c);
        match c {
            ',' => self.line(),
            ':' => self.out.push(' '),
            _ => {}
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        self.out
            .extend(std::iter::repeat_n(' ', INDENT * self.level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(json(text), expected);
        // Read again it says the same.
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        assert_eq!(read(text), read(expected));
    }

    #[test]
    fn documents() {
        check("{}", "{}");
        check(" [ ] ", "[]");
        check(r#"{"a":1}"#, "{\n  \"a\": 1\n}");
        check(
            r#"{"b":[1,2.50,{"c":null}],"a":"x,{[\"\\"}"#,
            "{\n  \"b\": [\n    1,\n    2.50,\n    {\n      \"c\": null\n    }\n  ],\n  \"a\": \"x,{[\\\"\\\\\"\n}",
        );
        check("[[],{}]", "[\n  [],\n  {}\n]");
    }

    #[test]
    fn what_is_no_document_stays() {
        for text in [
            "",
            "7",
            "\"a\"",
            "{",
            "{\"a\":1} x",
            "[1,",
            "{'a':1}",
            "text",
        ] {
            assert_eq!(json(text), text);
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(json(&deep), deep);
    }
}
