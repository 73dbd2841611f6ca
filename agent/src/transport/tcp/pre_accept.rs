//! First segments that the hook saw at a listener, until their connection shows.
//!
//! With TCP_DEFER_ACCEPT (Apache httpd's default), TCP Fast Open or a lost last ACK of the
//! handshake, the segment that carries the request completes the handshake: its socket is still the
//! listener. So is that of a segment which overtook it. They are kept by the two ends of the
//! connection and joined to the first segment of a real socket between them, if their sequence
//! numbers fit: only that one says where the stream began.

use std::collections::VecDeque;

use super::distance;
use super::owned::OwnedSegment;
use crate::capture::Segment;
use crate::flow::{CgroupId, Direction, Nanos, SocketId};

/// Segments kept: a backlog of handshakes (`somaxconn` is 4096) seldom waits longer than a moment.
const MOST: usize = 1024;
/// Bytes kept: 4 KiB for each of them.
const BYTES: usize = 4 * 1024 * 1024;
/// How long: what is missing of the request may come as late as TCP sends it again, 100 seconds at
/// least (RFC 9293 §3.8.3).
const AGE: Nanos = 100_000_000_000;
/// Sequence numbers of one connection's first segments lie this near.
const NEAR: u32 = 1024 * 1024;

/// Kept segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PreAccept {
    kept: VecDeque<Kept>,
    bytes: usize,
}

/// A segment without its connection.
#[derive(Debug)]
pub(crate) struct Kept {
    segment: OwnedSegment,
    /// Where the stream began, once that is known.
    start: u32,
}

impl PreAccept {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes held.
    pub(crate) const fn memory(&self) -> usize {
        self.bytes
    }

    /// Keeps a segment; says how many older ones had to go.
    pub(crate) fn keep(&mut self, segment: &Segment<'_>) -> u64 {
        if segment.direction != Direction::Ingress || segment.payload.is_empty() {
            return 0;
        }
        self.bytes += segment.payload.len();
        self.kept.push_back(Kept {
            segment: OwnedSegment::new(segment),
            // The listener's own position means nothing here.
            start: segment.seq,
        });
        let mut gone = 0;
        while self.kept.len() > MOST || self.bytes > BYTES {
            gone += u64::from(self.pop());
        }
        gone
    }

    /// Drops what is too old; says how many.
    pub(crate) fn expire(&mut self, now: Nanos) -> u64 {
        let mut gone = 0;
        while self
            .kept
            .front()
            .is_some_and(|kept| now.saturating_sub(kept.segment.get().time) >= AGE)
        {
            gone += u64::from(self.pop());
        }
        gone
    }

    fn pop(&mut self) -> bool {
        let Some(kept) = self.kept.pop_front() else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(kept.segment.get().payload.len());
        true
    }

    /// Takes the segments of the connection that `first` is the first segment of, in the order in
    /// which they came.
    pub(crate) fn take(&mut self, first: &Segment<'_>) -> Vec<Kept> {
        // What this socket had received, or is about to.
        let position = match first.direction {
            Direction::Ingress => first.expected,
            Direction::Egress => first.ack,
        };
        let mut taken = Vec::new();
        let mut at = 0;
        while let Some(kept) = self.kept.get(at) {
            let early = kept.segment.get();
            let same = early.local == first.local
                && early.remote == first.remote
                && distance(early.seq, position).unsigned_abs() <= NEAR;
            match same.then(|| self.kept.remove(at)).flatten() {
                Some(kept) => {
                    self.bytes = self.bytes.saturating_sub(kept.segment.get().payload.len());
                    taken.push(kept);
                }
                None => at += 1,
            }
        }
        let start = start(&taken, position);
        for kept in &mut taken {
            kept.start = start;
        }
        taken
    }
}

/// Where a stream began whose socket has received it up to `position`. What it had received before
/// its first segment came by way of the listener.
fn start(taken: &[Kept], position: u32) -> u32 {
    let segments = || taken.iter().map(|kept| kept.segment.get());
    let before = || segments().filter(|early| distance(early.seq, position) > 0);
    before()
        .find(|early| early.seq.wrapping_add(early.wire_len) == position)
        .or_else(|| before().max_by_key(|early| distance(early.seq, position)))
        .map_or(position, |first| first.seq)
}

impl Kept {
    /// As a segment of its connection.
    pub(crate) fn segment<'a>(&'a self, socket: SocketId, cgroup: CgroupId) -> Segment<'a> {
        Segment {
            socket,
            cgroup,
            expected: self.start,
            start: true,
            rst: false,
            listener: false,
            ..self.segment.get()
        }
    }
}
