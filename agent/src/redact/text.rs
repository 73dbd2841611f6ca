//! Secrets in text of any kind, beside a name that the first pass found: `DB_PASSWORD=x`,
//! `password: x` (YAML, logs, headers in a text), `'password' => 'x'`, `var token = "x"`,
//! `--password x`, `Bearer x`, `<password>x</password>` within JSON.
//!
//! Every name is looked at once, and what follows it: the scanner only moves forward.

mod cell;
mod code;
mod cursor;
mod declared;
mod lines;
mod value;
mod yaml;

use std::ops::Range;

use super::counts::Rule;
use super::edit::{Coding, Edit, Edits};
use super::effort::Effort;
use super::json;
use super::names::Sensitivity;
use super::sieve::{Ident, Traces, is_name};

/// Most white space between a name, its sign, and its value.
const SPACE: usize = 32;

/// What kind of text it is, as far as that matters for where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text stands in strings: a quote ends it.
    Quoted,
    /// Lines, in which a quote is a character like others.
    Lines,
}

/// Finds values beside names. What is found comes in order, and may overlap.
pub(super) fn scan(
    text: &[u8],
    traces: &Traces,
    shape: Shape,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let mut scan = Scan {
        text,
        shape,
        effort,
        edits,
    };
    if shape == Shape::Lines && json::has_kubernetes_secret(text, traces) {
        scan.kubernetes();
    }
    let mut done = 0;
    for ident in &traces.idents {
        if ident.range.start < done {
            continue;
        }
        if !scan.effort.spend(16) {
            return;
        }
        done = scan.ident(ident).max(ident.range.end);
    }
}

/// What stands between a name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// `=`, `:=`, `=>`.
    Equals,
    /// `:`
    Colon,
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// First on a line, which ends where lines end.
    Line,
    /// First in a string, or on a line of a text in one.
    String,
    /// Behind something else.
    Middle,
}

impl Place {
    /// In lines of text a quote is a character like others.
    const fn string(shape: Shape) -> Self {
        match shape {
            Shape::Quoted => Self::String,
            Shape::Lines => Self::Line,
        }
    }
}

struct Scan<'a, 'e> {
    text: &'a [u8],
    shape: Shape,
    effort: &'e mut Effort,
    edits: &'e mut Edits,
}

impl<'a> Scan<'a, '_> {
    /// Looks at one name; where it has looked up to.
    fn ident(&mut self, ident: &Ident) -> usize {
        let Range { start, end } = ident.range;
        let name = self.bytes(ident.range.clone());
        if name.eq_ignore_ascii_case(b"bearer")
            && let Some(end) = self.bearer(end)
        {
            return end;
        }
        if self.byte_before(start) == Some(b'<') || self.is_prefixed(start) {
            return self.element(end);
        }
        if self.byte_before(start) == Some(b'>')
            && let Some(end) = self.cell(ident)
        {
            return end;
        }
        let quoted = self.after_quote(end);
        let at = quoted.unwrap_or(end);
        let before = self.skip_space(at);
        let Some((sign, after)) = self.sign(before) else {
            if let Some(end) = self.labelled_block(ident, before) {
                return end;
            }
            if let Some(end) = self.beside(start, before) {
                return end;
            }
            if let Some(end) = self.cell(ident) {
                return end;
            }
            return self.argument(ident, at);
        };
        match sign {
            // JSON, whose scanner knows more of it.
            Sign::Colon if quoted.is_some() && !self.is_yaml(start, after) => end,
            Sign::Colon if name.first() == Some(&b'$') => self.default_value(ident, after),
            Sign::Colon if self.is_ldif(start, after) => self.folded_line(ident, after + 1),
            // A scheme (`token://`), a path of names
            // (`a:secret:b`).
            Sign::Colon
                if matches!(self.text.get(after), Some(b':'))
                    || self.bytes(after..after + 2) == b"//"
                    || self.byte_before(start) == Some(b':') =>
            {
                end
            }
            _ => self.value(ident, sign, after),
        }
    }

    fn sign(&self, at: usize) -> Option<(Sign, usize)> {
        match self.text.get(at..)? {
            // Comparisons.
            [b'=', b'=', ..] => None,
            [b'=', b'>', ..] | [b':', b'=', ..] => Some((Sign::Equals, at + 2)),
            [b'-', b'>', b' ', rest @ ..] if self.byte_before(at) == Some(b' ') => {
                // Not what a function makes of it.
                let line = rest.split(|b| matches!(b, b'\n' | b'\r' | b'"')).next();
                let is_code = line.unwrap_or_default().iter().any(|b| b"(){}".contains(b));
                (!is_code).then_some((Sign::Equals, at + 2))
            }
            [b'=', ..] => Some((Sign::Equals, at + 1)),
            [b':', ..] => Some((Sign::Colon, at + 1)),
            _ => None,
        }
    }

    /// Where the name's line begins, but for what lines begin with: `export `, `- `, `set `.
    fn beginning(&self, start: usize) -> usize {
        const WORDS: [&[u8]; 5] = [b"export ", b"set ", b"- ", b"ENV ", b"env "];
        let mut at = start;
        let before = self.bytes(at.saturating_sub(7)..at);
        if let Some(word) = WORDS.iter().find(|word| before.ends_with(word)) {
            at -= word.len();
        }
        let blanks = self.bytes(0..at);
        let blank = |b: &&u8| matches!(**b, b' ' | b'\t');
        at -= blanks
            .iter()
            .rev()
            .take(SPACE * 2)
            .take_while(blank)
            .count();
        at
    }

    /// The string that the name's line stands in is in a string itself.
    fn is_nested(&self, start: usize) -> bool {
        let before = self.bytes(0..self.beginning(start));
        matches!(before, [.., b'\\', b'"'] | [.., b'\\', b'\\', b'n' | b'r'])
    }

    /// Where the name stands on its line.
    fn place(&self, start: usize) -> Place {
        match self.bytes(0..self.beginning(start)) {
            [] | [.., b'\n' | b'\r'] => Place::Line,
            // A comment's sign, an escaped line, the beginning of a string.
            [.., b'#' | b'"' | b'\'' | b'`'] | [.., b'\\', b'n' | b'r' | b't'] => {
                Place::string(self.shape)
            }
            _ => Place::Middle,
        }
    }

    fn begins_line(&self, start: usize) -> bool {
        self.place(start) != Place::Middle
    }

    /// A word that is none of a language: long enough, and mixed.
    fn is_likely_secret(&mut self, start: usize) -> bool {
        const LEAST: usize = 8;
        let end = self.end_of_word(start);
        let word = self.bytes(start..end);
        let has = |test: fn(&u8) -> bool| word.iter().any(test);
        matches!(
            self.text.get(start),
            Some(b'"' | b'\'' | b'\\' | b'\n' | b'\r')
        ) || word.len() >= LEAST
            && (has(u8::is_ascii_digit)
                || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
    }

    /// The name has a namespace's prefix in a tag: `<wsse:Password`.
    fn is_prefixed(&self, start: usize) -> bool {
        const PREFIX: usize = 24;
        if self.byte_before(start) != Some(b':') {
            return false;
        }
        let before = self.bytes(start.saturating_sub(PREFIX)..start - 1);
        let prefix = before.iter().rev().take_while(|&&b| is_name(b)).count();
        before.len() > prefix && before.get(before.len() - prefix - 1) == Some(&b'<')
    }

    /// The text of an element whose name ends at `end`.
    fn element(&mut self, end: usize) -> usize {
        let close = self.until(end, |b| matches!(b, b'>' | b'<' | b'\n'));
        if self.text.get(close) != Some(&b'>') || self.byte_before(close) == Some(b'/') {
            return end;
        }
        let stop = self.until(close + 1, |b| matches!(b, b'<' | b'"'));
        let stop = stop - self.trailing_slashes(close + 1, stop);
        self.edits.push_plain(self.text, close + 1..stop, Rule::Xml);
        stop
    }

    fn hide(&mut self, ident: &Ident, range: Range<usize>) -> usize {
        let end = range.end;
        self.push(ident, range, Coding::Plain);
        end
    }

    fn push(&mut self, ident: &Ident, range: Range<usize>, coding: Coding) {
        let value = self.bytes(range.clone());
        let is_count = ident.sensitivity == Sensitivity::SecretText
            && value.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        if is_count || says_nothing(value) {
            return;
        }
        let edit = Edit {
            range,
            rule: Rule::Text,
            coding,
            quote: None,
        };
        self.edits.push(self.text, edit);
    }
}

/// Values that are none.
fn says_nothing(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] = [
        b"true",
        b"false",
        b"null",
        b"nil",
        b"none",
        b"undefined",
        b"yes",
        b"no",
        b"~",
    ];
    let value = value.strip_suffix(b",").unwrap_or(value);
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// The name is this, or ends with it as a part of its own.
fn ends_with_word(name: &[u8], word: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(word.len()) else {
        return false;
    };
    let (before, end) = name.split_at(start);
    end.eq_ignore_ascii_case(word) && before.last().is_none_or(|b| !b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::check_traced;

    #[track_caller]
    fn check(shape: Shape, text: &str, expected: &str) {
        check_traced(text, expected, |text, traces, effort, edits| {
            scan(text, traces, shape, effort, edits);
        });
    }

    #[test]
    fn assignments() {
        use Shape::{Lines, Quoted};
        for shape in [Lines, Quoted] {
            check(shape, "A=1\nDB_PASSWORD=S\nB=2", "A=1\nDB_PASSWORD=#\nB=2");
            check(shape, "export API_KEY=a b\nB=2", "export API_KEY=#\nB=2");
            check(
                shape,
                "Server=x;Uid=a;Password=S,)T;Port=1",
                "Server=x;Uid=a;Password=#;Port=1",
            );
            check(
                shape,
                "<script>var token = \"S\";</script>",
                "<script>var token = \"#\";</script>",
            );
            check(
                shape,
                "$cfg['password'] => 'S', 'a'",
                "$cfg['password'] => '#', 'a'",
            );
            check(
                shape,
                "curl --password S --user a",
                "curl --password # --user a",
            );
            check(
                shape,
                "os.environ[\"API_TOKEN\"] = \"S\"",
                "os.environ[\"API_TOKEN\"] = \"#\"",
            );
            check(
                shape,
                "ALTER USER a WITH PASSWORD 'S';",
                "ALTER USER a WITH PASSWORD '#';",
            );
            check(
                shape,
                "machine h login a password S",
                "machine h login a password #",
            );
            check(shape, "password == x", "password == x");
            check(shape, "x password=true", "x password=true");
        }
        check(
            Quoted,
            r#"{"env":["DB_PASSWORD=S T"]}"#,
            r##"{"env":["DB_PASSWORD=#"]}"##,
        );
        check(
            Quoted,
            r#"{"a":"A=1\nTOKEN=S\nB=2"}"#,
            r##"{"a":"A=1\nTOKEN=#\nB=2"}"##,
        );
        check(
            Quoted,
            r#"{"a":"x = \"1\"; password = \"S\"; y"}"#,
            r##"{"a":"x = \"1\"; password = \"#\"; y"}"##,
        );
    }

    #[test]
    fn lines_of_headers_and_logs() {
        use Shape::{Lines, Quoted};
        check(Lines, "Authorization: Bearer S", "Authorization: Bearer #");
        check(
            Lines,
            "INFO sent Authorization: Bearer S to h",
            "INFO sent Authorization: Bearer # to h",
        );
        check(
            Lines,
            "X-Api-Key: S\r\nHost: h\r\n",
            "X-Api-Key: #\r\nHost: h\r\n",
        );
        check(
            Lines,
            "Cookie: a=S; b=T\nHost: h",
            "Cookie: a=#; b=#\nHost: h",
        );
        check(
            Lines,
            "INFO login password: S, user: ann",
            "INFO login password: # user: ann",
        );
        check(
            Quoted,
            r#"{"log":"Authorization: Bearer S"}"#,
            r##"{"log":"Authorization: Bearer #"}"##,
        );
        check(
            Quoted,
            r#"{"raw":"Set-Cookie: sid=S; Path=/"}"#,
            r##"{"raw":"Set-Cookie: sid=#; Path=/"}"##,
        );
        check(
            Quoted,
            r#"{"a":"sent Bearer abc123def456 to"}"#,
            r##"{"a":"sent Bearer # to"}"##,
        );
        check(
            Quoted,
            "Bearer authentication is used",
            "Bearer authentication is used",
        );
    }

    #[test]
    fn yaml() {
        let check = |text, expected| check(Shape::Lines, text, expected);
        check(
            "user: a\npassword: S\nb: 1\n",
            "user: a\npassword: #\nb: 1\n",
        );
        check(
            "a:\n  - token: \"S\"\n    b: 'c'\n",
            "a:\n  - token: \"#\"\n    b: 'c'\n",
        );
        check(
            "credentials:\n  user: S\n  list:\n  - T\n  - k: U\nnext: x\n",
            "credentials:\n  user: #\n  list:\n  - #\n  - k: #\nnext: x\n",
        );
        check(
            "private_key: |\n  line\n\n  more\nb: 1",
            "private_key: |\n  #\n\n  #\nb: 1",
        );
        check("password:\nb: 1", "password:\nb: 1");
        check("tokens: 12\npassword: null", "tokens: 12\npassword: null");
    }

    #[test]
    fn elements_in_strings() {
        check(
            Shape::Quoted,
            r#"{"xml":"<a><b>c</b><wsse:Password Type='t'>S</wsse:Password><token>T"}"#,
            r##"{"xml":"<a><b>c</b><wsse:Password Type='t'>#</wsse:Password><token>#"}"##,
        );
    }

    #[test]
    fn names_and_values_without_a_sign() {
        for shape in [Shape::Lines, Shape::Quoted] {
            check(shape, "a b\npassword -> S\nc", "a b\npassword -> #\nc");
            check(
                shape,
                "user ann, password -> S T",
                "user ann, password -> # T",
            );
            check(shape, "{ \"password\" \"S\" }", "{ \"password\" \"#\" }");
            check(
                shape,
                "password -> encode(password)",
                "password -> encode(password)",
            );
        }
        check(
            Shape::Lines,
            "User\tann\nPassword\tS T\n",
            "User\tann\nPassword\t#\n",
        );
        check(
            Shape::Lines,
            "password\temail\nS\tb\n",
            "password\temail\nS\tb\n",
        );
        check(
            Shape::Quoted,
            r#"{"t":"User\tann\nAccess token\tS\nx\ty"}"#,
            r##"{"t":"User\tann\nAccess token\t#\nx\ty"}"##,
        );
        check(
            Shape::Quoted,
            r#"{"h":"<tr><td>Password:<\/td> <td class=\"v\">S<\/td><\/tr>"}"#,
            r##"{"h":"<tr><td>Password:<\/td> <td class=\"v\">#<\/td><\/tr>"}"##,
        );
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "query($password: String!) { login(password: $password) }",
            "arn:aws:secret:x",
            "Forgot your password? Read the password policy.",
            "password",
            "token://x",
            "std::secret::x",
            "\"scope\":\"tokens:read secrets:write\"",
        ] {
            for shape in [Shape::Lines, Shape::Quoted] {
                check(shape, text, text);
            }
        }
    }
}
