//! Names of secrets: which names mean that a value must not be seen.
//!
//! A name is folded to its ASCII letters and digits in lower case before it is compared, so `X-Api-Key`, `api_key`, `apiKey`,
//! `api%5Fkey` and `api\u005fkey` are one name. Most names are refused by two look-ups of letter pairs.

use super::edit::Coding;

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

/// A set of adjacent pairs of folded bytes; a filter, pairs may collide.
#[derive(Clone, Debug)]
struct Pairs([u64; 16]);

impl Pairs {
    const fn slot(a: u8, b: u8) -> (usize, u64) {
        let index = ((a & 31) as usize) << 5 | (b & 31) as usize;
        (index >> 6, 1 << (index & 63))
    }

    fn insert(&mut self, a: u8, b: u8) {
        let (word, bit) = Self::slot(a, b);
        self.0[word] |= bit;
    }

    #[inline]
    fn contains(&self, a: u8, b: u8) -> bool {
        let (word, bit) = Self::slot(a, b);
        self.0[word] & bit != 0
    }
}

/// The set of secret names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    exact: Vec<Vec<u8>>,
    suffix: Vec<Vec<u8>>,
    prefix: Vec<Vec<u8>>,
    inner: Vec<Vec<u8>>,
    /// Last pairs of exact names and suffixes.
    last: Pairs,
    /// For each prefix and inner pattern, one pair that must be there.
    any: Pairs,
}

impl Names {
    /// From patterns with `*` at either end. A pattern of fewer than two letters is refused.
    pub(super) fn new(patterns: &[String]) -> Result<Self, String> {
        let mut names = Self {
            exact: Vec::new(),
            suffix: Vec::new(),
            prefix: Vec::new(),
            inner: Vec::new(),
            last: Pairs([0; 16]),
            any: Pairs([0; 16]),
        };
        for pattern in patterns {
            let text = pattern.trim_matches('*');
            let folded: Vec<u8> = text.bytes().filter_map(folded).collect();
            let [.., before, last] = folded[..] else {
                return Err(pattern.clone());
            };
            let (open, close) = (pattern.starts_with('*'), pattern.ends_with('*'));
            if close {
                let (a, b) = rarest_pair(&folded);
                names.any.insert(a, b);
            } else {
                names.last.insert(before, last);
            }
            match (open, close) {
                (false, false) => names.exact.push(folded),
                (true, false) => names.suffix.push(folded),
                (false, true) => names.prefix.push(folded),
                (true, true) => names.inner.push(folded),
            }
        }
        Ok(names)
    }

    /// The name, encoded as `coding` says, is that of a secret.
    #[inline]
    pub(super) fn matches(&self, raw: &[u8], coding: Coding) -> bool {
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
        let [.., a, b] = *name else {
            return false;
        };
        let by_end = self.last.contains(a, b)
            && (self.suffix.iter().any(|s| name.ends_with(s))
                || self.exact.iter().any(|e| name == e.as_slice()));
        by_end
            || name
                .windows(2)
                .any(|pair| self.any.contains(pair[0], pair[1]))
                && (self.prefix.iter().any(|p| name.starts_with(p))
                    || self.inner.iter().any(|i| contains(name, i)))
    }
}

fn folded(byte: u8) -> Option<u8> {
    Some(FOLD[usize::from(byte)]).filter(|&fold| fold != 0 && fold != ENCODED)
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|window| window == part)
}

/// The pair of the pattern whose letters are the least common in English.
fn rarest_pair(pattern: &[u8]) -> (u8, u8) {
    const COMMON: &[u8] = b"etaoinsrhldcumfpgwybvkxjqz";
    let rarity = |b: u8| COMMON.iter().position(|&c| c == b).unwrap_or(COMMON.len());
    pattern
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .max_by_key(|&(a, b)| rarity(a) + rarity(b))
        .unwrap_or((0, 0))
}

/// Percent-decoding, with `+` for a space (forms). Broken escapes stay as they are.
pub(super) fn decode_percent(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match hex_pair(*high, *low) {
                Some(decoded) => {
                    out.push(decoded);
                    rest = after;
                }
                None => out.push(byte),
            },
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

/// What two hexadecimal digits stand for.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    Some((hex(high)? << 4) | hex(low)?)
}

/// What a hexadecimal digit stands for.
pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// JSON string escapes undone, at any depth of strings within strings: a run of backslashes and what follows it is one escape.
pub(super) fn decode_json(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let slashes = tail.iter().take_while(|&&b| b == b'\\').count();
        rest = &tail[slashes..];
        if let [b'u', a, b, c, d, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex_pair(*a, *b), hex_pair(*c, *d))
        {
            let unit = u32::from(high) << 8 | u32::from(low);
            let mut utf8 = [0; 4];
            let c = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
            rest = after;
        } else if let [escape, after @ ..] = rest {
            out.push(match escape {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                other => *other,
            });
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::defaults;

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
            if pattern.ends_with('*') {
                check(&format!("{name}_2"), true);
            }
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
