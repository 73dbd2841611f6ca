//! One connection of a capture file, as the virtual socket of its server.
//!
//! A connection that is older than the file, or whose handshake is not all there, *settles* first:
//! its packets wait a moment, so that the earliest byte of each direction is known before any is
//! handed over. A guess of who serves from the ports is dropped when a message contradicts it; the
//! connection is then a new socket.

use super::ends::Ends;
use super::held::{self, GRACE, Held, MAX_PACKETS, Release};
use super::networks::Networks;
use super::packet::Packet;
use super::progress::Progress;
use super::role::{Evidence, judge};
use super::strays::Strays;
use super::suspects::Suspects;
use crate::capture::Segment;
use crate::flow::{Direction, Nanos, SocketId};

/// What a packet is to the connection between its ends.
pub(super) enum Belongs {
    /// A part of it.
    Here,
    /// Nothing that changes it.
    Stray,
    /// The first one of a new connection, after these, which came before it.
    Next(Vec<Held>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Since when, at the engine's time.
    Settling(Nanos),
    Running,
    /// After a RST, or a FIN each way.
    Over,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    socket: SocketId,
    evidence: Evidence,
    low_serves: bool,
    pub(super) phase: Phase,
    pub(super) from_low: Progress,
    pub(super) from_high: Progress,
    /// Directions that a FIN has ended: of the lower end, of the higher one.
    pub(super) ended: [bool; 2],
    /// Packets of the lower end, of the higher one, are in the file.
    seen: [bool; 2],
    pub(super) held: Vec<Held>,
    strays: Strays,
    pub(super) suspects: Suspects,
    pub(super) networks: Networks,
}

impl Flow {
    pub(super) fn new(ends: Ends, socket: SocketId, packet: &Packet<'_>, now: Nanos) -> Self {
        let (sender_serves, evidence) = judge(packet);
        let mut flow = Self {
            ends,
            socket,
            evidence,
            low_serves: sender_serves == ends.low_sent(packet),
            phase: Phase::Settling(now),
            from_low: Progress::default(),
            from_high: Progress::default(),
            ended: [false; 2],
            seen: [false; 2],
            held: Vec::new(),
            strays: Strays::default(),
            suspects: Suspects::default(),
            networks: Networks::default(),
        };
        flow.came_through(packet);
        flow
    }

    /// What the packet is to this connection.
    pub(super) fn belongs(&mut self, packet: &Packet<'_>, now: Nanos) -> Belongs {
        let (sent, received) = self.directions(self.ends.low_sent(packet));
        let (position, acknowledged) = (sent.expected(), received.expected());
        let agrees = packet.syn && sent.agrees(packet.seq.wrapping_add(1));
        if packet.rst {
            return match self.strays.refused(packet) {
                true => Belongs::Stray,
                false => Belongs::Here,
            };
        }
        let follows = self.strays.acknowledged(packet, acknowledged)
            || !packet.syn && self.strays.continued(packet, position);
        match (packet.syn, follows) {
            (true, _) if agrees => Belongs::Here,
            (false, false) => Belongs::Here,
            (true, false) if self.phase != Phase::Over => {
                self.strays.keep(Held::new(packet, now));
                Belongs::Stray
            }
            (true, _) | (_, true) => Belongs::Next(self.strays.take()),
        }
    }

    /// Learns who serves. `socket` is what the connection becomes when that was guessed wrong;
    /// false when it is not used.
    pub(super) fn learn(&mut self, packet: &Packet<'_>, socket: SocketId) -> bool {
        let (sender_serves, evidence) = judge(packet);
        if evidence <= self.evidence {
            return false;
        }
        self.evidence = evidence;
        let low_serves = sender_serves == self.ends.low_sent(packet);
        let wrong = self.low_serves != low_serves;
        self.low_serves = low_serves;
        // Nothing was handed over of a connection that settles.
        let emitted = wrong && !matches!(self.phase, Phase::Settling(_));
        if emitted {
            self.socket = socket;
        }
        emitted
    }

    /// Packets wait here.
    pub(super) const fn is_holding(&self) -> bool {
        !self.held.is_empty() || !self.suspects.is_empty()
    }

    /// Hands over what the virtual socket saw of the packet, or keeps the packet until it has seen
    /// what the packet acknowledges. Gives the change in bytes kept.
    pub(super) fn take(
        &mut self,
        packet: &Packet<'_>,
        now: Nanos,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) -> isize {
        let before = self.size();
        self.seen[usize::from(!self.ends.low_sent(packet))] = true;
        self.step(packet, now, handle);
        self.size() - before
    }

    fn step(&mut self, packet: &Packet<'_>, now: Nanos, handle: &mut dyn FnMut(&Segment<'_>)) {
        if let Phase::Settling(since) = self.phase {
            self.note(packet);
            let known = self.from_low.is_opened() && self.from_high.is_opened();
            if !known && now.saturating_sub(since) < GRACE {
                let is_useful = packet.is_useful() || packet.urgent.is_some();
                if is_useful || packet.ack.is_some() && !packet.syn {
                    self.held.push(Held::new(packet, now));
                }
                if self.held.len() > MAX_PACKETS {
                    self.settle(handle);
                }
                return;
            }
            self.settle(handle);
        }
        self.accept(packet, handle);
        self.disprove_end(packet);
        if self.awaits(packet) {
            self.held.push(Held::new(packet, now));
            if self.held.len() > MAX_PACKETS {
                self.release(Release::Surplus, handle);
            }
            return;
        }
        if packet.rst {
            self.release(Release::All, handle);
        }
        self.emit(packet, handle);
        self.release(Release::Ready, handle);
    }

    /// Takes a packet for evidence of where its direction, and the opposite one, begin.
    fn note(&mut self, packet: &Packet<'_>) {
        if packet.rst {
            return;
        }
        let (sent, received) = self.directions(self.ends.low_sent(packet));
        if packet.syn {
            sent.open(packet.seq.wrapping_add(1));
            if let Some(ack) = packet.ack {
                received.open(ack);
            }
            return;
        }
        sent.note(packet.seq, packet.is_useful());
        if let Some(ack) = packet.ack {
            received.note_ack(ack);
        }
    }

    /// The first packets have come: hands over those that wait, in order.
    pub(super) fn settle(&mut self, handle: &mut dyn FnMut(&Segment<'_>)) {
        self.phase = Phase::Running;
        for low_sent in [true, false] {
            let from = match low_sent {
                true => self.ends.low,
                false => self.ends.high,
            };
            let progress = match low_sent {
                true => &mut self.from_low,
                false => &mut self.from_high,
            };
            progress.settle();
            // A keep-alive probe may carry one byte, of no meaning (RFC 9293 §3.8.4).
            let probe = |held: &Held| {
                let packet = held.packet();
                held.source() == from
                    && packet.payload == [0]
                    && packet.wire_len == 1
                    && progress.expected() == Some(packet.seq)
            };
            if !progress.is_opened()
                && let Some(seq) = self.held.iter().find(|held| probe(held)).map(|h| h.seq)
            {
                progress.probed(seq);
            }
        }
        let firsts = [&self.from_low, &self.from_high].map(|from| from.expected().unwrap_or(0));
        held::sort(&mut self.held, self.ends.low, firsts);
        self.release(Release::Ready, handle);
    }

    /// Payload bytes that wait.
    pub(super) fn size(&self) -> isize {
        let bytes: usize = self.held.iter().map(Held::size).sum();
        (bytes + self.suspects.size()).cast_signed()
    }

    /// As [`Self::directions`], to look at.
    pub(super) const fn both(&self, low_sent: bool) -> (&Progress, &Progress) {
        match low_sent {
            true => (&self.from_low, &self.from_high),
            false => (&self.from_high, &self.from_low),
        }
    }

    /// The direction that a packet went, then the opposite one.
    pub(super) const fn directions(&mut self, low_sent: bool) -> (&mut Progress, &mut Progress) {
        if low_sent {
            (&mut self.from_low, &mut self.from_high)
        } else {
            (&mut self.from_high, &mut self.from_low)
        }
    }

    pub(super) fn emit(&mut self, packet: &Packet<'_>, handle: &mut dyn FnMut(&Segment<'_>)) {
        let mut packet = *packet;
        if packet.rst {
            // RFC 9293 §3.5.2: what a reset carries is a diagnostic text.
            packet.wire_len = 0;
            packet.payload = &[];
            self.reset(&packet);
        }
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        let low_sent = self.ends.low_sent(&packet);
        let (sent, received) = self.directions(low_sent);
        match packet.syn {
            true => sent.open(seq),
            false => sent.begin(seq),
        }
        match packet.ack {
            Some(ack) if packet.syn => received.open(ack),
            Some(ack) => received.begin(ack),
            None => {}
        }
        let ack = packet.ack.or(received.expected()).unwrap_or_default();
        let ack = received.without_assumed_end(ack);
        if packet.ack.is_some() {
            received.acknowledge(ack);
        }
        let expected = sent.taken_before(seq).unwrap_or(seq);
        let start = sent.at_start();
        let stands = sent.stands_at(seq);
        if !packet.rst {
            sent.saw(seq, packet.wire_len, packet.fin);
        }
        if packet.fin {
            self.ended[usize::from(!low_sent)] = true;
            if self.ended == [true; 2] {
                self.phase = Phase::Over;
            }
        }
        // What an end has received says more where the other one is not in the file.
        let says = packet.is_useful() || packet.urgent.is_some();
        if says || stands && packet.ack.is_some() && !packet.syn && self.seen != [true; 2] {
            handle(&self.segment(&packet, seq, expected, ack, start));
        }
    }

    pub(super) fn segment<'a>(
        &self,
        packet: &Packet<'a>,
        seq: u32,
        expected: u32,
        ack: u32,
        start: bool,
    ) -> Segment<'a> {
        let (local, remote) = match self.low_serves {
            true => (self.ends.low, self.ends.high),
            false => (self.ends.high, self.ends.low),
        };
        let direction = match packet.source == local {
            true => Direction::Egress,
            false => Direction::Ingress,
        };
        Segment {
            time: packet.time,
            seq,
            ack,
            expected,
            wire_len: packet.wire_len,
            start,
            fin: packet.fin,
            rst: packet.rst,
            one_sided: self.seen != [true; 2],
            urgent: packet.urgent_byte(),
            ..Segment::new(self.socket, direction, (local, remote), packet.payload)
        }
    }
}
