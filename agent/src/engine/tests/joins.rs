//! The same requests in tunnels through ztunnel, and at sockets of applications.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::http2::{data, headers, settings, status};
use super::wire::{CLIENT, Run, SERVER, Who, Wire};
use crate::capture::{Event, Plaintext};
use crate::engine::Limits;
use crate::flow::{CgroupId, ConnectionId, Direction, Offset, Side, SocketId};
use crate::http::h2::frame::PREFACE;
use crate::ledger::Dropped;
use crate::transport::flight;

const END_STREAM: u8 = 1;
const WEB: &str = "spiffe://mesh/ns/shop/sa/web";
const CART: &str = "spiffe://mesh/ns/shop/sa/cart";
const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";

/// ztunnel beside an application at one side, and the application's sockets.
struct Node {
    run: Run,
    side: Side,
    offsets: HashMap<(u64, Direction), u64>,
    /// The sessions are older than the agent.
    is_late: bool,
}

impl Node {
    fn new(side: Side, flows: bool) -> Self {
        let limits = Limits {
            flows,
            ..Limits::default()
        };
        Self {
            run: Run::new(limits),
            side,
            offsets: HashMap::new(),
            is_late: false,
        }
    }

    fn range<'a>(&mut self, session: u64, direction: Direction, bytes: &'a [u8]) -> Plaintext<'a> {
        self.run.now += 1_000_000;
        let own = SocketAddr::from(([192, 0, 2, 80], 15008)).into();
        let other = SocketAddr::from(([192, 0, 2, 0], 4000)).into();
        let (local, remote) = match self.side {
            Side::Server => (own, other),
            Side::Client => (other, own),
        };
        Plaintext {
            time: self.run.now,
            connection: ConnectionId::rustls(session),
            socket: SocketId(1000 + session),
            cgroup: CgroupId(9),
            direction,
            local,
            remote,
            offset: Offset(0),
            heard: None,
            len: bytes.len() as u64,
            start: !self.is_late,
            end: false,
            bytes,
        }
    }

    /// A session with the end that has this SPIFFE id, or has shown none.
    fn session(&mut self, session: u64, peer: Option<&str>) {
        let flights = [
            (Direction::Egress, flight(Some(CART))),
            (Direction::Ingress, flight(peer)),
        ];
        for (direction, flight) in flights {
            let range = self.range(session, direction, &flight);
            let event = Event::Handshake(range);
            self.run.engine.event(&event, &mut self.run.output);
        }
        let preface = [&PREFACE[..], &settings()].concat();
        self.says(session, CLIENT, &preface);
        self.says(session, SERVER, &settings());
    }

    fn says(&mut self, session: u64, who: Who, bytes: &[u8]) {
        let direction = match (who, self.side) {
            (CLIENT, Side::Server) | (SERVER, Side::Client) => Direction::Ingress,
            (CLIENT, Side::Client) | (SERVER, Side::Server) => Direction::Egress,
        };
        let next = self.offsets.entry((session, direction)).or_default();
        let offset = Offset(*next);
        *next += bytes.len() as u64;
        let range = Plaintext {
            offset,
            ..self.range(session, direction, bytes)
        };
        let event = Event::Plaintext(range);
        self.run.engine.event(&event, &mut self.run.output);
        assert_eq!(self.run.engine.ledger().imbalance(), 0);
    }

    /// A tunnel to the server is opened in a stream, for the client.
    fn tunnel(&mut self, session: u64, stream: u32) {
        let fields = [":method=CONNECT", ":authority=192.0.2.80:80"];
        self.says(session, CLIENT, &headers(stream, 0, &fields));
        self.says(session, SERVER, &status(stream, 0, "200"));
    }

    fn in_tunnel(&mut self, session: u64, stream: u32, who: Who, text: &str) {
        self.says(session, who, &data(stream, 0, text));
    }

    /// What is said at an application's socket.
    fn at_socket(&mut self, wire: &mut Wire, who: Who, text: &str) {
        wire.time = self.run.now;
        wire.say(who, text);
        let packets = std::mem::take(&mut wire.packets);
        self.run.feed(&packets);
    }

    /// Everything has ended: each exchange of applications, with what is proved of it, and of
    /// tunnels.
    fn story(&mut self) -> Vec<String> {
        self.run.finish();
        let exchanges = self.run.output.exchanges.iter();
        let exchanges = exchanges.filter(|exchange| exchange.request.head.method() != b"CONNECT");
        let line = |exchange: &crate::exchange::Exchange| {
            let at = match exchange.peers.outer {
                Some(_) => "tunnel",
                None => "socket",
            };
            let secured = exchange.peers.secured.as_deref();
            match secured.map(|secured| (secured.mtls, secured.peer.as_deref())) {
                None => at.to_owned(),
                Some((mtls, peer)) => format!("{at} mtls {mtls} {}", peer.unwrap_or("nobody")),
            }
        };
        exchanges.map(line).collect()
    }
}

fn socket(side: Side, number: u64) -> Wire {
    Wire::at(side, number, 5000, [1000, 9000])
}

/// A request goes its way through ztunnel, to or from an application.
fn pass(node: &mut Node, (session, stream): (u64, u32), wire: &mut Wire) {
    match node.side {
        Side::Server => {
            node.in_tunnel(session, stream, CLIENT, REQUEST);
            node.at_socket(wire, CLIENT, REQUEST);
            node.at_socket(wire, SERVER, RESPONSE);
            node.in_tunnel(session, stream, SERVER, RESPONSE);
        }
        Side::Client => {
            node.at_socket(wire, CLIENT, REQUEST);
            node.in_tunnel(session, stream, CLIENT, REQUEST);
            node.in_tunnel(session, stream, SERVER, RESPONSE);
            node.at_socket(wire, SERVER, RESPONSE);
        }
    }
}

#[test]
fn an_application_s_exchange_has_what_its_tunnel_proves() {
    for side in [Side::Server, Side::Client] {
        for flows in [true, false] {
            for (peer, expected) in [
                (Some(WEB), format!("socket mtls true {WEB}")),
                (None, "socket mtls false nobody".to_owned()),
            ] {
                let mut node = Node::new(side, flows);
                node.session(1, peer);
                node.tunnel(1, 1);
                let mut wire = socket(side, 1);
                for _ in 0..3 {
                    pass(&mut node, (1, 1), &mut wire);
                }
                assert_eq!(node.story(), [expected.as_str(); 3], "{side:?} {flows}");
                assert_eq!(node.run.engine.stats().identities, 3);
                let folded = node.run.engine.ledger().dropped[Dropped::Folded as usize];
                assert_eq!(folded, if flows { 3 } else { 4 });
            }
        }
    }
}

#[test]
fn what_no_socket_shows_is_emitted_when_asked_for() {
    for (flows, expected) in [
        (true, &[format!("tunnel mtls true {WEB}")][..]),
        (false, &[]),
    ] {
        let mut node = Node::new(Side::Server, flows);
        node.session(1, Some(WEB));
        node.tunnel(1, 1);
        node.in_tunnel(1, 1, CLIENT, REQUEST);
        node.in_tunnel(1, 1, SERVER, RESPONSE);
        node.says(1, CLIENT, &data(1, END_STREAM, ""));
        assert_eq!(node.story(), expected);
    }
}

/// Two clients that say the same at the same time: nobody knows which was which, unless both are
/// the same one.
#[test]
fn who_is_not_certain_is_not_said() {
    let check = |second: &str, expected: [String; 2]| {
        let mut node = Node::new(Side::Server, false);
        let mut wires = [
            socket(Side::Server, 1),
            Wire::at(Side::Server, 2, 5250, [1000, 9000]),
        ];
        for (session, peer) in [(1, WEB), (2, second)] {
            node.session(session, Some(peer));
            node.tunnel(session, 1);
            node.in_tunnel(session, 1, CLIENT, REQUEST);
        }
        for wire in &mut wires {
            node.at_socket(wire, CLIENT, REQUEST);
            node.at_socket(wire, SERVER, RESPONSE);
        }
        assert_eq!(node.story(), expected);
        node.run.engine.stats().ambiguous_identities
    };
    let known = || format!("socket mtls true {WEB}");
    assert_eq!(check(WEB, [known(), known()]), 0);
    assert_eq!(check(CART, ["socket".to_owned(), "socket".to_owned()]), 2);
}

#[test]
fn another_request_proves_nothing() {
    let check = |change: fn(&mut Node, &mut Wire)| {
        let mut node = Node::new(Side::Server, false);
        node.session(1, Some(WEB));
        node.tunnel(1, 1);
        let mut wire = socket(Side::Server, 1);
        change(&mut node, &mut wire);
        node.at_socket(&mut wire, SERVER, RESPONSE);
        let story = node.story();
        assert_eq!(story.last().map(String::as_str), Some("socket"));
    };
    // Other bytes.
    check(|node, wire| {
        node.in_tunnel(1, 1, CLIENT, &REQUEST.replace("shop", "bank"));
        node.at_socket(wire, CLIENT, REQUEST);
    });
    // At another place in the connection.
    check(|node, wire| {
        node.in_tunnel(1, 1, CLIENT, REQUEST);
        node.at_socket(wire, CLIENT, &REQUEST.replace("/a", "/b"));
        node.at_socket(wire, SERVER, RESPONSE);
        node.at_socket(wire, CLIENT, REQUEST);
    });
    // From another address.
    check(|node, wire| {
        *wire = Wire::at(Side::Server, 1, 5001, [1000, 9000]);
        node.in_tunnel(1, 1, CLIENT, REQUEST);
        node.at_socket(wire, CLIENT, REQUEST);
    });
    // Before it was in the tunnel.
    check(|node, wire| {
        node.at_socket(wire, CLIENT, REQUEST);
        node.in_tunnel(1, 1, CLIENT, REQUEST);
    });
    // Long after.
    check(|node, wire| {
        node.in_tunnel(1, 1, CLIENT, REQUEST);
        node.run.now += 60_000_000_000;
        node.at_socket(wire, CLIENT, REQUEST);
    });
}

/// A tunnel is one connection: a second one with the same bytes is not it.
#[test]
fn a_tunnel_is_taken_once() {
    let mut node = Node::new(Side::Server, false);
    node.session(1, Some(WEB));
    node.tunnel(1, 1);
    pass(&mut node, (1, 1), &mut socket(Side::Server, 1));
    let mut other = Wire::at(Side::Server, 2, 5250, [1000, 9000]);
    node.at_socket(&mut other, CLIENT, REQUEST);
    node.at_socket(&mut other, SERVER, RESPONSE);
    assert_eq!(
        node.story(),
        [format!("socket mtls true {WEB}"), "socket".to_owned()]
    );
}

/// Whatever the order in which exchanges end, each has a tunnel left.
#[test]
fn equal_requests_at_once_all_have_their_tunnels() {
    const COUNT: u64 = 40;
    for side in [Side::Server, Side::Client] {
        for is_last_first in [true, false] {
            let mut node = Node::new(side, false);
            node.session(1, Some(WEB));
            let mut wires = Vec::new();
            for n in 0..COUNT {
                let stream = u32::try_from(2 * n + 1).unwrap();
                node.tunnel(1, stream);
                // All from one address.
                let port = 5000 + 250 * u16::try_from(n).unwrap();
                let mut wire = Wire::at(side, n + 1, port, [1000, 9000]);
                match side {
                    Side::Server => node.in_tunnel(1, stream, CLIENT, REQUEST),
                    Side::Client => {}
                }
                node.at_socket(&mut wire, CLIENT, REQUEST);
                if side == Side::Client {
                    node.in_tunnel(1, stream, CLIENT, REQUEST);
                }
                wires.push(wire);
            }
            if is_last_first {
                wires.reverse();
            }
            for wire in &mut wires {
                node.at_socket(wire, SERVER, RESPONSE);
            }
            let story = node.story();
            assert_eq!(story.len(), wires.len());
            let expected = format!("socket mtls true {WEB}");
            assert!(
                story.iter().all(|line| *line == expected),
                "{side:?} {story:#?}"
            );
        }
    }
}

/// Of a tunnel that was open before anything was seen, what comes once both directions are read is
/// read: nobody knows what an earlier request got.
#[test]
fn tunnels_that_are_older_than_the_agent() {
    for side in [Side::Server, Side::Client] {
        for is_at_socket in [false, true] {
            let mut node = Node::new(side, true);
            node.is_late = true;
            let mut wire = socket(side, 1);
            let second = REQUEST.replace("/a", "/b");
            for (n, request) in [REQUEST, &second, REQUEST].into_iter().enumerate() {
                if is_at_socket && side == Side::Client {
                    node.at_socket(&mut wire, CLIENT, request);
                }
                node.in_tunnel(1, 7, CLIENT, request);
                if is_at_socket && side == Side::Server {
                    node.at_socket(&mut wire, CLIENT, request);
                }
                // What the application says is at its socket first.
                if is_at_socket && side == Side::Server {
                    node.at_socket(&mut wire, SERVER, RESPONSE);
                }
                // The first response is not read.
                if n > 0 {
                    node.in_tunnel(1, 7, SERVER, RESPONSE);
                }
                if is_at_socket && side == Side::Client {
                    node.at_socket(&mut wire, SERVER, RESPONSE);
                }
            }
            let expected: &[&str] = match is_at_socket {
                // Never twice.
                true => &["socket"; 3],
                // The second one's request came before the other direction was read.
                false => &["tunnel"],
            };
            assert_eq!(node.story(), expected, "{side:?}");
            let output = &node.run.output.exchanges;
            if !is_at_socket {
                assert_eq!(output[0].request.head.target(), b"/a");
                assert!(output[0].response.is_some() && output[0].partial.is_none());
            }
        }
    }
}
