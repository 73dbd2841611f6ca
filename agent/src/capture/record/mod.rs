//! Recordings: raw kernel events in a file, so that a capture can be turned into exchanges again,
//! anywhere, without privileges.
//!
//! ```text
//! file    = head record*
//! head    = magic[8] order[1] version[1] zero[2] event_len[4] offset[8] started[8] max_body[8] ring[4] key[16] zero[4]    64 bytes
//! record  = kind[4] len[4] content[len]
//! event   = EventHeader[88] payload              kind 1
//! tick    = time[8]                              kind 2: the engine was made to let time pass
//! process = index[8] cookie[8] pid[4] name       kind 3: the socket's process, from the exchange with this index on
//! lost    = events[8] bytes[8]                   kind 4: the disk was too slow for these
//! end     = time[8]                              kind 5: the capture ended in good order
//! caller  = index[8] cookie[8] pid[4] name       kind 6: as kind 3, of the process at the other end; since version 2
//! plaintext = EventHeader[88] session[8] offset[8] heard[8] bytes    kind 7: of a TLS session; since version 3
//! ```
//!
//! Integers are in the byte order of the machine that recorded, which `order` gives (1 little, 2
//! big), so recording swaps nothing and any machine can read it. A recording holds plaintext
//! traffic: its file is made readable by its owner alone.

#[cfg(feature = "agent")]
mod disk;
mod read;
#[cfg(feature = "agent")]
mod write;

use meshtap_common::{EventHeader, HEADER_LEN, MAX_CHUNK, PlaintextHeader};
use thiserror::Error;

use crate::flow::Nanos;

pub use read::{Owners, Reader};
#[cfg(feature = "agent")]
pub use write::{ProcessRecorder, RawSource, Recorded, Recorder, RecordingSource};

/// The first bytes of every recording.
pub const MAGIC: [u8; 8] = *b"MESHTAP\x1a";

/// Versions 1 and 2 are read, too.
const VERSION: u8 = 3;
const LITTLE: u8 = 1;
const BIG: u8 = 2;
#[cfg(target_endian = "little")]
const NATIVE: u8 = LITTLE;
#[cfg(target_endian = "big")]
const NATIVE: u8 = BIG;

const HEAD_LEN: usize = 64;
const RECORD_LEN: usize = 8;

const EVENT: u32 = 1;
const TICK: u32 = 2;
const PROCESS: u32 = 3;
const LOST: u32 = 4;
const END: u32 = 5;
const CALLER: u32 = 6;
const PLAINTEXT: u32 = 7;

/// Longest content of a record: a whole event. A longer one is corrupt, so a bad length never
/// allocates.
const MAX_CONTENT: usize = HEADER_LEN + MAX_CHUNK;

/// What a recording says of the capture that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Nanoseconds since 1970-01-01T00:00:00Z at monotonic zero.
    pub offset: i64,
    /// When the capture started.
    pub started: Nanos,
    /// Body bytes captured per message.
    pub max_body: u64,
    /// Size of the ring buffer.
    pub ring_bytes: u32,
    /// Key of the hashes that stand for secrets, so that a replay shows the same ones. It gives
    /// nothing away: the secrets themselves are in the recording.
    pub key: [u8; 16],
}

/// Why a recording cannot be read any further.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Something else.
    #[error("it is not a meshtap recording")]
    NotARecording,
    /// Of a later version.
    #[error("it is a recording of format {0}; this meshtap reads formats up to {VERSION}")]
    Version(u8),
    /// Bytes that no recorder writes.
    #[error("the recording is corrupt at byte {at}: {what}")]
    Corrupt {
        /// Offset of the record.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file ends too early.
    #[error(
        "the recording stops at byte {at} without its end mark: the recorder was cut off, or the file was"
    )]
    Truncated {
        /// Its length.
        at: u64,
    },
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// Reads integers off the front of a slice, in a file's byte order.
struct Cursor<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Cursor<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.bytes()?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes()?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.bytes()?;
        Some(match self.order {
            Order::Little => u64::from_le_bytes(bytes),
            Order::Big => u64::from_be_bytes(bytes),
        })
    }

    fn plaintext(&mut self) -> Option<PlaintextHeader> {
        Some(PlaintextHeader {
            session: self.u64()?,
            offset: self.u64()?,
            heard: self.u64()?,
        })
    }

    fn event(&mut self) -> Option<EventHeader> {
        Some(EventHeader {
            time_ns: self.u64()?,
            cookie: self.u64()?,
            cgroup_id: self.u64()?,
            seq: self.u32()?,
            ack: self.u32()?,
            expected: self.u32()?,
            wire_len: self.u32()?,
            captured_len: self.u32()?,
            kind: self.bytes::<1>()?[0],
            direction: self.bytes::<1>()?[0],
            flags: self.u16()?,
            local_port: self.u16()?,
            remote_port: self.u16()?,
            urgent: self.u32()?,
            local_addr: self.bytes()?,
            remote_addr: self.bytes()?,
        })
    }
}

fn put_record(out: &mut Vec<u8>, kind: u32, len: usize) {
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
}

fn put_head(out: &mut Vec<u8>, meta: &Meta) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[NATIVE, VERSION, 0, 0]);
    out.extend_from_slice(&u32::try_from(HEADER_LEN).unwrap_or(0).to_ne_bytes());
    out.extend_from_slice(&meta.offset.to_ne_bytes());
    out.extend_from_slice(&meta.started.to_ne_bytes());
    out.extend_from_slice(&meta.max_body.to_ne_bytes());
    out.extend_from_slice(&meta.ring_bytes.to_ne_bytes());
    out.extend_from_slice(&meta.key);
    out.extend_from_slice(&[0; 4]);
}

fn head(bytes: &[u8; HEAD_LEN]) -> Result<(Meta, Order), RecordError> {
    let corrupt = |what| RecordError::Corrupt { at: 0, what };
    let rest = bytes
        .strip_prefix(&MAGIC)
        .ok_or(RecordError::NotARecording)?;
    let mut cursor = Cursor {
        rest,
        order: Order::Little,
    };
    let [order, version, ..] = cursor
        .bytes::<4>()
        .ok_or(corrupt("the head is too short"))?;
    if !(1..=VERSION).contains(&version) {
        return Err(RecordError::Version(version));
    }
    cursor.order = match order {
        LITTLE => Order::Little,
        BIG => Order::Big,
        _ => return Err(corrupt("no such byte order")),
    };
    let fields = |cursor: &mut Cursor<'_>| {
        let event_len = cursor.u32()?;
        let meta = Meta {
            offset: cursor.u64()?.cast_signed(),
            started: cursor.u64()?,
            max_body: cursor.u64()?,
            ring_bytes: cursor.u32()?,
            key: cursor.bytes()?,
        };
        Some((event_len, meta))
    };
    let (event_len, meta) = fields(&mut cursor).ok_or(corrupt("the head is too short"))?;
    if usize::try_from(event_len) != Ok(HEADER_LEN) {
        return Err(corrupt("events of another layout"));
    }
    Ok((meta, cursor.order))
}

#[cfg(test)]
#[cfg(feature = "agent")]
mod tests;
