//! From a record of the kernel's ring buffer (layout: [`meshtap_common::EventHeader`]) to an
//! [`Event`]. Pure.

use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_FRAME, FLAG_GUESS,
    FLAG_HANDSHAKE, FLAG_HEARD, FLAG_LISTENER, FLAG_RST, FLAG_RUSTLS, FLAG_SKIPPED, FLAG_START,
    FLAG_URGENT, KIND_CLOSED, KIND_PLAINTEXT, KIND_RELEASED, KIND_SEGMENT, PlaintextHeader,
};

use super::{Event, Plaintext, Segment};
use crate::flow::{CgroupId, ConnectionId, Direction, Endpoint, Offset, SocketId};

/// Reads a record: its header, and the bytes that follow it (those after the captured payload are
/// left alone). `None` when it is of no known kind or its lengths contradict each other.
#[must_use]
pub fn decode<'a>(header: &EventHeader, rest: &'a [u8]) -> Option<Event<'a>> {
    match header.kind {
        KIND_SEGMENT => segment(header, rest),
        KIND_RELEASED => Some(Event::Released {
            socket: SocketId(header.cookie),
            time: header.time_ns,
        }),
        KIND_PLAINTEXT | KIND_CLOSED => {
            let (plain, rest) = PlaintextHeader::split(rest)?;
            plaintext(header, &plain, rest)
        }
        _ => None,
    }
}

/// [`decode`] of a record of the TLS hook whose second header is read already.
#[must_use]
pub fn plaintext<'a>(
    header: &EventHeader,
    plain: &PlaintextHeader,
    rest: &'a [u8],
) -> Option<Event<'a>> {
    let has = |flag: u16| header.flags & flag != 0;
    let connection = match has(FLAG_RUSTLS) {
        true => ConnectionId::rustls(plain.session),
        false => ConnectionId::tls(plain.session),
    };
    if header.kind == KIND_CLOSED {
        return Some(Event::Closed {
            connection,
            time: header.time_ns,
        });
    }
    let range = Plaintext {
        time: header.time_ns,
        connection,
        socket: SocketId(header.cookie),
        cgroup: CgroupId(header.cgroup_id),
        direction: direction(header)?,
        local: Endpoint::from_mapped(header.local_addr, header.local_port),
        remote: Endpoint::from_mapped(header.remote_addr, header.remote_port),
        offset: Offset(plain.offset),
        heard: has(FLAG_HEARD).then_some(Offset(plain.heard)),
        len: u64::from(header.wire_len),
        start: has(FLAG_START),
        end: has(FLAG_FIN),
        bytes: captured(header, rest)?,
    };
    Some(match has(FLAG_HANDSHAKE) {
        true => Event::Handshake(range),
        false => Event::Plaintext(range),
    })
}

/// Bytes of a frame's header (RFC 9113 §4.1).
const HEADER: u32 = 9;

/// Longest payload of one (§4.2).
const MAX_FRAME: u32 = (1 << 24) - 1;

const fn direction(header: &EventHeader) -> Option<Direction> {
    match header.direction {
        DIRECTION_INGRESS => Some(Direction::Ingress),
        DIRECTION_EGRESS => Some(Direction::Egress),
        _ => None,
    }
}

fn captured<'a>(header: &EventHeader, rest: &'a [u8]) -> Option<&'a [u8]> {
    if header.captured_len > header.wire_len {
        return None;
    }
    rest.get(..usize::try_from(header.captured_len).ok()?)
}

fn segment<'a>(header: &EventHeader, rest: &'a [u8]) -> Option<Event<'a>> {
    let direction = direction(header)?;
    let payload = captured(header, rest)?;
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
        declined: has(FLAG_FRAME).then(|| behind(header, payload)),
        one_sided: false,
        urgent: has(FLAG_URGENT).then_some(header.urgent),
        guess: has(FLAG_GUESS).then_some(header.urgent),
        payload,
    }))
}

/// Bytes of the frame of HTTP/2 that follow a record and are not copied: by its header, or by where
/// they end.
fn behind(record: &EventHeader, payload: &[u8]) -> u32 {
    let end = record.seq.wrapping_add(record.wire_len);
    let frame_end = match *payload {
        [a, b, c, ..] => record
            .seq
            .wrapping_add(HEADER + u32::from_be_bytes([0, a, b, c])),
        _ => record.urgent,
    };
    let behind = frame_end.wrapping_sub(end);
    if behind <= MAX_FRAME { behind } else { 0 }
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
    fn a_closed_socket() {
        let record = record(
            |header| {
                (header.kind, header.cookie, header.time_ns) = (KIND_RELEASED, 7, 5);
                (header.wire_len, header.captured_len) = (0, 0);
            },
            b"",
        );
        let (header, rest) = EventHeader::split(&record).unwrap();
        let Some(Event::Released { socket, time }) = decode(&header, rest) else {
            panic!("another event");
        };
        assert_eq!((socket, time), (SocketId(7), 5));
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

    /// `Some(what, offset, bytes missing at its end)` of a record of the TLS hook.
    #[track_caller]
    fn check_plaintext(
        change: impl FnOnce(&mut EventHeader),
        heard: Option<u64>,
        rest: &[u8],
        expected: Option<(&str, u64, u64)>,
    ) {
        let plain = [3_u64, 70, heard.unwrap_or(5)].map(u64::to_ne_bytes);
        let rest = [plain.as_flattened(), rest].concat();
        let set = |header: &mut EventHeader| {
            header.kind = KIND_PLAINTEXT;
            header.flags = FLAG_START | heard.map_or(0, |_| FLAG_HEARD);
            change(header);
        };
        let record = record(set, &rest);
        let (header, rest) = EventHeader::split(&record).unwrap();
        let event = decode(&header, rest);
        let found = event.as_ref().map(|event| match event {
            Event::Plaintext(range) => {
                assert_eq!(range.connection, ConnectionId::tls(3));
                assert_eq!(range.heard, heard.map(Offset));
                assert!(range.start);
                let bytes = std::str::from_utf8(range.bytes).unwrap();
                let missing = range.len - range.bytes.len() as u64;
                (bytes, range.offset.0, missing)
            }
            Event::Closed { connection, .. } => {
                assert_eq!(*connection, ConnectionId::tls(3));
                ("closed", 0, 0)
            }
            Event::Tcp(_) | Event::Handshake(_) | Event::Released { .. } => ("another", 0, 0),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn plaintext_of_a_session() {
        check_plaintext(|_| (), None, b"hello", Some(("hello", 70, 0)));
        check_plaintext(
            |_| (),
            Some(9),
            b"hello and rubbish",
            Some(("hello", 70, 0)),
        );
        // A page that could not be read: its length is known.
        check_plaintext(|h| h.captured_len = 0, None, b"", Some(("", 70, 5)));
        check_plaintext(|h| h.kind = KIND_CLOSED, None, b"", Some(("closed", 0, 0)));
        check_plaintext(|_| (), None, b"hell", None);
        check_plaintext(|h| h.captured_len = 6, None, b"hello!", None);
        check_plaintext(|h| h.direction = 2, None, b"hello", None);
    }

    #[test]
    fn a_plaintext_record_without_its_second_header_is_refused() {
        let short = |kind| record(|header| header.kind = kind, &[0; 23]);
        check(&short(KIND_PLAINTEXT), None);
        check(&short(KIND_CLOSED), None);
    }

    #[test]
    fn a_cut_header_is_refused() {
        let record = record(|_| (), b"hello");
        for len in 0..meshtap_common::HEADER_LEN {
            check(&record[..len], None);
        }
    }
}
