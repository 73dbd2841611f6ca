//! What of a body can be shown: text, or bytes that are not.

use std::fmt::Write as _;

use super::units::size_words;
use super::{pretty, protobuf};
use crate::http::rpc::{Envelope, Envelopes};
use crate::http::{Body, Fields};
use crate::redact::Content;
use crate::visible::hidden;

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

/// What a message of a call is to a person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// It is text, such as JSON.
    Text(&'a str),
    /// The fields of Protocol Buffers, as lines.
    Fields(String),
    /// Anything else.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    pub(crate) fn of(fields: &Fields, envelope: &Envelope<'a>) -> Self {
        let bytes = envelope.payload;
        // Without a suffix, gRPC's messages are Protocol Buffers, and short ones can be text too.
        let names_another = media_type(fields)
            .and_then(|kind| {
                kind.rsplit(|b| *b == b'+')
                    .next()
                    .filter(|s| s.len() < kind.len())
            })
            .is_some_and(|suffix| !suffix.eq_ignore_ascii_case(b"proto"));
        let read = || protobuf::text(bytes, envelope.whole);
        if let Some(fields) = (!names_another).then(read).flatten() {
            return Self::Fields(fields);
        }
        match str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(|c| hidden(c) && !c.is_ascii_whitespace()) => {
                Self::Text(text)
            }
            _ => Self::Binary(bytes),
        }
    }
}

/// The messages of a call, each with its number and size.
pub(crate) fn titled<'a>(
    fields: &Fields,
    bytes: &'a [u8],
) -> impl Iterator<Item = (String, Message<'a>)> {
    (1..).zip(Envelopes(bytes)).map(|(number, envelope)| {
        let cut = if envelope.whole { "" } else { ", cut" };
        let size = size_words(envelope.length.into());
        let title = format!("message {number}: {size}{cut}");
        (title, Message::of(fields, &envelope))
    })
}

/// A body of messages as lines: those of a call one by one, or the fields of one alone. Nothing
/// for other bodies.
pub(crate) fn messages(fields: &Fields, body: &Body, content: &Content) -> Option<String> {
    if !content.envelopes {
        return protobuf_fields(fields, body, content);
    }
    let mut out = String::new();
    for (title, message) in titled(fields, &body.bytes) {
        let _ = writeln!(out, "[{title}]");
        match message {
            Message::Text(text) => out.push_str(&pretty::json(text)),
            Message::Fields(text) => out.push_str(&text),
            Message::Binary(_) => {}
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    (!out.is_empty()).then_some(out)
}

/// The fields of a body that is one message of Protocol Buffers, as lines.
pub(crate) fn protobuf_fields(fields: &Fields, body: &Body, content: &Content) -> Option<String> {
    let is_one = media_type(fields).is_some_and(protobuf::is_one);
    is_one.then(|| protobuf::text(&body.bytes, !content.cut))?
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
    fn messages_are_fields_unless_their_type_says_otherwise() {
        let of = |kind: &[u8], payload| {
            let head = sample::response_head(200, &[(b"Content-Type", kind)]);
            let envelope = Envelope {
                flags: 0,
                length: 0,
                payload,
                whole: true,
            };
            match Message::of(&head.fields, &envelope) {
                Message::Text(text) => format!("text {text}"),
                Message::Fields(lines) => format!("fields {lines}"),
                Message::Binary(bytes) => format!("binary {bytes:?}"),
            }
        };
        let both = b"\x12\x20 a message whose length is a space";
        let payload = &both[..34];
        let text = str::from_utf8(&payload[2..]).unwrap();
        let fields = format!("fields 2: \"{text}\"\n");
        assert_eq!(of(b"application/grpc", payload), fields);
        assert_eq!(of(b"application/grpc-web+proto; a=b", payload), fields);
        assert_eq!(of(b"application/grpc", b"{}"), "text {}");
        assert_eq!(of(b"application/grpc+json", b"\n \"a\""), "text \n \"a\"");
        assert_eq!(
            of(b"application/grpc+proto", b"\xff\x01"),
            "binary [255, 1]"
        );
    }

    #[test]
    fn messages_one_by_one() {
        let head = |kind: &[u8]| sample::response_head(200, &[(b"Content-Type", kind)]).fields;
        let calls = Content {
            envelopes: true,
            ..Content::default()
        };
        let body = sample::body(b"\0\0\0\0\x02\x08\x05\0\0\0\0\x02\xff\xff\0\0\0\0\x09\x0a\x05ab");
        let lines = messages(&head(b"application/grpc"), &body, &calls);
        let expected = "[message 1: 2 B]\n1: 5\n[message 2: 2 B]\n\
                        [message 3: 9 B, cut]\n1: \"ab\" …\n";
        assert_eq!(lines.as_deref(), Some(expected));
        let alone = sample::body(b"\x08\x05");
        let not_calls = Content::default();
        let lines = messages(&head(b"application/x-protobuf; a=b"), &alone, &not_calls);
        assert_eq!(lines.as_deref(), Some("1: 5\n"));
        assert_eq!(messages(&head(b"text/plain"), &alone, &not_calls), None);
    }

    #[test]
    fn media_types() {
        let head = sample::response_head(200, &[(b"Content-Type", b"text/html ; charset=utf-8")]);
        assert_eq!(media_type(&head.fields), Some(b"text/html".as_slice()));
    }
}
