//! The first pass over every text: one search for what names of secrets are made of, one for the
//! beginnings of well-known tokens. Most texts have neither, and no other scanner looks at them.
//!
//! Each place where part of a name stands is looked at once: the whole name around it is read, and
//! judged by [`Names`]. So a text that speaks of authors and keyboards costs little more than one
//! that does not.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use aho_corasick::packed::{self, Searcher};
use memchr::{memchr_iter, memmem};

use super::edit::Coding;
use super::effort::Effort;
use super::escape::percent;
use super::names::{Names, Sensitivity};
use crate::http::percent::hex_pair;

/// In every default name, however its words are joined, there is one of these.
const STEMS: [&str; 35] = [
    "pass", "pwd", "psw", "tok", "pin", "otp", "sid", "sig", "jwt", "ssn", "cvv", "cvc", "csc",
    "cvn", "key", "auth", "cred", "cooki", "csrf", "xsrf", "hmac", "beare", "assert", "saml",
    "secr", "sess", "mnemo", "phras", "verif", "code", "docker", "kennw", "seed", "conn", "card",
];

/// The shortest name. It is no part of a longer word but of `pword`.
const SHORTEST: &[u8] = b"pw";

/// The others: rare letters in a row.
const MORE_STEMS: [&str; 9] = [
    JWK,
    "contras",
    "motde",
    "senha",
    "social",
    "grant_type",
    "granttype",
    "redirect_uri",
    "redirecturi",
];

/// The member that every JSON Web Key has (RFC 7517 §4.1).
const JWK: &str = "\"kty\"";

/// Those of [`MORE_STEMS`] that are as long as this are words of OAuth.
const OAUTH: usize = "granttype".len();

/// A name that is longer than this on one side of a stem is cut there.
const REACH: usize = 128;

/// A name that stands in a text and is a secret's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ident {
    /// Where, without quotes.
    pub(super) range: Range<usize>,
    /// What it says of its value.
    pub(super) sensitivity: Sensitivity,
}

/// What the first pass found.
#[derive(Clone, Debug, Default)]
pub(super) struct Traces {
    /// Where stems begin, in order.
    pub(super) stems: Vec<usize>,
    /// The names that are secrets', in order.
    pub(super) idents: Vec<Ident>,
    /// Where known tokens may begin, in order.
    pub(super) tokens: Vec<usize>,
    /// Letters or digits are escaped: a name may hide behind that.
    pub(super) is_escaped: bool,
    /// It speaks of OAuth (RFC 6749 §4.1.3), where `code` is a secret.
    pub(super) is_oauth: bool,
    /// It has a JSON Web Key, whose parts have names of one letter.
    pub(super) is_jwk: bool,
}

impl Traces {
    fn clear(&mut self) {
        self.stems.clear();
        self.idents.clear();
        self.tokens.clear();
        self.is_escaped = false;
        self.is_oauth = false;
        self.is_jwk = false;
    }

    /// Part of a name stands in this range, or may be there behind escapes.
    pub(super) fn may_name(&self, range: Range<usize>) -> bool {
        self.is_escaped || {
            let first = self.stems.partition_point(|&at| at < range.start);
            self.stems.get(first).is_some_and(|&at| at < range.end)
        }
    }

    /// What the first pass says of the name that stands in this range alone; nothing when it did
    /// not look at it as a whole.
    pub(super) fn of(&self, range: &Range<usize>) -> Option<Sensitivity> {
        let at = self
            .idents
            .binary_search_by_key(&range.start, |ident| ident.range.start)
            .ok()?;
        let ident = self.idents.get(at)?;
        (ident.range == *range).then_some(ident.sensitivity)
    }

    /// Nothing that scanners which look for names could find.
    pub(super) const fn has_no_names(&self) -> bool {
        self.idents.is_empty() && !self.is_escaped && !self.is_oauth && !self.is_jwk
    }
}

/// The searches. Texts are searched in lower case.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    stems: Search,
    more: Search,
    tokens: Search,
    /// Names that users added may be written in ways that no stem is in: every text is looked at.
    looks_at_all: bool,
}

/// A vectorised search where the processor has one, else an automaton.
#[derive(Clone, Debug)]
enum Search {
    Packed(Box<Searcher>),
    Automaton(Box<AhoCorasick>),
    /// What cannot be searched for may be everywhere.
    Everywhere,
}

impl Search {
    fn new(patterns: &[&str]) -> Self {
        let packed = packed::Config::new().builder().extend(patterns).build();
        match packed.map(Box::new) {
            Some(packed) => Self::Packed(packed),
            None => AhoCorasick::new(patterns)
                .map_or(Self::Everywhere, |all| Self::Automaton(Box::new(all))),
        }
    }

    /// Calls `found` with where each begins and ends; of those that overlap, with the first.
    #[inline]
    fn each(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        match self {
            Self::Packed(search) => search
                .find_iter(text)
                .for_each(|at| found(at.start(), at.end())),
            Self::Automaton(search) => search
                .find_iter(text)
                .for_each(|at| found(at.start(), at.end())),
            Self::Everywhere => (0..text.len()).for_each(|at| found(at, at + 1)),
        }
    }
}

impl Sieve {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            stems: Search::new(&STEMS),
            more: Search::new(&MORE_STEMS),
            tokens: Search::new(&super::known::SIGNS),
            looks_at_all: !names.are_default(),
        }
    }

    /// Looks for tokens alone.
    pub(super) fn look_for_tokens(&self, text: &[u8], lower: &mut Vec<u8>, traces: &mut Traces) {
        traces.clear();
        lower.clear();
        lower.extend_from_slice(text);
        lower.make_ascii_lowercase();
        self.tokens.each(lower, |at, _| traces.tokens.push(at));
    }

    /// Looks through a text.
    pub(super) fn look(
        &self,
        text: &[u8],
        names: &Names,
        effort: &mut Effort,
        lower: &mut Vec<u8>,
        traces: &mut Traces,
    ) {
        traces.clear();
        lower.clear();
        lower.extend_from_slice(text);
        lower.make_ascii_lowercase();
        effort.spend(text.len());
        self.stems.each(lower, |at, _| traces.stems.push(at));
        let before = traces.stems.len();
        self.more.each(lower, |at, end| {
            traces.stems.push(at);
            traces.is_oauth |= end - at >= OAUTH;
            traces.is_jwk |= lower.get(at..end) == Some(JWK.as_bytes());
        });
        let ends = |at: usize| match lower.get(at + SHORTEST.len()) {
            Some(next) => !next.is_ascii_lowercase() || *next == b'o',
            None => true,
        };
        let short = memmem::find_iter(lower, SHORTEST).filter(|&at| ends(at));
        traces.stems.extend(short);
        if traces.stems.len() > before {
            traces.stems.sort_unstable();
        }
        self.tokens.each(lower, |at, _| traces.tokens.push(at));
        traces.is_escaped = self.looks_at_all || has_escaped_letters(text);
        let Traces { stems, idents, .. } = traces;
        let mut done = 0;
        for &stem in &*stems {
            if stem < done {
                continue;
            }
            let Some(ident) = ident(text, stem, done, names, effort) else {
                return;
            };
            done = ident.range.end.max(stem + 1);
            if ident.sensitivity > Sensitivity::Plain {
                idents.push(ident);
            }
        }
    }
}

/// The name around a stem; nothing when the effort is spent.
fn ident(
    text: &[u8],
    stem: usize,
    done: usize,
    names: &Names,
    effort: &mut Effort,
) -> Option<Ident> {
    let start = start_of_name(text, stem, done);
    let end = end_of_name(text, stem);
    // The judgement costs some two steps a byte.
    if !effort.spend(8 + 3 * (end - start)) {
        return None;
    }
    let raw = text.get(start..end).unwrap_or_default();
    let coding = match memchr::memchr(b'%', raw) {
        Some(_) => Coding::Percent,
        None => Coding::Plain,
    };
    let mut ident = Ident {
        sensitivity: names.of(raw, coding),
        range: start..end,
    };
    // `api key`: two words before it may belong to it.
    let mut start = start;
    for _ in 0..2 {
        let joins = |b: &u8| matches!(b, b' ' | b'+');
        if ident.sensitivity > Sensitivity::Plain
            || start <= done + 1
            || !text.get(start - 1).is_some_and(joins)
        {
            break;
        }
        let word = start_of_name(text, start - 1, done);
        if word == start - 1 {
            break;
        }
        start = word;
        if !effort.spend(8 + 3 * (end - start)) {
            return None;
        }
        ident.sensitivity = names.of(text.get(start..end).unwrap_or_default(), coding);
        ident.range.start = start;
    }
    Some(ident)
}

/// Bytes of names: letters, digits, and what joins words.
pub(super) const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$' | 0x80..)
}

fn start_of_name(text: &[u8], from: usize, done: usize) -> usize {
    let least = done.max(from.saturating_sub(REACH));
    let mut start = from;
    while start > least {
        match text.get(start - 1) {
            Some(&b) if is_name(b) => start -= 1,
            // An escape of something that is in no name ends it: what was taken for its first
            // letters are its digits.
            Some(b'%') => match percent(text, start - 1) {
                Some((meant, _)) if is_name(meant) => start -= 1,
                Some((_, len)) => return (start - 1 + len).min(from),
                None => return start,
            },
            _ => return start,
        }
    }
    start
}

fn end_of_name(text: &[u8], from: usize) -> usize {
    let most = from.saturating_add(REACH);
    let mut end = from;
    while end < most {
        match text.get(end) {
            Some(&b) if is_name(b) => end += 1,
            Some(b'%') => match percent(text, end) {
                Some((meant, len)) if is_name(meant) => end += len,
                _ => return end,
            },
            _ => return end,
        }
    }
    end
}

/// A letter or a digit is written as `\u0070` or `%70`: nobody does that who has nothing to hide,
/// or writes to a scanner.
fn has_escaped_letters(text: &[u8]) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric();
    memmem::find_iter(text, br"\u00").any(|at| {
        let digits = text.get(at + 4..at + 6);
        matches!(digits, Some([high, low]) if hex_pair(*high, *low).is_some_and(is_letter))
    }) || memchr_iter(b'%', text).any(|at| percent(text, at).is_some_and(|(b, _)| is_letter(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::defaults;
    use crate::redact::document::Search;
    use crate::redact::fixture::search;

    fn look(text: &str) -> Traces {
        let Search { names, sieve, .. } = search();
        let mut traces = Traces::default();
        let mut effort = Effort::for_len(text.len());
        sieve.look(
            text.as_bytes(),
            names,
            &mut effort,
            &mut Vec::new(),
            &mut traces,
        );
        assert!(!effort.is_spent());
        traces
    }

    /// The names found.
    fn check(text: &str, expected: &[&str]) {
        let traces = look(text);
        let found: Vec<_> = traces
            .idents
            .iter()
            .map(|ident| &text[ident.range.clone()])
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_stem_is_in_every_name() {
        for pattern in defaults::NAMES {
            let name = pattern.trim_matches(['*', '=']);
            for name in [name.to_owned(), name.to_uppercase()] {
                for text in [
                    format!("{{\"{name}\":1}}"),
                    format!("a=1&{name}=x"),
                    format!("<{name}>x</{name}>"),
                    format!("{name}: x"),
                    format!("{name}_x: x"),
                    format!("{{\\\"{name}\\\":1}}"),
                    format!("a[{name}]=x"),
                    format!("{name}7=x"),
                    format!("{{\"{name}[0]\":1}}"),
                    format!("{name}.value=x"),
                    format!("%22{name}%22%3A%22x%22"),
                    format!("{{'{name}': 'x'}}"),
                ] {
                    assert!(!look(&text).stems.is_empty(), "{text}");
                }
            }
        }
    }

    #[test]
    fn names_and_what_is_around_them() {
        check(r#"{"user":"a","password":"x"}"#, &["password"]);
        check("a=1&user%5Bpass%5D=x", &["user%5Bpass%5D"]);
        check("%7B%22token%22%3A%22x%22%7D", &["token"]);
        check("%257B%2522token%2522%253A", &["token"]);
        check("the author of a design at the keyboard", &[]);
        check("your api key: x", &["api key"]);
        check("api+key=x", &["api+key"]);
        check("<wsse:Password>x", &["Password"]);
        check(&"key".repeat(100_000), &[]);
    }

    #[test]
    fn escaped_letters() {
        for (text, expected) in [
            (r"pass\u0077ord", true),
            (r"\u003cb\u003e \u0026 \u00e9", false),
            ("p%61ss", true),
            ("p%2561ss", true),
            ("100%25 a%20b %5B%5D %", false),
        ] {
            assert_eq!(look(text).is_escaped, expected, "{text}");
        }
    }
}
