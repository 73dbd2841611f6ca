//! Pairs of names and values.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2_iter, memchr3, memmem};

use super::authority::scan_encoded_authority;
use super::{Tools, scan_encoded, scan_variables};
use crate::redact::counts::Rule;
use crate::redact::credentials;
use crate::redact::edit::{Coding, Edit, Edits};
use crate::redact::effort::Effort;
use crate::redact::escape::percent;
use crate::redact::members::Members;
use crate::redact::names::{Names, decode, is_member, short};
use crate::redact::sieve::Traces;

/// Longest name in raw bytes; see [`crate::redact::names`].
const NAME: usize = 512;

/// Steps that a pair takes besides those of its bytes, and those of a copy of its name.
const PAIR: usize = 32;
const COPY: usize = 32;

/// Names that are a secret's only where they stand in a query or a form, and then only when the
/// value is as long as the secret is at least, and no word: `code=` of an OAuth redirect or a text
/// message and not `code=404` or `code=SUMMER2026`, Google's `key=` and not `key=color`. Between
/// other parameters of OAuth `code` is one whatever its value is.
const AMBIGUOUS: [(&[u8], usize); 9] = [
    (b"code", 6),
    (b"hash", 16),
    (b"key", 16),
    (b"mac", 16),
    (b"session", 16),
    (b"sign", 16),
    // The Central Authentication Service's.
    (b"ticket", 16),
    // WS-Federation's.
    (b"wresult", 1),
    (b"codechallenge", 1),
];

/// Names that bind an OAuth redirect to the browser that began it, so that they are as good as a
/// cookie while it lasts.
const OAUTH: [&[u8]; 2] = [b"state", b"nonce"];

/// What else stands in an OAuth redirect or request (RFC 6749 §4, OpenID Connect Core §3). Other
/// `state`s are those of orders and tickets.
const OAUTH_SIGNS: [&[u8]; 5] = [
    b"client_id=",
    b"redirect_uri=",
    b"response_type=",
    b"id_token=",
    b"access_token=",
];

/// What stands beside the `code` of OAuth.
const CODE_SIGNS: [&[u8]; 6] = [
    b"state=",
    b"scope=",
    b"client_id=",
    b"redirect_uri=",
    b"grant_type=",
    b"session_state=",
];

/// Finds the values of secrets in pairs.
pub(super) fn scan(
    text: &[u8],
    rule: Rule,
    tools: Tools<'_>,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let mut pairs = Pairs {
        text,
        rule,
        tools,
        done: 0,
        decoded: 0,
        ends: [0; 2],
        oauth: None,
        members: Members::default(),
    };
    for at in memchr2_iter(b'=', b'%', text) {
        if at < pairs.done {
            continue;
        }
        if !effort.spend(4) {
            return;
        }
        match percent(text, at) {
            None if text.get(at) == Some(&b'=') => pairs.pair(at, at + 1, false, effort, edits),
            Some((b'=', len)) => pairs.pair(at, at + len, true, effort, edits),
            Some((b':', len)) => {
                pairs.done = scan_encoded_authority(text, at + len, edits);
                effort.spend(pairs.done - at);
            }
            _ => {}
        }
        if effort.is_spent() {
            return;
        }
    }
    for range in pairs.members.secrets() {
        edits.push(text, encoded(range, rule));
    }
    if has(text, b"variables=") && has(text, b"query=") {
        scan_variables(text, tools, effort, edits);
    }
}

/// [`scan`] may find something in a text without `%`, in which the first pass found what `traces`
/// has. Every name of a secret that is letters and digits alone has a stem; others are judged.
pub(super) fn may_find(text: &[u8], traces: &Traces, names: &Names) -> bool {
    !traces.stems.is_empty()
        || traces.is_escaped
        || memchr_iter(b'=', text).any(|at| {
            let name = name_before(text, at, false);
            is_odd_name(name, names) || begins_scheme(text.get(at + 1..).unwrap_or_default())
        })
}

/// A name without stems means something all the same: by its place, or because its words are
/// divided where no word ends.
fn is_odd_name(name: &[u8], names: &Names) -> bool {
    if !name.iter().all(u8::is_ascii_alphanumeric) {
        return short::<16>(name).is_some_and(|(name, len)| may_be_odd(name.get(..len)))
            || names.matches(name, Coding::Plain);
    }
    let mut lower = [0; 16];
    let Some(place) = lower.get_mut(..name.len()) else {
        return false;
    };
    place.copy_from_slice(name);
    place.make_ascii_lowercase();
    may_be_odd(Some(&*place))
}

/// Letters and digits in lower case are [`AMBIGUOUS`], [`OAUTH`], or a member's name.
fn may_be_odd(name: Option<&[u8]>) -> bool {
    let Some(name) = name else { return true };
    let is_known = match name {
        [b'c' | b'h' | b'k' | b'm' | b's' | b't' | b'w' | b'n', ..] => {
            AMBIGUOUS.iter().any(|(known, _)| *known == name) || OAUTH.contains(&name)
        }
        _ => false,
    };
    is_known || is_member(name)
}

/// The value begins with the name of a scheme that has no stem in it, maybe.
fn begins_scheme(value: &[u8]) -> bool {
    let [first, second, ..] = value else {
        return false;
    };
    matches!(&[first | 0x20, second | 0x20], b"ba" | b"dp" | b"ne")
}

/// A look at the pairs of a text.
struct Pairs<'a> {
    text: &'a [u8],
    rule: Rule,
    tools: Tools<'a>,
    /// Where the next pair may begin.
    done: usize,
    /// Values before this were looked into.
    decoded: usize,
    /// Where the last value ended, by whether its sign was encoded: none is looked for twice.
    ends: [usize; 2],
    /// The text is one of OAuth's, once somebody asked.
    oauth: Option<bool>,
    members: Members,
}

impl Pairs<'_> {
    /// Looks at the pair whose sign is at `at`; it is encoded when the pair is `nested`.
    fn pair(
        &mut self,
        at: usize,
        value: usize,
        nested: bool,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        let (text, names) = (self.text, self.tools.names);
        let name = name_before(text, at, nested);
        let is_seen = nested || at < self.decoded;
        let is_none = match text.get(value) {
            None | Some(b'=' | b'&') => true,
            Some(b'%') => is_seen,
            _ => false,
        };
        if name.is_empty() && is_none {
            return;
        }
        let is_coded = memchr(b'%', name).is_some();
        if !effort.spend(PAIR + 4 * name.len() + if is_coded { COPY } else { 0 }) {
            return;
        }
        let name = &*decode(name, Coding::Percent);
        let end = self.end(value, nested, effort);
        let content = text.get(value..end).unwrap_or_default();
        if self.members.may_have(name) {
            let how = (Coding::Percent, u8::from(nested));
            let range = value..end;
            self.members
                .note((name, content), range, how, names, effort);
        }
        if names.matches(name, Coding::Plain)
            || is_secret_here(text, name, &mut self.oauth, content)
        {
            self.done = end;
            effort.spend(end - value);
            edits.push(text, encoded(value..end, self.rule));
        } else if let Some(behind) = credentials::behind_scheme(content, effort) {
            self.done = end;
            edits.push(text, encoded(value + behind..end, Rule::Authorization));
        } else if !nested && begins_json(text, value) {
            // Whatever else it holds, it is looked at once, so that no text costs more than its
            // length.
            self.done = end;
            scan_encoded(text, value..end, self.tools, effort, edits);
        } else if !nested && at >= self.decoded {
            self.decoded = end;
            if holds_text(content) {
                scan_encoded(text, value..end, self.tools, effort, edits);
            }
        }
    }

    /// Where the value ends that begins at `value`.
    fn end(&mut self, value: usize, nested: bool, effort: &mut Effort) -> usize {
        let last = &mut self.ends[usize::from(nested)];
        if *last < value {
            *last = value_end(self.text, value, nested);
            let len = *last - value;
            effort.spend(if nested { len / 2 } else { len / 8 });
        }
        *last
    }
}

const fn encoded(range: Range<usize>, rule: Rule) -> Edit {
    Edit {
        range,
        rule,
        coding: Coding::Percent,
        quote: None,
    }
}

/// A value may hold more than a word: what names and values in it would stand beside.
fn holds_text(value: &[u8]) -> bool {
    const LEAST: usize = 8;
    value.len() >= LEAST && memchr3(b'"', b':', b'%', value).is_some()
}

/// See [`AMBIGUOUS`] and [`OAUTH`]. `oauth`: whether the text is one of OAuth's, once somebody
/// asked.
fn is_secret_here(text: &[u8], name: &[u8], oauth: &mut Option<bool>, value: &[u8]) -> bool {
    let Some((name, len)) = short::<13>(name) else {
        return false;
    };
    let name = name.get(..len).unwrap_or_default();
    let ambiguous = AMBIGUOUS.iter().find(|(known, _)| *known == name);
    let is_secret = |(known, least): &(&[u8], usize)| {
        value.len() >= *least
            && (!is_word(value)
                || *known == b"code" && CODE_SIGNS.iter().any(|sign| has(text, sign))
                || *least == 1)
    };
    ambiguous.is_some_and(is_secret)
        || OAUTH.contains(&name) && *oauth.get_or_insert_with(|| speaks_oauth(text))
}

fn speaks_oauth(text: &[u8]) -> bool {
    OAUTH_SIGNS.iter().any(|sign| has(text, sign))
        || memmem::find(text, b"code=")
            .is_some_and(|at| value_end(text, at + 5, false) - (at + 5) >= AMBIGUOUS[0].1)
}

fn has(text: &[u8], sign: &[u8]) -> bool {
    memmem::find(text, sign).is_some()
}

/// A word, or some that are joined, and a number behind them maybe: nothing that a program drew.
fn is_word(value: &[u8]) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+');
    let pairs = || value.iter().zip(value.get(1..).unwrap_or_default());
    let kinds = pairs().filter(|(one, next)| one.is_ascii_digit() != next.is_ascii_digit());
    let is_mixed = |(one, next): (&u8, &u8)| one.is_ascii_lowercase() && next.is_ascii_uppercase();
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value.iter().all(is_part)
        && kinds.count() <= 1
        && !pairs().any(is_mixed)
}

fn name_before(text: &[u8], end: usize, nested: bool) -> &[u8] {
    let from = end.saturating_sub(NAME);
    let mut start = end;
    while start > from {
        let byte = text[start - 1];
        // At `=` too: what is between two of them may be the name that a server takes.
        if matches!(byte, b'&' | b'?' | b';' | b'#' | b'/' | b'=') {
            break;
        }
        // At an encoded `=` too, so that no byte is looked at twice.
        if nested
            && byte == b'%'
            && let Some((b'&' | b'?' | b';' | b'#' | b'/' | b'=', len)) = percent(text, start - 1)
        {
            start += len - 1;
            break;
        }
        // `&` as JSON writers that fear HTML put it.
        if byte == b'6' && text[from..start].ends_with(br"\u0026") {
            break;
        }
        start -= 1;
    }
    text.get(start..end).unwrap_or_default()
}

fn value_end(text: &[u8], start: usize, nested: bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let end = start + memchr(b'&', rest).unwrap_or(rest.len());
    if !nested {
        return end;
    }
    memchr_iter(b'%', text.get(start..end).unwrap_or_default())
        .map(|at| start + at)
        .find(|&at| matches!(percent(text, at), Some((b'&', _))))
        .unwrap_or(end)
}

/// The value is JSON, encoded or not.
fn begins_json(text: &[u8], value: usize) -> bool {
    matches!(text.get(value), Some(b'{' | b'['))
        || matches!(percent(text, value), Some((b'{' | b'[', _)))
}
