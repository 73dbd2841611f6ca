//! A stream that is a CONNECT: what its response makes of it, and what its client sends before.

use std::sync::Arc;

use super::message::Stream;
use super::{Streams, opens};
use crate::flow::{Nanos, Offset, TunnelClaims};
use crate::http::h2::stream::Peer;
use crate::http::{RequestHead, Unknown, tunnel};
use crate::ledger::Partial;
use crate::session::h2::inside::{Carrier, Inside};
use crate::session::{Context, Origin};

/// What a 2xx response makes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connect {
    /// Nothing: it is no CONNECT.
    No,
    /// A tunnel (RFC 9113 §8.5), or one of an extended CONNECT (RFC 8441).
    Tunnel,
    /// An extended CONNECT for WebSocket.
    WebSocket,
}

impl Connect {
    /// After a response with this status.
    pub(super) const fn after(self, status: u16) -> Self {
        match status {
            200..300 => self,
            _ => Self::No,
        }
    }
}

/// What a client sent on a CONNECT before its response.
#[derive(Debug)]
pub(in crate::session::h2) struct Early {
    pub(in crate::session::h2) bytes: Vec<u8>,
    /// When the first of them came.
    pub(in crate::session::h2) time: Nanos,
    /// So many follow that were not kept.
    pub(in crate::session::h2) rest: u64,
    /// On purpose.
    pub(in crate::session::h2) skipped: bool,
    /// Nothing follows.
    pub(in crate::session::h2) ended: bool,
}

/// A tunnel begins.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) websocket: bool,
    pub(super) claims: TunnelClaims,
    pub(super) early: Early,
}

impl Streams {
    /// DATA comes in both directions that are read. Where streams are tunnels, one that is older
    /// than the agent is read from here on, and so is one whose opening was not seen.
    pub(in crate::session::h2) fn pick_up(
        &mut self,
        from: Peer,
        id: u32,
        now: Nanos,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        if !self.peers.connection.carries_tunnels() {
            return;
        }
        let is_full = self.streams.len() >= cx.limits.pipeline;
        let claims = match self.streams.get_mut(&id) {
            None if is_full || self.seen[opens(id) as usize].contains(id) => return,
            None => {
                self.insert(id, Stream::ignored(Offset::default()));
                TunnelClaims::default()
            }
            // No server sends DATA before its response.
            Some(stream) if from == Peer::Server && stream.is_unopened() => {
                let claims = stream.claims();
                self.emit(id, Some(Partial::NoResponse), false, now, cx);
                claims
            }
            Some(_) => return,
        };
        self.tunnels = true;
        let peers = Arc::clone(&self.peers);
        self.change(id, cx, |stream, cx| {
            let carrier = Carrier {
                id,
                websocket: false,
                mid_stream: true,
            };
            let inside = Inside::new(&carrier, claims, &peers, origin, cx);
            stream.inside = Some(Box::new(inside));
        });
    }
}

impl Stream {
    /// A CONNECT of which no response was seen.
    const fn is_unopened(&self) -> bool {
        self.is_connect() && self.response.is_none() && self.inside.is_none()
    }

    /// ztunnel's streams are tunnels: one is, too, of which neither a method nor a path is known.
    pub(super) fn may_be_ztunnels(&mut self) {
        let head = self.request.as_ref().map(|request| &request.head);
        let is_hidden =
            |head: &RequestHead| head.unknown.contains(Unknown::METHOD) && head.target().is_empty();
        if head.is_some_and(is_hidden) {
            self.connect = Connect::Tunnel;
        }
    }

    /// It was a CONNECT.
    pub(super) const fn is_connect(&self) -> bool {
        !matches!(self.connect, Connect::No)
    }

    /// What this end sends is a body or the beginning of a tunnel: the response will say.
    pub(super) const fn is_early(&self, from: Peer) -> bool {
        self.is_connect()
            && matches!(from, Peer::Client)
            && self.response.is_none()
            && self.inside.is_none()
    }

    /// What a CONNECT says of its tunnel.
    fn claims(&mut self) -> TunnelClaims {
        match (&self.request, self.connect) {
            (Some(request), Connect::Tunnel) => tunnel::claims(&request.head),
            _ => self
                .claims
                .take()
                .map_or_else(Default::default, |claims| *claims),
        }
    }

    /// The request goes, and its tunnel may open yet.
    pub(super) fn keep_claims(&mut self) {
        if self.connect == Connect::Tunnel && self.inside.is_none() && self.request.is_some() {
            self.claims = Some(Box::new(self.claims()));
        }
    }

    /// The response opens the tunnel: what came early is no body of the CONNECT.
    pub(super) fn open(&mut self, now: Nanos) -> Opened {
        let claims = self.claims();
        let sent = &mut self.bodies[Peer::Client as usize];
        let skipped = !sent.has_missing();
        let (bytes, rest) = sent.take();
        Opened {
            websocket: self.connect == Connect::WebSocket,
            claims,
            early: Early {
                bytes,
                time: self.early.take().unwrap_or(now),
                rest,
                skipped,
                ended: self.state.has_ended(Peer::Client),
            },
        }
    }

    /// There is no tunnel: what came early is a body, of which so many bytes are kept.
    pub(super) fn keep_as_body(&mut self, limit: usize) {
        if self.is_connect() {
            let sent = &mut self.bodies[Peer::Client as usize];
            sent.truncate(limit);
            if sent.has_missing() {
                self.lacks(Partial::Gap);
            }
        }
    }
}
