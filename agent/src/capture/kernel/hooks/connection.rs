//! The connection hook: the beginning and the end of every TCP connection, with its bytes. Capture
//! works without it.

use std::fmt;
use std::io;

use aya::maps::{Array, MapData, RingBuf};
use meshtap_common::{CONNECTION_CLOSED, ConnectionRecord};

use super::{AttachPoint, Hook, HookName, Program, Programs};
use crate::flow::{Endpoint, Nanos, Side, SocketId};

pub(super) static HOOK: Hook = Hook {
    name: HookName::Connection,
    without: "metrics of TCP connections will be absent",
    programs: Programs::OfCgroup(&[Program {
        name: "meshtap_sockops",
        attach: AttachPoint::SockOps,
    }]),
};

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// When.
    pub time: Nanos,
    /// The socket.
    pub socket: SocketId,
    /// Its own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Which end it is: the one that connected, or the one that accepted.
    pub side: Side,
    /// Bytes sent and received, at the end of the connection; `None` at its beginning.
    pub closed: Option<(u64, u64)>,
}

impl From<ConnectionRecord> for Tally {
    fn from(record: ConnectionRecord) -> Self {
        Self {
            time: record.time_ns,
            socket: SocketId(record.cookie),
            local: Endpoint::from_mapped(record.local_addr, record.local_port),
            remote: Endpoint::from_mapped(record.remote_addr, record.remote_port),
            side: match record.accepted {
                0 => Side::Client,
                _ => Side::Server,
            },
            closed: (record.kind == CONNECTION_CLOSED).then_some((record.sent, record.received)),
        }
    }
}

/// What happens to connections. Works while the capture lives.
pub struct Connections {
    ring: RingBuf<MapData>,
    dropped: Array<MapData, u64>,
}

impl Connections {
    pub(in crate::capture::kernel) const fn new(
        ring: RingBuf<MapData>,
        dropped: Array<MapData, u64>,
    ) -> Self {
        Self { ring, dropped }
    }

    /// Hands over what has happened since, in order.
    pub fn take(&mut self, mut handle: impl FnMut(Tally)) {
        while let Some(record) = self.ring.next() {
            if let Some(record) = ConnectionRecord::read(&record) {
                handle(record.into());
            }
        }
    }

    /// Beginnings and ends that found no room in the ring buffer.
    ///
    /// # Errors
    /// When the kernel does not give its counter.
    pub fn dropped(&self) -> io::Result<u64> {
        self.dropped.get(&0, 0).map_err(io::Error::other)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}
