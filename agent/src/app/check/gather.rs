//! Looks at the machine. Nothing here decides what it means.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access as FileAccess, access};
use rustix::thread::CapabilitySet;

use super::kernel::Kernel;
use super::node::{Library, Mptcp, Node};
use crate::app::settings::options;
use crate::app::{Failure, configure};
use crate::capture::kernel::{self, CaptureOptions, MapKind, Wanted};
use crate::capture::tls::discover::{Change, Discovery};
use crate::config::Config;
use crate::export::otlp;
use crate::files::is_descriptor;
use crate::handover;
use crate::workload::{self, Access};

/// Longest look at the machine's processes: a program of 100 MB takes two seconds.
const LONGEST: Duration = Duration::from_secs(30);

/// Ring buffer of the trial: the smallest there may be.
const RING: u32 = 64 * 1024;

/// The capabilities in effect.
pub(super) fn capabilities() -> Result<CapabilitySet, Failure> {
    rustix::thread::capabilities(None)
        .map(|sets| sets.effective)
        .map_err(|error| Failure::Privileges(error.into()))
}

pub(super) fn kernel(config: &Config) -> Kernel {
    let options = CaptureOptions {
        ring_bytes: RING,
        wanted: Wanted { connections: true },
        ..options(config)
    };
    let text = |path: &str| {
        let read = fs::read_to_string(path);
        read.map_err(|error| format!("{path}: {error}"))
    };
    let types = "/sys/kernel/btf/vmlinux";
    Kernel {
        trial: kernel::try_hooks(&options),
        ring_buffer: kernel::has_map(MapKind::RingBuffer),
        socket_storage: kernel::has_map(MapKind::SocketStorage),
        lockdown: text("/sys/kernel/security/lockdown"),
        types: fs::File::open(types)
            .map(drop)
            .map_err(|error| format!("{types}: {error}")),
        has_uprobes: Path::new("/sys/bus/event_source/devices/uprobe").exists(),
        others: kernel::others(),
    }
}

pub(super) fn node(config: &Config) -> Node {
    let mut discovery = Discovery::new();
    let changes = discovery.poll_all(LONGEST);
    Node {
        libraries: changes.into_iter().filter_map(library).collect(),
        forbidden: discovery.totals().forbidden,
        proxies: ["ztunnel", "envoy"]
            .iter()
            .map(|name| ((*name).to_owned(), processes(name)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        mptcp: mptcp(),
        listen: config.telemetry.listen.map(|address| {
            let bound = TcpListener::bind(address).map(drop);
            (address, bound.map_err(|error| error.to_string()))
        }),
        handover: config.handover.folder.as_ref().map(|folder| {
            let usable = handover::examine(folder);
            (folder.clone(), usable.map_err(|error| error.to_string()))
        }),
        files: files(config),
        is_pid_namespace_own: fs::read_to_string("/proc/1/comm")
            .is_ok_and(|name| name.trim_end() == env!("CARGO_PKG_NAME")),
    }
}

/// The files that the agent is to write, by their keys: whether they can be, or could be made.
fn files(config: &Config) -> Vec<(&'static str, PathBuf, Result<(), String>)> {
    let named = [
        ("access_log.path", &config.access_log.path),
        ("export.har", &config.export.har),
    ];
    let named = named
        .into_iter()
        .filter_map(|(key, path)| Some((key, path.clone()?)));
    let named = named.filter(|(_, path)| !is_descriptor(path));
    named
        .map(|(key, path)| {
            let writable = match path.exists() {
                true => access(&path, FileAccess::WRITE_OK),
                false => {
                    let folder = path.parent().filter(|folder| *folder != Path::new(""));
                    access(
                        folder.unwrap_or(Path::new(".")),
                        FileAccess::WRITE_OK | FileAccess::EXEC_OK,
                    )
                }
            };
            let said = writable.map_err(|error| error.to_string());
            (key, path, said)
        })
        .collect()
}

fn library(change: Change) -> Option<Library> {
    let Change::Added(target) = change else {
        return None;
    };
    let located = match &target.functions {
        Ok(located) => Ok(located.library.name().to_owned()),
        Err(refusal) => Err(refusal.to_string()),
    };
    Some(Library {
        path: target.path.display().to_string(),
        located,
    })
}

/// Processes of this name (`/proc/PID/comm`).
fn processes(name: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let comm = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    let named = entries.filter_map(|entry| comm(entry.ok()?));
    named.filter(|comm| comm.trim_end() == name).count()
}

fn mptcp() -> Mptcp {
    let enabled = fs::read_to_string("/proc/sys/net/mptcp/enabled");
    let counters = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let sent = counter(&counters, "MPTcpExt", "MPCapableSYNTX");
    let received = counter(&counters, "MPTcpExt", "MPCapableSYNRX");
    Mptcp {
        is_enabled: enabled.is_ok_and(|text| text.trim() == "1"),
        open: counter(&counters, "MPTcpExt", "MPCurrEstab"),
        since_boot: sent.saturating_add(received),
    }
}

/// A value of `/proc/net/netstat`: a line of names, then a line of numbers, both after the group's
/// name (proc_net(5)).
fn counter(text: &str, group: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| {
        let (head, rest) = line.split_once(':')?;
        (head == group).then(|| rest.split_whitespace())
    });
    let (Some(names), Some(mut values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let place = names.into_iter().position(|found| found == name);
    place
        .and_then(|place| values.nth(place)?.parse().ok())
        .unwrap_or(0)
}

pub(super) fn api(config: &Config) -> Result<Access, Failure> {
    workload::ask_api(&config.kubernetes).map_err(Failure::Export)
}

/// A collector: its name, and its address when it takes requests, or the reason why it does not.
type Collector = (String, Result<String, String>);

/// Each collector that is configured.
pub(super) fn collectors(config: &Config) -> Result<Vec<Collector>, Failure> {
    let mut found = Vec::new();
    for settings in configure::collectors(config)? {
        let greeting = otlp::greet(&settings).map_err(Failure::Export)?;
        let url = settings.url.to_string();
        found.push((settings.name.clone(), greeting.map(|()| url)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_by_name() {
        let text =
            "TcpExt: A B\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX MPCapableSYNTX\nMPTcpExt: 30 4\n";
        let check = |group, name, expected| assert_eq!(counter(text, group, name), expected);
        check("MPTcpExt", "MPCapableSYNRX", 30);
        check("MPTcpExt", "MPCapableSYNTX", 4);
        check("TcpExt", "B", 2);
        check("TcpExt", "C", 0);
        check("IpExt", "A", 0);
        assert_eq!(counter("", "TcpExt", "A"), 0);
        assert_eq!(counter("TcpExt: A\n", "TcpExt", "A"), 0);
    }

    #[test]
    fn this_process_is_found_by_its_name() {
        let own = fs::read_to_string("/proc/self/comm").expect("a name");
        assert!(processes(own.trim_end()) > 0);
        assert_eq!(processes("no program is called that"), 0);
    }
}
