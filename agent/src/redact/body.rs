//! Bodies: wanted or not, content coding removed.

use memchr::memchr;

use super::config::Uninspected;
use super::fields::{Known, KnownFields};
use super::sanitized::{Content, Omitted};
use crate::http::Body;
use crate::http::coding::{self, Decoded};
use crate::policy::{Choice, Glob, any};

/// What is done to bodies.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) wanted: Choice<Vec<Glob>>,
    pub(super) decoded_limit: usize,
    pub(super) uninspected: Uninspected,
    /// Secrets are looked for.
    pub(super) inspect: bool,
}

/// Prepares `body` for inspection: what it holds after its coding is removed, or that it is
/// omitted.
pub(super) fn open(rules: &Rules, known: &KnownFields, body: &mut Body) -> Content {
    let mut content = Content::of(body);
    if body.bytes.is_empty() {
        return content;
    }
    let media_type = known.get(Known::ContentType).unwrap_or_default();
    if !rules.wanted.open() {
        let essence = essence(media_type);
        if !rules.wanted.keeps(|globs| any(globs, essence)) {
            return Content::of_omitted(body, Omitted::Unwanted);
        }
    }
    let mut opaque = is_opaque(media_type, &body.bytes);
    if known.get(Known::ContentEncoding).is_some() {
        match coding::decode(
            known.encodings(),
            &body.bytes,
            !content.cut,
            rules.decoded_limit,
        ) {
            Decoded::Identity => {}
            Decoded::Decoded { bytes, truncated } => {
                content.decoded = true;
                content.cut |= truncated;
                content.full_size = bytes.len() as u64;
                opaque = is_opaque(media_type, &bytes);
                body.bytes = bytes;
            }
            // A wrong label on plain text is common, and text can be inspected.
            Decoded::Failed { .. } => {
                content.undecoded = true;
                opaque |= !is_text(&body.bytes);
            }
        }
    }
    if opaque && rules.inspect && rules.uninspected == Uninspected::Omit {
        content.omitted = Some(Omitted::Uninspected);
    }
    content
}

/// The body is one JSON Web Token (RFC 7519 §10.3, RFC 8417 §7.2, RFC 9701 §5) or another JOSE
/// object (RFC 7515 §9.2).
pub(super) fn is_token(media_type: &[u8]) -> bool {
    let essence = essence(media_type);
    let ends = |end: &[u8]| {
        let start = essence.len().checked_sub(end.len());
        start.is_some_and(|start| essence[start..].eq_ignore_ascii_case(end))
    };
    ends(b"/jwt") || ends(b"+jwt") || ends(b"/jose")
}

/// A media type without its parameters (RFC 9110 §8.3.1).
pub(super) fn essence(media_type: &[u8]) -> &[u8] {
    let essence = media_type.split(|&b| b == b';').next();
    essence.unwrap_or_default().trim_ascii()
}

pub(super) fn starts_with(media_type: &[u8], start: &[u8]) -> bool {
    media_type
        .get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Names of secrets cannot be found in it: compressed without saying so (gzip, Zstandard, LZ4, xz,
/// bzip2, zlib at its default level: RFC 1952 §2.3, RFC 8878 §3.1.1, RFC 1950 §2.2), or wide text.
fn is_opaque(media_type: &[u8], bytes: &[u8]) -> bool {
    let compressed = matches!(
        bytes,
        [0x1f, 0x8b, 8, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [4, 0x22, 0x4d, 0x18, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..]
            | [b'x', 0x9c, ..]
    );
    compressed || is_wide(media_type, bytes)
}

/// Text whose characters are two or four bytes.
fn is_wide(media_type: &[u8], bytes: &[u8]) -> bool {
    // A byte order mark and an ASCII character, or without the mark a character that JSON and XML
    // begin with.
    let by_bytes = matches!(
        bytes,
        [0xff, 0xfe, 1..0x80, 0, ..]
            | [0xfe, 0xff, 0, 1..0x80, ..]
            | [0, 0, 0xfe, 0xff, ..]
            | [b'{' | b'[' | b'"' | b'<', 0, ..]
            | [0, b'{' | b'[' | b'"' | b'<', ..]
            | [0, 0, 0, b'{' | b'[' | b'"' | b'<', ..]
    );
    // Binary data may begin like that; only what calls itself text, or nothing, is taken at its
    // byte order mark.
    let binary = [&b"image/"[..], b"audio/", b"video/", b"font/"]
        .iter()
        .any(|kind| starts_with(media_type, kind));
    // UTF-7 and EBCDIC are no wider than ASCII, and as unlike it.
    let charsets: [&[u8]; 7] = [
        b"utf-16", b"utf-32", b"ucs-2", b"utf-7", b"ebcdic", b"=ibm", b"=cp037",
    ];
    let is_one = |rest: &[u8]| charsets.iter().any(|name| starts_with(rest, name));
    let has_charset = || {
        let starts = |byte: &u8| matches!(byte, b'u' | b'U' | b'e' | b'E' | b'=');
        let places = media_type.iter().enumerate().filter(|(_, b)| starts(b));
        places.into_iter().any(|(at, _)| is_one(&media_type[at..]))
    };
    (by_bytes && !binary) || memchr(b'=', media_type).is_some() && has_charset()
}

/// UTF-8 as far as it goes: the end may cut a character.
fn is_text(bytes: &[u8]) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}
