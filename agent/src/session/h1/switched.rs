//! From HTTP/1 to something else: after a 101, or a 2xx to CONNECT.

use super::super::tunnel::EARLY;
use crate::exchange::Request;
use crate::flow::{Nanos, Offset, TunnelClaims};
use crate::transport::{Chunk, Gap};

/// Bytes that came after a CONNECT and before its response.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(super) bytes: Vec<u8>,
    offset: Offset,
    heard: Option<Offset>,
    time: Nanos,
    /// How many came; `bytes` has the first of them.
    pub(super) len: u64,
}

impl Early {
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        if self.len == 0 {
            self.offset = chunk.offset;
            self.heard = chunk.heard;
            self.time = chunk.time;
        }
        if self.len == self.bytes.len() as u64 {
            let room = EARLY.saturating_sub(self.bytes.len());
            let kept = chunk.bytes.get(..room).unwrap_or(chunk.bytes);
            self.bytes.extend_from_slice(kept);
        }
        self.len += chunk.bytes.len() as u64;
    }

    /// What was kept.
    pub(crate) fn chunk(&self) -> Option<Chunk<'_>> {
        (!self.bytes.is_empty()).then_some(Chunk {
            bytes: &self.bytes,
            offset: self.offset,
            heard: self.heard,
            time: self.time,
            boundary: true,
        })
    }

    /// What was not.
    pub(crate) fn gap(&self, time: Nanos) -> Option<Gap> {
        let kept = self.bytes.len() as u64;
        (self.len > kept).then_some(Gap {
            offset: self.offset + kept,
            len: self.len - kept,
            skipped: true,
            heard: None,
            time,
        })
    }
}

/// From here on the connection speaks something else.
#[derive(Debug)]
pub(crate) struct Switched {
    /// It is WebSocket (RFC 6455).
    pub(crate) websocket: bool,
    /// It is HTTP/2 (RFC 7540 §3.2): the request, which is its first stream.
    pub(crate) upgraded: Option<Box<Request>>,
    /// What a CONNECT says of the tunnel.
    pub(crate) claims: TunnelClaims,
    /// Where the request begins.
    pub(crate) offset: Offset,
    /// Where the first request begins that began since the last look.
    pub(crate) unseen: Option<Offset>,
    /// What the client sent before it knew.
    pub(crate) early: Early,
    /// The client has ended its direction.
    pub(crate) requests_ended: bool,
}
