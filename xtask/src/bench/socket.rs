//! `cargo xtask bench socket`: what capturing costs a busy server, and what it costs the node.
//!
//! Server, load and observer share the machine's cores, so what the observer takes the server
//! lacks. Runs with and without an observer take turns, because a machine's speed drifts: only the
//! ratio of two neighbours is compared.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::median;
use super::nginx::{self, Nginx};
use super::observer::{KINDS, Kind, Observer, Totals};
use super::wrk::{self, Load};
use crate::{command, packages};

/// What `cargo xtask bench socket` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Pairs of runs, one with and one without, for each row
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only rows whose name holds this
    #[arg(long)]
    only: Option<String>,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<std::path::PathBuf>,
}

/// Two neighbours.
struct Pair {
    without: Load,
    with: Load,
    totals: Totals,
}

struct Row {
    kind: Kind,
    pairs: Vec<Pair>,
}

/// Measures and prints; the figures are also in `target/bench/socket.json`.
pub fn run(options: &Options) -> Result<()> {
    if !command::is_root() {
        bail!("capturing needs root: run `cargo xtask bench socket` as root");
    }
    packages::ensure(packages::BENCH)?;
    let agent = super::agent(options.agent.as_deref())?;
    let figures = measure(
        &agent,
        options.only.as_deref(),
        options.pairs,
        options.seconds,
    )?;
    let file = super::folder("")?.join("socket.json");
    fs::write(&file, serde_json::to_string_pretty(&figures)?)?;
    print(&figures);
    println!(
        "\nnginx with one worker responds with {} B, wrk holds 32 connections, {} s a run; {}",
        nginx::BODY_BYTES,
        options.seconds,
        file.display()
    );
    Ok(())
}

/// The figures of every row, or of those whose name holds `only`.
pub(super) fn measure(
    agent: &Path,
    only: Option<&str>,
    pairs: usize,
    seconds: u64,
) -> Result<Vec<Value>> {
    let folder = super::folder("")?;
    let server = Nginx::start(&folder.join("nginx"))?;
    // Caches warm, clock speed up.
    wrk::run(&server.url(), 2)?;
    let wanted = |kind: &&Kind| only.is_none_or(|part| kind.name.contains(part));
    let mut rows: Vec<Row> = KINDS
        .iter()
        .filter(wanted)
        .map(|kind| Row {
            kind: *kind,
            pairs: Vec::new(),
        })
        .collect();
    for round in 1..=pairs {
        for row in &mut rows {
            let pair = neighbours(row.kind, agent, &server, &folder, seconds)?;
            eprintln!(
                "{round}/{pairs}: {:<30} {:>6.0} → {:>6.0} requests/s",
                row.kind.name, pair.without.rate, pair.with.rate
            );
            row.pairs.push(pair);
        }
    }
    Ok(rows.iter().map(figures).collect())
}

fn neighbours(
    kind: Kind,
    agent: &Path,
    server: &Nginx,
    folder: &Path,
    seconds: u64,
) -> Result<Pair> {
    let without = wrk::run(&server.url(), seconds)?;
    let observer = Observer::start(kind, agent, server.port(), folder)?;
    let with = wrk::run(&server.url(), seconds)?;
    let totals = observer.stop()?;
    for load in [&without, &with] {
        if load.errors > 0 {
            bail!("{} requests failed", load.errors);
        }
    }
    Ok(Pair {
        without,
        with,
        totals,
    })
}

fn figures(row: &Row) -> Value {
    let each = |value: &dyn Fn(&Pair) -> f64| -> Vec<f64> { row.pairs.iter().map(value).collect() };
    let ratios = each(&|pair| pair.with.rate / pair.without.rate);
    let cpu = each(&|pair| {
        // Who emits no exchanges is measured by those of the load.
        let emitted = pair.totals.emitted.filter(|emitted| *emitted > 0);
        let exchanges = emitted.unwrap_or(pair.with.requests);
        pair.totals.cpu_ns as f64 / 1e3 / exchanges.max(1) as f64
    });
    // Of a second of one core.
    let busy = each(&|pair| {
        pair.totals.cpu_ns as f64 / 1e9 / (pair.with.requests as f64 / pair.with.rate)
    });
    let emitted: Option<u64> = row.pairs.iter().map(|pair| pair.totals.emitted).sum();
    let mut lost = std::collections::BTreeMap::<&str, u64>::new();
    for (name, count) in row.pairs.iter().flat_map(|pair| &pair.totals.lost) {
        *lost.entry(name).or_default() += count;
    }
    json!({
        "row": row.kind.name,
        "requests_per_second_without": each(&|pair| pair.without.rate),
        "requests_per_second_with": each(&|pair| pair.with.rate),
        "ratios": ratios,
        "ratio": median(&ratios),
        "p50_us_without": median(&each(&|pair| pair.without.p50_us)),
        "p50_us_with": median(&each(&|pair| pair.with.p50_us)),
        "p99_us_without": median(&each(&|pair| pair.without.p99_us)),
        "p99_us_with": median(&each(&|pair| pair.with.p99_us)),
        "cpu_us_per_exchange": median(&cpu),
        "cores": median(&busy),
        "requests": row.pairs.iter().map(|pair| pair.with.requests).sum::<u64>(),
        "exchanges_emitted": emitted,
        "lost": lost,
        "output_bytes": row.pairs.iter().map(|pair| pair.totals.output_bytes).sum::<u64>(),
    })
}

fn print(rows: &[Value]) {
    println!(
        "{:<30} {:>9} {:>9} {:>7} {:>13} {:>13} {:>8} {:>6} {:>10} {:>10}  lost",
        "",
        "without",
        "with",
        "ratio",
        "p50 µs",
        "p99 µs",
        "µs/exch",
        "cores",
        "requests",
        "emitted"
    );
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or_default();
        let series = |name: &str| {
            let values: Vec<f64> = row[name]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .collect();
            median(&values)
        };
        let pair = |name: &str| {
            format!(
                "{:.0} → {:.0}",
                number(&format!("{name}_without")),
                number(&format!("{name}_with"))
            )
        };
        let lost: Vec<String> = row["lost"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!(
            "{:<30} {:>9.0} {:>9.0} {:>7.3} {:>13} {:>13} {:>8.2} {:>6.2} {:>10} {:>10}  {}",
            row["row"].as_str().unwrap_or_default(),
            series("requests_per_second_without"),
            series("requests_per_second_with"),
            number("ratio"),
            pair("p50_us"),
            pair("p99_us"),
            number("cpu_us_per_exchange"),
            number("cores"),
            row["requests"].as_u64().unwrap_or_default(),
            row["exchanges_emitted"]
                .as_u64()
                .map_or("-".to_owned(), |emitted| emitted.to_string()),
            if lost.is_empty() {
                "-".to_owned()
            } else {
                lost.join(", ")
            },
        );
    }
}
