//! Every read of kernel memory: the packet's headers and payload, the socket's identity and
//! positions.
//!
//! The verifier accepts a field of `struct __sk_buff`, `struct bpf_sock` or `struct bpf_tcp_sock`
//! only at its own width and at a constant offset. The compiler would merge neighbours into wider
//! loads, and the same load of two branches into one at a computed offset, so each is an
//! instruction of its own (`field`).

/// One load instruction: the field of a kernel object that the verifier knows. In the order
/// written, never merged.
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

mod operation;
mod packet;
mod socket;

pub(crate) use operation::{Operation, Progress};
pub(crate) use packet::{
    Head, LOOK, Packet, Rejected, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, has_option, packet, payload,
    urgent,
};
pub(crate) use socket::{Numbers, Socket, connects_tcp, is_tcp, socket};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_cgroup_id};

const IPPROTO_TCP: u8 = 6;

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
