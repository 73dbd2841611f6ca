//! Who talks to whom, and where in a stream: the identity of a connection, of its two ends, and of
//! the side it stands on; positions and demand. Everything else builds on it, so it imports nothing
//! of ours.

mod connection;
mod demand;
mod endpoint;
mod offset;
mod peers;
mod secured;

pub use connection::{ConnectionId, MAX_DEPTH};
pub use demand::{Demand, Guess};
pub use endpoint::Endpoint;
pub use offset::Offset;
pub use peers::{Claim, Peers, TunnelClaims, TunnelSource};
pub use secured::Secured;

/// Nanoseconds of a monotonic clock (CLOCK_MONOTONIC for live capture; of the recording for a
/// replay).
pub type Nanos = u64;

/// A socket cookie: unique while the machine is up. Zero, which is no cookie: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// A cgroup v2 id (the inode number of its folder).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CgroupId(pub u64);

/// Which way bytes went, as seen by the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The socket received them.
    Ingress,
    /// The socket sent them.
    Egress,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// Which end of a request the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Requests arrive at it.
    Server,
    /// Requests leave from it.
    Client,
}

impl Side {
    /// The name used in output and options.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The direction that requests take at a socket of this side.
    #[must_use]
    pub const fn requests(self) -> Direction {
        match self {
            Self::Server => Direction::Ingress,
            Self::Client => Direction::Egress,
        }
    }
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, in the initial PID namespace (or the agent's own, when the BPF program cannot
    /// know it).
    pub pid: u32,
    /// The kernel's name of it (`/proc/PID/comm`).
    pub name: Box<str>,
}
