//! What a commit's subject looks like: at most 72 characters, in the imperative, no full stop.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// Characters of a subject.
const MAX_SUBJECT: usize = 72;

/// Where a change starts.
const BASE: &str = "origin/main";

/// Reports subjects of commits that the base does not have. Without a base, there is nothing to
/// compare with.
///
/// # Errors
/// When git does not list them.
pub fn check(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(root).args(arguments);
        command
    };
    if command::output(&mut git(&["rev-parse", "--quiet", "--verify", BASE])).is_err() {
        return Ok(());
    }
    let range = format!("{BASE}..HEAD");
    let list = command::output(&mut git(&["log", "--no-merges", "--format=%h %s", &range]))?;
    for line in list.lines() {
        let (commit, subject) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(wrong) = wrong_with(subject) {
            findings.push(format!("commit {commit}: {wrong}: {subject}"));
        }
    }
    Ok(())
}

fn wrong_with(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    let first = subject.split([' ', ':']).next().unwrap_or_default();
    if length > MAX_SUBJECT {
        return Some(format!(
            "a subject of {length} characters, at most {MAX_SUBJECT}"
        ));
    }
    if !first.starts_with(|c: char| c.is_uppercase()) {
        return Some("a subject starts with a capital letter".to_owned());
    }
    if subject.ends_with('.') {
        return Some("a subject ends without a full stop".to_owned());
    }
    // "Added", "Adding", "Adds"; "Process", "Embed", "Bring" and their like are imperatives.
    let lower = first.to_lowercase();
    let past = lower.ends_with("ed")
        && !["embed", "feed", "need", "seed", "shed"].contains(&lower.as_str());
    let gerund = lower.ends_with("ing") && !["bring", "string", "ping"].contains(&lower.as_str());
    let third = lower.ends_with('s')
        && !lower.ends_with("ss")
        && !["alias", "focus"].contains(&lower.as_str());
    (past || gerund || third)
        .then(|| "a subject is in the imperative (\"Add\", not \"Added\" or \"Adds\")".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, expected: Option<&str>) {
        let wrong = wrong_with(subject);
        match (&wrong, expected) {
            (None, None) => {}
            (Some(wrong), Some(part)) if wrong.contains(part) => {}
            _ => panic!("{subject}: {wrong:?}"),
        }
    }

    #[test]
    fn subjects() {
        check("Anchor the budget at the socket's position", None);
        check("Process segments in order", None);
        check("Embed the object", None);
        check("Added a test", Some("imperative"));
        check("Fixes the test", Some("imperative"));
        check("Adding a test", Some("imperative"));
        check("Add a test.", Some("full stop"));
        check("add a test", Some("capital"));
        check(&format!("Add {}", "a".repeat(68)), None);
        check(&format!("Add {}", "a".repeat(69)), Some("73 characters"));
        check("", Some("capital"));
    }
}
