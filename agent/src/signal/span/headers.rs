//! Header fields as the text of a JSON object (RFC 8259): names in lower case, values of repeated
//! fields joined with `,`.

use super::attributes::push_text;
use crate::http::{Fields, Slice};

/// Bytes that are looked at and copied at a time: a vector register of every processor.
const LANES: usize = 16;

/// Appends the object.
pub(super) fn write_json(out: &mut Vec<u8>, fields: &Fields) {
    // Quotes, a colon and a comma for each, and some that are escaped. Lanes are copied whole.
    out.reserve(fields.bytes() + 6 * fields.len() + 2 * LANES);
    out.extend_from_slice(b"{\"");
    let start = out.len();
    let (buffer, slices) = (fields.buffer(), fields.slices());
    let repeated = has_repeated(fields);
    for (index, (name, value)) in slices.iter().enumerate() {
        let is_same =
            |other: &&(Slice, Slice)| other.0.of(buffer).eq_ignore_ascii_case(name.of(buffer));
        if repeated && slices.iter().take(index).any(|other| is_same(&other)) {
            continue;
        }
        push_name(out, buffer, *name);
        out.extend_from_slice(b"\":\"");
        push_value(out, buffer, *value);
        if repeated {
            for (_, value) in slices.iter().skip(index + 1).filter(is_same) {
                out.push(b',');
                push_value(out, buffer, *value);
            }
        }
        out.extend_from_slice(b"\",\"");
    }
    // Less what stands before a next one.
    out.truncate(out.len() - if out.len() > start { 2 } else { 1 });
    out.push(b'}');
}

fn push_name(out: &mut Vec<u8>, buffer: &[u8], name: Slice) {
    if !push_plain(out, buffer, name, make_lower) {
        let start = out.len();
        push_escaped(out, name.of(buffer));
        if let Some(name) = out.get_mut(start..) {
            name.make_ascii_lowercase();
        }
    }
}

fn push_value(out: &mut Vec<u8>, buffer: &[u8], value: Slice) {
    if !push_plain(out, buffer, value, |chunk| chunk) {
        push_escaped(out, value.of(buffer));
    }
}

/// Appends a slice of the buffer if it is ASCII with nothing to escape, each chunk as `change`
/// makes it. Reads and copies whole chunks, also those that reach beyond the slice.
#[inline]
fn push_plain(
    out: &mut Vec<u8>,
    buffer: &[u8],
    slice: Slice,
    change: impl Fn([u8; LANES]) -> [u8; LANES],
) -> bool {
    let start = out.len();
    let text = buffer.get(usize::from(slice.start)..).unwrap_or_default();
    let len = usize::from(slice.len).min(text.len());
    let mut done = 0;
    while done < len {
        let rest = text.get(done..).unwrap_or_default();
        let chunk = match rest.first_chunk() {
            Some(chunk) => *chunk,
            None => at_the_end(rest),
        };
        let wanted = match len - done {
            left @ 0..LANES => (1 << left) - 1,
            _ => u32::MAX,
        };
        if odd(&chunk) & wanted != 0 {
            out.truncate(start);
            return false;
        }
        out.extend_from_slice(&change(chunk));
        done += LANES;
    }
    out.truncate(start + len);
    true
}

/// The last bytes of a buffer, fewer than a chunk.
#[cold]
fn at_the_end(rest: &[u8]) -> [u8; LANES] {
    let mut chunk = [b' '; LANES];
    for (place, byte) in chunk.iter_mut().zip(rest) {
        *place = *byte;
    }
    chunk
}

/// A bit for each byte that is no ASCII, or has to be escaped.
#[cfg(target_arch = "x86_64")]
#[inline]
fn odd(chunk: &[u8; LANES]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: every processor of this architecture has SSE2. The chunk's 16 bytes are read, which
    // need no alignment.
    let bits = unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        // Signed: those from 0x80 on are below zero.
        let below = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        _mm_movemask_epi8(_mm_or_si128(below, _mm_or_si128(quote, slash)))
    };
    bits.cast_unsigned()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn odd(chunk: &[u8; LANES]) -> u32 {
    chunk.iter().rev().fold(0, |bits, byte| {
        let is_odd = byte.cast_signed() < 0x20 || matches!(byte, b'"' | b'\\');
        bits << 1 | u32::from(is_odd)
    })
}

/// As [`u8::make_ascii_lowercase`].
#[inline]
fn make_lower(chunk: [u8; LANES]) -> [u8; LANES] {
    chunk.map(|byte| byte | u8::from(byte.is_ascii_uppercase()) << 5)
}

/// Some name occurs twice. Length and outer letters distinguish most names.
pub(super) fn has_repeated(fields: &Fields) -> bool {
    let mut seen = [0_u64; 16];
    fields.iter().enumerate().any(|(index, (name, _))| {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return false;
        };
        let mixed = usize::from(first & 31) << 5 ^ usize::from(last & 31) ^ name.len() << 3;
        let word = &mut seen[(mixed >> 6) & 15];
        let bit = 1 << (mixed & 63);
        let maybe = *word & bit != 0;
        *word |= bit;
        maybe
            && fields
                .iter()
                .take(index)
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
    })
}

/// Appends the content of a JSON string.
#[cold]
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if str::from_utf8(bytes).is_ok() {
        escape(out, bytes);
    } else {
        let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 2);
        push_text(&mut text, bytes);
        escape(out, &text);
    }
}

/// UTF-8 in, UTF-8 out.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|&b| b < 0x20 || b == b'"' || b == b'\\')
    {
        let (run, special) = rest.split_at(at);
        out.extend_from_slice(run);
        let Some((&byte, tail)) = special.split_first() else {
            return;
        };
        rest = tail;
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.extend_from_slice(&[b'\\', byte]),
        }
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    fn check(head: &str, expected: &serde_json::Value) {
        let exchange = fixture::exchange(
            "GET / HTTP/1.1\r\n\r\n",
            format!("HTTP/1.1 200 X\r\n{head}\r\n"),
        );
        let mut out = Vec::new();
        write_json(&mut out, &exchange.response.unwrap().head.fields);
        let found: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(&found, expected, "{head}");
    }

    #[test]
    fn objects() {
        use serde_json::json;
        check("", &json!({}));
        check("A: 1\r\nb: x y\r\n", &json!({"a": "1", "b": "x y"}));
        check(
            "Set-Cookie: a\r\nx: y\r\nset-cookie: b\r\nSET-COOKIE: c\r\n",
            &json!({"set-cookie": "a,b,c", "x": "y"}),
        );
        check(
            "etag: \"a\\b\"\r\ntab: a\tb\r\ngrüße: ü\r\n"
                .replace("grüße", "g")
                .as_str(),
            &json!({"etag": "\"a\\b\"", "tab": "a\tb", "g": "ü"}),
        );
    }

    /// Every byte at every place of a short text, with and without something behind it.
    #[test]
    fn plain_text_is_emitted_from_other() {
        for byte in 0..=255_u8 {
            for len in 1..40 {
                for at in 0..len {
                    let mut text = vec![b'X'; len];
                    text[at] = byte;
                    let is_plain = (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\';
                    let slice = Slice {
                        start: 0,
                        len: u16::try_from(len).unwrap(),
                    };
                    for behind in ["", "\"\u{e9}", "\r\n and more than a chunk"] {
                        let buffer = [&text, behind.as_bytes()].concat();
                        let mut out = b"before".to_vec();
                        let pushed = push_plain(&mut out, &buffer, slice, make_lower);
                        assert_eq!(pushed, is_plain, "{byte} at {at} of {len}");
                        let expected = match is_plain {
                            true => [b"before", &*text.to_ascii_lowercase()].concat(),
                            false => b"before".to_vec(),
                        };
                        assert_eq!(out, expected);
                    }
                }
            }
        }
    }
}
