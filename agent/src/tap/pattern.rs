//! Patterns of `--host` and `--path`. The one wildcard is `*`: any run of characters, `/` and none
//! at all included.
//!
//! Without a `*` a host is compared whole, a path as a prefix.

use std::str::FromStr;

use crate::glob::Glob;
use crate::http::pattern::{check_host, check_path};
use crate::http::target::{path_and_query, split_query, without_port};

/// A pattern of `--host`: compared without case, with and without the port of the captured host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Glob);

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_host(text)?;
        Ok(Self(Glob::new(text)))
    }
}

impl HostPattern {
    /// Whether a captured host matches.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        self.0.matches(host) || self.0.matches(without_port(host))
    }
}

/// A pattern of `--path`: a prefix, or the whole path when it has a `*`. The query is looked at
/// only when the pattern has a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Vec<u8>,
    glob: Glob,
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_path(text)?;
        Ok(Self {
            text: text.as_bytes().to_vec(),
            glob: Glob::with_case(text),
        })
    }
}

impl PathPattern {
    /// Whether a captured request target matches.
    #[must_use]
    pub fn matches(&self, target: &[u8]) -> bool {
        let whole = path_and_query(target);
        if self.glob.is_literal() {
            return whole.starts_with(&self.text);
        }
        let (path, _) = split_query(whole);
        let asks_query = self.text.contains(&b'?');
        self.glob.matches(if asks_query { whole } else { path })
    }
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
}
