//! Documents that are named and do not exist, and paths of one person's machine.

use std::path::{Path, PathBuf};

use super::source::Source;

/// Paths that exist on one person's machine only.
const MACHINE_PATHS: &[&str] = &["/work/", "/home/", "/tmp/wt/", "/tmp/team/"];

/// Where paths are data.
const THIS: &str = "xtask/src/tidy/";

/// Reports both.
pub fn check(source: &Source, root: &Path, findings: &mut Vec<String>) {
    if source.path.starts_with(THIS) {
        return;
    }
    for (number, line) in source.text.lines().enumerate() {
        let number = number + 1;
        for path in MACHINE_PATHS.iter().filter(|path| names_folder(line, path)) {
            findings.push(format!(
                "{}:{number}: `{path}` is a path of one machine",
                source.path
            ));
        }
        // Looking for the end first: most lines name no document.
        if !line.contains(".md") {
            continue;
        }
        for document in documents(line) {
            let beside = Path::new(&source.path).parent().unwrap_or(Path::new(""));
            let candidates: [PathBuf; 2] = [root.join(document), root.join(beside).join(document)];
            if !candidates.iter().any(|candidate| candidate.exists()) {
                findings.push(format!(
                    "{}:{number}: `{document}` does not exist",
                    source.path
                ));
            }
        }
    }
}

/// Relative paths of Markdown files in a line; web addresses are not.
fn documents(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || "()[]`'\",;<>|#".contains(c))
        .filter(|word| !word.contains("://") && !word.contains(['*', '{', '$']))
        .map(|word| word.trim_end_matches(['.', ':', '!', '?']))
        .filter(|word| word.len() > ".md".len() && word.ends_with(".md"))
}

/// The folder is named as a path of its own, not as a part of a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./}*".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::expect_one;
    use super::*;
    use crate::command;

    #[track_caller]
    fn check_one(path: &str, text: &str, expected: &str) {
        expect_one(path, text, expected, |source, findings| {
            check(source, &command::workspace(), findings);
        });
    }

    #[test]
    fn references_lead_somewhere() {
        check_one(
            "a.md",
            "see [x](no-such.md) there",
            "`no-such.md` does not exist",
        );
        check_one("a.md", "see [x](README.md) there", "");
        check_one("a.md", "see https://example.org/no-such.md there", "");
        check_one("a.toml", "# built in /work/main", "path of one machine");
        check_one("a.toml", "# see target/work/main", "");
    }
}
