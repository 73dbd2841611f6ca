//! The hooks as a table: each has a name, its BPF programs, and where they attach.
//!
//! A hook is attached whole or not at all, and on its own: one that a kernel refuses is recorded
//! with the reason, and the others stay. A new hook is a file here and a line in [`TABLE`].

mod connection;
mod owner;
mod socket;
mod tls;

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

use aya::Ebpf;
use aya::programs::{
    CgroupAttachMode, CgroupSkbAttachType, Program as LoadedProgram, ProgramError,
};

pub use self::connection::{Connections, Tally};
pub use self::owner::Owners;
use super::error::{refused, setup};
use super::tls::Loaded;
use super::{CaptureError, CaptureOptions};

/// The hooks there are.
static TABLE: &[&Hook] = &[&socket::HOOK, &owner::HOOK, &connection::HOOK, &tls::HOOK];

/// The name of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookName {
    /// Every packet that a socket of the cgroup receives or sends.
    Socket,
    /// Which process connects or closes a socket.
    Owner,
    /// The beginning and the end of every TCP connection.
    Connection,
    /// What TLS libraries of processes read and write.
    Tls,
}

impl HookName {
    /// The name in metrics and output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Owner => "owner",
            Self::Connection => "connection",
            Self::Tls => "tls",
        }
    }

    /// It captures bytes. Without any such hook there is nothing to do.
    #[must_use]
    pub const fn captures(self) -> bool {
        match self {
            Self::Socket | Self::Tls => true,
            Self::Owner | Self::Connection => false,
        }
    }
}

/// Whether a hook is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    /// Every program of it is attached.
    Attached,
    /// The kernel refused it.
    Refused {
        /// Why, in words for a person.
        reason: String,
    },
}

/// A hook, as it is after the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStatus {
    /// Its name.
    pub name: HookName,
    /// What is missing without it, or can be done about that, in words for a person.
    pub without: &'static str,
    /// Names of its BPF programs, as `bpftool prog` shows them (the first 15 bytes).
    pub programs: Vec<&'static str>,
    /// Whether it is in place.
    pub state: HookState,
}

/// A line of the table.
struct Hook {
    name: HookName,
    /// See [`HookStatus::without`].
    without: &'static str,
    programs: Programs,
}

/// The BPF programs of a hook.
enum Programs {
    /// They attach to the captured cgroup.
    OfCgroup(&'static [Program]),
    /// They are an object of their own, and attach to files later.
    OfFiles(&'static [&'static str]),
}

/// A BPF program of a hook.
struct Program {
    name: &'static str,
    attach: AttachPoint,
}

/// Where a program attaches.
#[derive(Clone, Copy)]
enum AttachPoint {
    /// `cgroup_skb`, in one direction.
    Skb(CgroupSkbAttachType),
    /// `cgroup/connect4` and the like: which, the object says.
    SockAddr,
    /// `cgroup/sock_release` and the like: which, the object says.
    Sock,
    /// `sock_ops`.
    SockOps,
}

/// Which of the hooks that need not be there are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// [`HookName::Connection`].
    pub connections: bool,
}

/// What came of attaching.
pub(super) struct Attached {
    /// Every hook of the table.
    pub(super) hooks: Vec<HookStatus>,
    /// Why no hook of the cgroup captures, if none does: the first refusal.
    pub(super) refusal: Option<CaptureError>,
    /// What the TLS hook is made of, where it is in place.
    pub(super) tls: Option<Loaded>,
}

/// Loads and attaches every hook that is wanted. What is attached stays until `ebpf` goes, however
/// it goes: a link lives as long as its file descriptor.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    options: &CaptureOptions,
    path: &Path,
    cgroup: &File,
) -> Attached {
    let mut attached = Attached {
        hooks: Vec::new(),
        refusal: None,
        tls: None,
    };
    let mut captures = false;
    let wanted: Vec<_> = TABLE
        .iter()
        .filter(|hook| hook.is_wanted(options))
        .collect();
    let mut refusals = load(ebpf, &wanted);
    for hook in wanted {
        let refusal = match &hook.programs {
            Programs::OfCgroup(programs) => {
                match start(programs, ebpf, path, cgroup, &mut refusals) {
                    Ok(()) => {
                        captures |= hook.name.captures();
                        None
                    }
                    Err(error) => {
                        unload(programs, ebpf);
                        let reason = error.to_string();
                        if hook.name.captures() {
                            attached.refusal.get_or_insert(error);
                        }
                        Some(reason)
                    }
                }
            }
            Programs::OfFiles(_) => match super::tls::load(options, path, cgroup) {
                Ok(loaded) => {
                    attached.tls = Some(loaded);
                    None
                }
                Err(reason) => Some(reason),
            },
        };
        attached.hooks.push(HookStatus {
            name: hook.name,
            without: hook.without,
            programs: hook.programs.names(),
            state: match refusal {
                None => HookState::Attached,
                Some(reason) => HookState::Refused { reason },
            },
        });
    }
    attached.refusal = attached.refusal.filter(|_| !captures);
    attached
}

impl Hook {
    fn is_wanted(&self, options: &CaptureOptions) -> bool {
        match self.name {
            HookName::Socket | HookName::Owner => true,
            HookName::Connection => options.wanted.connections,
            HookName::Tls => options.tls.any(),
        }
    }
}

impl Programs {
    fn names(&self) -> Vec<&'static str> {
        match self {
            Self::OfCgroup(programs) => programs.iter().map(|program| program.name).collect(),
            Self::OfFiles(names) => names.to_vec(),
        }
    }
}

/// Programs that the kernel refused to load, by their names.
type Refusals = Vec<(&'static str, CaptureError)>;

/// Loads the programs of the cgroup, all at once: the verifier takes a tenth of a second for some,
/// and nothing is captured meanwhile.
fn load(ebpf: &mut Ebpf, hooks: &[&&Hook]) -> Refusals {
    let programs = hooks.iter().flat_map(|hook| match &hook.programs {
        Programs::OfCgroup(programs) => *programs,
        Programs::OfFiles(_) => &[],
    });
    let names: Vec<_> = programs.map(|program| program.name).collect();
    thread::scope(|scope| {
        let loads: Vec<_> = (ebpf.programs_mut())
            .filter_map(|(name, program)| {
                let name = *names.iter().find(|wanted| **wanted == name)?;
                let load = thread::Builder::new()
                    .name("load".into())
                    .spawn_scoped(scope, move || load_one(name, program));
                Some((name, load))
            })
            .collect();
        let refusal = |load: io::Result<ScopedJoinHandle<'_, _>>| match load {
            Ok(load) => load
                .join()
                .unwrap_or_else(|_| Err(not_loaded("a bug")))
                .err(),
            Err(error) => Some(not_loaded(&error)),
        };
        let refusals = loads.into_iter();
        refusals
            .filter_map(|(name, load)| Some((name, refusal(load)?)))
            .collect()
    })
}

fn not_loaded(reason: impl Display) -> CaptureError {
    CaptureError::Setup {
        reason: format!("a program was not loaded: {reason}"),
    }
}

fn load_one(name: &'static str, program: &mut LoadedProgram) -> Result<(), CaptureError> {
    let loaded = match program {
        LoadedProgram::CgroupSkb(program) => program.load(),
        LoadedProgram::CgroupSockAddr(program) => program.load(),
        LoadedProgram::CgroupSock(program) => program.load(),
        LoadedProgram::SockOps(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    loaded.map_err(|error| refused(name, error))
}

/// None is attached unless all were loaded.
fn start(
    programs: &[Program],
    ebpf: &mut Ebpf,
    path: &Path,
    cgroup: &File,
    refusals: &mut Refusals,
) -> Result<(), CaptureError> {
    let is_ours = |name| programs.iter().any(|program| program.name == name);
    if let Some(at) = refusals.iter().position(|(name, _)| is_ours(*name)) {
        return Err(refusals.swap_remove(at).1);
    }
    for program in programs {
        program.attach(ebpf, path, cgroup)?;
    }
    Ok(())
}

/// Takes back what of a hook is loaded or attached.
fn unload(programs: &[Program], ebpf: &mut Ebpf) {
    for program in programs {
        // What was not loaded says so; that is what is wanted.
        let _ = match ebpf.program_mut(program.name) {
            Some(LoadedProgram::CgroupSkb(program)) => program.unload(),
            Some(LoadedProgram::CgroupSockAddr(program)) => program.unload(),
            Some(LoadedProgram::CgroupSock(program)) => program.unload(),
            Some(LoadedProgram::SockOps(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}

impl Program {
    fn find<'a>(&self, ebpf: &'a mut Ebpf) -> Result<&'a mut LoadedProgram, CaptureError> {
        ebpf.program_mut(self.name)
            .ok_or_else(|| CaptureError::Setup {
                reason: format!("there is no program {}", self.name),
            })
    }

    fn attach(&self, ebpf: &mut Ebpf, path: &Path, cgroup: &File) -> Result<(), CaptureError> {
        // Flags of zero: a link always allows others beside it, and older kernels refuse any flag.
        let mode = CgroupAttachMode::Single;
        let program = self.find(ebpf)?;
        let attached = match (self.attach, program) {
            (AttachPoint::Skb(direction), LoadedProgram::CgroupSkb(program)) => {
                program.attach(cgroup, direction, mode).map(drop)
            }
            (AttachPoint::SockAddr, LoadedProgram::CgroupSockAddr(program)) => {
                program.attach(cgroup, mode).map(drop)
            }
            (AttachPoint::Sock, LoadedProgram::CgroupSock(program)) => {
                program.attach(cgroup, mode).map(drop)
            }
            (AttachPoint::SockOps, LoadedProgram::SockOps(program)) => {
                program.attach(cgroup, mode).map(drop)
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        attached.map_err(|error| match error {
            ProgramError::SyscallError(error) => CaptureError::Attach {
                program: self.name,
                path: path.to_path_buf(),
                source: error.io_error,
            },
            error => setup(error.into()),
        })
    }
}
