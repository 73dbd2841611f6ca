//! What of a body can be shown: text, or bytes that are not.

use crate::http::{Body, Fields};
use crate::redact::Content;

/// What the bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// UTF-8 text; a character that the end of the captured bytes cut in two is omitted.
    Utf8(&'a str),
    /// Anything else.
    Binary(&'a [u8]),
}

impl<'a> Text<'a> {
    pub(crate) fn of(body: &'a Body, content: &Content) -> Self {
        let bytes: &[u8] = &body.bytes;
        if content.envelopes && !bytes.is_empty() {
            return Self::Binary(bytes);
        }
        match str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text),
            Err(error) if error.error_len().is_none() && content.cut => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                str::from_utf8(valid).map_or(Self::Binary(bytes), Self::Utf8)
            }
            Err(_) => Self::Binary(bytes),
        }
    }
}

/// The media type without its parameters.
pub(crate) fn media_type(fields: &Fields) -> Option<&[u8]> {
    let value = fields.get("content-type")?;
    value.split(|b| *b == b';').next().map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;

    #[track_caller]
    fn check(bytes: &[u8], cut: bool, expected: Text<'_>) {
        let content = Content {
            cut,
            ..Content::default()
        };
        assert_eq!(Text::of(&sample::body(bytes), &content), expected);
    }

    #[test]
    fn text_and_binary() {
        check(b"", false, Text::Utf8(""));
        check("größe".as_bytes(), false, Text::Utf8("größe"));
        check(b"a\xff", false, Text::Binary(b"a\xff"));
    }

    #[test]
    fn a_cut_character_is_not_binary() {
        check(b"ab\xc3", true, Text::Utf8("ab"));
        // The whole body is there: this is not UTF-8.
        check(b"ab\xc3", false, Text::Binary(b"ab\xc3"));
        check(b"a\xffb\xc3", true, Text::Binary(b"a\xffb\xc3"));
    }

    #[test]
    fn media_types() {
        let head = sample::response_head(200, &[(b"Content-Type", b"text/html ; charset=utf-8")]);
        assert_eq!(media_type(&head.fields), Some(b"text/html".as_slice()));
    }
}
