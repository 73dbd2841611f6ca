//! From a record of the kernel's ring buffer (layout: [`meshtap_common::EventHeader`]) to a [`Segment`]. Pure.

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_LISTENER, FLAG_RST,
    FLAG_SKIPPED, FLAG_START, KIND_SEGMENT,
};

use crate::flow::{CgroupId, Direction, Endpoint, Segment, SocketId};

/// Reads a record: its header, and the bytes that follow it (those after the captured payload are left alone). `None` when it is not a segment
/// or its lengths contradict each other.
#[must_use]
pub fn decode<'a>(header: &EventHeader, rest: &'a [u8]) -> Option<Segment<'a>> {
    if header.kind != KIND_SEGMENT || header.captured_len > header.wire_len {
        return None;
    }
    let direction = match header.direction {
        DIRECTION_INGRESS => Direction::Ingress,
        DIRECTION_EGRESS => Direction::Egress,
        _ => return None,
    };
    let payload = rest.get(..usize::try_from(header.captured_len).ok()?)?;
    let has = |flag: u16| header.flags & flag != 0;
    Some(Segment {
        time: header.time_ns,
        socket: SocketId(header.cookie),
        cgroup: CgroupId(header.cgroup_id),
        direction,
        local: Endpoint::from_mapped(header.local_addr, header.local_port),
        remote: Endpoint::from_mapped(header.remote_addr, header.remote_port),
        seq: header.seq,
        ack: header.ack,
        expected: header.expected,
        wire_len: header.wire_len,
        start: has(FLAG_START),
        fin: has(FLAG_FIN),
        rst: has(FLAG_RST),
        listener: has(FLAG_LISTENER),
        skipped: has(FLAG_SKIPPED),
        payload,
    })
}
