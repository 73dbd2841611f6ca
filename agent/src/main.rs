//! The `meshtap` binary: arguments, then [`meshtap::app`].

use std::process::ExitCode;

use clap::Parser as _;
use meshtap::cli::Cli;

fn main() -> ExitCode {
    meshtap::app::run(Cli::parse())
}
