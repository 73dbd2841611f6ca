//! What a reset means: it ends a connection when TCP would let it (RFC 9293 §3.10.7.4).

use super::{Assembler, distance};
use crate::capture::Segment;
use crate::flow::{Direction, Nanos};

/// How far from the socket's position a reset is believed: the hook runs before TCP looks at it.
const WINDOW: i32 = 16 * 1024 * 1024;

/// A reset that overtook bytes of its direction: they are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    direction: Direction,
    seq: u32,
    /// When it came.
    pub(super) time: Nanos,
}

/// What becomes of a connection at a reset.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// Nothing: TCP would not take it.
    Ignored,
    /// It ends when the bytes before the reset are there, or were waited for.
    Waits(Reset),
    /// It has ended.
    Over,
}

/// Judges a reset in the direction that `own` puts in order.
pub(super) fn judge(own: &Assembler, segment: &Segment<'_>) -> Verdict {
    let window = |from: u32| (0..WINDOW).contains(&distance(from, segment.seq));
    let plausible = window(segment.expected) && own.position().is_none_or(window);
    if segment.direction == Direction::Ingress && !plausible {
        return Verdict::Ignored;
    }
    match has_reached(own, segment.seq) {
        true => Verdict::Over,
        false => Verdict::Waits(Reset {
            direction: segment.direction,
            seq: segment.seq,
            time: segment.time,
        }),
    }
}

impl Reset {
    /// All bytes before it are there; `own` is the direction with this name.
    pub(super) fn is_reached(self, direction: Direction, own: &Assembler) -> bool {
        self.direction == direction && has_reached(own, self.seq)
    }
}

/// All bytes of a direction before `seq` are there, or none is known of.
fn has_reached(stream: &Assembler, seq: u32) -> bool {
    stream
        .position()
        .is_none_or(|position| distance(position, seq) <= 0)
}
