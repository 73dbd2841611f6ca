//! What of a segment is written into the ring, and how that of HTTP/2 is decided.

use meshtap_common::{DIRECTION_EGRESS, DIRECTION_INGRESS, DropReason, FLAG_SKIPPED};

use crate::flow::{DirectionState, FRAMES, FlowState, UNLIMITED};
use crate::frames::{self, Inquiry, Range};
use crate::look;
use crate::maps::{self, Ends, Marks};
use crate::segment::{Position, Segment};

/// While bytes are skipped on purpose, user space hears of it this often, so that a gap is never
/// near 2^31 bytes; and at the end of each write, so that the end of a message is not waited for.
const REPORTED_EVERY: u32 = 256 * 1024;

/// What of a segment is written into the ring.
pub(crate) struct Record {
    pub(crate) cookie: u64,
    pub(crate) ends: Ends,
    pub(crate) expected: u32,
    /// `FLAG_*` beside those of the TCP header.
    pub(crate) flags: u16,
    pub(crate) content: Content,
    /// Pending bytes at which the reader is woken.
    pub(crate) wakeup_bytes: u32,
    /// With [`Content::Range`]: the headers. They are given back once they are written.
    pub(crate) marks: Option<&'static Marks>,
    pub(crate) range: Range,
    /// With [`Content::Payload`].
    pub(crate) inquiry: Inquiry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The payload.
    Payload,
    /// That there is payload.
    Length,
    /// A range of the payload, and the headers of HTTP/2 frames outside it.
    Range,
    /// Where the segment ends: the stream ends there, or a byte is urgent.
    End,
}

impl<const DIRECTION: u8> Segment<DIRECTION> {
    /// The payload is not copied. Is user space to hear of it? `is_over`: it may not have to wait.
    #[inline(always)]
    pub(crate) fn skip(&self, state: &mut DirectionState, is_over: bool) -> bool {
        let len = self.packet.payload_len;
        maps::count(DropReason::Budget, len);
        let skipped = state.skipped;
        if skipped != 0 && skipped < REPORTED_EVERY && !is_over {
            state.skipped = skipped.saturating_add(len);
            return false;
        }
        state.skipped = len;
        true
    }

    /// Is the payload frames of HTTP/2? The first bytes of a direction say so, or user space. What
    /// is received does once TCP has taken it: until then the packets after it are none.
    #[inline(always)]
    pub(crate) fn is_framed(&self, flow: &mut FlowState, position: Position) -> bool {
        if position.start
            && flow.rule != UNLIMITED
            && position.expected == self.packet.seq
            && let Some(before) = look::frames(self.skb, &self.packet)
            && let Some(frames) = frames::of(self.socket, DIRECTION, true)
        {
            frames.start(self.packet.seq.wrapping_add(before));
            if DIRECTION == DIRECTION_EGRESS {
                flow.rule = FRAMES;
            } else {
                flow.set_prospect(true);
            }
            return true;
        }
        if DIRECTION == DIRECTION_INGRESS && flow.is_prospect() {
            flow.set_prospect(false);
            if !position.start && flow.rule != UNLIMITED {
                flow.rule = FRAMES;
            }
        }
        flow.rule == FRAMES
    }

    /// What of frames is copied.
    #[inline(always)]
    pub(crate) fn follow_frames(
        &self,
        flow: &mut FlowState,
        position: Position,
        mut flags: u16,
    ) -> Option<Record> {
        let packet = &self.packet;
        let cookie = flow.cookie;
        // Before room for marks is taken: it is given back when the record is written.
        let ends = self.socket.ends()?;
        let state = flow.direction(DIRECTION);
        let mut content = Content::Payload;
        let mut wakeup_bytes = self.config.wakeup_bytes;
        let (mut marks, mut range, mut inquiry) = (None, Range::EMPTY, Inquiry::NONE);
        if let Some(frames) = frames::of(self.socket, DIRECTION, false) {
            let budget = frames::budget(self.config);
            let place = (DIRECTION, position.expected, budget);
            let followed = frames.follow(self.skb, packet, place);
            match followed.content {
                frames::Content::All => {
                    inquiry = followed.inquiry;
                    // At once: until it responds, all is copied.
                    wakeup_bytes &= !inquiry.is_new;
                }
                frames::Content::Nothing(is_whole) => {
                    if !self.skip(state, packet.is_end() || packet.is_push() || is_whole) {
                        return None;
                    }
                    flags |= FLAG_SKIPPED;
                    content = Content::Length;
                }
                frames::Content::Range => {
                    (marks, range) = (followed.marks, followed.range);
                    let copied = range.to.wrapping_sub(range.from);
                    maps::count(DropReason::Budget, packet.payload_len.wrapping_sub(copied));
                    if state.skipped != 0 {
                        flags |= FLAG_SKIPPED;
                    }
                    state.skipped = packet.payload_len.wrapping_sub(range.to);
                    content = Content::Range;
                }
            }
        }
        if content == Content::Payload && state.skipped != 0 {
            state.skipped = 0;
            flags |= FLAG_SKIPPED;
        }
        Some(Record {
            cookie,
            ends,
            expected: position.expected,
            flags,
            content,
            wakeup_bytes,
            marks,
            range,
            inquiry,
        })
    }
}
