//! The two sockets of one local connection, recognised exactly.
//!
//! When client and server of a connection run on the same node, both sockets are captured. They are
//! the two ends of one connection, with nothing between that rewrites it, if each one's local
//! address is the other's remote address and a request begins at the same place on the wire in
//! both. Initial sequence numbers are random (RFC 9293 §3.4.1), so that is no coincidence. Of two
//! TLS sessions that were seen from their first byte, the offset of the request is compared. The
//! client's socket is then folded: the server's emits the exchanges of both.

use hashbrown::HashMap;

use super::table::Key;
use crate::flow::{Endpoint, Side};
use crate::session::Origin;

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

/// Client and server.
const fn ends(origin: &Origin, side: Side) -> (Endpoint, Endpoint) {
    match side {
        Side::Client => (origin.local, origin.remote),
        Side::Server => (origin.remote, origin.local),
    }
}
