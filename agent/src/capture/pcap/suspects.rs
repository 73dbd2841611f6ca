//! Packets with a wrong checksum in a direction whose other packets have right ones: their receiver
//! has refused them, unless it acknowledges bytes that nothing else has brought. (Captures behind a
//! device that puts packets together have such packets.) Where no checksum of a direction is right,
//! or where the other direction is not in the file, a wrong one says nothing.

use meshtap_common::distance;

use super::checksum::Checksum;
use super::flow::{Flow, Phase};
use super::held::Held;
use super::packet::Packet;
use crate::capture::Segment;
use crate::flow::{Endpoint, Nanos};

/// Most that wait on one connection.
const MOST: usize = 64;

/// The suspects of one connection. They wait as long as any packet does ([`super::held::GRACE`]).
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Of the lower end, of the higher one: a packet was seen.
    seen: [bool; 2],
    /// Likewise: a right checksum was seen.
    right: [bool; 2],
    kept: Vec<Held>,
}

impl Suspects {
    /// Looks at a packet. True when it is one of them.
    pub(super) fn is_suspect(&mut self, packet: &Packet<'_>, low_sent: bool) -> bool {
        let (own, other) = (usize::from(!low_sent), usize::from(low_sent));
        match packet.checksum {
            Checksum::Wrong if self.right[own] && self.seen[other] => return true,
            Checksum::Right => self.right[own] = true,
            Checksum::Open | Checksum::Wrong => {}
        }
        self.seen[own] = true;
        false
    }

    /// Keeps one.
    pub(super) fn keep(&mut self, packet: &Packet<'_>, now: Nanos) {
        if packet.wire_len > 0 && self.kept.len() < MOST {
            self.kept.push(Held::new(packet, now));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Payload bytes that wait.
    pub(super) fn size(&self) -> usize {
        self.kept.iter().map(Held::size).sum()
    }

    /// Takes those of `from` that begin before `ack`, in order.
    pub(super) fn take(&mut self, from: Endpoint, ack: u32) -> Vec<Held> {
        let is_before = |held: &mut Held| held.source() == from && distance(held.seq, ack) > 0;
        let mut taken: Vec<Held> = self.kept.extract_if(.., is_before).collect();
        taken.sort_by_key(|held| distance(ack, held.seq));
        taken
    }

    /// Drops those that have waited long enough.
    pub(super) fn expire(&mut self, now: Nanos) {
        self.kept.retain(|held| !held.is_due(now));
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

impl Flow {
    /// Keeps a packet aside that its receiver has refused, as far as the file shows it.
    pub(super) fn suspects(&mut self, packet: &Packet<'_>, now: Nanos) -> bool {
        let low_sent = self.ends.low_sent(packet);
        let is_suspect = self.suspects.is_suspect(packet, low_sent) && self.phase == Phase::Running;
        if is_suspect {
            self.suspects.keep(packet, now);
        }
        is_suspect
    }

    /// The packet acknowledges what a suspect has brought, and nothing else has.
    pub(super) fn accept(&mut self, packet: &Packet<'_>, handle: &mut dyn FnMut(&Segment<'_>)) {
        let Some(ack) = packet
            .ack
            .filter(|_| !packet.rst && !self.suspects.is_empty())
        else {
            return;
        };
        let low_sent = self.ends.low_sent(packet);
        for suspect in self.suspects.take(packet.destination, ack) {
            let (_, received) = self.directions(low_sent);
            if received.lacks(ack) && received.is_next_in(suspect.seq, suspect.wire_len) {
                self.emit(&suspect.packet(), handle);
            }
        }
    }
}
