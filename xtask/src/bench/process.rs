//! What the kernel says of a running process: processor time, memory, threads, BPF programs.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a process has used so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Nanoseconds on a processor, by the name of the thread.
    pub(super) threads: BTreeMap<String, u64>,
    /// Times that its threads went to sleep.
    pub(super) sleeps: u64,
}

impl Usage {
    /// Of all threads that run now (`/proc/PID/task/*/schedstat`, in nanoseconds).
    pub(super) fn of(pid: u32) -> Self {
        let mut usage = Self::default();
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let name = read("comm").trim().to_owned();
            let on_cpu = read("schedstat");
            let on_cpu = on_cpu.split(' ').next().and_then(|text| text.parse().ok());
            *usage.threads.entry(name).or_default() += on_cpu.unwrap_or(0);
            usage.sleeps += number(&read("status"), "voluntary_ctxt_switches:").unwrap_or(0);
        }
        usage
    }

    /// What was used since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let spent = |(name, time): (&String, &u64)| {
            let before = before.threads.get(name).copied().unwrap_or(0);
            (name.clone(), time.saturating_sub(before))
        };
        Self {
            threads: self.threads.iter().map(spent).collect(),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
        }
    }

    /// Nanoseconds on a processor, of all threads.
    pub(super) fn cpu_ns(&self) -> u64 {
        self.threads.values().sum()
    }
}

/// Bytes of memory that a process has resident.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(number(&status, "VmRSS:")? * 1024)
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Waits until a process accepts connections at this port of IPv4 loopback.
///
/// # Errors
/// When it ends or takes too long, with what it said.
pub(super) fn accepts(
    process: &mut Child,
    port: u16,
    time: Duration,
    name: &str,
    said: impl Fn() -> String,
) -> Result<()> {
    let deadline = Instant::now() + time;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = process.try_wait()? {
            bail!("{name} ended at once, {status}:\n{}", said());
        }
        if Instant::now() > deadline {
            bail!("{name} does not accept connections:\n{}", said());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs of a BPF program, and the time that they took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) count: u64,
    pub(super) ns: u64,
}

/// The BPF programs that a process holds, by the kind and tag that the kernel gives them. They
/// count while `kernel.bpf_stats_enabled` is 1.
pub(super) fn programs(pid: u32) -> BTreeMap<u64, Runs> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = files
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter_map(|text| program(&text)).collect()
}

fn program(text: &str) -> Option<(u64, Runs)> {
    Some((
        number(text, "prog_id:")?,
        Runs {
            count: number(text, "run_cnt:")?,
            ns: number(text, "run_time_ns:")?,
        },
    ))
}

/// Attach types and program ids of the links that a process holds: which program is which.
pub(super) fn links(pid: u32) -> BTreeMap<u64, u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = files
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts
        .filter_map(|text| Some((number(&text, "prog_id:")?, number(&text, "attach_type:")?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let pid = std::process::id();
        let before = Usage::of(pid);
        let mut sum = 0_u64;
        while Usage::of(pid).since(&before).cpu_ns() < 1_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(resident(pid).is_some_and(|bytes| bytes > 100_000));
    }

    #[test]
    fn a_program_is_read() {
        let text = "pos:\t0\nflags:\t02\nprog_type:\t8\nprog_id:\t42\nrun_time_ns:\t1200\nrun_cnt:\t3\nrecursion_misses:\t0\n";
        let expected = Runs { count: 3, ns: 1200 };
        assert_eq!(program(text), Some((42, expected)));
        assert_eq!(program("pos:\t0\n"), None);
    }
}
