//! The packet: where its TCP header and its payload are, and their bytes.

use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;

use super::IPPROTO_TCP;
use crate::asm::opaque;

/// TCP header flags (RFC 9293 §3.1).
pub(crate) const TCP_FIN: u8 = 1;
pub(crate) const TCP_SYN: u8 = 1 << 1;
pub(crate) const TCP_RST: u8 = 1 << 2;
const TCP_PSH: u8 = 1 << 3;
pub(crate) const TCP_ACK: u8 = 1 << 4;
const TCP_URG: u8 = 1 << 5;

/// In words, without options.
const IPV4_HEADER: usize = 5;
const TCP_HEADER: usize = 5;
/// In bytes.
const IPV6_HEADER: u32 = 40;

/// IPv6 extension headers, by IP protocol number.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// IPv6 extension headers followed before giving up: RFC 8200 §4.1 allows each kind about once, and
/// Linux takes any number.
const EXTENSIONS: usize = 12;

/// TCP options looked at in one header. With those that are common beside it (two no-operations,
/// timestamps), the one looked for is the fourth or the fifth.
const OPTIONS: usize = 12;

/// Payload bytes looked at to classify a connection: a method of 20 letters, a space, `http`.
pub(crate) const LOOK: usize = 32;

/// A TCP segment's place and numbers.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// Of the first payload byte: a SYN has been counted.
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) options_offset: u32,
    pub(crate) payload_offset: u32,
    pub(crate) payload_len: u32,
    /// `TCP_*`.
    pub(crate) flags: u8,
    pub(crate) source_port: u16,
    pub(crate) ipv6: bool,
}

impl Packet {
    /// Sequence number after the payload.
    #[inline(always)]
    pub(crate) const fn end(&self) -> u32 {
        self.seq.wrapping_add(self.payload_len)
    }

    /// Bytes of the stream that it carries: what a reset has is none of it (RFC 9293 §3.5.2).
    #[inline(always)]
    pub(crate) const fn stream_len(&self) -> u32 {
        if self.flags & TCP_RST != 0 {
            0
        } else {
            self.payload_len
        }
    }

    /// Ends its direction, or the connection.
    #[inline(always)]
    pub(crate) const fn is_end(&self) -> bool {
        self.flags & (TCP_FIN | TCP_RST) != 0
    }

    /// Says that a byte is urgent.
    #[inline(always)]
    pub(crate) const fn is_urgent(&self) -> bool {
        self.flags & TCP_URG != 0
    }

    /// Ends what its sender had to say for now: TCP sets the flag on the last segment of a write
    /// (RFC 9293 §3.9.1.2).
    #[inline(always)]
    pub(crate) const fn is_push(&self) -> bool {
        self.flags & TCP_PSH != 0
    }
}

/// Why a packet is not looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Not TCP, or too short for it.
    Other,
    /// TCP, but its header was not found within bounds.
    Headers,
}

/// Bytes from the network header on. With segmentation offload this is the whole super-packet,
/// whatever its IP header says (which is 0 past 64 KiB, RFC 2675 and Linux BIG TCP).
#[inline(always)]
fn skb_len(skb: *mut __sk_buff) -> u32 {
    // SAFETY: `skb` is the program's context.
    unsafe { field!(skb, __sk_buff, len, u32) }
}

/// Finds the TCP header and the payload. The packet starts at its network header.
#[inline(always)]
pub(crate) fn packet(skb: *mut __sk_buff) -> Result<Packet, Rejected> {
    let Some(ip) = words::<IPV4_HEADER>(skb, 0) else {
        return Err(Rejected::Other);
    };
    let version = byte(ip[0], 0) >> 4;
    let offset = match version {
        4 => {
            if byte(ip[2], 1) != IPPROTO_TCP {
                return Err(Rejected::Other);
            }
            // The hook sits after reassembly (ingress) and before fragmentation (egress): a
            // fragment here is not whole.
            if u32::from_be(ip[1]) & 0x3fff != 0 {
                return Err(Rejected::Headers);
            }
            u32::from(byte(ip[0], 0) & 0xf) * 4
        }
        6 => after_extensions(skb, byte(ip[1], 2))?,
        _ => return Err(Rejected::Other),
    };
    let Some(tcp) = words::<TCP_HEADER>(skb, offset) else {
        return Err(Rejected::Headers);
    };
    let payload_offset = offset + u32::from(byte(tcp[3], 0) >> 4) * 4;
    let flags = byte(tcp[3], 1);
    Ok(Packet {
        seq: u32::from_be(tcp[1]).wrapping_add(u32::from(flags & TCP_SYN != 0)),
        ack: u32::from_be(tcp[2]),
        options_offset: offset + TCP_HEADER as u32 * 4,
        payload_offset,
        payload_len: skb_len(skb).saturating_sub(payload_offset),
        flags,
        source_port: u16::from_be(tcp[0] as u16),
        ipv6: version == 6,
    })
}

/// Offset of the TCP header behind IPv6 extension headers (RFC 8200 §4).
#[inline(always)]
fn after_extensions(skb: *mut __sk_buff, first: u8) -> Result<u32, Rejected> {
    let mut next = first;
    let mut offset = IPV6_HEADER;
    for _ in 0..=EXTENSIONS {
        match next {
            IPPROTO_TCP => return Ok(offset),
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let Some([extension, _]) = words::<2>(skb, offset) else {
                    return Err(Rejected::Headers);
                };
                next = byte(extension, 0);
                // In units of 8 bytes, less the first.
                offset += (u32::from(byte(extension, 1)) + 1) * 8;
            }
            FRAGMENT => {
                let Some([extension, _]) = words::<2>(skb, offset) else {
                    return Err(Rejected::Headers);
                };
                // The hook sits after reassembly: only a fragment that is the whole packet has its
                // header still (RFC 6946).
                if u32::from_be(extension) & 0xfff9 != 0 {
                    return Err(Rejected::Headers);
                }
                next = byte(extension, 0);
                offset += 8;
            }
            AUTHENTICATION => return Err(Rejected::Headers),
            _ => return Err(Rejected::Other),
        }
    }
    Err(Rejected::Headers)
}

/// `N` words of the packet, as they lie there.
#[inline(always)]
pub(super) fn words<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u32; N]> {
    let mut words = MaybeUninit::<[u32; N]>::uninit();
    // SAFETY: `words` is writable for its size; the kernel checks offset and length against the
    // packet, and fills all of it or fails.
    unsafe {
        let loaded =
            bpf_skb_load_bytes(skb.cast(), offset, words.as_mut_ptr().cast(), N as u32 * 4);
        if loaded != 0 {
            return None;
        }
        Some(words.assume_init())
    }
}

/// Sequence number of the urgent byte of a packet that has one. Linux has the pointer name the byte
/// after it (`tcp_stdurg` 0).
#[inline(always)]
pub(crate) fn urgent(skb: *mut __sk_buff, packet: &Packet) -> Option<u32> {
    // Checksum and urgent pointer.
    let [last] = words::<1>(skb, packet.options_offset.wrapping_sub(4))?;
    let pointer = u32::from_be(last) & 0xffff;
    Some(packet.seq.wrapping_add(pointer.saturating_sub(1)))
}

/// Has the TCP header an option of this kind (RFC 9293 §3.1)?
#[inline(always)]
pub(crate) fn has_option(skb: *mut __sk_buff, packet: &Packet, wanted: u8) -> bool {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    let mut at = packet.options_offset;
    for _ in 0..OPTIONS {
        if at >= packet.payload_offset {
            return false;
        }
        // An option that is looked for has four bytes at least, so nothing is missed at the end.
        let Some([word]) = words::<1>(skb, at) else {
            return false;
        };
        let kind = byte(word, 0);
        if kind == wanted {
            return true;
        }
        let length = u32::from(byte(word, 1));
        at += match kind {
            END => return false,
            NO_OPERATION => 1,
            _ if length < 2 => return false,
            _ => length,
        };
    }
    false
}

/// A byte of a word that was read as it lies in memory.
#[inline(always)]
const fn byte(word: u32, index: usize) -> u8 {
    word.to_ne_bytes()[index]
}

/// Payload bytes at the start of a stream, zeroes after them, and how many there are.
pub(crate) struct Head {
    bytes: [u64; LOOK / 8],
    pub(crate) len: u32,
}

impl Head {
    /// The first `len` bytes from `offset`, or the first [`LOOK`].
    #[inline(always)]
    pub(crate) fn load(skb: *mut __sk_buff, offset: u32, len: u32) -> Option<Self> {
        // Less one: see `emit::write`.
        let last = opaque(if len > LOOK as u32 { LOOK as u32 } else { len }.wrapping_sub(1));
        if last >= LOOK as u32 {
            return None;
        }
        let mut head = Self {
            bytes: [0; LOOK / 8],
            len: last + 1,
        };
        // SAFETY: `head.len` is 1 to 32, and `bytes` has 32.
        let failed = unsafe {
            bpf_skb_load_bytes(skb.cast(), offset, head.bytes.as_mut_ptr().cast(), last + 1)
        };
        (failed == 0).then_some(head)
    }

    /// All of it.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; LOOK / 8] {
        self.bytes
    }

    /// Eight bytes from `AT` on, the first one lowest; zeroes past the end.
    #[inline(always)]
    pub(crate) fn eight<const AT: usize>(&self) -> u64 {
        let word = |at: usize| match at < LOOK / 8 {
            true => u64::from_le(self.bytes[at]),
            false => 0,
        };
        match AT % 8 {
            0 => word(AT / 8),
            shift => (word(AT / 8) >> (8 * shift)) | (word(AT / 8 + 1) << (64 - 8 * shift)),
        }
    }

    /// The byte at `index`; zero past the end.
    #[inline(always)]
    pub(crate) fn byte(&self, index: usize) -> u8 {
        if index >= LOOK {
            return 0;
        }
        // SAFETY: within `bytes`.
        unsafe { *self.bytes.as_ptr().cast::<u8>().add(index) }
    }
}

/// Copies payload to `to`, which the verifier knows to have room for `len` bytes.
///
/// # Safety
/// `to` is valid for writes of `len` bytes; `len` is not zero.
#[inline(always)]
pub(crate) unsafe fn payload(skb: *mut __sk_buff, offset: u32, to: *mut u8, len: u32) -> bool {
    // SAFETY: the caller's.
    unsafe { bpf_skb_load_bytes(skb.cast(), offset, to.cast(), len) == 0 }
}
