//! Multipath TCP (RFC 8684): a subflow is a TCP connection that carries parts of a stream. It is
//! recognised and left alone, since a part read as the whole would be wrong.
//!
//! What the peer sends proves nothing: an unknown option is ignored by TCP, so anybody could hide a
//! connection with it. The kernel says what a socket is (`bpf_skc_to_mptcp_sock`, Linux 5.19); on
//! older ones the options of the socket's own packets say it. A socket that asked for Multipath TCP
//! and fell back to TCP sends no such option.

use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_skc_to_mptcp_sock;
use meshtap_common::DIRECTION_EGRESS;

use crate::read::{Packet, Socket, has_option};

/// TCP option kind of Multipath TCP (RFC 8684 §3).
const MPTCP: u8 = 30;

/// The kernel has `bpf_skc_to_mptcp_sock`. Set at load: with zero the verifier does not look at the
/// call.
#[unsafe(no_mangle)]
static HAS_MPTCP_SOCK: Global<u8> = Global::new(0);

/// What a packet says of its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Plain TCP.
    Single,
    /// A subflow.
    Subflow,
    /// A subflow, by what the other end says.
    Claimed,
}

#[inline(always)]
pub(crate) fn path(
    skb: *mut aya_ebpf::bindings::__sk_buff,
    socket: Socket,
    packet: &Packet,
    direction: u8,
) -> Path {
    if !has_option(skb, packet, MPTCP) {
        return Path::Single;
    }
    if HAS_MPTCP_SOCK.load() != 0 {
        // SAFETY: a full socket, checked when made; the result is only compared.
        let subflow = unsafe { bpf_skc_to_mptcp_sock(socket.as_ptr().cast()) };
        return if subflow.is_null() {
            Path::Single
        } else {
            Path::Subflow
        };
    }
    if direction == DIRECTION_EGRESS {
        Path::Subflow
    } else {
        Path::Claimed
    }
}
