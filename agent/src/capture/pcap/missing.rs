//! What the file does not have, and what follows from other packets: bytes that were acknowledged,
//! the end of a connection whose ends begin another one.

use super::checksum::Checksum;
use super::flow::{Flow, Phase};
use super::packet::Packet;
use super::progress::Progress;
use crate::capture::Segment;
use crate::flow::Nanos;

impl Flow {
    /// What the packet acknowledges and the file does not have, as segments without payload.
    pub(super) fn emit_missing(
        &mut self,
        packet: &Packet<'_>,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) {
        let Some(ack) = packet.ack else { return };
        let low_sent = self.ends.low_sent(packet);
        let (sent, received) = self.directions(low_sent);
        // The receiver of these bytes is the packet's sender, of whom they may have acknowledged
        // all that is known.
        let heard = sent.expected().unwrap_or(packet.seq);
        let start = received.at_start();
        let mut missing = Vec::new();
        received.give_up(ack, &mut |seq, len| missing.push((seq, len)));
        for (at, (seq, len)) in missing.into_iter().enumerate() {
            let bytes = Packet {
                source: packet.destination,
                destination: packet.source,
                seq,
                ack: Some(heard),
                fin: false,
                rst: false,
                syn: false,
                urgent: None,
                wire_len: len,
                payload: &[],
                ..*packet
            };
            handle(&self.segment(&bytes, seq, seq, heard, start && at == 0));
        }
    }

    /// Another connection begins between these ends: this one is over, as by a reset.
    pub(super) fn close(&self, time: Nanos, handle: &mut dyn FnMut(&Segment<'_>)) {
        if self.phase == Phase::Over {
            return;
        }
        let at = |progress: &Progress| progress.expected().unwrap_or_default();
        let (sent, received) = (at(&self.from_low), at(&self.from_high));
        let reset = Packet {
            time,
            source: self.ends.low,
            destination: self.ends.high,
            seq: sent,
            ack: Some(received),
            syn: false,
            fin: false,
            rst: true,
            urgent: None,
            wire_len: 0,
            payload: &[],
            checksum: Checksum::Open,
            network: 0,
        };
        handle(&self.segment(&reset, sent, sent, received, false));
    }
}
