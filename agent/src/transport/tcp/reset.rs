//! What a reset means: it ends a connection when TCP would let it (RFC 9293 §3.10.7.4).

use super::assembler::AHEAD;
use super::gate::Gate;
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
    /// When it came; `Nanos::MAX` where that alone says nothing: see [`Self::released`].
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
/// Those that a socket sends are its own, where sockets are captured (`owned`). In a file, anyone
/// may have sent them: one with a number that was acknowledged before, or far ahead, is not taken;
/// before one that is ahead, bytes may be missing in the file, and what comes after shows it.
///
/// Those that a socket receives it takes only at the number that it expects, and challenges others
/// (RFC 5961 §3.2): a reset that overtook bytes comes again. Linux also takes one at the end of
/// what it has beyond a hole (`tcp_validate_incoming`).
///
/// The hook runs before TCP has looked at what is in the socket's backlog, so it may take one at
/// the end of what was received, too: that of the direction, or of a segment that waits, in the
/// gate (`held`). Linux verifies the checksum of short packets before the hook runs, and of one
/// with a payload after it. Silence does not show that such a one was right, since a response may
/// take long; but silence after the application has closed the socket does, for TCP would end the
/// connection with a packet.
pub(super) fn judge(own: &Assembler, segment: &Segment<'_>, held: &Gate, owned: bool) -> Verdict {
    let is_sent = segment.direction == Direction::Egress;
    let is_unverified = owned && !is_sent && segment.wire_len > 0;
    let is_own = is_sent && (owned || own.position() == Some(segment.seq));
    let is_certain = is_own || is_certain(own, segment, held);
    let is_possible = is_possible(own, segment, held) || is_sent && is_near(own, segment);
    if !is_certain && !is_possible {
        return Verdict::Ignored;
    }
    match is_certain && has_reached(own, segment.seq) {
        true => Verdict::Over,
        false => Verdict::Waits(Reset {
            direction: segment.direction,
            seq: segment.seq,
            doubtful: !is_certain,
            time: match is_unverified {
                true => Nanos::MAX,
                false => segment.time,
            },
        }),
    }
}

/// Has a connection wait for a reset, unless it does already for one that is not in doubt.
pub(super) fn wait(waiting: &mut Option<Reset>, overtaking: Reset) {
    if waiting.is_none_or(|reset| reset.doubtful && !overtaking.doubtful) {
        *waiting = Some(overtaking);
    }
}

/// The connection goes on: TCP refused a doubtful reset.
#[inline]
pub(super) fn refute(reset: &mut Option<Reset>) {
    reset.take_if(|reset| reset.doubtful);
}

/// A reset has the number that the socket expects, and nothing was received after that.
fn is_certain(own: &Assembler, segment: &Segment<'_>, held: &Gate) -> bool {
    // Linux takes it before the FIN that it has received, too (`tcp_reset_check`).
    let is_exact = segment.seq == segment.expected
        || own.ended() && segment.seq.wrapping_add(1) == segment.expected;
    let is_last = own
        .position()
        .is_none_or(|position| distance(position, segment.seq) >= 0);
    is_exact && is_last && segment.wire_len == 0 && !held.reaches_past(segment.seq)
}

/// Some bytes lie between the position and a reset.
fn is_near(own: &Assembler, segment: &Segment<'_>) -> bool {
    own.position()
        .is_none_or(|position| (0..AHEAD).contains(&distance(position, segment.seq)))
}

/// A reset has the number that the socket expects, or will expect.
fn is_possible(own: &Assembler, segment: &Segment<'_>, held: &Gate) -> bool {
    let is_last = own.position().is_some_and(|position| {
        let ahead = distance(position, segment.seq);
        // A FIN takes one number.
        ahead == 0 || ahead == 1 && own.ended()
    });
    is_last
        || segment.seq == segment.expected
        || own.last_kept() == Some(segment.seq)
        || held.ends_at(segment.seq)
}

impl Reset {
    /// The application has closed the socket: if the connection goes on, that shows soon.
    pub(super) fn released(&mut self, now: Nanos) {
        self.time = self.time.min(now);
    }

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
        assert_eq!(judged(own, way, (seq, expected), &Gate::default()), verdict);
    }

    #[track_caller]
    fn judged(
        own: &Assembler,
        way: Direction,
        (seq, expected): (u32, u32),
        held: &Gate,
    ) -> &'static str {
        let rst = Segment {
            rst: true,
            ..segment(way, seq, expected, b"")
        };
        shown(judge(own, &rst, held, true))
    }

    fn shown(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Ignored => "ignored",
            Verdict::Over => "over",
            Verdict::Waits(reset) if reset.time == Nanos::MAX => "until the close",
            Verdict::Waits(reset) if reset.doubtful => "doubtful",
            Verdict::Waits(_) => "waits",
        }
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
        // What was received is in the socket's backlog, or was refused.
        check(&own, way, (15, 10), "doubtful");
        check(&own, way, (10, 10), "doubtful");
        // The socket is past what was seen.
        check(&own, way, (30, 30), "waits");
        check(&Assembler::default(), way, (30, 30), "over");
        check(&Assembler::default(), way, (31, 30), "ignored");
    }

    #[test]
    fn received_with_a_payload() {
        let way = Direction::Ingress;
        let own = direction(way, false, false);
        for (seq, verdict) in [(15, "doubtful"), (14, "ignored"), (10, "ignored")] {
            let rst = Segment {
                rst: true,
                ..segment(way, seq, 15, b"aaaaa")
            };
            // A file has what passed by; a socket may refuse it.
            let unverified = match verdict {
                "doubtful" => "until the close",
                other => other,
            };
            for (owned, verdict) in [(false, verdict), (true, unverified)] {
                let judged = shown(judge(&own, &rst, &Gate::default(), owned));
                assert_eq!(judged, verdict, "{seq} {owned}");
            }
        }
    }

    #[test]
    fn received_while_a_segment_waits() {
        let way = Direction::Ingress;
        let own = direction(way, false, false);
        let mut held = Gate::default();
        held.hold(&segment(way, 15, 15, b"aaaaa"), false);
        for (seq, expected, verdict) in [
            // TCP has taken it, or not yet, or has refused it.
            (20, 20, "waits"),
            (20, 15, "doubtful"),
            (15, 15, "doubtful"),
            (18, 15, "ignored"),
        ] {
            assert_eq!(judged(&own, way, (seq, expected), &held), verdict);
        }
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

    #[test]
    fn sent_in_a_file() {
        let way = Direction::Egress;
        let own = direction(way, false, false);
        for (seq, verdict) in [
            (15, "over"),
            (14, "ignored"),
            (15_u32.wrapping_sub(70_000), "ignored"),
            (16, "doubtful"),
            (200_015, "doubtful"),
            (15 + (1 << 24), "ignored"),
            (15 + (1 << 31), "ignored"),
        ] {
            let rst = Segment {
                rst: true,
                ..segment(way, seq, 15, b"")
            };
            let judged = shown(judge(&own, &rst, &Gate::default(), false));
            assert_eq!(judged, verdict, "{seq}");
        }
    }
}
