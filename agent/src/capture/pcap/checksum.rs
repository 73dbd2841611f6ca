//! TCP checksums (RFC 9293 §3.1).
//!
//! A wrong one proves little. A packet that was captured before a device has filled the checksum in
//! holds the sum of the pseudo header alone, and so does one that the kernel has put together from
//! several (Linux, `CHECKSUM_PARTIAL`); other systems leave anything there.

use super::frame::Addresses;
use super::packet::Tcp;

/// What the checksum of a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The bytes are those that were sent.
    Right,
    /// Nothing: it is not filled in, or not all of the packet was captured.
    Open,
    /// The bytes are others, or the checksum was never computed.
    Wrong,
}

/// Judges a segment.
pub(super) fn judge(addresses: &Addresses, tcp: &Tcp<'_>) -> Checksum {
    let header = tcp.header.slice();
    let is_whole = u32::try_from(tcp.payload.len()).is_ok_and(|len| len == tcp.wire_len);
    let len = header.len() + tcp.payload.len();
    let Some(len) = u32::try_from(len).ok().filter(|_| is_whole) else {
        return Checksum::Open;
    };
    let pseudo = add(&addresses.source, 0);
    let pseudo = add(&addresses.destination, pseudo);
    // IPv4 is mapped into IPv6: the prefix is no part of it.
    let mapped = [addresses.source, addresses.destination].map(|address| {
        let prefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        u64::from(address.starts_with(&prefix)) * 0xffff
    });
    let pseudo = pseudo - mapped.iter().sum::<u64>() + u64::from(len) + 6;
    let field = tcp.header.checksum();
    match fold(add(tcp.payload, add(header, pseudo))) {
        0xffff => Checksum::Right,
        _ if field == fold(pseudo) => Checksum::Open,
        _ => Checksum::Wrong,
    }
}

/// Adds 16-bit words in network order; an odd last byte is the upper half of one. Any packet is far
/// too short for the sum to overflow.
fn add(bytes: &[u8], sum: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)));
    let last = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    words.fold(sum + last, |sum, word| sum + word)
}

/// The one's complement sum in 16 bits (RFC 1071).
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use etherparse::{TcpHeader, TcpHeaderSlice};

    use super::*;

    /// A segment of IPv4 and of IPv6 whose checksum is changed by `change`, which gets the sum of
    /// the pseudo header.
    fn check(payload: &[u8], change: impl Fn(u16, u16) -> u16, expected: Checksum) {
        let v6 = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let v4 = |last| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
        for is_v6 in [false, true] {
            let mut header = TcpHeader::new(40_000, 80, 1000, 512);
            let (right, source) = match is_v6 {
                true => (
                    header.calc_checksum_ipv6_raw(v6(1), v6(2), payload),
                    0xfd00 * 2,
                ),
                false => (
                    header.calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], payload),
                    0x0a00 * 2,
                ),
            };
            let len = u64::try_from(20 + payload.len()).unwrap();
            let pseudo = fold(source + 1 + 2 + 6 + len);
            header.checksum = change(right.unwrap(), pseudo);
            let bytes = header.to_bytes();
            let tcp = Tcp {
                header: TcpHeaderSlice::from_slice(&bytes).unwrap(),
                payload,
                wire_len: u32::try_from(payload.len()).unwrap(),
            };
            let address = |last| if is_v6 { v6(last) } else { v4(last) };
            let addresses = Addresses {
                source: address(1),
                destination: address(2),
            };
            assert_eq!(judge(&addresses, &tcp), expected, "{payload:?} {is_v6}");
            let cut = Tcp {
                wire_len: tcp.wire_len + 1,
                ..tcp
            };
            assert_eq!(judge(&addresses, &cut), Checksum::Open);
        }
    }

    #[test]
    fn right_wrong_and_not_filled_in() {
        for payload in [&b""[..], b"odd", b"even", &[0xff; 1000]] {
            check(payload, |right, _| right, Checksum::Right);
            check(payload, |right, _| right ^ 0x100, Checksum::Wrong);
            check(payload, |_, pseudo| pseudo, Checksum::Open);
        }
    }
}
