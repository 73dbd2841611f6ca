//! `cargo xtask bench growth`: whether an exchange costs more where there is more of something:
//! connections, bytes of bodies, pods.
//!
//! From memory: instructions, which are the same on a busy machine, and processor time, which also
//! knows of caches. Live: bodies that are longer than what is kept of them, with a real server,
//! since it is the BPF programs that leave the rest behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::bpf::{Statistics, spent};
use super::cgroup::Cgroup;
use super::collector::Collector;
use super::instructions::{self, Case};
use super::nginx::Nginx;
use super::process::{Usage, programs};
use super::service::Service;
use super::{pipeline, wrk};
use crate::packages;

/// What `cargo xtask bench growth` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Only this: connections, bodies, pods, or live
    #[arg(long)]
    only: Option<String>,
    /// Runs of each live row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a live run
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// One point: how many there are, the environment of the bench, and exchanges of the longer run.
struct Point {
    count: u64,
    body: u32,
    environment: Vec<(&'static str, String)>,
    exchanges: u64,
}

const SMALL: u32 = 1024;

fn connections() -> Vec<Point> {
    let point = |count: u64| Point {
        count,
        body: SMALL,
        environment: vec![("MESHTAP_BENCH_CONNECTIONS", count.to_string())],
        // The first of each connection is in the shorter run already.
        exchanges: (4 * count).max(4000),
    };
    [10, 100, 1000, 10_000].map(point).into()
}

fn pods() -> Vec<Point> {
    let point = |count: u64| Point {
        count,
        body: SMALL,
        environment: vec![
            ("MESHTAP_BENCH_CONNECTIONS", "500".to_owned()),
            ("MESHTAP_BENCH_PODS", count.to_string()),
        ],
        exchanges: 8000,
    };
    [1, 10, 100, 500].map(point).into()
}

fn bodies() -> Vec<Point> {
    let point = |kib: u32| Point {
        count: kib.into(),
        body: kib * 1024,
        environment: Vec::new(),
        exchanges: (16_384 / u64::from(kib)).clamp(64, 4000),
    };
    [1, 4, 16, 64, 256, 1024].map(point).into()
}

/// Measures and prints; the figures are also in `target/bench/growth.json`.
pub(super) fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut rows = Vec::new();
    let axes = [
        ("connections", connections as fn() -> Vec<Point>),
        ("pods", pods),
        ("bodies", bodies),
    ];
    for (name, points) in axes {
        if wanted(name) {
            rows.extend(from_memory(name, &points())?);
        }
    }
    if wanted("live") {
        rows.extend(live(options)?);
    }
    if rows.is_empty() {
        bail!("nothing is measured: connections, pods, bodies, or live");
    }
    let file = super::folder("")?.join("growth.json");
    fs::write(&file, serde_json::to_string_pretty(&rows)?)?;
    println!("{}", file.display());
    Ok(())
}

fn from_memory(axis: &str, points: &[Point]) -> Result<Vec<Value>> {
    packages::ensure(packages::COUNT)?;
    let program = instructions::program("pipeline")?;
    let mut rows = Vec::new();
    println!("{axis:<12} {:>14} {:>12}", "instructions", "ns");
    for point in points {
        let case = Case {
            program: &program,
            protocol: "h1",
            body: point.body,
            environment: &point.environment,
        };
        let runs = [point.exchanges, point.exchanges / 2];
        let counted = case.per_exchange("otlp", runs)? - case.per_exchange("none", runs)?;
        let environment = (point.environment.iter())
            .map(|(name, value)| (*name, value.as_str()))
            .chain([("MESHTAP_BENCH_PROTOCOL", "h1")]);
        let size = point.body.to_string();
        let exchanges = point.exchanges.to_string();
        let environment: Vec<_> = environment
            .chain([
                ("MESHTAP_BENCH_BODY", size.as_str()),
                ("MESHTAP_BENCH_EXCHANGES", exchanges.as_str()),
            ])
            .collect();
        let figures = pipeline::measure_with(1, &environment)?;
        let rate = (figures.iter())
            .find(|figure| figure.what.ends_with("to otlp"))
            .and_then(|figure| figure.values.first())
            .context("no rate")?;
        println!("{:<12} {counted:>14.0} {:>12.0}", point.count, 1e9 / rate);
        rows.push(json!({
            "axis": axis,
            "count": point.count,
            "instructions": counted,
            "ns": 1e9 / rate,
        }));
    }
    Ok(rows)
}

/// Bodies of responses, of which the agent keeps 64 KiB.
const LIVE: [(&str, usize); 5] = [
    ("16 KiB", 16 << 10),
    ("64 KiB", 64 << 10),
    ("256 KiB", 256 << 10),
    ("1 MiB", 1 << 20),
    ("8 MiB", 8 << 20),
];

fn live(options: &Options) -> Result<Vec<Value>> {
    packages::ensure(packages::BENCH)?;
    let agent = super::agent(options.agent.as_deref())?;
    let folder = super::folder("growth")?;
    let cgroup = Cgroup::new("growth")?;
    // The server alone is in it.
    let server = Nginx::serve(&folder.join("nginx"), Some(cgroup.path()), "text/plain", "")?;
    let collector = Collector::start()?;
    let config = format!(
        "capture: {{cgroup: '{}', side: server}}\nexport: {{otlp: [{{endpoint: '{}', protocol: http/protobuf}}]}}\n",
        cgroup.path().display(),
        collector.endpoint()
    );
    let _statistics = Statistics::start()?;
    let mut rows = Vec::new();
    println!(
        "{:<12} {:>14} {:>12} {:>12}",
        "live", "agent µs", "BPF µs", "BPF ns/KiB"
    );
    for (name, size) in LIVE {
        fs::write(server.file(name), vec![b'x'; size])?;
        let mut each = Vec::new();
        for _ in 0..options.rounds {
            each.push(once(
                &agent,
                &folder,
                &config,
                &server,
                name,
                options.seconds,
            )?);
        }
        let row = super::spreads(&each);
        let median = |key: &str| row[key]["median"].as_f64().unwrap_or(f64::NAN);
        let bpf = median("bpf_us");
        println!(
            "{name:<12} {:>14.1} {bpf:>12.1} {:>12.1}",
            median("agent_us"),
            bpf * 1e3 / (size as f64 / 1024.0)
        );
        rows.push(json!({"axis": "live", "body": name, "figures": row}));
    }
    Ok(rows)
}

fn once(
    agent: &Path,
    folder: &Path,
    config: &str,
    server: &Nginx,
    name: &str,
    seconds: u64,
) -> Result<Value> {
    let service = Service::start(agent, folder, config)?;
    let (before, ran) = (Usage::of(service.pid()), programs(service.pid()));
    let load = wrk::run(&server.url_of(name), seconds)?;
    let used = Usage::of(service.pid()).since(&before);
    let ns = spent(&ran, &programs(service.pid()));
    let ledger = service.stop()?;
    if load.errors > 0 || ledger["imbalance"] != 0 {
        bail!("{} requests failed; the ledger: {ledger}", load.errors);
    }
    let requests = load.requests.max(1) as f64;
    Ok(json!({
        "agent_us": used.cpu_ns() as f64 / 1e3 / requests,
        "bpf_us": ns as f64 / 1e3 / requests,
        "requests_per_second": load.rate,
    }))
}
