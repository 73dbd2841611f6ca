//! Header blocks, as one direction carries them.

use crate::flow::Offset;
use crate::http::h2::HeadBuilder;
use crate::http::h2::frame::Kind;
use crate::http::h2::hpack;

/// A header block, decoded.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// PUSH_PROMISE: the stream to come.
    pub(super) promised: Option<u32>,
    pub(super) end_stream: bool,
    /// Where its frame begins.
    pub(super) offset: Offset,
    pub(super) head: HeadBuilder,
    /// Why it could not be decoded.
    pub(super) error: Option<hpack::Error>,
}

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) stream: u32,
    pub(super) promised: Option<u32>,
    pub(super) end_stream: bool,
    pub(super) offset: Offset,
    pub(super) bytes: Vec<u8>,
    /// More of it came than is kept.
    pub(super) too_long: bool,
}

impl Started {
    pub(super) const fn new(
        stream: u32,
        promised: Option<u32>,
        end_stream: bool,
        offset: Offset,
    ) -> Self {
        Self {
            stream,
            promised,
            end_stream,
            offset,
            bytes: Vec::new(),
            too_long: false,
        }
    }

    /// With what was decoded of it.
    pub(super) const fn decoded(&self, head: HeadBuilder, error: Option<hpack::Error>) -> Block {
        Block {
            stream: self.stream,
            promised: self.promised,
            end_stream: self.end_stream,
            offset: self.offset,
            head,
            error,
        }
    }
}

/// A frame of a header block.
pub(super) const fn is_block(kind: Kind) -> bool {
    matches!(kind, Kind::Headers | Kind::Continuation | Kind::PushPromise)
}
