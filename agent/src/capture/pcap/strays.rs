//! SYNs that agree with nothing that is known of a connection.
//!
//! A connection that is open does not end by one (RFC 9293 §3.10.7.4). It is the first packet of a
//! new connection between the same ends only when packets follow that go with it.

use super::held::Held;
use super::packet::Packet;

/// The last stray SYN of each end.
#[derive(Debug, Default)]
pub(super) struct Strays(Vec<Held>);

impl Strays {
    /// Keeps a SYN, in place of an earlier one of the same end.
    pub(super) fn keep(&mut self, syn: Held) {
        self.0.retain(|stray| stray.source() != syn.source());
        self.0.push(syn);
    }

    /// Gives the SYNs that a new connection begins with.
    pub(super) fn take(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.0)
    }

    /// The packet's acknowledgement is of a stray SYN, and of nothing else if that is what
    /// `received` expects.
    pub(super) fn acknowledged(&self, packet: &Packet<'_>, received: Option<u32>) -> bool {
        self.0.iter().any(|stray| {
            let first = stray.seq.wrapping_add(1);
            stray.source() != packet.source && packet.ack == Some(first) && received != Some(first)
        })
    }

    /// The packet carries the first byte after a stray SYN of its own end, which is not what the
    /// connection expects next.
    pub(super) fn continued(&self, packet: &Packet<'_>, sent: Option<u32>) -> bool {
        self.0.iter().any(|stray| {
            let first = stray.seq.wrapping_add(1);
            stray.source() == packet.source && packet.seq == first && sent != Some(first)
        })
    }

    /// A RST refuses a stray SYN, and nothing else: it is as stray.
    pub(super) fn refused(&mut self, packet: &Packet<'_>) -> bool {
        let before = self.0.len();
        self.0.retain(|stray| {
            stray.source() == packet.source || packet.ack != Some(stray.seq.wrapping_add(1))
        });
        self.0.len() < before
    }
}
