//! Whose socket it is: from a socket cookie to a process.

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, in the agent's own PID namespace.
    pub pid: u32,
    /// The kernel's name of it (`/proc/PID/comm`).
    pub name: Box<str>,
}
