//! After a CONNECT or an upgrade: the bytes inside are a connection of their own.

use meshtap_common::IgnoreReason;

use super::switch::SwitchedBy;
use super::{Context, End, Messages, Origin, Session};
use crate::flow::{Demand, Direction, Nanos, Offset, Peers, TunnelClaims};
use crate::http::Anomalies;
use crate::transport::{Chunk, Gap};

use std::sync::Arc;

/// Bytes kept that came after a CONNECT and before its response. Clients that do not wait send a
/// TLS hello, or one request.
pub(super) const EARLY: usize = 16 * 1024;

/// A tunnel, and the session inside it. Bytes and offsets inside are those outside.
#[derive(Debug)]
pub(crate) struct Tunnel {
    inner: Session,
    origin: Origin,
    /// The direction of the outer requests.
    requests: Direction,
    pub(super) by: SwitchedBy,
}

impl Tunnel {
    /// The tunnel that a request opened, and what is said of it. The session inside is a fresh one,
    /// unless connections are nested too deep already.
    pub(crate) fn new(by: SwitchedBy, claims: TunnelClaims, origin: &Origin) -> Self {
        let peers = by.peers();
        let (inner, connection) = match origin.connection.inner(0) {
            Some(connection) => (Session::default(), connection),
            None => (Session::Ignored(IgnoreReason::Lost), origin.connection),
        };
        Self {
            inner,
            origin: Origin {
                connection,
                outer: Some(Arc::new(Peers {
                    claims,
                    ..Peers::clone(peers)
                })),
                ..origin.clone()
            },
            requests: peers.side.requests(),
            by,
        }
    }

    fn count(&self, direction: Direction, len: u64, cx: &mut Context<'_>) {
        let messages = Messages::of(direction, self.requests);
        cx.stats.upgraded_bytes[messages as usize] += len;
    }

    /// A direction begins here: nothing came before `offset` in the tunnel.
    pub(crate) fn opens(&mut self, direction: Direction, offset: Offset, cx: &mut Context<'_>) {
        self.inner.opens(direction, offset, true, cx);
    }

    pub(crate) fn chunk(&mut self, direction: Direction, chunk: Chunk<'_>, cx: &mut Context<'_>) {
        self.count(direction, chunk.bytes.len() as u64, cx);
        self.inner.chunk(direction, chunk, &self.origin, cx);
        self.inner.settle(chunk.time, cx);
    }

    pub(crate) fn gap(&mut self, direction: Direction, gap: &Gap, cx: &mut Context<'_>) {
        self.count(direction, gap.len, cx);
        self.inner.gap(direction, gap, &self.origin, cx);
        self.inner.settle(gap.time, cx);
    }

    pub(crate) fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        self.inner.mark(direction, anomaly);
    }

    pub(crate) fn end(&mut self, direction: Direction, time: Nanos, cx: &mut Context<'_>) {
        self.inner.end(direction, time, cx);
        self.inner.settle(time, cx);
    }

    pub(crate) fn finish(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        self.inner.finish(end, now, cx);
    }

    pub(crate) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.inner.expire(now, cx);
        self.inner.settle(now, cx);
    }

    pub(crate) fn guess(&mut self, direction: Direction, at: Option<Offset>) {
        self.inner.guess(direction, at);
    }

    /// What is not read inside is of use for its number alone.
    pub(crate) fn demand(&self, direction: Direction, position: Offset) -> Demand {
        match &self.inner {
            Session::Ignored(_) => Demand::From(Offset(u64::MAX)),
            inner => inner.demand(direction, position),
        }
    }

    pub(crate) const fn inner(&self) -> &Session {
        &self.inner
    }
}
