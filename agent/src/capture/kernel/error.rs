//! Why capture cannot start: one sentence each, with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why capture cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The binary has no kernel programs in it.
    #[error(
        "this meshtap was built without its kernel programs: build it with `cargo xtask build --release`"
    )]
    NoPrograms,
    /// A capability is missing.
    #[error(
        "capturing needs {missing}, which this process does not have: run meshtap as root, or give it CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Privilege {
        /// The capabilities that are missing, by name.
        missing: String,
    },
    /// No cgroup v2 hierarchy was found.
    #[error(
        "no cgroup v2 hierarchy is mounted here: mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`), or name one with --cgroup"
    )]
    NoCgroup,
    /// The cgroup cannot be opened.
    #[error("cgroup {} cannot be opened ({source}): name a folder of the cgroup v2 hierarchy with --cgroup", path.display())]
    Cgroup {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is no cgroup v2.
    #[error("{} is not in a cgroup v2 hierarchy: name a folder that is with --cgroup", path.display())]
    NotCgroup {
        /// The folder.
        path: PathBuf,
    },
    /// The kernel lacks what the hook needs.
    #[error("kernel {release} is too old for capture: meshtap needs Linux 5.10 or newer")]
    Kernel {
        /// `uname -r`.
        release: String,
    },
    /// Kernels before 5.11 account BPF memory against RLIMIT_MEMLOCK.
    #[error(
        "the kernel refused memory for the maps ({source}): raise the locked-memory limit (`ulimit -l unlimited`, LimitMEMLOCK=infinity), or make the ring buffer smaller"
    )]
    Memory {
        /// What the kernel said.
        source: io::Error,
    },
    /// The verifier refused a program.
    #[error(
        "kernel {release} refused program {program} ({reason}): please report this line; meshtap cannot capture on this kernel"
    )]
    Refused {
        /// The program's name.
        program: &'static str,
        /// The verifier's last words.
        reason: String,
        /// `uname -r`.
        release: String,
    },
    /// Attaching failed.
    #[error(
        "program {program} cannot be attached to cgroup {} ({source}): another program there may forbid it; look with `bpftool cgroup tree`",
        path.display()
    )]
    Attach {
        /// The program's name.
        program: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The object and the agent do not fit together, or a system call failed that should not.
    #[error(
        "the kernel programs cannot be set up ({reason}): rebuild with `cargo xtask build --release`"
    )]
    Setup {
        /// What went wrong.
        reason: String,
    },
}
