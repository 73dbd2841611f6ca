//! pcapng, by `pcap-parser`.

use std::fmt;

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};

use super::{Error, Input, MAX_BLOCK, Record, Skip, Step, input};
use crate::flow::Nanos;

/// First size of the read buffer: hundreds of Ethernet frames, several of segmentation offload.
const BUFFER: usize = 256 * 1024;

/// Most interfaces of one section; more than a node has, and a bound for files that describe
/// interfaces without end.
const MAX_INTERFACES: usize = 65_536;

const SECOND: u128 = 1_000_000_000;

/// The section header's type, which reads the same in both byte orders.
pub(super) fn recognizes(head: &[u8]) -> bool {
    head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

/// Reads a file block by block.
pub(super) struct Blocks {
    reader: PcapNGReader<Input>,
    failure: input::Failure,
    layout: Layout,
    capacity: usize,
}

impl Blocks {
    pub(super) fn new(input: Input) -> Result<Self, Error> {
        let failure = input.failure();
        let reader = PcapNGReader::new(BUFFER, input).map_err(|error| {
            failure.take(0).unwrap_or(match error {
                PcapError::Incomplete(_) => Error::CutOff { at: 0 },
                _ => Error::NotACapture,
            })
        })?;
        Ok(Self {
            reader,
            failure,
            layout: Layout::default(),
            capacity: BUFFER,
        })
    }

    pub(super) fn step(
        &mut self,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) -> Result<Step, Error> {
        loop {
            let missing = match self.reader.next() {
                Ok((len, block)) => {
                    if let PcapBlockOwned::NG(block) = &block {
                        self.layout.block(block, handle);
                    }
                    self.reader.consume(len);
                    return Ok(Step::Block);
                }
                Err(error) => Missing::of(&error),
            };
            let at = self.reader.consumed() as u64;
            if self.reader.reader_exhausted() && self.reader.data().is_empty() {
                return self.failure.take(at).map_or(Ok(Step::End), Err);
            }
            let damaged = self.layout.damaged(self.reader.data());
            match (missing, damaged) {
                (_, Some(Damaged::Whole(len))) => {
                    self.reader.consume(len);
                    handle(Err(Skip::Block));
                    return Ok(Step::Block);
                }
                (Missing::Bytes, _) => self.refill(at)?,
                (Missing::Room, _) => self.grow(at)?,
                (Missing::Rest, _) => return Err(self.cut_off(at)),
                (Missing::Sense, Some(Damaged::Cut)) if !self.reader.reader_exhausted() => {
                    self.refill(at)?;
                }
                (Missing::Sense, _) => return Err(Error::Damaged { at }),
            }
        }
    }

    fn refill(&mut self, at: u64) -> Result<(), Error> {
        let before = self.reader.data().len();
        if self.reader.refill().is_err() {
            return Err(self.cut_off(at));
        }
        if self.reader.data().len() == before && !self.reader.reader_exhausted() {
            // The buffer is full of one block.
            return self.grow(at);
        }
        Ok(())
    }

    fn cut_off(&self, at: u64) -> Error {
        self.failure.take(at).unwrap_or(Error::CutOff { at })
    }

    fn grow(&mut self, at: u64) -> Result<(), Error> {
        self.capacity *= 2;
        if self.capacity > 2 * MAX_BLOCK || !self.reader.grow(self.capacity) {
            return Err(Error::Oversize { at });
        }
        Ok(())
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("layout", &self.layout)
            .field("consumed", &self.reader.consumed())
            .finish_non_exhaustive()
    }
}

/// What the reader lacks, without the borrow of its error.
#[derive(Clone, Copy)]
enum Missing {
    Bytes,
    Room,
    Rest,
    Sense,
}

impl Missing {
    fn of(error: &PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Incomplete(_) | PcapError::Eof => Self::Bytes,
            PcapError::BufferTooSmall => Self::Room,
            // The input reports no error of its own: it ends.
            PcapError::UnexpectedEof | PcapError::ReadError => Self::Rest,
            PcapError::HeaderNotRecognized
            | PcapError::NomError(..)
            | PcapError::OwnedNomError(..) => Self::Sense,
        }
    }
}

/// What earlier blocks say of the frames to come.
#[derive(Debug, Default)]
struct Layout {
    interfaces: Vec<Interface>,
    /// Of the section. `pcap-parser` reads time offsets as little-endian whatever the section's
    /// order.
    big_endian: bool,
    /// For blocks without a time of their own.
    last: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// `if_tsresol`: the negative power of ten, or of two with the top bit set, that is one unit.
    resolution: u8,
    /// `if_tsoffset`: seconds added to every time.
    offset: i64,
    snaplen: usize,
}

impl Interface {
    fn nanos(&self, units: u64) -> Nanos {
        let scaled = u128::from(units) * SECOND;
        let power = self.resolution & 0x7f;
        let nanos = if self.resolution & 0x80 == 0 {
            let unit = 10_u128.checked_pow(u32::from(power));
            unit.map_or(0, |unit| scaled / unit)
        } else {
            scaled >> power
        };
        let offset = i128::from(self.offset) * SECOND.cast_signed();
        let total = nanos.cast_signed().saturating_add(offset);
        Nanos::try_from(total.max(0)).unwrap_or(Nanos::MAX)
    }
}

/// A block whose content contradicts itself.
enum Damaged {
    /// Both its lengths are this one.
    Whole(usize),
    /// Its second length is not read yet.
    Cut,
}

impl Layout {
    /// A block that cannot be read may be passed over where its two lengths agree, and what follows
    /// does not depend on it.
    fn damaged(&self, data: &[u8]) -> Option<Damaged> {
        /// The type has another form in the other byte order, and the length too.
        const SECTION: u32 = 0x0a0d_0d0a;
        /// Packets name the interfaces by their order.
        const INTERFACE: u32 = 1;
        let (kind, rest) = data.split_first_chunk()?;
        let (kind, total) = (self.word(*kind), self.word(*rest.first_chunk()?));
        let len = usize::try_from(total).ok()?;
        if matches!(kind, SECTION | INTERFACE) || len < 12 || len % 4 != 0 || len > MAX_BLOCK {
            return None;
        }
        let Some(block) = data.get(..len) else {
            return Some(Damaged::Cut);
        };
        let again = self.word(*block.last_chunk()?);
        (again == total).then_some(Damaged::Whole(len))
    }

    const fn word(&self, bytes: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }

    fn block(&mut self, block: &Block<'_>, handle: &mut impl FnMut(Result<Record<'_>, Skip>)) {
        match block {
            Block::SectionHeader(header) => {
                self.interfaces.clear();
                self.big_endian = header.big_endian();
            }
            Block::InterfaceDescription(described) if self.interfaces.len() < MAX_INTERFACES => {
                let offset = described.if_tsoffset;
                self.interfaces.push(Interface {
                    link: described.linktype.0.cast_unsigned(),
                    resolution: described.if_tsresol,
                    offset: if self.big_endian {
                        offset.swap_bytes()
                    } else {
                        offset
                    },
                    snaplen: match described.snaplen {
                        0 => usize::MAX,
                        limit => limit as usize,
                    },
                });
            }
            Block::EnhancedPacket(packet) => {
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let (data, original) = (packet.packet_data(), packet.origlen as usize);
                self.timed(packet.if_id as usize, units, data, original, handle);
            }
            Block::SimplePacket(packet) => {
                let Some(interface) = self.interfaces.first() else {
                    return handle(Err(Skip::Interface));
                };
                let data = packet.packet_data();
                handle(Ok(Record {
                    time: self.last,
                    link: interface.link,
                    data: data.get(..interface.snaplen).unwrap_or(data),
                    orig_len: packet.origlen as usize,
                }));
            }
            Block::Unknown(unknown) => {
                /// The packet block of drafts before 2009.
                const OBSOLETE_PACKET: u32 = 2;
                // `pcap-parser` leaves the type of these in the file's order.
                let kind = match self.big_endian {
                    true => unknown.block_type.swap_bytes(),
                    false => unknown.block_type,
                };
                if kind == OBSOLETE_PACKET {
                    self.obsolete(unknown.data, handle);
                }
            }
            _ => {}
        }
    }

    fn timed(
        &mut self,
        interface: usize,
        units: u64,
        data: &[u8],
        orig_len: usize,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) {
        let Some(interface) = self.interfaces.get(interface) else {
            return handle(Err(Skip::Interface));
        };
        self.last = interface.nanos(units);
        handle(Ok(Record {
            time: self.last,
            link: interface.link,
            data,
            orig_len,
        }));
    }

    /// Interface and drops (16 bits each), time (two halves), captured length, length; then the
    /// frame.
    fn obsolete(&mut self, bytes: &[u8], handle: &mut impl FnMut(Result<Record<'_>, Skip>)) {
        let Some((head, rest)) = bytes.split_first_chunk::<20>() else {
            return handle(Err(Skip::Header));
        };
        let word = |at: usize| {
            // Within bounds: `at` is at most 16 of 20.
            self.word([head[at], head[at + 1], head[at + 2], head[at + 3]])
        };
        let interface = match self.big_endian {
            true => u16::from_be_bytes([head[0], head[1]]),
            false => u16::from_le_bytes([head[0], head[1]]),
        };
        let units = u64::from(word(4)) << 32 | u64::from(word(8));
        let (captured, original) = (word(12) as usize, word(16) as usize);
        let Some(data) = rest.get(..captured) else {
            return handle(Err(Skip::Header));
        };
        self.timed(usize::from(interface), units, data, original, handle);
    }
}
