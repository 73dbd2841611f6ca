//! From HTTP/1 to what a response switches its connection to.

use std::sync::Arc;

use super::h1::To;
use super::h2::H2;
use super::tunnel::Tunnel;
use super::websocket::WebSocket;
use super::{Context, Messages, Origin, Session, h1};
use crate::flow::{Direction, Offset, Peers};
use crate::transport::Chunk;

/// The request that switched a connection. By it, the two sockets of a local connection may yet be
/// recognised.
#[derive(Debug)]
pub(crate) struct SwitchedBy {
    peers: Arc<Peers>,
    offset: Offset,
    unseen: Option<Offset>,
}

impl SwitchedBy {
    pub(super) const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// See [`Session::take_request_start`].
    pub(super) fn take_request_start(&mut self) -> Option<(&Peers, Offset)> {
        let offset = self.unseen.take()?;
        Some((&self.peers, offset))
    }

    /// See [`Session::has_request_at`].
    pub(super) fn is_at(&self, direction: Direction, offset: Offset) -> bool {
        self.peers.side.requests() == direction && self.offset == offset
    }
}

impl Session {
    /// The connection was switched to something else, with the message that ends where `chunk`
    /// begins; or before that, as the client's preface shows with which it begins.
    pub(super) fn switch(
        &mut self,
        peers: &Arc<Peers>,
        switched: h1::Switched,
        chunk: &Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let requests = peers.side.requests();
        let by = SwitchedBy {
            peers: Arc::clone(peers),
            offset: switched.offset,
            unseen: switched.unseen,
        };
        *self = match switched.to {
            To::Http2(request) => {
                cx.stats.http2 += 1;
                let starts = (by.offset, by.unseen);
                let responses = switched.shown_by == Messages::Responses;
                Self::H2(Box::new(H2::upgraded(by.peers, request, starts, responses)))
            }
            To::WebSocket => Self::WebSocket(Box::new(WebSocket::new(requests, Some(by)))),
            To::Tunnel => Self::Tunnel(Box::new(Tunnel::new(by, switched.claims, origin))),
        };
        let early = switched.early.chunk().map(|early| early.offset);
        let first = match switched.shown_by {
            Messages::Requests => early.or(Some(chunk.offset)),
            Messages::Responses => {
                self.opens(requests.opposite(), chunk.offset, true, cx);
                // Where the next request bytes are not known yet, the sender of the response says.
                early.or(chunk.heard)
            }
        };
        if let Some(offset) = first {
            self.opens(requests, offset, true, cx);
        }
        if let Some(early) = switched.early.chunk() {
            self.chunk(requests, early, origin, cx);
        }
        if let Some(gap) = switched.early.gap(chunk.time) {
            self.gap(requests, &gap, origin, cx);
        }
        if switched.requests_ended {
            self.end(requests, chunk.time, cx);
        }
    }
}
