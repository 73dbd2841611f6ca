//! Folders that are allowed a number of findings while they are being cleaned.

use super::source::within;

/// A folder and how many findings of one rule it may have.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// A folder (ends with a slash) or a file.
    pub part: &'static str,
    /// It only shrinks.
    pub at_most: usize,
}

/// What was found in each of those folders.
#[derive(Debug)]
pub struct Counted {
    parts: Vec<(Allowance, usize)>,
}

impl Counted {
    /// Nothing found yet.
    pub fn new(allowances: &[Allowance]) -> Self {
        Self {
            parts: allowances.iter().map(|allowance| (*allowance, 0)).collect(),
        }
    }

    /// Counts findings of a file where an allowance covers it; the innermost folder's, when several
    /// do.
    pub fn covers(&mut self, path: &str, findings: usize) -> bool {
        let covering = self
            .parts
            .iter_mut()
            .filter(|(allowance, _)| within(path, allowance.part));
        let innermost = covering.max_by_key(|(allowance, _)| allowance.part.len());
        if let Some((_, count)) = innermost {
            *count += findings;
            return true;
        }
        false
    }

    /// Reports folders with more than they are allowed, and those that need no allowance any more.
    pub fn finish(self, of_what: &str, findings: &mut Vec<String>) {
        for (Allowance { part, at_most }, count) in self.parts {
            if count > at_most {
                findings.push(format!("{part}: {count} {of_what}, at most {at_most}"));
            }
            if count == 0 {
                findings.push(format!(
                    "tidy/exceptions.rs: {part} has no {of_what}; take the allowance out"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTER: Allowance = Allowance {
        part: "agent/",
        at_most: 2,
    };
    const INNER: Allowance = Allowance {
        part: "agent/src/a/",
        at_most: 1,
    };

    /// Files with their numbers of findings; each of `expected` is a part of one finding.
    #[track_caller]
    fn check(files: &[(&str, usize)], covered: bool, expected: &[&str]) {
        let mut counted = Counted::new(&[OUTER, INNER]);
        for (path, count) in files {
            assert_eq!(counted.covers(path, *count), covered, "{path}");
        }
        let mut findings = Vec::new();
        counted.finish("words", &mut findings);
        assert_eq!(findings.len(), expected.len(), "{findings:?}");
        for (finding, part) in findings.iter().zip(expected) {
            assert!(finding.contains(part), "{finding}");
        }
    }

    #[test]
    fn the_innermost_folder_counts() {
        check(&[("agent/b.rs", 2), ("agent/src/a/c.rs", 1)], true, &[]);
        check(
            &[("agent/b.rs", 3), ("agent/src/a/c.rs", 1)],
            true,
            &["agent/: 3 words, at most 2"],
        );
        check(
            &[("agent/b.rs", 1), ("agent/src/a.rs", 2)],
            true,
            &["src/a/: 2 words, at most 1"],
        );
        check(
            &[("agent/b.rs", 1), ("agent/src/a.rs", 0)],
            true,
            &["src/a/ has no words"],
        );
        check(
            &[("xtask/b.rs", 9)],
            false,
            &["agent/ has no words", "src/a/ has no words"],
        );
    }
}
