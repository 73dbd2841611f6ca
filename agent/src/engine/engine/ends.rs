//! The two ends of a local connection: who emits its exchanges.

use super::Engine;
use crate::capture::Command;
use crate::engine::folding::PeerSocket;
use crate::engine::table::Key;
use crate::flow::Side;
use crate::session::Output;
use crate::transport::Place;

impl Engine {
    /// A request began there: does the other end of the same connection have one there? `true`: it
    /// does, this one is the client, and this is its first request.
    pub(super) fn fold(&mut self, key: Key, side: Side, place: Place, output: &mut Output) -> bool {
        let Some(connection) = self.table.get_mut(key) else {
            return false;
        };
        let is_first = connection.peer == PeerSocket::Unknown;
        let candidate = match connection.peer {
            PeerSocket::Alone | PeerSocket::Emits | PeerSocket::Folded => return false,
            PeerSocket::Candidate(peer) => peer,
            PeerSocket::Unknown => {
                let found = self.peer_sockets.add(&connection.origin, side, key);
                connection.listed = Some(side);
                connection.peer = found.map_or(PeerSocket::Alone, PeerSocket::Candidate);
                let Some(found) = found else { return false };
                if let Some(peer) = self.table.get_mut(found)
                    && peer.peer != PeerSocket::Folded
                {
                    peer.peer = PeerSocket::Candidate(key);
                }
                found
            }
        };
        let same = self
            .table
            .get(candidate)
            .is_some_and(|peer| peer.has_request_at(side.other(), place));
        if !same {
            return false;
        }
        let (client, server) = match side {
            Side::Client => (key, candidate),
            Side::Server => (candidate, key),
        };
        if let Some(connection) = self.table.get_mut(server) {
            connection.peer = PeerSocket::Emits;
        }
        if let Some(connection) = self.table.get_mut(client) {
            connection.peer = PeerSocket::Folded;
            output
                .commands
                .push(Command::Fold(connection.origin.socket));
        }
        is_first && client == key
    }

    /// Of the exchanges that a connection has just emitted, from `first` on, takes back those that
    /// the peer socket has emitted before it was known as such.
    pub(super) fn emit_once(&mut self, key: Key, output: &mut Output, first: usize) {
        if !self.shared.limits.fold_peers || output.exchanges.len() == first {
            return;
        }
        let Some(connection) = self.table.get(key) else {
            return;
        };
        let mut at = first;
        while let Some(exchange) = output.exchanges.get(at) {
            at += 1;
            let has_response = exchange.response.is_some();
            if exchange.peers.connection != connection.id()
                || has_response && self.emitted_alone.is_empty()
            {
                continue;
            }
            let side = exchange.peers.side;
            let Some(place) = connection.place(side, exchange.offset) else {
                continue;
            };
            let (origin, at_both) = (&connection.origin, (place, exchange.stream));
            if self.emitted_alone.take(origin, side, at_both) {
                at -= 1;
                self.shared.ledger.fold(exchange.partial);
                output.exchanges.remove(at);
            } else if !has_response && !connection.peer.is_known() {
                self.emitted_alone.add(origin, side, at_both);
            }
        }
    }
}
