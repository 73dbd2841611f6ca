//! The record of a packet of HTTP/2 of which nothing but the headers of frames was copied, as the
//! records of ordinary segments. Pure.

use meshtap_common::{
    EventHeader, FLAG_FIN, FLAG_FRAME, FLAG_OUTLINE, FLAG_RST, FLAG_SKIPPED, FLAG_START,
    FLAG_URGENT, FrameMark,
};

/// Hands over a record; an outline as one for each frame, with nine bytes of payload. False when
/// its lengths contradict each other.
#[must_use]
pub fn expand(
    header: &EventHeader,
    rest: &[u8],
    handle: &mut dyn FnMut(&EventHeader, &[u8]),
) -> bool {
    if header.flags & FLAG_OUTLINE == 0 {
        handle(header, rest);
        return true;
    }
    let Some(marks) = rest.get(..header.captured_len as usize) else {
        return false;
    };
    let mut parts = Parts {
        packet: header,
        given: 0,
        handle,
    };
    let (mut marks, mut payload) = (marks, &[][..]);
    let mut last;
    while let Some((mark, others)) = FrameMark::split(marks) {
        // In order, and within the packet.
        let fits = parts.given as usize + payload.len() <= mark.at as usize
            && mark.at as usize + mark.header.len() <= header.wire_len as usize;
        if !fits {
            return false;
        }
        parts.give(mark.at, payload);
        last = mark.header;
        payload = &last;
        marks = others;
    }
    parts.give(header.wire_len, payload);
    true
}

struct Parts<'a> {
    packet: &'a EventHeader,
    /// Payload bytes of the packet that were handed over.
    given: u32,
    handle: &'a mut dyn FnMut(&EventHeader, &[u8]),
}

impl Parts<'_> {
    /// Hands over what is before `to`; `payload` is copied of it.
    fn give(&mut self, to: u32, payload: &[u8]) {
        let Self { packet, given, .. } = *self;
        if to == given {
            return;
        }
        let mut flags = (packet.flags & !FLAG_OUTLINE) | FLAG_SKIPPED;
        if given != 0 {
            flags &= !FLAG_START;
        }
        let mut urgent = packet.urgent;
        // One field has room for one of them.
        if !payload.is_empty() {
            flags |= FLAG_FRAME;
        } else if flags & FLAG_URGENT == 0 {
            flags |= FLAG_FRAME;
            urgent = packet.seq.wrapping_add(to);
        }
        if to != packet.wire_len {
            flags &= !(FLAG_FIN | FLAG_RST);
        }
        let part = EventHeader {
            seq: packet.seq.wrapping_add(given),
            wire_len: to - given,
            // A header, or nothing.
            captured_len: u32::try_from(payload.len()).unwrap_or_default(),
            flags,
            urgent,
            ..*packet
        };
        (self.handle)(&part, payload);
        self.given = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 9] = *b"012345678";

    /// `Ok`: offset, wire length, captured length and flags of each part.
    fn check(wire_len: u32, flags: u16, marks: &[u32], expected: Option<&[(u32, u32, u32, u16)]>) {
        let mut rest = Vec::new();
        for at in marks {
            let mark = FrameMark {
                at: *at,
                header: HEADER,
                reserved: [0; 3],
            };
            rest.extend_from_slice(&mark.to_bytes());
        }
        let header = EventHeader {
            seq: 0_u32.wrapping_sub(20),
            wire_len,
            captured_len: u32::try_from(rest.len()).unwrap(),
            flags: flags | FLAG_OUTLINE,
            ..EventHeader::default()
        };
        let mut found = Vec::new();
        let good = expand(&header, &rest, &mut |part, payload| {
            assert!(payload == HEADER || payload.is_empty());
            assert_eq!(payload.len(), part.captured_len as usize);
            let offset = part.seq.wrapping_sub(header.seq);
            found.push((offset, part.wire_len, part.captured_len, part.flags));
        });
        assert_eq!(good.then_some(found.as_slice()), expected);
    }

    #[test]
    fn parts_are_ordinary_records() {
        let frame = FLAG_SKIPPED | FLAG_FRAME;
        check(
            3000,
            FLAG_START | FLAG_FIN,
            &[100, 1109],
            Some(&[
                (0, 100, 0, frame | FLAG_START),
                (100, 1009, 9, frame),
                (1109, 1891, 9, frame | FLAG_FIN),
            ]),
        );
        check(9, FLAG_RST, &[0], Some(&[(0, 9, 9, frame | FLAG_RST)]));
    }

    #[test]
    fn marks_that_contradict_each_other_are_refused() {
        check(3000, 0, &[100, 108], None);
        check(3000, 0, &[2992], None);
        let header = EventHeader {
            captured_len: 16,
            wire_len: 100,
            flags: FLAG_OUTLINE,
            ..EventHeader::default()
        };
        assert!(!expand(&header, &[0; 15], &mut |_, _| panic!("a record")));
    }

    #[test]
    fn other_records_are_left_as_they_are() {
        let header = EventHeader {
            wire_len: 4,
            captured_len: 4,
            ..EventHeader::default()
        };
        let mut count = 0;
        let good = expand(&header, b"GET ", &mut |same, rest| {
            assert_eq!((same, rest), (&header, &b"GET "[..]));
            count += 1;
        });
        assert!(good && count == 1);
    }
}
