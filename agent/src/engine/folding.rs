//! The two sockets of one local connection, recognised exactly.
//!
//! When client and server of a connection run on the same node, both sockets are captured. They are
//! the two ends of one connection, with nothing between that rewrites it, if each one's local
//! address is the other's remote address and a request begins at the same place on the wire in
//! both. Initial sequence numbers are random (RFC 9293 §3.4.1), so that is no coincidence. Of two
//! TLS sessions that were seen from their first byte, the offset of the request is compared. The
//! client's socket is then folded: the server's emits the exchanges of both.
//!
//! The server's socket shows a request only once TCP is known to have taken it. The client may have
//! cancelled it by then: such an exchange is emitted by the socket that shows its end first.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::table::Key;
use crate::flow::{Endpoint, Side};
use crate::session::Origin;
use crate::transport::Place;

/// What is known of the other end of a connection on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerSocket {
    /// Not looked for yet.
    Unknown,
    /// No other end has been seen.
    Alone,
    /// A connection between the same two addresses, with the other side.
    Candidate(Key),
    /// It is the same connection; this one emits.
    Emits,
    /// It is the same connection; the peer socket emits.
    Folded,
}

impl PeerSocket {
    /// The peer socket is there.
    pub(super) const fn is_known(self) -> bool {
        matches!(self, Self::Emits | Self::Folded)
    }
}

/// HTTP connections by their two ends.
#[derive(Debug, Default)]
pub(super) struct PeerSockets {
    ends: HashMap<(Endpoint, Endpoint), [Option<Key>; 2], crate::hash::Keyed>,
}

impl PeerSockets {
    /// Adds a connection; returns the one of the other side, if there is one.
    pub(super) fn add(&mut self, origin: &Origin, side: Side, key: Key) -> Option<Key> {
        let sides = self.ends.entry(ends(origin, side)).or_default();
        sides[side as usize] = Some(key);
        sides[side.other() as usize]
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, origin: &Origin, side: Side, key: Key) {
        let ends = ends(origin, side);
        let Some(sides) = self.ends.get_mut(&ends) else {
            return;
        };
        let own = &mut sides[side as usize];
        if *own == Some(key) {
            *own = None;
        }
        if sides.iter().all(Option::is_none) {
            self.ends.remove(&ends);
        }
    }
}

/// Exchanges without a response that one socket of a connection has emitted, when it was not known
/// whether there is another one.
#[derive(Debug, Default)]
pub(super) struct EmittedAlone {
    requests: HashMap<Request, Side, crate::hash::Keyed>,
    /// The oldest first.
    order: VecDeque<Request>,
}

/// A request: the ends of its connection, where it begins, and its stream.
type Request = ((Endpoint, Endpoint), (Place, Option<u32>));

impl EmittedAlone {
    /// Requests that are remembered. The other socket of a connection shows the end of a request at
    /// once, or when its connection ends.
    const MOST: usize = 1024;

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The other socket has emitted the exchange of this request.
    pub(super) fn take(&mut self, origin: &Origin, side: Side, at: (Place, Option<u32>)) -> bool {
        let request = (ends(origin, side), at);
        let is_other = self.requests.get(&request) == Some(&side.other());
        is_other && self.requests.remove(&request).is_some()
    }

    /// The socket of this side emits it.
    pub(super) fn add(&mut self, origin: &Origin, side: Side, at: (Place, Option<u32>)) {
        let request = (ends(origin, side), at);
        if self.requests.insert(request, side).is_none() {
            self.order.push_back(request);
        }
        while self.order.len() > Self::MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.requests.remove(&oldest);
            }
        }
    }
}

/// Client and server.
const fn ends(origin: &Origin, side: Side) -> (Endpoint, Endpoint) {
    match side {
        Side::Client => (origin.local, origin.remote),
        Side::Server => (origin.remote, origin.local),
    }
}
