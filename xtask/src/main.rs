//! The only entry a person needs: set up, build, run, test, lint, boot other kernels, measure.

mod bench;
mod build;
mod certificate;
mod cluster;
mod command;
mod demo;
mod fuzz;
mod generate;
mod image;
mod lint;
mod live;
mod package;
mod packages;
mod progress;
mod python;
mod run;
mod setup;
mod test;
mod tidy;
mod toolchain;
mod vm;

use std::process::ExitCode;

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
    /// Install what builds the kernel programs, where it is missing
    Setup,
    /// Set up and build `meshtap`
    Build(build::Options),
    /// Set up, build and run `meshtap tap`
    Run(run::Options),
    /// Set up, build and run every test
    Test(test::Options),
    /// Fuzz the parsers
    Fuzz(fuzz::Options),
    /// Format, clippy, house rules, dependencies
    Lint,
    /// Write what is made of something else: the values' schema, manifests, configuration reference
    Generate(generate::Options),
    /// The house rules alone
    Tidy(tidy::Options),
    /// Attach and capture on other kernels, under QEMU
    Vm(vm::Options),
    /// Build the container image
    Image(image::Options),
    /// Build the Debian package and the archive for a host
    Package(package::Options),
    /// A real Kubernetes of one node, and the tests that run on it
    Cluster(cluster::Options),
    /// Measure
    Bench(bench::Options),
    /// Run the agent for long under all kinds of load, and see that nothing grows or is lost
    Soak(bench::SoakOptions),
    #[command(name = demo::SUBCOMMAND, hide = true)]
    DemoTraffic { parent: u32 },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::run(),
        Task::Build(options) => build::run(options),
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Lint => lint::run(),
        Task::Generate(options) => generate::run(options),
        Task::Tidy(options) => tidy::run(options),
        Task::Vm(options) => vm::run(&options),
        Task::Image(options) => image::run(&options),
        Task::Package(options) => package::run(&options),
        Task::Cluster(options) => cluster::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Soak(options) => bench::soak(&options),
        Task::DemoTraffic { parent } => demo::run(parent),
    }
}
