//! First bytes of a connection that decide nothing yet, kept for what it turns out to speak.

use crate::flow::{Claim, Direction, Nanos, Offset};
use crate::transport::Chunk;

/// What must not be lost while nothing is decided.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(super) starts: [Option<Start>; 2],
    /// The direction whose bytes came first.
    pub(super) first: Option<Direction>,
    pub(super) preamble: Option<Whole>,
}

/// A PROXY preamble was passed over: another is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) source: Option<Claim>,
}

/// First bytes of a direction.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) bytes: Vec<u8>,
    pub(super) offset: Offset,
    heard: Option<Offset>,
    time: Nanos,
}

impl Start {
    /// The bytes that end with a chunk.
    pub(super) fn ending(chunk: &Chunk<'_>, bytes: Vec<u8>) -> Self {
        let end = chunk.offset.0 + chunk.bytes.len() as u64;
        Self {
            offset: Offset(end.saturating_sub(bytes.len() as u64)),
            bytes,
            ..Self::new(chunk)
        }
    }

    /// The bytes before this offset, which came at this time.
    pub(super) fn before(end: Offset, time: Nanos, bytes: Vec<u8>) -> Self {
        Self {
            offset: Offset(end.0.saturating_sub(bytes.len() as u64)),
            bytes,
            heard: None,
            time,
        }
    }

    pub(super) fn new(chunk: &Chunk<'_>) -> Self {
        Self {
            bytes: chunk.bytes.to_vec(),
            offset: chunk.offset,
            heard: chunk.heard,
            time: chunk.time,
        }
    }

    fn chunk(&self) -> Chunk<'_> {
        Chunk {
            bytes: &self.bytes,
            offset: self.offset,
            heard: self.heard,
            time: self.time,
            boundary: true,
        }
    }
}

impl Held {
    /// Nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.starts.iter().all(Option::is_none)
    }

    /// The chunks, in the order in which the directions began.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (Direction, Chunk<'_>)> {
        let mut order = [Direction::Ingress, Direction::Egress];
        if self.first == Some(Direction::Egress) {
            order.reverse();
        }
        order.into_iter().filter_map(|direction| {
            let start = self.starts.get(direction as usize)?.as_ref()?;
            (!start.bytes.is_empty()).then(|| (direction, start.chunk()))
        })
    }
}
