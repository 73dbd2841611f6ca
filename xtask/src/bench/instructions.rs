//! Instructions that the pipeline takes for an exchange, counted by valgrind, which needs no
//! counters of the processor's: virtual machines seldom have them. The same on every run, so a
//! change of a hundredth can be seen.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// Exchanges of the longer and of the shorter run. What the two have in common, such as making the
/// recording's first connections and starting, is no part of the difference; making the exchanges'
/// own bytes is, and is counted by itself.
const RUNS: [u64; 2] = [6_000, 2_000];

/// Prints instructions per exchange for bodies of 1 KB and 4 KB.
pub(super) fn run() -> Result<()> {
    if command::find("valgrind").is_none() {
        eprintln!(
            "instructions are not counted: there is no valgrind (`apt-get install valgrind`)"
        );
        return Ok(());
    }
    let program = program()?;
    for body in [1024, 4096] {
        let made = per_exchange(&program, body, "none")?;
        let mut before = made;
        for step in ["engine", "policy", "span", "otlp"] {
            let all = per_exchange(&program, body, step)?;
            println!(
                "{body:>5} B bodies, to {step:<6}  {:>7.0} instructions each, {:>6.0} of them here",
                all - made,
                all - before
            );
            before = all;
        }
    }
    Ok(())
}

/// The bench's program, as cargo names it.
fn program() -> Result<PathBuf> {
    let output = command::output(command::cargo().args([
        "bench",
        "--package",
        "meshtap",
        "--bench",
        "pipeline",
        "--no-run",
        "--message-format",
        "json",
    ]))?;
    let executable = output
        .lines()
        // The agent itself is built too, and named.
        .filter(|line| line.contains("\"kind\":[\"bench\"]"))
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .next_back();
    executable
        .map(PathBuf::from)
        .context("cargo names no program")
}

fn per_exchange(program: &Path, body: u32, step: &str) -> Result<f64> {
    let [more, fewer] = RUNS;
    let difference =
        instructions(program, body, step, more)? - instructions(program, body, step, fewer)?;
    Ok(difference / (more - fewer) as f64)
}

fn instructions(program: &Path, body: u32, step: &str, exchanges: u64) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .env("MESHTAP_BENCH_EXCHANGES", exchanges.to_string())
        .env("MESHTAP_BENCH_BODY", body.to_string())
        .env("MESHTAP_BENCH_STEP", step)
        .output()
        .context("valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.with_context(|| format!("valgrind counted nothing: {said}"))
}
