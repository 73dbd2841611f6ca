//! Ethernet, its tags, and 802.2.

use etherparse::{LaxMacsecSlice, MacsecHeaderSlice};

use super::{Bytes, Layer, Next, ppp};
use crate::capture::pcap::totals::{Skip, Unread};

/// Values of the type field up to this one are lengths (IEEE 802.3-2018 3.2.6).
const MAX_LENGTH: u16 = 1500;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
/// Transparent Ethernet bridging: a frame in a frame.
pub(super) const BRIDGED: u16 = 0x6558;
pub(super) const PPP: u16 = 0x880b;
pub(super) const MPLS: u16 = 0x8847;
pub(super) const MPLS_UPSTREAM: u16 = 0x8848;
pub(super) const NSH: u16 = 0x894f;

/// Two addresses and a type.
pub(super) fn frame(mut bytes: Bytes<'_>) -> Next<'_> {
    bytes.skip(12)?;
    let kind = u16::from_be_bytes(*bytes.take()?);
    Ok((Layer::EtherType(kind), bytes))
}

/// What follows a type field.
pub(super) fn typed(kind: u16, mut bytes: Bytes<'_>) -> Next<'_> {
    match kind {
        0..=MAX_LENGTH => {
            bytes.limit(usize::from(kind));
            Ok((Layer::Llc, bytes))
        }
        // An 802.3 frame longer than its length field can say.
        0x8870 => Ok((Layer::Llc, bytes)),
        IPV4 | IPV6 => Ok((Layer::Ip, bytes)),
        // 802.1Q, 802.1ad, and what switches used before it; VN-Tag (802.1BR's ancestor); FRER's
        // R-TAG; HSR. Each is four bytes, or six, then a type.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => tag::<2>(bytes),
        0x8926 | 0x892f | 0xf1c1 => tag::<4>(bytes),
        // 802.1BR E-TAG; Cisco metadata.
        0x893f | 0x8909 => tag::<6>(bytes),
        // 802.1ah: the service identifier, then the customer's frame.
        0x88e7 => {
            bytes.skip(4)?;
            Ok((Layer::Ethernet, bytes))
        }
        BRIDGED => Ok((Layer::Ethernet, bytes)),
        MPLS | MPLS_UPSTREAM => Ok((Layer::Mpls, bytes)),
        0x8864 => ppp::over_ethernet(bytes),
        PPP => Ok((Layer::Ppp, bytes)),
        NSH => Ok((Layer::Nsh, bytes)),
        0x88e5 => macsec(bytes),
        0x22f3 => trill(bytes),
        _ => Err(Skip::EtherType(kind)),
    }
}

/// A tag: `N` bytes, then the next type.
fn tag<const N: usize>(mut bytes: Bytes<'_>) -> Next<'_> {
    bytes.skip(N)?;
    let kind = u16::from_be_bytes(*bytes.take()?);
    Ok((Layer::EtherType(kind), bytes))
}

/// IEEE 802.1AE, as far as it only authenticates.
fn macsec(mut bytes: Bytes<'_>) -> Next<'_> {
    /// Integrity check value at the end of the default cipher suites (14.5).
    const ICV: usize = 16;
    let header = MacsecHeaderSlice::from_slice(bytes.data).map_err(|_| Skip::Header)?;
    let len = header.slice().len();
    let kind = LaxMacsecSlice::from_slice(bytes.data)
        .ok()
        .and_then(|macsec| macsec.next_ether_type())
        .ok_or(Skip::Unread(Unread::Macsec))?;
    bytes.skip(len)?;
    if bytes.wire > ICV {
        bytes.limit(bytes.wire - ICV);
    }
    Ok((Layer::EtherType(kind.0), bytes))
}

/// RFC 6325 §3: version, flags, length of options in words, hop count, two nicknames; then a frame.
fn trill(mut bytes: Bytes<'_>) -> Next<'_> {
    let head = u16::from_be_bytes(*bytes.take()?);
    bytes.skip(4 + 4 * usize::from(head >> 6 & 0x1f))?;
    Ok((Layer::Ethernet, bytes))
}

/// IEEE 802.2: two service access points and a control field; SNAP carries a type.
pub(super) fn llc(mut bytes: Bytes<'_>) -> Next<'_> {
    const SNAP: u8 = 0xaa;
    /// IP without SNAP.
    const IP: u8 = 0x06;
    /// Network layer protocol identifier, for OSI and PPP over frame relay or ATM (RFC 2684).
    const UNNUMBERED: u8 = 0x03;
    let [destination, source, control] = *bytes.take()?;
    match (destination, source, control) {
        (SNAP, SNAP | 0xab, UNNUMBERED) => {
            let [a, b, c, high, low] = *bytes.take()?;
            let kind = u16::from_be_bytes([high, low]);
            match ([a, b, c], kind) {
                // RFC 1042, and 802.1H's for types that bridges translate.
                ([0, 0, 0] | [0, 0, 0xf8], _) => Ok((Layer::EtherType(kind), bytes)),
                // RFC 2684 §5.2: a bridged Ethernet frame, with two bytes of padding on ATM.
                ([0, 0x80, 0xc2], 1 | 7) => {
                    bytes.skip(2)?;
                    Ok((Layer::Ethernet, bytes))
                }
                _ => Err(Skip::EtherType(kind)),
            }
        }
        (IP, IP, UNNUMBERED) => Ok((Layer::Ip, bytes)),
        _ => Err(Skip::Llc(destination)),
    }
}
