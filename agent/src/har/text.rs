//! Captured bytes as JSON strings.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use crate::http::Body;
use crate::redact::Content;

/// Bytes as text. What is not UTF-8 is taken for ISO-8859-1, which HTTP's field values were in
/// before (RFC 9110 §5.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let text: String = self.0.iter().map(|&byte| char::from(byte)).collect();
                serializer.serialize_str(&text)
            }
        }
    }
}

/// A name and a value: a header field, a parameter of a query or a form.
#[derive(Serialize)]
pub(super) struct Pair<N, V> {
    pub(super) name: N,
    pub(super) value: V,
}

/// A body: text where it is text, else base64, which has to be said beside it.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyText<'a> {
    Plain(&'a str),
    Base64(&'a [u8]),
}

impl<'a> BodyText<'a> {
    /// `None` when nothing of the body is there. A last character that the end of a cut body broke
    /// is removed.
    pub(super) fn of(body: &'a Body, content: &Content) -> Option<Self> {
        let bytes = &*body.bytes;
        if bytes.is_empty() {
            return None;
        }
        if content.envelopes {
            return Some(Self::Base64(bytes));
        }
        let valid = match str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) if content.cut && error.error_len().is_none() => bytes
                .get(..error.valid_up_to())
                .and_then(|bytes| str::from_utf8(bytes).ok()),
            Err(_) => None,
        };
        Some(valid.map_or(Self::Base64(bytes), Self::Plain))
    }

    /// The name of the encoding, where there is one.
    pub(super) const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Base64(_) => Some("base64"),
        }
    }
}

impl Serialize for BodyText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(text) => serializer.serialize_str(text),
            Self::Base64(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
        }
    }
}
