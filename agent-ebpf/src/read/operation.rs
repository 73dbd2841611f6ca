//! The context of `sock_ops`: what happens to a TCP socket.

use core::mem::offset_of;

use aya_ebpf::bindings::{bpf_sock, bpf_sock_ops};

use super::socket::{AF_INET, AF_INET6, mapped};
use crate::maps::Ends;

/// Something happens to a socket (`BPF_SOCK_OPS_*`).
#[derive(Clone, Copy)]
pub(crate) struct Operation(*mut bpf_sock_ops);

/// Bytes that a socket has sent and received, and those that were acknowledged. SYN and FIN count
/// as one each.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    /// `bytes_acked`
    pub(crate) acked: u64,
    /// `bytes_received`
    pub(crate) received: u64,
    /// Everything that was sent was acknowledged.
    pub(crate) is_settled: bool,
}

impl Operation {
    /// From a program's context.
    #[inline(always)]
    pub(crate) fn new(ops: *mut bpf_sock_ops) -> Self {
        Self(ops)
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut bpf_sock_ops {
        self.0
    }

    /// `BPF_SOCK_OPS_*`
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        // SAFETY: the program's context.
        unsafe { field!(self.0, bpf_sock_ops, op, u32) }
    }

    /// The state that the socket goes to, when that is what happens.
    #[inline(always)]
    pub(crate) fn next_state(self) -> u32 {
        // SAFETY: the program's context; the second of four arguments of 32 bits.
        unsafe { field!(self.0, bpf_sock_ops, __bindgen_anon_1 + 4, u32) }
    }

    /// What the programs of this cgroup are called for so far.
    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        // SAFETY: the program's context.
        unsafe { field!(self.0, bpf_sock_ops, bpf_sock_ops_cb_flags, u32) }
    }

    /// The socket, when it is a full one.
    #[inline(always)]
    pub(crate) fn socket(self) -> Option<*mut bpf_sock> {
        // SAFETY: the program's context.
        let sk = unsafe { (*self.0).__bindgen_anon_2.sk };
        if sk.is_null() {
            return None;
        }
        Some(sk)
    }

    #[inline(always)]
    pub(crate) fn progress(self) -> Progress {
        // SAFETY: the program's context.
        unsafe {
            Progress {
                acked: field!(self.0, bpf_sock_ops, bytes_acked, u64),
                received: field!(self.0, bpf_sock_ops, bytes_received, u64),
                is_settled: field!(self.0, bpf_sock_ops, snd_una, u32)
                    == field!(self.0, bpf_sock_ops, snd_nxt, u32),
            }
        }
    }

    /// Both ends, as the socket has them.
    #[inline(always)]
    pub(crate) fn ends(self) -> Option<Ends> {
        let ops = self.0;
        // SAFETY: the program's context. `local_port` is in host order, `remote_port` in network
        // order, in the half of 32 bits that network order has first.
        unsafe {
            let (local_addr, remote_addr) = match field!(ops, bpf_sock_ops, family, u32) {
                AF_INET => (
                    mapped(field!(ops, bpf_sock_ops, local_ip4, u32)),
                    mapped(field!(ops, bpf_sock_ops, remote_ip4, u32)),
                ),
                AF_INET6 => (
                    [
                        field!(ops, bpf_sock_ops, local_ip6, u32),
                        field!(ops, bpf_sock_ops, local_ip6 + 4, u32),
                        field!(ops, bpf_sock_ops, local_ip6 + 8, u32),
                        field!(ops, bpf_sock_ops, local_ip6 + 12, u32),
                    ],
                    [
                        field!(ops, bpf_sock_ops, remote_ip6, u32),
                        field!(ops, bpf_sock_ops, remote_ip6 + 4, u32),
                        field!(ops, bpf_sock_ops, remote_ip6 + 8, u32),
                        field!(ops, bpf_sock_ops, remote_ip6 + 12, u32),
                    ],
                ),
                _ => return None,
            };
            Some(Ends {
                local_addr,
                remote_addr,
                local_port: field!(ops, bpf_sock_ops, local_port, u32) as u16,
                remote_port: u32::from_be(field!(ops, bpf_sock_ops, remote_port, u32)) as u16,
            })
        }
    }
}
