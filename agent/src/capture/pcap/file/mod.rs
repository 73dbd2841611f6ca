//! Records of a capture file, whole or compressed.
//!
//! * pcap (draft-ietf-opsawg-pcap): microseconds or nanoseconds, either byte order, and as patched
//!   by Kuznetzov; snoop (RFC 1761). Each record has a header of fixed length: [`records`].
//! * pcapng (draft-ietf-opsawg-pcapng): several sections and interfaces, each with its own link
//!   type, time resolution and offset; by `pcap-parser`: [`blocks`].

mod blocks;
mod input;
mod records;

use std::io::{self, Read};

pub use self::input::{is_compressed, unpack, unpacked_head};

use self::blocks::Blocks;
use self::input::Input;
use self::records::Records;
use super::totals::Skip;
use crate::flow::Nanos;

/// Largest block believed in. A frame is at most 512 KiB (BIG TCP), 256 KiB in files of the common
/// tools; other blocks (decryption secrets, name tables) are larger.
const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// First bytes by which a file is recognised.
const HEAD: usize = 8;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Nanoseconds since 1970.
    pub(super) time: Nanos,
    /// What the first header of `data` is.
    pub(super) link: u32,
    /// What was captured of the frame.
    pub(super) data: &'a [u8],
    /// Length of the frame on the wire.
    pub(super) orig_len: usize,
}

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the formats.
    #[error("not a pcap, pcapng or snoop file")]
    NotACapture,
    /// Compressed in a way that is not read.
    #[error("the file is compressed with {0}: decompress it first")]
    Compressed(&'static str),
    /// The end of the file lies inside a record.
    #[error("the file is cut off: it ends inside the record that begins at byte {at}")]
    CutOff {
        /// Offset of the record.
        at: u64,
    },
    /// A record that contradicts itself.
    #[error("the file is damaged: the record at byte {at} is not valid")]
    Damaged {
        /// Offset of the record.
        at: u64,
    },
    /// A record larger than any frame.
    #[error("the file is damaged: the record at byte {at} claims more than {MAX_BLOCK} bytes")]
    Oversize {
        /// Offset of the record.
        at: u64,
    },
    /// The system could not read it, or it could not be decompressed.
    #[error("the file cannot be read at byte {at}: {cause}")]
    Unreadable {
        /// Offset of the read, in what is decompressed.
        at: u64,
        /// What the system said.
        cause: io::Error,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::CutOff { .. } => io::ErrorKind::UnexpectedEof,
            Error::Unreadable { cause, .. } => cause.kind(),
            Error::NotACapture
            | Error::Compressed(_)
            | Error::Damaged { .. }
            | Error::Oversize { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The bytes begin a file of one of the formats, or a compressed one that may be one.
#[must_use]
pub fn recognizes(head: &[u8]) -> bool {
    blocks::recognizes(head) || records::recognizes(head) || is_compressed(head)
}

/// What one step of the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A block, with or without a frame.
    Block,
    /// The end of the file, after a whole block.
    End,
}

/// Reads a file block by block.
#[derive(Debug)]
pub(super) struct Reader(Format);

#[derive(Debug)]
enum Format {
    Records(Records),
    Blocks(Blocks),
}

impl Reader {
    pub(super) fn new(input: impl Read + Send + 'static) -> Result<Self, Error> {
        let input = Input::open(Box::new(input))?;
        Ok(Self(match blocks::recognizes(input.head()) {
            true => Format::Blocks(Blocks::new(input)?),
            false => Format::Records(Records::new(input)?),
        }))
    }

    /// Reads one block, and hands its frame to `handle` if it has one.
    pub(super) fn step(
        &mut self,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) -> Result<Step, Error> {
        match &mut self.0 {
            Format::Records(records) => records.step(handle),
            Format::Blocks(blocks) => blocks.step(handle),
        }
    }
}
