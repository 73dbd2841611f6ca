//! The socket: who it is, its two ends, and where it stands in each direction.

use core::mem::offset_of;

use aya_ebpf::bindings::{__sk_buff, bpf_sock, bpf_sock_addr, bpf_tcp_sock};
use aya_ebpf::helpers::{bpf_sk_fullsock, bpf_tcp_sock};

use super::IPPROTO_TCP;
use super::packet::{Packet, TCP_SYN, words};
use crate::maps::Ends;

pub(super) const AF_INET: u32 = 2;
pub(super) const AF_INET6: u32 = 10;
const TCP_SYN_SENT: u32 = 2;
const TCP_FIN_WAIT1: u32 = 4;
const TCP_FIN_WAIT2: u32 = 5;
const TCP_LAST_ACK: u32 = 9;
const TCP_LISTEN: u32 = 10;
const TCP_CLOSING: u32 = 11;

/// `::ffff:0:0/96`, the third word in network order (RFC 4291 §2.5.5.2).
const V4_MAPPED: u32 = 0xffff_u32.to_be();

/// A full socket (not a request or time-wait one).
#[derive(Clone, Copy)]
pub(crate) struct Socket(*mut bpf_sock);

/// Where the socket stood before this segment (`struct tcp_sock`).
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    /// `rcv_nxt`: all before it was received in order. Lags behind while segments wait in the
    /// socket's backlog: a lower bound.
    pub(crate) received: u32,
    pub(crate) bytes_received: u64,
    /// `snd_nxt`. Moves after a segment has passed the hook.
    pub(crate) sent: u32,
    /// `snd_una`.
    pub(crate) unacknowledged: u32,
    pub(crate) bytes_acked: u64,
    /// `data_segs_out`. Moves before a segment passes the hook.
    sent_segments: u32,
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
    pub(crate) fn as_ptr(self) -> *mut bpf_sock {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_listener(self) -> bool {
        // SAFETY: checked when made.
        unsafe { field!(self.0, bpf_sock, state, u32) == TCP_LISTEN }
    }

    /// It waits for the SYN-ACK.
    #[inline(always)]
    pub(crate) fn is_connecting(self) -> bool {
        // SAFETY: checked when made.
        unsafe { field!(self.0, bpf_sock, state, u32) == TCP_SYN_SENT }
    }

    /// It has sent a FIN, or is about to.
    #[inline(always)]
    pub(crate) fn is_closing(self) -> bool {
        const STATES: u32 =
            1 << TCP_FIN_WAIT1 | 1 << TCP_FIN_WAIT2 | 1 << TCP_LAST_ACK | 1 << TCP_CLOSING;
        // SAFETY: checked when made.
        let state = unsafe { field!(self.0, bpf_sock, state, u32) };
        STATES >> (state & 31) & 1 != 0
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
        // SAFETY: checked when made. `dst_port` is in network order; two bytes at its offset are
        // right both where it is a 16-bit field (Linux 5.18) and where it was a 32-bit one.
        u16::from_be(unsafe { field!(self.0, bpf_sock, dst_port, u16) })
    }

    /// Both ends, as the socket has them: packet addresses differ where there is NAT inside
    /// the pod.
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

    /// Both ends of a connection that the listener is about to make: those of the packet, which
    /// the new socket takes over.
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

    /// Where the socket stands.
    ///
    /// `rcv_nxt` is read before `bytes_received`, which the kernel raises first
    /// (`tcp_rcv_nxt_update`), so a zero of the second vouches for the first.
    #[inline(always)]
    pub(crate) fn numbers(self) -> Option<Numbers> {
        // SAFETY: `self.0` was checked when made; the result is checked here.
        unsafe {
            let tcp: *mut bpf_tcp_sock = bpf_tcp_sock(self.0);
            if tcp.is_null() {
                return None;
            }
            Some(Numbers {
                received: field!(tcp, bpf_tcp_sock, rcv_nxt, u32),
                bytes_received: field!(tcp, bpf_tcp_sock, bytes_received, u64),
                sent: field!(tcp, bpf_tcp_sock, snd_nxt, u32),
                unacknowledged: field!(tcp, bpf_tcp_sock, snd_una, u32),
                bytes_acked: field!(tcp, bpf_tcp_sock, bytes_acked, u64),
                sent_segments: field!(tcp, bpf_tcp_sock, data_segs_out, u32),
            })
        }
    }
}

impl Numbers {
    /// Is the segment that is about to leave the first one with payload?
    ///
    /// `snd_nxt` moves after the segment is sent (`tcp_event_new_data_sent`), `data_segs_out`
    /// before (`__tcp_transmit_skb`), so the first data is what makes all of `data_segs_out`.
    /// `bytes_acked` is 1 after an active open (the SYN), 0 after a passive one.
    #[inline(always)]
    pub(crate) fn is_first_sent(&self, skb: *mut __sk_buff, packet: &Packet) -> bool {
        // SAFETY: `skb` is the program's context.
        let segments = unsafe { field!(skb, __sk_buff, gso_segs, u32) };
        packet.flags & TCP_SYN != 0
            || (self.bytes_acked <= 1
                && self.sent_segments == segments
                && self.unacknowledged == packet.seq)
    }
}

#[inline(always)]
pub(super) const fn mapped(ipv4: u32) -> [u32; 4] {
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
