//! Attribution: from a socket cookie to a process.
//!
//! ```text
//! cookie ─ BPF programs (connect, close) ─► pid, name
//! cookie + addresses ─ sock_diag(7) ─► inode ─ /proc/PID/fd ─► pid ─ /proc/PID/comm ─► name
//! ```
//!
//! The kernel gives both the event's cookie and sock_diag's from one counter (`sock_gen_cookie`),
//! so a socket is never taken for another one that reuses its addresses. All of this is slow beside
//! a packet and runs on a thread of its own, which starts on a socket when its first segment is
//! seen; the data thread only says that there is one.

mod diag;
mod finder;
mod lookup;
mod namespace;
mod owner;
mod survey;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::capture::Witness;
pub use crate::flow::Process;

use crate::capture::Event;
use crate::flow::{CgroupId, Endpoint, Peers, Side, SocketId};

pub use survey::{LiveSocket, Survey, survey};

use lookup::Shared;

/// What is known of a socket whose process is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Query {
    socket: SocketId,
    cgroup: CgroupId,
    local: Endpoint,
    remote: Endpoint,
}

/// Sockets remembered as announced, one per slot: collisions announce a socket again, which costs a
/// cache hit.
const SEEN: usize = 4096;
/// Sockets noted while the lookup thread holds the lock, which it does for microseconds; more are
/// looked up on demand.
const FRESH: usize = 4096;

/// The lookup service. Its thread ends when this is dropped.
#[derive(Debug)]
pub struct Processes {
    shared: Arc<Shared>,
}

impl Processes {
    /// Starts the lookup thread. A witness is asked before anyone searches.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(witness: Option<Box<dyn Witness>>) -> io::Result<Self> {
        Ok(Self {
            shared: lookup::start(witness)?,
        })
    }

    /// The data thread's end.
    #[must_use]
    pub fn announcer(&self) -> Announcer {
        Announcer {
            shared: Arc::clone(&self.shared),
            seen: vec![0; SEEN].into_boxed_slice(),
            fresh: Vec::new(),
        }
    }

    /// The process of an exchange's socket; waits until `deadline` at most when a look-up is under
    /// way.
    #[must_use]
    pub fn of(&self, peers: &Peers, deadline: Instant) -> Option<Arc<Process>> {
        let (local, remote) = match peers.side {
            Side::Server => (peers.server, peers.client),
            Side::Client => (peers.client, peers.server),
        };
        let query = Query {
            socket: peers.socket,
            cgroup: peers.cgroup,
            local,
            remote,
        };
        self.shared.wait(query, deadline)
    }
}

impl Processes {
    /// The process at the client's end of a server's socket, when that is a socket of this machine
    /// that was seen too: the one with the same two addresses the other way round. Nothing where
    /// two sockets had them within [`lookup::AMBIGUOUS`]: loopback addresses are in every network
    /// namespace.
    #[must_use]
    pub fn caller_of(&self, peers: &Peers, deadline: Instant) -> Option<Arc<Process>> {
        if peers.side != Side::Server {
            return None;
        }
        let query = self.shared.at(peers.client, peers.server)?;
        self.shared.wait(query, deadline)
    }

    /// Every socket of the last seconds whose process is known. Waits until `deadline` at most for
    /// look-ups that are under way, and has those made again that came too early.
    #[must_use]
    pub fn known(&self, deadline: Instant) -> Vec<(SocketId, Arc<Process>)> {
        self.shared.known(deadline)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// The data thread's end: says which sockets are new. Never waits.
#[derive(Debug)]
pub struct Announcer {
    shared: Arc<Shared>,
    seen: Box<[u64]>,
    fresh: Vec<Query>,
}

impl Announcer {
    /// Notes the socket of an event if it is new.
    pub fn event(&mut self, event: &Event<'_>) {
        if event.bytes().is_empty() {
            return;
        }
        match event {
            // A listener's cookie is not that of the connection.
            Event::Tcp(segment) if !segment.listener => self.note(Query {
                socket: segment.socket,
                cgroup: segment.cgroup,
                local: segment.local,
                remote: segment.remote,
            }),
            Event::Plaintext(range) if range.socket != SocketId::default() => self.note(Query {
                socket: range.socket,
                cgroup: range.cgroup,
                local: range.local,
                remote: range.remote,
            }),
            _ => {}
        }
    }

    fn note(&mut self, query: Query) {
        let cookie = query.socket.0;
        // Cookies are counted up per CPU in batches: their low bits spread well.
        let slot = usize::try_from(cookie).unwrap_or(0) % self.seen.len().max(1);
        match self.seen.get_mut(slot) {
            Some(seen) if *seen != cookie => *seen = cookie,
            _ => return,
        }
        if self.fresh.len() < FRESH {
            self.fresh.push(query);
        }
    }

    /// Announces what was noted since the last call; at the next one if the lock is held just now.
    pub fn flush(&mut self) {
        if !self.fresh.is_empty() {
            self.shared.announce(&mut self.fresh);
        }
    }
}

/// The socket of this network namespace with these two addresses, if it has one: the other end of a
/// connection within this machine.
#[must_use]
pub fn socket_at(local: Endpoint, remote: Endpoint) -> Option<SocketId> {
    let mut diag = diag::Diag::open().ok()?;
    diag.cookie(local, remote).ok()?.map(SocketId)
}

/// How long an exchange's line waits for its process at most: several look-ups on a busy node, and
/// hardly felt by a reader.
pub const TIMEOUT: Duration = Duration::from_millis(250);
