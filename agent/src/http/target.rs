//! The forms of a request target (RFC 9112 §3.2).

use memchr::{memchr, memchr2, memrchr};

/// Path and query: of an absolute-form target the part after the authority; any other form as it
/// is.
#[must_use]
pub fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(rest) = after_scheme(target) else {
        return target;
    };
    match memchr2(b'/', b'?', rest) {
        Some(at) => rest.get(at..).unwrap_or_default(),
        None => b"/",
    }
}

/// What follows `scheme://` (RFC 3986 §3.1); nothing when the target does not begin with that.
fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    let colon = memchr(b':', target)?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    rest.strip_prefix(b"://").filter(|_| is_scheme)
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

/// An authority without its port; `::1`, which lacks its brackets, has none.
#[must_use]
pub fn without_port(host: &[u8]) -> &[u8] {
    match memrchr(b':', host) {
        // `::1` without brackets has no port; `[::1]:80` and `name:80` have.
        Some(at)
            if host[at + 1..].iter().all(u8::is_ascii_digit)
                && (host[at.saturating_sub(1)] == b']' || memchr(b':', host) == Some(at)) =>
        {
            &host[..at]
        }
        _ => host,
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
        // What looks like a URL later on is part of a path or a query.
        check("admin?u=://h/static", "admin?u=://h/static");
        check("a/b://h/static", "a/b://h/static");
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
