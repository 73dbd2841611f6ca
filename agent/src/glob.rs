//! Text patterns where `*` stands for any run of characters, none included.

use memchr::memmem;

/// A pattern, split at its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    first: Vec<u8>,
    /// What stands between stars, and after the last; `None` when there is no star.
    rest: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    case: Case,
}

/// Whether letters are compared with their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Ignored,
    Compared,
}

impl Glob {
    /// Compared without case: host names, media types, methods.
    pub(crate) fn new(pattern: &str) -> Self {
        Self::with(pattern, Case::Ignored)
    }

    /// Compared with case: paths.
    pub(crate) fn with_case(pattern: &str) -> Self {
        Self::with(pattern, Case::Compared)
    }

    fn with(pattern: &str, case: Case) -> Self {
        let mut parts = pattern.split('*').map(|part| part.as_bytes().to_vec());
        let first = parts.next().unwrap_or_default();
        let mut middle: Vec<_> = parts.collect();
        let rest = middle.pop().map(|last| (middle, last));
        Self { first, rest, case }
    }

    /// There is no star in it.
    pub(crate) const fn is_literal(&self) -> bool {
        self.rest.is_none()
    }

    /// The whole text matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let Some((middle, last)) = &self.rest else {
            return self.equal(text, &self.first);
        };
        let Some((head, mut text)) = text.split_at_checked(self.first.len()) else {
            return false;
        };
        if !self.equal(head, &self.first) {
            return false;
        }
        for part in middle.iter().filter(|part| !part.is_empty()) {
            let Some(at) = self.find(text, part) else {
                return false;
            };
            text = text.get(at + part.len()..).unwrap_or_default();
        }
        let start = text.len().checked_sub(last.len());
        start.is_some_and(|start| self.equal(text.get(start..).unwrap_or_default(), last))
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        match self.case {
            Case::Ignored => a.eq_ignore_ascii_case(b),
            Case::Compared => a == b,
        }
    }

    fn find(&self, text: &[u8], part: &[u8]) -> Option<usize> {
        match self.case {
            Case::Compared => memmem::find(text, part),
            Case::Ignored => text
                .windows(part.len())
                .position(|window| window.eq_ignore_ascii_case(part)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let found = Glob::new(pattern).matches(text.as_bytes());
        assert_eq!(found, expected, "{pattern} {text}");
        let lower = [pattern, text].map(str::to_ascii_lowercase);
        let found = Glob::with_case(&lower[0]).matches(lower[1].as_bytes());
        assert_eq!(found, expected, "{lower:?}");
    }

    #[test]
    fn stars() {
        check("a.b", "A.B", true);
        check("a.b", "a.b.c", false);
        check("*", "", true);
        check("**", "", true);
        check("*.example.com", "x.example.COM", true);
        check("*.example.com", "example.com", false);
        check("text/*", "text/html", true);
        check("a*b*c", "a--b--c", true);
        check("a*b*c", "a--c", false);
        check("a*b*c", "aXbXbX", false);
        check("a*a", "a", false);
        check("*a", "aaaa", true);
        check("a**", "a", true);
        check("", "", true);
        check("", "x", false);
    }

    #[test]
    fn case() {
        assert!(!Glob::with_case("/A*").matches(b"/a"));
        assert!(!Glob::with_case("*A*").matches(b"/a"));
        assert!(!Glob::with_case("/A").matches(b"/a"));
    }
}
