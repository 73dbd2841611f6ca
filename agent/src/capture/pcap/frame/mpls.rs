//! MPLS (RFC 3032). Nothing in it says what the labels carry: the first bits of it, and what makes
//! sense after them, must.

use super::{Bytes, Layer, Next};
use crate::capture::pcap::totals::Skip;

/// Skips the labels, then decides between IP and an Ethernet pseudowire (RFC 4448), with or without
/// its control word.
pub(super) fn next(mut bytes: Bytes<'_>) -> Next<'_> {
    const BOTTOM: u8 = 1;
    while bytes.take::<4>()?[2] & BOTTOM == 0 {}
    match bytes.peek::<1>(0).ok_or(Skip::Header)?[0] >> 4 {
        4 | 6 if is_ip(&bytes) => Ok((Layer::Ip, bytes)),
        // RFC 4385 §5: a control channel, no data.
        1 if !is_ethernet(&bytes, 0) => Err(Skip::Ppp(0)),
        0 if !is_ethernet(&bytes, 0) || is_ethernet(&bytes, 4) => {
            bytes.skip(4)?;
            Ok((Layer::Ethernet, bytes))
        }
        _ => Ok((Layer::Ethernet, bytes)),
    }
}

/// The first bits are not a hardware address that happens to begin like IP.
fn is_ip(bytes: &Bytes<'_>) -> bool {
    let Some(first) = bytes.peek::<1>(0) else {
        return false;
    };
    let plausible = match first[0] {
        0x45..=0x4f => bytes
            .peek16(2)
            .is_some_and(|len| len == 0 || (20..=bytes.wire.max(20)).contains(&usize::from(len))),
        0x60..=0x6f => bytes
            .peek16(4)
            .is_some_and(|len| usize::from(len) + 40 <= bytes.wire),
        _ => false,
    };
    plausible || !is_ethernet(bytes, 0)
}

/// An Ethernet frame at `at` would have a type that is known, or a length that fits.
fn is_ethernet(bytes: &Bytes<'_>, at: usize) -> bool {
    match bytes.peek16(at + 12) {
        Some(len @ 3..=1500) => {
            let snap = bytes.peek::<3>(at + 14);
            usize::from(len) + at + 14 <= bytes.wire
                && matches!(snap, Some([0xaa, 0xaa, 3] | [0x42, 0x42, 3]))
        }
        Some(kind) => matches!(
            kind,
            0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88a8 | 0x9100 | 0x8847 | 0x8848 | 0x8864 | 0x88e7
        ),
        None => false,
    }
}
