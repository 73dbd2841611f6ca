//! Rules that the compiler does not know, as data: module docs, size, names, who imports whom, dead references.
//!
//! The rules read text, not syntax: comments are cut off, and what follows the first `#[cfg(test)]` of a file is its tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

/// Past this, a file does a second thing: look for it.
const MAX_LINES: usize = 400;

/// Names that say nothing about what is inside.
const FORBIDDEN_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "manager", "managers", "misc", "common",
];

/// Where the pure core is: bytes in, values out; time is an argument, and nothing waits.
const PURE: &[&str] = &[
    "agent/src/stream/",
    "agent/src/http/",
    "agent/src/exchange/",
    "agent/src/connection/",
    "agent/src/policy/",
    "agent/src/redact/",
    "agent/src/span/",
    "agent/src/flow.rs",
    "agent/src/ledger.rs",
];

/// A crate that only some folders of the agent may name.
struct Confined {
    crates: &'static [&'static str],
    to: &'static [&'static str],
}

const CONFINED: &[Confined] = &[
    Confined {
        crates: &["aya", "aya_log", "aya_obj"],
        to: &["agent/src/capture/"],
    },
    Confined {
        crates: &["kube", "k8s_openapi"],
        to: &["agent/src/workload/"],
    },
    Confined {
        crates: &[
            "opentelemetry",
            "opentelemetry_otlp",
            "opentelemetry_proto",
            "opentelemetry_sdk",
        ],
        to: &["agent/src/export/"],
    },
];

/// Crates and calls that the pure core may not name.
const IMPURE: &[&str] = &["tokio", "Instant::now", "SystemTime::now", "thread::sleep"];

/// Paths that exist on one person's machine only.
const MACHINE_PATHS: &[&str] = &["/work/", "/home/", "/tmp/wt/"];

/// A file of the repository.
struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
}

/// Checks the repository; prints every finding.
pub fn run() -> Result<()> {
    let root = command::workspace();
    let sources = sources(&root)?;
    let mut findings = Vec::new();
    for source in &sources {
        check(source, &mut findings);
        references(source, &root, &mut findings);
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!(
            "tidy: {} findings in {} files",
            findings.len(),
            sources.len()
        );
    }
    eprintln!("tidy: {} files, nothing found", sources.len());
    Ok(())
}

/// Every text file that git knows or would add.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let list = command::output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut sources = Vec::new();
    for path in list.lines() {
        // A deleted file that is not committed yet, a link to a folder or a recording is not text.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            sources.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(sources)
}

/// Every rule that needs one file alone.
fn check(source: &Source, findings: &mut Vec<String>) {
    names(source, findings);
    if !source.path.ends_with(".rs") {
        return;
    }
    docs(source, findings);
    size(source, findings);
    imports(source, findings);
}

fn names(source: &Source, findings: &mut Vec<String>) {
    for part in Path::new(&source.path).iter() {
        let part = part.to_string_lossy();
        let stem = part.split('.').next().unwrap_or_default();
        if FORBIDDEN_NAMES.contains(&stem) {
            findings.push(format!(
                "{}: `{stem}` says nothing about what is inside",
                source.path
            ));
        }
    }
    if !source.path.ends_with(".rs") {
        return;
    }
    for (number, line) in code_lines(&source.text) {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        while let Some(word) = words.next() {
            if !matches!(word, "struct" | "enum" | "trait" | "type") {
                continue;
            }
            let name = words.next().unwrap_or_default();
            if ["Manager", "Helper", "Util", "Utils"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                findings.push(format!(
                    "{}:{number}: `{name}`: name what it does, not that it does something",
                    source.path
                ));
            }
        }
    }
}

fn docs(source: &Source, findings: &mut Vec<String>) {
    // The module beside it says what is tested.
    if source.path.ends_with("/tests.rs") {
        return;
    }
    let first = source.text.lines().find(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("#![") && !line.starts_with("#!/")
    });
    if !first.is_some_and(|line| line.starts_with("//!")) {
        findings.push(format!("{}: no module documentation (`//!`)", source.path));
    }
}

fn size(source: &Source, findings: &mut Vec<String>) {
    // Test benches are as long as what they try; what they share is code like any other.
    let bench = source.path.starts_with("tests/") && !source.path.starts_with("tests/harness/");
    if bench || is_tests(&source.path) {
        return;
    }
    let lines = before_tests(&source.text).lines().count();
    if lines >= MAX_LINES {
        findings.push(format!(
            "{}: {lines} lines before its tests, at most {}",
            source.path,
            MAX_LINES - 1
        ));
    }
}

fn imports(source: &Source, findings: &mut Vec<String>) {
    let path = source.path.as_str();
    if !path.starts_with("agent/src/") || is_tests(path) {
        return;
    }
    let pure = PURE.iter().any(|part| within(path, part));
    for (number, line) in code_lines(before_tests(&source.text)) {
        for rule in CONFINED {
            let allowed = rule.to.iter().any(|part| within(path, part));
            for name in rule
                .crates
                .iter()
                .filter(|name| !allowed && names_crate(line, name))
            {
                findings.push(format!(
                    "{path}:{number}: `{name}` belongs to {}",
                    rule.to.join(", ")
                ));
            }
        }
        for name in IMPURE.iter().filter(|name| pure && names_path(line, name)) {
            findings.push(format!("{path}:{number}: `{name}` in the pure core"));
        }
        if path != "agent/src/main.rs"
            && (names_path(line, "println!") || names_path(line, "print!"))
        {
            findings.push(format!(
                "{path}:{number}: the library prints nothing; write to what you are given"
            ));
        }
    }
}

/// Documents that are named and do not exist, and paths of one person's machine.
fn references(source: &Source, root: &Path, findings: &mut Vec<String>) {
    let this = source.path == "xtask/src/tidy.rs";
    for (number, line) in source.text.lines().enumerate().filter(|_| !this) {
        let number = number + 1;
        for path in MACHINE_PATHS.iter().filter(|path| names_folder(line, path)) {
            findings.push(format!(
                "{}:{number}: `{path}` is a path of one machine",
                source.path
            ));
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

/// `part` is a folder (ends with a slash) that holds `path`, or the file itself; a module may be a file beside its folder.
fn within(path: &str, part: &str) -> bool {
    match part.strip_suffix('/') {
        Some(folder) => path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/') || rest == ".rs"),
        None => path == part,
    }
}

/// Files that hold nothing but tests, by the names that they have here.
fn is_tests(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.ends_with("/properties.rs")
        || path.starts_with("agent/tests/")
        || path.starts_with("agent/src/") && path.contains("/tests/")
}

fn before_tests(text: &str) -> &str {
    text.find("#[cfg(test)]")
        .and_then(|end| text.get(..end))
        .unwrap_or(text)
}

/// Lines with their numbers, comments cut off.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| {
        let end = line.find("//").unwrap_or(line.len());
        (index + 1, line.get(..end).unwrap_or(line))
    })
}

/// The line names the crate: `name::…`, `use name;`, `use name as …`, `extern crate name`.
fn names_crate(line: &str, name: &str) -> bool {
    starts_of(line, name).any(|(before, after)| {
        let root = !before.ends_with("::") || before.ends_with(" ::");
        root && (after.starts_with("::")
            || ["use", "crate"]
                .iter()
                .any(|keyword| before.trim_end().ends_with(keyword)))
    })
}

/// The line names the path, alone or as the end of a longer one.
fn names_path(line: &str, name: &str) -> bool {
    starts_of(line, name).next().is_some()
}

/// The folder is named as a path of its own, not as a part of a longer one.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./}*".contains(c))
    })
}

/// What stands before and after each place where `name` stands as whole words.
fn starts_of<'a>(line: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).filter_map(move |(at, _)| {
        let (before, rest) = line.split_at_checked(at)?;
        let after = rest.get(name.len()..)?;
        let whole = !before.ends_with(part_of_word)
            && (name.ends_with('!') || !after.starts_with(part_of_word));
        whole.then_some((before, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let mut findings = Vec::new();
        check(&source, &mut findings);
        references(&source, &command::workspace(), &mut findings);
        findings
    }

    /// `expected` is a part of the one finding, or empty when there is none.
    fn check_one(path: &str, text: &str, expected: &str) {
        let findings = findings(path, text);
        if expected.is_empty() {
            assert_eq!(findings, Vec::<String>::new(), "{path}: {text}");
        } else {
            assert_eq!(findings.len(), 1, "{path}: {text}: {findings:?}");
            assert!(findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn modules_say_what_they_do() {
        check_one("agent/src/a.rs", "//! A.\nfn a() {}\n", "");
        check_one("agent/src/a.rs", "#![no_std]\n\n//! A.\n", "");
        check_one("agent/src/a.rs", "fn a() {}\n", "no module documentation");
        check_one("agent/src/a.rs", "", "no module documentation");
        check_one("agent/src/a/tests.rs", "fn a() {}\n", "");
    }

    #[test]
    fn files_are_short_before_their_tests() {
        let lines = |n: usize| format!("//! A.\n{}", "fn a() {}\n".repeat(n - 1));
        check_one("agent/src/a.rs", &lines(399), "");
        check_one("agent/src/a.rs", &lines(400), "400 lines");
        check_one("agent/src/a/tests.rs", &lines(400), "");
        check_one("tests/capture/nginx.rs", &lines(400), "");
        check_one("tests/harness/lib.rs", &lines(400), "400 lines");
        let tested = format!("{}#[cfg(test)]\n{}", lines(300), lines(300));
        check_one("agent/src/a.rs", &tested, "");
    }

    #[test]
    fn names_say_something() {
        check_one("agent/src/utils.rs", "//! A.\n", "`utils`");
        check_one("agent/src/helpers/mod.rs", "//! A.\n", "`helpers`");
        check_one("agent-common/src/lib.rs", "//! A.\n", "");
        check_one("agent/src/common.rs", "//! A.\n", "`common`");
        check_one(
            "agent/src/a.rs",
            "//! A.\npub struct FlowManager;\n",
            "`FlowManager`",
        );
        check_one("agent/src/a.rs", "//! A.\npub struct Managers;\n", "");
    }

    #[test]
    fn crates_stay_in_their_folder() {
        let uses = |what: &str| format!("//! A.\n{what}\n");
        check_one("agent/src/capture/load.rs", &uses("use aya::Ebpf;"), "");
        check_one("agent/src/capture.rs", &uses("use aya::Ebpf;"), "");
        check_one(
            "agent/src/app.rs",
            &uses("use aya::Ebpf;"),
            "`aya` belongs to",
        );
        check_one(
            "agent/src/app.rs",
            &uses("use aya_log::EbpfLogger;"),
            "`aya_log` belongs",
        );
        check_one(
            "agent/src/app.rs",
            &uses("let e: aya::Ebpf;"),
            "`aya` belongs to",
        );
        check_one("agent/src/app.rs", &uses("use crate::aya::Ebpf;"), "");
        check_one("agent/src/app.rs", &uses("// not aya::Ebpf"), "");
        check_one("agent/src/app.rs", &uses("let maya = papaya::new();"), "");
        check_one(
            "agent/src/span/mod.rs",
            &uses("use opentelemetry::trace;"),
            "belongs to",
        );
        check_one(
            "agent/src/export/otlp.rs",
            &uses("use opentelemetry::trace;"),
            "",
        );
        check_one(
            "agent/src/app.rs",
            &uses("use kube::Client;"),
            "`kube` belongs",
        );
    }

    #[test]
    fn the_core_is_pure() {
        let line = |what: &str| format!("//! A.\n{what}\n");
        check_one(
            "agent/src/http/h1/mod.rs",
            &line("use tokio::sync::mpsc;"),
            "`tokio` in the pure",
        );
        check_one(
            "agent/src/ledger.rs",
            &line("let t = Instant::now();"),
            "`Instant::now`",
        );
        check_one(
            "agent/src/span/mod.rs",
            &line("let t = std::time::SystemTime::now();"),
            "`SystemTime::now`",
        );
        check_one("agent/src/app.rs", &line("let t = Instant::now();"), "");
        let tested = "//! A.\n#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }\n";
        check_one("agent/src/stream/mod.rs", tested, "");
    }

    #[test]
    fn the_library_does_not_print() {
        check_one(
            "agent/src/tap/mod.rs",
            "//! A.\nfn a() { println!(); }\n",
            "prints nothing",
        );
        check_one(
            "agent/src/tap/mod.rs",
            "//! A.\nfn a() { eprintln!(); }\n",
            "",
        );
        check_one("agent/src/main.rs", "//! A.\nfn a() { println!(); }\n", "");
    }

    #[test]
    fn references_lead_somewhere() {
        check_one(
            "a.md",
            "see [x](no-such.md) there",
            "`no-such.md` does not exist",
        );
        check_one("a.md", "see https://example.org/no-such.md there", "");
        check_one("a.toml", "# built in /work/main", "path of one machine");
        check_one("a.toml", "# see target/work/main", "");
    }
}
