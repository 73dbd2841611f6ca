//! The engine: segments of many connections in, exchanges out. Pure: time comes in as an argument.
//!
//! ```text
//! Segment ─► connection ─► stream (order, gaps) ─► http (messages) ─► exchange (pair) ─► Output
//! ```

use crate::exchange::Exchange;
use crate::flow::{Direction, Nanos, Segment, SocketId};
use crate::ledger::Ledger;

/// Bounds of the engine. Every buffer has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Body bytes captured per message (`max_body_bytes`).
    pub body: usize,
    /// Longest head in bytes; at most 65 535, so that a head's slices fit 16 bits.
    pub head: usize,
    /// Most fields of a head.
    pub fields: usize,
    /// Out-of-order bytes kept per direction while an earlier segment is awaited.
    pub reorder_bytes: usize,
    /// How long an earlier segment is awaited before its absence is a gap.
    pub reorder_wait: Nanos,
    /// Unanswered requests kept per connection.
    pub pipeline: usize,
    /// Connections kept; the least recently used goes first.
    pub connections: usize,
    /// Bytes of heads, bodies and reordering kept over all connections.
    pub memory: usize,
    /// An exchange older than this is told as it stands.
    pub exchange_age: Nanos,
    /// A connection silent for this long, with nothing open, is forgotten.
    pub idle: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: Nanos = 1_000_000_000;
        Self {
            body: 64 * 1024,
            head: 65_535,
            fields: 256,
            reorder_bytes: 1024 * 1024,
            reorder_wait: 2 * SECOND,
            pipeline: 1024,
            connections: 65_536,
            memory: 256 * 1024 * 1024,
            exchange_age: 300 * SECOND,
            idle: 120 * SECOND,
        }
    }
}

/// What the engine asks of the hook that feeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing of this socket is of use: stop copying it.
    Ignore(SocketId),
    /// Bytes of this direction before `seq` are not needed; from there a new body budget counts.
    Resume {
        /// The socket.
        socket: SocketId,
        /// Which way.
        direction: Direction,
        /// TCP sequence number of the next byte of interest.
        seq: u32,
    },
}

/// What one call to the engine made. The caller drains and reuses it.
#[derive(Debug, Default)]
pub struct Output {
    /// Exchanges that ended.
    pub exchanges: Vec<Exchange>,
    /// Requests to the hook.
    pub controls: Vec<Control>,
}

/// Totals of the engine, besides the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments handled.
    pub segments: u64,
    /// Payload bytes handed in.
    pub payload_bytes: u64,
    /// Payload bytes that the kernel left out on purpose.
    pub skipped_bytes: u64,
    /// Missing stretches of a stream.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Connections seen.
    pub connections: u64,
    /// Connections that turned out not to be HTTP.
    pub not_http: u64,
    /// Connections dropped for room.
    pub evicted_connections: u64,
    /// Bytes after an upgrade, by direction: to the server, to the client.
    pub upgraded_bytes: [u64; 2],
    /// WebSocket messages after an upgrade, by direction: to the server, to the client.
    pub websocket_messages: [u64; 2],
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    ledger: Ledger,
    stats: Stats,
}

impl Engine {
    /// An engine with no connections.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ledger: Ledger::default(),
            stats: Stats::default(),
        }
    }

    /// Handles one segment. Segments of one socket come in the order in which the kernel handled them.
    pub fn segment(&mut self, segment: &Segment<'_>, output: &mut Output) {
        let _ = (segment, output, &self.limits);
    }

    /// Lets time pass: gaps are given up on, long exchanges told, idle connections forgotten. Call it about every 100 ms.
    pub fn expire(&mut self, now: Nanos, output: &mut Output) {
        let _ = (now, output);
    }

    /// Ends everything: what is open is told as [`crate::exchange::Partial::Shutdown`] or counted. The ledger then has nothing open.
    pub fn finish(&mut self, now: Nanos, output: &mut Output) {
        let _ = (now, output);
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
        0
    }

    /// Connections held now.
    #[must_use]
    pub const fn connections(&self) -> usize {
        0
    }
}
