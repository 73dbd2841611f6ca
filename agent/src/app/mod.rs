//! Wires everything: starts the parts, hands what one makes to the next, and ends them in order. A
//! part that waits for something of its own (a disk, a collector, the Kubernetes API, a browser)
//! starts its own thread.
//!
//! ```text
//! data thread:    source ─► engine ─► queue        never waits
//! output thread:           queue ─► filters ─► process ─► format ─► stdout
//! beside them:    process look-ups, the recording's disk, signals, programs with TLS
//! ```

mod archive;
mod check;
mod configure;
mod connections;
mod control;
mod enrich;
mod explain;
mod feed;
mod import;
mod looking;
mod lookup;
mod metered;
mod output;
mod outputs;
mod own;
mod page;
mod pids;
mod pipeline;
mod privileges;
mod programs;
mod progress;
mod queue;
mod replay;
mod run;
mod screen;
mod service;
mod settings;
mod signals;
mod stop;
mod takeover;
mod tap;
mod top;
mod totals;
mod usage;
mod waiting;
mod worker;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use thiserror::Error;
use tracing::Level;

use crate::capture::kernel::CaptureError;
use crate::capture::record::RecordError;
use crate::cli::{Cli, Command};
use crate::plural::counted;
use crate::policy::PolicyError;
use crate::redact::{GateError, RedactError};

/// What libraries have to say goes to stderr as what the agent says.
#[derive(Clone, Copy, Debug, Default)]
struct Said;

impl io::Write for Said {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        say(&String::from_utf8_lossy(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the BPF programs, their loader and the exporters have to say goes to stderr.
fn diagnostics(verbose: bool) {
    let level = if verbose { Level::DEBUG } else { Level::WARN };
    // Fails when there is a subscriber already, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Said)
        .with_ansi(false)
        .try_init();
}

/// Why a command ends with a non-zero exit code. One sentence each, and what to do about it.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("{}: {error}", path.display())]
    Recording { path: PathBuf, error: RecordError },
    #[error("{}: {error} (read so far: {}, shown above)", path.display(), counted(*events, "event"))]
    CutRecording {
        path: PathBuf,
        events: u64,
        error: String,
    },
    #[error("{} cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "{} is neither a meshtap recording (`meshtap tap --record`) nor a packet capture (pcap, pcapng); a HAR document is imported by the page (`meshtap tap --web`)",
        .0.display()
    )]
    Unknown(PathBuf),
    #[error("{}: {error} (read so far: {}, shown above)", path.display(), counted(*packets, "packet"))]
    CutPackets {
        path: PathBuf,
        packets: u64,
        error: io::Error,
    },
    #[error("{} cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("{} is not written to: {reason}", path.display())]
    Refused {
        path: PathBuf,
        reason: crate::files::Refused,
    },
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    #[error("{0}")]
    Source(io::Error),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Redact(#[from] RedactError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    #[error("{0}")]
    Setting(String),
    /// Arguments that contradict each other, or what they are given to.
    #[error("{0}")]
    Usage(String),
    #[error("not everything was delivered: {0}")]
    Undelivered(String),
    #[error(
        "the agent that took over from this one has ended, and this one was not asked to: it ends with an error so that it is started again"
    )]
    Alone,
    #[error("cgroups cannot be followed: {0}")]
    Workloads(io::Error),
    #[error("delivery cannot be started: {0}")]
    Export(io::Error),
    #[error("capabilities cannot be dropped: {0}")]
    Privileges(io::Error),
    #[error("the kernel gives no random numbers: {0}")]
    Random(io::Error),
    #[error("a thread cannot be started or has ended early: {0}")]
    Thread(io::Error),
}

impl Failure {
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) | Self::Write { error, .. }
            if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Runs a command; its exit code. Errors go to stderr.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    privileges::harden();
    let captures = !matches!(cli.command, Command::Replay(_) | Command::Config(_));
    if captures && let Err(reason) = privileges::can_open_enough() {
        say(&format!("meshtap: {reason}\n"));
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        Command::Tap(args) => tap::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Run(args) => service::run(&args),
        Command::Config(args) => configure::run(&args.command),
        Command::Check(args) => return check::run(&args),
        Command::Explain(args) => explain::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who closed the other end of a pipe has read what they wanted.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("meshtap: {failure}\n"));
            match failure {
                // As for arguments that cannot be read.
                Failure::Refused { .. } | Failure::Usage(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Writes to stderr, once no screen has the terminal. That it may be closed is nobody's concern.
fn say(text: &str) {
    if screen::hold(text) {
        return;
    }
    progress::beside(|| {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    });
}

#[cfg(test)]
mod tests;
