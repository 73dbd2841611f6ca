//! The only entry a person needs: set up, build, run, test, lint, boot other kernels, measure.

mod cache;
mod command;
mod demo;
mod fuzz;
mod lint;
mod packages;
mod run;
mod test;
mod tidy;
mod vm;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Set up, build, run, test, lint, boot other kernels, measure"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up, build and run `meshtap tap`
    Run(run::Options),
    /// Set up, build and run every test
    Test(test::Options),
    /// Fuzz the parsers
    Fuzz(fuzz::Options),
    /// Format, clippy, house rules, dependencies
    Lint,
    /// The house rules alone
    Tidy,
    /// Attach and capture on other kernels, under QEMU
    Vm(vm::Options),

    #[command(name = demo::SUBCOMMAND, hide = true)]
    DemoTraffic { parent: u32 },
}

/// What a build leaves.
struct Built {
    program: PathBuf,
    ebpf: PathBuf,
}

fn build_release() -> Result<Built> {
    anyhow::bail!("no build yet")
}

fn build_static() -> Result<PathBuf> {
    anyhow::bail!("no build yet")
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Lint => lint::run(),
        Task::Tidy => tidy::run(),
        Task::Vm(options) => vm::run(&options),

        Task::DemoTraffic { parent } => demo::run(parent),
    }
}
