//! Quiescent points: where one side of a connection finished speaking before the other began.
//!
//! When the last bytes of the responses end at `A` and their sender had received the requests up to
//! `S`, and the next bytes of the requests begin at `S` and their sender had received the responses
//! up to `A`, then everything before (S, A) was said and heard by both sides. On a connection that
//! does not pipeline, a request that begins at `S` belongs to the response that begins at `A`,
//! whatever was missing before. Both positions are proven by the transport ([`Chunk::heard`]); no
//! clock is involved. Where the transport does not know what a sender had heard, there are no
//! quiescent points, and nothing is paired again after a gap.
//!
//! Of a TLS session, only this end is seen: what the other end had received is at most what was
//! written before its bytes were read. A client that pipelines looks there as if it waited, if the
//! server reads its requests one by one, each after a response.

use crate::flow::{Nanos, Offset};
use crate::transport::{Chunk, Gap};

/// The word that a client may go on, as nearly every server sends it.
const CONTINUE: u64 = b"HTTP/1.1 100 Continue\r\n\r\n".len() as u64;

/// So many bytes may be that word.
pub(crate) const fn is_continue(len: u64) -> bool {
    len == CONTINUE
}

/// How far one direction came, and what its sender had received then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    end: Offset,
    heard: Option<Offset>,
    known: Known,
    interim: bool,
    /// What its sender had received before it said anything after `end`, or after what is missing
    /// since.
    listened: Option<Offset>,
    /// How many bytes were missing last.
    missing: u64,
    time: Nanos,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// Where it stands; no byte, no gap yet.
    Position,
    /// After a gap: what its sender had received is not known.
    End,
    /// After bytes.
    Bytes,
}

impl Spoken {
    /// The direction's position, if anything is known of it.
    pub(crate) fn end(&self) -> Option<Offset> {
        (self.known != Known::Nothing).then_some(self.end)
    }

    /// No byte and no gap of this direction was seen.
    pub(crate) const fn is_unseen(&self) -> bool {
        matches!(self.known, Known::Nothing | Known::Position)
    }

    /// Where nothing of the other direction is captured: the sender of `chunk` has received
    /// something since its last bytes, which is not just the word that it may go on.
    pub(crate) fn was_responded(&self, chunk: &Chunk<'_>) -> bool {
        let received = match (self.known, self.heard, chunk.heard) {
            // Before what is missing: as far as that is known. What it received meanwhile may be in
            // the middle of it.
            (Known::End, _, Some(now)) => {
                self.listened.map_or(u64::MAX, |before| before.until(now))
            }
            (_, Some(before), Some(now)) => before.until(now),
            (_, None, Some(_)) => u64::MAX,
            (_, _, None) => 0,
        };
        received > 0 && !is_continue(received)
    }

    /// Of the requests: one may begin with `chunk`, since its sender has received more than before,
    /// or that cannot be known.
    pub(crate) fn may_go_on(&self, chunk: &Chunk<'_>) -> bool {
        self.known == Known::End || self.was_responded(chunk)
    }

    /// Of the responses: the last bytes before `request` began are missing, and may be the end of
    /// one.
    pub(crate) fn may_have_ended(&self, request: &Chunk<'_>) -> bool {
        self.known == Known::End
            && Some(self.end) == request.heard
            && !is_continue(self.missing)
            && !self.interim
    }

    /// When its last bytes came.
    pub(crate) const fn time(&self) -> Nanos {
        self.time
    }

    /// The sender of these bytes had received the other direction up to `offset`, and no further.
    pub(crate) fn had_received(&self, offset: Offset) -> bool {
        self.known == Known::Bytes && self.heard == Some(offset)
    }

    /// Its position became known.
    pub(crate) const fn opens(&mut self, offset: Offset) {
        self.end = offset;
        self.known = Known::Position;
    }

    /// Its sender has received the other direction up to here, and has said nothing more yet.
    pub(crate) fn hears(&mut self, offset: Offset) {
        if self.known != Known::End {
            self.listened = self.listened.max(Some(offset));
        }
    }

    /// Bytes are missing in the middle of a message.
    pub(crate) fn breaks_off(&mut self) {
        self.listened = self.heard;
    }

    /// Bytes came.
    #[inline]
    pub(crate) fn chunk(&mut self, chunk: &Chunk<'_>) {
        self.end = chunk.end();
        self.heard = chunk.heard;
        self.known = Known::Bytes;
        self.listened = None;
        self.time = chunk.time;
    }

    /// As [`Self::chunk`], for responses: notes whether the response that began last is an interim
    /// one.
    #[inline]
    pub(crate) fn response(&mut self, chunk: &Chunk<'_>) {
        self.chunk(chunk);
        if chunk.boundary && chunk.bytes.starts_with(b"HTTP/1.") {
            self.interim = is_interim(after_interim(chunk.bytes));
        }
    }

    /// Bytes are missing.
    pub(crate) fn gap(&mut self, gap: &Gap) {
        let before = match self.known {
            Known::End => self.missing,
            Known::Nothing | Known::Position | Known::Bytes => {
                self.listened = self.listened.max(self.heard);
                0
            }
        };
        self.missing = before + gap.len;
        self.end = gap.end();
        self.known = match gap.heard {
            // The first bytes of their segment came, which says what its sender had received.
            Some(_) => Known::Bytes,
            None => Known::End,
        };
        self.heard = gap.heard;
    }

    /// The response that began last, of the responses, is an interim one.
    pub(crate) const fn is_interim(&self) -> bool {
        self.interim
    }

    /// Of the responses: all that was said before `request` began was responded to, and both sides
    /// know it. After an interim response the same request goes on, so that is no quiescent point.
    pub(crate) fn is_quiescent(&self, request: &Chunk<'_>) -> bool {
        request.boundary
            && self.end().is_some()
            && self.end() == request.heard
            && self.had_received(request.offset)
            && !self.interim
    }

    /// Of the responses: nothing speaks against `request` beginning at a quiescent point. Enough
    /// where the request is known to begin here.
    pub(crate) fn may_be_quiescent(&self, request: &Chunk<'_>) -> bool {
        request.boundary
            && self.end().is_some()
            && self.end() == request.heard
            && (self.known != Known::Bytes || self.heard == Some(request.offset))
    }
}

/// What follows interim responses that are whole, if a response does; else the last of them.
pub(crate) fn after_interim(mut bytes: &[u8]) -> &[u8] {
    while is_interim(bytes)
        && let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n")
        && let Some(next) = bytes.get(end + 4..)
        && next.starts_with(b"HTTP/1.")
    {
        bytes = next;
    }
    bytes
}

/// The status line of an interim response: 1xx, but not 101, which is final (RFC 9110 §15.2).
pub(crate) fn is_interim(bytes: &[u8]) -> bool {
    match bytes.strip_prefix(b"HTTP/1.") {
        Some([_, b' ', status @ ..]) => status.starts_with(b"1") && !status.starts_with(b"101"),
        _ => false,
    }
}
