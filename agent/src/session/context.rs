//! What every session works with: bounds, totals, and where its output goes.

use std::sync::Arc;

use crate::capture::Command;
use crate::exchange::{Emitter, Exchange};
use crate::flow::{
    CgroupId, Claim, ConnectionId, Direction, Endpoint, Nanos, Offset, Peers, Secured, Side,
    SocketId, TunnelClaims,
};
use crate::http::h2::{Violation, hpack};
use crate::http::{Bounds, RequestHead};
use crate::ledger::{Dropped, Ledger};

/// Bounds of the engine. Every buffer has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Body bytes captured per message (`max_body_bytes`).
    pub body: usize,
    /// Longest head in bytes. Beyond 65 535 it is that, so that a head's slices fit 16 bits.
    pub head: usize,
    /// Out-of-order bytes kept per direction while an earlier segment is awaited: more than TCP's
    /// receiver keeps itself (`tcp_rmem`: 6 MiB), with bookkeeping. With less, one segment that is
    /// lost twice is a gap of a connection whose sender goes on meanwhile.
    pub reorder_bytes: usize,
    /// How long an earlier segment is awaited before its absence is a gap, while nothing shows
    /// that TCP has it. TCP sends it again for 100 seconds at least (RFC 9293 §3.8.3).
    pub reorder_wait: Nanos,
    /// Segments come with the position of the socket that receives them, as the hook knows it: what
    /// that has not passed may be refused yet. The packets of a file have none.
    pub positions: bool,
    /// Pending requests kept per connection.
    pub pipeline: usize,
    /// Connections kept; those of who has more than a fair share go first, the least recently used
    /// before others.
    pub connections: usize,
    /// Bytes that all connections hold, what keeps track of them included; shared like
    /// `connections`.
    pub memory: usize,
    /// An exchange older than this is emitted as it stands.
    pub exchange_age: Nanos,
    /// A connection silent for this long, with nothing in flight, is forgotten.
    pub idle: Nanos,
    /// The two sockets of one local connection are recognised, and its exchanges emitted by the
    /// server's alone.
    pub fold_peers: bool,
    /// What runs through ztunnel is emitted where no socket of an application shows it; else
    /// ztunnel only says what is proved of an application's exchanges.
    pub flows: bool,
    /// ztunnel is read: every request is remembered, not only those after the first of ztunnel's.
    pub joins: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: Nanos = 1_000_000_000;
        Self {
            body: 64 * 1024,
            head: 64 * 1024,
            reorder_bytes: 8 * 1024 * 1024,
            reorder_wait: 100 * SECOND,
            positions: true,
            pipeline: 1024,
            connections: 65_536,
            memory: 256 * 1024 * 1024,
            exchange_age: 300 * SECOND,
            idle: 120 * SECOND,
            fold_peers: true,
            flows: true,
            joins: false,
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
    /// Bytes of streams that were captured, each once. What is acknowledged of a stream whose start
    /// was seen is these, `skipped_bytes` and `gap_bytes`.
    pub captured_bytes: u64,
    /// Bytes of streams that were skipped on purpose.
    pub skipped_bytes: u64,
    /// Captured bytes that were passed over on the way to a message: of a connection that is older
    /// than the capture, and after bytes that are missing or cannot be read.
    pub unread_bytes: u64,
    /// Ranges of a stream that are missing.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Connections seen.
    pub connections: u64,
    /// Connections that turned out not to be HTTP.
    pub not_http: u64,
    /// Of them, those that begin like TLS.
    pub tls: u64,
    /// Connections that speak HTTP/2.
    pub http2: u64,
    /// Times that frames of HTTP/2 were found again after bytes were missing.
    pub http2_resynced: u64,
    /// HTTP/2 connections dropped because the frames of a direction were not found again.
    pub http2_dropped: u64,
    /// HTTP/2 connections with a frame that breaks the protocol.
    pub http2_broken: u64,
    /// Frames that break the protocol; index by `Violation as usize`.
    pub http2_errors: [u64; Violation::ALL.len()],
    /// Header blocks of HTTP/2 that cannot be decoded; index by `hpack::Error as usize`.
    pub hpack_errors: [u64; hpack::Error::ALL.len()],
    /// Pre-accept segments (seen at a listener) that no connection claimed.
    pub pre_accept_dropped: u64,
    /// Exchanges of an application of which ztunnel has shown how they are secured.
    pub identities: u64,
    /// Exchanges of an application that could be several of ztunnel's, secured in different ways.
    pub ambiguous_identities: u64,
    /// Connections dropped for room.
    pub evicted_connections: u64,
    /// Bytes after an upgrade, by direction: to the server, to the client.
    pub upgraded_bytes: [u64; 2],
    /// WebSocket messages after an upgrade, by direction: to the server, to the client.
    pub websocket_messages: [u64; 2],
}

/// One direction of a connection with requests and responses, by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    /// From the client.
    Requests = 0,
    /// From the server.
    Responses = 1,
}

impl Messages {
    /// What `direction` carries, when `requests` carries the requests.
    pub(crate) fn of(direction: Direction, requests: Direction) -> Self {
        match direction == requests {
            true => Self::Requests,
            false => Self::Responses,
        }
    }
}

/// Where a session runs: its connection, as its socket knows it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) connection: ConnectionId,
    pub(crate) socket: SocketId,
    pub(crate) cgroup: CgroupId,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    /// The peers of the tunnel that it runs through.
    pub(crate) outer: Option<Arc<Peers>>,
    /// See [`Peers::secured`].
    pub(crate) secured: Option<Arc<Secured>>,
}

impl Origin {
    /// The peers of a connection whose requests take this direction.
    pub(crate) fn peers(&self, requests: Direction, claim: Option<Claim>) -> Peers {
        let (side, client, server) = match requests {
            Direction::Ingress => (Side::Server, self.remote, self.local),
            Direction::Egress => (Side::Client, self.local, self.remote),
        };
        let mut peers = Peers {
            connection: self.connection,
            socket: self.socket,
            cgroup: self.cgroup,
            side,
            client,
            server,
            claimed_client: None,
            claimed_port: None,
            proxied_client: None,
            outer: self.outer.clone(),
            secured: self.secured.clone(),
            claims: TunnelClaims::default(),
        };
        peers.set_claim(claim);
        peers
    }
}

/// What every session works with.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) stats: &'a mut Stats,
    pub(crate) output: &'a mut Output,
    /// The peer socket on this node emits the exchanges of this connection.
    pub(crate) folded: bool,
    /// No packet of one of its directions is in the capture.
    pub(crate) one_sided: bool,
    /// Where its requests are noted, if another connection may show them as well.
    pub(crate) starts: Option<&'a mut Vec<RequestStart>>,
}

/// Where a request began.
#[derive(Clone, Debug)]
pub(crate) struct RequestStart {
    pub(crate) peers: Arc<Peers>,
    /// [`RequestHead::fingerprint`].
    pub(crate) head: u64,
    /// Of its first byte.
    pub(crate) offset: Offset,
    pub(crate) began: Nanos,
}

impl Context<'_> {
    /// Notes a request, the head of which is whole.
    pub(crate) fn starts(
        &mut self,
        peers: &Arc<Peers>,
        head: &RequestHead,
        (offset, began): (Offset, Nanos),
    ) {
        if let Some(starts) = &mut self.starts
            && can_be_joined(&peers.connection)
        {
            starts.push(RequestStart {
                peers: Arc::clone(peers),
                head: head.fingerprint(),
                offset,
                began,
            });
        }
    }

    /// A started exchange is dropped.
    pub(crate) fn drop_with(&mut self, reason: Dropped) {
        self.ledger.drop_with(match self.folded {
            true => Dropped::Folded,
            false => reason,
        });
    }

    /// Where exchanges of a connection end up.
    pub(crate) const fn emitter<'a>(&'a mut self, peers: &'a Arc<Peers>) -> Emitter<'a> {
        Emitter {
            ledger: self.ledger,
            exchanges: &mut self.output.exchanges,
            peers,
            folded: self.folded,
        }
    }
}

/// The same request may be seen at a socket of an application, and in a tunnel through ztunnel.
const fn can_be_joined(connection: &ConnectionId) -> bool {
    connection.is_socket() || (connection.is_rustls() && connection.depth() > 0)
}
