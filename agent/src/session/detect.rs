//! What a connection speaks, told from its first bytes: where a further protocol is chosen.
//!
//! On a connection whose first byte was seen, the first bytes decide. On one that is older than the agent, the first segment
//! that begins like an HTTP message does; when both sides have spoken in turn for a while and none came, it is not HTTP.

use std::sync::Arc;

use super::h1::{End, H1, is_known_request};
use super::proxy_protocol::{self, Preamble};
use super::quiescent::Turn;
use super::{Context, Half, Identity};
use crate::exchange::Peers;
use crate::flow::{ConnectionId, Direction, Endpoint, Side};
use crate::http::h1::{Class, classify};
use crate::ledger::Dropped;
use crate::transport::tcp::{Item, Piece};

/// Changes of speaker without a message of HTTP after which a connection that was joined late is given up. A conversation in
/// HTTP has a message after each.
const TURNS: u8 = 8;

/// Bytes that hold the longest method and the beginning of a target, or the whole of anything else that is told apart.
const ENOUGH: usize = 64;

/// First bytes that decide nothing yet.
#[derive(Debug, Default)]
pub(crate) struct Detect {
    turns: [Turn; 2],
    fresh: [bool; 2],
    last: Option<Direction>,
    changes: u8,
    held: Option<Box<Held>>,
}

/// What must not be lost while nothing is decided.
#[derive(Debug, Default)]
struct Held {
    starts: [Option<Start>; 2],
    /// The direction whose bytes came first.
    first: Option<Direction>,
    proxied: Option<Endpoint>,
    /// The preamble is over: another is no preamble.
    preamble_over: bool,
}

/// First bytes of a direction.
#[derive(Debug)]
struct Start {
    bytes: Vec<u8>,
    seq: u32,
    ack: u32,
    time: u64,
}

/// What was found out.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// HTTP/1: the connection, which has been given all that was held.
    Http1(Box<H1>),
    /// HTTP/2, not read yet.
    Http2,
    /// None of these.
    Other,
}

impl Detect {
    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.held.as_ref().map_or(0, |held| {
            held.starts
                .iter()
                .flatten()
                .map(|start| start.bytes.capacity())
                .sum()
        })
    }

    /// Nothing more comes. What looks like the beginning of a request is one, and is counted.
    pub(crate) fn end(&mut self, end: End, cx: &mut Context<'_>) {
        let reason = match end {
            End::Gone | End::Shutdown => Dropped::HeadCut,
            End::Evicted => Dropped::Evicted,
        };
        for at in 0..2 {
            self.drop_start(at, reason, cx);
        }
    }

    /// Gives up what is held of a direction.
    fn drop_start(&mut self, at: usize, reason: Dropped, cx: &mut Context<'_>) {
        let start = self.held.as_mut().and_then(|held| held.starts[at].take());
        if start.is_some_and(|start| is_known_request(skip_empty_lines(&start.bytes))) {
            cx.ledger.start();
            cx.ledger.drop_with(reason);
        }
    }

    pub(crate) fn item(
        &mut self,
        direction: Direction,
        item: Item<'_>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        let at = direction as usize;
        match item {
            Item::Opens { seq, fresh } => {
                self.turns[at].opens(seq);
                self.fresh[at] = fresh;
                Found::Nothing
            }
            Item::Gap(gap) => {
                self.turns[at].gap(&gap);
                self.fresh[at] = false;
                self.drop_start(at, Dropped::GapInHead, cx);
                Found::Nothing
            }
            Item::Fin { .. } => Found::Nothing,
            Item::Bytes(piece) => self.bytes(direction, piece, identity, cx),
        }
    }

    fn bytes(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        let at = direction as usize;
        let found = match self.fresh[at] {
            true => self.first_bytes(direction, piece, identity, cx),
            false => self.later_bytes(direction, piece, identity, cx),
        };
        if let Found::Nothing = found {
            self.turns[at].bytes(&piece);
        }
        found
    }

    /// Everything of this direction so far is at hand.
    fn first_bytes(
        &mut self,
        direction: Direction,
        mut piece: Piece<'_>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        let at = direction as usize;
        if let Some(start) = self.held.as_mut().and_then(|held| held.starts[at].as_mut()) {
            start.bytes.extend_from_slice(piece.bytes);
            return self.held_bytes(direction, identity, cx);
        }
        let preamble = match &self.held {
            Some(held) if held.preamble_over => Preamble::None,
            _ => proxy_protocol::parse(piece.bytes),
        };
        match preamble {
            Preamble::None => {}
            Preamble::Undecided => return self.hold(direction, &piece),
            Preamble::Malformed => return Found::Other,
            Preamble::Whole { len, source } => {
                let held = self.held.get_or_insert_default();
                held.proxied = source;
                held.preamble_over = true;
                piece.advance(len);
            }
        }
        match first_look(piece.bytes) {
            Class::Undecided => self.hold(direction, &piece),
            Class::Other => Found::Other,
            Class::Http2 => Found::Http2,
            looks => self.http1(direction, looks, Some(piece), identity, cx),
        }
    }

    fn hold(&mut self, direction: Direction, piece: &Piece<'_>) -> Found {
        let held = self.held.get_or_insert_default();
        held.first.get_or_insert(direction);
        held.starts[direction as usize] = Some(Start {
            bytes: piece.bytes.to_vec(),
            seq: piece.seq,
            ack: piece.ack,
            time: piece.time,
        });
        Found::Nothing
    }

    fn held_bytes(
        &mut self,
        direction: Direction,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        let Some(held) = &mut self.held else {
            return Found::Nothing;
        };
        let Some(start) = &mut held.starts[direction as usize] else {
            return Found::Nothing;
        };
        if !held.preamble_over {
            match proxy_protocol::parse(&start.bytes) {
                Preamble::None => {}
                Preamble::Undecided => return Found::Nothing,
                Preamble::Malformed => return Found::Other,
                Preamble::Whole { len, source } => {
                    held.proxied = source;
                    held.preamble_over = true;
                    start.bytes.drain(..len.min(start.bytes.len()));
                    start.seq = start
                        .seq
                        .wrapping_add(u32::try_from(len).unwrap_or_default());
                }
            }
        }
        match first_look(&start.bytes) {
            Class::Undecided => Found::Nothing,
            Class::Other => Found::Other,
            Class::Http2 => Found::Http2,
            looks => self.http1(direction, looks, None, identity, cx),
        }
    }

    /// Joined late, or bytes are missing.
    fn later_bytes(
        &mut self,
        direction: Direction,
        piece: Piece<'_>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        if self.last.replace(direction) != Some(direction) {
            self.changes = self.changes.saturating_add(1);
        }
        let own = &self.turns[direction as usize];
        let other = &self.turns[direction.opposite() as usize];
        let begins = piece.boundary && (own.is_unseen() || other.is_turn(&piece));
        match classify(piece.bytes) {
            looks @ (Class::Request | Class::Response) if begins => {
                self.http1(direction, looks, Some(piece), identity, cx)
            }
            _ if self.changes > TURNS => Found::Other,
            _ => Found::Nothing,
        }
    }

    fn http1(
        &mut self,
        direction: Direction,
        looks: Class,
        piece: Option<Piece<'_>>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) -> Found {
        let requests = match looks {
            Class::Request => direction,
            _ => direction.opposite(),
        };
        let held = self.held.take().unwrap_or_default();
        let peers = identity.peers(requests, held.proxied);
        let mut h1 = Box::new(H1::new(
            Arc::new(peers),
            by_half(self.turns, requests),
            by_half(self.fresh, requests),
        ));
        let [ingress, egress] = held.starts;
        let mut starts = [(Direction::Ingress, ingress), (Direction::Egress, egress)];
        if held.first == Some(Direction::Egress) {
            starts.reverse();
        }
        for (direction, start) in starts {
            if let Some(start) = start.filter(|start| !start.bytes.is_empty()) {
                let piece = Piece {
                    bytes: &start.bytes,
                    seq: start.seq,
                    ack: start.ack,
                    time: start.time,
                    boundary: true,
                };
                h1.item(Half::of(direction, requests), Item::Bytes(piece), cx);
            }
        }
        if let Some(piece) = piece {
            h1.item(Half::of(direction, requests), Item::Bytes(piece), cx);
        }
        Found::Http1(h1)
    }
}

/// From by-direction to by-half.
fn by_half<T>([ingress, egress]: [T; 2], requests: Direction) -> [T; 2] {
    match requests {
        Direction::Ingress => [ingress, egress],
        Direction::Egress => [egress, ingress],
    }
}

/// What the first bytes of a direction look like, however many came at a time. A method and the beginning of a long target are a request: the
/// reader finds out.
fn first_look(bytes: &[u8]) -> Class {
    let bytes = skip_empty_lines(bytes);
    match classify(bytes) {
        Class::Undecided if bytes.len() >= ENOUGH => Class::Request,
        looks => looks,
    }
}

fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    bytes.get(empty..).unwrap_or_default()
}

impl Identity {
    fn peers(&self, requests: Direction, proxied_client: Option<Endpoint>) -> Peers {
        let (side, client, server) = match requests {
            Direction::Ingress => (Side::Server, self.remote, self.local),
            Direction::Egress => (Side::Client, self.local, self.remote),
        };
        Peers {
            connection: ConnectionId::socket(self.socket),
            socket: self.socket,
            cgroup: self.cgroup,
            side,
            client,
            server,
            proxied_client,
            outer: None,
        }
    }
}
