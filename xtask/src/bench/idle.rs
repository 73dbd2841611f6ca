//! `cargo xtask bench idle`: what the agent costs where nothing happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::process::{Usage, resident};
use super::service::Service;

/// What `cargo xtask bench idle` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// How long it is watched
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Seconds before it is watched: what starting leaves to do is done by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let agent = super::agent(options.agent.as_deref())?;
    let figures = measure(&agent, options.seconds)?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}

/// An agent that captures a cgroup of its own, in which nobody is.
pub(super) fn measure(agent: &Path, seconds: u64) -> Result<Value> {
    let folder = super::folder("idle")?;
    let cgroup = super::cgroup::Cgroup::new("idle")?;
    let config = format!("capture: {{cgroup: '{}'}}\n", cgroup.path().display());
    let service = Service::start(agent, &folder, &config)?;
    std::thread::sleep(SETTLE);
    let before = Usage::of(service.pid());
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = Usage::of(service.pid()).since(&before);
    let bytes = resident(service.pid()).unwrap_or_default();
    service.stop()?;
    let threads: serde_json::Map<String, Value> = spent
        .threads
        .iter()
        .filter(|(_, ns)| **ns > 0)
        .map(|(name, ns)| (name.clone(), json!(*ns as f64 / 1e9 / seconds as f64)))
        .collect();
    Ok(json!({
        "cores": spent.cpu_ns() as f64 / 1e9 / seconds as f64,
        "cores_by_thread": threads,
        "wakeups_per_second": spent.sleeps as f64 / seconds as f64,
        "resident_mib": bytes as f64 / 1048576.0,
    }))
}
