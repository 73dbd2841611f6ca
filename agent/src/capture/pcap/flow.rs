//! One connection of a capture file, as the virtual socket of its server.
//!
//! Which end is the server is told, in this order, by the handshake, by the first bytes of a message, and by the ports (the lower
//! one serves). A guess from the ports is given up when a message contradicts it; the connection is then a new socket.

use memchr::memmem;

use super::half::Half;
use super::held::{Held, MAX_PACKETS};
use super::packet::Packet;
use crate::flow::{CgroupId, Direction, Endpoint, Nanos, Segment, SocketId};

/// Why an end is taken for the server, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    Ports,
    Message,
    Handshake,
}

/// Both ends in an order that does not depend on who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    low: Endpoint,
    high: Endpoint,
}

impl Ends {
    pub(super) fn of(packet: &Packet<'_>) -> Self {
        if packet.source <= packet.destination {
            Self {
                low: packet.source,
                high: packet.destination,
            }
        } else {
            Self {
                low: packet.destination,
                high: packet.source,
            }
        }
    }

    fn low_sent(&self, packet: &Packet<'_>) -> bool {
        packet.source == self.low
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Flow {
    ends: Ends,
    socket: SocketId,
    evidence: Evidence,
    low_serves: bool,
    from_low: Half,
    from_high: Half,
    held: Vec<Held>,
}

impl Flow {
    pub(super) fn new(ends: Ends, socket: SocketId, packet: &Packet<'_>) -> Self {
        let (sender_serves, evidence) = judge(packet);
        Self {
            ends,
            socket,
            evidence,
            low_serves: sender_serves == ends.low_sent(packet),
            from_low: Half::default(),
            from_high: Half::default(),
            held: Vec::new(),
        }
    }

    /// The packet opens a new connection between the same ends.
    pub(super) fn is_over(&self, packet: &Packet<'_>) -> bool {
        let half = if self.ends.low_sent(packet) {
            &self.from_low
        } else {
            &self.from_high
        };
        packet.syn && !half.agrees(packet.seq.wrapping_add(1))
    }

    /// Learns who serves. `socket` is what the connection becomes when that was guessed wrong; false when it is not used.
    pub(super) fn learn(&mut self, packet: &Packet<'_>, socket: SocketId) -> bool {
        let (sender_serves, evidence) = judge(packet);
        let low_serves = sender_serves == self.ends.low_sent(packet);
        if evidence <= self.evidence {
            return false;
        }
        self.evidence = evidence;
        let wrong = self.low_serves != low_serves;
        if wrong {
            self.low_serves = low_serves;
            self.socket = socket;
        }
        wrong
    }

    /// Packets wait here.
    pub(super) const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands over what the virtual socket saw of the packet, or keeps the packet until it has seen what the packet acknowledges.
    /// Gives the change in bytes kept.
    pub(super) fn take(
        &mut self,
        packet: &Packet<'_>,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) -> isize {
        let before = self.size();
        let low_sent = self.ends.low_sent(packet);
        let (_, received) = self.halves(low_sent);
        match packet.ack {
            Some(ack) if !packet.rst && useful(packet) && received.lacks(ack) => {
                self.held.push(Held::new(packet, ack));
                if self.held.len() > MAX_PACKETS {
                    self.release(|_, at| at == 0, handle);
                }
            }
            _ => {
                if packet.rst {
                    self.release_all(handle);
                }
                self.tell(packet, handle);
                if self.is_holding() {
                    self.release(|_, _| false, handle);
                }
            }
        }
        self.size() - before
    }

    /// Hands over packets that have waited long enough.
    pub(super) fn release_due(&mut self, now: Nanos, handle: &mut dyn FnMut(&Segment<'_>)) {
        self.release(|held, _| held.is_due(now), handle);
    }

    /// Hands over every packet that waits: nothing more comes.
    pub(super) fn release_all(&mut self, handle: &mut dyn FnMut(&Segment<'_>)) {
        self.release(|_, _| true, handle);
    }

    /// Payload bytes that wait.
    pub(super) fn size(&self) -> isize {
        let bytes: usize = self.held.iter().map(Held::size).sum();
        bytes.cast_signed()
    }

    /// Hands over each packet that need not wait any more, or is to be `forced`: the missing bytes are given up. Each may be what
    /// another waits for.
    fn release(
        &mut self,
        forced: impl Fn(&Held, usize) -> bool,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) {
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            let low_sent = self.ends.low_sent(&held.packet());
            let ack = held.ack;
            let force = forced(held, at);
            let (_, received) = self.halves(low_sent);
            let waits = received.lacks(ack);
            if waits && !force {
                at += 1;
                continue;
            }
            received.give_up(ack);
            let held = self.held.remove(at);
            self.tell(&held.packet(), handle);
            at = 0;
        }
    }

    /// The direction that a packet went, then the opposite one.
    const fn halves(&mut self, low_sent: bool) -> (&mut Half, &mut Half) {
        if low_sent {
            (&mut self.from_low, &mut self.from_high)
        } else {
            (&mut self.from_high, &mut self.from_low)
        }
    }

    fn tell(&mut self, packet: &Packet<'_>, handle: &mut dyn FnMut(&Segment<'_>)) {
        let (wire_len, payload) = match packet.rst {
            // RFC 9293 §3.5.2: what a reset carries is a diagnostic text.
            true => (0, &[][..]),
            false => (packet.wire_len, packet.payload),
        };
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        let low_sent = self.ends.low_sent(packet);
        let (sent, received) = self.halves(low_sent);
        sent.begin(seq, packet.syn);
        if let Some(ack) = packet.ack {
            received.begin(ack, packet.syn);
        }
        let ack = packet.ack.or(received.expected()).unwrap_or_default();
        let expected = sent.expected().unwrap_or(seq);
        let start = sent.at_start();
        if !packet.rst {
            sent.saw(seq, wire_len, packet.fin);
        }
        if !useful(packet) {
            return;
        }
        let (local, remote) = if self.low_serves {
            (self.ends.low, self.ends.high)
        } else {
            (self.ends.high, self.ends.low)
        };
        handle(&Segment {
            time: packet.time,
            socket: self.socket,
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
        });
    }
}

/// The packet has payload, or ends something.
const fn useful(packet: &Packet<'_>) -> bool {
    packet.wire_len > 0 || packet.fin || packet.rst
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
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let bytes = bytes.get(..LINE).unwrap_or(bytes);
    let line = memchr::memchr(b'\n', bytes).map_or(bytes, |end| &bytes[..end]);
    memmem::find(line, b" HTTP/1.").is_some() || line.starts_with(b"PRI * HTTP/2.0")
}
