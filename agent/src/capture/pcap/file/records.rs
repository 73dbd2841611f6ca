//! Files of records whose headers have a fixed length: pcap in all its kinds, and snoop.

use std::io::Read;

use super::{Error, Input, MAX_BLOCK, Record, Skip, Step, input};
use crate::capture::pcap::frame::types;
use crate::flow::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Time in seconds and microseconds.
    Micros,
    /// Time in seconds and nanoseconds.
    Nanos,
    /// As Alexey Kuznetzov's patch of libpcap wrote it: microseconds, and eight more bytes
    /// (interface, protocol, packet type).
    Patched,
    /// RFC 1761: always big-endian; records are padded, and say how long they are with that.
    Snoop,
}

/// A byte order.
#[derive(Clone, Copy, Debug)]
struct Order {
    big: bool,
}

impl Order {
    /// The 32 bits at `at` of a header, all of whose fields lie in it.
    fn word(self, header: &[u8], at: usize) -> u32 {
        let bytes = header.get(at..).and_then(<[u8]>::first_chunk);
        let bytes = bytes.copied().unwrap_or_default();
        match self.big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }
}

/// What the first bytes say.
fn kind(head: &[u8]) -> Option<(Kind, Order)> {
    if head.starts_with(b"snoop\0\0\0") {
        return Some((Kind::Snoop, Order { big: true }));
    }
    let magic = *head.first_chunk::<4>()?;
    [true, false].into_iter().find_map(|big| {
        let order = Order { big };
        let kind = match order.word(&magic, 0) {
            0xa1b2_c3d4 => Kind::Micros,
            0xa1b2_3c4d => Kind::Nanos,
            0xa1b2_cd34 => Kind::Patched,
            _ => return None,
        };
        Some((kind, order))
    })
}

pub(super) fn recognizes(head: &[u8]) -> bool {
    kind(head).is_some()
}

/// The order of the two lengths of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    /// Before version 2.3.
    OriginalFirst,
    /// Version 2.3, where either is found: the smaller one is what was captured.
    Either,
}

/// Reads a file record by record.
#[derive(Debug)]
pub(super) struct Records {
    input: Input,
    failure: input::Failure,
    kind: Kind,
    order: Order,
    lengths: Lengths,
    link: u32,
    /// Offset of the next record.
    at: u64,
    data: Vec<u8>,
}

/// The header of a record.
struct Header {
    time: Nanos,
    captured: usize,
    original: usize,
    padding: usize,
}

impl Records {
    pub(super) fn new(mut input: Input) -> Result<Self, Error> {
        let (kind, order) = kind(input.head()).ok_or(Error::NotACapture)?;
        let failure = input.failure();
        let mut header = [0; 24];
        let len = match kind {
            Kind::Snoop => 16,
            Kind::Micros | Kind::Nanos | Kind::Patched => header.len(),
        };
        // Within bounds: both lengths are at most the array's.
        let read = input.read(&mut header[..len]).unwrap_or(0);
        if read < len {
            return Err(failure.take(0).unwrap_or(Error::CutOff { at: 0 }));
        }
        let minor = match order.big {
            true => u16::from_be_bytes([header[6], header[7]]),
            false => u16::from_le_bytes([header[6], header[7]]),
        };
        let lengths = match (kind, minor) {
            (Kind::Micros, 0..=2) => Lengths::OriginalFirst,
            (Kind::Micros, 3) => Lengths::Either,
            _ => Lengths::CapturedFirst,
        };
        let link = match kind {
            Kind::Snoop => match order.word(&header, 12) {
                0 | 4 => types::ETHERNET,
                // RFC 1761 numbers link types in its own way.
                other => other.saturating_add(0x1_0000),
            },
            // The upper half holds the length of a frame check sequence.
            Kind::Micros | Kind::Nanos | Kind::Patched => order.word(&header, 20) & 0xffff,
        };
        Ok(Self {
            input,
            failure,
            kind,
            order,
            lengths,
            link,
            at: len as u64,
            data: Vec::new(),
        })
    }

    pub(super) fn step(
        &mut self,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) -> Result<Step, Error> {
        let at = self.at;
        let mut bytes = [0; 24];
        let len = match self.kind {
            Kind::Micros | Kind::Nanos => 16,
            Kind::Patched | Kind::Snoop => bytes.len(),
        };
        // Within bounds: both lengths are at most the array's.
        match self.input.read(&mut bytes[..len]).unwrap_or(0) {
            0 => return self.failure.take(at).map_or(Ok(Step::End), Err),
            read if read < len => return Err(self.cut_off(at)),
            _ => {}
        }
        let header = self.header(&bytes).ok_or(Error::Damaged { at })?;
        let size = header.captured.saturating_add(header.padding);
        if size > MAX_BLOCK {
            return Err(Error::Oversize { at });
        }
        // Grown as bytes come: a length that the file does not have takes no memory.
        self.data.clear();
        let limit = size as u64;
        let read = Read::by_ref(&mut self.input)
            .take(limit)
            .read_to_end(&mut self.data)
            .unwrap_or(0);
        if read < size {
            return Err(self.cut_off(at));
        }
        self.at += len as u64 + limit;
        handle(Ok(Record {
            time: header.time,
            link: self.link,
            data: self.data.get(..header.captured).unwrap_or(&self.data),
            orig_len: header.original,
        }));
        Ok(Step::Block)
    }

    fn cut_off(&self, at: u64) -> Error {
        self.failure.take(at).unwrap_or(Error::CutOff { at })
    }

    /// `None`: the lengths contradict each other.
    fn header(&self, bytes: &[u8]) -> Option<Header> {
        let word = |at| self.order.word(bytes, at);
        let size = |at| usize::try_from(word(at)).ok();
        let time = |seconds: u32, fraction: u32, unit: Nanos| {
            Nanos::from(seconds) * SECOND + Nanos::from(fraction) * unit
        };
        if self.kind == Kind::Snoop {
            // Original length, captured length, length of the record, drops, seconds, microseconds.
            let (original, captured, record) = (size(0)?, size(4)?, size(8)?);
            return Some(Header {
                time: time(word(16), word(20), 1000),
                captured,
                original,
                padding: record.checked_sub(24)?.checked_sub(captured)?,
            });
        }
        let unit = match self.kind {
            Kind::Nanos => 1,
            Kind::Micros | Kind::Patched | Kind::Snoop => 1000,
        };
        let (first, second) = (size(8)?, size(12)?);
        let (captured, original) = match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::OriginalFirst => (second, first),
            Lengths::Either => (first.min(second), first.max(second)),
        };
        Some(Header {
            time: time(word(0), word(4), unit),
            captured,
            original,
            padding: 0,
        })
    }
}
