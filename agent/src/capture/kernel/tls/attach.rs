//! Attaching to the functions of a file, and detaching from them.
//!
//! Probes belong to an inode: every process that has the file mapped runs into them. Return probes
//! come first and the handshake's last, so that of a session whose handshake is seen nothing is
//! missed.

use std::fmt;
use std::fs::File;
use std::os::fd::AsRawFd as _;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::cgroup_sock::CgroupSockLinkId;
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::sock_ops::SockOpsLinkId;
use aya::programs::uprobe::{UProbeLinkId, UProbeScope};
use aya::programs::{
    CgroupAttachMode, CgroupSock, Program, ProgramError, RawTracePoint, SockOps, UProbe,
};
use hashbrown::HashMap as Table;
use meshtap_common::{TlsConfig, TlsProcess};

use super::super::CaptureError;
use super::super::error::{refused, setup};
use super::Libraries;
use crate::capture::tls::discover::FileKey;
use crate::capture::tls::locate::{Located, Role};

pub(super) const READ: &str = "meshtap_ssl_read";
pub(super) const WRITE: &str = "meshtap_ssl_write";
pub(super) const READ_EX: &str = "meshtap_ssl_readx";
pub(super) const WRITE_EX: &str = "meshtap_ssl_writex";
pub(super) const READ_SHARED: &str = "meshtap_ssl_readi";
pub(super) const WRITE_FLAGS: &str = "meshtap_ssl_writef";
pub(super) const HANDSHAKE: &str = "meshtap_ssl_shake";
pub(super) const SHUTDOWN: &str = "meshtap_ssl_shut";
pub(super) const RETURN: &str = "meshtap_ssl_ret";
pub(super) const AEAD_NEW: &str = "meshtap_aead_new";
pub(super) const AEAD_OPEN: &str = "meshtap_aead_open";
pub(super) const AEAD_SEAL: &str = "meshtap_aead_seal";
pub(super) const AEAD_RETURN: &str = "meshtap_aead_ret";
pub(super) const SENT: &str = "meshtap_ssl_sent";
pub(super) const RECEIVED: &str = "meshtap_ssl_recv";
pub(super) const RECEIVED_TCP: &str = "meshtap_ssl_tcp";
pub(super) const RELEASED: &str = "meshtap_ssl_close";
pub(super) const ESTABLISHED: &str = "meshtap_ssl_new";

/// A function's programs, at its entry and at its return, in the order in which they attach.
const FUNCTIONS: &[(Role, &str, Option<&str>)] = &[
    (Role::Shutdown, SHUTDOWN, Some(RETURN)),
    (Role::Write, WRITE, Some(RETURN)),
    (Role::WriteEx, WRITE_EX, Some(RETURN)),
    (Role::WriteShared, WRITE_EX, Some(RETURN)),
    (Role::WriteFlags, WRITE_FLAGS, Some(RETURN)),
    (Role::Read, READ, Some(RETURN)),
    (Role::ReadEx, READ_EX, Some(RETURN)),
    (Role::ReadShared, READ_SHARED, Some(RETURN)),
    (Role::Handshake, HANDSHAKE, Some(RETURN)),
    (Role::AeadSeal, AEAD_SEAL, None),
    (Role::AeadOpen, AEAD_OPEN, Some(AEAD_RETURN)),
    (Role::AeadNew, AEAD_NEW, None),
];

/// Of OpenSSL and BoringSSL.
const OF_SSL: &[&str] = &[
    READ,
    WRITE,
    READ_EX,
    WRITE_EX,
    READ_SHARED,
    WRITE_FLAGS,
    HANDSHAKE,
    SHUTDOWN,
    RETURN,
];
/// Of rustls over aws-lc.
const OF_RUSTLS: &[&str] = &[AEAD_NEW, AEAD_OPEN, AEAD_SEAL, AEAD_RETURN];

/// Program, tracepoint: since Linux 6.3.
const SOCKET_IO: &[(&str, &str)] = &[(SENT, "sock_send_length"), (RECEIVED, "sock_recv_length")];
/// For older kernels: only what is received.
const SOCKET_IO_OLD: &[(&str, &str)] = &[(RECEIVED_TCP, "tcp_rcv_space_adjust")];

/// Why a file's functions cannot be attached to, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// The probes of the TLS hook. Ends when dropped.
pub struct TlsProbes {
    ebpf: Ebpf,
    libraries: Libraries,
    is_loaded: bool,
    attached: Table<FileKey, Attached>,
    /// What is attached while any file is.
    common: Option<Common>,
    cgroup: File,
    pub(super) processes: HashMap<MapData, u64, TlsProcess>,
    /// Processes whose threads the programs follow.
    rustls: HashMap<MapData, u64, u32>,
    /// Holds the map: the programs read it.
    _settings: Array<MapData, TlsConfig>,
}

struct Attached {
    entries: Vec<(&'static str, UProbeLinkId)>,
    returns: Vec<(&'static str, UProbeLinkId)>,
}

struct Common {
    tracepoints: Vec<(&'static str, RawTracePointLinkId)>,
    released: CgroupSockLinkId,
    established: SockOpsLinkId,
}

impl fmt::Debug for TlsProbes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsProbes")
            .field("files", &self.attached.len())
            .finish_non_exhaustive()
    }
}

/// Loads the programs for these libraries: the kernel takes a good part of a second to verify some
/// of them.
fn load(ebpf: &mut Ebpf, libraries: Libraries) -> Result<(), CaptureError> {
    let of = |is_wanted, names: &'static [&'static str]| if is_wanted { names } else { &[] };
    let ssl = of(libraries.ssl, OF_SSL);
    for name in ssl.iter().chain(of(libraries.rustls, OF_RUSTLS)) {
        let program = program::<UProbe>(ebpf, name)?;
        program.load().map_err(|error| refused(name, error))?;
    }
    let program = program::<CgroupSock>(ebpf, RELEASED)?;
    program.load().map_err(|error| refused(RELEASED, error))?;
    let program = self::program::<SockOps>(ebpf, ESTABLISHED)?;
    program
        .load()
        .map_err(|error| refused(ESTABLISHED, error))?;
    for (name, _) in SOCKET_IO.iter().chain(SOCKET_IO_OLD) {
        let program = self::program::<RawTracePoint>(ebpf, name)?;
        program.load().map_err(|error| refused(name, error))?;
    }
    Ok(())
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, CaptureError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let missing = || CaptureError::Setup {
        reason: format!("there is no program {name}"),
    };
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    program
        .try_into()
        .map_err(|error: ProgramError| setup(error.into()))
}

impl TlsProbes {
    pub(super) fn new(
        ebpf: Ebpf,
        libraries: Libraries,
        settings: Array<MapData, TlsConfig>,
        (processes, rustls): (
            HashMap<MapData, u64, TlsProcess>,
            HashMap<MapData, u64, u32>,
        ),
        cgroup: File,
    ) -> Self {
        Self {
            ebpf,
            libraries,
            is_loaded: false,
            attached: Table::new(),
            common: None,
            cgroup,
            processes,
            rustls,
            _settings: settings,
        }
    }

    /// Loads the programs, where they are not loaded yet.
    pub(super) fn load(&mut self) -> Result<(), CaptureError> {
        if !self.is_loaded {
            load(&mut self.ebpf, self.libraries)?;
            self.is_loaded = true;
        }
        Ok(())
    }

    /// Attaches to the functions of a file: all of them or none.
    ///
    /// # Errors
    /// Why the kernel does not.
    pub fn attach(&mut self, key: FileKey, file: &File, located: &Located) -> Result<(), Refused> {
        self.load().map_err(|error| Refused(error.to_string()))?;
        self.detach(key);
        let mut attached = Attached {
            entries: Vec::new(),
            returns: Vec::new(),
        };
        let done = self
            .attach_common()
            .and_then(|()| self.attach_to(&mut attached, file, located));
        if let Err(error) = done {
            self.take_back(attached);
            self.detach_common();
            return Err(Refused(words(&error)));
        }
        self.attached.insert(key, attached);
        Ok(())
    }

    /// Detaches from a file. Sessions that are in use go on where they are attached to again, as
    /// ones of which the beginning was not seen.
    pub fn detach(&mut self, key: FileKey) {
        if let Some(attached) = self.attached.remove(&key) {
            self.take_back(attached);
            self.detach_common();
        }
    }

    /// Follows what the threads of a process receive, from before it is first seen to use rustls.
    pub(super) fn follow(&mut self, pid: u32) {
        // Without it, a session may be one of which the beginning was not seen.
        let _full = self.rustls.insert(u64::from(pid), 0, 0);
    }

    /// Files that are attached to.
    #[must_use]
    pub fn files(&self) -> usize {
        self.attached.len()
    }

    fn attach_to(
        &mut self,
        attached: &mut Attached,
        file: &File,
        located: &Located,
    ) -> Result<(), ProgramError> {
        // The file itself, whatever has become of its path.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let all = UProbeScope::AllProcesses;
        let functions = || {
            FUNCTIONS.iter().flat_map(|(role, entry, ret)| {
                let probed = located.probed(*role);
                probed.map(move |function| (*entry, *ret, function))
            })
        };
        for (_, name, function) in functions() {
            let Some(name) = name else {
                continue;
            };
            let link = self.uprobe(name)?.attach(function.entry, &path, all)?;
            attached.returns.push((name, link));
        }
        for (name, _, function) in functions() {
            let link = self.uprobe(name)?.attach(function.entry, &path, all)?;
            attached.entries.push((name, link));
        }
        Ok(())
    }

    fn uprobe(&mut self, name: &str) -> Result<&mut UProbe, ProgramError> {
        let program = self.ebpf.program_mut(name);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    /// What is not attached any more says so; that is what is wanted.
    fn take_back(&mut self, attached: Attached) {
        let entries = attached.entries.into_iter().rev();
        for (name, link) in entries.chain(attached.returns) {
            if let Ok(program) = self.uprobe(name) {
                let _gone = program.detach(link);
            }
        }
    }

    fn attach_common(&mut self) -> Result<(), ProgramError> {
        if self.common.is_some() {
            return Ok(());
        }
        let tracepoints = match self.attach_tracepoints(SOCKET_IO) {
            Ok(tracepoints) => tracepoints,
            // Before Linux 6.3 there are none of this name.
            Err(_) => self.attach_tracepoints(SOCKET_IO_OLD)?,
        };
        let program = self.ebpf.program_mut(RELEASED);
        let program: &mut CgroupSock = program.ok_or(ProgramError::NotLoaded)?.try_into()?;
        let released = program.attach(&self.cgroup, CgroupAttachMode::Single)?;
        let program = self.ebpf.program_mut(ESTABLISHED);
        let program: &mut SockOps = program.ok_or(ProgramError::NotLoaded)?.try_into()?;
        let established = program.attach(&self.cgroup, CgroupAttachMode::Single)?;
        self.common = Some(Common {
            tracepoints,
            released,
            established,
        });
        Ok(())
    }

    fn attach_tracepoints(
        &mut self,
        tracepoints: &[(&'static str, &str)],
    ) -> Result<Vec<(&'static str, RawTracePointLinkId)>, ProgramError> {
        let mut attached = Vec::new();
        for (name, tracepoint) in tracepoints {
            match self.raw_tracepoint(name).and_then(|p| p.attach(tracepoint)) {
                Ok(link) => attached.push((*name, link)),
                Err(error) => {
                    self.take_back_tracepoints(attached);
                    return Err(error);
                }
            }
        }
        Ok(attached)
    }

    fn take_back_tracepoints(&mut self, attached: Vec<(&'static str, RawTracePointLinkId)>) {
        for (name, link) in attached {
            if let Ok(program) = self.raw_tracepoint(name) {
                let _gone = program.detach(link);
            }
        }
    }

    fn raw_tracepoint(&mut self, name: &str) -> Result<&mut RawTracePoint, ProgramError> {
        let program = self.ebpf.program_mut(name);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    /// No file is left: no socket's I/O is looked at.
    fn detach_common(&mut self) {
        if !self.attached.is_empty() {
            return;
        }
        let Some(common) = self.common.take() else {
            return;
        };
        self.take_back_tracepoints(common.tracepoints);
        if let Some(Program::CgroupSock(program)) = self.ebpf.program_mut(RELEASED) {
            let _gone = program.detach(common.released);
        }
        if let Some(Program::SockOps(program)) = self.ebpf.program_mut(ESTABLISHED) {
            let _gone = program.detach(common.established);
        }
    }
}

/// The cause, in words for a person.
fn words(error: &ProgramError) -> String {
    let ProgramError::SyscallError(syscall) = error else {
        return error.to_string();
    };
    let denied = [rustix::io::Errno::ACCESS, rustix::io::Errno::PERM];
    let code = syscall.io_error.raw_os_error();
    match denied
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
    {
        true => "the kernel wants CAP_PERFMON for uprobes, or CAP_SYS_ADMIN".to_owned(),
        false => error.to_string(),
    }
}
