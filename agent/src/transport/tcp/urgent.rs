//! Urgent bytes (RFC 6093): Linux takes them out of what an application reads, unless it asks for
//! them in line (`SO_OOBINLINE`, tcp(7)). So they have a sequence number and no offset.
//!
//! Linux lets the pointer name the byte after the urgent one, and forgets an urgent byte when a
//! later one is announced before the application has read so far (`tcp_check_urg`): then the first
//! is read in line. Neither is known here, so what an urgent byte was excluded from is marked.

use super::advance::Receiver;
use super::assembler::Assembler;
use super::{Range, distance};
use crate::transport::Item;

/// Urgent bytes announced and not reached. Linux remembers one; the pointer reaches 64 KiB ahead.
const MOST: usize = 16;

/// Farthest that a pointer reaches: it has 16 bits.
const REACH: i32 = 1 << 16;

/// The urgent bytes ahead of a direction's position, in order.
#[derive(Debug, Default)]
pub(super) struct Urgent(Vec<Announced>);

/// An urgent byte.
#[derive(Clone, Copy, Debug)]
struct Announced {
    seq: u32,
    /// The segment that said so lay ahead of the direction's position.
    early: bool,
}

impl Urgent {
    fn add(&mut self, seq: u32, early: bool) {
        // Linux ignores a pointer that lies before the last one (`tcp_check_urg`). A segment that
        // lies ahead, it may have refused: that one hides no other.
        let is_ignored = |last: &Announced| distance(last.seq, seq) <= 0 && !last.early;
        let at = self.0.partition_point(|one| distance(one.seq, seq) > 0);
        let is_known = self.0.get(at).is_some_and(|one| one.seq == seq);
        if is_known || self.0.last().is_some_and(is_ignored) {
            return;
        }
        self.0.insert(at, Announced { seq, early });
        if self.0.len() > MOST {
            // Of those that lie ahead the farthest is the least likely.
            match self.0.last().is_some_and(|last| last.early) {
                true => drop(self.0.pop()),
                false => drop(self.0.remove(0)),
            }
        }
    }
}

impl Assembler {
    /// Learns that the byte with this number is urgent. Of one that was passed it comes too late,
    /// as for TCP.
    #[cold]
    pub(super) fn announce(&mut self, urgent: u32, segment: u32) {
        if distance(self.at.seq, urgent) >= 0 && distance(segment, urgent) <= REACH {
            let early = distance(self.at.seq, segment) > 0;
            self.urgent.get_or_insert_default().add(urgent, early);
        }
    }

    /// The next urgent byte before `end`.
    fn urgent_before(&self, end: u32) -> Option<u32> {
        let first = self.urgent.as_ref()?.0.first()?.seq;
        (distance(first, end) > 0).then_some(first)
    }

    /// The position is at an urgent byte: passes it.
    fn exclude(&mut self, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        self.at.exclude();
        if let Some(urgent) = &mut self.urgent {
            urgent.0.remove(0);
            if urgent.0.is_empty() {
                self.urgent = None;
            }
        }
        self.excluded = true;
        receiver.item(Item::Urgent);
    }

    /// Hands on bytes at the position, without the urgent ones. True when the last is not urgent.
    #[cold]
    pub(super) fn chunks(
        &mut self,
        range: &Range<'_>,
        receiver: &mut Receiver<impl FnMut(Item<'_>)>,
    ) -> bool {
        let mut rest = *range;
        while let Some(urgent) = self.urgent_before(rest.end()) {
            let before = rest.first(distance(rest.seq, urgent).unsigned_abs() as usize);
            if !before.bytes.is_empty() {
                receiver.chunk(&before, self.at.offset);
                self.at.pass(urgent);
            }
            self.exclude(receiver);
            rest.advance(before.bytes.len() + 1);
        }
        if rest.bytes.is_empty() {
            return false;
        }
        receiver.chunk(&rest, self.at.offset);
        self.at.pass(rest.end());
        true
    }

    /// Moves the position to `to`, in which urgent bytes do not count.
    pub(super) fn pass_to(&mut self, to: u32, receiver: &mut Receiver<impl FnMut(Item<'_>)>) {
        while let Some(urgent) = self.urgent_before(to) {
            self.at.pass(urgent);
            self.exclude(receiver);
        }
        self.at.pass(to);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::{Anchor, Bounds};
    use super::*;
    use crate::capture::Segment;
    use crate::flow::{Direction, Offset, SocketId};

    /// Segments at 10 and after: where, bytes, the urgent one. What is read of them, `!` where a
    /// byte was excluded.
    #[track_caller]
    fn check(segments: &[(u32, &str, Option<u32>)], expected: &str) {
        let bounds = Bounds {
            reorder_bytes: 4096,
            positions: true,
        };
        let end = SocketAddr::from(([192, 0, 2, 1], 80)).into();
        let mut own = Assembler::default();
        let (mut text, mut next) = (String::new(), Offset::ORIGIN);
        for (seq, bytes, urgent) in segments {
            let segment = Segment {
                seq: *seq,
                expected: 10,
                start: true,
                urgent: *urgent,
                ..Segment::new(SocketId(1), Direction::Egress, (end, end), bytes.as_bytes())
            };
            let mut receiver = Receiver::new(Anchor::new(0), |item: Item<'_>| match item {
                Item::Chunk(chunk) => {
                    assert_eq!(chunk.offset, next);
                    next = chunk.end();
                    text += std::str::from_utf8(chunk.bytes).unwrap();
                }
                Item::Gap(gap) => {
                    assert_eq!(gap.offset, next);
                    next = gap.end();
                    text += &format!("({})", gap.len);
                }
                Item::Urgent => text.push('!'),
                _ => {}
            });
            own.push(&segment, &bounds, &mut receiver);
        }
        let mut receiver = Receiver::new(Anchor::new(0), |item: Item<'_>| match item {
            Item::Chunk(chunk) => text += std::str::from_utf8(chunk.bytes).unwrap(),
            Item::Gap(gap) => text += &format!("({})", gap.len),
            Item::Urgent => text.push('!'),
            _ => {}
        });
        own.flush(&mut receiver);
        assert_eq!(text, expected, "{segments:?}");
    }

    #[test]
    fn are_excluded() {
        check(&[(10, "/caXrt", Some(13))], "/ca!rt!");
        check(
            &[(10, "/ca", None), (13, "X", Some(13)), (14, "rt", None)],
            "/ca!rt!",
        );
        check(&[(10, "X/cart", Some(10))], "!/cart!");
        check(&[(10, "/cartX", Some(15))], "/cart!");
        check(
            &[(10, "/cart", None), (15, "", Some(16)), (15, "aXb", None)],
            "/carta!b!",
        );
        // Announced before, sent again, and two of them.
        check(&[(10, "/ca", Some(13)), (13, "Xrt", None)], "/ca!rt!");
        check(
            &[
                (10, "/caX", Some(13)),
                (10, "/caX", Some(13)),
                (14, "rt", None),
            ],
            "/ca!rt!",
        );
        check(&[(10, "/caXrYt", Some(13)), (10, "", Some(15))], "/ca!rYt!");
        check(&[(10, "", Some(13)), (10, "/caXrYt", Some(15))], "/ca!r!t!");
        check(&[(10, "", Some(15)), (10, "/caXrYt", Some(13))], "/caXr!t!");
    }

    /// Far ahead of the position, TCP may have refused what announces a byte.
    #[test]
    fn announced_far_ahead() {
        let far = (10 + (1 << 23), "", Some(10 + (1 << 23)));
        check(&[far, (10, "/caXrt", Some(13))], "/ca!rt!");
        check(&[(12, "", Some(15)), (10, "/caXrYt", Some(13))], "/ca!r!t!");
        let many: Vec<_> = (0..100).map(|n| (1000 + n, "", Some(1000 + n))).collect();
        let genuine = [(10, "/ca", None), (13, "Xrt", Some(13))];
        check(&[&many[..], &genuine].concat(), "/ca!rt!");
    }

    #[test]
    fn out_of_order_and_missing() {
        check(&[(14, "rt", None), (10, "/caX", Some(13))], "/ca!rt!");
        check(&[(13, "Xrt", Some(13)), (10, "/ca", Some(13))], "/ca!rt!");
        check(&[(10, "/ca", Some(13)), (15, "t", None)], "/ca!(1)t!");
        check(
            &[(10, "/cart", None), (15, "", Some(12)), (15, "s", None)],
            "/carts",
        );
        check(
            &[
                (10, "/cart", None),
                (15, "", Some(15 + (1 << 20))),
                (15, "s", None),
            ],
            "/carts",
        );
    }
}
