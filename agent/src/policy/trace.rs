//! The trace that a request belongs to: W3C Trace Context (`traceparent`, level 1) and B3 (one
//! header or several).
//!
//! A malformed context is ignored, as both specifications ask, and the request begins a trace of
//! its own.

use std::fmt;

use crate::http::Fields;
use crate::http::percent::{hex, hex_pair};

/// A trace's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a request says of the trace it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The trace.
    pub trace: TraceId,
    /// The span that made the request.
    pub span: SpanId,
    /// W3C trace flags.
    pub flags: u8,
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// The span that made the request.
    pub parent: Option<SpanId>,
    /// W3C trace flags; bit 0: sampled.
    pub flags: u8,
}

/// W3C trace flag: sampled.
pub(super) const SAMPLED: u8 = 1;

/// The caller's context: `traceparent`, else `b3`, else `x-b3-traceid` and `x-b3-spanid`. A field
/// that comes more than once says nothing.
pub(super) fn caller(fields: &Fields) -> Option<Caller> {
    const NAMES: [&[u8]; 4] = [b"traceparent", b"b3", b"x-b3-traceid", b"x-b3-spanid"];
    let mut values: [Value<'_>; 4] = [Value::Absent; 4];
    for (name, value) in fields.iter() {
        // Nearly every field is refused by its length.
        if !matches!(name.len(), 2 | 11 | 12) {
            continue;
        }
        let known = NAMES.iter().zip(&mut values);
        for (_, slot) in known.filter(|(known, _)| name.eq_ignore_ascii_case(known)) {
            *slot = match slot {
                Value::Absent => Value::Once(value),
                Value::Once(_) | Value::Repeated => Value::Repeated,
            };
        }
    }
    let [w3c, single, trace, span] = values.map(Value::once);
    w3c.and_then(traceparent)
        .or_else(|| single.and_then(b3))
        .or_else(|| b3_multi(trace?, span?))
}

/// What a head has of a field.
#[derive(Clone, Copy)]
enum Value<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Value<'a> {
    const fn once(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

/// `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, in lower case.
fn traceparent(value: &[u8]) -> Option<Caller> {
    let (head, rest) = value.split_at_checked(55)?;
    if [head[2], head[35], head[52]] != [b'-'; 3] {
        return None;
    }
    // Those of the ids are refused with what is no digit.
    let outer = [head[0], head[1], head[53], head[54]];
    if outer.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    // Version ff is invalid; of later versions the known part is read (§3.2.4).
    match hex_pair(head[0], head[1])? {
        0xff => return None,
        0 if !rest.is_empty() => return None,
        _ if !rest.is_empty() && rest[0] != b'-' => return None,
        _ => {}
    }
    Some(Caller {
        trace: trace_id(&head[3..35], &LOWER)?,
        span: span_id(&head[36..52], &LOWER)?,
        flags: hex_pair(head[53], head[54])?,
    })
}

/// `b3`: `<trace>-<span>[-<sampling>[-<parent>]]`.
fn b3(value: &[u8]) -> Option<Caller> {
    let mut parts = value.split(|&b| b == b'-');
    let caller = b3_multi(parts.next()?, parts.next()?);
    let sampling = parts.next();
    let parent = parts
        .next()
        .is_none_or(|parent| span_id(parent, &ANY).is_some());
    let known = matches!(sampling, None | Some(b"0" | b"1" | b"d"));
    caller.filter(|_| known && parent && parts.next().is_none())
}

/// `x-b3-traceid` and `x-b3-spanid`.
fn b3_multi(trace: &[u8], span: &[u8]) -> Option<Caller> {
    Some(Caller {
        trace: trace_id(trace, &ANY)?,
        span: span_id(span, &ANY)?,
        flags: SAMPLED,
    })
}

/// 32 digits, or B3's 16, which stand for the lower half.
fn trace_id(digits: &[u8], table: &Digits) -> Option<TraceId> {
    let (upper, lower) = match digits.len() {
        16 => (0, number(digits, table)?),
        32 => (number(&digits[..16], table)?, number(&digits[16..], table)?),
        _ => return None,
    };
    let id = u128::from(upper) << 64 | u128::from(lower);
    (id != 0).then_some(TraceId(id.to_be_bytes()))
}

fn span_id(digits: &[u8], table: &Digits) -> Option<SpanId> {
    if digits.len() != 16 {
        return None;
    }
    let id = number(digits, table)?;
    (id != 0).then_some(SpanId(id.to_be_bytes()))
}

/// What each byte says as a digit, or [`NONE`].
type Digits = [u8; 256];
const NONE: u8 = 0xff;

/// Hexadecimal digits in lower case.
static LOWER: Digits = digits(false);
/// In any case.
static ANY: Digits = digits(true);

const fn digits(with_upper: bool) -> Digits {
    let mut table = [NONE; 256];
    let mut byte = 0;
    while byte < table.len() {
        let is_meant = with_upper || !(byte as u8).is_ascii_uppercase();
        if let (Some(digit), true) = (hex(byte as u8), is_meant) {
            table[byte] = digit;
        }
        byte += 1;
    }
    table
}

/// What sixteen digits say. Every request has three such numbers, so they are looked up.
fn number(digits: &[u8], table: &Digits) -> Option<u64> {
    let (id, seen) = digits.iter().fold((0_u64, 0), |(id, seen), &byte| {
        let digit = table[usize::from(byte)];
        (id << 4 | u64::from(digit & 15), seen | digit)
    });
    (seen != NONE).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn check(parse: fn(&[u8]) -> Option<Caller>, value: &str, expected: Option<(&str, &str, u8)>) {
        let caller = parse(value.as_bytes());
        let found = caller.map(|c| (c.trace.to_string(), c.span.to_string(), c.flags));
        let expected = expected.map(|(t, s, f)| (format!("{t:0>32}"), s.to_owned(), f));
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn w3c() {
        let ok = Some((TRACE, SPAN, 1));
        check(traceparent, &format!("00-{TRACE}-{SPAN}-01"), ok);
        check(
            traceparent,
            &format!("00-{TRACE}-{SPAN}-00"),
            Some((TRACE, SPAN, 0)),
        );
        check(traceparent, &format!("cc-{TRACE}-{SPAN}-01-what"), ok);
        for bad in [
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("cc-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{}-{SPAN}-01", "-".repeat(32)),
            String::new(),
        ] {
            check(traceparent, &bad, None);
        }
    }

    #[test]
    fn b3_in_one_header() {
        check(
            b3,
            &format!("{TRACE}-{SPAN}-1-{SPAN}"),
            Some((TRACE, SPAN, 1)),
        );
        check(
            b3,
            &format!("{}-{SPAN}", &TRACE[16..]),
            Some((&TRACE[16..], SPAN, 1)),
        );
        check(b3, &format!("{TRACE}-{SPAN}-d"), Some((TRACE, SPAN, 1)));
        for bad in [
            "0",
            "1",
            "",
            "-",
            &format!("{TRACE}-{SPAN}-x"),
            &format!("{TRACE}-{SPAN}-1-2"),
            &format!("{TRACE}-"),
        ] {
            check(b3, bad, None);
        }
    }
}
