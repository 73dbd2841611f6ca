//! Header fields as the text of a JSON object (RFC 8259): names in lower case, values of repeated
//! fields joined with `,`.

use super::attributes::push_text;
use crate::http::Fields;

/// Appends the object.
pub(super) fn write_json(out: &mut Vec<u8>, fields: &Fields) {
    // Quotes, a colon and a comma for each, and some that are escaped.
    out.reserve(fields.bytes() + 6 * fields.len() + 32);
    out.push(b'{');
    let repeated = has_repeated(fields);
    for (index, (name, value)) in fields.iter().enumerate() {
        if repeated
            && fields
                .iter()
                .take(index)
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        {
            continue;
        }
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.push(b'"');
        let start = out.len();
        push_escaped(out, name);
        if let Some(name) = out.get_mut(start..) {
            make_lower(name);
        }
        out.extend_from_slice(b"\":\"");
        push_escaped(out, value);
        if repeated {
            let more = fields.iter().skip(index + 1);
            for (_, value) in more.filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
                out.push(b',');
                push_escaped(out, value);
            }
        }
        out.push(b'"');
    }
    out.push(b'}');
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
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else if str::from_utf8(bytes).is_ok() {
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

/// As [`u8::make_ascii_lowercase`], eight bytes at a time: names have few more.
fn make_lower(name: &mut [u8]) {
    fn lower(chunk: [u8; 8]) -> [u8; 8] {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let word = u64::from_le_bytes(chunk);
        let low = word & (ONES * 0x7f);
        // The upper bit of each byte: it is `A` or more, and more than `Z`.
        let from_a = low + ONES * (0x80 - b'A' as u64);
        let after_z = low + ONES * (0x7f - b'Z' as u64);
        let upper = (from_a ^ after_z) & !word & (ONES * 0x80);
        (word | upper >> 2).to_le_bytes()
    }
    if name.len() < 8 {
        return name.make_ascii_lowercase();
    }
    for chunk in name.as_chunks_mut().0 {
        *chunk = lower(*chunk);
    }
    // Some bytes are made lower twice.
    if let Some(last) = name.last_chunk_mut() {
        *last = lower(*last);
    }
}

/// ASCII with nothing to escape.
fn is_plain(bytes: &[u8]) -> bool {
    /// As many as a vector register has on every processor.
    const LANES: usize = 16;
    fn odd(chunk: [u8; LANES]) -> bool {
        let is_odd = |b: u8| {
            u8::from(b < 0x20) | u8::from(b == b'"') | u8::from(b == b'\\') | u8::from(b >= 0x80)
        };
        chunk.iter().fold(0, |odd, &b| odd | is_odd(b)) != 0
    }
    let (chunks, rest) = bytes.as_chunks();
    let rest_odd = || match bytes.last_chunk() {
        // Some bytes are looked at twice.
        Some(last) => odd(*last),
        None => {
            let mut padded = [b' '; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            odd(padded)
        }
    };
    !chunks.iter().any(|chunk| odd(*chunk)) && (rest.is_empty() || !rest_odd())
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

    #[test]
    fn every_byte_becomes_lower() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'X'; len];
                    text[at] = byte;
                    let expected = text.to_ascii_lowercase();
                    make_lower(&mut text);
                    assert_eq!(text, expected);
                }
            }
        }
    }

    #[test]
    fn plain_text_is_emitted_from_other() {
        for byte in 0..=255_u8 {
            for len in 1..20 {
                for at in 0..len {
                    let mut text = vec![b'x'; len];
                    text[at] = byte;
                    let expected = (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\';
                    assert_eq!(is_plain(&text), expected, "{byte} at {at} of {len}");
                }
            }
        }
    }
}
