//! The capture window: which payload of a direction is copied.
//!
//! Each direction has a window of bytes (the budget) that begins anew at a quiescent point, when
//! the other direction has spoken: that is where a message begins. User space, which knows lengths,
//! asks for a resume offset ("nothing before this byte is needed"), or for more.
//!
//! The window is anchored at the socket's own position, never at the segment that happens to come
//! first: that one may have overtaken others.

use meshtap_common::{CaptureConfig, DIRECTION_INGRESS, distance};

use crate::flow::{DirectionState, FRAMES, GUESSED, UNLIMITED};
use crate::read::{Packet, Socket};
use crate::{frames, maps};

/// A window that is used up goes on for so many bytes while user space keeps up. Each command of
/// its begins a new one, so this is what may pass before one arrives: 5 ms of loopback's fastest. A
/// chunked body has no length that says where the next request begins.
const OVERRUN: u32 = 16 * 1024 * 1024;

/// Largest window: its overrun stays far from 2^31, where distances of sequence numbers end.
const LARGEST: u32 = 1 << 28;

/// The window of what is no more than a guess: the head of a message and the beginning of its body,
/// from which user space decides.
const GUESS: u32 = 64 * 1024;

/// What becomes of a segment's payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Copied.
    Payload,
    /// Copied, and the reader is woken: the window ends here.
    LastPayload,
    /// Not copied.
    Length,
}

/// Begins a window when the other direction has spoken since: it stands at `heard`. `anchor` is
/// where this direction stands.
#[inline(always)]
pub(crate) fn quiesce(state: &mut DirectionState, anchor: u32, heard: u32) {
    let is_quiescent = state.heard != heard;
    state.heard = heard;
    // A base ahead of the stream is where user space wants the next byte.
    if state.has_window == 0 || (is_quiescent && distance(state.base, anchor) >= 0) {
        state.has_window = 1;
        state.base = anchor;
    }
}

/// Whether the segment is within the window. `expected` is the socket's own position: a segment
/// ahead of it may be anybody's, and does not move the window.
#[inline(always)]
pub(crate) fn content(
    state: &mut DirectionState,
    rule: u8,
    config: &CaptureConfig,
    packet: &Packet,
    expected: u32,
) -> Content {
    let largest = if rule == GUESSED { GUESS } else { LARGEST };
    let budget = if config.budget < largest {
        config.budget
    } else {
        largest
    };
    let limit = budget + OVERRUN;
    let is_in_order = distance(expected, packet.seq) <= 0;
    let begin = distance(state.base, packet.seq);
    let end = distance(state.base, packet.end());
    if end <= 0 {
        return Content::Length;
    }
    if begin < budget.cast_signed() {
        if end < budget.cast_signed() || rule == UNLIMITED {
            return Content::Payload;
        }
        return Content::LastPayload;
    }
    if rule == UNLIMITED
        || (rule != GUESSED
            && begin < limit.cast_signed()
            && maps::pending() < u64::from(config.overrun_bytes))
    {
        if begin >= limit.cast_signed() && is_in_order {
            // The base follows, so that its distance never wraps.
            state.base = packet.seq.wrapping_sub(budget);
        }
        return Content::Payload;
    }
    // Used up until the next turn or request; as above.
    if is_in_order {
        state.base = packet.seq.wrapping_sub(limit);
    }
    Content::Length
}

/// Does what user space asked for since the direction last looked. False: the socket is to be left
/// alone.
#[inline(always)]
pub(crate) fn obey(
    (socket, packet): (Socket, &Packet),
    (cookie, direction): (u64, u8),
    state: &mut DirectionState,
    rule: &mut u8,
    generation: u32,
) -> bool {
    use meshtap_common::{COMMAND_FRAMES, COMMAND_IGNORE, COMMAND_UNLIMITED};

    let Some(command) = maps::command(cookie) else {
        return true;
    };
    // SAFETY: a map value, which the kernel keeps readable while the program runs; it may be
    // replaced at any time, so each word is read once, and the cookie last.
    let (flags, resume_offset, owner) = unsafe {
        let resume_offset =
            &raw const (*command).resume_offset[usize::from(direction != DIRECTION_INGRESS)];
        (
            (&raw const (*command).flags).read_volatile(),
            (
                (&raw const (*resume_offset).serial).read_volatile(),
                (&raw const (*resume_offset).seq).read_volatile(),
                (&raw const (*resume_offset).usual).read_volatile(),
            ),
            (&raw const (*command).cookie).read_volatile(),
        )
    };
    if owner != cookie {
        // Another socket's by now. The next packet looks again.
        state.generation = generation.wrapping_sub(1);
        return true;
    }
    if flags & COMMAND_IGNORE != 0 {
        return false;
    }
    if flags & COMMAND_UNLIMITED != 0 {
        *rule = UNLIMITED;
    } else if flags & COMMAND_FRAMES != 0 {
        *rule = FRAMES;
    }
    let (serial, seq, usual) = resume_offset;
    if serial != state.serial {
        state.serial = serial;
        if flags & COMMAND_FRAMES != 0 {
            if let Some(frames) = frames::of(socket, direction, true) {
                frames.suggest(seq, usual, packet);
            }
        } else if state.has_window != 0 && distance(state.base, seq) > 0 {
            state.base = seq;
        }
    }
    true
}
