//! Names that hold their owner, and the removal of what a killed run left behind.

use std::fs;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup;

/// Every folder and cgroup of the benches begins with this.
pub(crate) const PREFIX: &str = "meshtap-tests-";

/// Start time of a living process (field 22 of `/proc/PID/stat`, proc(5)): with the pid it names a
/// process for good.
fn start_time(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie has ended, whenever its parent may notice.
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| start.to_owned())
}

/// The part of a name that stands for this process.
pub(crate) fn owner() -> String {
    let pid = std::process::id().to_string();
    let start = start_time(&pid).expect("own start time");
    format!("{PREFIX}{pid}-{start}")
}

/// A new name of this process's.
pub(crate) fn own_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", owner(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The owner in `name` is gone.
fn abandoned(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let mut parts = rest.split('-');
    let (Some(pid), Some(start)) = (parts.next(), parts.next()) else {
        return false;
    };
    start_time(pid).as_deref() != Some(start)
}

fn abandoned_in(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(abandoned))
        .map(|entry| entry.path())
        .collect()
}

/// Removes scratch folders and cgroups, with the processes in them, whose owner is gone. Once per
/// process.
pub fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for folder in abandoned_in(&std::env::temp_dir()) {
            let _ = fs::remove_dir_all(folder);
        }
        for group in cgroup::root().iter().flat_map(|root| abandoned_in(root)) {
            for pid in cgroup::processes(&group) {
                let _ = kill_process(pid, Signal::KILL);
            }
            cgroup::remove_tree(&group);
        }
    });
}

/// Kills processes, never this one.
pub(crate) fn kill_others(pids: &[Pid]) {
    let own = rustix::process::getpid();
    for &pid in pids.iter().filter(|&&pid| pid != own) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{abandoned, own_name};

    #[track_caller]
    fn check(name: &str, expected: bool) {
        assert_eq!(abandoned(name), expected, "{name}");
    }

    #[test]
    fn only_names_of_gone_processes_are_abandoned() {
        check(&own_name(), false);
        check("meshtap-tests-1-0-7", true);
        check("meshtap-tests-4194305-1-0", true);
        check("meshtap-tests-", false);
        check("something-else", false);
    }
}
