//! Bodies as attributes: text where it is text, else base64, said so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::attributes::{Builder, Text};
use crate::http::Body;
use crate::redact::Content;

/// The keys of a request's or a response's body.
pub(super) struct Keys {
    pub(super) body: &'static str,
    pub(super) encoding: &'static str,
    pub(super) truncated: &'static str,
    pub(super) undecoded: &'static str,
    pub(super) omitted: &'static str,
}

/// Adds the body, of which at most `limit` bytes are shown, and how it is encoded.
///
/// A text that is cut says so at its end. Base64 is cut at a whole group and says nothing, so that
/// it still decodes; the size stands beside it.
pub(super) fn push(
    out: &mut Builder,
    keys: &Keys,
    body: &Body,
    content: &Content,
    limit: Option<usize>,
) {
    let shown = match content.envelopes {
        true if !body.bytes.is_empty() => None,
        _ => text(&body.bytes, content.cut),
    };
    match shown {
        Some(text) => {
            let shown = limit.filter(|&limit| text.len() > limit);
            match (shown, limit) {
                (None, None) => push_whole(out, keys, text),
                (None, Some(_)) if !content.cut || text.is_empty() => push_whole(out, keys, text),
                (shown, _) => {
                    let text = text.as_bytes();
                    let end = shown.map_or(text.len(), |limit| char_boundary(text, limit));
                    let whole = content.full_size.max(text.len() as u64);
                    out.write(keys.body, |out| {
                        out.extend_from_slice(&text[..end]);
                        out.extend_from_slice(
                            format!(" [truncated, full size: {whole} bytes]").as_bytes(),
                        );
                    });
                }
            }
        }
        None => {
            // Three bytes make four characters.
            let most = limit.map_or(body.bytes.len(), |limit| limit / 4 * 3);
            let bytes = &body.bytes[..body.bytes.len().min(most)];
            if let Some(text) = Text::new(Bytes::from(STANDARD.encode(bytes))) {
                out.body(keys.body, text);
            }
            out.fixed(keys.encoding, "base64");
        }
    }
    if content.cut && limit.is_none() && content.omitted.is_none() {
        out.bool(keys.truncated, true);
    }
    if content.undecoded {
        out.bool(keys.undecoded, true);
    }
    if let Some(reason) = content.omitted {
        out.fixed(keys.omitted, reason.label());
    }
}

fn push_whole(out: &mut Builder, keys: &Keys, text: Text) {
    if text.is_empty() {
        out.fixed(keys.body, "");
    } else {
        out.body(keys.body, text);
    }
}

/// The body as UTF-8, without a last character that its cut end broke; `None` when it is something
/// else.
fn text(bytes: &Bytes, cut: bool) -> Option<Text> {
    match Text::check(bytes) {
        Ok(text) => Some(text),
        Err(error) if cut && error.error_len().is_none() => {
            Text::check(&bytes.slice(..error.valid_up_to())).ok()
        }
        Err(_) => None,
    }
}

/// The last place at or before `at` where a character begins.
fn char_boundary(text: &[u8], at: usize) -> usize {
    let mut at = at.min(text.len());
    while at > 0 && text.get(at).is_some_and(|b| b & 0xc0 == 0x80) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Value;
    use super::*;
    use crate::policy::fixture;

    const KEYS: Keys = Keys {
        body: "b",
        encoding: "e",
        truncated: "t",
        undecoded: "u",
        omitted: "w",
    };

    fn check(bytes: &[u8], cut: bool, limit: Option<usize>, expected: &[(&str, Value<'_>)]) {
        let content = Content {
            full_size: 99,
            cut,
            ..Content::default()
        };
        let mut builder = Builder::new(0, 0);
        push(&mut builder, &KEYS, &fixture::body(bytes), &content, limit);
        let attributes = builder.build();
        assert_eq!(attributes.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn text() {
        check(b"", false, None, &[("b", Value::Str(""))]);
        check("é\0".as_bytes(), false, None, &[("b", Value::Str("é\0"))]);
        check(
            "é\0".as_bytes(),
            false,
            Some(3),
            &[("b", Value::Str("é\0"))],
        );
    }

    #[test]
    fn binary() {
        let base64 = ("e", Value::Str("base64"));
        check(
            b"\xff\x00",
            false,
            None,
            &[("b", Value::Str("/wA=")), base64],
        );
        check(
            b"\xff\x00\x01\x02",
            false,
            Some(5),
            &[("b", Value::Str("/wAB")), base64],
        );
        check(b"ab\xc3", false, None, &[("b", Value::Str("YWLD")), base64]);
    }

    #[test]
    fn cut() {
        let truncated = ("t", Value::Bool(true));
        check(b"ab\xc3", true, None, &[("b", Value::Str("ab")), truncated]);
        check(
            b"ab\xc3",
            true,
            Some(9),
            &[("b", Value::Str("ab [truncated, full size: 99 bytes]"))],
        );
        check(
            "aéb".as_bytes(),
            false,
            Some(2),
            &[("b", Value::Str("a [truncated, full size: 99 bytes]"))],
        );
        check(
            "aéb".as_bytes(),
            false,
            Some(3),
            &[("b", Value::Str("aé [truncated, full size: 99 bytes]"))],
        );
    }
}
