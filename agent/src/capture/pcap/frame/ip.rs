//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers, and what they carry.

use std::net::Ipv4Addr;

use etherparse::{
    IpAuthHeaderSlice, IpFragOffset, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, TcpHeaderSlice, ip_number,
};

use super::fragments::{Fragment, Key};
use super::{Bytes, Layer, tunnel};
use crate::capture::pcap::packet::Tcp;
use crate::capture::pcap::totals::{Skip, Unread};

/// The two ends of a datagram; IPv4 is mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::capture::pcap) struct Addresses {
    pub(in crate::capture::pcap) source: [u8; 16],
    pub(in crate::capture::pcap) destination: [u8; 16],
}

/// A datagram, whole or in part.
pub(super) enum Datagram<'a> {
    Whole(Layer, Bytes<'a>),
    Part(Fragment<'a>),
}

/// What a datagram carries.
pub(super) enum Carried<'a> {
    Tcp(Tcp<'a>),
    Inner(Layer, Bytes<'a>),
    Part(Fragment<'a>),
}

pub(super) fn datagram(bytes: Bytes<'_>) -> Result<Datagram<'_>, Skip> {
    match bytes.data.first().map(|first| first >> 4) {
        None => Err(Skip::Header),
        Some(4) => v4(bytes),
        Some(6) => v6(bytes),
        Some(version) => Err(Skip::Version(version)),
    }
}

fn v4(mut bytes: Bytes<'_>) -> Result<Datagram<'_>, Skip> {
    let header = Ipv4HeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
    let len = header.slice().len();
    match usize::from(header.total_len()) {
        // More than the field can say (segmentation offload, BIG TCP), so it is the rest of the
        // frame.
        0 => {}
        total => bytes.limit(total),
    }
    if bytes.wire < len {
        return Err(Skip::Header);
    }
    bytes.skip(len)?;
    let mapped = |address: Ipv4Addr| address.to_ipv6_mapped().octets();
    let addresses = Addresses {
        source: mapped(header.source_addr()),
        destination: mapped(header.destination_addr()),
    };
    let number = header.protocol().0;
    if !header.is_fragmenting_payload() {
        return Ok(Datagram::Whole(Layer::Transport(number, addresses), bytes));
    }
    Ok(Datagram::Part(Fragment {
        key: Key {
            addresses,
            id: u32::from(header.identification()),
            number,
        },
        offset: header.fragments_offset(),
        more: header.more_fragments(),
        whole: bytes.data.len() == bytes.wire,
        bytes: bytes.data,
    }))
}

fn v6(mut bytes: Bytes<'_>) -> Result<Datagram<'_>, Skip> {
    let header = Ipv6HeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
    bytes.skip(header.slice().len())?;
    match usize::from(header.payload_length()) {
        // As for IPv4; or RFC 2675 §2: an option in the first extension header says it.
        0 => {
            if header.next_header() == ip_number::IPV6_HEADER_HOP_BY_HOP
                && let Some(len) = jumbo(&bytes)
            {
                bytes.limit(len);
            }
        }
        len => bytes.limit(len),
    }
    let addresses = Addresses {
        source: header.source(),
        destination: header.destination(),
    };
    let layer = Layer::Transport(header.next_header().0, addresses);
    Ok(Datagram::Whole(layer, bytes))
}

/// The length in a jumbo payload option, where that is the first one, as Linux writes it.
fn jumbo(bytes: &Bytes<'_>) -> Option<usize> {
    let [kind, len] = bytes.peek(2)?;
    let value = u32::from_be_bytes(bytes.peek(4)?);
    let length = usize::try_from(value).ok()?;
    (kind == 0xc2 && len == 4 && length <= super::link::MAX_FRAME).then_some(length)
}

/// What a protocol number announces: an extension header, TCP, or a tunnel.
pub(super) fn transport(
    number: u8,
    addresses: Addresses,
    mut bytes: Bytes<'_>,
) -> Result<Carried<'_>, Skip> {
    let inner = |layer, bytes| Ok(Carried::Inner(layer, bytes));
    match IpNumber(number) {
        ip_number::TCP => tcp(bytes).map(Carried::Tcp),
        ip_number::UDP => tunnel::udp(bytes).map(|(layer, bytes)| Carried::Inner(layer, bytes)),
        ip_number::IPV4 | ip_number::IPV6 => inner(Layer::Ip, bytes),
        ip_number::GRE => inner(Layer::Gre, bytes),
        ip_number::MPLS_IN_IP => inner(Layer::Mpls, bytes),
        // RFC 8986 §10.1: a frame in a segment-routed packet.
        IpNumber(143) => inner(Layer::Ethernet, bytes),
        // RFC 3378: version (four bits) and reserved, then a frame.
        ip_number::ETHER_IP => {
            bytes.skip(2)?;
            inner(Layer::Ethernet, bytes)
        }
        ip_number::IPV6_FRAGMENTATION_HEADER => fragment(addresses, bytes),
        ip_number::AUTHENTICATION_HEADER => {
            let header = IpAuthHeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
            bytes.skip(header.slice().len())?;
            inner(Layer::Transport(header.next_header().0, addresses), bytes)
        }
        kind if Ipv6RawExtHeaderSlice::header_type_supported(kind) => {
            let header = Ipv6RawExtHeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
            bytes.skip(header.slice().len())?;
            let addresses = match kind {
                ip_number::IPV6_ROUTE_HEADER => routed(addresses, header.slice()),
                _ => addresses,
            };
            inner(Layer::Transport(header.next_header().0, addresses), bytes)
        }
        ip_number::ENCAPSULATING_SECURITY_PAYLOAD => Err(Skip::Unread(Unread::Esp)),
        _ => Err(Skip::Protocol(number)),
    }
}

/// RFC 8200 §4.5: next header, reserved, offset (13 bits, in units of 8), reserved (2), more (1),
/// identification. Read here because `etherparse` 0.19 takes the bits of the second word from the
/// wrong end. A fragment that is the whole datagram (RFC 6946) is none.
fn fragment(addresses: Addresses, mut bytes: Bytes<'_>) -> Result<Carried<'_>, Skip> {
    const MORE: u16 = 1;
    let [number, _, high, low, a, b, c, d] = *bytes.take()?;
    let word = u16::from_be_bytes([high, low]);
    let (offset, more) = (word >> 3, word & MORE != 0);
    if offset == 0 && !more {
        return Ok(Carried::Inner(Layer::Transport(number, addresses), bytes));
    }
    Ok(Carried::Part(Fragment {
        key: Key {
            addresses,
            id: u32::from_be_bytes([a, b, c, d]),
            number,
        },
        offset: IpFragOffset::try_new(offset).map_err(|_| Skip::Header)?,
        more,
        whole: bytes.data.len() == bytes.wire,
        bytes: bytes.data,
    }))
}

/// A packet under way to a segment of its route: its end is the last one. RFC 8754 §2 lists the
/// segments backwards; types 0 and 2 (RFC 2460 §4.4, RFC 6275 §6.4) forwards.
fn routed(addresses: Addresses, header: &[u8]) -> Addresses {
    let address = |at: usize| header.get(at..)?.first_chunk::<16>().copied();
    let last = match header {
        [_, _, _, 0, ..] => None,
        [_, _, 4, _, ..] => address(8),
        [_, _, 0 | 2, ..] => header
            .len()
            .checked_sub(16)
            .filter(|at| *at >= 8)
            .and_then(address),
        _ => None,
    };
    Addresses {
        destination: last.unwrap_or(addresses.destination),
        ..addresses
    }
}

fn tcp(mut bytes: Bytes<'_>) -> Result<Tcp<'_>, Skip> {
    let header = TcpHeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
    bytes.skip(header.slice().len())?;
    Ok(Tcp {
        header,
        payload: bytes.data,
        wire_len: u32::try_from(bytes.wire).map_err(|_| Skip::Header)?,
    })
}
