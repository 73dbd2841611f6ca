//! Packets that came before what they acknowledge. Capture queues write within milliseconds of each
//! other, so a file may have a response before its request; the packet then waits for the bytes
//! that it acknowledges.

use meshtap_common::distance;

use super::checksum::Checksum;
use super::packet::Packet;
use crate::flow::{Endpoint, Nanos};

/// How long a packet waits, in recorded time. What has not been written by then was lost by the
/// capture.
pub(super) const GRACE: Nanos = 200_000_000;

/// Most packets that wait on one connection: several times what a capture queue holds back at once.
pub(super) const MAX_PACKETS: usize = 64;

/// Most payload bytes that wait over all connections.
pub(super) const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Most connections noted as waiting: a bound for files whose time stands still.
pub(super) const MAX_CONNECTIONS: usize = 65_536;

/// Which packets need wait no longer.
#[derive(Clone, Copy)]
pub(super) enum Release {
    Ready,
    Surplus,
    Due(Nanos),
    All,
}

/// A packet with its payload.
#[derive(Debug)]
pub(super) struct Held {
    /// When it began to wait.
    since: Nanos,
    time: Nanos,
    source: Endpoint,
    destination: Endpoint,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    urgent: Option<u16>,
    pub(super) wire_len: u32,
    payload: Box<[u8]>,
}

impl Held {
    pub(super) fn new(packet: &Packet<'_>, since: Nanos) -> Self {
        Self {
            since,
            time: packet.time,
            source: packet.source,
            destination: packet.destination,
            seq: packet.seq,
            ack: packet.ack,
            syn: packet.syn,
            fin: packet.fin,
            rst: packet.rst,
            urgent: packet.urgent,
            wire_len: packet.wire_len,
            payload: packet.payload.into(),
        }
    }

    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            fin: self.fin,
            urgent: self.urgent,
            wire_len: self.wire_len,
            payload: &self.payload,
            ..self.acknowledgement()
        }
    }

    /// What it acknowledges, alone.
    pub(super) fn acknowledgement(&self) -> Packet<'static> {
        Packet {
            payload: &[],
            wire_len: 0,
            fin: false,
            urgent: None,
            time: self.time,
            source: self.source,
            destination: self.destination,
            seq: self.seq,
            ack: self.ack,
            syn: self.syn,
            rst: self.rst,
            checksum: Checksum::Open,
            network: 0,
        }
    }

    pub(super) const fn source(&self) -> Endpoint {
        self.source
    }

    pub(super) const fn time(&self) -> Nanos {
        self.time
    }

    pub(super) const fn size(&self) -> usize {
        self.payload.len()
    }

    /// It has waited since `now`.
    pub(super) const fn wait_from(&mut self, now: Nanos) {
        self.since = now;
    }

    /// It has waited so long.
    pub(super) const fn has_waited(&self, time: Nanos, now: Nanos) -> bool {
        now.saturating_sub(self.since) >= time
    }

    pub(super) const fn is_due(&self, now: Nanos) -> bool {
        self.has_waited(GRACE, now)
    }
}

/// Orders the packets of each direction by their numbers: of the end `low`, and of the other one.
/// `firsts`: where each begins.
pub(super) fn sort(held: &mut Vec<Held>, low: Endpoint, firsts: [u32; 2]) {
    let from_low: Vec<bool> = held.iter().map(|held| held.source == low).collect();
    let mut parts: (Vec<_>, Vec<_>) = held.drain(..).partition(|held| held.source == low);
    parts.0.sort_by_key(|held| distance(firsts[0], held.seq));
    parts.1.sort_by_key(|held| distance(firsts[1], held.seq));
    let (mut low, mut high) = (parts.0.into_iter(), parts.1.into_iter());
    held.extend(from_low.into_iter().filter_map(|from_low| match from_low {
        true => low.next(),
        false => high.next(),
    }));
}
