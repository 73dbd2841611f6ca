//! One process, as `/proc` shows it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::consent::{Candidate, Verdict, program};
use super::maps::MappedFile;
use super::target::FileKey;

/// A process loads its libraries soon after its start, if at all: it is looked at again after 1, 2,
/// 4 … seconds.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What is known of a process.
#[derive(Debug)]
pub(super) struct Process {
    /// In clock ticks since the machine's start. With the id it names one process.
    pub(super) started: u64,
    pub(super) candidate: Candidate,
    pub(super) verdict: Verdict,
    /// Files of which it has mapped code.
    pub(super) files: Vec<MappedFile>,
    /// Those of them that hold a TLS library.
    pub(super) keys: Vec<FileKey>,
    next: Instant,
    delay: Duration,
}

impl Process {
    pub(super) fn new(started: u64, candidate: Candidate, now: Instant) -> Self {
        Self {
            started,
            candidate,
            verdict: Verdict::Unknown,
            files: Vec::new(),
            keys: Vec::new(),
            next: now,
            delay: FIRST_DELAY,
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// It is looked at now.
    pub(super) fn looked(&mut self, now: Instant) {
        self.next = now + self.delay;
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    /// It is looked at with the next scan.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next = now;
        self.delay = FIRST_DELAY;
    }
}

/// Every process, in ascending order.
pub(super) fn all() -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// When a process started (proc_pid_stat(5), field 22).
pub(super) fn started(pid: u32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    start_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The name in parentheses may hold anything, parentheses included.
fn start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Who it is.
pub(super) fn candidate(pid: u32) -> io::Result<Candidate> {
    let path = fs::read_link(format!("/proc/{pid}/exe"))?;
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Ok(Candidate {
        pid,
        program: program(&path),
        cgroup: unified(&groups).to_owned(),
    })
}

/// The path in the hierarchy of cgroup v2 (cgroups(7)).
fn unified(groups: &str) -> &str {
    groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses() {
        let stat = b"12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time(b"12 (a) S 1"), None);
        assert_eq!(start_time(b""), None);
    }

    #[test]
    fn the_unified_hierarchy() {
        assert_eq!(unified("1:cpu:/a\n0::/b/c\n"), "/b/c");
        assert_eq!(unified("1:cpu:/a\n"), "");
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        let candidate = candidate(pid).expect("candidate");
        assert!(candidate.program.starts_with("meshtap"), "{candidate:?}");
        assert!(started(pid).expect("started") > 0);
        assert!(all().expect("processes").contains(&pid));
    }
}
