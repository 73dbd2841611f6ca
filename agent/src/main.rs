//! The `meshtap` binary: arguments, then [`meshtap::app`].

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use meshtap::cli::Cli;
use mimalloc::MiMalloc;

/// An exchange is made of a dozen allocations on one thread and freed on another: with the system's
/// allocator they take a fifth of the pipeline's time (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => meshtap::app::run(cli),
        Err(error) => explain(&error),
    }
}

/// Prints what clap has to say: an error, or what was asked for with `--help` or `--version`.
fn explain(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    match error.print().and_then(|()| io::stdout().flush()) {
        Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
