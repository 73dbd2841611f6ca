//! Packets with a wrong checksum in a direction whose other packets have right ones: their receiver
//! has refused them, unless it acknowledges bytes that nothing else has brought. (Captures behind a
//! device that puts packets together have such packets.) Where no checksum of a direction is right,
//! or where the other direction is not in the file, a wrong one says nothing.

use meshtap_common::distance;

use super::checksum::Checksum;
use super::flow::{Flow, Phase};
use super::held::{Held, Release};
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

    const fn is_full(&self) -> bool {
        self.kept.len() >= MOST
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Payload bytes that wait.
    pub(super) fn size(&self) -> usize {
        self.kept.iter().map(Held::size).sum()
    }

    /// Takes the first one of `from` that begins before `ack` and is `wanted`; forgets those of
    /// which nothing is `lacking`.
    fn take(
        &mut self,
        from: Endpoint,
        ack: u32,
        lacking: impl Fn(&Held) -> bool,
        wanted: impl Fn(&Held) -> bool,
    ) -> Option<Held> {
        let is_before = |held: &Held| held.source() == from && distance(held.seq, ack) > 0;
        self.kept.retain(|held| !is_before(held) || lacking(held));
        let candidates = self.kept.iter().enumerate();
        let (at, _) = candidates
            .filter(|(_, held)| is_before(held) && wanted(held))
            .min_by_key(|(_, held)| distance(ack, held.seq))?;
        Some(self.kept.remove(at))
    }

    /// Drops those that have waited long enough.
    pub(super) fn expire(&mut self, now: Nanos) {
        self.kept.retain(|held| !held.is_due(now));
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

/// Which suspects an acknowledgement proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proven {
    /// Those that nothing is missing before.
    InOrder,
    /// All that bring something: what is missing does not come any more.
    BehindHoles,
}

impl Flow {
    /// Keeps a packet aside that its receiver has refused, as far as the file shows it.
    pub(super) fn suspects(
        &mut self,
        packet: &Packet<'_>,
        now: Nanos,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) -> bool {
        let low_sent = self.ends.low_sent(packet);
        let is_suspect = self.suspects.is_suspect(packet, low_sent) && self.phase == Phase::Running;
        if !is_suspect {
            return false;
        }
        if self.suspects.is_full() {
            self.release(Release::All, handle);
        }
        self.suspects.keep(packet, now);
        // It may have been written after its acknowledgement.
        self.release(Release::Ready, handle);
        true
    }

    /// The packet acknowledges what suspects have brought, and nothing else has.
    pub(super) fn accept(&mut self, packet: &Packet<'_>, handle: &mut dyn FnMut(&Segment<'_>)) {
        self.accept_proven(packet, Proven::InOrder, handle);
    }

    /// As [`Self::accept`], when bytes before what it acknowledges are missing for good.
    pub(super) fn accept_behind_holes(
        &mut self,
        packet: &Packet<'_>,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) {
        self.accept_proven(packet, Proven::InOrder, handle);
        self.accept_proven(packet, Proven::BehindHoles, handle);
    }

    /// As [`Self::accept`], for the packets that wait: of each end the one that waits for least, so
    /// that what it says is handed over before what comes after it.
    pub(super) fn accept_waiting(&mut self, handle: &mut dyn FnMut(&Segment<'_>)) {
        if self.suspects.is_empty() {
            return;
        }
        for low_sent in [true, false] {
            let (_, received) = self.both(low_sent);
            let lacking = self.held.iter().filter(|held| {
                let is_of_end = (held.source() == self.ends.low) == low_sent;
                is_of_end && !held.rst && held.ack.is_some_and(|ack| received.lacks(ack))
            });
            let first = lacking.min_by_key(|held| {
                let next = received.expected().unwrap_or_default();
                distance(next, held.ack.unwrap_or(next))
            });
            if let Some(first) = first.map(Held::acknowledgement) {
                self.accept(&first, handle);
            }
        }
    }

    fn accept_proven(
        &mut self,
        packet: &Packet<'_>,
        proven: Proven,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) {
        let Some(ack) = packet.ack.filter(|_| !packet.rst) else {
            return;
        };
        let (low_sent, from) = (self.ends.low_sent(packet), packet.destination);
        while !self.suspects.is_empty() {
            let received = match low_sent {
                true => &self.from_high,
                false => &self.from_low,
            };
            if !received.lacks(ack) {
                return;
            }
            let lacking = |held: &Held| received.lacks_of(held.seq, held.wire_len);
            let wanted = |held: &Held| match proven {
                Proven::InOrder => received.is_next_in(held.seq, held.wire_len),
                Proven::BehindHoles => true,
            };
            let Some(suspect) = self.suspects.take(from, ack, lacking, wanted) else {
                return;
            };
            // Its own acknowledgement is as true. Each call has one suspect less to take.
            self.accept_proven(&suspect.packet(), proven, handle);
            self.emit(&suspect.packet(), handle);
        }
    }
}
