//! Bodies: wanted or not, content coding removed.

use memchr::memchr;

use super::config::Uninspected;
use super::fields::{Known, KnownFields};
use super::media::{Media, MediaTypes};
use super::sanitized::{Content, Omitted};
use crate::glob::Glob;
use crate::http::Body;
use crate::http::coding::{self, Decoded};
use crate::http::rpc::essence;
use crate::policy::{Choice, any};

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
/// omitted. What `enveloped` messages are shows each by itself.
pub(super) fn open(
    rules: &Rules,
    known: &KnownFields,
    enveloped: bool,
    types: &mut MediaTypes,
    body: &mut Body,
) -> Content {
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
    let media = types.of(media_type);
    let mut opaque = !enveloped && is_opaque(media_type, media, &body.bytes);
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
                opaque = !enveloped && is_opaque(media_type, media, &bytes);
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

pub(super) fn starts_with(media_type: &[u8], start: &[u8]) -> bool {
    media_type
        .get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Names of secrets cannot be found in it: compressed without saying so (gzip, Zstandard, LZ4, xz,
/// bzip2, zlib at its default level: RFC 1952 §2.3, RFC 8878 §3.1.1, RFC 1950 §2.2), or wide text.
fn is_opaque(media_type: &[u8], media: Media, bytes: &[u8]) -> bool {
    let compressed = matches!(
        bytes,
        [0x1f, 0x8b, 8, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [4, 0x22, 0x4d, 0x18, ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..]
            | [b'x', 0x9c, ..]
    );
    compressed || is_wide(media_type, media, bytes)
}

/// Most of the bytes at even or at odd places are NUL, the others are ASCII: UTF-16 without a byte
/// order mark, or UTF-32. From the first NUL on, where ASCII begins.
fn has_wide_ascii(bytes: &[u8]) -> bool {
    const WINDOW: usize = 512;
    const LEAST: usize = 4;
    let Some(first) = memchr(0, bytes) else {
        return false;
    };
    let window = bytes.get(first & !3..).unwrap_or_default();
    let window = window.get(..WINDOW).unwrap_or(window);
    let is_ascii = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    // A quarter at least, so that other scripts may stand between; binary data has zeros in a row,
    // or at both places.
    let is_many = |places: [usize; 3]| {
        let [ascii, wrong, all] = places;
        ascii >= LEAST && ascii * 4 >= all && wrong == 0
    };
    let pairs = |order: fn(&[u8]) -> (u8, u8)| {
        let mut places = [0; 3];
        for (byte, other) in window.chunks_exact(2).map(order) {
            places[0] += usize::from(other == 0 && is_ascii(byte));
            places[1] += usize::from(byte == 0);
            places[2] += 1;
        }
        places
    };
    let quads = |order: fn(&[u8]) -> (u8, [u8; 3])| {
        let mut places = [0; 3];
        for (byte, others) in window.chunks_exact(4).map(order) {
            places[0] += usize::from(others == [0; 3] && is_ascii(byte));
            places[1] += usize::from(byte == 0 && others == [0; 3]);
            places[2] += 1;
        }
        places
    };
    is_many(pairs(|pair| (pair[0], pair[1])))
        || is_many(pairs(|pair| (pair[1], pair[0])))
        || is_many(quads(|quad| (quad[0], [quad[1], quad[2], quad[3]])))
        || is_many(quads(|quad| (quad[3], [quad[0], quad[1], quad[2]])))
}

/// Text whose characters are two or four bytes.
fn is_wide(media_type: &[u8], media: Media, bytes: &[u8]) -> bool {
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
    let is_binary = || {
        [&b"image/"[..], b"audio/", b"video/", b"font/"]
            .iter()
            .any(|kind| starts_with(media_type, kind))
    };
    ((by_bytes || has_wide_ascii(bytes)) && !is_binary()) || media.has_wide_charset
}

/// The media type names an encoding of characters that is not like ASCII.
pub(super) fn has_wide_charset(media_type: &[u8]) -> bool {
    // UTF-7 and EBCDIC are no wider than ASCII, and as unlike it.
    let charsets: [&[u8]; 7] = [
        b"utf-16", b"utf-32", b"ucs-2", b"utf-7", b"ebcdic", b"=ibm", b"=cp037",
    ];
    let is_one = |rest: &[u8]| {
        let first = rest.first().map(u8::to_ascii_lowercase);
        let mut likely = charsets
            .iter()
            .filter(|name| name.first().copied() == first);
        likely.any(|name| starts_with(rest, name))
    };
    let starts = |byte: &u8| matches!(byte, b'u' | b'U' | b'e' | b'E' | b'=');
    let places = media_type.iter().enumerate().filter(|(_, b)| starts(b));
    memchr(b'=', media_type).is_some()
        && places.into_iter().any(|(at, _)| is_one(&media_type[at..]))
}
/// UTF-8 as far as it goes: the end may cut a character.
fn is_text(bytes: &[u8]) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_opaque_as(media_type: &[u8], bytes: &[u8]) -> bool {
        is_opaque(media_type, MediaTypes::default().of(media_type), bytes)
    }

    fn wide(text: &str, unit: usize, is_big: bool) -> Vec<u8> {
        let each = |c: char| {
            let mut bytes = u32::from(c).to_le_bytes()[..unit].to_vec();
            if is_big {
                bytes.reverse();
            }
            bytes
        };
        text.chars().flat_map(each).collect()
    }

    #[test]
    fn wide_text_is_opaque_whatever_it_begins_with() {
        for text in [
            " {\"password\":\"S\"}",
            "\n\n[{\"password\":1}]",
            "password=S",
            "x={\"password\":\"S\"}",
            "é{\"password\":\"S\"}",
            "имя {\"password\":\"S\"}",
        ] {
            for (unit, is_big) in [(2, false), (2, true), (4, false), (4, true)] {
                assert!(
                    is_opaque_as(b"text/plain", &wide(text, unit, is_big)),
                    "{text}"
                );
            }
            assert!(!is_opaque_as(b"text/plain", text.as_bytes()));
        }
    }

    #[test]
    fn binary_data_is_not_wide_text() {
        let words: Vec<u8> = (0..200_u32).flat_map(u32::to_le_bytes).collect();
        let names: &[u8] = b"\x08password\0user\0\0\0name\0\0";
        let message: &[u8] = &[0, 0, 0, 5, 10, 3, b'a', b'b', b'c'];
        for bytes in [&words[..], names, message, &[0; 64], b"text\0", b""] {
            assert!(
                !is_opaque_as(b"application/octet-stream", bytes),
                "{bytes:?}"
            );
        }
    }
}
