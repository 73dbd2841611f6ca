//! PPP (RFC 1661), PPPoE (RFC 2516), and the HDLC frames that carry it.

use super::{Bytes, Layer, Next};
use crate::capture::pcap::totals::{Skip, Unread};

/// A frame with an HDLC header: PPP's (RFC 1662, which may be compressed away), or Cisco's.
pub(super) fn hdlc(mut bytes: Bytes<'_>) -> Next<'_> {
    match bytes.peek::<2>(0) {
        Some([0xff, 0x03]) => {
            bytes.skip(2)?;
            Ok((Layer::Ppp, bytes))
        }
        // Cisco: unicast or multicast, control, then an Ethernet type.
        Some([0x0f | 0x8f, 0]) => {
            bytes.skip(2)?;
            let kind = u16::from_be_bytes(*bytes.take()?);
            Ok((Layer::EtherType(kind), bytes))
        }
        _ => Ok((Layer::Ppp, bytes)),
    }
}

/// Linux' `pppd` writes the direction where the address was.
pub(super) fn pppd(mut bytes: Bytes<'_>) -> Next<'_> {
    if let Some([0 | 1, 0x03]) = bytes.peek::<2>(0) {
        bytes.skip(2)?;
        return Ok((Layer::Ppp, bytes));
    }
    hdlc(bytes)
}

/// A PPPoE session packet: version and type, code, session, length.
pub(super) fn over_ethernet(mut bytes: Bytes<'_>) -> Next<'_> {
    const SESSION_DATA: u8 = 0;
    let [_, code, _, _, high, low] = *bytes.take()?;
    if code != SESSION_DATA {
        return Err(Skip::EtherType(0x8863));
    }
    bytes.limit(usize::from(u16::from_be_bytes([high, low])));
    Ok((Layer::Ppp, bytes))
}

/// The protocol field (one byte where it was compressed), and what it announces.
pub(super) fn next(mut bytes: Bytes<'_>) -> Next<'_> {
    // Where PPP follows a tunnel's header, the HDLC header may be there too.
    if bytes.peek::<2>(0) == Some([0xff, 0x03]) {
        bytes.skip(2)?;
    }
    let first = bytes.take::<1>()?[0];
    // RFC 1661 §2: only the last byte of the number is odd.
    let protocol = match first & 1 {
        1 => u16::from(first),
        _ => u16::from_be_bytes([first, bytes.take::<1>()?[0]]),
    };
    match protocol {
        0x0021 | 0x0057 => Ok((Layer::Ip, bytes)),
        0x0281 | 0x0283 => Ok((Layer::Mpls, bytes)),
        // RFC 3518: flags, MAC type; padding of up to 15 bytes is at the end.
        0x0031 => {
            const ETHERNET: u8 = 1;
            let [_, mac] = *bytes.take()?;
            match mac {
                ETHERNET => Ok((Layer::Ethernet, bytes)),
                _ => Err(Skip::Ppp(protocol)),
            }
        }
        0x003d => Err(Skip::Unread(Unread::Multilink)),
        0x002d | 0x002f | 0x0061 | 0x0063 | 0x0067 | 0x0069 => {
            Err(Skip::Unread(Unread::CompressedHeaders))
        }
        0x0053 | 0x0055 => Err(Skip::Unread(Unread::EncryptedPpp)),
        0x00fb | 0x00fd => Err(Skip::Unread(Unread::CompressedPpp)),
        _ => Err(Skip::Ppp(protocol)),
    }
}
