//! Received segments that TCP is not known to have taken.
//!
//! The hook runs before TCP validates: what has a wrong checksum, an acknowledgement or a time
//! stamp that TCP refuses looks like data. TCP has taken what the socket's position has passed
//! (`rcv_nxt` with a later segment), or what the socket has acknowledged: a response does, as a
//! rule. Until then the segments wait here, for a moment. Of two that bring other bytes for one
//! position the later one is taken: it would not have come, had TCP taken the one before.
//!
//! A client that speaks first has no use for it: what is received is a response then, which may be
//! the last for long, and acknowledgements without payload are not seen. A server of HTTP/2 may
//! speak first, too; its first frame shows that it is one.

use std::collections::VecDeque;

use super::distance;
use super::owned::OwnedSegment;
use crate::capture::Segment;
use crate::flow::{Direction, Nanos};

/// How long a segment waits. Nothing is shown later for it: an exchange ends with its response, and
/// that shows what TCP has taken. A client that sends what TCP refuses, and the genuine bytes after
/// this time, is believed both, and marked.
pub(super) const WAIT: Nanos = 30_000_000_000;

/// Segments that wait at most: each one that comes is compared with all of them.
const MOST: usize = 512;

/// Bytes that wait at most, bookkeeping included: nothing is lost of what goes on earlier.
const MOST_BYTES: usize = 1024 * 1024;

/// Segments that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Gate {
    role: Role,
    held: VecDeque<Held>,
    bytes: usize,
    /// Where TCP stood last.
    proven: Option<u32>,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    /// Nobody has.
    #[default]
    Unknown,
    /// The other end.
    Server,
    /// The socket.
    Client,
}

/// A segment that waits.
#[derive(Debug)]
pub(super) struct Held {
    segment: OwnedSegment,
    /// It brings other bytes than one that came before.
    pub(super) disputed: bool,
    /// A FIN came later that ends the stream before this.
    doubtful: bool,
}

impl Gate {
    /// Notes what a segment proves.
    #[inline]
    pub(super) fn note(&mut self, segment: &Segment<'_>) {
        let (role, position) = match segment.direction {
            Direction::Ingress => (Role::Server, segment.expected),
            Direction::Egress => (Role::Client, segment.ack),
        };
        if self.role == Role::Unknown && !segment.rst && (segment.wire_len > 0 || segment.fin) {
            self.role = match role {
                Role::Client if is_settings(segment.payload) => Role::Server,
                role => role,
            };
        }
        if self.held.is_empty() {
            return;
        }
        self.proven = match self.proven {
            Some(before) if distance(before, position) < 0 => Some(before),
            _ => Some(position),
        };
    }

    /// Nothing waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Does a segment wait here?
    #[inline]
    pub(super) fn is_for(&self, segment: &Segment<'_>) -> bool {
        segment.direction == Direction::Ingress
            && self.role == Role::Server
            && !segment.rst
            && (distance(segment.expected, end(segment)) > 0 || segment.urgent.is_some())
    }

    /// Has a segment wait. Those that it refutes are gone. `first`: nothing of the direction was
    /// handed on. A socket that has received nothing has no backlog, so the later one is right.
    pub(super) fn hold(&mut self, segment: &Segment<'_>, first: bool) {
        let mut disputed = false;
        self.held.retain_mut(|held| {
            let judgement = held.judge(segment);
            held.doubtful |= judgement == Judgement::Doubtful;
            let is_certain = first && held.segment().seq == segment.seq;
            disputed |= judgement == Judgement::Differs && !is_certain;
            let goes = matches!(judgement, Judgement::Differs | Judgement::Refuted);
            if goes {
                self.bytes -= held.len();
            }
            !goes
        });
        self.bytes += segment.payload.len();
        self.held.push_back(Held {
            segment: OwnedSegment::new(segment),
            disputed,
            doubtful: false,
        });
    }

    /// The next one that TCP has taken.
    pub(super) fn taken(&mut self) -> Option<Held> {
        let position = self.proven?;
        let at = self.held.iter().position(|held| held.is_taken(position))?;
        self.remove(at)
    }

    /// The first one, if it has waited since before that.
    pub(super) fn waited(&mut self, before: Nanos) -> Option<Held> {
        let first = self.held.front()?;
        match first.segment().time < before {
            true => self.remove(0),
            false => None,
        }
    }

    /// The first one, if more waits than is to: `bytes` of memory, or too many segments.
    pub(super) fn overflow(&mut self, bytes: usize) -> Option<Held> {
        match self.memory() > bytes.min(MOST_BYTES) || self.held.len() > MOST {
            true => self.remove(0),
            false => None,
        }
    }

    /// Nothing more comes: the next one that TCP may have taken.
    pub(super) fn flush(&mut self) -> Option<Held> {
        while let Some(held) = self.remove(0) {
            if !held.doubtful {
                return Some(held);
            }
        }
        None
    }

    /// Does a segment wait that ends there?
    pub(super) fn ends_at(&self, seq: u32) -> bool {
        self.held.iter().any(|held| held.end() == seq)
    }

    /// Does a segment wait that ends after that?
    pub(super) fn reaches_past(&self, seq: u32) -> bool {
        self.held.iter().any(|held| distance(seq, held.end()) > 0)
    }

    fn remove(&mut self, at: usize) -> Option<Held> {
        let held = self.held.remove(at)?;
        self.bytes -= held.len();
        if self.held.is_empty() {
            self.proven = None;
        }
        Some(held)
    }

    /// Until when the first one waits.
    #[inline]
    pub(super) fn due(&self) -> Option<Nanos> {
        let first = self.held.front()?;
        Some(first.segment().time.saturating_add(WAIT))
    }

    /// Bytes held, bookkeeping included.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.held.len() * size_of::<Held>()
    }
}

/// What a later segment says of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// Nothing.
    Agrees,
    /// TCP has refused it.
    Refuted,
    /// As before, and it has other bytes at its position.
    Differs,
    /// One of the two is refused.
    Doubtful,
}

impl Held {
    /// As it came.
    pub(super) const fn segment(&self) -> Segment<'_> {
        self.segment.get()
    }

    /// Bytes of payload.
    const fn len(&self) -> usize {
        self.segment().payload.len()
    }

    /// The sequence number after it. A FIN has one.
    const fn end(&self) -> u32 {
        end(&self.segment())
    }

    /// TCP stands at `position`. It may have taken the bytes in other parts: the first one decides.
    /// Where a FIN may be what was taken, the last one does.
    const fn is_taken(&self, position: u32) -> bool {
        match self.doubtful {
            true => distance(self.end(), position) >= 0,
            false => distance(self.segment().seq, position) > 0,
        }
    }

    /// Of a later segment that TCP has not passed.
    fn judge(&self, later: &Segment<'_>) -> Judgement {
        let own = self.segment();
        let own_end = own.seq.wrapping_add(own.wire_len);
        let later_end = later.seq.wrapping_add(later.wire_len);
        if differs((own.seq, own.payload), (later.seq, later.payload)) {
            return Judgement::Differs;
        }
        if own.fin && distance(own_end, later_end) > 0 {
            // Nobody who has said that nothing more comes says more.
            return Judgement::Refuted;
        }
        match later.fin && distance(later_end, own_end) > 0 {
            true => Judgement::Doubtful,
            false => Judgement::Agrees,
        }
    }
}

/// Do bytes begin with a SETTINGS frame, as those of a server of HTTP/2 do (RFC 9113 §3.4)? A
/// client sends its preface first.
const fn is_settings(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, 4, 0, 0, 0, 0, 0, ..])
}

/// The sequence number after a segment. A FIN has one.
const fn end(segment: &Segment<'_>) -> u32 {
    let fin = if segment.fin { 1 } else { 0 };
    segment.seq.wrapping_add(segment.wire_len).wrapping_add(fin)
}

/// Do two ranges overlap, with other bytes there?
fn differs((a_seq, a): (u32, &[u8]), (b_seq, b): (u32, &[u8])) -> bool {
    let ahead = distance(a_seq, b_seq);
    let skip = ahead.unsigned_abs() as usize;
    let (a, b) = match ahead >= 0 {
        true => (a.get(skip..), Some(b)),
        false => (Some(a), b.get(skip..)),
    };
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    let len = a.len().min(b.len());
    a.get(..len) != b.get(..len)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::SocketId;

    fn segment<'a>(direction: Direction, seq: u32, expected: u32, text: &'a str) -> Segment<'a> {
        let end = SocketAddr::from(([192, 0, 2, 1], 80)).into();
        Segment {
            seq,
            expected,
            ..Segment::new(SocketId(1), direction, (end, end), text.as_bytes())
        }
    }

    /// Segments that a server receives at these positions, `.` in front for a FIN; and what goes
    /// through, with `!` where it is disputed, once TCP stands at `proven`, and at the end.
    #[track_caller]
    fn check(received: &[(u32, u32, &str)], proven: u32, through: &str, flushed: &str) {
        let mut gate = Gate::default();
        for (seq, expected, text) in received {
            let fin = text.starts_with('.');
            let segment = Segment {
                fin,
                ..segment(
                    Direction::Ingress,
                    *seq,
                    *expected,
                    text.trim_start_matches('.'),
                )
            };
            gate.note(&segment);
            assert!(gate.is_for(&segment), "{text}");
            gate.hold(&segment, false);
        }
        gate.note(&Segment {
            ack: proven,
            ..segment(Direction::Egress, 1, 1, "response")
        });
        let show = |held: Held| {
            let text = String::from_utf8_lossy(held.segment().payload).into_owned();
            let mark = if held.disputed { "!" } else { "" };
            let fin = if held.segment().fin { "." } else { "" };
            format!("{mark}{fin}{text} ")
        };
        let mut passed = String::new();
        while let Some(held) = gate.taken() {
            passed += &show(held);
        }
        let mut rest = String::new();
        while let Some(held) = gate.flush() {
            rest += &show(held);
        }
        assert_eq!((passed.trim(), rest.trim()), (through, flushed));
        assert_eq!(gate.bytes, 0);
    }

    #[test]
    fn what_tcp_has_taken_goes_through() {
        check(&[(10, 10, "abc")], 13, "abc", "");
        check(&[(10, 10, "abc")], 10, "", "abc");
        check(&[(13, 10, "def"), (10, 10, "abc")], 16, "def abc", "");
        // Sent again, in other parts.
        check(&[(10, 10, "abc"), (10, 10, "ab")], 12, "abc ab", "");
        check(&[(10, 10, "abc"), (13, 10, ".")], 14, "abc .", "");
    }

    /// What is received waits at a server of HTTP/2 that speaks first, and not at a client.
    #[test]
    fn who_speaks_first() {
        for (first, waits) in [
            ("\0\0\u{6}\u{4}\0\0\0\0\0\0\u{3}\0\0\0d", true),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false),
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("220 ready\r\n", false),
        ] {
            let mut gate = Gate::default();
            gate.note(&segment(Direction::Egress, 1, 1, first));
            let received = segment(Direction::Ingress, 10, 10, "abc");
            gate.note(&received);
            assert_eq!(gate.is_for(&received), waits, "{first:?}");
        }
    }

    #[test]
    fn what_tcp_has_refused_does_not() {
        check(&[(10, 10, "XXX"), (10, 10, "abc")], 13, "!abc", "");
        check(&[(10, 10, "abXXXXX"), (10, 10, "abc")], 13, "!abc", "");
        check(&[(12, 10, "XX"), (10, 10, "abc")], 13, "!abc", "");
        // A FIN that data goes past; data that a FIN comes before.
        check(&[(10, 10, "."), (10, 10, "abc")], 13, "abc", "");
        check(&[(10, 10, "abc"), (10, 10, ".")], 11, ".", "");
    }

    #[test]
    fn so_many_wait() {
        let mut gate = Gate::default();
        let mut passed = 0;
        for n in 0..=u32::try_from(MOST).unwrap() {
            let segment = segment(Direction::Ingress, 10 + n, 10, "a");
            gate.note(&segment);
            gate.hold(&segment, false);
            passed += u32::from(gate.overflow(usize::MAX).is_some());
        }
        assert_eq!(passed, 1);
        assert!(gate.overflow(0).is_some());
    }

    #[test]
    fn a_client_does_not_wait() {
        let mut gate = Gate::default();
        gate.note(&segment(Direction::Egress, 1, 1, "request"));
        let response = segment(Direction::Ingress, 10, 10, "response");
        gate.note(&response);
        assert!(!gate.is_for(&response));
    }
}
