//! Our exporter of spans beside the library's (`agent/benches/export.rs`): processor time and
//! allocations some times over, instructions and copied bytes by valgrind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{instructions, spread};
use crate::{command, packages};

/// Spans of the longer and of the shorter run under valgrind: what the two have in common is no
/// part of the difference.
const RUNS: [u64; 2] = [2_000, 1_000];

/// What `cargo xtask bench export` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// How often to run it
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Bytes of both bodies of an exchange
    #[arg(long, default_value_t = 1024)]
    body: u32,
}

/// Measures, and prints a table.
pub(super) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::COUNT)?;
    let program = instructions::program("export")?;
    let mut figures: Vec<(String, Vec<f64>)> = Vec::new();
    let mut known = BTreeMap::new();
    for _ in 0..options.runs {
        let text = command::output(
            Command::new(&program).env("MESHTAP_BENCH_BODY", options.body.to_string()),
        )?;
        for line in text.lines() {
            let (what, value) = parse(line).with_context(|| format!("no figure: {line}"))?;
            match value.parse() {
                Err(_) => drop(known.insert(what, value.to_owned())),
                Ok(value) => match figures.iter_mut().find(|(name, _)| *name == what) {
                    Some((_, values)) => values.push(value),
                    None => figures.push((what, vec![value])),
                },
            }
        }
    }
    println!("| what | median | least | most |\n|---|---|---|---|");
    for (what, values) in figures {
        let spread = spread(&values);
        let [median, least, most] =
            ["median", "least", "most"].map(|key| spread[key].as_f64().unwrap_or(f64::NAN));
        println!("| {what} | {median:.2} | {least:.2} | {most:.2} |");
    }
    for (what, value) in known {
        println!("| {what} | {value} | | |");
    }
    count(&program, options.body)
}

/// What, and its value.
fn parse(line: &str) -> Option<(String, &str)> {
    let (who, rest) = line.split_once(" | ")?;
    let (what, value) = rest.split_once(" | ")?;
    Some((format!("{who}: {what}"), value))
}

/// Prints instructions and copied bytes of a span.
fn count(program: &Path, body: u32) -> Result<()> {
    let counted = Counted { program, body };
    let made = counted.each("none")?;
    println!("\n| written by | instructions | bytes copied |\n|---|---|---|");
    for (step, name) in [
        ("ours", "ours"),
        ("data", "the library, `SpanData` alone"),
        ("library", "the library"),
    ] {
        let [instructions, copied] = counted.each(step)?;
        println!(
            "| {name} | {:.0} | {:.0} |",
            instructions - made[0],
            copied - made[1]
        );
    }
    Ok(())
}

/// The bench's program under valgrind.
struct Counted<'a> {
    program: &'a Path,
    body: u32,
}

impl Counted<'_> {
    /// Instructions and copied bytes of a span, up to a step.
    fn each(&self, step: &str) -> Result<[f64; 2]> {
        let [more, fewer] = RUNS;
        let each = |more: f64, fewer: f64| (more - fewer) / (RUNS[0] - RUNS[1]) as f64;
        let instructions = |spans| {
            let said = self.said(&["--tool=callgrind", OUT_NOWHERE[0]], step, spans)?;
            number(&said, "Collected :")
        };
        let copied = |spans| {
            let said = self.said(&["--tool=dhat", "--mode=copy", OUT_NOWHERE[1]], step, spans)?;
            number(&said, "Total:")
        };
        Ok([
            each(instructions(more)?, instructions(fewer)?),
            each(copied(more)?, copied(fewer)?),
        ])
    }

    fn said(&self, tool: &[&str], step: &str, spans: u64) -> Result<String> {
        let output = Command::new("valgrind")
            .args(tool)
            .arg(self.program)
            .env("MESHTAP_BENCH_STEP", step)
            .env("MESHTAP_BENCH_SPANS", spans.to_string())
            .env("MESHTAP_BENCH_BODY", self.body.to_string())
            .output()
            .context("valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => bail!("valgrind: {said}"),
        }
    }
}

/// Where the tools leave what is not read.
const OUT_NOWHERE: [&str; 2] = [
    "--callgrind-out-file=/dev/null",
    "--dhat-out-file=/dev/null",
];

/// The number behind a word.
fn number(said: &str, word: &str) -> Result<f64> {
    let found = said.lines().find_map(|line| {
        let (_, rest) = line.split_once(word)?;
        let digits = rest.split_whitespace().next()?.replace(',', "");
        digits.parse().ok()
    });
    found.with_context(|| format!("valgrind counted nothing: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_bench() {
        let (what, value) = parse("pods: 1, ours | written, µs | 3.250").unwrap();
        assert_eq!((&*what, value), ("pods: 1, ours: written, µs", "3.250"));
        assert!(parse("something else").is_none());
    }

    #[test]
    fn what_valgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 12345\n";
        assert_eq!(number(said, "Collected :").unwrap(), 12_345.0);
        let said = "==7== Total:     1,234,567 bytes in 89 blocks\n";
        assert_eq!(number(said, "Total:").unwrap(), 1_234_567.0);
        assert!(number("nothing", "Total:").is_err());
    }
}
