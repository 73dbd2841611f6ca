//! What a file held, and why packets of it give no TCP segment.

use std::collections::BTreeMap;
use std::fmt;

use etherparse::IpNumber;

use crate::plural::counted;

/// Most different reasons counted each on its own: a bound for files that are made of nothing but
/// anomalies.
const MAX_REASONS: usize = 1024;

/// Reasons named in a summary; the rest is one number.
const NAMED: usize = 12;

/// Why a packet of the file gives no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// A link type that is not read here, by its number in files.
    Link(u32),
    /// Not IPv4 or IPv6 but something else with this Ethernet type (ARP, LLDP …).
    EtherType(u16),
    /// 802.2 with this service access point (spanning tree …).
    Llc(u8),
    /// BSD loopback with this address family.
    Family(u32),
    /// PPP with this protocol.
    Ppp(u16),
    /// 802.11 without data: beacons, acknowledgements.
    Wireless,
    /// Raw IP of this version.
    Version(u8),
    /// IP with this protocol.
    Protocol(u8),
    /// UDP that is no tunnel.
    Udp,
    /// A tunnel or an encryption that is not read.
    Unread(Unread),
    /// A fragment of a datagram of which another one is missing.
    Fragment,
    /// Headers that are cut off or contradict themselves.
    Header,
    /// More headers than a packet may have.
    Depth,
    /// An interface that the file does not describe.
    Interface,
    /// A block of the file that contradicts itself, between others.
    Block,
    /// Any other reason, in a file with very many of them.
    Other,
}

/// A tunnel, or something like it, that is recognised and not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unread {
    /// IPsec (RFC 4303).
    Esp,
    /// IPsec in UDP (RFC 3948).
    EspInUdp,
    /// `WireGuard`.
    WireGuard,
    /// `OpenVPN`.
    OpenVpn,
    /// A MACsec frame that is encrypted.
    Macsec,
    /// 802.11 that is encrypted.
    EncryptedWireless,
    /// A fragment of an 802.11 frame.
    WirelessFragment,
    /// A part of a PPP multilink packet (RFC 1990).
    Multilink,
    /// PPP with compressed TCP/IP headers (RFC 1144, 2507, 3095).
    CompressedHeaders,
    /// Encrypted PPP (RFC 1968).
    EncryptedPpp,
    /// Compressed PPP (RFC 1962).
    CompressedPpp,
    /// GRE of an unknown version, or without payload.
    Gre,
    /// VXLAN-GPE or NSH with a protocol that is not read.
    Vxlan,
    /// GTP without user data.
    GtpControl,
    /// L2TP control messages, or version 3.
    L2tp,
    /// CAPWAP (RFC 5415).
    Capwap,
}

impl Unread {
    /// The name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Esp => "ESP",
            Self::EspInUdp => "ESP in UDP",
            Self::WireGuard => "WireGuard",
            Self::OpenVpn => "OpenVPN",
            Self::Macsec => "encrypted MACsec",
            Self::EncryptedWireless => "encrypted 802.11",
            Self::WirelessFragment => "802.11 fragment",
            Self::Multilink => "PPP multilink",
            Self::CompressedHeaders => "PPP with compressed headers",
            Self::EncryptedPpp => "encrypted PPP",
            Self::CompressedPpp => "compressed PPP",
            Self::Gre => "GRE without payload",
            Self::Vxlan => "VXLAN-GPE of another protocol",
            Self::GtpControl => "GTP control",
            Self::L2tp => "L2TP control",
            Self::Capwap => "CAPWAP",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what: &str, number: u32, name: Option<&str>| {
            write!(f, "{what} {number}")?;
            name.map_or(Ok(()), |name| write!(f, " ({name})"))
        };
        match *self {
            Self::Link(link) => named(f, "link type", link, link_name(link)),
            Self::EtherType(kind) => match ether_name(kind) {
                Some(name) => f.write_str(name),
                None => write!(f, "Ethernet type {kind:#06x}"),
            },
            Self::Llc(0x42) => f.write_str("spanning tree"),
            Self::Llc(point) => write!(f, "802.2 service {point:#04x}"),
            Self::Family(family) => write!(f, "address family {family}"),
            Self::Ppp(protocol) => write!(f, "PPP protocol {protocol:#06x}"),
            Self::Wireless => f.write_str("802.11 without data"),
            Self::Version(version) => write!(f, "IP version {version}"),
            Self::Protocol(number) => {
                let name = IpNumber(number).keyword_str();
                match name {
                    Some(name) => f.write_str(name),
                    None => write!(f, "IP protocol {number}"),
                }
            }
            Self::Udp => f.write_str("UDP"),
            Self::Unread(tunnel) => f.write_str(tunnel.label()),
            Self::Fragment => f.write_str("IP fragment without the others"),
            Self::Header => f.write_str("damaged or cut header"),
            Self::Depth => f.write_str("headers nested too deep"),
            Self::Interface => f.write_str("interface not described"),
            Self::Block => f.write_str("damaged block of the file"),
            Self::Other => f.write_str("for other reasons"),
        }
    }
}

const fn ether_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0x0806 => "ARP",
        0x8035 => "RARP or SLARP",
        0x2000 => "CDP",
        0x8137 => "IPX",
        0x8809 => "LACP or OAM",
        0x8863 => "PPPoE discovery",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        0x88e1 | 0x8912 => "powerline",
        0x88f7 => "PTP",
        0x8902 => "CFM",
        0x8906 | 0x8914 => "FCoE",
        0x8915 => "RoCE",
        0x9000 => "loopback test",
        _ => return None,
    })
}

/// Link types that are met in captures of hosts and not read.
const fn link_name(link: u32) -> Option<&'static str> {
    Some(match link {
        6 => "Token Ring",
        7 => "ARCNET",
        8 => "SLIP",
        10 => "FDDI",
        107 => "Frame Relay",
        122 => "Fibre Channel",
        138 => "FireWire",
        147..=162 => "reserved for private use",
        177 => "LAPD",
        187 | 201 => "Bluetooth HCI",
        189 | 220 | 249 => "USB",
        190 | 227 => "CAN",
        195 | 215 | 230 => "802.15.4",
        242 => "InfiniBand",
        248 => "SCTP",
        251 => "Bluetooth LE",
        252 => "upper PDU of Wireshark",
        253 => "netlink",
        271 => "vsock",
        _ => return None,
    })
}

/// What a file held: packets = TCP packets + joined fragments + every reason to skip one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets in the file.
    pub packets: u64,
    /// Packets among them that gave a TCP segment.
    pub tcp: u64,
    /// Fragments that were put together with a later one, which then counts as TCP or under its
    /// own reason.
    pub joined: u64,
    /// Segments handed over: TCP packets with payload, or that end a direction; and bytes that are
    /// acknowledged and not in the file.
    pub segments: u64,
    /// TCP packets of whose payload the capture kept only a part.
    pub cut: u64,
    /// Most bytes kept of such a packet's frame: the snap length.
    pub kept: usize,
    /// TCP packets with a wrong checksum in a direction where others are right: read only where
    /// their receiver has acknowledged what nothing else has brought.
    pub suspects: u64,
    skipped: BTreeMap<Skip, u64>,
}

impl Totals {
    /// Packets skipped for this reason.
    #[must_use]
    pub fn skipped(&self, reason: Skip) -> u64 {
        self.skipped.get(&reason).copied().unwrap_or(0)
    }

    /// Packets skipped for any reason.
    #[must_use]
    pub fn all_skipped(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// Every reason that was met, with its count.
    pub fn reasons(&self) -> impl Iterator<Item = (Skip, u64)> {
        self.skipped.iter().map(|(reason, count)| (*reason, *count))
    }

    pub(super) fn skip(&mut self, reason: Skip) {
        let known = self.skipped.contains_key(&reason);
        let reason = match known || self.skipped.len() < MAX_REASONS {
            true => reason,
            false => Skip::Other,
        };
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Fragments that were skipped have been completed.
    pub(super) fn join(&mut self, parts: u64) {
        if let Some(waiting) = self.skipped.get_mut(&Skip::Fragment) {
            let parts = parts.min(*waiting);
            *waiting -= parts;
            self.joined += parts;
            if *waiting == 0 {
                self.skipped.remove(&Skip::Fragment);
            }
        }
    }

    /// Notes a TCP packet, `kept` bytes of whose frame were captured.
    pub(super) fn packet(&mut self, cut: bool, kept: usize) {
        self.tcp += 1;
        if cut {
            self.cut += 1;
            self.kept = self.kept.max(kept);
        }
    }

    /// The reasons for which packets were skipped, most frequent first; nothing when there were
    /// none.
    #[must_use]
    pub fn unread(&self) -> Option<String> {
        let mut reasons: Vec<(Skip, u64)> = self.reasons().collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        let rest: u64 = reasons.iter().skip(NAMED).map(|(_, count)| count).sum();
        let mut parts: Vec<String> = reasons
            .iter()
            .take(NAMED)
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        if rest > 0 {
            parts.push(counted(rest, "other"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(skipped: &[(Skip, u64)], expected: Option<&str>) {
        let mut totals = Totals::default();
        for (reason, count) in skipped {
            for _ in 0..*count {
                totals.skip(*reason);
            }
        }
        assert_eq!(totals.unread().as_deref(), expected);
    }

    #[test]
    fn nothing_skipped_is_nothing_said() {
        check(&[], None);
    }

    #[test]
    fn what_is_not_read_is_named() {
        check(
            &[
                (Skip::Link(189), 1),
                (Skip::Link(299), 1),
                (Skip::EtherType(0x0806), 3),
                (Skip::EtherType(0x1234), 1),
                (Skip::Protocol(1), 1),
                (Skip::Protocol(200), 1),
                (Skip::Unread(Unread::WireGuard), 2),
            ],
            Some(
                "3 ARP, 2 WireGuard, 1 link type 189 (USB), 1 link type 299, \
                 1 Ethernet type 0x1234, 1 ICMP, 1 IP protocol 200",
            ),
        );
    }

    #[test]
    fn very_many_reasons_are_bounded() {
        let mut totals = Totals::default();
        for link in 0..5000 {
            totals.skip(Skip::Link(link));
        }
        assert_eq!(totals.all_skipped(), 5000);
        assert!(totals.reasons().count() <= MAX_REASONS + 1);
        assert!(
            totals
                .unread()
                .is_some_and(|text| text.ends_with(" others"))
        );
    }

    #[test]
    fn completed_fragments_are_skipped_no_more() {
        let mut totals = Totals::default();
        totals.skip(Skip::Fragment);
        totals.skip(Skip::Fragment);
        totals.join(3);
        assert_eq!((totals.joined, totals.all_skipped()), (2, 0));
    }
}
