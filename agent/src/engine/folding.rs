//! The two ends of one local connection, recognised exactly.
//!
//! When client and server of a connection run on the same node, both sockets are captured. They are the two ends of one
//! connection, with nothing between that rewrites it, if their addresses are each other's mirror image and a request begins
//! at the same TCP sequence number in both. Initial sequence numbers are random, so that is no coincidence.

use hashbrown::HashMap;

use super::table::Key;
use crate::flow::{Endpoint, Side};
use crate::session::Identity;

/// HTTP connections by their two ends.
#[derive(Debug, Default)]
pub(super) struct PeerSockets {
    ends: HashMap<(Endpoint, Endpoint), [Option<Key>; 2], foldhash::fast::RandomState>,
}

impl PeerSockets {
    /// Adds a connection; returns the one on the other side, if there is one.
    pub(super) fn add(&mut self, identity: &Identity, side: Side, key: Key) -> Option<Key> {
        let sides = self.ends.entry(ends(identity, side)).or_default();
        sides[side as usize] = Some(key);
        sides[other(side) as usize]
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, identity: &Identity, side: Side, key: Key) {
        let ends = ends(identity, side);
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
const fn ends(identity: &Identity, side: Side) -> (Endpoint, Endpoint) {
    match side {
        Side::Client => (identity.local, identity.remote),
        Side::Server => (identity.remote, identity.local),
    }
}

const fn other(side: Side) -> Side {
    match side {
        Side::Server => Side::Client,
        Side::Client => Side::Server,
    }
}
