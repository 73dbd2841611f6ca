//! Many connections: found by socket, bounded in number and in memory, ended by time.

use super::connection::{Connection, PeerSocket, State};
use super::folding::PeerSockets;
use super::table::{Key, Table};
use crate::capture::{Command, Event, Segment};
use crate::flow::{Nanos, Side};
use crate::http::h1::Bounds;
use crate::ledger::Ledger;
use crate::session::h1::End;
use crate::session::{Context, Identity, Limits, Output, Stats};
use crate::transport::tcp::distance;
use crate::transport::tcp::pre_accept::PreAccept;

/// Segments in, exchanges out.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    bounds: Bounds,
    ledger: Ledger,
    stats: Stats,
    table: Table,
    peer_sockets: PeerSockets,
    pre_accept: PreAccept,
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
            fields: limits.fields,
            body: limits.body,
        };
        Self {
            limits,
            bounds,
            ledger: Ledger::default(),
            stats: Stats::default(),
            table: Table::new(),
            peer_sockets: PeerSockets::default(),
            pre_accept: PreAccept::default(),
            memory: 0,
        }
    }

    /// Keeps at most so many bytes of every body that begins from now on. Sizes stay true.
    pub fn limit_bodies(&mut self, bytes: usize) {
        self.bounds.body = bytes;
    }

    /// Handles one event. Events of one connection come in the order in which the kernel handled them.
    pub fn event(&mut self, event: &Event<'_>, output: &mut Output) {
        match event {
            Event::Tcp(segment) => self.segment(segment, output),
            Event::Plaintext(_) | Event::Closed { .. } => {}
        }
    }

    /// Handles one segment. Segments of one socket come in the order in which the kernel handled them.
    fn segment(&mut self, segment: &Segment<'_>, output: &mut Output) {
        self.stats.segments += 1;
        self.stats.payload_bytes += segment.payload.len() as u64;
        if segment.listener {
            self.stats.pre_accept_dropped += self.pre_accept.keep(segment);
            return;
        }
        let key = match self.table.find(segment.socket) {
            Some(key) => {
                self.table.touch(key, segment.time);
                key
            }
            None => match self.open(segment, output) {
                Some(key) => key,
                None => return,
            },
        };
        self.handle(key, segment, output);
    }

    fn handle(&mut self, key: Key, segment: &Segment<'_>, output: &mut Output) {
        let Some(connection) = self.table.get_mut(key) else {
            return;
        };
        let mut cx = Context {
            limits: &self.limits,
            bounds: self.bounds,
            ledger: &mut self.ledger,
            stats: &mut self.stats,
            output,
        };
        let state = connection.segment(segment, &mut cx);
        let news = connection
            .http1_mut()
            .and_then(crate::session::h1::H1::news);
        let due = connection.due(&self.limits);
        let memory = connection.memory();
        self.memory = self.memory - connection.counted.min(self.memory) + memory;
        connection.counted = memory;
        if let State::Over = state {
            self.forget(key);
            return;
        }
        self.table.schedule(key, due);
        if let Some(seq) = news
            && self.limits.fold_peers
        {
            self.fold(key, seq, output);
        }
        if self.memory() > self.limits.memory {
            self.make_room(segment.time, output);
        }
    }

    /// A socket that is not known. `None`: there is nothing to know of it.
    fn open(&mut self, segment: &Segment<'_>, output: &mut Output) -> Option<Key> {
        let joined = match self.pre_accept.is_empty() {
            true => Vec::new(),
            false => self.pre_accept.take(segment),
        };
        if joined.is_empty() && is_old(segment) {
            return None;
        }
        while self.table.len() >= self.limits.connections.max(1) {
            self.evict(self.table.oldest()?, segment.time, output);
        }
        self.stats.connections += 1;
        let identity = Identity {
            socket: segment.socket,
            cgroup: segment.cgroup,
            local: segment.local,
            remote: segment.remote,
        };
        let connection = Connection::new(identity, segment.time);
        let mut key = self.table.insert(connection, segment.time)?;
        for early in &joined {
            self.handle(
                key,
                &early.segment(identity.socket, identity.cgroup),
                output,
            );
            key = self.table.find(segment.socket)?;
        }
        Some(key)
    }

    /// A request began at `seq`: does the other end of the same connection have one there?
    fn fold(&mut self, key: Key, seq: u32, output: &mut Output) {
        let Some(connection) = self.table.get_mut(key) else {
            return;
        };
        let Some(h1) = connection.http1() else { return };
        let side = h1.peers().side;
        let candidate = match connection.peer {
            PeerSocket::Alone | PeerSocket::Linked => return,
            PeerSocket::Candidate(peer) => peer,
            PeerSocket::Unknown => {
                let found = self.peer_sockets.add(&connection.identity, side, key);
                connection.listed = Some(side);
                connection.peer = found.map_or(PeerSocket::Alone, PeerSocket::Candidate);
                let Some(found) = found else { return };
                if let Some(peer) = self.table.get_mut(found) {
                    peer.peer = PeerSocket::Candidate(key);
                }
                found
            }
        };
        let same = self
            .table
            .get(candidate)
            .and_then(Connection::http1)
            .is_some_and(|h1| h1.has_request_at(seq));
        if !same {
            return;
        }
        for key in [key, candidate] {
            if let Some(connection) = self.table.get_mut(key) {
                connection.peer = PeerSocket::Linked;
            }
        }
        let client = match side {
            Side::Client => key,
            Side::Server => candidate,
        };
        if let Some(connection) = self.table.get_mut(client) {
            if let Some(h1) = connection.http1_mut() {
                h1.folded();
            }
            output.commands.push(Command::Fold(connection.socket()));
        }
    }

    /// Lets time pass: gaps are given up on, long exchanges told, idle connections forgotten. Call it about every 100 ms.
    pub fn expire(&mut self, now: Nanos, output: &mut Output) {
        self.stats.pre_accept_dropped += self.pre_accept.expire(now);
        while let Some(key) = self.table.due(now) {
            let Some(connection) = self.table.get_mut(key) else {
                continue;
            };
            let mut cx = Context {
                limits: &self.limits,
                bounds: self.bounds,
                ledger: &mut self.ledger,
                stats: &mut self.stats,
                output,
            };
            let state = connection.expire(now, &mut cx);
            // Whatever is due now has been done.
            let due = connection.due(&self.limits).max(now.saturating_add(1));
            let memory = connection.memory();
            self.memory = self.memory - connection.counted.min(self.memory) + memory;
            connection.counted = memory;
            match state {
                State::Over => self.forget(key),
                State::Open => self.table.schedule(key, due),
            }
        }
    }

    /// Ends everything: what is open is told as [`crate::exchange::Partial::Shutdown`] or counted. The ledger then has nothing open.
    pub fn finish(&mut self, now: Nanos, output: &mut Output) {
        while let Some(key) = self.table.oldest() {
            self.end(key, End::Shutdown, now, output);
        }
        self.stats.pre_accept_dropped += self.pre_accept.expire(Nanos::MAX);
    }

    /// Connections that hold something go until an eighth of the memory is free again, least recently used first.
    fn make_room(&mut self, now: Nanos, output: &mut Output) {
        let enough = self.limits.memory - self.limits.memory / 8;
        let mut at = self.table.oldest();
        while let Some(key) = at
            && self.memory() > enough
        {
            at = self.table.newer(key);
            if self
                .table
                .get(key)
                .is_some_and(|connection| connection.counted > 0)
            {
                self.evict(key, now, output);
            }
        }
    }

    fn evict(&mut self, key: Key, now: Nanos, output: &mut Output) {
        self.stats.evicted_connections += 1;
        self.end(key, End::Evicted, now, output);
    }

    fn end(&mut self, key: Key, end: End, now: Nanos, output: &mut Output) {
        if let Some(connection) = self.table.get_mut(key) {
            let mut cx = Context {
                limits: &self.limits,
                bounds: self.bounds,
                ledger: &mut self.ledger,
                stats: &mut self.stats,
                output,
            };
            connection.end(end, now, &mut cx);
        }
        self.forget(key);
    }

    fn forget(&mut self, key: Key) {
        if let Some(connection) = self.table.remove(key) {
            self.memory = self.memory.saturating_sub(connection.counted);
            if let Some(side) = connection.listed {
                self.peer_sockets.remove(&connection.identity, side, key);
            }
        }
    }

    /// The account so far.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Totals so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Bytes of heads, bodies and reordering held now.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory + self.pre_accept.memory()
    }

    /// Connections held now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }
}

/// Nothing new comes with it: a retransmission after the end of its connection, or a bare FIN or RST.
fn is_old(segment: &Segment<'_>) -> bool {
    let end = segment.seq.wrapping_add(segment.wire_len);
    segment.wire_len == 0 || segment.rst || distance(end, segment.expected) >= 0
}
