//! What is kept of a socket: in socket-local storage, so that it lives as long as the socket, and
//! no other socket can push it out (`BPF_MAP_TYPE_SK_STORAGE`).

use core::mem::offset_of;

use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::macros::btf_map;
use meshtap_common::{
    Classification, DIRECTION_INGRESS, FLAG_SKIPPED, FLOW_LEN, FLOW_REASON_OFFSET,
    FLOW_RULE_GUESSED, FLOW_RULE_OFFSET, FLOW_STATE_DORMANT, FLOW_STATE_FOLLOWED,
    FLOW_STATE_IGNORED, FLOW_STATE_NEW, FLOW_STATE_OFFSET, FLOW_STATE_PENDING,
    FLOW_STATE_SUSPECTED, FLOW_STATE_WAITING, distance,
};

use crate::maps;
use crate::read::{Packet, Socket};
use crate::storage::Storage;

/// By socket. What a listener has is copied to the sockets that it accepts: only the agent's own
/// listeners have any, and user space put it there.
#[btf_map]
static FLOWS: Storage<FlowState, { (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize }> = Storage::new();

/// `state`: nothing is known yet. Storage begins with zeroes.
pub(crate) const NEW: u8 = FLOW_STATE_NEW;
/// `state`: no message of HTTP has started yet where one may begin. Looked at after each change of
/// direction.
pub(crate) const WAITING: u8 = FLOW_STATE_WAITING;
/// `state`: so many changes of direction without a message that only one packet in
/// [`DORMANT_PACKETS`] is looked at.
pub(crate) const DORMANT: u8 = FLOW_STATE_DORMANT;
/// `state`: to be ignored for `reason` once TCP has taken the bytes up to `evidence`. A segment
/// that TCP refuses proves nothing.
pub(crate) const PENDING: u8 = FLOW_STATE_PENDING;
/// `state`: Multipath TCP by the options of a received packet; what the socket itself sends
/// decides.
pub(crate) const SUSPECTED: u8 = FLOW_STATE_SUSPECTED;
/// `state`: copied.
pub(crate) const FOLLOWED: u8 = FLOW_STATE_FOLLOWED;
/// `state`: left alone as long as it lives.
pub(crate) const IGNORED: u8 = FLOW_STATE_IGNORED;

/// `rule`: every byte is copied. With zero, what is in the capture window is.
pub(crate) const UNLIMITED: u8 = 1;
/// `rule`: what looks like HTTP was met where no message begins. Copied within a small window,
/// until it is followed, or dormant.
pub(crate) const GUESSED: u8 = FLOW_RULE_GUESSED;
/// `rule`: HTTP/2. Every byte is copied but DATA past the budget of its stream ([`crate::frames`]).
pub(crate) const FRAMES: u8 = 3;

/// `marks`: it was counted as [`Classification::Other`].
const COUNTED: u8 = 1;
/// `marks`: the first bytes that were received, and those that were sent, are not HTTP for certain.
const UNLIKE: [u8; 2] = [2, 4];

/// `marks`: the first bytes that were received are the preface of HTTP/2, if TCP takes them.
const PROSPECT: u8 = 8;

/// Changes of direction without a message after which a socket is dormant. HTTP/1 has a message at
/// every change.
const CHANGES: u8 = 16;
/// Packets with payload looked at after a change of direction: the first may be lost or overtaken.
const CHECKS: u8 = 8;
/// See [`DORMANT`].
const DORMANT_PACKETS: u32 = 1024;

/// The state of a socket.
///
/// A direction's part is written by its own program. What both write (`state`, `rule`, and what
/// counts changes of direction) only decides what is looked at: the programs on two CPUs at most
/// look once too often, or not often enough.
#[repr(C)]
pub(crate) struct FlowState {
    /// Zero until the socket was admitted.
    pub(crate) cookie: u64,
    pub(crate) state: u8,
    pub(crate) rule: u8,
    /// Direction of the last payload, plus one; 0 before any.
    last_direction: u8,
    /// Changes of direction while waiting.
    changes: u8,
    /// Packets that may still be looked at.
    checks: u8,
    /// [`COUNTED`], [`UNLIKE`].
    marks: u8,
    /// The socket's own packets have shown that it is not Multipath TCP.
    pub(crate) single_path: u8,
    /// Why it is [`PENDING`] or [`IGNORED`]: a [`Classification`]. User space reads it.
    reason: u8,
    /// Sequence number after the bytes that it is [`PENDING`] for.
    evidence: u32,
    /// Packets since it is dormant.
    packets: u32,
    pub(crate) ingress: DirectionState,
    pub(crate) egress: DirectionState,
}

/// One direction.
#[repr(C)]
pub(crate) struct DirectionState {
    /// Where the capture window begins: a sequence number. A base ahead of the stream skips to it.
    pub(crate) base: u32,
    /// Egress: see [`Self::sent`]. Ingress: where the direction stood when it began to speak last,
    /// while that is looked at.
    next: u32,
    /// Bytes not copied since the last record of this direction.
    pub(crate) skipped: u32,
    /// The other direction's position at the last payload of this one.
    pub(crate) heard: u32,
    /// Of the commands, when they were last looked at.
    pub(crate) generation: u32,
    /// Of the last resume offset that was obeyed.
    pub(crate) serial: u32,
    /// Non-zero once `base` and `heard` are set.
    pub(crate) has_window: u32,
    /// Egress: non-zero once `next` is set.
    has_next: u32,
}

const _: () = {
    assert!(size_of::<FlowState>() == FLOW_LEN);
    assert!(offset_of!(FlowState, state) == FLOW_STATE_OFFSET);
    assert!(offset_of!(FlowState, rule) == FLOW_RULE_OFFSET);
    assert!(offset_of!(FlowState, reason) == FLOW_REASON_OFFSET);
};

/// The flow of a socket, if it has one.
#[inline(always)]
pub(crate) fn get(socket: Socket) -> Option<&'static mut FlowState> {
    find(socket.as_ptr(), 0)
}

/// The flow of a socket, made when there is none. `None`: the kernel has no room for it.
#[inline(always)]
pub(crate) fn get_or_create(socket: Socket) -> Option<&'static mut FlowState> {
    match find(socket.as_ptr(), u64::from(BPF_SK_STORAGE_GET_F_CREATE)) {
        // Another program may have made the socket's first storage meanwhile, of this map or of
        // another one: that fails this attempt, and not the next.
        None => find(socket.as_ptr(), u64::from(BPF_SK_STORAGE_GET_F_CREATE)),
        flow => flow,
    }
}

/// Which hook gives the bytes of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// That of sockets.
    Socket,
    /// That of TLS, if any.
    Plaintext,
}

/// Which hook follows the socket that a program of type `cgroup/sock` runs for, if one may.
#[inline(always)]
pub(crate) fn followed(ctx: *mut bpf_sock) -> Option<Followed> {
    const TLS: u8 = Classification::Tls as u8;
    const REQUESTED: u8 = Classification::Requested as u8;
    let flow = find(ctx, 0)?;
    match (flow.state, flow.reason) {
        (FOLLOWED, _) => Some(Followed::Socket),
        (IGNORED, TLS | REQUESTED) => Some(Followed::Plaintext),
        _ => None,
    }
}

#[inline(always)]
fn find(sk: *mut bpf_sock, flags: u64) -> Option<&'static mut FlowState> {
    // SAFETY: the callers have `sk` from the kernel. Both programs write to the value at once; see
    // `FlowState`.
    unsafe { FLOWS.find(sk, flags).as_mut() }
}

impl FlowState {
    /// Nothing to do for this packet, whatever is in it.
    #[inline(always)]
    pub(crate) fn rests(&mut self) -> bool {
        match self.state {
            IGNORED => true,
            DORMANT => {
                self.packets = self.packets.wrapping_add(1);
                if !self.packets.is_multiple_of(DORMANT_PACKETS) {
                    return true;
                }
                self.state = WAITING;
                self.changes = CHANGES - 1;
                self.last_direction = 0;
                // Not kept up to date meanwhile.
                self.egress.has_next = 0;
                false
            }
            _ => false,
        }
    }

    /// Leaves the socket alone from now on.
    #[inline(always)]
    pub(crate) fn ignore(&mut self, reason: Classification) {
        self.state = IGNORED;
        self.reason = reason as u8;
        maps::count_classification(reason as u32);
    }

    /// Copies the socket's payload from now on.
    #[inline(always)]
    pub(crate) fn follow(&mut self) {
        if self.rule == GUESSED {
            self.rule = 0;
        }
        if self.state != FOLLOWED {
            self.state = FOLLOWED;
            maps::count_classification(Classification::Followed as u32);
        }
    }

    /// Leaves the socket alone once TCP has taken the received bytes before `evidence`.
    #[inline(always)]
    pub(crate) fn ignore_after(&mut self, reason: Classification, evidence: u32) {
        self.state = PENDING;
        self.reason = reason as u8;
        self.evidence = evidence;
    }

    /// The socket's position has become known: does TCP have what the socket is to be ignored for?
    #[inline(always)]
    pub(crate) fn settle(&mut self, received: u32) {
        if distance(self.evidence, received) >= 0 {
            self.state = IGNORED;
            maps::count_classification(u32::from(self.reason));
        }
    }

    /// Payload from `seq` on in `direction`, which stands at `expected`: no message begins with it,
    /// or it has not been looked at. May it be looked at?
    #[inline(always)]
    pub(crate) fn wait(&mut self, direction: u8, seq: u32, expected: u32) -> bool {
        self.state = WAITING;
        if self.last_direction != direction + 1 {
            self.last_direction = direction + 1;
            if direction == DIRECTION_INGRESS {
                self.ingress.next = expected;
            }
            self.changes = self.changes.saturating_add(1);
            self.checks = CHECKS;
            if self.changes > CHANGES {
                self.state = DORMANT;
                if self.rule == GUESSED {
                    self.rule = 0;
                }
                if self.marks & COUNTED == 0 {
                    self.marks |= COUNTED;
                    maps::count_classification(Classification::Other as u32);
                }
                return false;
            }
        }
        if self.checks == 0 {
            // A message begins there, however many packets of it have overtaken the first.
            return direction == DIRECTION_INGRESS && seq == self.ingress.next;
        }
        self.checks -= 1;
        true
    }

    /// Both directions were seen while it waited, and the packet at hand, from `seq` on, is what
    /// the other one was responded with first.
    #[inline(always)]
    pub(crate) fn is_quiescent(&self, direction: u8, seq: u32) -> bool {
        let is_first = if direction == DIRECTION_INGRESS {
            seq == self.ingress.next
        } else {
            self.checks == CHECKS - 1
        };
        self.changes > 1 && is_first
    }

    /// The packet at hand is the first of the connection that is looked at.
    #[inline(always)]
    pub(crate) fn is_first_look(&self) -> bool {
        self.changes == 1 && self.checks == CHECKS - 1
    }

    /// Gives user space a little of it, unless it has more already. True.
    #[inline(always)]
    pub(crate) fn guess(&mut self) -> bool {
        if self.rule == 0 {
            self.rule = GUESSED;
        }
        true
    }

    /// It is not dormant soon: user space will say what it is.
    #[inline(always)]
    pub(crate) fn keep_looking(&mut self) {
        if self.changes > 2 {
            self.changes = 2;
        }
    }

    #[inline(always)]
    pub(crate) fn is_guessed(&self) -> bool {
        self.rule == GUESSED
    }

    /// See [`PROSPECT`].
    #[inline(always)]
    pub(crate) fn set_prospect(&mut self, is_prospect: bool) {
        if is_prospect {
            self.marks |= PROSPECT;
        } else {
            self.marks &= !PROSPECT;
        }
    }

    #[inline(always)]
    pub(crate) fn is_prospect(&self) -> bool {
        self.marks & PROSPECT != 0
    }

    /// The first bytes in `direction` are not HTTP for certain.
    #[inline(always)]
    pub(crate) fn set_unlike(&mut self, direction: u8) {
        self.marks |= UNLIKE[usize::from(direction != DIRECTION_INGRESS)];
    }

    /// The first bytes in the direction opposite to `direction` are not HTTP for certain.
    #[inline(always)]
    pub(crate) fn is_other_unlike(&self, direction: u8) -> bool {
        self.marks & UNLIKE[usize::from(direction == DIRECTION_INGRESS)] != 0
    }

    /// The direction opposite to `direction` spoke first, and waits for it.
    #[inline(always)]
    pub(crate) fn is_second(&self, direction: u8) -> bool {
        self.last_direction == (direction ^ 1) + 1
    }

    #[inline(always)]
    pub(crate) fn direction(&mut self, direction: u8) -> &mut DirectionState {
        if direction == DIRECTION_INGRESS {
            &mut self.ingress
        } else {
            &mut self.egress
        }
    }
}

impl DirectionState {
    /// What a record says of what was skipped before it: `FLAG_SKIPPED`, or nothing.
    ///
    /// Where TCP misses bytes before this packet, those that were skipped may come before another
    /// one that is late: its record says it too.
    #[inline(always)]
    pub(crate) fn say_skipped(&mut self, packet: &Packet, expected: u32) -> u16 {
        if self.skipped == 0 {
            return 0;
        }
        // All ones for an early packet, else zero: no branch for the verifier.
        let is_early = distance(packet.seq, expected) >> (i32::BITS - 1);
        self.skipped &= is_early.cast_unsigned();
        FLAG_SKIPPED
    }

    /// Egress: the sequence number after the last payload byte that was seen.
    #[inline(always)]
    pub(crate) fn sent(&self) -> Option<u32> {
        if self.has_next == 0 {
            return None;
        }
        Some(self.next)
    }

    /// Egress: payload up to `end` is on its way.
    #[inline(always)]
    pub(crate) fn advance(&mut self, end: u32) {
        if self.has_next == 0 || distance(self.next, end) > 0 {
            self.next = end;
            self.has_next = 1;
        }
    }
}
