//! The files that the rules read.

use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use super::rust::Rust;
use crate::command;

/// A text file of the repository.
#[derive(Debug)]
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Its tokens, when it is Rust.
    pub rust: Option<Rust>,
}

impl Source {
    /// Reads the text as what its name says it is.
    ///
    /// # Errors
    /// When a Rust file is no sequence of tokens.
    pub fn new(path: &str, text: String) -> Result<Self> {
        let rust = if path.ends_with(".rs") {
            Some(Rust::parse(path, &text).with_context(|| path.to_owned())?)
        } else {
            None
        };
        Ok(Self {
            path: path.to_owned(),
            text,
            rust,
        })
    }

    /// It holds nothing but tests.
    pub fn is_tests(&self) -> bool {
        let path = self.path.as_str();
        path.ends_with("/tests.rs")
            || path.ends_with("/properties.rs")
            || path.starts_with("agent/tests/")
            || path.starts_with("agent/") && path.contains("/tests/")
            || self.is_bench_of_tests()
    }

    /// A test bench: as long as what it tries. What benches share is code like any other.
    fn is_bench_of_tests(&self) -> bool {
        self.path.starts_with("tests/") && !self.path.starts_with("tests/harness/")
    }
}

/// Tries a rule on one file: `expected` is a part of the one finding, or empty when there is none.
#[cfg(test)]
#[track_caller]
pub fn expect_one(
    path: &str,
    text: &str,
    expected: &str,
    check: impl FnOnce(&Source, &mut Vec<String>),
) {
    let source = Source::new(path, text.to_owned()).unwrap();
    let mut findings = Vec::new();
    check(&source, &mut findings);
    assert_eq!(
        findings.len(),
        usize::from(!expected.is_empty()),
        "{path}: {text}: {findings:?}"
    );
    assert!(
        findings.iter().all(|finding| finding.contains(expected)),
        "{findings:?}"
    );
}

/// Every text file that git knows or would add.
///
/// # Errors
/// When git does not list them, or one cannot be read as Rust.
pub fn all(root: &Path) -> Result<Vec<Source>> {
    let list = command::output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut paths: Vec<&str> = list.lines().collect();
    paths.dedup();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    // Dealt like cards: neighbours in the list are of similar size.
    let deal = |first: usize| paths.iter().skip(first).step_by(threads);
    let dealt: Vec<Result<Vec<Source>>> = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || deal(first).filter_map(|path| read(root, path)).collect())
            })
            .collect();
        readers
            .into_iter()
            .filter_map(|reader| reader.join().ok())
            .collect()
    });
    let mut sources = Vec::with_capacity(paths.len());
    for part in dealt {
        sources.extend(part?);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// A deleted file that is not committed yet, a link to a folder or a recording is not text.
fn read(root: &Path, path: &str) -> Option<Result<Source>> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(Source::new(path, text))
}

/// `part` is a folder (ends with a slash) that holds `path`, or the file itself; a module may be a
/// file beside its folder.
pub fn within(path: &str, part: &str) -> bool {
    match part.strip_suffix('/') {
        Some(folder) => path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs"),
        None => path == part,
    }
}
