//! Who talks to whom: the identity of a socket, of its two ends, and of the side it stands on.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Nanoseconds of a monotonic clock (CLOCK_MONOTONIC for live capture; of the recording for a replay).
pub type Nanos = u64;

/// A socket cookie: unique while the machine is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

    /// The direction that requests take at a socket of this side.
    #[must_use]
    pub const fn requests(self) -> Direction {
        match self {
            Self::Server => Direction::Ingress,
            Self::Client => Direction::Egress,
        }
    }
}

/// An address and a port. IPv4 is kept mapped into IPv6, so a dual-stack socket and its IPv4 peer compare equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    addr: [u8; 16],
    port: u16,
}

impl Endpoint {
    /// From an IPv6 or v4-mapped address and a port in host order.
    #[must_use]
    pub const fn from_mapped(addr: [u8; 16], port: u16) -> Self {
        Self { addr, port }
    }

    /// The address; IPv4 when it is a mapped one.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from(self.addr).to_canonical()
    }

    /// The address as IPv6 or v4-mapped bytes.
    #[must_use]
    pub const fn mapped(&self) -> [u8; 16] {
        self.addr
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        let mapped = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self {
            addr: mapped.octets(),
            port: addr.port(),
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip(), endpoint.port())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A stretch of one direction of a TCP connection, as a hook (or a recording) gave it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When the kernel handled it.
    pub time: Nanos,
    /// Whose socket; the listener's when `listener` is set.
    pub socket: SocketId,
    /// The socket's cgroup (the listener's when `listener` is set).
    pub cgroup: CgroupId,
    /// Which way, as seen by the socket.
    pub direction: Direction,
    /// The socket's own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// TCP sequence number of the first byte.
    pub seq: u32,
    /// TCP acknowledgement number: what the sender had received of the other direction.
    pub ack: u32,
    /// The socket's position in this direction before the segment: bytes before it were given already, or lost.
    pub expected: u32,
    /// Bytes on the wire; `payload` holds the first of them, fewer when the rest was not copied.
    pub wire_len: u32,
    /// `expected` is the very first byte of this direction.
    pub start: bool,
    /// FIN: `seq + wire_len` ends this direction.
    pub fin: bool,
    /// RST: the connection is gone.
    pub rst: bool,
    /// The socket is the listener; the connection is the one with the same two ends.
    pub listener: bool,
    /// Bytes were left out on purpose (body budget), so a gap here is not a loss of the kernel's.
    pub skipped: bool,
    /// The bytes.
    pub payload: &'a [u8],
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, in the initial PID namespace (or the agent's own, when the kernel side cannot tell).
    pub pid: u32,
    /// The kernel's name of it (`/proc/PID/comm`).
    pub name: Box<str>,
}
