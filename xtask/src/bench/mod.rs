//! `cargo xtask bench`: figures, taken the same way each time.

mod instructions;
mod nginx;
mod observer;
mod socket;
mod wrk;

use std::process::{Child, Command};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::command;

/// What `cargo xtask bench` takes.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// nginx under load, with and without capture
    Socket(socket::Options),
    /// The user-space pipeline alone, from memory
    Pipeline {
        /// Given to the bench as they are
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// Measures one thing.
pub fn run(options: &Options) -> Result<()> {
    match &options.what {
        What::Socket(options) => socket::run(options),
        What::Pipeline { arguments } => {
            command::run(
                command::cargo()
                    .args(["bench", "--package", "meshtap", "--bench", "pipeline", "--"])
                    .args(arguments),
            )?;
            instructions::run()
        }
    }
}

/// Sends a signal by name.
fn signal(process: &Child, name: &str) -> Result<()> {
    command::output(Command::new("kill").args(["-s", name, &process.id().to_string()])).map(drop)
}
