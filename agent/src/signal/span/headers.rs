//! Header fields as the text of a JSON object (RFC 8259): names in lower case, values of repeated
//! fields joined with `,`.

use super::attributes::push_text;
use crate::http::Fields;

/// Appends the object.
pub(super) fn write_json(out: &mut Vec<u8>, fields: &Fields) {
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
            name.make_ascii_lowercase();
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

/// ASCII with nothing to escape, eight bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut chunks = bytes.chunks_exact(8);
    let mut odd = 0;
    for chunk in &mut chunks {
        let Ok(array) = <[u8; 8]>::try_from(chunk) else {
            return false;
        };
        let word = u64::from_le_bytes(array);
        // Zero bytes of x show in (x - ONES) & !x & HIGH; bytes below 0x20 in (word - 0x20…)
        // likewise.
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        odd |= word
            | (word.wrapping_sub(ONES * 0x20) & !word)
            | (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash);
    }
    let rest_plain = chunks
        .remainder()
        .iter()
        .all(|&b| matches!(b, 0x20..0x80) && b != b'"' && b != b'\\');
    odd & HIGH == 0 && rest_plain
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
