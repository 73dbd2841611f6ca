//! `cargo xtask fuzz`: runs the targets of `agent/fuzz` under libFuzzer.
//!
//! cargo-fuzz is not needed: what it does is a nightly build with coverage instrumentation and
//! AddressSanitizer (the flags below; see the LLVM manual, "libFuzzer" and "SanitizerCoverage"),
//! and running what comes out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command;
use crate::progress::Step;

const TOOLCHAIN: &str = "nightly";
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions";
/// Inputs longer than this find little that shorter ones do not, and slow the rest down.
const MAX_INPUT: usize = 16 * 1024;

/// What `cargo xtask fuzz` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Only this target
    #[arg(long)]
    target: Option<String>,
    /// Seconds that each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What keeps it from fuzzing is an error, not a warning
    #[arg(long)]
    require: bool,
}

impl Options {
    /// A short run of every target, as part of the tests.
    pub fn brief(time: Duration) -> Self {
        Self {
            target: None,
            seconds: time.as_secs(),
            require: false,
        }
    }
}

/// Builds the targets and runs each.
pub fn run(options: &Options) -> Result<()> {
    let package = command::workspace().join("agent/fuzz");
    if !package.join("Cargo.toml").exists() {
        return skip(
            options,
            &format!("there are no targets in {}", package.display()),
        );
    }
    let targets = targets(&package)?;
    let targets: Vec<&String> = targets
        .iter()
        .filter(|name| options.target.as_ref().is_none_or(|only| only == *name))
        .collect();
    if targets.is_empty() {
        bail!(
            "no fuzz target {:?} in {}",
            options.target,
            package.display()
        );
    }
    if let Err(error) =
        command::output(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "-V"]))
    {
        let needed = format!(
            "it needs a nightly toolchain (rustup toolchain install {TOOLCHAIN}): {error:#}"
        );
        return skip(options, &needed);
    }
    let folder = build(&package, &targets)?;
    for target in targets {
        fuzz(&package, &folder, target, options.seconds)?;
    }
    Ok(())
}

/// Says loudly that nothing was fuzzed; fails when that was asked for.
fn skip(options: &Options, reason: &str) -> Result<()> {
    if options.require {
        bail!("cannot fuzz: {reason}");
    }
    eprintln!("warning: FUZZING SKIPPED: {reason}");
    Ok(())
}

/// The names of the package's binaries.
fn targets(package: &Path) -> Result<Vec<String>> {
    let manifest = package.join("Cargo.toml");
    let metadata = command::output(
        command::cargo()
            .args([
                "metadata",
                "--format-version=1",
                "--no-deps",
                "--offline",
                "--manifest-path",
            ])
            .arg(&manifest),
    )?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?;
    let binaries = packages
        .iter()
        .filter(|package| package["manifest_path"].as_str().map(Path::new) == Some(&manifest))
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str().map(str::to_owned));
    Ok(binaries.collect())
}

fn host() -> Result<String> {
    let version = command::output(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Builds these targets; gives the folder that they are in.
fn build(package: &Path, targets: &[&String]) -> Result<PathBuf> {
    let host = host()?;
    let target = command::target().join("fuzz");
    eprintln!("building {} fuzz targets", targets.len());
    command::run(
        Command::new("rustup")
            .args([
                "run",
                TOOLCHAIN,
                "cargo",
                "build",
                "--release",
                "--target",
                &host,
            ])
            .args(targets.iter().flat_map(|name| ["--bin", name.as_str()]))
            .arg("--target-dir")
            .arg(&target)
            .current_dir(package)
            // What this process was given by its own cargo is of another toolchain.
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTFLAGS", FLAGS),
    )?;
    Ok(target.join(host).join("release"))
}

fn fuzz(package: &Path, folder: &Path, target: &str, seconds: u64) -> Result<()> {
    let corpus = package.join("corpus").join(target);
    let artifacts = package.join("artifacts").join(target);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let mut fuzzer = Command::new(folder.join(target));
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_INPUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(&corpus);
    // Checked-in inputs, when the target has some.
    let seeds = match target {
        "replay" => command::workspace().join("tests/recordings"),
        _ => package.join("seeds").join(target),
    };
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    eprintln!("fuzzing {target} for {seconds} s");
    let step = Step::lasting(format!("fuzzing {target}"), Duration::from_secs(seconds));
    let output = fuzzer
        .output()
        .with_context(|| format!("cannot start the fuzz target {target}"))?;
    drop(step);
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("fuzz target {target} failed ({}):\n{log}", output.status);
    }
    let stat = |name: &str| {
        log.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or("?")
            .trim()
    };
    let coverage = log.lines().rev().find_map(coverage).unwrap_or("?");
    eprintln!(
        "fuzzing {target}: {} executions, {} a second, {coverage} edges covered, no failure",
        stat("stat::number_of_executed_units:"),
        stat("stat::average_exec_per_sec:"),
    );
    Ok(())
}

/// The count after `cov:` in a line of libFuzzer's.
fn coverage(line: &str) -> Option<&str> {
    line.split_once(" cov: ")?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_read_from_libfuzzers_lines() {
        let line =
            "#2097152\tpulse  cov: 812 ft: 3011 corp: 402/31Kb lim: 4096 exec/s: 190650 rss: 402Mb";
        assert_eq!(coverage(line), Some("812"));
        assert_eq!(coverage("Done 12 runs in 6 second(s)"), None);
    }
}
