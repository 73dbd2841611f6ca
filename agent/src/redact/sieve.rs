//! The first pass over every text: what stands in it that other scanners look for. Most texts have
//! nothing of it, and no other scanner looks at those.
//!
//! It searches once, for what names of secrets are made of, for the beginnings of well-known
//! tokens, for escapes, for URLs, and for as many digits as a payment card has. Each place where
//! part of a name stands is looked at once more: the whole name around it is read, and judged by
//! [`Names`].

mod blocks;
mod digits;
mod patterns;

use std::ops::Range;

use super::edit::Coding;
use super::effort::Effort;
use super::escape::{narrow, percent, wide};
use super::names::{Names, Sensitivity};
use super::unescape;
use crate::http::percent::hex_pair;
use blocks::{Block, Visit};
use digits::{Ended, digits};
use patterns::{Kind, Patterns};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// Where stems begin, in order.
    pub(super) stems: Vec<usize>,
    /// The names that are secrets', in order.
    pub(super) idents: Vec<Ident>,
    /// Where known tokens may begin, in order.
    pub(super) tokens: Vec<usize>,
    /// Colons after which slashes stand, escaped or not, in order.
    pub(super) schemes: Vec<usize>,
    /// Where digits begin that may be a payment card's, in order.
    pub(super) digits: Vec<usize>,
    /// Letters or digits are escaped: a name may hide behind that.
    pub(super) is_escaped: bool,
    /// Signs that names and values stand between are escaped: see [`unescape`].
    pub(super) has_signs: bool,
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
        self.schemes.clear();
        self.digits.clear();
        self.is_escaped = false;
        self.has_signs = false;
        self.is_oauth = false;
        self.is_jwk = false;
    }

    fn note(&mut self, kind: Kind, start: usize) {
        match kind {
            Kind::Token | Kind::AnyCase => return insert(&mut self.tokens, start),
            Kind::Stem => {}
            Kind::Oauth => self.is_oauth = true,
            Kind::Jwk => self.is_jwk = true,
        }
        insert(&mut self.stems, start);
    }

    /// The text has no part of a name, no token and no number.
    pub(super) const fn is_bare(&self) -> bool {
        self.stems.is_empty()
            && self.tokens.is_empty()
            && self.digits.is_empty()
            && !self.is_escaped
    }

    /// Part of a name stands in this range, or may be there behind escapes.
    pub(super) fn may_name(&self, range: Range<usize>) -> bool {
        self.is_escaped || { is_any_in(&self.stems, &range) }
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

/// One of the places, which are in order, is in the range.
fn is_any_in(places: &[usize], range: &Range<usize>) -> bool {
    let first = places.partition_point(|&at| at < range.start);
    places.get(first).is_some_and(|&at| at < range.end)
}

/// Windows are found in order, and the patterns around them nearly so.
fn insert(places: &mut Vec<usize>, place: usize) {
    let later = places.iter().rev().take_while(|&&at| at > place).count();
    places.insert(places.len() - later, place);
}

/// The search.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    patterns: Patterns,
    kind: blocks::Kind,
    /// Names that users added may be written in ways that no stem is in: every text is looked at.
    looks_at_all: bool,
}

impl Sieve {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            patterns: Patterns::new(),
            kind: blocks::Kind::detect(),
            looks_at_all: !names.are_default(),
        }
    }

    /// Looks through a text, but for whole names.
    pub(super) fn mark(&self, text: &[u8], traces: &mut Traces) {
        traces.clear();
        traces.is_escaped = self.looks_at_all;
        let mut marks = Marks {
            patterns: &self.patterns,
            text,
            ended: Ended::default(),
            traces,
        };
        self.kind.each(&self.patterns.tables, text, &mut marks);
    }

    /// Looks through a text.
    pub(super) fn look(
        &self,
        text: &[u8],
        names: &Names,
        effort: &mut Effort,
        traces: &mut Traces,
    ) {
        effort.spend(text.len());
        self.mark(text, traces);
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

/// Notes what stands in the blocks of a text.
struct Marks<'a> {
    patterns: &'a Patterns,
    text: &'a [u8],
    ended: Ended,
    traces: &'a mut Traces,
}

impl Visit for Marks<'_> {
    #[inline(always)]
    fn visit(&mut self, start: usize, block: &Block) {
        let Self { text, traces, .. } = self;
        for at in ones(block.hits) {
            self.patterns.note(text, start + at, traces);
        }
        // One look at them all: most blocks have none.
        if block.percents | block.escapes | block.schemes != 0 {
            rare(text, start, block, traces);
        }
        digits(start, block.digits, &mut self.ended, &mut traces.digits);
    }
}

/// The numbers of the bits that are set, in order.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (bits != 0).then_some(bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        next
    })
}

/// Escapes and URLs of a block.
#[cold]
fn rare(text: &[u8], start: usize, block: &Block, traces: &mut Traces) {
    for at in ones(block.schemes).map(|at| start + at) {
        // Backslashes may be slashes, behind what is no drive's letter.
        let is_slash = |at: usize| matches!(text.get(at), Some(b'/' | b'\\'));
        let is_scheme = || {
            let before = text.get(at.saturating_sub(2)..at).unwrap_or_default();
            before.len() == 2 && before.iter().all(|&b| is_name(b) || b == b'+')
        };
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with(b"://")
            || rest.starts_with(br":\/\/")
            || is_slash(at + 1) && is_slash(at + 2) && is_scheme()
        {
            traces.schemes.push(at);
        }
    }
    traces.is_escaped = traces.is_escaped
        || ones(block.percents).any(|at| is_letter(percent(text, start + at).map(|(b, _)| b)))
        || ones(block.escapes)
            .any(|at| is_letter(unicode(text, start + at)) || is_wide(text, start + at));
    traces.has_signs = traces.has_signs
        || ones(block.percents)
            .any(|at| percent(text, start + at).is_some_and(|(sign, _)| sign == b'"'))
        || ones(block.escapes).any(|at| unicode(text, start + at).is_some_and(unescape::is_sign));
}

/// A letter or a digit that is written as `\u0070` or `%70`: nobody does that who has nothing to
/// hide, or writes to a scanner.
fn is_letter(escaped: Option<u8>) -> bool {
    escaped.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// What the JSON escape at `at` stands for, if that is one byte.
fn unicode(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at..at + 6)? {
        [b'\\', b'u', b'0', b'0', high, low] => hex_pair(*high, *low),
        _ => None,
    }
}

/// A letter of full width, escaped or not.
fn is_wide(text: &[u8], at: usize) -> bool {
    let letter = match text.get(at..) {
        Some([b'\\', b'u', b'F' | b'f', b, c, d, ..]) => {
            match (hex_pair(b'f', *b), hex_pair(*c, *d)) {
                (Some(high), Some(low)) => narrow(u32::from(high) << 8 | u32::from(low)),
                _ => None,
            }
        }
        Some([first, second, third, ..]) => wide(&[*first, *second, *third]),
        _ => None,
    };
    letter.is_some_and(|letter| letter.is_ascii_alphabetic())
}

/// The name around a stem; nothing when the effort is spent.
fn ident(
    text: &[u8],
    stem: usize,
    done: usize,
    names: &Names,
    effort: &mut Effort,
) -> Option<Ident> {
    let mut start = start_of_name(text, stem, done);
    if start < stem && is_end_of_escape(text, start) {
        start += 1;
    }
    if text.get(start) == Some(&b'[') {
        start = after_cdata(text, start, stem);
    }
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
    for _ in 0..2 {
        let joins = |b: &u8| matches!(b, b' ' | b'+');
        if ident.sensitivity > Sensitivity::Plain
            || start <= done + 1
            || !text.get(start - 1).is_some_and(joins)
        {
            break;
        }
        let word = start_of_name(text, start - 1, done);
        let word = word + usize::from(is_end_of_escape(text, word));
        let before = text.get(word..start - 1).unwrap_or_default();
        // Every term has a stem: one that ends before this name would have been seen there.
        if before.is_empty() || !names.may_span(before, text.get(start..end).unwrap_or_default()) {
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

/// Where a name begins that stands first in a section of characters: after `[CDATA[`.
fn after_cdata(text: &[u8], start: usize, stem: usize) -> usize {
    const OPEN: &[u8] = b"[CDATA[";
    let before = text.get(start..stem).unwrap_or_default();
    start
        + if before.starts_with(OPEN) {
            OPEN.len()
        } else {
            0
        }
}

/// The letter of an escape stands here, as in `\n`.
fn is_end_of_escape(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(b'n' | b'r' | b't'))
        && at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\\')
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

/// What tokens are searched by, in lower case where case does not matter.
#[cfg(test)]
pub(super) fn tokens() -> impl Iterator<Item = String> {
    patterns::tests::all().filter_map(|pattern| match pattern.2 {
        Kind::Token => Some(pattern.0.to_owned()),
        Kind::AnyCase => Some(pattern.0.to_ascii_lowercase()),
        _ => None,
    })
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
        sieve.look(text.as_bytes(), names, &mut effort, &mut traces);
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

    /// Bytes that patterns, escapes, URLs and numbers are made of, in no order.
    fn noise(rng: &mut fastrand::Rng, parts: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..rng.usize(0..40) {
            let part = rng.choice(parts).map_or("", |part| *part);
            match rng.u8(0..6) {
                0 => text.extend(part.to_ascii_uppercase().bytes()),
                1 => text.extend(part.bytes().take(2)),
                2 => text.extend(std::iter::repeat_n(rng.u8(..), rng.usize(0..70))),
                _ => text.extend(part.bytes()),
            }
        }
        text
    }

    /// The same as a search for each thing by itself finds.
    #[test]
    fn one_search_finds_what_many_find() {
        let patterns: Vec<_> = patterns::tests::all().collect();
        let mut parts: Vec<&str> = patterns.iter().map(|pattern| pattern.0).collect();
        parts.extend([
            "pw", "pwd", "%", "%70", "%2570", "\\u0070", "\\u00e9", "\\u0",
        ]);
        parts.extend([
            "://",
            ":\\/\\/",
            ":/",
            "4111111111111111",
            "4111 1111-1",
            " ",
            "-",
            "é",
        ]);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut traces = Traces::default();
        for _ in 0..2000 {
            let text = noise(&mut rng, &parts);
            search().sieve.mark(&text, &mut traces);
            let here = |at: usize, part: &str| {
                let found = text.get(at..at + part.len());
                found.is_some_and(|found| found.eq_ignore_ascii_case(part.as_bytes()))
            };
            let places = |want: &dyn Fn(usize) -> bool| -> Vec<usize> {
                (0..text.len()).filter(|&at| want(at)).collect()
            };
            let any = |at: usize, wanted: &dyn Fn(Kind) -> bool| {
                let mut found = patterns.iter().filter(|p| wanted(p.2) && here(at, p.0));
                found.next().is_some()
            };
            let is_token = |kind| matches!(kind, Kind::Token | Kind::AnyCase);
            let ends = |at: usize| {
                let next = text.get(at + 2);
                next.is_none_or(|b| !b.is_ascii_alphabetic() || b"dDoO".contains(b))
            };
            let stems =
                places(&|at| any(at, &|kind| !is_token(kind)) || here(at, "pw") && ends(at));
            assert_eq!(traces.stems, stems, "{}", text.escape_ascii());
            let exact = places(&|at| {
                let rest = &text[at..];
                let mut tokens = patterns.iter().filter(|p| is_token(p.2));
                tokens.any(|p| {
                    rest.starts_with(p.0.as_bytes()) || p.2 == Kind::AnyCase && here(at, p.0)
                })
            });
            let tokens = |at: &usize| traces.tokens.contains(at);
            assert!(exact.iter().all(tokens), "{}", text.escape_ascii());
            assert!(traces.tokens.iter().all(|&at| any(at, &is_token)));
            let slash = |at: usize| here(at, "/") || here(at, "\\");
            let odd = |at: usize| {
                let name = |at: usize| text.get(at).is_some_and(|&b| is_name(b) || b == b'+');
                at >= 2 && name(at - 1) && name(at - 2) && slash(at + 1) && slash(at + 2)
            };
            let schemes =
                places(&|at| here(at, "://") || here(at, ":\\/\\/") || here(at, ":") && odd(at));
            assert_eq!(traces.schemes, schemes, "{}", text.escape_ascii());
            let is_escaped = (0..text.len()).any(|at| {
                is_letter(percent(&text, at).map(|(byte, _)| byte)) || is_letter(unicode(&text, at))
            });
            assert_eq!(traces.is_escaped, is_escaped, "{}", text.escape_ascii());
            let flag = |kind: Kind| (0..text.len()).any(|at| any(at, &|found| found == kind));
            assert_eq!(traces.is_oauth, flag(Kind::Oauth));
            assert_eq!(traces.is_jwk, flag(Kind::Jwk));
        }
    }

    #[test]
    fn digits_of_cards() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut seen = 0;
        for _ in 0..3000 {
            let parts = [
                "4111 1111 1111 1111",
                "4111111111111111",
                "x",
                "12 ",
                "5500-0000-",
                " - ",
            ];
            let text = noise(&mut rng, &parts);
            let mut traces = Traces::default();
            search().sieve.mark(&text, &mut traces);
            let cards = |places: &[usize]| {
                let mut edits = super::super::edit::Edits::default();
                let mut effort = Effort::for_len(text.len());
                super::super::known::cards(&text, places, &mut effort, &mut edits);
                edits.as_slice().to_vec()
            };
            let everywhere: Vec<usize> = (0..text.len()).collect();
            let found = cards(&traces.digits);
            seen += found.len();
            assert_eq!(found, cards(&everywhere), "{}", text.escape_ascii());
        }
        assert!(seen > 1000);
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
