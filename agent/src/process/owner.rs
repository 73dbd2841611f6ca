//! `/proc/PID/fd`: from a socket's inode to the process that has it open.

use std::collections::VecDeque;
use std::fs;

use hashbrown::HashMap;
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat};

/// Processes that had a wanted socket lately and are looked at first: the servers of a node.
const RECENT: usize = 32;

/// Finds the processes of sockets.
#[derive(Debug, Default)]
pub(super) struct Owners {
    recent: VecDeque<u32>,
}

impl Owners {
    /// Takes inodes off `wanted` and gives the process of each. Those left have no process that can
    /// be seen.
    ///
    /// Recent owners come first, then the newest process: a short-lived client is both new and soon
    /// gone.
    pub(super) fn find(&mut self, wanted: &mut HashMap<u32, ()>) -> HashMap<u32, u32> {
        let mut found = HashMap::new();
        let recent: Vec<u32> = self.recent.iter().copied().collect();
        let mut buffer = Vec::with_capacity(32);
        for pid in &recent {
            if wanted.is_empty() {
                return found;
            }
            self.scan(*pid, wanted, &mut found, &mut buffer);
        }
        if wanted.is_empty() {
            return found;
        }
        for pid in processes().into_iter().rev() {
            if wanted.is_empty() {
                break;
            }
            if !recent.contains(&pid) {
                self.scan(pid, wanted, &mut found, &mut buffer);
            }
        }
        found
    }

    fn scan(
        &mut self,
        pid: u32,
        wanted: &mut HashMap<u32, ()>,
        found: &mut HashMap<u32, u32>,
        buffer: &mut Vec<u8>,
    ) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty());
        let Some(mut entries) = opened.ok().and_then(|fd| Dir::new(fd).ok()) else {
            self.recent.retain(|recent| *recent != pid);
            return;
        };
        let mut hit = false;
        while let Some(Ok(entry)) = entries.read() {
            let Ok(fd) = entries.fd() else { return };
            let Ok(link) = readlinkat(fd, entry.file_name(), std::mem::take(buffer)) else {
                continue;
            };
            if let Some(inode) = socket_inode(link.to_bytes())
                && wanted.remove(&inode).is_some()
            {
                found.insert(inode, pid);
                hit = true;
            }
            *buffer = link.into_bytes();
            if wanted.is_empty() {
                break;
            }
        }
        if hit {
            self.recent.retain(|recent| *recent != pid);
            self.recent.push_front(pid);
            self.recent.truncate(RECENT);
        }
    }
}

/// The inode in `socket:[123]`.
fn socket_inode(link: &[u8]) -> Option<u32> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The inodes of the sockets that a process has open, as far as they can be seen.
pub(super) fn sockets(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    entries
        .filter_map(|entry| {
            use std::os::unix::ffi::OsStrExt as _;
            let link = fs::read_link(entry.ok()?.path()).ok()?;
            socket_inode(link.as_os_str().as_bytes())
        })
        .collect()
}

/// Every process, in ascending order.
pub(super) fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// The kernel's name of a process.
pub(super) fn name(pid: u32) -> Option<Box<str>> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.trim_ascii_end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let check = |link: &str, expected| assert_eq!(socket_inode(link.as_bytes()), expected);
        check("socket:[12345]", Some(12345));
        check("socket:[]", None);
        check("pipe:[1]", None);
        check("socket:[1", None);
        check("socket:[-1]", None);
    }
}
