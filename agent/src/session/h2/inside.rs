//! What runs inside a stream after a CONNECT (RFC 9113 §8.5, RFC 8441): a connection of its own.

use std::sync::Arc;

use meshtap_common::IgnoreReason;

use super::super::websocket::WebSocket;
use super::super::{Context, End, Origin, Session};
use super::streams::Early;
use crate::flow::{Direction, Nanos, Offset, Peers, TunnelClaims};
use crate::http::h2::stream::Peer;
use crate::transport::{Chunk, Gap};

/// A stream in which a tunnel is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carrier {
    pub(super) id: u32,
    pub(super) websocket: bool,
    /// It may have started before anything was seen of it.
    pub(super) mid_stream: bool,
}

/// The session inside a stream. Its offsets count the bytes of DATA.
#[derive(Debug)]
pub(super) struct Inside {
    session: Session,
    origin: Origin,
    requests: Direction,
    offsets: [Offset; 2],
    /// Nothing is known of what came before.
    mid_stream: bool,
}

impl Inside {
    /// Of a stream between these peers. The session is a fresh one, unless connections are nested
    /// too deep already.
    pub(super) fn new(
        stream: &Carrier,
        claims: TunnelClaims,
        peers: &Arc<Peers>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) -> Self {
        let requests = peers.side.requests();
        let connection = origin.connection.inner(stream.id);
        let mut session = match connection {
            _ if stream.websocket => Session::WebSocket(Box::new(WebSocket::new(requests, None))),
            Some(_) => Session::default(),
            None => Session::Ignored(IgnoreReason::Lost),
        };
        let mid_stream = stream.mid_stream;
        let offset = match mid_stream {
            true => Offset::MID_STREAM,
            false => Offset::ORIGIN,
        };
        for direction in [requests, requests.opposite()] {
            session.opens(direction, offset, !mid_stream, cx);
        }
        Self {
            session,
            origin: Origin {
                connection: connection.unwrap_or(origin.connection),
                outer: Some(Arc::new(Peers {
                    claims,
                    ..Peers::clone(peers)
                })),
                ..origin.clone()
            },
            requests,
            offsets: [offset; 2],
            mid_stream,
        }
    }

    fn direction(&self, from: Peer) -> Direction {
        match from {
            Peer::Client => self.requests,
            Peer::Server => self.requests.opposite(),
        }
    }

    fn count(&self, from: Peer, len: u64, cx: &mut Context<'_>) {
        // WebSocket counts its own.
        if !matches!(self.session, Session::WebSocket(_)) {
            cx.stats.upgraded_bytes[from as usize] += len;
        }
    }

    pub(super) fn bytes(&mut self, from: Peer, bytes: &[u8], time: Nanos, cx: &mut Context<'_>) {
        self.count(from, bytes.len() as u64, cx);
        let offset = self.offsets[from as usize];
        self.offsets[from as usize] = offset + bytes.len() as u64;
        let chunk = Chunk {
            bytes,
            offset,
            heard: self.heard(from),
            time,
            boundary: true,
        };
        let direction = self.direction(from);
        self.session.chunk(direction, chunk, &self.origin, cx);
        self.session.settle(time, cx);
    }

    /// Flow control says how much was taken, and only later: nothing is known of what the sender
    /// had heard. It is at most what has passed here, which has to do where no beginning was seen.
    fn heard(&self, from: Peer) -> Option<Offset> {
        self.mid_stream.then(|| match from {
            Peer::Client => self.offsets[Peer::Server as usize],
            Peer::Server => self.offsets[Peer::Client as usize],
        })
    }

    /// What the client sent before the tunnel was open.
    pub(super) fn early(&mut self, early: &Early, now: Nanos, cx: &mut Context<'_>) {
        if !early.bytes.is_empty() {
            self.bytes(Peer::Client, &early.bytes, early.time, cx);
        }
        if early.rest > 0 {
            let gap = Gap {
                offset: Offset::ORIGIN,
                len: early.rest,
                skipped: early.skipped,
                heard: None,
                time: now,
            };
            self.gap(Peer::Client, &gap, cx);
        }
        if early.ended {
            self.end(Peer::Client, now, cx);
        }
    }

    pub(super) fn gap(&mut self, from: Peer, gap: &Gap, cx: &mut Context<'_>) {
        self.count(from, gap.len, cx);
        let offset = self.offsets[from as usize];
        self.offsets[from as usize] = offset + gap.len;
        let direction = self.direction(from);
        let gap = Gap { offset, ..*gap };
        self.session.gap(direction, &gap, &self.origin, cx);
        self.session.settle(gap.time, cx);
    }

    /// Bytes are missing, and nobody knows how many: more than any message has.
    pub(super) fn lose(&mut self, from: Peer, time: Nanos, cx: &mut Context<'_>) {
        const MANY: u64 = 1 << 40;
        let offset = self.offsets[from as usize];
        self.offsets[from as usize] = offset + MANY;
        let gap = Gap {
            offset,
            len: MANY,
            skipped: false,
            heard: None,
            time,
        };
        let direction = self.direction(from);
        // WebSocket counts what it is given, and has no use for its number.
        if !matches!(self.session, Session::WebSocket(_)) {
            self.session.gap(direction, &gap, &self.origin, cx);
            self.session.settle(time, cx);
        }
    }

    pub(super) fn end(&mut self, from: Peer, time: Nanos, cx: &mut Context<'_>) {
        self.session.end(self.direction(from), time, cx);
        self.session.settle(time, cx);
    }

    pub(super) fn finish(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        self.session.finish(end, now, cx);
    }

    pub(super) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.session.expire(now, cx);
        self.session.settle(now, cx);
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.session.memory()
    }

    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.session.oldest()
    }
}
