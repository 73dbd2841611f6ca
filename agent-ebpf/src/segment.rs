//! A packet of interest, and where its direction stood before it.

use aya_ebpf::bindings::__sk_buff;
use meshtap_common::{CaptureConfig, DIRECTION_INGRESS, distance};

use crate::flow::FlowState;
use crate::read::{Numbers, Packet, Socket, TCP_SYN};
use crate::scope;

/// A packet of interest, in `DIRECTION`.
pub(crate) struct Segment<const DIRECTION: u8> {
    pub(crate) skb: *mut __sk_buff,
    pub(crate) socket: Socket,
    pub(crate) packet: Packet,
    pub(crate) config: &'static CaptureConfig,
}

/// Where a direction stood before the segment.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// Payload before it is a retransmission.
    pub(crate) expected: u32,
    /// `expected` is the first byte of the direction.
    pub(crate) start: bool,
}

impl<const DIRECTION: u8> Segment<DIRECTION> {
    #[inline(always)]
    pub(crate) fn is_selected(&self, remote_port: u16) -> bool {
        scope::is_selected(self.config, self.socket.local_port(), remote_port)
    }

    #[inline(always)]
    pub(crate) fn position(&self, numbers: &Numbers, flow: &FlowState) -> Position {
        let packet = &self.packet;
        if DIRECTION == DIRECTION_INGRESS {
            let start = numbers.bytes_received == 0;
            // A SYN-ACK gives the socket its position.
            let is_syn = packet.flags & TCP_SYN != 0;
            return Position {
                expected: if is_syn { packet.seq } else { numbers.received },
                start,
            };
        }
        if numbers.is_first_sent(self.skb, packet) {
            return Position {
                expected: packet.seq,
                start: true,
            };
        }
        // Behind `snd_nxt`: a retransmission, or a packet that was held up on its way here
        // (netfilter queue). What was seen decides.
        let is_behind = distance(numbers.sent, packet.seq) < 0;
        Position {
            expected: match flow.egress.sent() {
                Some(next) if is_behind => next,
                _ => numbers.sent,
            },
            start: false,
        }
    }
}
