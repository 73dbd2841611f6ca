//! What a reset means: it ends a connection when TCP would let it (RFC 9293 §3.10.7.4).

use super::{Assembler, distance};
use crate::capture::Segment;
use crate::flow::{Direction, Nanos};

/// How long the bytes that a reset overtook are waited for. Nothing is sent again after it: they
/// are on their way, or lost.
const WAIT: Nanos = 2_000_000_000;

/// A reset that overtook bytes of its direction: they are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    direction: Direction,
    seq: u32,
    /// TCP may have refused it. What comes after it shows that it did.
    pub(super) doubtful: bool,
    /// When it came.
    time: Nanos,
}

/// What becomes of a connection at a reset.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// Nothing: TCP would not take it.
    Ignored,
    /// It ends when the bytes before the reset are there, or were waited for.
    Waits(Reset),
    /// It has ended.
    Over,
}

/// Judges a reset in the direction that `own` puts in order.
///
/// Those that a socket sends are its own. Those that it receives it takes only at the number that
/// it expects, and challenges others (RFC 5961 §3.2): a reset that overtook bytes comes again.
/// Linux also takes one at the end of what it has beyond a hole (`tcp_validate_incoming`).
pub(super) fn judge(own: &Assembler, segment: &Segment<'_>) -> Verdict {
    let exact = segment.direction == Direction::Egress || is_exact(own, segment);
    if !exact && own.last_kept() != Some(segment.seq) {
        return Verdict::Ignored;
    }
    match exact && has_reached(own, segment.seq) {
        true => Verdict::Over,
        false => Verdict::Waits(Reset {
            direction: segment.direction,
            seq: segment.seq,
            doubtful: !exact,
            time: segment.time,
        }),
    }
}

/// The connection goes on: TCP refused a doubtful reset.
#[inline]
pub(super) fn refute(reset: &mut Option<Reset>) {
    reset.take_if(|reset| reset.doubtful);
}

/// A reset has the number that the socket expects. The hook runs before TCP has looked at what is
/// in the socket's backlog: the position says where it will stand.
fn is_exact(own: &Assembler, segment: &Segment<'_>) -> bool {
    let Some(position) = own.position() else {
        return segment.seq == segment.expected;
    };
    let ahead = distance(position, segment.seq);
    ahead == 0
        // A FIN takes one number.
        || ahead == 1 && own.ended()
        || ahead > 0 && segment.seq == segment.expected
}

impl Reset {
    /// When the connection ends, whether all bytes before it are there or not.
    pub(super) const fn due(self) -> Nanos {
        self.time.saturating_add(WAIT)
    }

    /// All bytes before it are there; `own` is the direction with this name.
    pub(super) fn is_reached(self, direction: Direction, own: &Assembler) -> bool {
        self.direction == direction && has_reached(own, self.seq)
    }
}

/// All bytes of a direction before `seq` are there, or none is known of.
fn has_reached(stream: &Assembler, seq: u32) -> bool {
    stream.ended()
        || stream
            .position()
            .is_none_or(|position| distance(position, seq) <= 0)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::{Anchor, Bounds, Receiver};
    use super::*;
    use crate::flow::SocketId;
    use crate::transport::Item;

    fn segment(direction: Direction, seq: u32, expected: u32, text: &[u8]) -> Segment<'_> {
        let end = SocketAddr::from(([192, 0, 2, 1], 80)).into();
        Segment {
            seq,
            expected,
            ..Segment::new(SocketId(1), direction, (end, end), text)
        }
    }

    /// A direction that has 10..15, and 20..25 beyond a hole if `early`.
    fn direction(direction: Direction, early: bool, fin: bool) -> Assembler {
        let mut own = Assembler::default();
        let bounds = Bounds {
            reorder_bytes: 4096,
            positions: true,
        };
        let mut push = |segment: &Segment<'_>| {
            let mut receiver = Receiver::new(Anchor::new(0), |_: Item<'_>| ());
            own.push(segment, &bounds, &mut receiver);
        };
        push(&Segment {
            fin,
            ..segment(direction, 10, 10, b"aaaaa")
        });
        if early {
            push(&segment(direction, 20, 15, b"bbbbb"));
        }
        own
    }

    fn check(own: &Assembler, way: Direction, (seq, expected): (u32, u32), verdict: &str) {
        let rst = Segment {
            rst: true,
            ..segment(way, seq, expected, b"")
        };
        let got = match judge(own, &rst) {
            Verdict::Ignored => "ignored",
            Verdict::Over => "over",
            Verdict::Waits(reset) if reset.doubtful => "doubtful",
            Verdict::Waits(_) => "waits",
        };
        assert_eq!(got, verdict, "{seq} {expected}");
    }

    #[test]
    fn received_at_the_expected_number_only() {
        let way = Direction::Ingress;
        let own = direction(way, false, false);
        for (seq, verdict) in [
            (15, "over"),
            (14, "ignored"),
            (16, "ignored"),
            (35, "ignored"),
            (15 + (1 << 20), "ignored"),
            (10, "ignored"),
        ] {
            check(&own, way, (seq, 15), verdict);
        }
        // What was received is in the socket's backlog.
        check(&own, way, (15, 10), "over");
        check(&own, way, (10, 10), "ignored");
        // The socket is past what was seen.
        check(&own, way, (30, 30), "waits");
        check(&Assembler::default(), way, (30, 30), "over");
        check(&Assembler::default(), way, (31, 30), "ignored");
    }

    #[test]
    fn received_after_a_hole_or_an_end() {
        let way = Direction::Ingress;
        let own = direction(way, true, false);
        check(&own, way, (15, 15), "over");
        check(&own, way, (25, 15), "doubtful");
        check(&own, way, (24, 15), "ignored");
        let own = direction(way, false, true);
        check(&own, way, (15, 16), "over");
        check(&own, way, (16, 16), "over");
        check(&own, way, (17, 16), "ignored");
    }

    #[test]
    fn sent() {
        let way = Direction::Egress;
        let own = direction(way, false, false);
        check(&own, way, (15, 15), "over");
        check(&own, way, (30, 15), "waits");
    }
}
