//! Urgent data, as Linux delivers it: the urgent byte is not in the stream that an application
//! reads (RFC 6093 §3.2, without `SO_OOBINLINE`), so sequence numbers are counted without it here.

use std::borrow::Cow;

use meshtap_common::distance;

use super::packet::Packet;

/// Urgent bytes of a direction remembered one by one. What lies before the oldest of them is older
/// than a window.
const MAX_BYTES: usize = 64;

/// The urgent bytes of the two directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    from_low: Marks,
    from_high: Marks,
}

/// The urgent bytes of one direction, in order.
#[derive(Debug, Default)]
struct Marks {
    /// Those that are forgotten: they lie before all others.
    forgotten: u32,
    seqs: Vec<u32>,
}

impl Marks {
    /// The number that `seq` has without the urgent bytes before it.
    fn map(&self, seq: u32) -> u32 {
        let before = self.seqs.iter().filter(|mark| distance(**mark, seq) > 0);
        let before = u32::try_from(before.count()).unwrap_or(u32::MAX);
        seq.wrapping_sub(self.forgotten).wrapping_sub(before)
    }

    fn add(&mut self, seq: u32) {
        // Sorted, and the pointer only moves forward (RFC 9293 §3.8.5): an older one is a
        // retransmission.
        if self
            .seqs
            .last()
            .is_some_and(|last| distance(*last, seq) <= 0)
        {
            return;
        }
        if self.seqs.len() == MAX_BYTES {
            self.seqs.remove(0);
            self.forgotten += 1;
        }
        self.seqs.push(seq);
    }

    /// Which of `len` bytes from `seq` on are urgent.
    fn within(&self, seq: u32, len: u32) -> impl Iterator<Item = u32> {
        self.seqs
            .iter()
            .map(move |mark| mark.wrapping_sub(seq))
            .filter(move |at| *at < len)
    }
}

impl Urgent {
    /// Notes the urgent pointer of a packet. Linux has it point at the byte after the urgent one
    /// (`tcp_stdurg` 0).
    pub(super) fn note(&mut self, packet: &Packet<'_>, low_sent: bool) {
        if let Some(pointer) = packet.urgent {
            let seq = packet.seq.wrapping_add(u32::from(packet.syn));
            let mark = seq.wrapping_add(u32::from(pointer.max(1)) - 1);
            self.marks(low_sent).add(mark);
        }
    }

    fn marks(&mut self, low_sent: bool) -> &mut Marks {
        match low_sent {
            true => &mut self.from_low,
            false => &mut self.from_high,
        }
    }

    /// The payload of a packet without its urgent bytes, and its numbers counted without any.
    pub(super) fn without<'a>(
        &self,
        packet: &Packet<'a>,
        low_sent: bool,
    ) -> (Packet<'a>, Cow<'a, [u8]>) {
        let (sent, received) = match low_sent {
            true => (&self.from_low, &self.from_high),
            false => (&self.from_high, &self.from_low),
        };
        let first = packet.seq.wrapping_add(u32::from(packet.syn));
        let urgent: Vec<u32> = sent.within(first, packet.wire_len).collect();
        let payload = match urgent.is_empty() {
            true => Cow::Borrowed(packet.payload),
            false => {
                let kept = packet.payload.iter().zip(0_u32..);
                let kept = kept.filter(|(_, at)| !urgent.contains(at));
                Cow::Owned(kept.map(|(byte, _)| *byte).collect())
            }
        };
        let removed = u32::try_from(urgent.len()).unwrap_or(u32::MAX);
        let packet = Packet {
            seq: sent.map(packet.seq),
            ack: packet.ack.map(|ack| received.map(ack)),
            wire_len: packet.wire_len.saturating_sub(removed),
            ..*packet
        };
        (packet, payload)
    }
}
