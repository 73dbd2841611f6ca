//! Which network a packet belongs to, as far as its tags and tunnels say: in two of them, two
//! connections may have the same addresses and ports.

use super::{Bytes, Layer};

/// UDP (RFC 768), and its header.
const UDP: u8 = 17;
const UDP_LEN: usize = 8;

/// The network of what is inside of this layer, if it names one in `outer`. Two that are not the
/// same may have one number, seldom: they are then read as one.
pub(super) fn within(outer: u32, layer: Layer, bytes: &Bytes<'_>) -> u32 {
    match named(layer, bytes) {
        // An odd factor loses nothing; zero is no network.
        Some(id) => (outer.rotate_left(5) ^ (id + 1))
            .wrapping_mul(0x9e37_79b1)
            .max(1),
        None => outer,
    }
}

/// The identifier, of at most 24 bits.
fn named(layer: Layer, bytes: &Bytes<'_>) -> Option<u32> {
    match layer {
        // 802.1Q and its kin: the priority is none of it.
        Layer::EtherType(0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300) => {
            bytes.peek16(0).map(|tag| u32::from(tag & 0x0fff))
        }
        // 802.1ah.
        Layer::EtherType(0x88e7) => upper(bytes, 1),
        Layer::Transport(UDP, _) => match bytes.peek16(2)? {
            // VXLAN, Geneve: see the tunnels.
            4789 | 4790 | 8472 | 6081 => upper(bytes, UDP_LEN + 4),
            _ => None,
        },
        Layer::Gre => gre_key(bytes),
        _ => None,
    }
}

/// Three bytes at `at`.
fn upper(bytes: &Bytes<'_>, at: usize) -> Option<u32> {
    let [a, b, c] = bytes.peek(at)?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// NVGRE (RFC 7637 §3.2): the key of GRE is a network, and a flow within it.
fn gre_key(bytes: &Bytes<'_>) -> Option<u32> {
    const KEY_ALONE: u16 = 0x2000;
    const BRIDGED: u16 = 0x6558;
    let is_nvgre = bytes.peek16(0)? == KEY_ALONE && bytes.peek16(2)? == BRIDGED;
    is_nvgre.then(|| upper(bytes, 4)).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::Addresses;
    use super::*;

    /// The networks of two headers of one kind are the same, or not.
    fn check(layer: Layer, a: &[u8], b: &[u8], same: bool) {
        let [a, b] = [a, b].map(|data| within(0, layer, &Bytes::new(data, data.len())));
        assert_eq!(a == b, same, "{layer:?} {a} {b}");
        assert!(same || a != 0 && b != 0);
    }

    #[test]
    fn what_names_a_network() {
        let vlan = Layer::EtherType(0x8100);
        check(vlan, b"\0\x01\x08\0", b"\0\x02\x08\0", false);
        check(vlan, b"\x20\x01\x08\0", b"\0\x01\x08\0", true);
        check(Layer::EtherType(0x0800), b"\0\x01", b"\0\x02", true);
        let addresses = Addresses {
            source: [0; 16],
            destination: [0; 16],
        };
        let udp = Layer::Transport(UDP, addresses);
        let datagram = |port: u16, network: u8| {
            let port = port.to_be_bytes();
            let head = [&[0xc0, network][..], &port, &[0, 16, 0, 0]].concat();
            [&head[..], &[8, 0, 0, 0, 0, 0, network, 0]].concat()
        };
        for (port, same) in [(4789, false), (8472, false), (6081, false), (2152, true)] {
            check(udp, &datagram(port, 5), &datagram(port, 6), same);
            check(udp, &datagram(port, 5), &datagram(port, 5), true);
        }
        let nvgre = |network| [0x20, 0, 0x65, 0x58, 0, 0, network, 9];
        check(Layer::Gre, &nvgre(5), &nvgre(6), false);
        check(
            Layer::Gre,
            b"\0\0\x08\0\0\0\x05\0",
            b"\0\0\x08\0\0\0\x06\0",
            true,
        );
        check(vlan, b"\0", b"", true);
    }

    #[test]
    fn one_within_another() {
        let tag = |outer, number: u8| {
            let data = [0, number];
            within(outer, Layer::EtherType(0x8100), &Bytes::new(&data, 2))
        };
        assert_ne!(tag(tag(0, 1), 2), tag(tag(0, 2), 1));
        assert_ne!(tag(tag(0, 1), 2), tag(0, 2));
    }
}
