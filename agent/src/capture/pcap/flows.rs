//! Virtual sockets. A capture file has packets and no sockets, so each connection in it becomes the socket of its server: what goes
//! to the server is ingress, what comes from it is egress.
//!
//! Which end is the server is told, in this order, by the handshake, by the first bytes of a message, and by the ports (the lower
//! one serves). A guess from the ports is given up when a message contradicts it; the connection is then a new socket.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memchr::memmem;

use super::half::Half;
use super::packet::Packet;
use crate::flow::{CgroupId, Direction, Endpoint, Segment, SocketId};

/// Connections of one generation. Two generations are kept: at about 200 bytes each, some 50 MB when a file is all handshakes.
const GENERATION: usize = 131_072;

/// Why an end is taken for the server, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    Ports,
    Message,
    Handshake,
}

/// Both ends in an order that does not depend on who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    low: Endpoint,
    high: Endpoint,
}

#[derive(Debug)]
struct Flow {
    socket: SocketId,
    evidence: Evidence,
    low_serves: bool,
    from_low: Half,
    from_high: Half,
}

impl Flow {
    fn new(socket: SocketId, evidence: Evidence, low_serves: bool) -> Self {
        Self {
            socket,
            evidence,
            low_serves,
            from_low: Half::default(),
            from_high: Half::default(),
        }
    }

    /// The packet opens a new connection between the same ends.
    const fn is_reused(&self, packet: &Packet<'_>, low_sent: bool) -> bool {
        let half = if low_sent {
            &self.from_low
        } else {
            &self.from_high
        };
        packet.syn && !half.agrees(packet.seq.wrapping_add(1))
    }

    /// The direction that a packet went, then the opposite one.
    const fn halves(&mut self, low_sent: bool) -> (&mut Half, &mut Half) {
        if low_sent {
            (&mut self.from_low, &mut self.from_high)
        } else {
            (&mut self.from_high, &mut self.from_low)
        }
    }
}

/// The connections of a file, bounded: of two generations the older is forgotten when the younger is full.
#[derive(Debug)]
pub(super) struct Flows<S = FixedState> {
    young: HashMap<Ends, Flow, S>,
    old: HashMap<Ends, Flow, S>,
    generation: usize,
    sockets: u64,
}

impl Default for Flows {
    fn default() -> Self {
        Self::bounded(GENERATION)
    }
}

impl Flows {
    fn bounded(generation: usize) -> Self {
        // Packets of a file cannot answer to the hash: a fixed seed keeps a replay repeatable.
        Self {
            young: HashMap::with_hasher(FixedState::default()),
            old: HashMap::with_hasher(FixedState::default()),
            generation,
            sockets: 0,
        }
    }
}

impl<S: BuildHasher> Flows<S> {
    /// What the virtual socket of the packet's connection saw, if it is of use: payload, or an end.
    pub(super) fn segment<'a>(&mut self, packet: &Packet<'a>) -> Option<Segment<'a>> {
        let low_sent = packet.source <= packet.destination;
        let (low, high) = if low_sent {
            (packet.source, packet.destination)
        } else {
            (packet.destination, packet.source)
        };
        let (wire_len, payload) = match packet.rst {
            // RFC 9293 §3.5.2: what a reset carries is a diagnostic text.
            true => (0, &[][..]),
            false => (packet.wire_len, packet.payload),
        };
        let useful = wire_len > 0 || packet.fin || packet.rst;
        let flow = self.flow(Ends { low, high }, packet, low_sent)?;
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        let (sent, received) = flow.halves(low_sent);
        sent.begin(seq, packet.syn);
        let ack = match packet.ack {
            Some(ack) => {
                if packet.syn {
                    received.begin(ack, true);
                }
                received.acknowledged(ack, packet.time)
            }
            None => received.expected().unwrap_or_default(),
        };
        let expected = sent.expected().unwrap_or(seq);
        let start = sent.at_start();
        if !packet.rst {
            sent.saw(seq, wire_len, packet.fin);
        }
        let (local, remote) = if flow.low_serves {
            (low, high)
        } else {
            (high, low)
        };
        useful.then_some(Segment {
            time: packet.time,
            socket: flow.socket,
            cgroup: CgroupId(0),
            direction: if packet.source == local {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            local,
            remote,
            seq,
            ack,
            expected,
            wire_len,
            start,
            fin: packet.fin,
            rst: packet.rst,
            listener: false,
            skipped: false,
            payload,
        })
    }

    /// The packet's connection: a known one, or a new one when the packet opens it or has bytes of it.
    fn flow(&mut self, ends: Ends, packet: &Packet<'_>, low_sent: bool) -> Option<&mut Flow> {
        let opens = packet.syn || (packet.wire_len > 0 && !packet.rst);
        let known = self.young.contains_key(&ends) || self.promote(&ends);
        if !known && !opens {
            return None;
        }
        let sockets = &mut self.sockets;
        let (sender_serves, evidence) = judge(packet);
        let low_serves = sender_serves == low_sent;
        let flow = self
            .young
            .entry(ends)
            .or_insert_with(|| Flow::new(next(sockets), evidence, low_serves));
        if flow.is_reused(packet, low_sent) {
            *flow = Flow::new(next(sockets), evidence, low_serves);
        } else if evidence > flow.evidence {
            flow.evidence = evidence;
            if flow.low_serves != low_serves {
                flow.low_serves = low_serves;
                flow.socket = next(sockets);
            }
        }
        Some(flow)
    }

    /// Makes room for one more connection, and brings back the one between `ends` from the older generation if it is there.
    fn promote(&mut self, ends: &Ends) -> bool {
        let found = self.old.remove_entry(ends);
        if self.young.len() >= self.generation {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        match found {
            Some((ends, flow)) => {
                self.young.insert(ends, flow);
                true
            }
            None => false,
        }
    }
}

/// A socket identity of its own, as cookies are.
const fn next(sockets: &mut u64) -> SocketId {
    *sockets += 1;
    SocketId(*sockets)
}

/// Whether the packet's sender is the server, and what says so.
fn judge(packet: &Packet<'_>) -> (bool, Evidence) {
    if packet.syn {
        (packet.ack.is_some(), Evidence::Handshake)
    } else if begins_request(packet.payload) {
        (false, Evidence::Message)
    } else if packet.payload.starts_with(b"HTTP/1.") {
        (true, Evidence::Message)
    } else {
        (
            packet.source.port() < packet.destination.port(),
            Evidence::Ports,
        )
    }
}

/// The first line is a request line of HTTP/1, or the bytes begin an HTTP/2 connection (RFC 9113 §3.4).
fn begins_request(bytes: &[u8]) -> bool {
    /// Longest request line looked through; a longer one leaves the decision to the ports.
    const LINE: usize = 8192;
    let bytes = bytes.get(..LINE).unwrap_or(bytes);
    let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
    line.first().is_some_and(u8::is_ascii_uppercase)
        && (memmem::find(line, b" HTTP/1.").is_some() || line.starts_with(b"PRI * HTTP/2.0"))
}

#[cfg(test)]
mod tests;
