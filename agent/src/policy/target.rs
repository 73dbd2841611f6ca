//! The forms of a request target (RFC 9112 §3.2).

use memchr::{memchr, memmem};

/// Path and query: of an absolute-form target the part after the authority; any other form as it is.
#[must_use]
pub fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme) = memmem::find(target, b"://") else {
        return target;
    };
    let rest = &target[scheme + 3..];
    match rest.iter().position(|b| matches!(b, b'/' | b'?')) {
        Some(at) => &rest[at..],
        None => b"/",
    }
}

/// The path, and the query when there is a `?`.
#[must_use]
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Host and port of an authority; the brackets of an IPv6 address are taken off.
#[must_use]
pub fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let colon = authority.iter().rposition(|&b| b == b':');
    let port = |at: usize| str::from_utf8(&authority[at + 1..]).ok()?.parse().ok();
    if let Some(inner) = authority.strip_prefix(b"[") {
        let end = memchr(b']', inner).unwrap_or(inner.len());
        return (&inner[..end], colon.filter(|&at| at > end).and_then(port));
    }
    match colon {
        // Two colons without brackets: an address that lacks them.
        Some(at) if memchr(b':', authority) == Some(at) => (&authority[..at], port(at)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, expected: &str) {
        assert_eq!(path_and_query(target.as_bytes()), expected.as_bytes());
    }

    #[test]
    fn forms() {
        check("/a?b=http://c/d", "/a?b=http://c/d");
        check("http://h/a?b", "/a?b");
        check("http://h", "/");
        check("http://h?x", "?x");
        check("*", "*");
        check("h:443", "h:443");
    }

    #[test]
    fn parts() {
        assert_eq!(split_query(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!(split_query(b"/a"), (&b"/a"[..], None));
        assert_eq!(split_port(b"h:80"), (&b"h"[..], Some(80)));
        assert_eq!(split_port(b"h"), (&b"h"[..], None));
        assert_eq!(split_port(b"h:x"), (&b"h"[..], None));
        assert_eq!(split_port(b"[::1]:80"), (&b"::1"[..], Some(80)));
        assert_eq!(split_port(b"[::1]"), (&b"::1"[..], None));
        assert_eq!(split_port(b"::1"), (&b"::1"[..], None));
    }
}
