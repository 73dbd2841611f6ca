//! Processes with a TLS library that are older than an agent: of a session that began before it,
//! the handshake was not seen, and what comes after that is bytes as any others.

use std::fs;
use std::time::Duration;

use hashbrown::HashMap;

use crate::capture::tls::discover::{Change, Discovery};

/// Longest look at the machine's processes: a program of 100 MB takes two seconds the first time.
const LONGEST: Duration = Duration::from_secs(30);

/// By process: the name of its library.
#[derive(Debug, Default)]
pub(super) struct TlsPrograms(HashMap<u32, String>);

impl TlsPrograms {
    /// Looks at every process once.
    pub(super) fn of_this_machine() -> Self {
        let mut names = HashMap::new();
        let mut found = HashMap::new();
        for change in Discovery::new().poll_all(LONGEST) {
            let (key, pids) = match change {
                Change::Added(target) => {
                    let name = target.path.file_name().unwrap_or_default();
                    names.insert(target.key, name.to_string_lossy().into_owned());
                    (target.key, target.pids)
                }
                Change::Users(key, pids) => (key, pids),
                Change::Removed(_) => continue,
            };
            let Some(name) = names.get(&key) else {
                continue;
            };
            found.extend(pids.into_iter().map(|pid| (pid, name.clone())));
        }
        Self(found)
    }

    /// The library of a process that is no younger than the agent. An agent whose process is not
    /// known may be younger than any.
    pub(super) fn before(&self, pid: u32, agent: Option<u32>) -> Option<&str> {
        let library = self.0.get(&pid)?;
        let is_younger = agent.is_some_and(|agent| match (started(pid), started(agent)) {
            (Some(process), Some(agent)) => process > agent,
            _ => false,
        });
        (!is_younger).then_some(library.as_str())
    }
}

/// When a process started, in clock ticks since boot.
fn started(pid: u32) -> Option<u64> {
    start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of proc_pid_stat(5). The second one is a name, which may have anything in it.
fn start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_process_started() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7777 8 9\n";
        assert_eq!(start_time(stat), Some(7777));
        assert_eq!(start_time("42 (a) S 1"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn a_younger_process_has_no_older_session() {
        let own = std::process::id();
        let programs = TlsPrograms([(own, "libssl.so.3".to_owned())].into_iter().collect());
        // The first process of the machine is older than this one.
        assert_eq!(programs.before(own, Some(1)), None);
        assert_eq!(programs.before(own, Some(own)), Some("libssl.so.3"));
        assert_eq!(programs.before(own, None), Some("libssl.so.3"));
        assert_eq!(programs.before(1, None), None);
    }
}
