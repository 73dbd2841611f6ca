//! The trace that a request belongs to: W3C Trace Context (`traceparent`, level 1) and B3 (one
//! header or several).
//!
//! A malformed context is ignored, as both specifications ask, and the request begins a trace of
//! its own.

use std::fmt;

use crate::http::Fields;
use crate::http::percent::hex_pair;

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
    let mut values: [Value<'_>; 4] = [Value::Absent; 4];
    let buffer = fields.buffer();
    for (name, value) in fields.slices() {
        // Nearly every field is refused by its length.
        if !matches!(name.len, 2 | 11 | 12) {
            continue;
        }
        let name = name.of(buffer);
        let (at, known): (usize, &[u8]) = match (name.len(), name.first().map(|b| b | 0x20)) {
            (11, Some(b't')) => (0, b"traceparent"),
            (2, Some(b'b')) => (1, b"b3"),
            (12, Some(b'x')) => (2, b"x-b3-traceid"),
            (11, Some(b'x')) => (3, b"x-b3-spanid"),
            _ => continue,
        };
        if let Some(slot) = values.get_mut(at)
            && name.eq_ignore_ascii_case(known)
        {
            *slot = match slot {
                Value::Absent => Value::Once(value.of(buffer)),
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
        trace: trace_id(&head[3..35], Digits::Lower)?,
        span: span_id(&head[36..52], Digits::Lower)?,
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
        .is_none_or(|parent| span_id(parent, Digits::Any).is_some());
    let known = matches!(sampling, None | Some(b"0" | b"1" | b"d"));
    caller.filter(|_| known && parent && parts.next().is_none())
}

/// `x-b3-traceid` and `x-b3-spanid`.
fn b3_multi(trace: &[u8], span: &[u8]) -> Option<Caller> {
    Some(Caller {
        trace: trace_id(trace, Digits::Any)?,
        span: span_id(span, Digits::Any)?,
        flags: SAMPLED,
    })
}

/// 32 digits, or B3's 16, which stand for the lower half.
fn trace_id(digits: &[u8], letters: Digits) -> Option<TraceId> {
    let (upper, lower) = match digits.len() {
        16 => (0, number(digits, letters)?),
        32 => (
            number(&digits[..16], letters)?,
            number(&digits[16..], letters)?,
        ),
        _ => return None,
    };
    let id = u128::from(upper) << 64 | u128::from(lower);
    (id != 0).then_some(TraceId(id.to_be_bytes()))
}

fn span_id(digits: &[u8], letters: Digits) -> Option<SpanId> {
    if digits.len() != 16 {
        return None;
    }
    let id = number(digits, letters)?;
    (id != 0).then_some(SpanId(id.to_be_bytes()))
}

/// Which letters are digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// Those in lower case.
    Lower,
    /// Those of any case.
    Any,
}

/// What sixteen digits say.
fn number(digits: &[u8], letters: Digits) -> Option<u64> {
    let (first, last) = digits.split_first_chunk()?;
    let high = eight(*first, letters)?;
    let low = eight(*last.first_chunk()?, letters)?;
    Some(u64::from(high) << 32 | u64::from(low))
}

/// What eight digits say. Every request has six such numbers, so all eight are looked at at once:
/// each byte of a word is one of them.
const fn eight(digits: [u8; 8], letters: Digits) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = ONES << 7;
    let bytes = u64::from_be_bytes(digits);
    if bytes & TOP != 0 {
        return None;
    }
    let small = match letters {
        Digits::Lower => bytes,
        Digits::Any => bytes | (ONES * 0x20),
    };
    // No byte has its top bit, so no sum carries into the next one: the top bit says that the byte
    // is not less.
    let from_0 = bytes + ONES * (0x80 - b'0' as u64);
    let above_9 = bytes + ONES * (0x7f - b'9' as u64);
    let from_a = small + ONES * (0x80 - b'a' as u64);
    let above_f = small + ONES * (0x7f - b'f' as u64);
    let letter = from_a & !above_f & TOP;
    if (from_0 & !above_9 | letter) & TOP != TOP {
        return None;
    }
    let halves = (bytes & (ONES * 0x0f)) + (letter >> 7) * 9;
    let pairs = (halves | halves >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    Some((fours | fours >> 16) as u32)
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
    fn digits() {
        let check = |byte: u8, at: usize| {
            let mut text = *b"01234567";
            text[at] = byte;
            let digit = char::from(byte).to_digit(16);
            let expected = digit.map(|digit| {
                let shift = 28 - 4 * at as u32;
                0x0123_4567_u32 & !(0xf << shift) | digit << shift
            });
            assert_eq!(eight(text, Digits::Any), expected, "{byte:#x}");
            let lower = expected.filter(|_| !byte.is_ascii_uppercase());
            assert_eq!(eight(text, Digits::Lower), lower, "{byte:#x}");
        };
        for byte in 0..=u8::MAX {
            (0..8).for_each(|at| check(byte, at));
        }
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
