//! What a direction of an HTTP/2 connection carries.

use super::header_block::Block;
use crate::http::h2::Violation;
use crate::http::h2::frame::Settings;

/// What a direction carries.
pub(super) enum Received<'a> {
    Block(Box<Block>),
    /// A header block of this stream, too long to keep.
    BlockTooLong(u32),
    /// DATA of a stream begins.
    Data(u32),
    /// Body bytes of a stream.
    Bytes(u32, &'a [u8]),
    /// So many body bytes of a stream are missing.
    Missing(u32, u64),
    /// DATA that ends its stream.
    End(u32),
    Reset(u32, u32),
    /// The window of a stream grows.
    Window(u32),
    /// The last stream that the sender looks at.
    GoAway(u32),
    /// What the sender takes. The flag: none of its earlier SETTINGS is missing.
    Settings(Settings<'a>, bool),
    /// SETTINGS were not read.
    MissedSettings,
    /// So many bytes were passed over on the way to a frame.
    Unread(u64),
    /// Frames were found again.
    Found,
    /// They were not, and are looked for no more.
    Lost,
    /// Header blocks may be among what was passed over.
    MissedBlocks,
    /// A frame broke the protocol.
    Broken(Violation),
}
