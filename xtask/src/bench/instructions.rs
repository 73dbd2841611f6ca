//! Instructions that the pipeline takes for an exchange, counted by valgrind, which needs no
//! counters of the processor's: virtual machines seldom have them. The same on every run, so a
//! change of a hundredth can be seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::budget::{self, Budget, Place};
use crate::{command, packages};

/// Exchanges of the longer and of the shorter run, with bodies of a few KB. What the two have in
/// common, such as making the recording's first connections and starting, is no part of the
/// difference; making the exchanges' own bytes is, and is counted by itself.
const RUNS: [u64; 2] = [4_000, 2_000];
/// The same for larger bodies, each of which takes as long as some dozen small ones.
const LARGE_RUNS: [u64; 2] = [512, 256];
/// A body that is large.
const LARGE: u32 = 16 * 1024;

/// What is counted: protocol and size of the two bodies together.
const CASES: [(&str, u32); 4] = [("h1", 1024), ("h1", 4096), ("h1", 64 * 1024), ("h2", 1024)];

/// The steps, each with that before it: metrics are made beside the others.
const STEPS: [[&str; 2]; 6] = [
    ["engine", "none"],
    ["metrics", "engine"],
    ["policy", "engine"],
    ["span", "policy"],
    ["otlp", "span"],
    [UNBUDGETED, "otlp"],
];
/// What metrics add to the whole is less than what OTLP differs by from run to run.
const UNBUDGETED: &str = "both";

/// What `cargo xtask bench instructions` takes.
#[derive(clap::Args, Debug, Default)]
pub struct Options {
    /// Write what was counted as the new budget, instead of comparing
    #[arg(long)]
    update: bool,
    /// Only cases whose name holds this: `h1 1024`
    #[arg(long, conflicts_with = "update")]
    only: Option<String>,
}

/// Prints instructions per exchange, where there is a valgrind.
pub(super) fn show() -> Result<()> {
    if command::find("valgrind").is_none() {
        eprintln!(
            "instructions are not counted: there is no valgrind (`apt-get install valgrind`)"
        );
        return Ok(());
    }
    count(None, None).map(drop)
}

/// Counts, and fails when a step takes more than its budget.
pub(super) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::COUNT)?;
    let file = budget::file();
    if options.update {
        let counted = count(None, None)?;
        fs::write(&file, counted.to_string())?;
        println!("written: {}", file.display());
        return Ok(());
    }
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let budget = Budget::parse(&text).with_context(|| file.display().to_string())?;
    let counted = count(options.only.as_deref(), Some(&budget))?;
    let over = budget.exceeded_by(&counted);
    if !over.is_empty() {
        bail!(
            "over the budget of {}:\n{}\nIf it has to be: `cargo xtask bench instructions --update`, and say why in the commit",
            file.display(),
            over.join("\n")
        );
    }
    Ok(())
}

/// Counts and prints what each step takes.
fn count(only: Option<&str>, budget: Option<&Budget>) -> Result<Budget> {
    let program = program("pipeline")?;
    let mut counted = Budget::default();
    for (protocol, body) in CASES {
        if only.is_some_and(|only| !format!("{protocol} {body}").contains(only)) {
            continue;
        }
        let case = Case {
            program: &program,
            protocol,
            body,
            environment: &[],
        };
        let runs = case.runs();
        let made = case.per_exchange("none", runs)?;
        let mut totals = BTreeMap::from([("none", made)]);
        for [step, before] in STEPS {
            let all = case.per_exchange(step, runs)?;
            let here = all - totals.get(before).copied().unwrap_or(made);
            totals.insert(step, all);
            let place = Place::new(protocol, body, step);
            let allowed = budget.and_then(|budget| budget.get(&place));
            println!(
                "{protocol} {body:>5} B bodies, to {step:<7}  {:>8.0} instructions each, {here:>8.0} of them here{}",
                all - made,
                allowed.map_or(String::new(), |allowed| format!(" (budget {allowed})")),
            );
            if step != UNBUDGETED {
                counted.set(place, here.max(0.0).round() as u64);
            }
        }
    }
    Ok(counted)
}

/// A bench's program, as cargo names it.
pub(super) fn program(bench: &str) -> Result<PathBuf> {
    let output = command::output(command::cargo().args([
        "bench",
        "--package",
        "meshtap",
        "--bench",
        bench,
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

/// One run of the bench's program.
pub(super) struct Case<'a> {
    pub(super) program: &'a Path,
    pub(super) protocol: &'static str,
    pub(super) body: u32,
    /// What it is given besides.
    pub(super) environment: &'a [(&'static str, String)],
}

impl Case<'_> {
    const fn runs(&self) -> [u64; 2] {
        match self.body >= LARGE {
            true => LARGE_RUNS,
            false => RUNS,
        }
    }

    /// The difference of two runs, for each exchange that one has more.
    pub(super) fn per_exchange(&self, step: &str, [more, fewer]: [u64; 2]) -> Result<f64> {
        let difference = self.instructions(step, more)? - self.instructions(step, fewer)?;
        Ok(difference / (more - fewer) as f64)
    }

    fn instructions(&self, step: &str, exchanges: u64) -> Result<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(self.program)
            .env("MESHTAP_BENCH_EXCHANGES", exchanges.to_string())
            .env("MESHTAP_BENCH_BODY", self.body.to_string())
            .env("MESHTAP_BENCH_PROTOCOL", self.protocol)
            .env("MESHTAP_BENCH_STEP", step)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .context("valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let counted = said
            .lines()
            .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        counted.with_context(|| format!("valgrind counted nothing: {said}"))
    }
}
