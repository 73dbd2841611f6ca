//! Bare IP packets with TCP inside, made and read.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, NetSlice,
    PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};

use crate::{Ack, Segment};

/// A packet that the kernel sent.
pub(crate) struct Received {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) header: TcpHeader,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// Of a bare IP packet; nothing when it is not TCP.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let (from, to): (IpAddr, IpAddr) = match sliced.net? {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                )
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                )
            }
            NetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            return None;
        };
        let header = tcp.to_header();
        Some(Self {
            from: SocketAddr::new(from, header.source_port),
            to: SocketAddr::new(to, header.destination_port),
            payload: tcp.payload().to_vec(),
            header,
        })
    }
}

/// Builds a bare IP packet.
///
/// # Panics
/// When the addresses are of two families, or the options too long.
#[must_use]
pub fn packet(from: SocketAddr, to: SocketAddr, segment: &Segment<'_>) -> Vec<u8> {
    let mut header = TcpHeader::new(from.port(), to.port(), segment.seq, 64_000);
    if let Ack::Number(number) = segment.ack {
        (header.ack, header.acknowledgment_number) = (true, number);
    }
    header.psh = !segment.payload.is_empty();
    (header.syn, header.fin, header.rst) = (segment.syn, segment.fin, segment.rst);
    if let Some(pointer) = segment.urgent {
        (header.urg, header.urgent_pointer) = (true, pointer);
    }
    header
        .set_options_raw(segment.options)
        .expect("at most 40 bytes");
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = Ipv4Header::new(0, 64, IpNumber::TCP, from.octets(), to.octets())
                .expect("an empty payload fits");
            ip.dont_fragment = true;
            ip.fragment_offset = IpFragOffset::ZERO;
            IpHeaders::Ipv4(ip, Default::default())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = Ipv6Header {
                flow_label: Ipv6FlowLabel::ZERO,
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
                ..Default::default()
            };
            IpHeaders::Ipv6(ip, Default::default())
        }
        mixed => panic!("addresses of two families: {mixed:?}"),
    };
    let mut packet = Vec::new();
    PacketBuilder::ip(ip)
        .tcp_header(header)
        .write(&mut packet, segment.payload)
        .expect("a packet");
    if segment.bad_checksum {
        // Of the last 20 bytes of header before options, the checksum is at 16 (RFC 9293 §3.1).
        let header = 20 + segment.options.len().next_multiple_of(4);
        let start = packet.len() - segment.payload.len() - header;
        packet[start + 16] ^= 0x12;
    }
    packet
}

/// IPv6 extension headers of these kinds before the TCP header, of eight bytes each: destination
/// options (60), which are padding, or a fragment that is the whole packet (44, RFC 6946).
pub(crate) fn extend(packet: &mut Vec<u8>, kinds: &[u8]) {
    /// Place of the number of the next header, and length of the fixed header (RFC 8200 §3).
    const NEXT: usize = 6;
    const FIXED: usize = 40;
    for kind in kinds.iter().rev() {
        let next = std::mem::replace(&mut packet[NEXT], *kind);
        let header = match kind {
            44 => [next, 0, 0, 0, 0x12, 0x34, 0x56, 0x78],
            _ => [next, 0, 1, 4, 0, 0, 0, 0],
        };
        packet.splice(FIXED..FIXED, header);
    }
    let len = u16::try_from(packet.len() - FIXED).expect("a packet");
    packet[4..NEXT].copy_from_slice(&len.to_be_bytes());
}
