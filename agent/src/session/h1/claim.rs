//! The client that a PROXY protocol preamble names, until the server has shown that it expects one.

use std::sync::Arc;

use crate::flow::{Claim, Peers};

/// Whoever connects can write a PROXY protocol preamble, and a receiver must not guess
/// (proxy-protocol.txt §2): it names nobody yet.
pub(super) fn set_claim_apart(mut peers: Arc<Peers>) -> (Arc<Peers>, Option<Claim>) {
    let port = peers.claimed_port;
    let claim = peers.claimed_client.map(|client| Claim { client, port });
    if claim.is_some() {
        Arc::make_mut(&mut peers).set_claim(None);
    }
    (peers, claim)
}

/// The first final response decides on a PROXY protocol preamble: a server that expects none takes
/// it for a request line that it cannot read (400, RFC 9110 §15.5.1).
pub(super) fn decide_claim(claim: &mut Option<Claim>, peers: &mut Arc<Peers>, status: u16) {
    let claim = claim.take();
    if status != 400 && claim.is_some() {
        Arc::make_mut(peers).set_claim(claim);
    }
}
