//! When a packet that waits is handed over, and in which order.
//!
//! It waits for bytes before it that the file has not shown yet. They may come, they may be with
//! another packet that waits, or the capture has lost them. What is believed of a reset and of the
//! end of a direction is decided here, too, since it takes the packets that came since.

use meshtap_common::distance;

use super::flow::{Flow, Phase};
use super::held::{GRACE, Held, MAX_PACKETS, Release};
use super::packet::Packet;
use crate::capture::Segment;
use crate::flow::Nanos;

impl Flow {
    /// What waits has waited since `now`.
    pub(super) fn wait_from(&mut self, now: Nanos) {
        if let Phase::Settling(since) = &mut self.phase {
            *since = now;
        }
        self.held.iter_mut().for_each(|held| held.wait_from(now));
    }

    /// Hands over packets that have waited long enough.
    pub(super) fn release_due(&mut self, now: Nanos, handle: &mut dyn FnMut(&Segment<'_>)) {
        match self.phase {
            Phase::Settling(since) if now.saturating_sub(since) < GRACE => return,
            Phase::Settling(_) => self.settle(handle),
            Phase::Running | Phase::Over => {}
        }
        self.release(Release::Due(now), handle);
        if self.held.is_empty() {
            self.suspects.expire(now);
        }
    }

    /// Hands over every packet that waits: nothing more comes.
    pub(super) fn release_all(&mut self, handle: &mut dyn FnMut(&Segment<'_>)) {
        if let Phase::Settling(_) = self.phase {
            self.settle(handle);
        }
        self.release(Release::All, handle);
        self.suspects.clear();
    }

    /// Hands over each packet that waits for nothing any more; then, as far as `release` says so,
    /// those that do: the bytes they wait for are missing. Each may be what another waits for.
    pub(super) fn release(&mut self, mut release: Release, handle: &mut dyn FnMut(&Segment<'_>)) {
        loop {
            let ready = self.next(Release::Ready).or_else(|| {
                self.accept_waiting(handle);
                self.next(release)
            });
            let Some(at) = ready else { return };
            // A reset comes last.
            if self.held.get(at).is_some_and(|next| next.rst)
                && self.held.iter().any(|held| !held.rst)
            {
                release = Release::All;
                continue;
            }
            let held = self.held.remove(at);
            let packet = held.packet();
            if !packet.rst {
                self.accept_behind_holes(&packet, handle);
                self.assume_end(&packet);
                self.emit_missing(&packet, handle);
            }
            self.emit(&packet, handle);
        }
    }

    /// Which one of those that wait is the next to be handed over.
    fn next(&self, release: Release) -> Option<usize> {
        let ready = |held: &Held| !self.awaits(&held.packet());
        let find = |wanted: &dyn Fn(&Held) -> bool| self.held.iter().position(wanted);
        find(&|held| !held.rst && ready(held))
            .or_else(|| match release {
                Release::Ready => None,
                Release::Surplus if self.held.len() <= MAX_PACKETS => None,
                Release::Due(now) => find(&|held| held.is_due(now) && !self.is_carried(held))
                    .or_else(|| find(&|held| held.has_waited(2 * GRACE, now))),
                Release::Surplus | Release::All => {
                    find(&|held| !held.rst && !self.is_carried(held))
                        .or_else(|| find(&|held| !held.rst))
                        .or((!self.held.is_empty()).then_some(0))
                }
            })
            .or_else(|| find(&ready))
    }

    /// The packet acknowledges bytes that the file has not shown; a reset, or lies behind such.
    pub(super) fn awaits(&self, packet: &Packet<'_>) -> bool {
        let (sent, received) = self.both(self.ends.low_sent(packet));
        packet.ack.is_some_and(|ack| received.lacks(ack)) || packet.rst && sent.lacks(packet.seq)
    }

    /// What it waits for is with another packet that waits.
    fn is_carried(&self, waiting: &Held) -> bool {
        let (_, received) = self.both(waiting.source() == self.ends.low);
        let Some(ack) = waiting.ack.filter(|ack| received.lacks(*ack)) else {
            return false;
        };
        self.held.iter().any(|held| {
            held.source() != waiting.source()
                && held.wire_len > 0
                && distance(held.seq, ack) > 0
                && received
                    .expected()
                    .is_some_and(|next| distance(next, held.seq.wrapping_add(held.wire_len)) > 0)
        })
    }

    /// The last number that an end acknowledges is that of a FIN which the file does not have: of
    /// one number alone, and of an end that has ended its own direction, as far as the file shows.
    fn assume_end(&mut self, packet: &Packet<'_>) {
        let Some(ack) = packet.ack else { return };
        let low_sent = self.ends.low_sent(packet);
        let others = || { self.held.iter() }.filter(|held| held.source() == packet.source);
        let is_last = others().all(|held| held.ack.is_none_or(|other| distance(ack, other) <= 0));
        let shows = |held: &Held| {
            let end = held.seq.wrapping_add(held.wire_len);
            held.source() != packet.source && distance(ack, end) >= 0
        };
        if !is_last || self.held.iter().any(shows) {
            return;
        }
        let has_ended = packet.fin || self.ended[usize::from(!low_sent)];
        let ends = has_ended || others().any(|held| held.fin);
        let (_, received) = self.directions(low_sent);
        if ends || received.lacks_one(ack) {
            received.assume_end(ack);
        }
    }

    /// More comes, or is acknowledged, than an end that was assumed: it was none.
    pub(super) fn disprove_end(&mut self, packet: &Packet<'_>) {
        let (_, received) = self.directions(self.ends.low_sent(packet));
        if let Some(ack) = packet.ack.filter(|_| !packet.rst) {
            received.disprove_end(ack, packet.wire_len > 0);
        }
    }

    /// A reset that is handed over ends the connection, if its receiver has taken it.
    pub(super) fn reset(&mut self, packet: &Packet<'_>) {
        let (sent, _) = self.directions(self.ends.low_sent(packet));
        if sent.expected().is_none_or(|next| may_end(next, packet.seq)) {
            self.phase = Phase::Over;
        }
    }
}

/// A reset with this number may be one that its receiver takes: it is where the sender stands, or
/// bytes before it are not in the file.
fn may_end(next: u32, seq: u32) -> bool {
    /// No window is larger, but few.
    const MOST: i32 = 16 * 1024 * 1024;
    (0..MOST).contains(&distance(next, seq))
}
