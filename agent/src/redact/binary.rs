//! Bodies that are plainly binary: pictures, archives, what is compressed.
//!
//! In megabytes of arbitrary bytes there is a `pw=` by chance, and replacing what follows would
//! falsify the body. So names are looked for only in their runs of text, as `strings` (POSIX) finds
//! them; known tokens are looked for everywhere.
//!
//! A sender does not choose it with one odd byte. A media type of text decides for text. Otherwise
//! the whole body is counted, and what is text in a binary body is still searched.

use std::ops::Range;

use super::body::starts_with;
use crate::http::rpc::essence;

/// One control character in so many bytes, or more. Arbitrary bytes have one in ten, text has none,
/// in whichever encoding of a byte or more per letter.
const SHARE: usize = 16;

/// Fewer control characters prove nothing. A body that has no more is too short for hits by chance.
const LEAST: usize = 256;

/// Shortest run of text that is searched. A shorter one has a name by chance once in megabytes.
const RUN: usize = 16;

/// What the media types of text have in their names.
const TEXT: [&[u8]; 14] = [
    b"text/",
    b"json",
    b"xml",
    b"form",
    b"html",
    b"yaml",
    b"toml",
    b"csv",
    b"script",
    b"graphql",
    b"sql",
    b"message/",
    b"jose",
    b"jwt",
];

/// Whether a body is plainly binary, by its media type and all of its bytes.
pub(super) fn is_binary(media_type: &[u8], bytes: &[u8]) -> bool {
    if bytes.len() < LEAST || names_text(media_type) {
        return false;
    }
    let controls = bytes.iter().filter(|&&byte| is_control(byte)).count();
    controls >= LEAST && controls >= bytes.len() / SHARE
}

/// The runs of text in a body, in order.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut offset = 0;
    bytes.utf8_chunks().flat_map(move |chunk| {
        let start = offset;
        let text = chunk.valid().as_bytes();
        offset += text.len() + chunk.invalid().len();
        let mut at = start;
        text.split(|&byte| is_control(byte)).filter_map(move |run| {
            let range = at..at + run.len();
            at = range.end + 1;
            (run.len() >= RUN).then_some(range)
        })
    })
}

/// `text/plain` says nothing: servers give it to files that they do not know (WHATWG MIME Sniffing
/// §7.2).
fn names_text(media_type: &[u8]) -> bool {
    if starts_with(media_type, b"application/json") {
        return true;
    }
    let essence = essence(media_type).to_ascii_lowercase();
    essence != b"text/plain"
        && TEXT
            .iter()
            .any(|part| memchr::memmem::find(&essence, part).is_some())
}

/// A control character that text does not have. Escape sequences colour logs.
const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::digest::Digest;
    use crate::redact::document::Room;
    use crate::redact::edit::Edits;
    use crate::redact::effort::Effort;
    use crate::redact::fixture::search;

    const STREAM: &[u8] = b"application/octet-stream";

    /// Arbitrary bytes.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        bytes
    }

    /// What is left of a body.
    fn redact(media_type: &[u8], body: &[u8]) -> Vec<u8> {
        let (mut room, mut edits) = (Room::default(), Edits::default());
        let mut effort = Effort::for_len(body.len());
        search().body(media_type, body, &mut room, &mut effort, &mut edits);
        assert!(!effort.is_spent());
        let mut out = Vec::new();
        let digest = Digest::new(Some("test")).expect("a key");
        edits.apply(body, &digest, &mut out);
        out
    }

    /// Whether a body loses a secret, and nothing but the secret.
    fn check(media_type: &str, before: &[u8], text: &str, after: &[u8], hidden: bool) {
        let body = [before, text.as_bytes(), after].concat();
        let left = redact(media_type.as_bytes(), &body);
        let expected = match hidden {
            true => {
                let (name, rest) = text.split_once("S3cr3t").expect("a secret");
                let start = [before, name.as_bytes(), b"[redacted:"].concat();
                let end = [rest.as_bytes(), after].concat();
                left.starts_with(&start) && left.ends_with(&end)
            }
            false => left == body,
        };
        assert!(expected, "{media_type}: {text:?} in {} bytes", body.len());
    }

    #[test]
    fn arbitrary_bytes_stay_as_they_are() {
        let parts = [&noise(3, 100_000), &b"\x01pw=\x80"[..], &noise(4, 100_000)];
        let body = parts.concat();
        for media_type in ["", "application/octet-stream", "image/png", "text/plain"] {
            assert!(redact(media_type.as_bytes(), &body) == body, "{media_type}");
        }
        let head = b"--boundary\r\nContent-Disposition: form-data; name=\"file\"\r\n\
            Content-Type: image/png\r\n\r\n";
        let url = b"\x01://a@\x80";
        let body = [&head[..], &body, url, &body, b"\r\n--boundary--\r\n"].concat();
        assert!(redact(b"multipart/form-data; boundary=boundary", &body) == body);
    }

    #[test]
    fn text_in_binary_bodies_is_searched() {
        let noise = [noise(1, 100_000), vec![0]].concat();
        for text in [
            "&password=S3cr3t",
            "\n{\"user\":\"ann\",\"pin\":\"S3cr3t\"}",
            "https://ann:S3cr3t@host/",
            "<password>S3cr3t</password>",
            "höhe: 1\npassword: S3cr3t",
        ] {
            check(
                "application/zip",
                &noise,
                &format!("{text}\0"),
                &noise,
                true,
            );
        }
        let token = format!("\x14ghp_{}\x01", "S3cr3t".repeat(6));
        let body = [&noise[..], token.as_bytes(), &noise].concat();
        let left = redact(STREAM, &body);
        assert!(memchr::memmem::find(&left, b"S3cr3t").is_none());
        check("application/zip", &noise, "pw=S3cr3t\0", &noise, false);
    }

    #[test]
    fn text_with_odd_bytes_is_text() {
        let odd = b"\0\x01\x80\xff";
        let text = "{\"pw\":\"S3cr3t\"}";
        let padding = vec![b' '; 9000];
        for media_type in ["", "application/octet-stream", "text/plain; charset=utf-8"] {
            check(media_type, odd, text, odd, true);
            check(media_type, &odd.repeat(100), text, &padding, true);
        }
        // Most letters are above ASCII in such a charset.
        let cyrillic = [b"\xe4\xee\xec ".repeat(2000), b"\"".to_vec()].concat();
        check("", &cyrillic, ",\"pw\":\"S3cr3t\"", b"}", true);
    }

    #[test]
    fn what_calls_itself_text_is_searched_as_a_whole() {
        let noise = [noise(2, 2000), b"\n".to_vec()].concat();
        for media_type in [
            "application/json; charset=utf-8",
            "application/problem+JSON",
            "TEXT/html",
            "application/xml",
            "application/x-yaml",
        ] {
            let body = [&noise.repeat(3)[..], b"{\"pw\":\"S3cr3t\"}"].concat();
            let left = redact(media_type.as_bytes(), &body);
            assert!(!left.ends_with(b"S3cr3t\"}"), "{media_type}");
        }
        assert!(!is_binary(
            b"application/x-www-form-urlencoded",
            &noise.repeat(3)
        ));
        assert!(is_binary(STREAM, &noise.repeat(3)));
    }

    #[test]
    fn runs_of_text() {
        let found = |bytes: &[u8]| runs(bytes).collect::<Vec<_>>();
        let text = b"sixteen letters!";
        assert_eq!(found(text), vec![0..16]);
        assert!(found(&text[1..]).is_empty());
        let body = [&b"\0\xff"[..], text, b"\0ab\x80", text, b"\xc3\xa9\x7f"].concat();
        assert_eq!(found(&body), [2..18, 22..40]);
        assert!(found(b"").is_empty());
    }
}
