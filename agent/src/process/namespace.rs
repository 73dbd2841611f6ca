//! Network namespaces other than the agent's own: a container's sockets are seen only from inside
//! its namespace (setns(2)).
//!
//! Nothing here keeps a namespace alive: one is entered by way of a process that lives in it, for
//! as long as one look-up takes.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rustix::fs::{CWD, readlinkat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::owner::processes;
use crate::flow::CgroupId;
use std::os::fd::AsFd;

/// How often `/proc` is searched for namespaces at most.
const SEARCH: Duration = Duration::from_secs(1);
/// Cgroups whose namespace is remembered: the containers of a full node, several times over.
const HINTS: usize = 4096;

/// A network namespace and a process that lives in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Namespace {
    inode: u64,
    pid: u32,
}

/// The namespaces of the node. Belongs to one thread, which it moves.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// The thread's own; `None` when it cannot be reported, and no other is entered then.
    own: Option<(File, u64)>,
    known: Vec<Namespace>,
    hints: HashMap<CgroupId, u64>,
    searched: Option<Instant>,
}

impl Namespaces {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        let own = File::open("/proc/thread-self/ns/net")
            .ok()
            .zip(inode("/proc/thread-self/ns/net"));
        Self {
            own,
            known: Vec::new(),
            hints: HashMap::new(),
            searched: None,
        }
    }

    /// Those other than the thread's own; the ones that had sockets of `cgroups` first.
    pub(super) fn others(&mut self, cgroups: impl Iterator<Item = CgroupId>) -> Vec<Namespace> {
        if self.searched.is_none_or(|at| at.elapsed() >= SEARCH) {
            self.search();
        }
        let hinted: Vec<u64> = cgroups
            .filter_map(|cgroup| self.hints.get(&cgroup).copied())
            .collect();
        let mut others = self.known.clone();
        others.sort_by_key(|namespace| !hinted.contains(&namespace.inode));
        others
    }

    fn search(&mut self) {
        self.searched = Some(Instant::now());
        let Some((_, own)) = &self.own else { return };
        let mut found: HashMap<u64, u32> = HashMap::new();
        for pid in processes() {
            if let Some(inode) = inode(&format!("/proc/{pid}/ns/net"))
                && inode != *own
            {
                // The oldest process of a namespace is the likeliest to stay.
                found.entry(inode).or_insert(pid);
            }
        }
        self.known = found
            .into_iter()
            .map(|(inode, pid)| Namespace { inode, pid })
            .collect();
        self.known.sort_by_key(|namespace| namespace.pid);
    }

    /// Remembers where sockets of a cgroup were found.
    pub(super) fn hint(&mut self, cgroup: CgroupId, namespace: Namespace) {
        if self.hints.len() >= HINTS {
            self.hints.clear();
        }
        self.hints.insert(cgroup, namespace.inode);
    }

    /// Runs `work` in another namespace.
    ///
    /// # Errors
    /// When it cannot be entered: it is gone, or the agent has no CAP_SYS_ADMIN.
    pub(super) fn within<T>(
        &mut self,
        namespace: Namespace,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let Some((own, _)) = &self.own else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let path = format!("/proc/{}/ns/net", namespace.pid);
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(File::open(path)?.as_fd(), kind)?;
        let result = work();
        if let Err(error) = move_into_link_name_space(own.as_fd(), kind) {
            // The thread stays where it is; its sockets of its own namespace are open already. It
            // enters no other.
            self.own = None;
            self.known.clear();
            return Err(error.into());
        }
        result
    }
}

/// The inode in `net:[4026531840]`.
fn inode(path: &str) -> Option<u64> {
    let link = readlinkat(CWD, path, Vec::new()).ok()?;
    let text = link.to_str().ok()?;
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}
