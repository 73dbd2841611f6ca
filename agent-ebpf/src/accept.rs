//! What TCP will accept, as far as its numbers say.
//!
//! The hook runs before TCP validates a segment (RFC 9293 §3.10.7.4). What is let through here may
//! still be refused, for its checksum or its timestamp: user space sees the genuine segment come at
//! the same sequence number. The socket's receive window is not readable here.

use meshtap_common::distance;

use crate::flow::DirectionState;
use crate::read::{Numbers, Packet, Socket, TCP_ACK, TCP_RST, TCP_SYN};

/// Farthest that a segment may reach past the socket's position: TCP's largest window (RFC 7323
/// §2.3).
const WINDOW: i32 = 1 << 30;

/// May TCP accept this segment, which the socket has received? `egress` is what the socket has sent
/// as far as the hook has seen it.
#[inline(always)]
pub(crate) fn is_acceptable(
    socket: Socket,
    packet: &Packet,
    numbers: &Numbers,
    egress: &DirectionState,
) -> bool {
    if packet.flags & TCP_SYN != 0 || socket.is_connecting() {
        // What a connecting socket waits for: the SYN-ACK, from which it learns its numbers, or a
        // refusal.
        return socket.is_connecting() && packet.flags & (TCP_SYN | TCP_RST) != 0;
    }
    if distance(numbers.received, packet.end()) > WINDOW {
        return false;
    }
    if packet.flags & TCP_RST != 0 {
        return true;
    }
    packet.flags & TCP_ACK != 0
        && acknowledges(packet.ack, numbers, egress, socket)
        && (!packet.is_urgent() || is_recent(packet.ack, numbers))
}

/// An acknowledgement of nothing that the socket never sent. An old one may be of any age: not
/// every version of Linux looks at it where a segment is in order (`tcp_rcv_established`, the fast
/// path).
#[inline(always)]
fn acknowledges(ack: u32, numbers: &Numbers, egress: &DirectionState, socket: Socket) -> bool {
    match egress.sent() {
        // `snd_nxt` moves after a segment has left, so the acknowledgement may be here before.
        Some(next) if distance(numbers.sent, next) > 0 => distance(next, ack) <= 0,
        Some(_) => distance(numbers.sent, ack) <= 0,
        // A FIN, which counts as one, may have left unseen.
        None => distance(numbers.sent, ack) <= i32::from(socket.is_closing()),
    }
}

/// An acknowledgement that is not older than the connection. Linux looks at that of every urgent
/// segment, which never takes the fast path (`tcp_ack`), and nothing else proves that it took one
/// without payload.
#[inline(always)]
fn is_recent(ack: u32, numbers: &Numbers) -> bool {
    let age = distance(ack, numbers.unacknowledged);
    age <= 0 || (age <= WINDOW && u64::from(age.cast_unsigned()) <= numbers.bytes_acked)
}
