//! From a kernel event to a segment.

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_LISTENER, FLAG_RST,
    FLAG_SKIPPED, FLAG_START, KIND_SEGMENT,
};

use crate::flow::{CgroupId, Direction, Endpoint, Segment, SocketId};

/// The segment that an event tells of; `None` for kinds and directions that are not known.
#[must_use]
pub fn decode<'a>(header: &EventHeader, payload: &'a [u8]) -> Option<Segment<'a>> {
    if header.kind != KIND_SEGMENT {
        return None;
    }
    let direction = match header.direction {
        DIRECTION_INGRESS => Direction::Ingress,
        DIRECTION_EGRESS => Direction::Egress,
        _ => return None,
    };
    let flag = |flag| header.flags & flag != 0;
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
        start: flag(FLAG_START),
        fin: flag(FLAG_FIN),
        rst: flag(FLAG_RST),
        listener: flag(FLAG_LISTENER),
        skipped: flag(FLAG_SKIPPED),
        payload,
    })
}
