//! Cgroups of cgroup v2 for tests, with names like those of Kubernetes pods.
//!
//! A socket belongs to the cgroup of the *thread* that made it, and a test's own clients are
//! threads. So the whole test process moves into a cgroup of its own while a test runs, and each
//! test gets a *threaded* cgroup below (kernel documentation, "Control Group v2", Threads), which
//! single threads can enter and processes as well.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use crate::sweep::{kill_others, owner};

/// Where cgroup v2 is mounted: found, never assumed (`/proc/self/mountinfo`, proc(5)).
pub(crate) fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let kind = right.split(' ').next()?;
        (kind == "cgroup2").then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or_default()))
    })
}

/// Processes in a cgroup. For the root of a threaded tree that is every process of the tree.
pub(crate) fn processes(group: &Path) -> Vec<Pid> {
    fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect()
}

/// Removes a cgroup and those below it, waiting for each to be empty: the kernel reports when its
/// last task has left.
pub(crate) fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    wait_empty(group);
    if let Err(error) = fs::remove_dir(group) {
        let _ = writeln!(std::io::stderr(), "cgroup {}: {error}", group.display());
    }
}

fn wait_empty(group: &Path) {
    let Ok(mut events) = fs::File::open(group.join("cgroup.events")) else {
        return;
    };
    // A killed process leaves at once; the bound only keeps a stuck one from hanging the test run.
    let timeout = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    loop {
        let mut text = String::new();
        if events.rewind().is_err() || events.read_to_string(&mut text).is_err() {
            return;
        }
        if text.contains("populated 0") {
            return;
        }
        let mut fds = [PollFd::new(&events, PollFlags::PRI)];
        if !matches!(poll(&mut fds, Some(&timeout)), Ok(n) if n > 0) {
            return;
        }
    }
}

/// The cgroup that the test process is in while any test of it runs.
struct Home {
    path: PathBuf,
    /// Where the process was before.
    before: PathBuf,
    users: usize,
}

/// Numbers the cgroups of this process. One whose processes end late may outlive its test.
static NEXT: AtomicU32 = AtomicU32::new(1);

static HOME: Mutex<Option<Home>> = Mutex::new(None);

/// A cgroup of a test's own. Dropped, it takes every process still in it along.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A new, empty one.
    pub(crate) fn new() -> Self {
        let mut slot = HOME.lock().unwrap_or_else(PoisonError::into_inner);
        let home = slot.get_or_insert_with(|| {
            let root = root().expect("cgroup v2 is mounted");
            let own = fs::read_to_string("/proc/self/cgroup").expect("own cgroup");
            let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
            let before = root.join(own.expect("own cgroup v2"));
            let path = root.join(owner());
            // It is still there when a process of an earlier test ended late.
            fs::create_dir_all(&path).expect("cgroup of the test process");
            fs::write(path.join("cgroup.procs"), "0").expect("enter the test cgroup");
            Home {
                path,
                before,
                users: 0,
            }
        });
        home.users += 1;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = home.path.join(format!("test-{number}"));
        create_threaded(&path);
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The calling thread enters it; threads and processes that it starts are in it from the
    /// beginning.
    pub(crate) fn enter(&self) {
        enter(&self.0);
    }

    /// A cgroup below it with the path that containerd gives a container of a burstable pod
    /// (systemd cgroup driver). `name` is one hexadecimal digit pair that distinguishes the pods of
    /// a test.
    #[must_use]
    pub fn pod(&self, name: u8) -> Pod {
        let container = format!("{name:02x}").repeat(32);
        let uid = format!("{name:02x}0000{name:02x}_0000_4000_8000_0000000000{name:02x}");
        let path = [
            "kubepods.slice".to_owned(),
            "kubepods-burstable.slice".to_owned(),
            format!("kubepods-burstable-pod{uid}.slice"),
            format!("cri-containerd-{container}.scope"),
        ]
        .iter()
        .fold(self.0.clone(), |parent, part| {
            let path = parent.join(part);
            if !path.exists() {
                create_threaded(&path);
            }
            path
        });
        Pod {
            path,
            outside: self.0.clone(),
        }
    }
}

fn create_threaded(path: &Path) {
    fs::create_dir(path).expect("create a cgroup");
    fs::write(path.join("cgroup.type"), "threaded").expect("make the cgroup threaded");
}

fn enter(path: &Path) {
    fs::write(path.join("cgroup.threads"), "0").expect("enter a cgroup");
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let mut slot = HOME.lock().unwrap_or_else(PoisonError::into_inner);
        kill_others(&members(&self.0));
        remove_tree(&self.0);
        if let Some(home) = slot.as_mut() {
            home.users -= 1;
            if home.users == 0 {
                let _ = fs::write(home.before.join("cgroup.procs"), "0");
                remove_tree(&home.path);
                *slot = None;
            }
        }
    }
}

/// Processes with a thread in this tree (`cgroup.procs` cannot be read in a threaded cgroup).
fn members(group: &Path) -> Vec<Pid> {
    let mut pids = Vec::new();
    let threads = fs::read_to_string(group.join("cgroup.threads")).unwrap_or_default();
    for thread in threads.lines() {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        pids.extend(pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?)));
    }
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            pids.extend(members(&entry.path()));
        }
    }
    pids
}

/// A container's cgroup below a test's.
#[derive(Debug)]
pub struct Pod {
    path: PathBuf,
    outside: PathBuf,
}

impl Pod {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id that the kernel gives it: the inode number of its folder.
    #[must_use]
    pub fn id(&self) -> u64 {
        fs::metadata(&self.path).expect("the pod's cgroup").ino()
    }

    /// Runs `f` with the calling thread in this cgroup: processes it starts and sockets it makes
    /// belong to the pod.
    pub fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Back<'a>(&'a Path);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                enter(self.0);
            }
        }
        enter(&self.path);
        let _back = Back(&self.outside);
        f()
    }
}
