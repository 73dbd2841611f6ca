//! `cargo xtask bench all`: every figure that one machine can give, in one table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use anyhow::Result;
use serde_json::Value;

use super::{bpf, idle, ordinary, pipeline, socket};
use crate::{command, packages};

/// What `cargo xtask bench all` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Runs of each row, and pairs of neighbours
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One short run of each: shows that they work, and measures nothing
    #[arg(long)]
    quick: bool,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// One row of the table.
struct Row {
    what: String,
    unit: &'static str,
    /// Middle, least, most.
    values: [f64; 3],
}

/// Measures everything; the table is printed, and in the folder of the benches.
pub(super) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BENCH)?;
    let agent = super::agent(options.agent.as_deref())?;
    let (rounds, seconds, watched) = match options.quick {
        true => (1, 1, 2),
        false => (options.rounds, 5, 60),
    };
    let mut rows = Vec::new();
    for figure in pipeline::measure(rounds)? {
        rows.push(figure.into());
    }
    let figures = bpf::measure(&agent, rounds, seconds)?;
    for (end, figures) in figures.as_object().into_iter().flatten() {
        for part in ["both", "ingress", "egress"] {
            let what = format!("BPF programs, an exchange at a {end} end, {part}");
            rows.push(Row::new(what, "ns", &figures[part]));
        }
    }
    rows.extend(flat_out(&agent, rounds, seconds)?);
    let figures = ordinary::measure(&agent, rounds, 2 * seconds, 10_000)?;
    for (key, unit) in [
        ("cores", "cores"),
        ("resident_mib", "MiB"),
        ("p50_ratio", "×"),
        ("p99_ratio", "×"),
        ("emitted_of_sent", "×"),
    ] {
        let what = format!("`run`, 10 000 requests/s, 4 KB: {key}");
        rows.push(Row::new(what, unit, &figures[key]));
    }
    let figures = idle::measure(&agent, watched)?;
    for (key, unit) in [("cores", "cores"), ("resident_mib", "MiB")] {
        rows.push(Row::single(format!("idle: {key}"), unit, &figures[key]));
    }
    let table = format!("{}\n{}", machine(), table(&rows));
    let file = super::folder("")?.join("all.txt");
    fs::write(&file, &table)?;
    println!("\n{table}\n{}", file.display());
    Ok(())
}

/// What the server keeps of its rate, and of its latency.
fn flat_out(agent: &Path, pairs: usize, seconds: u64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for figures in socket::measure(agent, None, pairs, seconds)? {
        let name = figures["row"].as_str().unwrap_or_default();
        let mut push = |what: &str, unit, key: &str| {
            rows.push(Row::new(
                format!("flat out, {name}: {what}"),
                unit,
                &super::spread(&super::numbers(&figures[key])),
            ));
        };
        push("kept of the rate", "×", "ratios");
        push("rate without", "1/s", "requests_per_second_without");
        rows.push(Row::single(
            format!("flat out, {name}: p99 with"),
            "µs",
            &figures["p99_us_with"],
        ));
    }
    Ok(rows)
}

impl Row {
    /// From what [`super::spread`] makes.
    fn new(what: String, unit: &'static str, spread: &Value) -> Self {
        let number = |key: &str| spread[key].as_f64().unwrap_or(f64::NAN);
        Self {
            what,
            unit,
            values: [number("median"), number("least"), number("most")],
        }
    }

    fn single(what: String, unit: &'static str, value: &Value) -> Self {
        Self {
            what,
            unit,
            values: [value.as_f64().unwrap_or(f64::NAN); 3],
        }
    }
}

impl From<pipeline::Figure> for Row {
    fn from(figure: pipeline::Figure) -> Self {
        Self::new(figure.what, figure.unit, &super::spread(&figure.values))
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| | median | least | most | |\n|---|---|---|---|---|\n");
    for Row { what, unit, values } in rows {
        let [median, least, most] = values.map(shown);
        // Writing to memory does not fail.
        let _ = writeln!(text, "| {what} | {median} | {least} | {most} | {unit} |");
    }
    text
}

/// Three digits that count.
fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Processor, kernel, and the versions of what takes part.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text = format!("{cores} × {model}, Linux {}", kernel.trim());
    for program in ["nginx", "wrk", "tcpdump", "h2load"] {
        if let Some(version) = version(program) {
            let _ = write!(text, ", {version}");
        }
    }
    text.push('\n');
    text
}

/// The version that a program states first, wherever it states it.
fn version(program: &str) -> Option<String> {
    let argument = match program {
        "nginx" | "wrk" => "-v",
        _ => "--version",
    };
    let output = Command::new(command::find(program)?)
        .arg(argument)
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let word = said.split_whitespace().find(|word| {
        let number = word
            .trim_start_matches("nginx/")
            .trim_start_matches("nghttp2/");
        number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
    })?;
    Some(format!("{program} {}", word.rsplit('/').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lines() {
        let rows = [Row::new(
            "x".into(),
            "ns",
            &super::super::spread(&[3.0, 1.0, 200.0]),
        )];
        assert!(table(&rows).ends_with("| x | 3.00 | 1.00 | 200 | ns |\n"));
    }
}
