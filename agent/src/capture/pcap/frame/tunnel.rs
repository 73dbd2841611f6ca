//! Tunnels over IP and UDP. UDP says nothing of what it carries: the ports that are assigned to a
//! tunnel do.

use etherparse::UdpHeaderSlice;

use super::{Bytes, Layer, Next};
use crate::capture::pcap::totals::{Skip, Unread};

/// GRE's protocol types beside Ethernet's.
mod gre_type {
    /// ERSPAN, types I and II.
    pub(super) const ERSPAN: u16 = 0x88be;
    /// ERSPAN, type III.
    pub(super) const ERSPAN3: u16 = 0x22eb;
    /// WCCP: IP, in its second version after a redirect header.
    pub(super) const WCCP: u16 = 0x883e;
}

/// GRE: version 0 (RFC 2784, 2890), and 1 (RFC 2637), which carries PPP.
pub(super) fn gre(mut bytes: Bytes<'_>) -> Next<'_> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGEMENT: u16 = 0x0080;
    const VERSION: u16 = 0x0007;
    let [a, b, c, d] = *bytes.take()?;
    let (flags, kind) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let has = |flag| flags & flag != 0;
    let version = flags & VERSION;
    if version > 1 {
        return Err(Skip::Unread(Unread::Gre));
    }
    if version == 0 && (has(CHECKSUM) || has(ROUTING)) {
        bytes.skip(4)?;
    }
    if has(KEY) {
        bytes.skip(4)?;
    }
    if has(SEQUENCE) {
        bytes.skip(4)?;
    }
    if version == 1 {
        if has(ACKNOWLEDGEMENT) {
            bytes.skip(4)?;
        }
        // A packet without a payload only acknowledges.
        return match has(SEQUENCE) {
            true => Ok((Layer::Ppp, bytes)),
            false => Err(Skip::Unread(Unread::Gre)),
        };
    }
    if has(ROUTING) {
        routing(&mut bytes)?;
    }
    match kind {
        gre_type::ERSPAN if has(SEQUENCE) => {
            bytes.skip(8)?;
            Ok((Layer::Ethernet, bytes))
        }
        gre_type::ERSPAN => Ok((Layer::Ethernet, bytes)),
        gre_type::ERSPAN3 => erspan3(bytes),
        gre_type::WCCP => {
            if bytes.peek::<1>(0).is_none_or(|first| first[0] >> 4 != 4) {
                bytes.skip(4)?;
            }
            Ok((Layer::Ip, bytes))
        }
        // A keep-alive.
        0 => Err(Skip::Unread(Unread::Gre)),
        _ => Ok((Layer::EtherType(kind), bytes)),
    }
}

/// RFC 1701: entries (family, offset, length), the last one without length.
fn routing(bytes: &mut Bytes<'_>) -> Result<(), Skip> {
    loop {
        let [_, _, _, len] = *bytes.take()?;
        if len == 0 {
            return Ok(());
        }
        bytes.skip(usize::from(len))?;
    }
}

/// ERSPAN type III (draft-foschiano-erspan): 12 bytes, and 8 more of the platform where the last
/// bit says so.
fn erspan3(mut bytes: Bytes<'_>) -> Next<'_> {
    const PLATFORM: u8 = 0x01;
    const IP: u8 = 2;
    let head = bytes.take::<12>()?;
    if head[11] & PLATFORM != 0 {
        bytes.skip(8)?;
    }
    match head[10] >> 2 & 0x1f {
        IP => Ok((Layer::Ip, bytes)),
        _ => Ok((Layer::Ethernet, bytes)),
    }
}

/// A network service header (RFC 8300 §2): its length in words, and the next protocol.
pub(super) fn nsh(mut bytes: Bytes<'_>) -> Next<'_> {
    let head = bytes.peek::<4>(0).ok_or(Skip::Header)?;
    bytes.skip(4 * usize::from(head[1] & 0x3f).max(2))?;
    generic(head[3], bytes)
}

/// The next protocol of NSH and of VXLAN-GPE, which share their numbers.
fn generic(protocol: u8, bytes: Bytes<'_>) -> Next<'_> {
    match protocol {
        1 | 2 => Ok((Layer::Ip, bytes)),
        3 => Ok((Layer::Ethernet, bytes)),
        4 => Ok((Layer::Nsh, bytes)),
        5 => Ok((Layer::Mpls, bytes)),
        _ => Err(Skip::Unread(Unread::Vxlan)),
    }
}

/// What a datagram's ports announce. The destination says it first: the source of most tunnels is a
/// hash.
pub(super) fn udp(mut bytes: Bytes<'_>) -> Next<'_> {
    let header = UdpHeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
    match usize::from(header.length()) {
        0 => {}
        len => bytes.limit(len.max(8)),
    }
    bytes.skip(8)?;
    match carried(header.destination_port(), bytes) {
        Err(Skip::Udp) => carried(header.source_port(), bytes),
        next => next,
    }
}

fn carried(port: u16, mut bytes: Bytes<'_>) -> Next<'_> {
    match port {
        // VXLAN (RFC 7348), and where Linux and flannel had it before; VXLAN-GPE.
        4789 | 4790 | 8472 => vxlan(bytes),
        6081 => geneve(bytes),
        // GTP-U (3GPP TS 29.281).
        2152 => gtp(bytes),
        // RFC 7510, RFC 8086.
        6635 => Ok((Layer::Mpls, bytes)),
        4754 => Ok((Layer::Gre, bytes)),
        6080 => gue(bytes),
        3544 => teredo(bytes),
        37_008 => tzsp(bytes),
        1701 => l2tp(bytes),
        // LISP data (RFC 9300 §5.3): a header of 8 bytes, then IP.
        4341 => {
            bytes.skip(8)?;
            Ok((Layer::Ip, bytes))
        }
        4500 => Err(Skip::Unread(Unread::EspInUdp)),
        51_820 => Err(Skip::Unread(Unread::WireGuard)),
        1194 => Err(Skip::Unread(Unread::OpenVpn)),
        5247 => Err(Skip::Unread(Unread::Capwap)),
        _ => Err(Skip::Udp),
    }
}

/// VXLAN: flags, reserved, network identifier, reserved; generic extension
/// (draft-ietf-nvo3-vxlan-gpe): a next protocol.
fn vxlan(mut bytes: Bytes<'_>) -> Next<'_> {
    const NETWORK: u8 = 0x08;
    const PROTOCOL: u8 = 0x04;
    let head = bytes.take::<8>()?;
    if head[0] & PROTOCOL != 0 {
        return generic(head[3], bytes);
    }
    match head[0] & NETWORK {
        0 => Err(Skip::Udp),
        _ => Ok((Layer::Ethernet, bytes)),
    }
}

/// Geneve (RFC 8926 §3.4): version and length of options in words, flags, a type, network
/// identifier.
fn geneve(mut bytes: Bytes<'_>) -> Next<'_> {
    let head = bytes.take::<8>()?;
    if head[0] >> 6 != 0 {
        return Err(Skip::Udp);
    }
    bytes.skip(4 * usize::from(head[0] & 0x3f))?;
    Ok((
        Layer::EtherType(u16::from_be_bytes([head[2], head[3]])),
        bytes,
    ))
}

/// GTP-U: flags, message type, length of what follows, tunnel identifier; then sequence number and
/// extension headers.
fn gtp(mut bytes: Bytes<'_>) -> Next<'_> {
    const VERSION: u8 = 0xf0;
    const VERSION_1: u8 = 0x30;
    const OPTIONAL: u8 = 0x07;
    const EXTENSION: u8 = 0x04;
    const USER_DATA: u8 = 255;
    let [flags, kind, high, low, ..] = *bytes.take::<8>()?;
    if flags & VERSION != VERSION_1 {
        return Err(Skip::Udp);
    }
    if kind != USER_DATA {
        return Err(Skip::Unread(Unread::GtpControl));
    }
    bytes.limit(usize::from(u16::from_be_bytes([high, low])));
    if flags & OPTIONAL != 0 {
        let [_, _, _, next] = *bytes.take()?;
        let mut next = if flags & EXTENSION == 0 { 0 } else { next };
        while next != 0 {
            // Length in words, content, type of the next one.
            let len = 4 * usize::from(bytes.peek::<1>(0).ok_or(Skip::Header)?[0]).max(1);
            next = bytes.peek::<1>(len - 1).ok_or(Skip::Header)?[0];
            bytes.skip(len)?;
        }
    }
    match bytes.peek::<1>(0).ok_or(Skip::Header)?[0] >> 4 {
        4 | 6 => Ok((Layer::Ip, bytes)),
        // A session of type Ethernet (3GPP TS 29.281 5.1).
        _ => Ok((Layer::Ethernet, bytes)),
    }
}

/// Generic UDP encapsulation (draft-ietf-intarea-gue): version 1 is IP itself.
fn gue(mut bytes: Bytes<'_>) -> Next<'_> {
    const CONTROL: u8 = 0x20;
    let [first, protocol] = bytes.peek(0).ok_or(Skip::Header)?;
    match (first >> 6, protocol) {
        (1, _) => Ok((Layer::Ip, bytes)),
        (0, 4 | 41) if first & CONTROL == 0 => {
            bytes.skip(4 + 4 * usize::from(first & 0x1f))?;
            Ok((Layer::Ip, bytes))
        }
        (0, 47) if first & CONTROL == 0 => {
            bytes.skip(4 + 4 * usize::from(first & 0x1f))?;
            Ok((Layer::Gre, bytes))
        }
        _ => Err(Skip::Udp),
    }
}

/// Teredo (RFC 4380 §5.1.1): IPv6, after an authentication and an origin header where there are
/// any.
fn teredo(mut bytes: Bytes<'_>) -> Next<'_> {
    if let Some([0, 1, client, value]) = bytes.peek(0) {
        bytes.skip(13 + usize::from(client) + usize::from(value))?;
    }
    if let Some([0, 0]) = bytes.peek(0) {
        bytes.skip(8)?;
    }
    match bytes.peek::<1>(0).ok_or(Skip::Header)?[0] >> 4 {
        6 => Ok((Layer::Ip, bytes)),
        _ => Err(Skip::Udp),
    }
}

/// TaZmen Sniffer Protocol: version, type, protocol; tags (number, length) up to the last one; then
/// a frame.
fn tzsp(mut bytes: Bytes<'_>) -> Next<'_> {
    const PADDING: u8 = 0;
    const LAST: u8 = 1;
    let [version, _, high, low] = *bytes.take()?;
    if version != 1 {
        return Err(Skip::Udp);
    }
    loop {
        match bytes.take::<1>()?[0] {
            PADDING => {}
            LAST => break,
            _ => {
                let len = usize::from(bytes.take::<1>()?[0]);
                bytes.skip(len)?;
            }
        }
    }
    match u16::from_be_bytes([high, low]) {
        1 => Ok((Layer::Ethernet, bytes)),
        18 => Ok((Layer::Wireless(false), bytes)),
        _ => Err(Skip::Udp),
    }
}

/// L2TP version 2 (RFC 2661 §3.1): data messages carry PPP.
fn l2tp(mut bytes: Bytes<'_>) -> Next<'_> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    const VERSION: u16 = 0x000f;
    let flags = u16::from_be_bytes(*bytes.take()?);
    if flags & VERSION != 2 || flags & CONTROL != 0 {
        return Err(Skip::Unread(Unread::L2tp));
    }
    if flags & LENGTH != 0 {
        bytes.skip(2)?;
    }
    bytes.skip(4)?;
    if flags & SEQUENCE != 0 {
        bytes.skip(4)?;
    }
    if flags & OFFSET != 0 {
        let len = u16::from_be_bytes(*bytes.take()?);
        bytes.skip(usize::from(len))?;
    }
    Ok((Layer::Ppp, bytes))
}
