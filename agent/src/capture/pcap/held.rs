//! Packets that came before what they answer. Capture queues write within milliseconds of each other, so a file may have an answer
//! before its request; the packet then waits for the bytes that it acknowledges.

use super::packet::Packet;
use crate::flow::{Endpoint, Nanos};

/// How long a packet waits, in recorded time. What has not been written by then was lost by the capture.
pub(super) const GRACE: Nanos = 200_000_000;

/// Most packets that wait on one connection: several times what a capture queue holds back at once.
pub(super) const MAX_PACKETS: usize = 64;

/// Most payload bytes that wait over all connections.
pub(super) const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Most connections noted as waiting: a bound for files whose time stands still.
pub(super) const MAX_CONNECTIONS: usize = 65_536;

/// A packet with its payload.
#[derive(Debug)]
pub(super) struct Held {
    time: Nanos,
    source: Endpoint,
    destination: Endpoint,
    seq: u32,
    pub(super) ack: u32,
    fin: bool,
    wire_len: u32,
    payload: Box<[u8]>,
}

impl Held {
    pub(super) fn new(packet: &Packet<'_>, ack: u32) -> Self {
        Self {
            time: packet.time,
            source: packet.source,
            destination: packet.destination,
            seq: packet.seq,
            ack,
            fin: packet.fin,
            wire_len: packet.wire_len,
            payload: packet.payload.into(),
        }
    }

    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            time: self.time,
            source: self.source,
            destination: self.destination,
            seq: self.seq,
            ack: Some(self.ack),
            syn: false,
            fin: self.fin,
            rst: false,
            wire_len: self.wire_len,
            payload: &self.payload,
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.payload.len()
    }

    pub(super) const fn is_due(&self, now: Nanos) -> bool {
        now.saturating_sub(self.time) >= GRACE
    }
}
