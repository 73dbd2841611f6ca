//! `cargo xtask soak`: the agent for long, under everything at once. Nothing may grow, and every
//! exchange that started is in the ledger.
//!
//! Load: HTTP/1, HTTP/2 and calls of gRPC at a steady rate, the first two with TLS too, connections
//! that come and go, some of them in the middle of a message. In turn, and again and again: the
//! collector is away, the agent reads its configuration again, it gets no processor for a second
//! (the ring buffer fills up), the server runs flat out.

mod loads;
mod plot;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::cgroup::Cgroup;
use super::collector::Collector;
use super::nginx::Nginx;
use super::ordinary::json_body;
use super::process::{Usage, resident};
use super::service::Service;
use super::wrk;
use crate::packages;
use crate::progress::Step;
use loads::Loads;

/// What `cargo xtask soak` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// How long
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// One minute: shows that it works
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// Run this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// What happens to the agent, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The collector refuses everything for some seconds.
    CollectorAway,
    /// The configuration is read again.
    Reload,
    /// No processor for a second.
    Starved,
    /// As many requests as the server can.
    FlatOut,
}

const TROUBLES: [Trouble; 4] = [
    Trouble::CollectorAway,
    Trouble::Reload,
    Trouble::Starved,
    Trouble::FlatOut,
];

/// How often memory is looked at, and something happens.
const SAMPLE: Duration = Duration::from_secs(1);
const TROUBLE: Duration = Duration::from_secs(7);

/// Memory may vary by as much, and by a tenth: what batches and queues hold is not growth.
const SLACK: f64 = 8.0 * 1024.0 * 1024.0;

/// Runs it, and fails when the ledger does not balance or memory grows.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BENCH)?;
    let agent = super::agent(options.agent.as_deref())?;
    let minutes = if options.quick { 1 } else { options.minutes };
    let folder = super::folder("soak")?;
    let cgroup = Cgroup::new("soak")?;
    let server = Nginx::serve(
        &folder.join("nginx"),
        Some(cgroup.path()),
        "application/json",
        &json_body(2048),
    )?;
    let collector = Collector::start()?;
    let config = format!(
        "capture: {{cgroup: '{}', side: server, tls: {{enabled: true}}}}\nexport: {{shutdown_timeout: 30s, otlp: [{{endpoint: '{}', protocol: http/protobuf}}]}}\n",
        cgroup.path().display(),
        collector.endpoint()
    );
    let service = Service::start(&agent, &folder, &config)?;
    service.says("libssl")?;
    let before = Usage::of(service.pid());
    let took = Duration::from_secs(60 * minutes);
    let (samples, sent) = load(&service, &server, &collector, &folder, took)?;
    let spent = Usage::of(service.pid()).since(&before);
    let ledger = service.stop_with_losses()?;
    fs::write(
        folder.join("ledger.json"),
        serde_json::to_string_pretty(&ledger)?,
    )?;
    let picture = folder.join("rss.svg");
    fs::write(&picture, plot::svg(&samples))?;
    let (requests, bytes) = collector.taken();
    let figures = json!({
        "minutes": minutes,
        "requests_sent": sent,
        "exchanges_started": ledger["started"],
        "emitted_complete": ledger["emitted_complete"],
        "partial": nonzero(&ledger["partial"]),
        "dropped": nonzero(&ledger["dropped"]),
        "overflow": ledger["overflow"],
        "imbalance": ledger["imbalance"],
        "exporters": ledger["exporters"],
        "export_requests": requests,
        "export_bytes": bytes,
        "cores": spent.cpu_ns() as f64 / 1e9 / took.as_secs_f64(),
        "resident_mib": {
            "early": mib(early(&samples)),
            "late": mib(late(&samples)),
            "most": mib(samples.iter().map(|sample| sample.1).fold(0.0, f64::max)),
        },
    });
    println!("{}", serde_json::to_string_pretty(&figures)?);
    println!("{}", picture.display());
    verdict(&ledger, &samples)
}

/// Time in seconds, and bytes resident.
type Sample = (f64, f64);

/// Loads the server, and troubles the agent; memory over time, and the requests that were sent.
fn load(
    service: &Service,
    server: &Nginx,
    collector: &Collector,
    folder: &Path,
    took: Duration,
) -> Result<(Vec<Sample>, u64)> {
    let mut loads = Loads::start(server, folder)?;
    let _step = Step::lasting("soak", took);
    let began = Instant::now();
    let mut troubles = TROUBLES.iter().cycle();
    let mut next = TROUBLE;
    let mut flat_out = 0;
    let mut samples = Vec::new();
    while began.elapsed() < took {
        thread::sleep(SAMPLE);
        loads.keep_going()?;
        let Some(bytes) = resident(service.pid()) else {
            bail!("the agent is gone");
        };
        samples.push((began.elapsed().as_secs_f64(), bytes as f64));
        if began.elapsed() < next {
            continue;
        }
        next = began.elapsed() + TROUBLE;
        match troubles.next() {
            Some(Trouble::CollectorAway) => collector.set_away(true),
            Some(Trouble::Reload) => {
                collector.set_away(false);
                service.reload()?;
            }
            Some(Trouble::Starved) => service.starve(Duration::from_secs(1))?,
            Some(Trouble::FlatOut) => flat_out += wrk::run(&server.url(), 2)?.requests,
            None => {}
        }
    }
    collector.set_away(false);
    Ok((samples, flat_out + loads.stop()?))
}

fn verdict(ledger: &Value, samples: &[Sample]) -> Result<()> {
    let mut errors = Vec::new();
    for key in ["imbalance", "in_flight"] {
        if ledger[key] != 0 {
            errors.push(format!("{key} is {}", ledger[key]));
        }
    }
    for (name, exporter) in ledger["exporters"].as_object().into_iter().flatten() {
        if exporter["queued"] != 0 {
            errors.push(format!("{name} has {} items left", exporter["queued"]));
        }
    }
    if ledger["emitted_complete"] == 0 {
        errors.push("no exchange was emitted".to_owned());
    }
    if grows(samples) {
        errors.push(format!(
            "memory grew from {:.1} to {:.1} MiB",
            mib(early(samples)),
            mib(late(samples))
        ));
    }
    if !errors.is_empty() {
        bail!("{}", errors.join("\n"));
    }
    Ok(())
}

/// The second quarter: the tables have their size by then.
fn early(samples: &[Sample]) -> f64 {
    middle(&samples[samples.len() / 4..samples.len() / 2])
}

/// The last quarter.
fn late(samples: &[Sample]) -> f64 {
    middle(&samples[samples.len() - samples.len() / 4..])
}

fn middle(samples: &[Sample]) -> f64 {
    let bytes: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
    super::median(&bytes)
}

fn grows(samples: &[Sample]) -> bool {
    late(samples) > early(samples) * 1.1 + SLACK
}

fn mib(bytes: f64) -> f64 {
    (bytes / 104_857.6).round() / 10.0
}

fn nonzero(counts: &Value) -> Value {
    let counts = counts.as_object().into_iter().flatten();
    let some = counts.filter(|(_, count)| **count != 0);
    Value::Object(some.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// Ends a load that would go on.
fn end(load: &mut Child) {
    // It may have ended by itself.
    let _ = load.kill();
    let _ = load.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: impl Fn(f64) -> f64, expected: bool) {
        let samples: Vec<Sample> = (0..400)
            .map(|n| (f64::from(n), bytes(f64::from(n))))
            .collect();
        assert_eq!(grows(&samples), expected);
    }

    #[test]
    fn what_goes_on_growing_is_found() {
        const MIB: f64 = 1024.0 * 1024.0;
        check(|_| 50.0 * MIB, false);
        // A table that finds its size, and a batch that comes and goes.
        check(|n| 50.0 * MIB.min(MIB * n / 50.0) + (n % 7.0) * MIB, false);
        check(|n| 50.0 * MIB + n * 0.1 * MIB, true);
    }

    #[test]
    fn a_ledger_that_does_not_balance_is_an_error() {
        let samples: Vec<Sample> = (0..8).map(|n| (f64::from(n), 1.0)).collect();
        let ledger = |imbalance| {
            json!({"imbalance": imbalance, "in_flight": 0, "emitted_complete": 3,
                "exporters": {"a": {"queued": 0}}})
        };
        assert!(verdict(&ledger(0), &samples).is_ok());
        assert!(verdict(&ledger(-1), &samples).is_err());
    }
}
