//! Turning points: where one side of a connection finished speaking before the other began.
//!
//! When the last bytes of the answers end at `A` and their sender had received the requests up to `S`, and the next bytes
//! of the requests begin at `S` and their sender had received the answers up to `A`, then everything before (S, A) was
//! said and heard by both sides. On a connection that does not pipeline, a request that begins at `S` is answered by the
//! response that begins at `A`, whatever was lost before. Both numbers stand in TCP headers; no clock is involved.

use crate::flow::Nanos;
use crate::transport::tcp::{Gap, Piece};

/// How far one direction was told, and what its sender had received then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    end: u32,
    ack: u32,
    known: Known,
    interim: bool,
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
    Both,
}

impl Turn {
    /// The direction's position, if anything is known of it.
    pub(crate) fn end(&self) -> Option<u32> {
        (self.known != Known::Nothing).then_some(self.end)
    }

    /// No byte and no gap of this direction was seen.
    pub(crate) const fn is_unseen(&self) -> bool {
        matches!(self.known, Known::Nothing | Known::Position)
    }

    /// When its last bytes came.
    pub(crate) const fn time(&self) -> Nanos {
        self.time
    }

    /// The sender of these bytes had received the other direction up to `seq`, and no further.
    pub(crate) fn had_received(&self, seq: u32) -> bool {
        self.known == Known::Both && self.ack == seq
    }

    pub(crate) const fn opens(&mut self, seq: u32) {
        self.end = seq;
        self.known = Known::Position;
    }

    #[inline]
    pub(crate) fn bytes(&mut self, piece: &Piece<'_>) {
        self.end = piece.end();
        self.ack = piece.ack;
        self.known = Known::Both;
        self.time = piece.time;
    }

    /// As [`Self::bytes`], for answers: notes whether the answer that began last is an interim one.
    #[inline]
    pub(crate) fn answer(&mut self, piece: &Piece<'_>) {
        self.bytes(piece);
        if piece.boundary && piece.bytes.starts_with(b"HTTP/1.") {
            self.interim = is_interim(piece.bytes);
        }
    }

    pub(crate) const fn gap(&mut self, gap: &Gap) {
        self.end = gap.seq.wrapping_add(gap.len);
        self.known = Known::End;
    }

    /// Of the answers: all that was said before `request` began was answered, and both sides know it. After an interim
    /// answer the same request goes on, so that is no turning point.
    pub(crate) fn is_turn(&self, request: &Piece<'_>) -> bool {
        request.boundary
            && self.end() == Some(request.ack)
            && self.had_received(request.seq)
            && !self.interim
    }

    /// Of the answers: nothing speaks against `request` beginning at a turning point. Enough where the request is known
    /// to begin here.
    pub(crate) fn may_be_turn(&self, request: &Piece<'_>) -> bool {
        request.boundary
            && self.end() == Some(request.ack)
            && (self.known != Known::Both || self.ack == request.seq)
    }
}

/// The status line of an interim answer: 1xx, but not 101, which is final (RFC 9110 §15.2).
pub(crate) fn is_interim(bytes: &[u8]) -> bool {
    match bytes {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            status @ ..,
        ] => status.starts_with(b"1") && !status.starts_with(b"101"),
        _ => false,
    }
}
