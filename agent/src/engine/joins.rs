//! The same request, seen twice: inside a tunnel that ztunnel reads or writes, and at the socket of
//! an application.
//!
//! ```text
//! client ══ socket ══ ztunnel ══ TLS ( HBONE ( request ) ) ══ ztunnel ══ socket ══ server
//!             ▲                        ▲              ▲                    ▲
//!             └─────── one request ────┘              └──── one request ───┘
//! ```
//!
//! ztunnel passes bytes on as they are: one connection of an application is one tunnel. So a
//! request at a socket is one in a tunnel when its head is the same, as many bytes came before it,
//! the ends agree, and it is where it must be in time. Then the exchange of the application has
//! what the handshake of the tunnel's session proves, and that of the tunnel is a duplicate. Where
//! tunnels that could be the one prove different things, nothing is said.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::exchange::Exchange;
use crate::flow::{Nanos, Offset, Peers, Secured, Side};
use crate::ledger::Ledger;
use crate::session::{RequestStart, Stats};

/// Requests that are remembered: as many as connections. The oldest goes first.
const MOST: usize = 65_536;
/// How long ztunnel may hold a request back, at most: what comes later is another one.
const LONGEST_WAY: Nanos = 10_000_000_000;

/// Requests that have started, at sockets and in tunnels.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// By their heads.
    requests: HashMap<u64, VecDeque<Request>, crate::hash::Keyed>,
    /// When each came, and its head.
    order: VecDeque<(Nanos, u64)>,
}

/// A request, and whether one of the other kind has been taken for it.
#[derive(Debug)]
struct Request {
    start: RequestStart,
    is_taken: bool,
}

impl Joins {
    /// Remembers requests.
    pub(super) fn add(&mut self, starts: &mut Vec<RequestStart>, oldest: Nanos) {
        for start in starts.drain(..) {
            self.order.push_back((start.began, start.head));
            let requests = self.requests.entry(start.head).or_default();
            requests.push_back(Request {
                start,
                is_taken: false,
            });
        }
        while let Some((began, head)) = self.order.front()
            && (*began < oldest || self.order.len() > MOST)
        {
            // In a list, too, the oldest is the first.
            if let Some(requests) = self.requests.get_mut(head) {
                requests.pop_front();
                if requests.is_empty() {
                    self.requests.remove(head);
                }
            }
            self.order.pop_front();
        }
    }

    /// Judges exchanges that are about to be emitted, from `first` on: adds what is proved, and
    /// removes duplicates.
    pub(super) fn settle(
        &mut self,
        exchanges: &mut Vec<Exchange>,
        first: usize,
        (ledger, stats): (&mut Ledger, &mut Stats),
    ) {
        let mut at = first;
        while let Some(exchange) = exchanges.get_mut(at) {
            if is_tunnelled(&exchange.peers) {
                if self.is_duplicate(exchange) {
                    ledger.fold(exchange.partial);
                    exchanges.remove(at);
                    continue;
                }
            } else if exchange.peers.connection.depth() == 0 {
                match self.proof(exchange) {
                    Proof::None => {}
                    Proof::Ambiguous => stats.ambiguous_identities += 1,
                    Proof::Of(secured) => {
                        stats.identities += 1;
                        Arc::make_mut(&mut exchange.peers).secured = Some(secured);
                    }
                }
            }
            at += 1;
        }
    }

    /// The same request is one of an application's socket.
    fn is_duplicate(&mut self, exchange: &Exchange) -> bool {
        let Some((requests, own)) = self.of(exchange) else {
            return false;
        };
        let (peers, offset, began) = (exchange.peers.clone(), own.offset, own.began);
        let same = requests.iter_mut().find(|other| {
            let start = &other.start;
            !is_tunnelled(&start.peers)
                && !other.is_taken
                && start.offset == offset
                && agree(&start.peers, &peers)
                && is_in_time(start.peers.side, start.began, began)
        });
        let Some(same) = same else {
            return false;
        };
        same.is_taken = true;
        true
    }

    /// What is proved of an application's exchange.
    fn proof(&mut self, exchange: &Exchange) -> Proof {
        let Some((requests, own)) = self.of(exchange) else {
            return Proof::None;
        };
        let (peers, offset, began) = (exchange.peers.clone(), own.offset, own.began);
        let mut candidates = requests.iter_mut().filter(|other| {
            let start = &other.start;
            is_tunnelled(&start.peers)
                && !other.is_taken
                && start.offset == offset
                && agree(&peers, &start.peers)
                && is_in_time(peers.side, began, start.began)
                && start.began <= exchange.ended
        });
        let Some(first) = candidates.next() else {
            return Proof::None;
        };
        let secured = first.start.peers.secured.clone();
        if candidates.any(|other| other.start.peers.secured != secured) {
            return Proof::Ambiguous;
        }
        first.is_taken = true;
        secured.map_or(Proof::None, Proof::Of)
    }

    /// Where an exchange began, and every request with the same head.
    fn of(&mut self, exchange: &Exchange) -> Option<(&mut VecDeque<Request>, Own)> {
        let head = exchange.request.head.fingerprint();
        let requests = self.requests.get_mut(&head)?;
        let own = requests.iter().find(|request| {
            let start = &request.start;
            start.peers.connection == exchange.peers.connection
                && start.stream == exchange.stream
                && start.began == exchange.request.began
        })?;
        let own = Own {
            offset: own.start.offset,
            began: own.start.began,
        };
        Some((requests, own))
    }
}

/// Where an exchange began.
struct Own {
    offset: Offset,
    began: Nanos,
}

/// What is proved of an exchange.
enum Proof {
    /// Nothing.
    None,
    /// Several tunnels could be its own, and prove different things.
    Ambiguous,
    /// This.
    Of(Arc<Secured>),
}

/// It runs inside a tunnel that ztunnel reads or writes.
fn is_tunnelled(peers: &Peers) -> bool {
    peers.connection.is_rustls() && peers.outer.is_some()
}

/// The ends of an application's socket and of a tunnel agree. At the server's end, ztunnel connects
/// to where the tunnel leads, from the address of the client. At the client's end it is in the
/// client's own network, and may lead elsewhere than the client asked for. Where it leads is not
/// known of a session that is older than the agent; of that, nothing is proved.
fn agree(socket: &Peers, tunnel: &Peers) -> bool {
    let Some(outer) = tunnel.outer.as_deref() else {
        return false;
    };
    if socket.side != tunnel.side {
        return false;
    }
    match socket.side {
        Side::Server => {
            let client = outer.claims.forwarded.unwrap_or(outer.client.ip());
            let target = outer.claims.target;
            target.is_none_or(|target| target == socket.server) && socket.client.ip() == client
        }
        Side::Client => socket.client.ip() == outer.client.ip(),
    }
}

/// At the server's end the tunnel is first, at the client's end the socket.
fn is_in_time(side: Side, socket: Nanos, tunnel: Nanos) -> bool {
    let (earlier, later) = match side {
        Side::Server => (tunnel, socket),
        Side::Client => (socket, tunnel),
    };
    later
        .checked_sub(earlier)
        .is_some_and(|way| way <= LONGEST_WAY)
}
