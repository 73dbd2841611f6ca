//! Names of secrets: which names mean that a value must not be seen.
//!
//! A name is folded to its ASCII letters and digits in lower case before it is compared, so `X-Api-Key`, `api_key`, `apiKey`,
//! `api%5Fkey` and `api\u005fkey` are one name. Most names in JSON are refused by the letters that they have, before that.

use super::edit::Coding;
use super::escape::decode_json;
use crate::http::percent::{decode_percent, hex_pair};

/// Most bytes of a name that are looked at; of a longer one the last. Real names are below 64.
const LONGEST: usize = 512;

/// Folded names up to this length are made on the stack.
const SHORT: usize = 64;

/// A byte's folded form: 0 when it is dropped, `ENCODED` when the name must be decoded first.
const FOLD: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = match byte {
            b'A'..=b'Z' => byte | 0x20,
            b'a'..=b'z' | b'0'..=b'9' => byte,
            b'%' | b'\\' => ENCODED,
            _ => 0,
        };
        b += 1;
    }
    table
};
const ENCODED: u8 = 0xff;

/// One pattern, folded.
#[derive(Clone, Debug)]
struct Pattern {
    text: Vec<u8>,
    /// See [`Letters`].
    letters: Letters,
    /// Anything may stand before it.
    open: bool,
}

/// The letters of a name as a bit set by their low five bits, which are the same in both cases. Digits and other bytes share
/// bits with letters, so this refuses names and never accepts one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters(u32);

impl Letters {
    /// Of a backslash, and of nothing that stands in common names.
    const ESCAPE: Self = Self(1 << (b'\\' & 31));

    #[inline]
    pub(super) fn add(&mut self, byte: u8) {
        self.0 |= 1 << (byte & 31);
    }

    pub(super) fn of(text: &[u8]) -> Self {
        let mut letters = Self::default();
        text.iter().for_each(|&byte| letters.add(byte));
        letters
    }

    const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// One of the eight bytes of `word` is `byte`.
#[inline]
const fn has(word: u64, byte: u8) -> bool {
    let zero = word ^ (ONES * byte as u64);
    zero.wrapping_sub(ONES) & !zero & (ONES * 0x80) != 0
}

/// Where a pair of bytes has its place in [`Names::by_end`].
const fn pair(a: u8, b: u8) -> usize {
    ((a & 31) as usize) << 5 | (b & 31) as usize
}

/// The names of secrets, and how documents say a name and its value apart.
#[derive(Clone, Debug)]
pub(super) struct Names {
    secrets: Set,
    labels: Set,
    values: Set,
}

impl Names {
    /// From patterns with `*` at either end. A pattern of fewer than two letters is refused.
    pub(super) fn new(patterns: &[String]) -> Result<Self, String> {
        Ok(Self {
            secrets: Set::new(patterns)?,
            labels: Set::new(&LABELS)?,
            values: Set::new(&VALUES)?,
        })
    }

    /// The name, encoded as `coding` says, is that of a secret.
    #[inline]
    pub(super) fn matches(&self, raw: &[u8], coding: Coding) -> bool {
        self.secrets.matches(raw, coding)
    }

    /// A name in JSON with these letters and these last two bytes may be a secret's: it is worth a look.
    #[inline]
    pub(super) fn may_match(&self, letters: Letters, a: u8, b: u8) -> bool {
        self.secrets.may_match(letters, a, b)
    }

    /// The name whose last eight bytes, with what stands before a shorter one and its quote, these are is neither a secret's nor a label:
    /// told from its two last letters and from one letter that it lacks. What is not refused may still be neither.
    #[inline]
    pub(super) fn refuses(&self, last: u64, a: u8, b: u8) -> bool {
        a.is_ascii_alphabetic()
            && b.is_ascii_alphabetic()
            && !self.secrets.ends(a, b)
            && !self.labels.ends(a, b)
            && has(last, b'"')
            && !has(last, b'\\')
            && self.secrets.lacks_inner(last)
    }

    /// The field of this name says a name, and another field beside it has the value.
    pub(super) fn is_label(&self, raw: &[u8]) -> bool {
        self.labels.matches(raw, Coding::Plain)
    }

    /// See [`Self::is_label`]; as [`Self::may_match`].
    #[inline]
    pub(super) fn may_be_label(&self, letters: Letters, a: u8, b: u8) -> bool {
        self.labels.may_end(letters, a, b)
    }

    /// The field of this name has the value of a name beside it.
    pub(super) fn is_value(&self, raw: &[u8]) -> bool {
        self.values.matches(raw, Coding::Plain)
    }
}

/// Fields and attributes that say a name.
const LABELS: [&str; 16] = [
    "name",
    "key",
    "id",
    "field",
    "fieldname",
    "param",
    "parameter",
    "parametername",
    "property",
    "propertyname",
    "attribute",
    "attributename",
    "header",
    "headername",
    "variable",
    "label",
];

/// Fields, elements and attributes beside those that have the value.
const VALUES: [&str; 12] = [
    "value",
    "values",
    "val",
    "newvalue",
    "oldvalue",
    "currentvalue",
    "defaultvalue",
    "stringvalue",
    "content",
    "data",
    "text",
    "string",
];

/// A set of names.
#[derive(Clone, Debug)]
struct Set {
    /// For the last two letters of a name, the patterns that end so: index into `ends` plus one, zero for none.
    by_end: Box<[u8; 1024]>,
    /// Patterns without a star at their end.
    ends: Vec<Vec<Pattern>>,
    /// Patterns with one.
    inner: Vec<Pattern>,
    /// A letter, by its low five bits, that all of `inner` have; none when there is none.
    inner_letter: Option<u8>,
}

impl Set {
    fn new(patterns: &[impl AsRef<str>]) -> Result<Self, String> {
        let mut names = Self {
            by_end: Box::new([0; 1024]),
            ends: Vec::new(),
            inner: Vec::new(),
            inner_letter: None,
        };
        for name in patterns.iter().map(AsRef::as_ref) {
            let text: Vec<u8> = name.bytes().filter_map(folded).collect();
            let [.., a, b] = text[..] else {
                return Err(name.to_owned());
            };
            let pattern = Pattern {
                letters: Letters::of(&text),
                open: name.starts_with('*'),
                text,
            };
            if name.ends_with('*') {
                names.inner.push(pattern);
            } else {
                names.add_end(pair(a, b), pattern);
            }
        }
        let common = names
            .inner
            .iter()
            .fold(u32::MAX, |all, p| all & p.letters.0);
        names.inner_letter = (1..27).find(|letter| common & (1 << letter) != 0);
        Ok(names)
    }

    /// Some pattern ends with these letters.
    #[inline]
    fn ends(&self, a: u8, b: u8) -> bool {
        self.by_end[pair(a, b)] != 0
    }

    /// None of these eight bytes is a letter that every pattern of `inner` has.
    #[inline]
    fn lacks_inner(&self, bytes: u64) -> bool {
        match self.inner_letter {
            Some(letter) => !has(bytes & (ONES * 31), letter),
            None => self.inner.is_empty(),
        }
    }

    fn add_end(&mut self, pair: usize, pattern: Pattern) {
        let place = &mut self.by_end[pair];
        if *place == 0 {
            // With more than 255 endings the last bucket holds the rest: every name that ends so is compared with all of them.
            if self.ends.len() < usize::from(u8::MAX) {
                self.ends.push(Vec::new());
            }
            *place = u8::try_from(self.ends.len()).unwrap_or(u8::MAX);
        }
        self.ends[usize::from(*place) - 1].push(pattern);
    }

    fn ending(&self, a: u8, b: u8) -> &[Pattern] {
        let place = usize::from(self.by_end[pair(a, b)]);
        place
            .checked_sub(1)
            .and_then(|bucket| self.ends.get(bucket))
            .map_or(&[], Vec::as_slice)
    }

    #[inline]
    fn may_match(&self, letters: Letters, a: u8, b: u8) -> bool {
        letters.contains(Letters::ESCAPE)
            || !(a.is_ascii_alphabetic() && b.is_ascii_alphabetic())
            || self.may_end(letters, a, b)
            || self
                .inner
                .iter()
                .any(|pattern| letters.contains(pattern.letters))
    }

    #[inline]
    fn may_end(&self, letters: Letters, a: u8, b: u8) -> bool {
        self.ending(a, b)
            .iter()
            .any(|pattern| letters.contains(pattern.letters))
    }

    #[inline]
    fn matches(&self, raw: &[u8], coding: Coding) -> bool {
        if raw.len() > SHORT {
            return self.matches_slowly(raw, coding);
        }
        let mut buffer = [0_u8; SHORT];
        let mut len = 0;
        let mut encoded = false;
        for &byte in raw {
            let fold = FOLD[usize::from(byte)];
            // `len` counts at most `raw.len()` ≤ SHORT bytes.
            buffer[len] = fold;
            len += usize::from(fold != 0);
            encoded |= fold == ENCODED;
        }
        if encoded {
            return self.matches_slowly(raw, coding);
        }
        self.matches_folded(&buffer[..len])
    }

    #[cold]
    fn matches_slowly(&self, raw: &[u8], coding: Coding) -> bool {
        let raw = &raw[raw.len().saturating_sub(LONGEST)..];
        let decoded = match coding {
            Coding::Percent => decode_percent(raw),
            Coding::Json => decode_json(raw),
            Coding::Plain => raw.to_vec(),
        };
        let name: Vec<u8> = decoded.into_iter().filter_map(folded).collect();
        self.matches_folded(&name)
    }

    fn matches_folded(&self, name: &[u8]) -> bool {
        // A number at the end may be a mere count: `password1`, `tokens[0]`, `cvv2`.
        let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        self.matches_whole(name) || (digits > 0 && self.matches_whole(&name[..name.len() - digits]))
    }

    fn matches_whole(&self, name: &[u8]) -> bool {
        let [.., a, b] = *name else {
            return false;
        };
        self.ending(a, b).iter().any(|pattern| {
            name.ends_with(&pattern.text) && (pattern.open || name.len() == pattern.text.len())
        }) || self.inner.iter().any(|pattern| {
            if pattern.open {
                contains(name, &pattern.text)
            } else {
                name.starts_with(&pattern.text)
            }
        })
    }
}

/// A name of at most `N` letters and digits, percent-decoded and folded; nothing when there are more.
pub(super) fn short<const N: usize>(raw: &[u8]) -> Option<([u8; N], usize)> {
    let (mut name, mut len) = ([0; N], 0);
    let mut rest = raw;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                hex_pair(*high, *low)?
            }
            _ => first,
        };
        if let Some(fold) = folded(byte) {
            *name.get_mut(len)? = fold;
            len += 1;
        }
    }
    Some((name, len))
}

fn folded(byte: u8) -> Option<u8> {
    Some(FOLD[usize::from(byte)]).filter(|&fold| fold != 0 && fold != ENCODED)
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::defaults;

    fn check(name: &str, secret: bool) {
        let names = Names::new(&defaults::NAMES.map(str::to_owned)).unwrap();
        let coding = if name.contains('%') {
            Coding::Percent
        } else {
            Coding::Json
        };
        assert_eq!(names.matches(name.as_bytes(), coding), secret, "{name}");
        // A long prefix takes the other way through, and hides exact names only.
        let long = format!("{}.{name}", "parent".repeat(20));
        if !secret {
            assert!(!names.matches(long.as_bytes(), coding), "{long}");
        }
    }

    #[test]
    fn every_default_name_is_found_in_its_own_forms() {
        for pattern in defaults::NAMES {
            let name = pattern.trim_matches('*');
            check(name, true);
            check(&name.to_uppercase(), true);
            if pattern.starts_with('*') {
                check(&format!("my_{name}"), true);
                check(&format!("outer[inner][{name}]"), true);
            }
            check(&format!("{name}_2"), true);
            check(&format!("{name}[0]"), true);
        }
    }

    #[test]
    fn encoded_names_are_decoded_first() {
        check("pass%77ord", true);
        check("%70%61%73%73%77%6f%72%64", true);
        check(r"pass\u0077ord", true);
        check(r"pass\\\u0077ord", true);
        check(r"api\u005fkey", true);
        check("access%5Ftoken", true);
        check("per%63ent", false);
        check(r"\u0075ser", false);
    }

    #[test]
    fn common_names_are_not_secret() {
        for name in [
            "user",
            "id",
            "name",
            "created_at",
            "max_tokens",
            "completion_tokens",
            "token_type",
            "page",
            "keyword",
            "spinner",
            "passenger",
            "compass",
            "author",
            "design",
            "signatures",
            "monkey",
            "key",
            "code",
            "state",
            "zip_code",
            "oauth2",
            "md5",
            "laptop",
            "sha256",
            "certificate",
            "email",
            "opinion",
            "",
            "p",
            "-",
            "%",
            "\\",
            "\\u00",
            "%7",
        ] {
            check(name, false);
        }
    }

    #[test]
    fn a_pattern_without_letters_is_refused() {
        for bad in ["", "*", "**", "a", "*-_*"] {
            assert_eq!(Names::new(&[bad.to_owned()]).unwrap_err(), bad);
        }
    }
}
