//! Many connections: found by their identity, bounded in number and in memory, ended by time.

mod ends;
mod plain;
mod time;

use super::connection::{Connection, State};
use super::fairness::{Evictions, Shares};
use super::folding::{EmittedAlone, PeerSocket, PeerSockets};
use super::joins::Joins;
use super::table::{Key, Table};
use crate::capture::{Event, Segment};
use crate::flow::{CgroupId, ConnectionId, Nanos, SocketId};
use crate::http::Bounds;
use crate::ledger::Ledger;
use crate::session::{Context, End, Limits, Origin, Output, RequestStart, Stats};
use crate::transport::tcp::is_old;
use crate::transport::tcp::pre_accept::PreAccept;

/// What every connection works with.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    bounds: Bounds,
    ledger: Ledger,
    stats: Stats,
    /// Requests that began since they were last looked at, once ztunnel was seen.
    starts: Option<Vec<RequestStart>>,
}

impl Shared {
    #[inline]
    fn context<'a>(&'a mut self, connection: &Connection, output: &'a mut Output) -> Context<'a> {
        Context {
            limits: &self.limits,
            bounds: self.bounds,
            ledger: &mut self.ledger,
            stats: &mut self.stats,
            output,
            folded: connection.peer == PeerSocket::Folded
                || (connection.id().is_rustls() && !self.limits.flows),
            one_sided: connection.one_sided,
            starts: self.starts.as_mut(),
        }
    }
}

/// Events in, exchanges out.
#[derive(Debug)]
pub struct Engine {
    shared: Shared,
    table: Table,
    peer_sockets: PeerSockets,
    emitted_alone: EmittedAlone,
    pre_accept: PreAccept,
    evictions: Evictions,
    joins: Joins,
    /// Bytes that connections hold.
    memory: usize,
}

impl Engine {
    /// An engine with no connections.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let bounds = Bounds {
            // Positions in a head are 16 bits wide.
            head: limits.head.min(usize::from(u16::MAX)),
            body: limits.body,
        };
        let joins = Joins::new(limits.flows);
        Self {
            shared: Shared {
                starts: limits.joins.then(Vec::new),
                limits,
                bounds,
                ledger: Ledger::default(),
                stats: Stats::default(),
            },
            table: Table::new(),
            peer_sockets: PeerSockets::default(),
            emitted_alone: EmittedAlone::default(),
            pre_accept: PreAccept::default(),
            evictions: Evictions::default(),
            joins,
            memory: 0,
        }
    }

    /// Keeps at most so many bytes of every body that begins from now on. Sizes stay true.
    pub fn limit_bodies(&mut self, bytes: usize) {
        self.shared.bounds.body = bytes;
    }

    /// Handles one event. Events of one connection come in the order in which the kernel handled
    /// them.
    #[inline]
    pub fn event(&mut self, event: &Event<'_>, output: &mut Output) {
        match event {
            Event::Tcp(segment) => self.segment(segment, output),
            Event::Plaintext(range) => self.plaintext(range, output),
            Event::Handshake(range) => self.handshake(range, output),
            Event::Released { socket, time } => self.released(*socket, *time, output),
            Event::Closed { connection, time } => self.closed(*connection, *time, output),
        }
    }

    fn segment(&mut self, segment: &Segment<'_>, output: &mut Output) {
        self.shared.stats.segments += 1;
        self.shared.stats.payload_bytes += segment.payload.len() as u64;
        if segment.listener {
            self.shared.stats.pre_accept_dropped += self.pre_accept.keep(segment);
            return;
        }
        let key = match self.table.find(ConnectionId::socket(segment.socket)) {
            Some(key) => {
                self.table.touch(key, segment.time);
                key
            }
            None => match self.open(segment, output) {
                Some(key) => key,
                None => return,
            },
        };
        self.handle(key, segment.time, output, |connection, cx| {
            connection.segment(segment, cx)
        });
    }

    /// The application has closed its socket.
    fn released(&mut self, socket: SocketId, now: Nanos, output: &mut Output) {
        if let Some(key) = self.table.find(ConnectionId::socket(socket)) {
            self.handle(key, now, output, |connection, cx| {
                connection.released(now, cx)
            });
        }
    }

    /// Has a connection take something, and acts on what came of it.
    #[inline]
    fn handle(
        &mut self,
        key: Key,
        now: Nanos,
        output: &mut Output,
        take: impl FnOnce(&mut Connection, &mut Context<'_>) -> State,
    ) {
        let Some(connection) = self.table.get_mut(key) else {
            return;
        };
        let emitted = output.exchanges.len();
        let mut cx = self.shared.context(connection, output);
        let state = take(connection, &mut cx);
        let request_start = connection.take_request_start();
        // Whatever began just now is not due before this, and what began before was looked at then.
        let soonest =
            now.saturating_add(self.shared.limits.idle.min(self.shared.limits.exchange_age));
        let is_held = (connection.held_until()).is_some_and(|due| connection.deadline > due);
        let due = match connection.is_waiting() || is_held || connection.deadline > soonest {
            true => Some(connection.due(&self.shared.limits)),
            false => None,
        };
        let memory = connection.memory();
        self.memory = self.memory - connection.counted.min(self.memory) + memory;
        connection.counted = memory;
        if let Some((side, place)) = request_start
            && self.shared.limits.fold_peers
            && self.fold(key, side, place, output)
        {
            // A request that its response shows to be one is emitted as soon as it is known.
            for exchange in output.exchanges.drain(emitted..) {
                self.shared.ledger.fold(exchange.partial);
            }
        }
        self.emit_once(key, output, emitted);
        self.join(output, emitted, now);
        if let State::Over = state {
            self.forget(key);
            return;
        }
        if let Some(due) = due {
            self.table.schedule(key, due);
        }
        if self.memory() > self.shared.limits.memory {
            self.make_room(now, output);
        }
    }

    /// A socket that is not known. `None`: there is nothing to know of it.
    fn open(&mut self, segment: &Segment<'_>, output: &mut Output) -> Option<Key> {
        let early = match self.pre_accept.is_empty() {
            true => Vec::new(),
            false => self.pre_accept.take(segment),
        };
        // Where the other direction begins, nothing else says in half of a capture.
        let is_first = segment.one_sided && segment.start && !segment.rst;
        if early.is_empty() && is_old(segment) && !is_first {
            return None;
        }
        let (socket, cgroup) = (segment.socket, segment.cgroup);
        let origin = Origin {
            connection: ConnectionId::socket(socket),
            socket,
            cgroup,
            local: segment.local,
            remote: segment.remote,
            outer: None,
            secured: None,
        };
        let connection = Connection::tcp(origin, segment.time);
        let mut key = self.insert(connection, segment.time, output)?;
        for early in &early {
            let early = early.segment(socket, cgroup);
            self.handle(key, early.time, output, |connection, cx| {
                connection.segment(&early, cx)
            });
            key = self.table.find(ConnectionId::socket(socket))?;
        }
        Some(key)
    }

    /// Adds a connection; others make room for it.
    fn insert(&mut self, connection: Connection, now: Nanos, output: &mut Output) -> Option<Key> {
        let most = self.shared.limits.connections.max(1);
        if self.table.len() >= most {
            let bound = (most - most / 8).min(most - 1);
            self.evict_fairly(bound, |_| 1, now, output);
        }
        self.shared.stats.connections += 1;
        self.table.insert(connection, now)
    }

    /// Frees an eighth of the memory.
    fn make_room(&mut self, now: Nanos, output: &mut Output) {
        let enough = self.shared.limits.memory - self.shared.limits.memory / 8;
        // What waits for its connection, or for a tunnel, is nobody's share.
        let waiting = self.pre_accept.memory() + self.joins.memory();
        let enough = enough.saturating_sub(waiting);
        self.evict_fairly(enough, |connection| connection.counted, now, output);
    }

    /// Evicts connections of those who have more than their share, until all together have at most
    /// `bound`.
    fn evict_fairly(
        &mut self,
        bound: usize,
        size: impl Fn(&Connection) -> usize,
        now: Nanos,
        output: &mut Output,
    ) {
        let holdings = |connection: &Connection| (connection.holder(), size(connection));
        let mut shares = Shares::new(self.table.iter().map(holdings), bound);
        for large in [true, false] {
            let mut at = self.table.oldest();
            while let Some(key) = at {
                at = self.table.newer(key);
                let Some((holder, size)) = self.table.get(key).map(holdings) else {
                    continue;
                };
                if shares.has_to_go(holder, size, large) {
                    shares.gone(holder, size);
                    self.evict(key, now, output);
                }
            }
        }
    }

    fn evict(&mut self, key: Key, now: Nanos, output: &mut Output) {
        self.shared.stats.evicted_connections += 1;
        if let Some(connection) = self.table.get(key) {
            self.evictions.count(connection.origin.cgroup);
        }
        self.end(key, End::Evicted, now, output);
    }

    /// Connections evicted, by the cgroup of their socket; [`CgroupId`] zero stands for those that
    /// are too many to name.
    pub fn evictions(&self) -> impl Iterator<Item = (CgroupId, u64)> {
        self.evictions.iter()
    }

    fn end(&mut self, key: Key, end: End, now: Nanos, output: &mut Output) {
        let emitted = output.exchanges.len();
        if let Some(connection) = self.table.get_mut(key) {
            let mut cx = self.shared.context(connection, output);
            connection.end(end, now, &mut cx);
        }
        self.emit_once(key, output, emitted);
        self.join(output, emitted, now);
        self.forget(key);
    }

    fn forget(&mut self, key: Key) {
        if let Some(connection) = self.table.remove(key) {
            self.memory = self.memory.saturating_sub(connection.counted);
            if let Some(side) = connection.listed {
                self.peer_sockets.remove(&connection.origin, side, key);
            }
        }
    }

    /// The ledger so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Totals so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Bytes held now: of connections, and of what is in flight on them.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory + self.pre_accept.memory() + self.joins.memory()
    }

    /// Connections held now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }
}
