//! `cargo xtask test`: everything that a machine can try, from nothing installed to the last test's
//! verdict.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::{build, command, fuzz, live, packages, python, tidy};

/// What `cargo xtask test` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Seconds that each fuzz target runs before the tests; 0 leaves fuzzing out
    /// (`cargo xtask fuzz` does it alone)
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    fuzz: u64,
    /// Only what needs no root, no eBPF toolchain and no servers: house rules, units, recordings
    #[arg(long, conflicts_with = "arguments")]
    quick: bool,
    /// Only the BPF programs on the running kernel, with sockets on loopback: root, and no servers
    #[arg(long, conflicts_with_all = ["quick", "arguments"])]
    kernel: bool,
    /// Only the suites with real servers, clients and lossy links: root. A test that fails runs
    /// again alone, and fails the run at the third failure
    #[arg(long, conflicts_with_all = ["quick", "kernel", "arguments"])]
    live: bool,
    /// Test the program without shared libraries, as images and virtual machines have it
    #[arg(long = "static", conflicts_with = "quick")]
    is_static: bool,
    /// Also those at a real API server, which is built from source the first time
    #[arg(long, conflicts_with = "quick")]
    kubernetes: bool,
    /// Given to `cargo test` as they are: `cargo xtask test -- stream::` runs the tests whose
    /// names hold `stream::`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Has `cargo test` build the tests at an API server.
const KUBERNETES: &str = "--features=meshtap-tests/kubernetes";

/// Sets up, builds, fuzzes for a moment and runs every test. What `cargo test` says comes last.
pub fn run(options: &Options) -> Result<()> {
    if options.quick {
        return quick();
    }
    if options.kernel {
        return kernel();
    }
    let agent = build::build(if options.is_static {
        build::Options::STATIC
    } else {
        build::Options::RELEASE
    })?;
    let programs = packages::ensure(packages::TEST);
    let python = python::ensure();
    // Large, and of use to them alone.
    let chosen = &options.arguments;
    let wants_page = !options.live && (chosen.is_empty() || chosen.iter().any(|a| a == "page"));
    let browser = match wants_page {
        true => packages::ensure(packages::PAGE),
        false => Ok(()),
    };
    let missing = [&programs, &browser].map(|found| found.as_ref().err());
    let missing = missing.into_iter().chain([python.as_ref().err()]);
    for error in missing.flatten() {
        if std::env::var_os("CI").is_some() {
            bail!("{error:#}");
        }
        eprintln!(
            "warning: {error:#}\nwarning: tests that need them will fail or say that they were skipped"
        );
    }
    if !command::is_root() {
        eprintln!("warning: not root: tests that capture are skipped, and say so");
    }
    let mut variables = vec![
        ("MESHTAP_BIN", agent.program.into_os_string()),
        ("MESHTAP_EBPF", agent.ebpf.into_os_string()),
    ];
    let python = python.ok().map(PathBuf::into_os_string);
    variables.extend(python.map(|python| ("MESHTAP_PYTHON", python)));
    if options.live {
        return live::run(&variables);
    }
    // A run of chosen tests is somebody waiting for them.
    if options.fuzz > 0 && options.arguments.is_empty() {
        fuzz::run(&fuzz::Options::brief(Duration::from_secs(options.fuzz)))?;
    }
    let mut tests = command::cargo();
    tests
        .args(["test", "--workspace", "--exclude", "meshtap-ebpf"])
        // One run shows everything that is wrong.
        .arg("--no-fail-fast")
        .args(options.kubernetes.then_some(KUBERNETES))
        .args(&options.arguments)
        .envs(variables);
    command::run(&mut tests)
}

/// The programs as they are loaded, and what they give of sockets.
fn kernel() -> Result<()> {
    let ebpf = build::bpf_programs()?;
    let mut tests = command::cargo();
    tests
        .args(["test", "--package", "meshtap", "--test", "capture"])
        .env("MESHTAP_EBPF", ebpf);
    command::run(&mut tests)
}

/// The inner loop: what finds most bugs in the least time.
fn quick() -> Result<()> {
    tidy::run(tidy::Options::default())?;
    const RUNS: &[&[&str]] = &[
        &[
            "--package",
            "meshtap",
            "--lib",
            "--test",
            "recording",
            "--test",
            "leaks",
            "--test",
            "docs",
        ],
        &["--package", "meshtap-common", "--package", "xtask"],
        // The rest of the replay tests makes its recordings live.
        &[
            "--package",
            "meshtap-tests",
            "--test",
            "replay",
            "conformance::",
        ],
    ];
    for arguments in RUNS {
        command::run(command::cargo().args(["test", "--quiet"]).args(*arguments))?;
    }
    Ok(())
}
