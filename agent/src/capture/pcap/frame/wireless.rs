//! 802.11 frames (IEEE 802.11-2020 9.2, 9.3.2), and the headers that capture tools write before
//! them.

use super::{Bytes, Layer, Next};
use crate::capture::pcap::totals::{Skip, Unread};

/// What a data frame carries.
pub(super) enum Body<'a> {
    /// One packet, from its 802.2 header on.
    One(Bytes<'a>),
    /// Several, as an A-MSDU.
    Several(Bytes<'a>),
}

/// The body of a data frame. `padded`: the header fills a multiple of four bytes, as some drivers
/// write it.
pub(super) fn frame(mut bytes: Bytes<'_>, padded: bool) -> Result<Body<'_>, Skip> {
    const TO_AND_FROM_DS: u8 = 0x03;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const MORE_FRAGMENTS: u8 = 0x04;
    const DATA: u8 = 2;
    const NULL: u8 = 0x4;
    const QOS: u8 = 0x8;
    let [control, flags] = bytes.peek(0).ok_or(Skip::Header)?;
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    if kind != DATA || subtype & NULL != 0 {
        return Err(Skip::Wireless);
    }
    if flags & PROTECTED != 0 {
        return Err(Skip::Unread(Unread::EncryptedWireless));
    }
    // Control, duration, three addresses, sequence control (little-endian; the low four bits number
    // fragments).
    let part = bytes.peek::<2>(22).ok_or(Skip::Header)?[0] & 0xf;
    if flags & MORE_FRAGMENTS != 0 || part != 0 {
        return Err(Skip::Unread(Unread::WirelessFragment));
    }
    let mut len = 24;
    if flags & TO_AND_FROM_DS == TO_AND_FROM_DS {
        len += 6;
    }
    let mut several = false;
    if subtype & QOS != 0 {
        several = bytes.peek::<1>(len).ok_or(Skip::Header)?[0] & 0x80 != 0;
        len += 2;
        if flags & ORDER != 0 {
            len += 4;
        }
    }
    if padded {
        len = len.next_multiple_of(4);
    }
    bytes.skip(len)?;
    Ok(match several {
        true => Body::Several(bytes),
        false => Body::One(bytes),
    })
}

/// A radiotap header (<https://www.radiotap.org>): version, padding, length, which fields are
/// there, the fields; little-endian.
pub(super) fn radiotap(mut bytes: Bytes<'_>) -> Next<'_> {
    const FCS: u8 = 0x10;
    const PADDED: u8 = 0x20;
    let len = bytes.peek(2).map(u16::from_le_bytes).ok_or(Skip::Header)?;
    let len = usize::from(len).max(8);
    let flags = radiotap_flags(&bytes).unwrap_or(0);
    bytes.skip(len)?;
    if flags & FCS != 0 && bytes.wire >= 4 {
        bytes.limit(bytes.wire - 4);
    }
    Ok((Layer::Wireless(flags & PADDED != 0), bytes))
}

/// The field with flags, which is the second one: after the time in the first place, if that is
/// there.
fn radiotap_flags(bytes: &Bytes<'_>) -> Option<u8> {
    const TIME: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    const MORE: u32 = 1 << 31;
    let present = bytes.peek(4).map(u32::from_le_bytes)?;
    if present & FLAGS == 0 {
        return None;
    }
    let mut at = 4;
    while bytes.peek(at).map(u32::from_le_bytes)? & MORE != 0 {
        at += 4;
    }
    at += 4;
    if present & TIME != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    bytes.peek::<1>(at).map(|flags| flags[0])
}

/// A Prism header: message code, its own length, in the order of the machine that captured. Drivers
/// also wrote AVS headers here.
pub(super) fn prism(mut bytes: Bytes<'_>) -> Next<'_> {
    if bytes.peek(0).map(u32::from_be_bytes).is_some_and(is_avs) {
        return avs(bytes);
    }
    let len = bytes.peek::<4>(4).ok_or(Skip::Header)?;
    let len = u32::from_le_bytes(len).min(u32::from_be_bytes(len));
    bytes.skip(usize::try_from(len).map_err(|_| Skip::Header)?.max(8))?;
    Ok((Layer::Wireless(false), bytes))
}

/// An AVS header: magic number, its own length, in network order.
pub(super) fn avs(mut bytes: Bytes<'_>) -> Next<'_> {
    let len = bytes.peek(4).map(u32::from_be_bytes).ok_or(Skip::Header)?;
    bytes.skip(usize::try_from(len).map_err(|_| Skip::Header)?.max(8))?;
    Ok((Layer::Wireless(false), bytes))
}

const fn is_avs(magic: u32) -> bool {
    magic & 0xffff_f000 == 0x8021_1000
}
