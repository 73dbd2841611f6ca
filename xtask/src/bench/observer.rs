//! What runs beside the server: nothing, meshtap in one of its ways, or tcpdump for comparison.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One row of the result.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The row's name.
    pub name: &'static str,
    program: Program,
    /// Arguments after the fixed ones.
    arguments: &'static [&'static str],
    /// A capture of the server's port, rather than of a port that nobody uses.
    in_scope: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Meshtap,
    Tcpdump,
}

const fn meshtap(name: &'static str, arguments: &'static [&'static str]) -> Kind {
    Kind {
        name,
        program: Program::Meshtap,
        arguments,
        in_scope: true,
    }
}

/// Every row; the first is the one that counts.
pub const KINDS: &[Kind] = &[
    meshtap("tap --json -vv", &["--json", "-vv"]),
    meshtap("tap --json", &["--json"]),
    meshtap(
        "tap --json -vv --side server",
        &["--json", "-vv", "--side", "server"],
    ),
    // Captured, paired, and then dropped by a filter: what there is before output.
    meshtap("tap, nothing shown", &["--json", "--status", "599"]),
    Kind {
        name: "attached, out of scope",
        program: Program::Meshtap,
        arguments: &["--json"],
        in_scope: false,
    },
    Kind {
        name: "tcpdump -w",
        program: Program::Tcpdump,
        arguments: &["-B", "65536", "-s", "0"],
        in_scope: true,
    },
];

/// A tick of a process's CPU time: 10 ms wherever Linux runs (USER_HZ).
const TICK_NS: u64 = 10_000_000;

/// What an observer cost and gave.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// User and system time, without what starting took.
    pub cpu_ns: u64,
    /// Exchanges emitted; not known of tcpdump.
    pub emitted: Option<u64>,
    /// Exchanges lost, and segments that the kernel dropped, by reason; only those above zero.
    pub lost: BTreeMap<String, u64>,
    /// Bytes written.
    pub output_bytes: u64,
}

/// A running observer; killed when dropped without [`Observer::stop`].
pub struct Observer {
    kind: Kind,
    process: Child,
    output: PathBuf,
    ledger: PathBuf,
    /// Ticks of CPU time that starting took: loading programs is paid once, not per exchange.
    starting: u64,
}

impl Observer {
    /// Starts it and waits until it sees traffic.
    pub fn start(kind: Kind, agent: &Path, port: u16, folder: &Path) -> Result<Self> {
        let output = folder.join("output");
        let ledger = folder.join("ledger.json");
        let _ = fs::remove_file(&ledger);
        // A port that is never listened at: the sockets under load are in nobody's scope.
        let port = if kind.in_scope { port } else { 1 };
        let log = File::create(folder.join("observer.log"))?;
        let mut command = match kind.program {
            Program::Meshtap => {
                let mut command = Command::new(agent);
                command.arg("tap").args(["--port", &port.to_string()]);
                command
                    .arg("--ledger-json")
                    .arg(&ledger)
                    .stdout(File::create(&output)?);
                command
            }
            Program::Tcpdump => {
                let mut command =
                    Command::new(crate::command::find("tcpdump").context("no tcpdump")?);
                // It gives up root otherwise, and may then not write here.
                command.args(["-Z", "root", "-i", "lo", "-w"]).arg(&output);
                command
            }
        };
        command.args(kind.arguments);
        if kind.program == Program::Tcpdump {
            command.args(["port", &port.to_string()]);
        }
        let process = command
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", crate::command::describe(&command)))?;
        let mut observer = Self {
            kind,
            process,
            output,
            ledger,
            starting: 0,
        };
        observer.ready(&folder.join("observer.log"))?;
        observer.starting = cpu_ticks(observer.process.id()).unwrap_or_default();
        Ok(observer)
    }

    /// Waits until the kernel says that both programs are attached, or tcpdump says that it
    /// listens.
    fn ready(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ready = match self.kind.program {
                Program::Meshtap => attached(self.process.id()) >= 2,
                Program::Tcpdump => fs::read_to_string(log)?.contains("listening on"),
            };
            if ready {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!(
                    "{} did not start:\n{}",
                    self.kind.name,
                    fs::read_to_string(log)?
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as Ctrl-C would and reads its ledger.
    pub fn stop(mut self) -> Result<Totals> {
        let ticks = cpu_ticks(self.process.id());
        super::signal(&self.process, "INT")?;
        let status = self.process.wait()?;
        if !status.success() {
            bail!("{} ended with {status}", self.kind.name);
        }
        let output_bytes = fs::metadata(&self.output).map_or(0, |metadata| metadata.len());
        // Gigabytes, with bodies.
        let _ = fs::remove_file(&self.output);
        let mut totals = match self.kind.program {
            Program::Meshtap => {
                let text = fs::read_to_string(&self.ledger)
                    .with_context(|| format!("no ledger in {}", self.ledger.display()))?;
                totals(&serde_json::from_str(&text)?)
                    .context("a ledger without `cpu_ns` or `ledger`")?
            }
            Program::Tcpdump => Totals {
                cpu_ns: ticks.context("tcpdump's CPU time cannot be read")? * TICK_NS,
                ..Totals::default()
            },
        };
        totals.output_bytes = output_bytes;
        totals.cpu_ns = totals.cpu_ns.saturating_sub(self.starting * TICK_NS);
        Ok(totals)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.output);
    }
}

/// Number of cgroup links that a process holds, by the kernel's own count.
fn attached(pid: u32) -> usize {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return 0;
    };
    folder
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter(|text| text.contains("\nattach_type:"))
        .count()
}

/// User and system time of a running process, in ticks: fields 14 and 15 of its stat (proc(5)).
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Reads what `--ledger-json` wrote.
fn totals(json: &Value) -> Option<Totals> {
    let ledger = json.get("ledger")?;
    let counts = |value: &Value| -> Vec<(String, u64)> {
        let entries = value.as_object().into_iter().flatten();
        entries
            .filter_map(|(name, count)| {
                let count = count.as_u64().or_else(|| count.get("segments")?.as_u64())?;
                Some((name.clone(), count))
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    let partial = counts(ledger.get("partial")?);
    let emitted = ledger.get("emitted_complete")?.as_u64()?
        + partial.iter().map(|(_, count)| count).sum::<u64>();
    let mut lost = BTreeMap::new();
    let kernel = json.get("kernel_drops").map(counts).unwrap_or_default();
    lost.extend(
        kernel
            .into_iter()
            .map(|(name, count)| (format!("kernel:{name}"), count)),
    );
    lost.extend(
        partial
            .into_iter()
            .map(|(name, count)| (format!("partial:{name}"), count)),
    );
    // One connection has both its ends here: the second sight of each exchange is not a loss.
    lost.extend(
        counts(ledger.get("dropped")?)
            .into_iter()
            .filter(|(name, _)| name != "folded"),
    );
    let delivery = json.get("delivery").map(counts).unwrap_or_default();
    lost.extend(
        delivery
            .into_iter()
            .filter(|(name, _)| !matches!(name.as_str(), "shown" | "filtered")),
    );
    Some(Totals {
        cpu_ns: json.get("cpu_ns")?.as_u64()?,
        emitted: Some(emitted),
        lost,
        output_bytes: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_read() {
        let json = serde_json::json!({
            "cpu_ns": 5000,
            "ledger": {"started": 30, "emitted_complete": 10, "partial": {"gap": 2, "max_age": 0},
                "dropped": {"folded": 15, "uncertain": 3}, "in_flight": 0},
            "delivery": {"shown": 11, "output_full": 1},
            "kernel_drops": {"ring_full": {"segments": 4, "bytes": 4000}, "budget": {"segments": 0, "bytes": 0}},
        });
        let totals = totals(&json).unwrap();
        assert_eq!(totals.emitted, Some(12));
        assert_eq!(totals.cpu_ns, 5000);
        let lost: Vec<(&str, u64)> = totals
            .lost
            .iter()
            .map(|(name, n)| (name.as_str(), *n))
            .collect();
        assert_eq!(
            lost,
            [
                ("kernel:ring_full", 4),
                ("output_full", 1),
                ("partial:gap", 2),
                ("uncertain", 3)
            ]
        );
    }
}
