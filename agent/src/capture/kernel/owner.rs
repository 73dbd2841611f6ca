//! The owner hooks: which process connected or closed a socket, as the kernel saw it happen. Capture works without them.

use std::fmt;
use std::fs::{self, File};

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, Program, ProgramError};
use meshtap_common::Owner;

use crate::flow::SocketId;
use crate::process::{Process, Witness};

/// `PROC_PID_INIT_INO`: the initial PID namespace, whose process ids the kernel side tells.
const INITIAL: &str = "pid:[4026531836]";

/// Processes by the sockets that they connected or closed. Works while the capture lives.
pub struct Owners {
    table: HashMap<MapData, u64, Owner>,
    /// `/proc` shows the processes by the ids that the kernel side tells.
    same_ids: bool,
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

impl Witness for Owners {
    fn owner(&self, socket: SocketId) -> Option<Process> {
        let Owner { pid, comm } = self.table.get(&socket.0, 0).ok()?;
        // The kernel side saw the name of a thread; that of the process says more.
        let name = self
            .same_ids
            .then(|| fs::read(format!("/proc/{pid}/comm")).ok())
            .flatten();
        let name = name.as_deref().unwrap_or(&comm);
        let text = name
            .split(|b| matches!(b, 0 | b'\n'))
            .next()
            .unwrap_or_default();
        Some(Process {
            pid,
            name: String::from_utf8_lossy(text).into(),
        })
    }
}

/// Attaches the hooks.
///
/// # Errors
/// What a person should know of when names will be missing. The hooks that could be attached stay.
pub(super) fn attach(ebpf: &mut Ebpf, cgroup: &File) -> Result<Owners, String> {
    let table = ebpf.take_map("OWNERS").ok_or("there is no map OWNERS")?;
    let table = HashMap::try_from(table).map_err(|error| error.to_string())?;
    for name in ["meshtap_connect4", "meshtap_connect6", "meshtap_release"] {
        let program = ebpf
            .program_mut(name)
            .ok_or_else(|| format!("there is no program {name}"))?;
        attach_one(program, cgroup).map_err(|error| format!("{name}: {error}"))?;
    }
    let same_ids = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == INITIAL);
    Ok(Owners { table, same_ids })
}

fn attach_one(program: &mut Program, cgroup: &File) -> Result<(), ProgramError> {
    // Flags of zero, as for the socket hook.
    let mode = CgroupAttachMode::Single;
    if let Ok(hook) = TryInto::<&mut CgroupSockAddr>::try_into(&mut *program) {
        hook.load()?;
        hook.attach(cgroup, mode)?;
    } else {
        let hook: &mut CgroupSock = program.try_into()?;
        hook.load()?;
        hook.attach(cgroup, mode)?;
    }
    Ok(())
}
