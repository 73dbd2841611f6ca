//! From a record of the kernel's ring buffer (layout: [`meshtap_common::EventHeader`]) to an
//! [`Event`]. Pure.

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_LISTENER, FLAG_RST,
    FLAG_SKIPPED, FLAG_START, KIND_SEGMENT,
};

use super::{Event, Segment};
use crate::flow::{CgroupId, Direction, Endpoint, SocketId};

/// Reads a record: its header, and the bytes that follow it (those after the captured payload are
/// left alone). `None` when it is not a segment or its lengths contradict each other.
#[must_use]
pub fn decode<'a>(header: &EventHeader, rest: &'a [u8]) -> Option<Event<'a>> {
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
    Some(Event::Tcp(Segment {
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
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Some(payload, local, flags as text)`, or `None` for a record that is refused.
    type Expected<'a> = Option<(&'a [u8], &'a str, &'a str)>;

    fn record(change: impl FnOnce(&mut EventHeader), rest: &[u8]) -> Vec<u8> {
        let mut local_addr = [0; 16];
        local_addr[10..].copy_from_slice(&[0xff, 0xff, 10, 1, 2, 3]);
        let mut header = EventHeader {
            kind: KIND_SEGMENT,
            direction: DIRECTION_INGRESS,
            local_addr,
            local_port: 8080,
            wire_len: 5,
            captured_len: 5,
            ..EventHeader::default()
        };
        change(&mut header);
        [header.to_bytes().as_slice(), rest].concat()
    }

    fn check(record: &[u8], expected: Expected<'_>) {
        let segment = EventHeader::split(record).and_then(|(header, rest)| {
            let Event::Tcp(segment) = decode(&header, rest)? else {
                return None;
            };
            assert_eq!(segment.wire_len, header.wire_len);
            Some(segment)
        });
        let Some(segment) = segment else {
            assert_eq!(expected, None);
            return;
        };
        let flags = [
            (segment.start, "start "),
            (segment.fin, "fin "),
            (segment.rst, "rst "),
            (segment.listener, "listener "),
            (segment.skipped, "skipped "),
            (segment.direction == Direction::Egress, "egress "),
        ];
        let flags: String = flags
            .iter()
            .filter_map(|(set, name)| set.then_some(*name))
            .collect();
        let local = segment.local.to_string();
        assert_eq!(
            Some((segment.payload, local.as_str(), flags.trim_end())),
            expected
        );
    }

    #[test]
    fn ipv4_is_mapped() {
        check(
            &record(|_| (), b"hello"),
            Some((b"hello", "10.1.2.3:8080", "")),
        );
    }

    #[test]
    fn ipv6_stays() {
        let record = record(
            |header| header.local_addr = std::net::Ipv6Addr::LOCALHOST.octets(),
            b"hello",
        );
        check(&record, Some((b"hello", "[::1]:8080", "")));
    }

    #[test]
    fn what_follows_the_payload_in_its_bucket_is_left_alone() {
        check(
            &record(|_| (), b"hello and rubbish"),
            Some((b"hello", "10.1.2.3:8080", "")),
        );
    }

    #[test]
    fn payload_may_be_less_than_on_the_wire() {
        let record = record(
            |header| {
                header.wire_len = 65_536;
                header.captured_len = 0;
                header.flags = FLAG_SKIPPED | FLAG_FIN;
                header.direction = DIRECTION_EGRESS;
            },
            b"",
        );
        check(&record, Some((b"", "10.1.2.3:8080", "fin skipped egress")));
    }

    #[test]
    fn every_flag() {
        let record = record(
            |header| header.flags = FLAG_START | FLAG_RST | FLAG_LISTENER,
            b"hello",
        );
        check(
            &record,
            Some((b"hello", "10.1.2.3:8080", "start rst listener")),
        );
    }

    #[test]
    fn contradictions_are_refused() {
        check(&record(|header| header.captured_len = 6, b"hello!"), None);
        check(&record(|_| (), b"hell"), None);
        check(
            &record(
                |header| {
                    header.captured_len = u32::MAX;
                    header.wire_len = u32::MAX;
                },
                b"hello",
            ),
            None,
        );
        check(&record(|header| header.kind = 0, b"hello"), None);
        check(&record(|header| header.direction = 2, b"hello"), None);
    }

    #[test]
    fn a_cut_header_is_refused() {
        let record = record(|_| (), b"hello");
        for len in 0..meshtap_common::HEADER_LEN {
            check(&record[..len], None);
        }
    }
}
