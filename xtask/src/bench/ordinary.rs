//! `cargo xtask bench ordinary`: `meshtap run` at a rate that a server bears easily. What does the
//! agent take, and does the application notice?

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::collector::Collector;
use super::h2load::{Load, Outcome};
use super::nginx::Nginx;
use super::process::{Usage, resident};
use super::service::Service;

/// What `cargo xtask bench ordinary` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Pairs of runs, one with and one without
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Requests a second
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Bytes of a response's body.
const BODY: usize = 4096;
/// Connections: h2load spreads the rate evenly over them.
const CLIENTS: u64 = 40;

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let agent = super::agent(options.agent.as_deref())?;
    let figures = measure(&agent, options.pairs, options.seconds, options.rate)?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}

pub(super) fn measure(agent: &Path, pairs: usize, seconds: u64, rate: u64) -> Result<Value> {
    let folder = super::folder("ordinary")?;
    let cgroup = Cgroup::new("ordinary")?;
    let server = Nginx::serve(
        &folder.join("nginx"),
        Some(cgroup.path()),
        "application/json",
        &json_body(BODY),
    )?;
    let collector = Collector::start()?;
    let config = format!(
        "capture: {{cgroup: '{}', side: server}}\nexport: {{otlp: [{{endpoint: '{}', protocol: http/protobuf}}]}}\n",
        cgroup.path().display(),
        collector.endpoint()
    );
    let url = server.url();
    let load = Load {
        url: &url,
        http2: false,
        clients: CLIENTS,
        streams: 1,
        rate: Some(rate),
        seconds,
        body: None,
        fields: &[],
    };
    let log = folder.join("h2load.log");
    let mut rows = Vec::new();
    for _ in 0..pairs {
        let without = whole(load.run(&log)?)?;
        let service = Service::start(agent, &folder, &config)?;
        let before = Usage::of(service.pid());
        let with = whole(load.run(&log)?)?;
        let spent = Usage::of(service.pid()).since(&before);
        let bytes = resident(service.pid()).unwrap_or_default();
        let ledger = service.stop()?;
        if ledger["imbalance"] != 0 {
            bail!("the ledger does not balance: {ledger}");
        }
        let emitted = ledger["emitted_complete"].as_u64().unwrap_or_default();
        rows.push(json!({
            "cores": spent.cpu_ns() as f64 / 1e9 / seconds as f64,
            "cpu_us_per_exchange": spent.cpu_ns() as f64 / 1e3 / emitted.max(1) as f64,
            "resident_mib": bytes as f64 / 1048576.0,
            "p50_us_without": without.p50_us,
            "p99_us_without": without.p99_us,
            "p50_ratio": with.p50_us / without.p50_us,
            "p99_ratio": with.p99_us / without.p99_us,
            "emitted_of_sent": emitted as f64 / with.requests as f64,
        }));
    }
    Ok(super::spreads(&rows))
}

fn whole(outcome: Outcome) -> Result<Outcome> {
    match outcome.errors {
        0 => Ok(outcome),
        errors => bail!("{errors} requests failed"),
    }
}

/// An array of about so many bytes, as an API sends it.
pub(super) fn json_body(size: usize) -> String {
    let mut text = String::from("{\"items\":[");
    while text.len() + 80 < size {
        text.push_str(
            "{\"sku\":\"ABC-1234\",\"name\":\"A thing to buy\",\"quantity\":3,\"price\":19.99},",
        );
    }
    text.push_str("null]}");
    text
}
