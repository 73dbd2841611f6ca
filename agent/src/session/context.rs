//! What every session works with: bounds, totals, and where its output goes.

use crate::capture::Command;
use crate::exchange::{Exchange, Peers};
use crate::flow::{CgroupId, Direction, Endpoint, Nanos, SocketId};
use crate::http::h1::Bounds;
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
    /// An exchange older than this is emitted as it stands.
    pub exchange_age: Nanos,
    /// A connection silent for this long, with nothing in flight, is forgotten.
    pub idle: Nanos,
    /// The two sockets of one local connection are recognised, and its exchanges emitted by the server's alone.
    pub fold_peers: bool,
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
            fold_peers: true,
        }
    }
}

/// What one call to the engine made. The caller drains and reuses it.
#[derive(Debug, Default)]
pub struct Output {
    /// Exchanges that ended.
    pub exchanges: Vec<Exchange>,
    /// Commands to the hook.
    pub commands: Vec<Command>,
}

/// Totals of the engine, besides the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments handled.
    pub segments: u64,
    /// Payload bytes handed in.
    pub payload_bytes: u64,
    /// Payload bytes that were skipped on purpose.
    pub skipped_bytes: u64,
    /// Ranges of a stream that are missing.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Connections seen.
    pub connections: u64,
    /// Connections that turned out not to be HTTP.
    pub not_http: u64,
    /// Connections that speak HTTP/2, which is not read yet.
    pub http2: u64,
    /// Pre-accept segments (seen at a listener) that no connection claimed.
    pub pre_accept_dropped: u64,
    /// Connections dropped for room.
    pub evicted_connections: u64,
    /// Bytes after an upgrade, by direction: to the server, to the client.
    pub upgraded_bytes: [u64; 2],
    /// WebSocket messages after an upgrade, by direction: to the server, to the client.
    pub websocket_messages: [u64; 2],
}

/// One direction of an HTTP connection, by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// From the client.
    Requests = 0,
    /// From the server.
    Responses = 1,
}

impl Half {
    /// What `direction` carries, when `requests` carries the requests.
    pub(crate) fn of(direction: Direction, requests: Direction) -> Self {
        match direction == requests {
            true => Self::Requests,
            false => Self::Responses,
        }
    }
}

/// Whose connection it is, as its socket knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) socket: SocketId,
    pub(crate) cgroup: CgroupId,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
}

/// What every connection works with.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) stats: &'a mut Stats,
    pub(crate) output: &'a mut Output,
}

impl Context<'_> {
    /// Asks the hook to go on where bytes of a direction are wanted again.
    pub(crate) fn resume(&mut self, peers: &Peers, half: Half, seq: u32) {
        let requests = peers.side.requests();
        let direction = match half {
            Half::Requests => requests,
            Half::Responses => requests.opposite(),
        };
        self.output.commands.push(Command::Resume {
            socket: peers.socket,
            direction,
            seq,
        });
    }
}
