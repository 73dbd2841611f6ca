//! What of a body can be shown: text, or bytes that are not.

use crate::http::{Body, Fields};

/// A captured body's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// UTF-8 text; a character that the end of the captured bytes cut in two is left out.
    Text(&'a str),
    /// Anything else.
    Binary(&'a [u8]),
}

impl<'a> Content<'a> {
    pub(super) fn of(body: &'a Body) -> Self {
        let bytes: &[u8] = &body.bytes;
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) if error.error_len().is_none() && cut(body) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                str::from_utf8(valid).map_or(Self::Binary(bytes), Self::Text)
            }
            Err(_) => Self::Binary(bytes),
        }
    }
}

/// Fewer bytes were captured than the body has.
pub(super) fn cut(body: &Body) -> bool {
    body.truncated || !body.size_exact || body.size > body.bytes.len() as u64
}

/// The media type without its parameters.
pub(super) fn media_type(fields: &Fields) -> Option<&[u8]> {
    let value = fields.get("content-type")?;
    value.split(|b| *b == b';').next().map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;

    #[track_caller]
    fn check(bytes: &[u8], size: u64, expected: Content<'_>) {
        let mut body = sample::body(bytes);
        body.size = size;
        assert_eq!(Content::of(&body), expected);
    }

    #[test]
    fn text_and_binary() {
        check(b"", 0, Content::Text(""));
        check("größe".as_bytes(), 7, Content::Text("größe"));
        check(b"a\xff", 2, Content::Binary(b"a\xff"));
    }

    #[test]
    fn a_cut_character_is_not_binary() {
        check(b"ab\xc3", 10, Content::Text("ab"));
        // The whole body is there: this is not UTF-8.
        check(b"ab\xc3", 3, Content::Binary(b"ab\xc3"));
        check(b"a\xffb\xc3", 10, Content::Binary(b"a\xffb\xc3"));
    }

    #[test]
    fn media_types() {
        let head = sample::response_head(200, &[(b"Content-Type", b"text/html ; charset=utf-8")]);
        assert_eq!(media_type(&head.fields), Some(b"text/html".as_slice()));
    }
}
