//! `cargo xtask lint`: format, clippy on every crate, the house rules, what is made of something
//! else, and what is depended on.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use meshtap_parts::cache;

use crate::{command, generate, tidy};

/// Pinned: another version may find other things.
const CARGO_DENY: &str = "0.20.2";

/// Runs every check; the quick ones first.
pub fn run() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run(tidy::Options::default())?;
    let clippy = |arguments: &[&str]| {
        let mut command = command::cargo();
        command
            .arg("clippy")
            .args(arguments)
            .args(["--", "-D", "warnings"]);
        command
    };
    command::run(&mut clippy(&[
        "--workspace",
        "--exclude",
        "meshtap-ebpf",
        "--all-targets",
        "--features=meshtap-tests/kubernetes",
    ]))?;
    // For the host, where it needs no toolchain of its own.
    command::run(&mut clippy(&["--package", "meshtap-ebpf"]))?;
    // As the fuzz targets have it: without what the agent alone needs.
    command::run(&mut clippy(&[
        "--package",
        "meshtap",
        "--lib",
        "--no-default-features",
        "--features=redact",
    ]))?;
    generate::run(generate::Options { check: true })?;
    dependencies()
}

fn dependencies() -> Result<()> {
    let program = match cargo_deny() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("warning: DEPENDENCIES NOT CHECKED (deny.toml): no cargo-deny: {error:#}");
            return Ok(());
        }
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&program);
        command
            .current_dir(command::workspace())
            .args([
                "--log-level",
                "error",
                "--all-features",
                "check",
                "--hide-inclusion-graph",
            ])
            .args(what);
        command
    };
    command::run(&mut check(&["licenses", "bans", "sources"]))?;
    // The advisories live in a git repository that not every machine can reach: fetch first, so
    // that "cannot fetch" and "found something" are not confused.
    let fetched = command::output(
        Command::new(&program)
            .current_dir(command::workspace())
            .args(["fetch", "db"]),
    );
    match fetched {
        Ok(_) => command::run(&mut check(&["--disable-fetch", "advisories"])),
        Err(error) => {
            eprintln!("warning: ADVISORIES NOT CHECKED: {error:#}");
            Ok(())
        }
    }
}

/// cargo-deny: the machine's own, else one in the cache, built there once.
fn cargo_deny() -> Result<PathBuf> {
    if let Some(program) = command::find("cargo-deny") {
        return Ok(program);
    }
    let root = cache::folder("tools")?.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        command::run(
            command::cargo()
                .args(["install", "cargo-deny", "--locked", "--no-default-features"])
                .args(["--version", CARGO_DENY, "--root"])
                .arg(&root)
                // Not into the workspace's target folder: what is left of the build is of no use
                // there.
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    Ok(program)
}
