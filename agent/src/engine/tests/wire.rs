//! A TCP connection of a test's own: two ends that say things, and the segments that a hook at one
//! of them would give.

use std::net::SocketAddr;

use crate::capture::{Event, Segment};
use crate::engine::{Engine, Limits, Output};
use crate::exchange::Exchange;
use crate::flow::{CgroupId, Direction, Endpoint, Nanos, Side, SocketId};

/// A segment that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) time: Nanos,
    pub(crate) socket: u64,
    pub(crate) cgroup: u64,
    pub(crate) direction: Direction,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) expected: u32,
    pub(crate) wire_len: u32,
    pub(crate) start: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) listener: bool,
    pub(crate) skipped: bool,
    pub(crate) one_sided: bool,
    pub(crate) urgent: Option<u32>,
    pub(crate) guess: Option<u32>,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn segment(&self) -> Segment<'_> {
        Segment {
            time: self.time,
            socket: SocketId(self.socket),
            cgroup: CgroupId(self.cgroup),
            direction: self.direction,
            local: self.local,
            remote: self.remote,
            seq: self.seq,
            ack: self.ack,
            expected: self.expected,
            wire_len: self.wire_len,
            start: self.start,
            fin: self.fin,
            rst: self.rst,
            listener: self.listener,
            skipped: self.skipped,
            declined: None,
            one_sided: self.one_sided,
            urgent: self.urgent,
            guess: self.guess,
            payload: &self.payload,
        }
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: u64,
    pub(crate) side: Side,
    client: Endpoint,
    server: Endpoint,
    /// First and next sequence number of the client and of the server.
    first: [u32; 2],
    next: [u32; 2],
    pub(crate) time: Nanos,
    pub(crate) packets: Vec<Packet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client = 0,
    Server = 1,
}

pub(crate) const CLIENT: Who = Who::Client;
pub(crate) const SERVER: Who = Who::Server;

impl Who {
    pub(crate) fn other(self) -> Self {
        match self {
            CLIENT => SERVER,
            SERVER => CLIENT,
        }
    }
}

fn end(port: u16) -> Endpoint {
    SocketAddr::from(([192, 0, 2, u8::try_from(port % 250).unwrap()], port)).into()
}

impl Wire {
    pub(crate) fn new(side: Side) -> Self {
        Self::at(side, 1, 5000, [1000, 9000])
    }

    pub(crate) fn at(side: Side, socket: u64, port: u16, first: [u32; 2]) -> Self {
        Self {
            socket,
            side,
            client: end(port),
            server: end(80),
            first,
            next: first,
            time: 1_000_000_000,
            packets: Vec::new(),
        }
    }

    pub(crate) fn direction(&self, who: Who) -> Direction {
        match (who, self.side) {
            (CLIENT, Side::Client) | (SERVER, Side::Server) => Direction::Egress,
            (CLIENT, Side::Server) | (SERVER, Side::Client) => Direction::Ingress,
        }
    }

    pub(crate) fn next(&self, who: Who) -> u32 {
        self.next[who as usize]
    }

    /// One segment; the other end has received all of it before it speaks.
    pub(crate) fn say(&mut self, who: Who, bytes: impl AsRef<[u8]>) -> &mut Packet {
        let bytes = bytes.as_ref();
        let packet = self.packet(who, bytes);
        self.next[who as usize] = packet.seq.wrapping_add(u32::try_from(bytes.len()).unwrap());
        self.packets.push(packet);
        self.packets.last_mut().unwrap()
    }

    /// Bytes that the hook never gave.
    pub(crate) fn lose(&mut self, who: Who, bytes: impl AsRef<[u8]>) {
        self.say(who, bytes);
        self.packets.pop();
    }

    /// Bytes that the hook skipped on purpose; the next packet has to say so.
    pub(crate) fn skip(&mut self, who: Who, len: u32) {
        self.next[who as usize] = self.next[who as usize].wrapping_add(len);
    }

    pub(crate) fn fin(&mut self, who: Who) -> &mut Packet {
        let packet = self.say(who, b"");
        packet.fin = true;
        let at = self.packets.len() - 1;
        self.next[who as usize] = self.next[who as usize].wrapping_add(1);
        &mut self.packets[at]
    }

    pub(crate) fn rst(&mut self, who: Who) {
        self.say(who, b"").rst = true;
    }

    fn packet(&mut self, who: Who, bytes: &[u8]) -> Packet {
        self.time += 1_000_000;
        let seq = self.next[who as usize];
        let (local, remote) = match self.side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        Packet {
            time: self.time,
            socket: self.socket,
            cgroup: 7,
            direction: self.direction(who),
            local,
            remote,
            seq,
            ack: self.next[who.other() as usize],
            expected: seq,
            wire_len: u32::try_from(bytes.len()).unwrap(),
            start: seq == self.first[who as usize],
            fin: false,
            rst: false,
            listener: false,
            skipped: false,
            one_sided: false,
            urgent: None,
            guess: None,
            payload: bytes.to_vec(),
        }
    }
}

/// An engine and all that it made.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) output: Output,
    pub(crate) now: Nanos,
}

impl Run {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            engine: Engine::new(limits),
            output: Output::default(),
            now: 0,
        }
    }

    pub(crate) fn feed<'a>(&mut self, packets: impl IntoIterator<Item = &'a Packet>) {
        for packet in packets {
            self.now = self.now.max(packet.time);
            self.engine
                .event(&Event::Tcp(packet.segment()), &mut self.output);
            assert_eq!(self.engine.ledger().imbalance(), 0);
        }
    }

    /// The application closes the socket.
    pub(crate) fn release(&mut self, wire: &Wire) {
        let event = Event::Released {
            socket: SocketId(wire.socket),
            time: wire.time,
        };
        self.now = self.now.max(wire.time);
        self.engine.event(&event, &mut self.output);
        assert_eq!(self.engine.ledger().imbalance(), 0);
    }

    pub(crate) fn expire(&mut self, after: Nanos) {
        self.now += after;
        self.engine.expire(self.now, &mut self.output);
        assert_eq!(self.engine.ledger().imbalance(), 0);
    }

    pub(crate) fn finish(&mut self) {
        self.engine.finish(self.now, &mut self.output);
        let ledger = self.engine.ledger();
        assert_eq!(ledger.imbalance(), 0);
        assert_eq!(ledger.in_flight, 0);
        assert_eq!(ledger.emitted(), self.output.exchanges.len() as u64);
        assert_eq!(self.engine.memory(), 0);
        assert_eq!(self.engine.connections(), 0);
    }

    /// One line per exchange emitted, and what was dropped.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.output.exchanges.iter().map(line).collect();
        for loss in crate::ledger::Dropped::ALL {
            let count = self.engine.ledger().dropped[loss as usize];
            if count > 0 {
                lines.push(format!("lost {} {count}", loss.label()));
            }
        }
        lines
    }
}

fn text(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=40 => bytes.escape_ascii().to_string(),
        len => format!("<{len}>"),
    }
}

fn body(body: &crate::http::Body) -> String {
    let mut line = format!("{:?}", text(&body.bytes));
    if body.size != body.bytes.len() as u64 || !body.size_exact {
        line += &format!("/{}", body.size);
    }
    if !body.size_exact {
        line += "+";
    }
    if body.missing > 0 {
        line += &format!(" missing {}", body.missing);
    }
    if body.truncated {
        line += " truncated";
    }
    for (name, value) in body.trailers.iter().flat_map(|fields| fields.iter()) {
        line += &format!(" {}={}", text(name), text(value));
    }
    line
}

/// `METHOD target "body" -> status "body"` and what is odd.
pub(crate) fn line(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let mut line = format!(
        "{} {} {}",
        text(request.head.method()),
        text(request.head.target()),
        body(&request.body)
    );
    if let Some(response) = &exchange.response {
        line += &format!(" -> {} {}", response.head.status, body(&response.body));
        if exchange.interim.count > 0 {
            line += &format!(" interim {}", exchange.interim.count);
        }
    }
    if exchange.upgrade {
        line += " upgrade";
    }
    if let Some(partial) = exchange.partial {
        line += &format!(" !{}", partial.label());
    }
    line
}
