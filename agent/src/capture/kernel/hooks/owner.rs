//! The owner hook: which process connected or closed a socket, as the kernel saw it happen. Capture
//! works without it.

use std::fmt;
use std::fs;

use aya::maps::{HashMap, Map, MapData, MapError};
use meshtap_common::Owner;

use super::{AttachPoint, Hook, HookName, Program, Programs};
use crate::capture::Witness;
use crate::flow::{Process, SocketId};

pub(super) static HOOK: Hook = Hook {
    name: HookName::Owner,
    without: "processes of short connections will have no name",
    programs: Programs::OfCgroup(&[
        Program {
            name: "meshtap_connect4",
            attach: AttachPoint::SockAddr,
        },
        Program {
            name: "meshtap_connect6",
            attach: AttachPoint::SockAddr,
        },
        Program {
            name: "meshtap_release",
            attach: AttachPoint::Sock,
        },
    ]),
};

/// `PROC_PID_INIT_INO`: the initial PID namespace, whose process ids the BPF programs
/// report.
const INITIAL: &str = "pid:[4026531836]";

/// Processes by the sockets that they connected or closed. Works while the capture lives.
pub struct Owners {
    table: HashMap<MapData, u64, Owner>,
    /// `/proc` shows the processes by the ids that the BPF programs report.
    same_ids: bool,
}

impl Owners {
    pub(in crate::capture::kernel) fn new(table: Map) -> Result<Self, MapError> {
        let same_ids =
            fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == INITIAL);
        Ok(Self {
            table: HashMap::try_from(table)?,
            same_ids,
        })
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

impl Witness for Owners {
    fn owner(&self, socket: SocketId) -> Option<Process> {
        let Owner { pid, comm } = self.table.get(&socket.0, 0).ok()?;
        // The BPF program saw the name of a thread; that of the process says more.
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
