//! `cargo xtask test --live`: the suites with real servers, clients and lossy links, in which a
//! test that fails is run again alone.
//!
//! Some of these tests depend on when the kernel lets a foreign program run. A test that passes
//! alone is named, so that somebody looks at it; one that fails three times fails the run.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::command;

/// In order of how much each finds.
const SUITES: &[&str] = &["capture", "http2", "tls", "replay", "export", "views"];
/// Runs of a test that fails, after the first.
const AGAIN: usize = 2;

/// Runs the suites with these variables.
pub(crate) fn run(variables: &[(&str, std::ffi::OsString)]) -> Result<()> {
    let mut unsteady = Vec::new();
    let mut broken = Vec::new();
    for suite in SUITES {
        let first = failures(suite, &[], variables)?;
        let mut left = first.clone();
        for _ in 0..AGAIN {
            if left.is_empty() {
                break;
            }
            eprintln!("::: {suite}: again, alone: {}", left.join(", "));
            let mut failed = Vec::new();
            for name in left {
                failed.extend(failures(suite, &["--exact", &name], variables)?);
            }
            left = failed;
        }
        let named = |names: &[String]| -> Vec<String> {
            names.iter().map(|n| format!("{suite} {n}")).collect()
        };
        unsteady.extend(
            named(&first)
                .into_iter()
                .filter(|n| !named(&left).contains(n)),
        );
        broken.extend(named(&left));
    }
    for name in &unsteady {
        eprintln!("warning: {name} failed, and passed when it ran alone");
    }
    if !broken.is_empty() {
        bail!("failed again and again: {}", broken.join(", "));
    }
    Ok(())
}

/// Runs a suite, or what `arguments` choose of it. The tests that failed.
fn failures(
    suite: &str,
    arguments: &[&str],
    variables: &[(&str, std::ffi::OsString)],
) -> Result<Vec<String>> {
    let mut cargo = command::cargo();
    cargo
        .args(["test", "--package", "meshtap-tests", "--test", suite, "--"])
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    judge(&mut cargo)
}

/// Shows what a test program writes, and keeps the names of what failed.
fn judge(tests: &mut Command) -> Result<Vec<String>> {
    let shown = command::describe(tests);
    eprintln!("+ {shown}");
    let mut child = tests
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let mut failed = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        println!("{line}");
        failed.extend(failure(&line).map(str::to_owned));
    }
    let status = child.wait()?;
    if status.success() != failed.is_empty() {
        bail!("{shown}: {status}, and {} tests failed", failed.len());
    }
    Ok(failed)
}

/// The test that failed, if the line says that one did.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::{failure, judge};
    use std::process::Command;

    #[track_caller]
    fn check(script: &str, expected: Option<&[&str]>) {
        let found = judge(Command::new("sh").args(["-c", script])).ok();
        let found = found
            .as_ref()
            .map(|names| names.iter().map(String::as_str).collect());
        assert_eq!(found, expected.map(<[&str]>::to_vec), "{script}");
    }

    #[test]
    fn names_of_failures() {
        check("echo test a::b ... ok", Some(&[]));
        check("echo test a::b ... FAILED; exit 101", Some(&["a::b"]));
        // A program that did not come to its end, and one that says two things.
        check("echo test a::b ... ok; kill -SEGV $$", None);
        check("echo test a::b ... FAILED", None);
        assert_eq!(failure("test result: FAILED. 1 passed"), None);
    }
}
