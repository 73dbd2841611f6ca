//! Segments that wait, with their bytes.

use crate::capture::Segment;

/// A segment that outlives its record.
#[derive(Debug)]
pub(super) struct OwnedSegment {
    /// Without its payload.
    segment: Segment<'static>,
    payload: Box<[u8]>,
}

impl OwnedSegment {
    pub(super) fn new(segment: &Segment<'_>) -> Self {
        Self {
            segment: with_payload(segment, &[]),
            payload: segment.payload.into(),
        }
    }

    /// As it came.
    #[inline]
    pub(super) const fn get(&self) -> Segment<'_> {
        with_payload(&self.segment, &self.payload)
    }
}

/// The same segment with other bytes. (The rest of a struct cannot be taken from one of another
/// lifetime.)
const fn with_payload<'a>(segment: &Segment<'_>, payload: &'a [u8]) -> Segment<'a> {
    Segment {
        time: segment.time,
        socket: segment.socket,
        cgroup: segment.cgroup,
        direction: segment.direction,
        local: segment.local,
        remote: segment.remote,
        seq: segment.seq,
        ack: segment.ack,
        expected: segment.expected,
        wire_len: segment.wire_len,
        start: segment.start,
        fin: segment.fin,
        rst: segment.rst,
        listener: segment.listener,
        skipped: segment.skipped,
        declined: segment.declined,
        one_sided: segment.one_sided,
        urgent: segment.urgent,
        guess: segment.guess,
        payload,
    }
}
