//! What other parts may ask the kernel, and write into it, without knowing how it is done.

use std::io;

use crate::flow::{CgroupId, Process, SocketId};

/// Someone who saw which process connected or closed a socket.
pub trait Witness: Send + Sync {
    /// The process, if it was seen.
    fn owner(&self, socket: SocketId) -> Option<Process>;
}

/// What the kernel does not copy of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excluded {
    /// All is in scope.
    #[default]
    Nothing,
    /// Its sockets; what ztunnel in it decrypts and encrypts is in scope.
    Sockets,
    /// All is out of scope.
    All,
}

/// Who keeps the kernel from copying what is out of scope.
pub trait Exclusions: Send + Sync {
    /// New connections of a cgroup's sockets are ignored, or no more.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn set(&self, cgroup: CgroupId, excluded: Excluded) -> io::Result<()>;
}
