//! The `meshtap` binary: arguments, then [`meshtap::app`].

use std::process::ExitCode;

use clap::Parser as _;
use meshtap::cli::Cli;
use mimalloc::MiMalloc;

/// An exchange is made of a dozen allocations on one thread and freed on another: with the system's
/// allocator they take a fifth of the pipeline's time (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    meshtap::app::run(Cli::parse())
}
