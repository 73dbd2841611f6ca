//! A body as lines: JSON indented, forms as their members, messages of calls one by one, anything
//! else that is no text in hexadecimal.

use super::ink::Ink;
use crate::http::percent::decode_percent;
use crate::http::{Body, Fields};
use crate::redact::{Content, Omitted};
use crate::tap::body::{Message, Text, media_type, protobuf_fields, titled};
use crate::tap::pretty;
use crate::tap::units::size_words;
use crate::views::shown::visible;

/// Bytes of a body that are shown: some thousand lines. A file (`w`, `s`) has all of it.
const MAX_BYTES: usize = 128 * 1024;
/// Bytes on a line of hexadecimal: with their places and characters, 78 columns.
const HEX: usize = 16;
/// Spaces of a tab.
const TAB: &str = "    ";

/// A line, and what it is.
pub(super) type Line = (String, Ink);

/// Appends the lines of a body.
pub(super) fn write(out: &mut Vec<Line>, fields: &Fields, body: &Body, content: &Content) {
    if let Some(why) = content.omitted {
        return note(out, omitted(why));
    }
    if body.bytes.is_empty() {
        let why = match content.envelopes && !content.cut {
            true => "without a whole message",
            false => "not captured",
        };
        if body.size > 0 {
            note(out, &format!("{} {why}", size_words(body.size)));
        }
        return;
    }
    if content.undecoded {
        note(out, "as it came: its content coding could not be removed");
    }
    let bytes = body.bytes.get(..MAX_BYTES).unwrap_or(&body.bytes);
    // Some clients say so of whatever they send.
    let is_form = !matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
        && media_type(fields)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"));
    if content.envelopes {
        messages(out, fields, bytes);
    } else if is_form {
        form(out, bytes);
    } else if let Some(message) = protobuf_fields(fields, body, content) {
        lines(out, &message);
    } else {
        match Text::of(body, content) {
            Text::Utf8(text) if !text.contains('\0') => self::text(out, text),
            _ => {
                let kind = visible(media_type(fields).unwrap_or(b"binary data"));
                note(out, &format!("{} of {kind}", size_words(content.full_size)));
                hex(out, bytes);
            }
        }
    }
    if bytes.len() < body.bytes.len() {
        let rest = size_words((body.bytes.len() - bytes.len()) as u64);
        note(out, &format!("{rest} more are not shown here"));
    }
    if content.cut {
        let captured = size_words(body.bytes.len() as u64);
        note(
            out,
            &format!("{captured} of {} were captured", size_words(body.size)),
        );
    }
}

fn note(out: &mut Vec<Line>, text: &str) {
    out.push((format!("[{text}]"), Ink::Note));
}

const fn omitted(why: Omitted) -> &'static str {
    match why {
        Omitted::Uninspected => "omitted: it cannot be searched for secrets",
        Omitted::Unwanted => "omitted by a rule on its media type",
        Omitted::Overload => "omitted under overload",
        Omitted::Effort => "omitted: searching it for secrets costs too much",
    }
}

fn text(out: &mut Vec<Line>, text: &str) {
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= MAX_BYTES)
        .last();
    let is_whole = text.len() <= MAX_BYTES;
    let shown = match end.filter(|_| !is_whole) {
        Some(end) => text.get(..end).unwrap_or(text),
        None => text,
    };
    // What is cut is no JSON, and stays as it came.
    lines(out, &pretty::json(shown));
}

fn lines(out: &mut Vec<Line>, text: &str) {
    for line in text.lines() {
        let line = line.replace('\t', TAB);
        out.push((visible(line.as_bytes()), Ink::Plain));
    }
}

/// `name = value`, decoded.
fn form(out: &mut Vec<Line>, bytes: &[u8]) {
    let decoded = |part: &[u8]| {
        let spaced: Vec<u8> = part
            .iter()
            .map(|b| if *b == b'+' { b' ' } else { *b })
            .collect();
        visible(&decode_percent(&spaced))
    };
    for member in bytes
        .split(|b| *b == b'&')
        .filter(|member| !member.is_empty())
    {
        let mut parts = member.splitn(2, |b| *b == b'=');
        let name = decoded(parts.next().unwrap_or_default());
        let value = decoded(parts.next().unwrap_or_default());
        out.push((format!("{name} = {value}"), Ink::Plain));
    }
}

/// Each message of a call.
fn messages(out: &mut Vec<Line>, fields: &Fields, bytes: &[u8]) {
    for (title, message) in titled(fields, bytes) {
        note(out, &title);
        match message {
            Message::Text(text) => self::text(out, text),
            Message::Fields(text) => lines(out, &text),
            Message::Binary(bytes) => hex(out, bytes),
        }
    }
}

fn hex(out: &mut Vec<Line>, bytes: &[u8]) {
    for (number, chunk) in bytes.chunks(HEX).enumerate() {
        let mut line = format!("{:08x} ", number * HEX);
        for at in 0..HEX {
            if at == HEX / 2 {
                line.push(' ');
            }
            match chunk.get(at) {
                Some(byte) => line.push_str(&format!(" {byte:02x}")),
                None => line.push_str("   "),
            }
        }
        line.push_str("  ");
        line.extend(chunk.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        }));
        out.push((line, Ink::Plain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;

    #[track_caller]
    fn check(kind: &[u8], bytes: &[u8], expected: &[&str]) {
        let mut exchange = sample::exchange();
        exchange.request.head = sample::request_head(b"PUT", b"/", &[(b"Content-Type", kind)]);
        exchange.request.body = sample::body(bytes);
        let sanitized = sample::sanitized(&exchange);
        let request = &sanitized.exchange().request;
        let mut out = Vec::new();
        write(
            &mut out,
            &request.head.fields,
            &request.body,
            sanitized.request_content(),
        );
        let lines: Vec<_> = out.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn each_kind() {
        check(b"text/plain", b"", &[]);
        check(b"text/plain", b"a\x1b[2J\n\tb", &["a\\x1b[2J", "    b"]);
        check(
            b"application/json",
            b"{\"a\":[1]}",
            &["{", "  \"a\": [", "    1", "  ]", "}"],
        );
        check(
            b"application/x-www-form-urlencoded",
            b"a=1+2&b=%1b%20c&&d",
            &["a = 1 2", "b = \\x1b c", "d = "],
        );
        // What curl sends with `-d` without being asked for a type.
        check(
            b"application/x-www-form-urlencoded",
            b"{\"u\":1}",
            &["{", "  \"u\": 1", "}"],
        );
        check(
            b"image/png",
            b"\x89PNG\r\n\x1a\n\0\xff0123456789",
            &[
                "[20 B of image/png]",
                "00000000  89 50 4e 47 0d 0a 1a 0a  00 ff 30 31 32 33 34 35  .PNG......012345",
                "00000010  36 37 38 39                                       6789",
            ],
        );
    }

    #[test]
    fn messages_of_calls() {
        let kind: (&[u8], &[u8]) = (b"Content-Type", b"application/grpc");
        let head = sample::response_head(200, &[kind]);
        let mut out = Vec::new();
        messages(
            &mut out,
            &head.fields,
            b"\0\0\0\0\x02{}\0\0\0\0\x05\x08\x96",
        );
        let lines: Vec<_> = out.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(lines.first(), Some(&"[message 1: 2 B]"));
        assert_eq!(lines.get(1), Some(&"{}"));
        assert_eq!(lines.get(2), Some(&"[message 2: 5 B, cut]"));
        assert!(
            lines
                .get(3)
                .is_some_and(|line| line.starts_with("00000000  08 96 "))
        );
    }

    #[test]
    fn a_body_without_bytes_says_why() {
        let body = Body {
            size: 1,
            ..Body::default()
        };
        for (envelopes, cut, expected) in [
            (true, false, "[1 B without a whole message]"),
            (true, true, "[1 B not captured]"),
            (false, false, "[1 B not captured]"),
        ] {
            let content = Content {
                envelopes,
                cut,
                ..Content::default()
            };
            let mut out = Vec::new();
            write(&mut out, &Fields::default(), &body, &content);
            assert_eq!(out, [(expected.to_owned(), Ink::Note)]);
        }
    }

    #[test]
    fn long_text_is_cut() {
        let mut out = Vec::new();
        text(&mut out, &"é\n".repeat(MAX_BYTES));
        let bytes: usize = out.iter().map(|(line, _)| line.len() + 1).sum();
        assert!((MAX_BYTES - 3..=MAX_BYTES + 1).contains(&bytes), "{bytes}");
    }
}
