//! `cargo xtask bench neighbour`: a server's throughput while another pod of its node attacks,
//! against its throughput while none does.
//!
//! An attacker takes processor time whether there is an agent or not. So each pair of runs is made
//! without the agent, too: the ratio with the agent over the ratio without is what the agent adds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum as _;

use super::attack::Attack;
use super::cgroup::Cgroup;
use super::collector::Collector;
use super::nginx::Nginx;
use super::service::Service;
use super::{median, wrk};

/// What `cargo xtask bench neighbour` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Rounds: in each, every attack with and without the agent
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only these attacks
    #[arg(long, value_enum)]
    attack: Vec<Attack>,
    /// `budget.nice` of the agent
    #[arg(long, default_value_t = 0)]
    nice: u8,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Between the start of an attack and the first request: the agent is busy by then.
const SETTLE: Duration = Duration::from_millis(300);

/// Requests a second: before the attack, and under it.
type Pair = [f64; 2];

/// What one attack did.
#[derive(Debug)]
struct Row {
    attack: Attack,
    /// Without the agent, and with it.
    pairs: [Vec<Pair>; 2],
}

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let agent = super::agent(options.agent.as_deref())?;
    let attacks = match &options.attack[..] {
        [] => Attack::value_variants(),
        some => some,
    };
    let mut rows: Vec<Row> = (attacks.iter())
        .map(|attack| Row {
            attack: *attack,
            pairs: Default::default(),
        })
        .collect();
    let node = Node::new(options.nice)?;
    for round in 0..options.rounds {
        for row in &mut rows {
            for with in [round % 2 == 1, round % 2 == 0] {
                node.measure(row, with.then_some(&*agent), options.seconds)?;
            }
        }
    }
    print(&rows);
    Ok(())
}

/// Two pods: one with a server, one that attacks.
struct Node {
    server: Nginx,
    collector: Collector,
    folder: PathBuf,
    nice: u8,
    attacker: Cgroup,
    // Removed in this order.
    _web: Cgroup,
    pods: Cgroup,
}

impl Node {
    fn new(nice: u8) -> Result<Self> {
        let folder = super::folder("neighbour")?;
        let pods = Cgroup::new("neighbour")?;
        let (web, attacker) = (pods.child("web")?, pods.child("attacker")?);
        let text = "x".repeat(1024);
        let server = Nginx::serve(&folder.join("nginx"), Some(web.path()), "text/plain", &text)?;
        Ok(Self {
            server,
            collector: Collector::start()?,
            folder,
            nice,
            attacker,
            _web: web,
            pods,
        })
    }

    /// A run in peace and one under attack, with this agent or none.
    fn measure(&self, row: &mut Row, agent: Option<&Path>, seconds: u64) -> Result<()> {
        let config = format!(
            "budget: {{nice: {}}}\ncapture: {{cgroup: '{}', side: server}}\nexport: {{otlp: [{{endpoint: '{}', protocol: http/protobuf}}]}}\n",
            self.nice,
            self.pods.path().display(),
            self.collector.endpoint()
        );
        let service = match agent {
            Some(agent) => Some(Service::start(agent, &self.folder, &config)?),
            None => None,
        };
        let calm = self.load(seconds)?;
        let attacker = row.attack.start(self.attacker.path())?;
        std::thread::sleep(SETTLE);
        let attacked = self.load(seconds)?;
        drop(attacker);
        eprintln!(
            "{:<8} {:<8} {calm:>8.0} → {attacked:>8.0} requests/s, {:.3}",
            row.attack.name(),
            if service.is_some() {
                "agent"
            } else {
                "no agent"
            },
            attacked / calm
        );
        row.pairs[usize::from(service.is_some())].push([calm, attacked]);
        if let Some(service) = service {
            let ledger = service.stop()?;
            if ledger["imbalance"] != 0 {
                bail!("the ledger does not balance: {ledger}");
            }
        }
        Ok(())
    }

    fn load(&self, seconds: u64) -> Result<f64> {
        let load = wrk::run(&self.server.url(), seconds)?;
        match load.errors {
            0 => Ok(load.rate),
            errors => bail!("{errors} requests failed"),
        }
    }
}

fn print(rows: &[Row]) {
    println!(
        "{:<8} {:>12} {:>12} {:>22} {:>22} {:>22}",
        "attack", "calm", "attacked", "ratio with agent", "ratio without", "what the agent adds"
    );
    for row in rows {
        let [without, with] = &row.pairs;
        let middle = |at: usize| median(&with.iter().map(|pair| pair[at]).collect::<Vec<_>>());
        let ratios = |pairs: &[Pair]| -> Vec<f64> {
            (pairs.iter().map(|[calm, attacked]| attacked / calm)).collect()
        };
        let (with_ratios, without_ratios) = (ratios(with), ratios(without));
        let quotients: Vec<f64> = (with_ratios.iter().zip(&without_ratios))
            .map(|(with, without)| with / without)
            .collect();
        println!(
            "{:<8} {:>12.0} {:>12.0} {:>22} {:>22} {:>22}",
            row.attack.name(),
            middle(0),
            middle(1),
            shown(&with_ratios),
            shown(&without_ratios),
            shown(&quotients)
        );
    }
}

/// The median, and the ends of the spread.
fn shown(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::NAN, f64::min);
    let most = values.iter().copied().fold(f64::NAN, f64::max);
    format!("{:.3} ({least:.3} to {most:.3})", median(values))
}
