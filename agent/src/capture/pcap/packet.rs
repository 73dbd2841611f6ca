//! A TCP segment of a captured frame.

use etherparse::TcpHeaderSlice;

use super::checksum::{self, Checksum};
use super::frame::Addresses;
use super::totals::Skip;
use crate::flow::{Endpoint, Nanos};

/// A TCP header and what follows it.
#[derive(Clone, Debug)]
pub(super) struct Tcp<'a> {
    pub(super) header: TcpHeaderSlice<'a>,
    pub(super) payload: &'a [u8],
    /// Payload bytes on the wire.
    pub(super) wire_len: u32,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) time: Nanos,
    pub(super) source: Endpoint,
    pub(super) destination: Endpoint,
    /// Sequence number of the segment; of its SYN when it has one.
    pub(super) seq: u32,
    /// Acknowledgement number, when there is one.
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Urgent pointer, when there is one.
    pub(super) urgent: Option<u16>,
    /// Payload bytes on the wire; `payload` holds the first of them.
    pub(super) wire_len: u32,
    pub(super) payload: &'a [u8],
    pub(super) checksum: Checksum,
    /// Which tags and tunnels it came through; zero: none that names a network.
    pub(super) network: u32,
}

impl<'a> Packet<'a> {
    pub(super) fn new(time: Nanos, addresses: &Addresses, tcp: &Tcp<'a>) -> Result<Self, Skip> {
        let header = &tcp.header;
        // More than any frame holds contradicts itself, and would move positions by half their
        // space.
        if tcp.wire_len > 1 << 20 {
            return Err(Skip::Header);
        }
        Ok(Self {
            time,
            source: Endpoint::from_mapped(addresses.source, header.source_port()),
            destination: Endpoint::from_mapped(addresses.destination, header.destination_port()),
            seq: header.sequence_number(),
            ack: header.ack().then(|| header.acknowledgment_number()),
            syn: header.syn(),
            fin: header.fin(),
            rst: header.rst(),
            urgent: header.urg().then(|| header.urgent_pointer()),
            wire_len: tcp.wire_len,
            payload: tcp.payload,
            checksum: checksum::judge(addresses, tcp),
            network: 0,
        })
    }

    /// Sequence number of the urgent byte. Linux has the pointer name the byte after it
    /// (`tcp_stdurg` 0).
    pub(super) fn urgent_byte(&self) -> Option<u32> {
        let pointer = u32::from(self.urgent?);
        let first = self.seq.wrapping_add(u32::from(self.syn));
        Some(first.wrapping_add(pointer.saturating_sub(1)))
    }

    /// The capture kept only a part of the payload.
    pub(super) fn is_cut(&self) -> bool {
        u32::try_from(self.payload.len()).is_ok_and(|len| len < self.wire_len)
    }

    /// TCP drops it unread: without an acknowledgement, only what opens a connection or resets it
    /// counts (RFC 9293 §3.10.7.4).
    pub(super) const fn is_void(&self) -> bool {
        self.ack.is_none() && !self.syn && !self.rst
    }

    /// The packet has payload, or ends something.
    pub(super) const fn is_useful(&self) -> bool {
        self.wire_len > 0 || self.fin || self.rst
    }
}
