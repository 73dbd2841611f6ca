//! Names that say nothing about what is inside, and files that do not say it either.

use std::path::Path;

use super::source::Source;

/// Of files and folders.
const FORBIDDEN: &[&str] = &[
    "util", "utils", "helper", "helpers", "manager", "managers", "misc", "common",
];

/// Ends of type names.
const FORBIDDEN_ENDS: &[&str] = &["Manager", "Helper", "Util", "Utils"];

/// Reports what is named after nothing, and Rust files without documentation.
pub fn check(source: &Source, findings: &mut Vec<String>) {
    let path = source.path.as_str();
    for part in Path::new(path).iter() {
        let part = part.to_string_lossy();
        let stem = part.split('.').next().unwrap_or_default();
        if FORBIDDEN.contains(&stem) {
            findings.push(format!(
                "{path}: `{stem}` says nothing about what is inside"
            ));
        }
    }
    let Some(rust) = &source.rust else { return };
    for item in &rust.definitions {
        let is_type = matches!(
            item.keyword.as_str(),
            "struct" | "enum" | "union" | "trait" | "type"
        );
        if is_type && FORBIDDEN_ENDS.iter().any(|end| item.name.ends_with(end)) {
            findings.push(format!(
                "{path}:{}: `{}`: name what it does, not that it does something",
                item.line, item.name
            ));
        }
    }
    documentation(source, findings);
}

fn documentation(source: &Source, findings: &mut Vec<String>) {
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

#[cfg(test)]
mod tests {
    use super::super::source::expect_one;
    use super::*;

    #[track_caller]
    fn check_one(path: &str, text: &str, expected: &str) {
        expect_one(path, text, expected, check);
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
    fn names_say_something() {
        check_one("agent/src/utils.rs", "//! A.\n", "`utils`");
        check_one("agent/src/helpers/mod.rs", "//! A.\n", "`helpers`");
        check_one("agent-common/src/lib.rs", "//! A.\n", "");
        check_one("agent/src/common.rs", "//! A.\n", "`common`");
        check_one("docs/misc.md", "", "`misc`");
        check_one(
            "agent/src/a.rs",
            "//! A.\npub struct FlowManager;\n",
            "a.rs:2: `FlowManager`",
        );
        check_one(
            "agent/src/a.rs",
            "//! A.\n// struct FlowManager\npub struct Managers;\n",
            "",
        );
    }
}
