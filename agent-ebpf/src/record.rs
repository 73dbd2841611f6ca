//! What of a segment is written into the ring, and how that of HTTP/2 is decided.

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, DropReason, EventHeader, FLAG_FIN, FLAG_GUESS,
    FLAG_OUTLINE, FLAG_RST, FLAG_SKIPPED, FLAG_START, FLAG_URGENT, KIND_SEGMENT,
};

use crate::flow::{DirectionState, FRAMES, FlowState, UNLIMITED};
use crate::frames::{self, Inquiry, Range};
use crate::maps::{self, Ends, Marks};
use crate::read::{self, TCP_FIN, TCP_RST};
use crate::segment::{Position, Segment};
use crate::{emit, look};

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
                    // An outline without headers: what is before the packet may be wanted.
                    flags |= FLAG_SKIPPED | FLAG_OUTLINE;
                    content = Content::Length;
                }
                frames::Content::Range => {
                    (marks, range) = (followed.marks, followed.range);
                    let copied = range.to.wrapping_sub(range.from);
                    maps::count(DropReason::Budget, packet.payload_len.wrapping_sub(copied));
                    let behind = packet.payload_len.wrapping_sub(range.to);
                    flags |= state.say_skipped(packet, position.expected);
                    if behind != 0 {
                        state.skipped = behind;
                    }
                    content = Content::Range;
                }
            }
        }
        if content == Content::Payload {
            flags |= state.say_skipped(packet, position.expected);
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

    /// Writes a record.
    #[inline(always)]
    pub(crate) fn emit(&self, record: &Record) {
        let packet = &self.packet;
        let mut flags = record.flags;
        if packet.flags & TCP_FIN != 0 {
            flags |= FLAG_FIN;
        }
        if packet.flags & TCP_RST != 0 {
            flags |= FLAG_RST;
        }
        let time_ns = read::now();
        let inquiry = record.inquiry;
        flags |= emit::unknown(inquiry.flag, time_ns as u32) as u16;
        let mut urgent = emit::unknown(inquiry.seq, time_ns as u32);
        if packet.is_urgent()
            && let Some(seq) = read::urgent(self.skb, packet)
        {
            flags = (flags & !FLAG_GUESS) | FLAG_URGENT;
            urgent = seq;
        }
        // One way on for all that was decided.
        let content = emit::unknown(record.content as u32, time_ns as u32);
        let len = emit::unknown(packet.payload_len, time_ns as u32);
        let is_end = content == Content::End as u32;
        let mut header = EventHeader {
            time_ns,
            cookie: record.cookie,
            cgroup_id: read::cgroup(self.skb),
            seq: if is_end { packet.end() } else { packet.seq },
            ack: packet.ack,
            expected: record.expected,
            wire_len: if is_end { 0 } else { len },
            captured_len: if content == Content::Payload as u32 {
                len
            } else {
                0
            },
            kind: KIND_SEGMENT,
            direction: DIRECTION,
            flags,
            local_port: record.ends.local_port,
            remote_port: record.ends.remote_port,
            urgent,
            local_addr: [0; 16],
            remote_addr: [0; 16],
        };
        record.ends.write_addresses(&mut header);
        if let Some(marks) = record.marks {
            self.emit_range(&mut header, marks, record);
            maps::give_marks();
            return;
        }
        self.emit_payload(&mut header, 0, record);
    }

    #[inline(always)]
    fn emit_payload(&self, header: &mut EventHeader, at: u32, record: &Record) {
        emit::segment(
            self.skb,
            header,
            self.packet.payload_offset.wrapping_add(at),
            record.wakeup_bytes,
            self.config.ring_bytes,
        );
    }

    /// Writes what is before the range, it, and what is behind it, as if they were packets.
    #[inline(always)]
    fn emit_range(&self, header: &mut EventHeader, marks: &Marks, record: &Record) {
        let range = record.range;
        let any = header.time_ns as u32;
        let ring_bytes = self.config.ring_bytes;
        let (len, seq) = (header.wire_len, header.seq);
        let last = header.flags;
        header.flags &= !(FLAG_FIN | FLAG_RST);
        let from = emit::unknown(range.from, any);
        if from != 0 {
            if from == len {
                header.flags = last;
            }
            header.wire_len = from;
            emit::outline(header, (marks, 0, 0), range.before, ring_bytes);
            header.flags &= !(FLAG_START | FLAG_OUTLINE);
        }
        let to = emit::unknown(range.to, any);
        if from != to {
            if to == len {
                header.flags |= last & (FLAG_FIN | FLAG_RST);
            }
            header.seq = seq.wrapping_add(from);
            header.wire_len = to.wrapping_sub(from);
            header.captured_len = header.wire_len;
            self.emit_payload(header, from, record);
            header.flags &= !FLAG_START;
        }
        if to != len {
            header.flags |= last & (FLAG_FIN | FLAG_RST);
            header.seq = seq.wrapping_add(to);
            header.wire_len = len.wrapping_sub(to);
            let count = range.count.wrapping_sub(range.after);
            emit::outline(header, (marks, range.after, to), count, ring_bytes);
        }
    }
}
