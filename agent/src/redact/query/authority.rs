//! User names and passwords in URLs (RFC 3986 §3.2.1).

use memchr::{memchr, memrchr};

use crate::redact::counts::Rule;
use crate::redact::digest::is_replacement;
use crate::redact::edit::{Coding, Edit, Edits};
use crate::redact::escape::percent;

/// The password of the authority `user:password@host` that begins at `start`, or all before the `@`
/// when there is no colon. What may be no authority (`is_odd`) is one when it has a password.
/// Returns how many bytes it looked at.
pub(super) fn scan_authority(text: &[u8], start: usize, is_odd: bool, edits: &mut Edits) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let len = rest
        .iter()
        .position(|&b| matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'<' | b'>' | b'\\'))
        .unwrap_or(rest.len());
    let authority = rest.get(..len).unwrap_or_default();
    let Some(at) = memrchr(b'@', authority) else {
        return len;
    };
    let userinfo = authority.get(..at).unwrap_or_default();
    if is_replacement(userinfo) {
        return len;
    }
    let colon = memchr(b':', userinfo);
    if is_odd && colon.is_none() {
        return len;
    }
    let secret = colon.map_or(0, |colon| colon + 1);
    let edit = Edit {
        range: start + secret..start + at,
        rule: Rule::UserInfo,
        coding: Coding::Percent,
        quote: None,
    };
    edits.push(text, edit);
    len
}

/// The byte at `at`, encoded or not, and how many it takes.
fn decoded(text: &[u8], at: usize) -> Option<(u8, usize)> {
    percent(text, at).or_else(|| Some((*text.get(at)?, 1)))
}

/// As [`scan_authority`], where `://` is percent-encoded and its colon is just before `start`;
/// returns up to where it looked.
pub(super) fn scan_encoded_authority(text: &[u8], start: usize, edits: &mut Edits) -> usize {
    const MOST: usize = 8;
    let (mut at, mut slashes) = (start, 0);
    while let Some((b'/' | b'\\', len)) = decoded(text, at)
        && slashes < MOST
    {
        at += len;
        slashes += 1;
    }
    if slashes < 2 {
        return start;
    }
    let begin = at;
    let (mut secret, mut sign) = (begin, None);
    while let Some((byte, len)) = decoded(text, at) {
        match byte {
            b'/' | b'?' | b'#' | b' ' | b'"' | b'<' | b'>' | b'\\' => break,
            b'&' if len == 1 => break,
            b':' if secret == begin => secret = at + len,
            b'@' => sign = Some(at),
            _ => {}
        }
        at += len;
    }
    if let Some(sign) = sign
        && !is_replacement(&text[begin..sign])
    {
        let edit = Edit {
            range: secret..sign,
            rule: Rule::UserInfo,
            coding: Coding::Percent,
            quote: None,
        };
        edits.push(text, edit);
    }
    at
}
