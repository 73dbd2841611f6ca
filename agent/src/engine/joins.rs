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
//!
//! Of those that could be it, the nearest in time is taken. So whatever the order in which
//! exchanges end, none takes what is the only one for another: all that can be joined are.

mod lane;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use self::lane::{Entry, Lanes, Nearest, remove};
use crate::exchange::Exchange;
use crate::flow::{Endpoint, Nanos, Offset, Peers, Secured, Side};
use crate::ledger::Ledger;
use crate::session::{RequestStart, Stats};

/// Requests that are remembered: as many as connections. The oldest goes first.
const MOST: usize = 65_536;
/// How long ztunnel may hold a request back, at most: what comes later is another one.
const LONGEST_WAY: Nanos = 10_000_000_000;

/// How long an exchange waits for what its tunnel proves, at most. What ztunnel decrypts is
/// recorded before the application's socket has it; but a thread that is interrupted while it
/// records holds up all others behind it in that ring buffer, and not what comes in the other one.
const WAIT: Nanos = 100_000_000;
/// Exchanges that wait at a time, and bytes that they hold. More do not.
const MOST_WAITING: usize = 4096;
const MOST_HELD: usize = 16 * 1024 * 1024;

/// Requests that have started, at sockets and in tunnels.
#[derive(Debug)]
pub(super) struct Joins {
    tunnels: Lanes<Option<Arc<Secured>>>,
    /// Where exchanges of tunnels are emitted, to know their duplicates; each also where the place
    /// of a tunnel's is not known ([`Place::anywhere`]), with its own.
    sockets: Option<Lanes<Place>>,
    /// What is remembered, the oldest first.
    order: VecDeque<(Entry, Place, Kind)>,
    count: u64,
    /// Exchanges of applications of which nothing is proved yet, and until when they wait.
    waiting: VecDeque<(Nanos, Exchange)>,
    held: usize,
}

/// What a request is known by at a socket and in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    head: u64,
    offset: Offset,
    side: Side,
    client: IpAddr,
    /// At the server's end, where it is.
    server: Option<Endpoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tunnel,
    Socket,
}

impl Joins {
    /// `flows`: exchanges in tunnels are emitted.
    pub(super) fn new(flows: bool) -> Self {
        Self {
            tunnels: Lanes::default(),
            sockets: flows.then(Lanes::default),
            order: VecDeque::new(),
            count: 0,
            waiting: VecDeque::new(),
            held: 0,
        }
    }

    /// Remembers requests.
    pub(super) fn add(&mut self, starts: &mut Vec<RequestStart>, oldest: Nanos) {
        for start in starts.drain(..) {
            self.count += 1;
            let entry = (start.began, self.count);
            let at = (start.head, start.offset);
            if is_tunnelled(&start.peers) {
                if let Some(place) = Place::in_tunnel(&start.peers, at) {
                    let lane = self.tunnels.entry(place).or_default();
                    lane.add(entry, start.peers.secured.clone());
                    self.order.push_back((entry, place, Kind::Tunnel));
                }
            } else if let Some(sockets) = &mut self.sockets {
                let place = Place::at_socket(&start.peers, at);
                for key in [place, place.anywhere()] {
                    sockets.entry(key).or_default().add(entry, place);
                    self.order.push_back((entry, key, Kind::Socket));
                }
            }
        }
        while let Some(((began, _), ..)) = self.order.front()
            && (*began < oldest || self.order.len() > MOST)
            && let Some((entry, place, kind)) = self.order.pop_front()
        {
            match (kind, &mut self.sockets) {
                (Kind::Tunnel, _) => remove(&mut self.tunnels, &place, entry),
                (Kind::Socket, Some(sockets)) => remove(sockets, &place, entry),
                (Kind::Socket, None) => {}
            }
        }
    }

    /// Bytes that wait.
    pub(super) const fn memory(&self) -> usize {
        self.held
    }

    /// Judges exchanges that have waited long enough, or all where no time is given.
    pub(super) fn release(
        &mut self,
        now: Option<Nanos>,
        exchanges: &mut Vec<Exchange>,
        stats: &mut Stats,
    ) {
        while let Some((due, _)) = self.waiting.front()
            && now.is_none_or(|now| *due <= now)
            && let Some((_, mut exchange)) = self.waiting.pop_front()
        {
            self.held = self.held.saturating_sub(exchange.memory());
            let _settled = self.is_settled(&mut exchange, stats);
            exchanges.push(exchange);
        }
    }

    /// Adds what is proved of an application's exchange. False: nothing is, and there are tunnels.
    fn is_settled(&mut self, exchange: &mut Exchange, stats: &mut Stats) -> bool {
        match self.proof(exchange) {
            Proof::None => return self.tunnels.is_empty(),
            Proof::Ambiguous => stats.ambiguous_identities += 1,
            Proof::Nothing => {}
            Proof::Of(secured) => {
                stats.identities += 1;
                Arc::make_mut(&mut exchange.peers).secured = Some(secured);
            }
        }
        true
    }

    fn has_room_for(&self, exchange: &Exchange) -> bool {
        self.waiting.len() < MOST_WAITING && self.held + exchange.memory() <= MOST_HELD
    }

    /// Judges exchanges that are about to be emitted, from `first` on: adds what is proved, removes
    /// duplicates, and has those wait of which nothing is proved yet.
    pub(super) fn settle(
        &mut self,
        exchanges: &mut Vec<Exchange>,
        first: usize,
        now: Nanos,
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
            } else if exchange.peers.connection.is_socket()
                && !self.is_settled(exchange, stats)
                && self.has_room_for(exchange)
            {
                self.held += exchange.memory();
                let due = now.saturating_add(WAIT);
                self.waiting.push_back((due, exchanges.remove(at)));
                continue;
            }
            at += 1;
        }
    }

    /// The same request is one of an application's socket.
    fn is_duplicate(&mut self, exchange: &Exchange) -> bool {
        let at = (exchange.request.head.fingerprint(), exchange.offset);
        let Some(sockets) = &mut self.sockets else {
            return false;
        };
        let Some(place) = Place::in_tunnel(&exchange.peers, at) else {
            return false;
        };
        let began = exchange.request.began;
        let (nearest, window) = match place.side {
            Side::Server => after(began),
            Side::Client => before(began),
        };
        let found = sockets.get(&place).and_then(|lane| {
            let at = nearest.of(lane.within(window))?;
            lane.entries.get(at).copied()
        });
        let Some((entry, own)) = found else {
            return false;
        };
        for place in [own, own.anywhere()] {
            remove(sockets, &place, entry);
        }
        true
    }

    /// What is proved of an application's exchange.
    fn proof(&mut self, exchange: &Exchange) -> Proof {
        let at = (exchange.request.head.fingerprint(), exchange.offset);
        let place = Place::at_socket(&exchange.peers, at);
        let began = exchange.request.began;
        let (nearest, window) = match place.side {
            Side::Server => before(began),
            Side::Client => {
                let (nearest, (from, to)) = after(began);
                (nearest, (from, to.min(exchange.ended)))
            }
        };
        let mut found: Option<(Place, Entry, &Option<Arc<Secured>>)> = None;
        for place in [place, place.anywhere()] {
            let Some(lane) = self.tunnels.get(&place) else {
                continue;
            };
            let range = lane.within(window);
            let Some(at) = nearest.of(range.clone()) else {
                continue;
            };
            let Some((entry, secured)) = lane.entries.get(at) else {
                continue;
            };
            let differs = found.is_some_and(|(.., other)| other != secured);
            if differs || !lane.agree(range) {
                return Proof::Ambiguous;
            }
            found = found.or(Some((place, *entry, secured)));
        }
        let Some((place, entry, secured)) = found else {
            return Proof::None;
        };
        let secured = secured.clone();
        remove(&mut self.tunnels, &place, entry);
        secured.map_or(Proof::Nothing, Proof::Of)
    }
}

impl Place {
    /// `head`, `offset`: of the request.
    fn at_socket(peers: &Peers, (head, offset): (u64, Offset)) -> Self {
        Self {
            head,
            offset,
            side: peers.side,
            client: peers.client.ip(),
            server: match peers.side {
                Side::Server => Some(peers.server),
                Side::Client => None,
            },
        }
    }

    /// Where it is at a socket, if the ends agree. At the server's end, ztunnel connects to where
    /// the tunnel leads, from the address of the client. At the client's end it is in the client's
    /// own network, and may lead elsewhere than the client asked for. Where a tunnel leads, or
    /// began, is not known of a session that is older than the agent; of that, nothing is proved.
    fn in_tunnel(peers: &Peers, (head, offset): (u64, Offset)) -> Option<Self> {
        let outer = peers.outer.as_deref()?;
        let (client, server) = match peers.side {
            Side::Server => {
                let client = outer.claims.forwarded.unwrap_or(outer.client.ip());
                (client, outer.claims.target)
            }
            Side::Client => (outer.client.ip(), None),
        };
        let place = Self {
            head,
            offset,
            side: peers.side,
            client,
            server,
        };
        let is_known = !offset.is_mid_stream() && (server.is_some() || peers.side == Side::Client);
        Some(match is_known {
            true => place,
            false => place.anywhere(),
        })
    }

    /// Wherever the same request of this client may be.
    const fn anywhere(self) -> Self {
        Self {
            offset: Offset::MID_STREAM,
            server: None,
            ..self
        }
    }
}

/// Which one is the nearest of those that come after this time, and when they do.
const fn after(began: Nanos) -> (Nearest, (Nanos, Nanos)) {
    (Nearest::First, (began, began.saturating_add(LONGEST_WAY)))
}

/// Which one is the nearest of those that came before it, and when they did.
const fn before(began: Nanos) -> (Nearest, (Nanos, Nanos)) {
    (Nearest::Last, (began.saturating_sub(LONGEST_WAY), began))
}

/// What is proved of an exchange.
enum Proof {
    /// There is no tunnel that could be its own.
    None,
    /// There is one, which proves nothing.
    Nothing,
    /// Several tunnels could be its own, and prove different things.
    Ambiguous,
    /// This.
    Of(Arc<Secured>),
}

/// It runs inside a tunnel that ztunnel reads or writes.
fn is_tunnelled(peers: &Peers) -> bool {
    peers.connection.is_rustls() && peers.outer.is_some()
}
