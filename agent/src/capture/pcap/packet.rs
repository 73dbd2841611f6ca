//! From a captured frame to the TCP segment in it, by `etherparse`.
//!
//! Link types: <https://www.tcpdump.org/linktypes.html>. A frame that was captured only in part still tells how long its payload
//! was: the IP header says so.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice, ip_number};
use pcap_parser::Linktype;

use super::Skip;
use super::file::Record;
use crate::flow::{Endpoint, Nanos};

/// Longest IP datagram believed in where its header cannot say: BIG TCP's 512 KiB, headers included.
const MAX_DATAGRAM: usize = 512 * 1024 + 256;

/// Raw IP as BSD systems number it in files.
const RAW_BSD: Linktype = Linktype(12);
/// Raw IP as OpenBSD numbers it in files.
const RAW_OPENBSD: Linktype = Linktype(14);

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
    /// Payload bytes on the wire; `payload` holds the first of them.
    pub(super) wire_len: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The TCP segment of a frame, or why there is none to be had.
    pub(super) fn parse(record: &Record<'a>) -> Result<Self, Skip> {
        let sliced = slice(record)?;
        let Some(net) = &sliced.net else {
            return Err(match sliced.stop_err {
                Some(_) => Skip::Header,
                None => Skip::NotIp,
            });
        };
        let datagram = Datagram::of(net, record)?;
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => datagram.segment(tcp, record),
            _ if datagram.fragmented => Err(Skip::Fragment),
            _ if datagram.is_tcp => Err(Skip::Header),
            _ => Err(Skip::NotTcp),
        }
    }
}

fn slice<'a>(record: &Record<'a>) -> Result<LaxSlicedPacket<'a>, Skip> {
    let data = record.data;
    match record.link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).map_err(|_| Skip::Header),
        Linktype::LINUX_SLL => {
            // Packet type, ARPHRD type, address length, address (8), protocol.
            let (head, rest) = data.split_first_chunk::<16>().ok_or(Skip::Header)?;
            Ok(by_ether_type([head[14], head[15]], rest))
        }
        Linktype::LINUX_SLL2 => {
            // Protocol, reserved (2), interface (4), ARPHRD type (2), packet type, address length, address (8).
            let (head, rest) = data.split_first_chunk::<20>().ok_or(Skip::Header)?;
            Ok(by_ether_type([head[0], head[1]], rest))
        }
        Linktype::NULL | Linktype::LOOP => {
            let (family, rest) = data.split_first_chunk::<4>().ok_or(Skip::Header)?;
            if !is_ip_family(*family) {
                return Err(Skip::NotIp);
            }
            ip(rest)
        }
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | RAW_BSD | RAW_OPENBSD => ip(data),
        _ => Err(Skip::Link),
    }
}

fn by_ether_type(protocol: [u8; 2], rest: &[u8]) -> LaxSlicedPacket<'_> {
    LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(protocol)), rest)
}

fn ip(data: &[u8]) -> Result<LaxSlicedPacket<'_>, Skip> {
    match data.first().map(|first| first >> 4) {
        None => Err(Skip::Header),
        Some(4 | 6) => LaxSlicedPacket::from_ip(data).map_err(|_| Skip::Header),
        Some(_) => Err(Skip::NotIp),
    }
}

/// `AF_INET` is 2 everywhere; `AF_INET6` is 10 on Linux and 24, 28 or 30 on BSD systems. LOOP has it in network order, NULL in
/// that of the machine that captured.
fn is_ip_family(family: [u8; 4]) -> bool {
    [u32::from_be_bytes(family), u32::from_le_bytes(family)]
        .iter()
        .any(|family| matches!(family, 2 | 10 | 24 | 28 | 30))
}

/// What the IP header says.
struct Datagram {
    source: [u8; 16],
    destination: [u8; 16],
    fragmented: bool,
    is_tcp: bool,
    /// Bytes at its end that were not captured.
    missing: usize,
}

impl Datagram {
    fn of(net: &LaxNetSlice<'_>, record: &Record<'_>) -> Result<Self, Skip> {
        let (header, len, source, destination, payload) = match net {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                (
                    header.slice(),
                    usize::from(header.total_len()),
                    header.source_addr().to_ipv6_mapped(),
                    header.destination_addr().to_ipv6_mapped(),
                    ip.payload().clone(),
                )
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                let len = match header.payload_length() {
                    0 => 0,
                    len => usize::from(len) + header.slice().len(),
                };
                (
                    header.slice(),
                    len,
                    header.source_addr(),
                    header.destination_addr(),
                    ip.payload().clone(),
                )
            }
            LaxNetSlice::Arp(_) => return Err(Skip::NotIp),
        };
        let start = (header.as_ptr() as usize).saturating_sub(record.data.as_ptr() as usize);
        // A length of zero: more than its field can say (segmentation offload, BIG TCP), so it is the rest of the frame.
        let end = match len {
            0 => record.orig_len.min(start + MAX_DATAGRAM),
            len => start + len,
        };
        Ok(Self {
            source: source.octets(),
            destination: destination.octets(),
            fragmented: payload.fragmented,
            is_tcp: payload.ip_number == ip_number::TCP,
            missing: end.saturating_sub(record.data.len()),
        })
    }

    fn segment<'a>(&self, tcp: &TcpSlice<'a>, record: &Record<'a>) -> Result<Packet<'a>, Skip> {
        let header = tcp.header_slice().len();
        let payload = tcp.slice().get(header..).unwrap_or_default();
        let wire_len = u32::try_from(payload.len() + self.missing).map_err(|_| Skip::Header)?;
        Ok(Packet {
            time: record.time,
            source: Endpoint::from_mapped(self.source, tcp.source_port()),
            destination: Endpoint::from_mapped(self.destination, tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            wire_len,
            payload,
        })
    }
}
