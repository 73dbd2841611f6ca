//! `cargo xtask run`: from a fresh clone to lines on the terminal.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{build, command, demo};

/// What `cargo xtask run` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Send sample traffic on loopback while meshtap runs, so that there is something to see
    #[arg(long)]
    demo: bool,
    /// Given to `meshtap tap` as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sets up, builds, and becomes `meshtap tap`: Ctrl-C and the exit status are its own.
pub fn run(options: &Options) -> Result<()> {
    let agent = build::build(build::Options::RELEASE)?;
    let mut tap = if command::is_root() {
        Command::new(&agent.program)
    } else {
        if command::find("sudo").is_none() {
            bail!("capturing needs root, and there is no sudo here: run `cargo xtask run` as root");
        }
        let mut sudo = Command::new("sudo");
        sudo.arg(&agent.program);
        sudo
    };
    tap.arg("tap").args(&options.arguments);
    if options.demo {
        demo::start()?;
    }
    eprintln!("+ {}", command::describe(&tap));
    Err(tap.exec()).with_context(|| format!("cannot start {}", command::describe(&tap)))
}
