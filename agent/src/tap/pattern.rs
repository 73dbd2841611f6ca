//! Patterns of `--host` and `--path`. The one wildcard is `*`: any run of characters, `/` and none at all included.
//!
//! Without a `*` a host is compared whole, a path as a prefix.

use std::str::FromStr;

const EMPTY: &str = "it is empty, and would match nothing or everything";

/// A pattern of `--host`: compared without case, with and without the port of the captured host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Vec<u8>);

impl FromStr for HostPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(EMPTY),
            _ => Ok(Self(text.to_ascii_lowercase().into_bytes())),
        }
    }
}

impl HostPattern {
    /// Whether a captured host matches.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        let host = host.to_ascii_lowercase();
        glob(&self.0, &host) || glob(&self.0, without_port(&host))
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        // `::1` without brackets has no port; `[::1]:80` and `name:80` have.
        Some(at)
            if host[at + 1..].iter().all(u8::is_ascii_digit)
                && (host[at.saturating_sub(1)] == b']'
                    || memchr::memchr(b':', host) == Some(at)) =>
        {
            &host[..at]
        }
        _ => host,
    }
}

/// A pattern of `--path`: a prefix, or the whole path when it has a `*`. The query is looked at only when the pattern has a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<u8>);

impl FromStr for PathPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err(EMPTY),
            _ => Ok(Self(text.as_bytes().to_vec())),
        }
    }
}

impl PathPattern {
    /// Whether a captured request target matches.
    #[must_use]
    pub fn matches(&self, target: &[u8]) -> bool {
        let path = origin_form(target);
        if memchr::memchr(b'*', &self.0).is_none() {
            return path.starts_with(&self.0);
        }
        let query = memchr::memchr(b'?', path);
        match query {
            Some(at) if !self.0.contains(&b'?') => glob(&self.0, &path[..at]),
            _ => glob(&self.0, path),
        }
    }
}

/// Path and query of an absolute-form target; any other target as it is.
pub(super) fn origin_form(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme) = memchr::memmem::find(target, b"://") else {
        return target;
    };
    let authority = &target[scheme + 3..];
    memchr::memchr2(b'/', b'?', authority).map_or(b"/", |at| &authority[at..])
}

/// Whole-string match with `*` as the wildcard, in linear space and at worst quadratic time: on a mismatch only the last `*`
/// is tried again, one byte further.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host(pattern: &str, text: &str, expected: bool) {
        let pattern: HostPattern = pattern.parse().expect("a pattern");
        assert_eq!(
            pattern.matches(text.as_bytes()),
            expected,
            "{pattern:?} {text}"
        );
    }

    #[track_caller]
    fn path(pattern: &str, text: &str, expected: bool) {
        let pattern: PathPattern = pattern.parse().expect("a pattern");
        assert_eq!(
            pattern.matches(text.as_bytes()),
            expected,
            "{pattern:?} {text}"
        );
    }

    #[test]
    fn hosts() {
        host("example.com", "example.com", true);
        host("Example.COM", "eXample.com:8080", true);
        host("example.com:8080", "example.com:8080", true);
        host("example.com:80", "example.com:8080", false);
        host("example.com", "www.example.com", false);
        host("*.example.com", "www.example.com", true);
        host("*.example.com", "example.com", false);
        host("*", "", true);
        host("[::1]", "[::1]:80", true);
        host("::1", "::1", true);
        host("x", ":80", false);
        host("a:", "a:", true);
    }

    #[test]
    fn paths() {
        path("/api", "/api/v1?x=1", true);
        path("/api", "/apiary", true);
        path("/api", "/v1/api", false);
        path("*/items", "/api/v1/items?page=2", true);
        path("/api/*/items", "/api/v1/items", true);
        path("/api/*/items", "/api/v1/items/3", false);
        path("*?page=2", "/items?page=2", true);
        path("*?page=2", "/items?page=3", false);
        path("/api", "http://example.com/api/v1", true);
        path("/", "http://example.com", true);
        path("?x", "http://example.com?x=1", true);
        path("*", "*", true);
    }

    #[test]
    fn stars() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        };
        check("a*b*c", "aXbXbXc", true);
        check("a*b*c", "aXbXbX", false);
        check("**", "", true);
        check("", "", true);
        check("", "a", false);
        check("*a", "aaaa", true);
        check("a**", "a", true);
    }
}
