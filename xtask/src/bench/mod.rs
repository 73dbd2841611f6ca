//! `cargo xtask bench`: figures, taken the same way each time.

mod all;
mod attack;
mod bpf;
mod budget;
mod cgroup;
mod collector;
mod export;
mod growth;
mod h2load;
mod idle;
mod instructions;
mod neighbour;
mod nginx;
mod observer;
mod ordinary;
mod pipeline;
mod process;
mod service;

mod soak;
mod socket;
mod tls;
mod wrk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{build, command};

pub use soak::Options as SoakOptions;
pub use soak::run as soak;

/// What `cargo xtask bench` takes.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Everything that one machine can measure, as a table
    All(all::Options),
    /// nginx under load, with and without capture
    Socket(socket::Options),
    /// `meshtap run` at a rate that the server bears easily
    Ordinary(ordinary::Options),
    /// A server's throughput while another pod attacks, with and without capture
    Neighbour(neighbour::Options),
    /// One attack, until it is killed
    #[command(hide = true)]
    Attack { what: attack::Attack },
    /// `meshtap run` where nothing happens
    Idle(idle::Options),
    /// Nanoseconds that the BPF programs take for an exchange
    Bpf(bpf::Options),
    /// An Envoy that terminates TLS, read or not, and with a filter in Lua
    Tls(tls::Options),
    /// Whether more connections, bytes or pods cost an exchange more
    Growth(growth::Options),
    /// Instructions per exchange of the user-space pipeline, against their budget
    Instructions(instructions::Options),
    /// Our exporter of spans beside the library's
    Export(export::Options),
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
        What::All(options) => all::run(options),
        What::Socket(options) => socket::run(options),
        What::Ordinary(options) => ordinary::run(options),
        What::Neighbour(options) => neighbour::run(options),
        What::Attack { what } => what.run(),
        What::Idle(options) => idle::run(options),
        What::Bpf(options) => bpf::run(options),
        What::Tls(options) => tls::run(options),
        What::Growth(options) => growth::run(options),
        What::Instructions(options) => instructions::run(options),
        What::Export(options) => export::run(options),
        What::Pipeline { arguments } => {
            command::run(
                command::cargo()
                    .args(["bench", "--package", "meshtap", "--bench", "pipeline", "--"])
                    .args(arguments),
            )?;
            instructions::show()
        }
    }
}

/// The agent that is measured: the one that was named, or one that is built now.
fn agent(named: Option<&Path>) -> Result<PathBuf> {
    if !command::is_root() {
        bail!("capturing needs root");
    }
    match named {
        Some(agent) => Ok(agent.to_owned()),
        None => Ok(build::build(build::Options::RELEASE)?.program),
    }
}

/// A folder for what a bench writes.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = command::target().join("bench").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Sends a signal by name.
fn signal(process: &Child, name: &str) -> Result<()> {
    command::output(Command::new("kill").args(["-s", name, &process.id().to_string()])).map(drop)
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => f64::NAN,
        _ if sorted.len() % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Median, least and most.
fn spread(values: &[f64]) -> Value {
    json!({
        "median": median(values),
        "least": values.iter().copied().fold(f64::NAN, f64::min),
        "most": values.iter().copied().fold(f64::NAN, f64::max),
    })
}

/// The spread of each member of like objects.
fn spreads(rows: &[Value]) -> Value {
    let names = rows.first().and_then(Value::as_object);
    let spread = |name: &String| {
        let values: Vec<f64> = rows.iter().filter_map(|row| row[name].as_f64()).collect();
        (name.clone(), spread(&values))
    };
    let members: Map<String, Value> = names.into_iter().flat_map(Map::keys).map(spread).collect();
    Value::Object(members)
}

/// The numbers of an array.
fn numbers(array: &Value) -> Vec<f64> {
    let values = array.as_array().into_iter().flatten();
    values.filter_map(Value::as_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_spread_has_its_ends() {
        let rows = [json!({"a": 3.0}), json!({"a": 1.0}), json!({"a": 7.0})];
        let expected = json!({"a": {"median": 3.0, "least": 1.0, "most": 7.0}});
        assert_eq!(spreads(&rows), expected);
    }
}
