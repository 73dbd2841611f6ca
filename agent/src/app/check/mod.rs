//! `meshtap check`: what this machine can do, and what it lacks.
//!
//! Each row has two parts: what was found, by the functions of `gather`, and what that means, by
//! pure functions beside their tests.

mod gather;
mod kernel;
mod node;
mod outside;
mod row;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use super::{Failure, configure, say};
use crate::cli::CheckArgs;
use row::Row;

/// Nothing can be captured, or nothing can be said.
const NOTHING: u8 = 2;

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    match rows(args).and_then(|rows| print(args, &rows).map(|()| rows)) {
        Ok(rows) => ExitCode::from(row::exit_code(&rows)),
        Err(failure) => {
            say(&format!("meshtap: {failure}\n"));
            if args.json {
                // Whether it can be written or not, the exit code says that nothing is known.
                let report = row::no_json(&failure.to_string(), NOTHING);
                let _ = writeln!(std::io::stdout(), "{report:#}");
            }
            ExitCode::from(NOTHING)
        }
    }
}

fn print(args: &CheckArgs, rows: &[Row]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = match args.json {
        true => writeln!(out, "{:#}", row::json(rows)),
        false => out.write_all(row::table(rows).as_bytes()),
    };
    match written {
        // Who reads no further has what they want.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::Output),
    }
}

fn rows(args: &CheckArgs) -> Result<Vec<Row>, Failure> {
    let config = configure::load(&args.run())?;
    let has_rights = gather::capabilities()?;
    let mut rows = kernel::rows(&gather::kernel(&config), &config, has_rights);
    rows.extend(node::rows(&gather::node(&config), &config));
    rows.extend(outside::api(&gather::api(&config)?, &config.kubernetes));
    for (name, greeting) in gather::collectors(&config)? {
        rows.push(outside::collector(&name, &greeting));
    }
    Ok(rows)
}
