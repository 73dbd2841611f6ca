//! Every read of kernel memory: the packet's headers and payload, the socket's identity and positions.
//!
//! The verifier accepts a field of `struct __sk_buff`, `struct bpf_sock` or `struct bpf_tcp_sock` only at its own width and at a constant offset.
//! The compiler would merge neighbours into wider loads, and the same load of two branches into one at a computed offset, so each is an
//! instruction of its own ([`field`]).

use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::bindings::{__sk_buff, bpf_sock, bpf_sock_addr, bpf_tcp_sock};
use aya_ebpf::helpers::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_fullsock, bpf_skb_cgroup_id,
    bpf_skb_load_bytes, bpf_tcp_sock,
};
use meshtap_common::DIRECTION_INGRESS;

use crate::maps::Ends;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u32 = 10;

/// TCP header flags (RFC 9293 §3.1).
pub(crate) const TCP_FIN: u8 = 1;
pub(crate) const TCP_SYN: u8 = 1 << 1;
pub(crate) const TCP_RST: u8 = 1 << 2;

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

/// IPv6 extension headers followed before giving up: RFC 8200 §4.1 allows each kind about once.
const EXTENSIONS: usize = 6;

/// Payload bytes looked at to classify a connection: a method of 20 letters, a space, `http`.
pub(crate) const LOOK: usize = 32;

/// `::ffff:0:0/96`, the third word in network order (RFC 4291 §2.5.5.2).
const V4_MAPPED: u32 = 0xffff_u32.to_be();

/// A TCP segment's place and numbers.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// Of the first payload byte: a SYN has been counted.
    pub(crate) seq: u32,
    pub(crate) ack: u32,
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

    /// Ends its direction, or the connection.
    #[inline(always)]
    pub(crate) const fn is_end(&self) -> bool {
        self.flags & (TCP_FIN | TCP_RST) != 0
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

/// A full socket (not a request or time-wait one).
#[derive(Clone, Copy)]
pub(crate) struct Socket(*mut bpf_sock);

/// Where the socket stood in one direction before this segment.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// `rcv_nxt` or `snd_nxt`.
    pub(crate) expected: u32,
    /// `expected` is the first byte of this direction.
    pub(crate) start: bool,
}

/// One load instruction: the field of a kernel object that the verifier knows. In the order written, never merged.
macro_rules! field {
    ($object:expr, $type:ty, $field:ident $(+ $more:literal)?, u64) => {
        field!(@ $object, offset_of!($type, $field) $(+ $more)?, "u64", u64)
    };
    ($object:expr, $type:ty, $field:ident $(+ $more:literal)?, u32) => {
        field!(@ $object, offset_of!($type, $field) $(+ $more)?, "u32", u32)
    };
    ($object:expr, $type:ty, $field:ident $(+ $more:literal)?, u16) => {
        field!(@ $object, offset_of!($type, $field) $(+ $more)?, "u16", u16)
    };
    (@ $object:expr, $offset:expr, $width:literal, $int:ty) => {{
        #[cfg(target_arch = "bpf")]
        let value = {
            let value: u64;
            core::arch::asm!(
                concat!("{value} = *(", $width, " *)({object} + {offset})"),
                value = lateout(reg) value,
                object = in(reg) $object,
                offset = const $offset,
                options(readonly, nostack, preserves_flags),
            );
            value as $int
        };
        // Never run: the host build is for lints only.
        #[cfg(not(target_arch = "bpf"))]
        let value = $object.byte_add($offset).cast::<$int>().read();
        value
    }};
}

/// Bytes from the network header on. With segmentation offload this is the whole super-packet, whatever its IP header says (which is 0
/// past 64 KiB, RFC 2675 and Linux BIG TCP).
#[inline(always)]
fn skb_len(skb: *mut __sk_buff) -> u32 {
    // SAFETY: `skb` is the program's context.
    unsafe { field!(skb, __sk_buff, len, u32) }
}

#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
pub(crate) fn cookie(skb: *mut __sk_buff) -> u64 {
    // SAFETY: `skb` is the program's context.
    unsafe { bpf_get_socket_cookie(skb.cast()) }
}

#[inline(always)]
pub(crate) fn cgroup(skb: *mut __sk_buff) -> u64 {
    // SAFETY: `skb` is the program's context.
    unsafe { bpf_skb_cgroup_id(skb) }
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
            // The hook sits after reassembly (ingress) and before fragmentation (egress): a fragment here is not whole.
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
            FRAGMENT | AUTHENTICATION => return Err(Rejected::Headers),
            _ => return Err(Rejected::Other),
        }
    }
    Err(Rejected::Headers)
}

/// `N` words of the packet, as they lie there.
#[inline(always)]
fn words<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u32; N]> {
    let mut words = MaybeUninit::<[u32; N]>::uninit();
    // SAFETY: `words` is writable for its size; the kernel checks offset and length against the packet, and fills all of it or fails.
    unsafe {
        let loaded =
            bpf_skb_load_bytes(skb.cast(), offset, words.as_mut_ptr().cast(), N as u32 * 4);
        if loaded != 0 {
            return None;
        }
        Some(words.assume_init())
    }
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

/// Hides from the compiler where a value comes from, so that it keeps the comparisons that the verifier needs to see.
#[inline(always)]
pub(crate) fn opaque(value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    let value = {
        let mut value = value;
        // SAFETY: copies the register onto itself.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
        }
        value
    };
    value
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

/// The packet's socket, when it is a full one and speaks TCP.
#[inline(always)]
pub(crate) fn socket(skb: *mut __sk_buff) -> Option<Socket> {
    // SAFETY: `skb` is the program's context; both pointers are checked before use.
    unsafe {
        let sk = (*skb).__bindgen_anon_2.sk;
        if sk.is_null() {
            return None;
        }
        let sk = bpf_sk_fullsock(sk);
        if sk.is_null() || field!(sk, bpf_sock, protocol, u32) != u32::from(IPPROTO_TCP) {
            return None;
        }
        Some(Socket(sk))
    }
}

impl Socket {
    #[inline(always)]
    pub(crate) fn is_listener(self) -> bool {
        // SAFETY: checked when made.
        unsafe { field!(self.0, bpf_sock, state, u32) == TCP_LISTEN }
    }

    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        // SAFETY: checked when made.
        unsafe { field!(self.0, bpf_sock, mark, u32) }
    }

    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        // SAFETY: checked when made. `src_port` is a u32 in host order.
        unsafe { field!(self.0, bpf_sock, src_port, u32) as u16 }
    }

    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        // SAFETY: checked when made. `dst_port` is in network order; two bytes at its offset are right both where it is a 16-bit field
        // (Linux 5.18) and where it was a 32-bit one.
        u16::from_be(unsafe { field!(self.0, bpf_sock, dst_port, u16) })
    }

    /// Both ends, by the socket's own account: packet addresses differ where there is NAT inside the pod.
    #[inline(always)]
    pub(crate) fn ends(self) -> Option<Ends> {
        let sk = self.0;
        // SAFETY: checked when made.
        let (local_addr, remote_addr) = unsafe {
            match field!(sk, bpf_sock, family, u32) {
                AF_INET => (
                    mapped(field!(sk, bpf_sock, src_ip4, u32)),
                    mapped(field!(sk, bpf_sock, dst_ip4, u32)),
                ),
                AF_INET6 => (
                    [
                        field!(sk, bpf_sock, src_ip6, u32),
                        field!(sk, bpf_sock, src_ip6 + 4, u32),
                        field!(sk, bpf_sock, src_ip6 + 8, u32),
                        field!(sk, bpf_sock, src_ip6 + 12, u32),
                    ],
                    [
                        field!(sk, bpf_sock, dst_ip6, u32),
                        field!(sk, bpf_sock, dst_ip6 + 4, u32),
                        field!(sk, bpf_sock, dst_ip6 + 8, u32),
                        field!(sk, bpf_sock, dst_ip6 + 12, u32),
                    ],
                ),
                _ => return None,
            }
        };
        Some(Ends {
            local_addr,
            remote_addr,
            local_port: self.local_port(),
            remote_port: self.remote_port(),
        })
    }

    /// Both ends of a connection that the listener is about to make: those of the packet, which the new socket takes over.
    #[inline(always)]
    pub(crate) fn accepted_ends(self, skb: *mut __sk_buff, packet: &Packet) -> Option<Ends> {
        let (remote_addr, local_addr) = if packet.ipv6 {
            let [a, b, c, d, e, f, g, h] = words::<8>(skb, 8)?;
            ([a, b, c, d], [e, f, g, h])
        } else {
            let [source, destination] = words::<2>(skb, 12)?;
            (mapped(source), mapped(destination))
        };
        Some(Ends {
            local_addr,
            remote_addr,
            local_port: self.local_port(),
            remote_port: packet.source_port,
        })
    }

    /// Where the socket stands in `DIRECTION`.
    ///
    /// Ingress: `rcv_nxt` is read before `bytes_received`, which the kernel raises first (`tcp_rcv_nxt_update`), so a zero of the second
    /// vouches for the first. While a user holds the socket, segments wait in its backlog and both lag behind: a lower bound.
    ///
    /// Egress: `snd_nxt` moves after the segment is sent (`tcp_event_new_data_sent`), `data_segs_out` before (`__tcp_transmit_skb`), so the
    /// first data is what makes all of `data_segs_out`. `bytes_acked` is 1 after an active open (the SYN), 0 after a passive one.
    #[inline(always)]
    pub(crate) fn position<const DIRECTION: u8>(
        self,
        skb: *mut __sk_buff,
        packet: &Packet,
    ) -> Option<Position> {
        // SAFETY: `self.0` was checked when made; the result is checked here.
        unsafe {
            let tcp: *mut bpf_tcp_sock = bpf_tcp_sock(self.0);
            if tcp.is_null() {
                return None;
            }
            if DIRECTION == DIRECTION_INGRESS {
                let expected = field!(tcp, bpf_tcp_sock, rcv_nxt, u32);
                let received = field!(tcp, bpf_tcp_sock, bytes_received, u64);
                return Some(Position {
                    expected,
                    start: received == 0,
                });
            }
            let expected = field!(tcp, bpf_tcp_sock, snd_nxt, u32);
            let unacked = field!(tcp, bpf_tcp_sock, snd_una, u32);
            let acked = field!(tcp, bpf_tcp_sock, bytes_acked, u64);
            let sent = field!(tcp, bpf_tcp_sock, data_segs_out, u32);
            let segments = field!(skb, __sk_buff, gso_segs, u32);
            let is_first = acked <= 1 && sent == segments && unacked == packet.seq;
            if is_first || packet.flags & TCP_SYN != 0 {
                return Some(Position {
                    expected: packet.seq,
                    start: true,
                });
            }
            Some(Position {
                expected,
                start: false,
            })
        }
    }
}

#[inline(always)]
const fn mapped(ipv4: u32) -> [u32; 4] {
    [0, 0, V4_MAPPED, ipv4]
}

/// Is this a `connect` of a TCP socket?
#[inline(always)]
pub(crate) fn connects_tcp(ctx: *mut bpf_sock_addr) -> bool {
    // SAFETY: `ctx` is the program's context.
    unsafe { field!(ctx, bpf_sock_addr, protocol, u32) == u32::from(IPPROTO_TCP) }
}

/// Is the socket of a socket program's context a TCP socket?
#[inline(always)]
pub(crate) fn is_tcp(ctx: *mut bpf_sock) -> bool {
    // SAFETY: `ctx` is the program's context.
    unsafe { field!(ctx, bpf_sock, protocol, u32) == u32::from(IPPROTO_TCP) }
}
