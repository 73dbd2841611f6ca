//! What a document resembles, whatever its media type says.

use memchr::{memchr, memmem};

use crate::redact::body::starts_with;
use crate::redact::json;
use crate::redact::text::Shape;

/// JSON under the media type of a form is common (curl's default), and `=` in it begins no value.
/// Forms come under every media type.
pub(super) fn is_form(media_type: &[u8], text: &[u8]) -> bool {
    let labelled = starts_with(media_type, b"application/x-www-form-urlencoded");
    labelled && !resembles_json(text) && is_printable(text) || resembles_form(text)
}

/// Server-sent events, by their media type or their first field.
pub(super) fn is_events(media_type: &[u8], text: &[u8]) -> bool {
    const FIELDS: [&[u8]; 4] = [b"data:", b"event:", b"id:", b"retry:"];
    starts_with(media_type, b"text/event-stream")
        || FIELDS.iter().any(|field| text.starts_with(field))
}

/// Text in strings: JSON, a script, a page. Everything else is lines.
pub(super) fn shape(text: &[u8], is_xml: bool) -> Shape {
    let is_lines = || is_yaml(text) || is_section(text);
    let begins = || matches!(text.first(), Some(b'{' | b'[' | b'"')) && !is_lines();
    let is_quoted = is_xml || begins() || {
        // Events, and other lines of JSON.
        let head = text.get(..256).unwrap_or(text);
        memmem::find(head, b"{\"").is_some()
    };
    if is_quoted {
        Shape::Quoted
    } else {
        Shape::Lines
    }
}

/// It begins with the name of a section of settings, alone on its line: `[db]`.
pub(in super::super) fn is_section(text: &[u8]) -> bool {
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let name = line.trim_ascii_end().strip_prefix(b"[");
    let name = name.and_then(|name| name.strip_suffix(b"]"));
    name.is_some_and(|name| {
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"_-.:/ @[]".contains(b);
        name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(is_part)
    })
}

/// It begins with a quoted name and a value without quotes, which ends with its line.
fn is_yaml(text: &[u8]) -> bool {
    let Some(name) = json::string_at(text, 0) else {
        return false;
    };
    let rest = text.get(name.end + 1..).unwrap_or_default();
    let line = rest.split(|&b| b == b'\n').next().unwrap_or_default();
    let value = line.strip_prefix(b":").unwrap_or_default().trim_ascii();
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && !matches!(value.last(), Some(b',' | b'}' | b']'))
}

/// No control characters at its beginning. Binary data goes under a form's media type too (curl's
/// default), and somewhere in megabytes of it there is a `pwd=`.
fn is_printable(text: &[u8]) -> bool {
    let head = text.get(..512).unwrap_or(text);
    !head
        .iter()
        .any(|&b| b < b' ' && !b.is_ascii_whitespace() || b == 0x7f)
}

/// The first two tokens of an object or an array.
fn resembles_json(text: &[u8]) -> bool {
    let next = text.get(1..).unwrap_or_default().trim_ascii_start().first();
    match text.first() {
        Some(b'{') => matches!(next, Some(b'"' | b'}')),
        Some(b'[') => matches!(next, Some(b'{' | b'[' | b'"' | b']')),
        _ => false,
    }
}

/// A name and `=` before anything that a form cannot have, and no line's end: lines are settings,
/// not a form.
pub(super) fn resembles_form(text: &[u8]) -> bool {
    let head = text.get(..256).unwrap_or(text);
    let is_of_name = |b: &u8| b.is_ascii_alphanumeric() || b"_.%+-[]*$!~:@,/?&;".contains(b);
    let name = memchr(b'=', head).and_then(|equals| head.get(..equals));
    name.is_some_and(|name| !name.is_empty() && name.iter().all(is_of_name))
        && memchr(b'\n', text.trim_ascii_end()).is_none()
}
