//! Text patterns where `*` stands for any run of characters, compared without case.

/// A pattern, split at its stars.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    first: Vec<u8>,
    /// The pieces between stars; `None` when there is no star.
    rest: Option<(Vec<Vec<u8>>, Vec<u8>)>,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut pieces = pattern.split('*').map(|piece| piece.as_bytes().to_vec());
        let first = pieces.next().unwrap_or_default();
        let mut middle: Vec<_> = pieces.collect();
        let rest = middle.pop().map(|last| (middle, last));
        Self { first, rest }
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let Some((middle, last)) = &self.rest else {
            return text.eq_ignore_ascii_case(&self.first);
        };
        let Some((head, mut text)) = text.split_at_checked(self.first.len()) else {
            return false;
        };
        if !head.eq_ignore_ascii_case(&self.first) {
            return false;
        }
        for piece in middle.iter().filter(|piece| !piece.is_empty()) {
            let found = text
                .windows(piece.len())
                .position(|window| window.eq_ignore_ascii_case(piece));
            let Some(at) = found else {
                return false;
            };
            text = &text[at + piece.len()..];
        }
        text.len() >= last.len() && text[text.len() - last.len()..].eq_ignore_ascii_case(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(
            Glob::new(pattern).matches(text.as_bytes()),
            expected,
            "{pattern} {text}"
        );
    }

    #[test]
    fn stars() {
        check("a.b", "A.B", true);
        check("a.b", "a.b.c", false);
        check("*", "", true);
        check("*.example.com", "x.example.COM", true);
        check("*.example.com", "example.com", false);
        check("text/*", "text/html", true);
        check("a*b*c", "a--b--c", true);
        check("a*b*c", "a--c", false);
        check("a*a", "a", false);
        check("", "", true);
        check("", "x", false);
    }
}
