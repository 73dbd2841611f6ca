//! `cargo xtask bench bpf`: what the BPF programs take for an exchange, by the kernel's own
//! statistics. Two runs: the server's sockets are captured, or ignored after their first bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::nginx::{self, Nginx};
use super::process::{Runs, links, programs};
use super::service::Service;
use super::wrk;

/// Where the kernel is asked to take the time of each run (kernel.bpf_stats_enabled).
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// `BPF_CGROUP_INET_INGRESS` and `BPF_CGROUP_INET_EGRESS` (`include/uapi/linux/bpf.h`).
const ATTACHED: [(u64, &str); 2] = [(0, "ingress"), (1, "egress")];

/// What `cargo xtask bench bpf` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Runs of each kind, in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let agent = super::agent(options.agent.as_deref())?;
    let figures = measure(&agent, options.rounds, options.seconds)?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}

/// The kernel takes times as long as this lives.
pub(super) struct Statistics {
    before: String,
}

impl Statistics {
    pub(super) fn start() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).context(STATISTICS)?;
        fs::write(STATISTICS, "1").context(STATISTICS)?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(STATISTICS, self.before.trim());
    }
}

/// Nanoseconds that all programs took between two looks.
pub(super) fn spent(before: &BTreeMap<u64, Runs>, after: &BTreeMap<u64, Runs>) -> u64 {
    let since = |(id, now): (&u64, &Runs)| now.ns - before.get(id).map_or(0, |runs| runs.ns);
    after.iter().map(since).sum()
}

/// Nanoseconds for an exchange at a captured end, and at one that is ignored.
pub(super) fn measure(agent: &Path, rounds: usize, seconds: u64) -> Result<Value> {
    let folder = super::folder("bpf")?;
    let cgroup = Cgroup::new("bpf")?;
    // The server alone is in it: the load's end of each connection costs nothing.
    let server = Nginx::serve(
        &folder.join("nginx"),
        Some(cgroup.path()),
        "text/plain",
        &"x".repeat(nginx::BODY_BYTES),
    )?;
    wrk::run(&server.url(), 1)?;
    let _statistics = Statistics::start()?;
    let mut figures = serde_json::Map::new();
    let kinds = [("captured", "server"), ("ignored", "client")];
    let mut each: Vec<Vec<Value>> = vec![Vec::new(); kinds.len()];
    for _ in 0..rounds {
        for ((_, side), each) in kinds.iter().zip(&mut each) {
            let config = format!(
                "capture: {{cgroup: '{}', side: {side}}}\n",
                cgroup.path().display()
            );
            let service = Service::start(agent, &folder, &config)?;
            each.push(once(&service, &server, seconds)?);
            service.stop()?;
        }
    }
    for ((name, _), each) in kinds.iter().zip(&each) {
        let mut row = serde_json::Map::new();
        for key in ["ingress", "egress", "both", "runs"] {
            let values: Vec<f64> = each.iter().filter_map(|v| v[key].as_f64()).collect();
            row.insert(key.to_owned(), super::spread(&values));
        }
        figures.insert((*name).to_owned(), Value::Object(row));
    }
    Ok(Value::Object(figures))
}

fn once(service: &Service, server: &Nginx, seconds: u64) -> Result<Value> {
    // Every connection is known, and ignored if it is to be, before it counts.
    thread::sleep(Duration::from_millis(200));
    let load = thread::scope(|scope| -> Result<_> {
        let load = scope.spawn(|| wrk::run(&server.url(), seconds + 1));
        thread::sleep(Duration::from_millis(500));
        let before = programs(service.pid());
        let began = Instant::now();
        thread::sleep(Duration::from_secs(seconds));
        let (after, took) = (programs(service.pid()), began.elapsed());
        match load.join() {
            Ok(load) => Ok((load?, before, after, took)),
            Err(_) => bail!("the load ended in a panic"),
        }
    })?;
    let (load, before, after, took) = load;
    let exchanges = load.rate * took.as_secs_f64();
    let kinds = links(service.pid());
    let mut row = serde_json::Map::new();
    let (mut both, mut runs) = (0.0, 0.0);
    for (attached, name) in ATTACHED {
        let used = after
            .iter()
            .filter(|(id, _)| kinds.get(id) == Some(&attached));
        let (mut ns, mut count) = (0, 0);
        for (id, now) in used {
            let earlier = before.get(id).copied().unwrap_or_default();
            ns += now.ns - earlier.ns;
            count += now.count - earlier.count;
        }
        if count == 0 {
            bail!("the program at {name} did not run");
        }
        row.insert(name.to_owned(), json!(ns as f64 / exchanges));
        both += ns as f64 / exchanges;
        runs += count as f64 / exchanges;
    }
    row.insert("both".to_owned(), json!(both));
    row.insert("runs".to_owned(), json!(runs));
    Ok(Value::Object(row))
}
