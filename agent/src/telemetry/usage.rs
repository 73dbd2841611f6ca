//! What the process uses: processor time (CLOCK_PROCESS_CPUTIME_ID) and resident memory
//! (proc_pid_status(5), `VmRSS`).

use rustix::time::{ClockId, clock_gettime};

use crate::clock::monotonic;

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Cores kept busy since the reading before.
    pub cpu: f64,
    /// Bytes of resident memory.
    pub memory: u64,
}

/// Makes readings.
#[derive(Debug)]
pub struct Usages {
    time: u64,
    cpu: u64,
}

impl Usages {
    /// The first reading is of the time since now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            time: monotonic(),
            cpu: cpu_nanos(),
        }
    }

    /// Reads.
    pub fn read(&mut self) -> Usage {
        let (time, cpu) = (monotonic(), cpu_nanos());
        let passed = time.saturating_sub(self.time).max(1);
        let used = cpu.saturating_sub(self.cpu);
        (self.time, self.cpu) = (time, cpu);
        Usage {
            cpu: used as f64 / passed as f64,
            memory: resident(),
        }
    }
}

impl Default for Usages {
    fn default() -> Self {
        Self::new()
    }
}

/// Processor time of all threads so far.
pub(super) fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Resident bytes; 0 where they cannot be read.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        let rest = line.strip_prefix("VmRSS:")?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_uses_something() {
        let mut usages = Usages::new();
        let sum: u64 = (0..1_000_000_u64).map(std::hint::black_box).sum();
        assert!(std::hint::black_box(sum) > 0);
        let usage = usages.read();
        assert!(usage.cpu > 0.0, "{usage:?}");
        assert!(usage.memory > 100_000, "{usage:?}");
    }
}
