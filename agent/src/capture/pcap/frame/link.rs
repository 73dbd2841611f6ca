//! Link types: how the first header of a frame leads to the next one.
//! <https://www.tcpdump.org/linktypes.html>

use super::{Bytes, Layer, Next, ppp, wireless};
use crate::capture::pcap::totals::Skip;

/// Longest frame believed in where its headers cannot say: BIG TCP's 512 KiB, headers included.
pub(super) const MAX_FRAME: usize = 512 * 1024 + 256;

/// Link types that are read, by their numbers in files.
pub(in crate::capture::pcap) mod types {
    /// BSD loopback: an address family in the order of the machine that captured.
    pub(in crate::capture::pcap) const NULL: u32 = 0;
    /// Ethernet.
    pub(in crate::capture::pcap) const ETHERNET: u32 = 1;
    /// PPP, with or without an HDLC header.
    pub(super) const PPP: u32 = 9;
    /// Raw IP as BSD systems number it.
    pub(super) const RAW_BSD: u32 = 12;
    /// Raw IP as OpenBSD numbers it.
    pub(super) const RAW_OPENBSD: u32 = 14;
    /// PPP with an HDLC header, or Cisco HDLC.
    pub(super) const PPP_HDLC: u32 = 50;
    /// PPPoE from its own header on.
    pub(super) const PPP_ETHER: u32 = 51;
    /// RFC 2684: 802.2 over ATM.
    pub(super) const ATM_RFC1483: u32 = 100;
    /// Raw IP.
    pub(super) const RAW: u32 = 101;
    /// Cisco HDLC.
    pub(super) const C_HDLC: u32 = 104;
    /// 802.11.
    pub(super) const IEEE802_11: u32 = 105;
    /// OpenBSD loopback: an address family in network order.
    pub(super) const LOOP: u32 = 108;
    /// OpenBSD's IPsec interface.
    pub(super) const ENC: u32 = 109;
    /// Linux cooked.
    pub(super) const LINUX_SLL: u32 = 113;
    /// OpenBSD's packet filter log.
    pub(super) const PFLOG: u32 = 117;
    /// 802.11 after a Prism header.
    pub(super) const PRISM: u32 = 119;
    /// 802.11 after a radiotap header.
    pub(super) const RADIOTAP: u32 = 127;
    /// 802.11 after an AVS header.
    pub(super) const AVS: u32 = 163;
    /// PPP with a direction byte in place of its address.
    pub(super) const PPP_PPPD: u32 = 166;
    /// Any link type after a per-packet information header.
    pub(super) const PPI: u32 = 192;
    /// PPP after a direction byte.
    pub(super) const PPP_WITH_DIR: u32 = 204;
    /// Cisco HDLC after a direction byte.
    pub(super) const C_HDLC_WITH_DIR: u32 = 205;
    /// MPLS.
    pub(super) const MPLS: u32 = 219;
    /// Solaris IPNET.
    pub(super) const IPNET: u32 = 226;
    /// IPv4.
    pub(super) const IPV4: u32 = 228;
    /// IPv6.
    pub(super) const IPV6: u32 = 229;
    /// Linux netfilter log.
    pub(super) const NFLOG: u32 = 239;
    /// Ethernet after the header of a Hilscher netANALYZER.
    pub(super) const NETANALYZER: u32 = 240;
    /// Any link type after Apple's header.
    pub(super) const PKTAP: u32 = 258;
    /// Linux cooked, version 2.
    pub(super) const LINUX_SLL2: u32 = 276;
}

/// The layer after the header of a link type.
pub(super) fn next(link: u32, mut bytes: Bytes<'_>) -> Next<'_> {
    match link {
        types::ETHERNET => Ok((Layer::Ethernet, bytes)),
        types::RAW | types::IPV4 | types::IPV6 | types::RAW_BSD | types::RAW_OPENBSD => {
            Ok((Layer::Ip, bytes))
        }
        types::NULL | types::LOOP => {
            let family = *bytes.take()?;
            ip_family(family, bytes)
        }
        types::LINUX_SLL => {
            // Packet type, ARPHRD type, address length, address (8), protocol.
            let head = bytes.take::<16>()?;
            cooked([head[2], head[3]], [head[14], head[15]], bytes)
        }
        types::LINUX_SLL2 => {
            // Protocol, reserved (2), interface (4), ARPHRD type (2), packet type, address length,
            // address (8).
            let head = bytes.take::<20>()?;
            cooked([head[8], head[9]], [head[0], head[1]], bytes)
        }
        types::PPP | types::PPP_HDLC | types::C_HDLC => ppp::hdlc(bytes),
        types::PPP_WITH_DIR | types::C_HDLC_WITH_DIR => {
            bytes.skip(1)?;
            ppp::hdlc(bytes)
        }
        types::PPP_PPPD => ppp::pppd(bytes),
        types::PPP_ETHER => ppp::over_ethernet(bytes),
        types::ATM_RFC1483 => Ok((Layer::Llc, bytes)),
        types::MPLS => Ok((Layer::Mpls, bytes)),
        types::IEEE802_11 => Ok((Layer::Wireless(false), bytes)),
        types::RADIOTAP => wireless::radiotap(bytes),
        types::PRISM => wireless::prism(bytes),
        types::AVS => wireless::avs(bytes),
        types::NFLOG => nflog(bytes),
        types::PPI => ppi(bytes),
        types::PKTAP => pktap(bytes),
        types::IPNET => {
            // Version, family, hook type (2), length (4), interfaces (4, 4), zones (4, 4).
            bytes.skip(24)?;
            Ok((Layer::Ip, bytes))
        }
        types::ENC => {
            // Address family in the order of the machine, SPI, flags.
            let head = bytes.take::<12>()?;
            ip_family([head[0], head[1], head[2], head[3]], bytes)
        }
        types::PFLOG => {
            let len = usize::from(bytes.peek::<1>(0).ok_or(Skip::Header)?[0]);
            bytes.skip(len.next_multiple_of(4))?;
            Ok((Layer::Ip, bytes))
        }
        types::NETANALYZER => {
            bytes.skip(4)?;
            Ok((Layer::Ethernet, bytes))
        }
        _ => Err(Skip::Link(link)),
    }
}

/// `AF_INET` is 2 everywhere; `AF_INET6` is 10 on Linux and 24, 28 or 30 on BSD systems. LOOP has
/// it in network order, NULL in that of the machine that captured.
fn ip_family(family: [u8; 4], bytes: Bytes<'_>) -> Next<'_> {
    let is_ip = [u32::from_be_bytes(family), u32::from_le_bytes(family)]
        .iter()
        .any(|family| matches!(family, 2 | 10 | 24 | 28 | 30));
    match is_ip {
        true => Ok((Layer::Ip, bytes)),
        false => Err(Skip::Family(
            u32::from_be_bytes(family).min(u32::from_le_bytes(family)),
        )),
    }
}

/// The payload of a cooked frame: what its protocol field means depends on the type of the
/// interface.
fn cooked(interface: [u8; 2], protocol: [u8; 2], bytes: Bytes<'_>) -> Next<'_> {
    const ARPHRD_IEEE80211: u16 = 801;
    const ARPHRD_IEEE80211_PRISM: u16 = 802;
    const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;
    /// 802.2 follows.
    const ETH_P_802_2: u16 = 4;
    match (u16::from_be_bytes(interface), u16::from_be_bytes(protocol)) {
        (ARPHRD_IEEE80211, _) => Ok((Layer::Wireless(false), bytes)),
        (ARPHRD_IEEE80211_PRISM, _) => wireless::prism(bytes),
        (ARPHRD_IEEE80211_RADIOTAP, _) => wireless::radiotap(bytes),
        (_, ETH_P_802_2) => Ok((Layer::Llc, bytes)),
        (_, kind) => Ok((Layer::EtherType(kind), bytes)),
    }
}

/// Linux netfilter log: attributes (length, type) in the order of the machine that captured, one of
/// which is the packet.
fn nflog(mut bytes: Bytes<'_>) -> Next<'_> {
    const PAYLOAD: u16 = 9;
    const HEADER: usize = 4;
    bytes.skip(4)?;
    for order in [u16::from_le_bytes, u16::from_be_bytes] {
        let mut rest = bytes;
        while let (Some(len), Some(kind)) = (rest.peek::<2>(0), rest.peek::<2>(2)) {
            let len = usize::from(order(len));
            if len < HEADER {
                break;
            }
            // The upper bits of the type are flags of netlink.
            if order(kind) & 0x3fff == PAYLOAD {
                rest.skip(HEADER)?;
                rest.limit(len - HEADER);
                return Ok((Layer::Ip, rest));
            }
            if rest.skip(len.next_multiple_of(4)).is_err() {
                break;
            }
        }
    }
    Err(Skip::Header)
}

/// Per-packet information: version, flags, length, link type; all little-endian.
fn ppi(mut bytes: Bytes<'_>) -> Next<'_> {
    let head = bytes.peek::<8>(0).ok_or(Skip::Header)?;
    let len = usize::from(u16::from_le_bytes([head[2], head[3]])).max(8);
    bytes.skip(len)?;
    let link = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    Ok((Layer::Link(link), bytes))
}

/// Apple's header: its length, its kind, the link type; all little-endian.
fn pktap(mut bytes: Bytes<'_>) -> Next<'_> {
    let word = |at| bytes.peek(at).map(u32::from_le_bytes).ok_or(Skip::Header);
    let (len, link) = (word(0)?, word(8)?);
    let len = usize::try_from(len).map_err(|_| Skip::Header)?.max(12);
    bytes.skip(len)?;
    Ok((Layer::Link(link), bytes))
}
