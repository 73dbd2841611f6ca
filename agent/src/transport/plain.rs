//! A stream that is in order already: a TLS session, whose hook counts its bytes.

use super::{Chunk, Gap, Item};
use crate::capture::Plaintext;
use crate::flow::{Direction, Nanos, Offset};

/// Both directions of a connection that gives [`Plaintext`].
#[derive(Debug, Default)]
pub(crate) struct Plain {
    ways: [Way; 2],
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Offset of the next byte, once one is known.
    next: Option<Offset>,
    /// Offset zero is its very first byte.
    from_start: bool,
    ended: bool,
}

impl Plain {
    /// Hands on what a range of plaintext brings that is new, and the gap before it.
    pub(crate) fn range(&mut self, range: &Plaintext<'_>, receiver: &mut impl FnMut(Item<'_>)) {
        let [ingress, egress] = &mut self.ways;
        let way = match range.direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        if way.ended {
            return;
        }
        let time = range.time;
        let next = match way.next {
            Some(next) => next,
            None => {
                way.from_start = range.start;
                let offset = match range.start {
                    true => Offset::default(),
                    false => range.offset,
                };
                receiver(Item::Opens {
                    offset,
                    start: range.start,
                });
                offset
            }
        };
        gap((next, range.offset), (false, None), time, receiver);
        let mut chunk = Chunk {
            bytes: range.bytes,
            offset: range.offset,
            heard: range.heard,
            time,
            boundary: true,
        };
        let repeated = usize::try_from(range.offset.until(next)).unwrap_or(usize::MAX);
        chunk.advance(repeated.min(chunk.bytes.len()));
        let copied = chunk.end().max(next);
        let end = (range.offset + range.len).max(copied);
        if !chunk.bytes.is_empty() {
            receiver(Item::Chunk(chunk));
        }
        gap((copied, end), (true, range.heard), time, receiver);
        way.next = Some(end);
        if range.end {
            way.ended = true;
            receiver(Item::End { time });
        }
    }

    /// Offsets of a direction count from its very first byte.
    pub(crate) fn is_from_start(&self, direction: Direction) -> bool {
        let [ingress, egress] = &self.ways;
        match direction {
            Direction::Ingress => ingress.from_start,
            Direction::Egress => egress.from_start,
        }
    }

    /// Both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.ways.iter().all(|way| way.ended)
    }
}

/// Hands on what is missing between two offsets, if anything is.
fn gap(
    (offset, to): (Offset, Offset),
    (skipped, heard): (bool, Option<Offset>),
    time: Nanos,
    receiver: &mut impl FnMut(Item<'_>),
) {
    let len = offset.until(to);
    if len > 0 {
        receiver(Item::Gap(Gap {
            offset,
            len,
            skipped,
            heard,
            time,
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::{CgroupId, ConnectionId, SocketId};

    /// Ranges: offset, text, bytes that were not copied, it is the end.
    fn check(start: bool, ranges: &[(u64, &str, u64, bool)], expected: &[&str]) {
        let end = SocketAddr::from(([192, 0, 2, 1], 443)).into();
        let mut plain = Plain::default();
        let mut items = Vec::new();
        for (offset, text, more, last) in ranges {
            let range = Plaintext {
                time: 0,
                connection: ConnectionId::tls(1),
                socket: SocketId(1),
                cgroup: CgroupId(1),
                direction: Direction::Ingress,
                local: end,
                remote: end,
                offset: Offset(*offset),
                heard: Some(Offset(7)),
                len: text.len() as u64 + more,
                start,
                end: *last,
                bytes: text.as_bytes(),
            };
            plain.range(&range, &mut |item| {
                items.push(match item {
                    Item::Opens { offset, start } => format!("at {offset} {start}"),
                    Item::Chunk(chunk) => {
                        assert_eq!(chunk.heard, Some(Offset(7)));
                        String::from_utf8(chunk.bytes.to_vec()).unwrap()
                    }
                    Item::Gap(gap) if gap.skipped => format!("skip {}", gap.len),
                    Item::Gap(gap) => format!("gap {}", gap.len),
                    Item::Heard(_) => "heard".into(),
                    Item::Conflict { .. } => "conflict".into(),
                    Item::Urgent => "urgent".into(),
                    Item::End { .. } => "end".into(),
                });
            });
        }
        assert_eq!(items, expected);
    }

    #[test]
    fn ranges() {
        check(
            true,
            &[(0, "ab", 0, false), (2, "c", 0, true), (3, "d", 0, false)],
            &["at 0 true", "ab", "c", "end"],
        );
        check(true, &[(5, "a", 0, false)], &["at 0 true", "gap 5", "a"]);
        check(
            false,
            &[(5, "a", 3, false), (9, "b", 0, false), (12, "c", 0, false)],
            &["at 5 false", "a", "skip 3", "b", "gap 2", "c"],
        );
        // What came before is not handed on again.
        check(
            false,
            &[
                (5, "abc", 0, false),
                (6, "bcd", 0, false),
                (5, "ab", 0, false),
            ],
            &["at 5 false", "abc", "d"],
        );
    }
}
