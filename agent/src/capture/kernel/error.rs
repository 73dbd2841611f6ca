//! Why capture cannot start: one sentence each, with what to do about it.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::util::KernelVersion;

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
    /// Kernels before 5.11 charge BPF memory against RLIMIT_MEMLOCK.
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

pub(super) fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// An error of loading or of a map, as far as its cause is known.
pub(super) fn setup(error: EbpfError) -> CaptureError {
    if let EbpfError::MapError(MapError::CreateError { io_error, .. }) = &error {
        return match io_error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOMEM.raw_os_error() => memory(io_error),
            // Before 5.11 a map over RLIMIT_MEMLOCK is refused with EPERM.
            Some(code)
                if code == rustix::io::Errno::PERM.raw_os_error()
                    && KernelVersion::current()
                        .is_ok_and(|version| version < KernelVersion::new(5, 11, 0)) =>
            {
                memory(io_error)
            }
            Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => forbidden(),
            _ => CaptureError::Setup {
                reason: error.to_string(),
            },
        };
    }
    CaptureError::Setup {
        reason: error.to_string(),
    }
}

fn memory(error: &io::Error) -> CaptureError {
    CaptureError::Memory {
        source: error
            .raw_os_error()
            .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error),
    }
}

/// The capabilities are there and the kernel still says no: a user namespace, a security module,
/// seccomp.
fn forbidden() -> CaptureError {
    CaptureError::Privilege {
        missing: "the bpf() system call in the initial user namespace".to_owned(),
    }
}

pub(super) fn refused(program: &'static str, error: ProgramError) -> CaptureError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let last = last_words(&log);
            if last.is_empty() && io_error.kind() == io::ErrorKind::PermissionDenied {
                return forbidden();
            }
            CaptureError::Refused {
                program,
                reason: if last.is_empty() {
                    io_error.to_string()
                } else {
                    format!("{io_error}; {last}")
                },
                release: release(),
            }
        }
        error => setup(error.into()),
    }
}

/// The verifier's verdict: its last line that is not a statistic.
fn last_words(log: &str) -> &str {
    log.lines()
        .map(str::trim)
        .rfind(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("verification time")
                && !line.starts_with("stack depth")
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, expected: &str) {
        assert_eq!(last_words(log), expected);
    }

    #[test]
    fn the_verdict_is_found() {
        check("", "");
        check(
            "0: (b7) r0 = 1\nR3 unbounded memory access\nverification time 12 usec\nstack depth 0\nprocessed 3 insns (limit 1000000)\n\n",
            "R3 unbounded memory access",
        );
    }
}
