//! Records of a capture file, by `pcap-parser`: pcap (microseconds or nanoseconds, either byte order) and pcapng (several sections
//! and interfaces, each with its own link type, time resolution and offset).
//!
//! Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

use std::io::{self, Read};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::Skip;
use crate::flow::Nanos;

/// First size of the read buffer: hundreds of Ethernet frames, several of segmentation offload.
const BUFFER: usize = 256 * 1024;

/// Largest block believed in. A frame is at most 512 KiB (BIG TCP), 256 KiB in files of the common tools; other blocks
/// (decryption secrets, name tables) are larger.
const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// Most interfaces of one section; more than a node has, and a bound for files that describe interfaces without end.
const MAX_INTERFACES: usize = 65_536;

const SECOND: u128 = 1_000_000_000;

/// A captured frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Nanoseconds since 1970.
    pub(super) time: Nanos,
    /// What the first header of `data` is.
    pub(super) link: Linktype,
    /// What was captured of the frame.
    pub(super) data: &'a [u8],
    /// Length of the frame on the wire.
    pub(super) orig_len: usize,
}

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Neither format.
    #[error("not a pcap or pcapng file")]
    NotACapture,
    /// The end of the file lies inside a record.
    #[error("the file is cut off: it ends inside the record that begins at byte {at}")]
    CutOff {
        /// Offset of the record.
        at: usize,
    },
    /// A record that contradicts itself.
    #[error("the file is damaged: the record at byte {at} is not valid")]
    Damaged {
        /// Offset of the record.
        at: usize,
    },
    /// A record larger than any frame.
    #[error("the file is damaged: the record at byte {at} claims more than {MAX_BLOCK} bytes")]
    Oversize {
        /// Offset of the record.
        at: usize,
    },
    /// The system could not read it.
    #[error("the file cannot be read at byte {at}")]
    Unreadable {
        /// Offset of the read.
        at: usize,
    },
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::CutOff { .. } => io::ErrorKind::UnexpectedEof,
            Fault::Unreadable { .. } => io::ErrorKind::Other,
            Fault::NotACapture | Fault::Damaged { .. } | Fault::Oversize { .. } => {
                io::ErrorKind::InvalidData
            }
        };
        Self::new(kind, fault)
    }
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
pub(super) struct Reader {
    blocks: Box<dyn PcapReaderIterator + Send>,
    layout: Layout,
    capacity: usize,
}

impl Reader {
    pub(super) fn new(input: impl Read + Send + 'static) -> Result<Self, Fault> {
        let blocks = create_reader(BUFFER, input).map_err(|error| match error {
            PcapError::ReadError => Fault::Unreadable { at: 0 },
            _ => Fault::NotACapture,
        })?;
        Ok(Self {
            blocks,
            layout: Layout::default(),
            capacity: BUFFER,
        })
    }

    /// Reads one block, and hands its frame to `handle` if it has one.
    pub(super) fn step(
        &mut self,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) -> Result<Step, Fault> {
        loop {
            let missing = match self.blocks.next() {
                Ok((len, block)) => {
                    self.layout.block(&block, handle);
                    self.blocks.consume(len);
                    return Ok(Step::Block);
                }
                Err(error) => Missing::of(&error),
            };
            if self.blocks.reader_exhausted() && self.blocks.data().is_empty() {
                return Ok(Step::End);
            }
            let at = self.blocks.consumed();
            match missing {
                Missing::Bytes => self.refill(at)?,
                Missing::Room => self.grow(at)?,
                Missing::Rest => return Err(Fault::CutOff { at }),
                Missing::Sense => return Err(Fault::Damaged { at }),
                Missing::Access => return Err(Fault::Unreadable { at }),
            }
        }
    }

    fn refill(&mut self, at: usize) -> Result<(), Fault> {
        let before = self.blocks.data().len();
        if self.blocks.refill().is_err() {
            return Err(Fault::Unreadable { at });
        }
        if self.blocks.data().len() == before && !self.blocks.reader_exhausted() {
            // The buffer is full of one block.
            return self.grow(at);
        }
        Ok(())
    }

    fn grow(&mut self, at: usize) -> Result<(), Fault> {
        self.capacity *= 2;
        if self.capacity > 2 * MAX_BLOCK || !self.blocks.grow(self.capacity) {
            return Err(Fault::Oversize { at });
        }
        Ok(())
    }
}

/// What the reader lacks, without the borrow of its error.
#[derive(Clone, Copy)]
enum Missing {
    Bytes,
    Room,
    Rest,
    Sense,
    Access,
}

impl Missing {
    fn of(error: &PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Incomplete(_) | PcapError::Eof => Self::Bytes,
            PcapError::BufferTooSmall => Self::Room,
            PcapError::UnexpectedEof => Self::Rest,
            PcapError::ReadError => Self::Access,
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
    /// pcapng: of the section. `pcap-parser` reads time offsets as little-endian whatever the section's order.
    big_endian: bool,
    /// For blocks without a time of their own.
    last: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
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

impl Layout {
    fn block(
        &mut self,
        block: &PcapBlockOwned<'_>,
        handle: &mut impl FnMut(Result<Record<'_>, Skip>),
    ) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.interfaces.push(Interface {
                // The upper half holds the length of a frame check sequence.
                link: Linktype(header.network.0 & 0xffff),
                resolution: if header.is_nanosecond_precision() {
                    9
                } else {
                    6
                },
                offset: 0,
                snaplen: usize::MAX,
            }),
            PcapBlockOwned::Legacy(frame) => {
                let Some(interface) = self.interfaces.first() else {
                    return handle(Err(Skip::Interface));
                };
                let fraction = interface.nanos(u64::from(frame.ts_usec));
                self.last = Nanos::from(frame.ts_sec) * 1_000_000_000 + fraction;
                handle(Ok(Record {
                    time: self.last,
                    link: interface.link,
                    data: frame.data,
                    orig_len: frame.origlen as usize,
                }));
            }
            PcapBlockOwned::NG(block) => self.ng(block, handle),
        }
    }

    fn ng(&mut self, block: &Block<'_>, handle: &mut impl FnMut(Result<Record<'_>, Skip>)) {
        /// The packet block of pcapng drafts before 2009, which no tool writes any more.
        const OBSOLETE_PACKET: u32 = 2;
        match block {
            Block::SectionHeader(header) => {
                self.interfaces.clear();
                self.big_endian = header.big_endian();
            }
            Block::InterfaceDescription(described) if self.interfaces.len() < MAX_INTERFACES => {
                let offset = described.if_tsoffset;
                self.interfaces.push(Interface {
                    link: described.linktype,
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
                let Some(interface) = self.interfaces.get(packet.if_id as usize) else {
                    return handle(Err(Skip::Interface));
                };
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                self.last = interface.nanos(units);
                handle(Ok(Record {
                    time: self.last,
                    link: interface.link,
                    data: packet.packet_data(),
                    orig_len: packet.origlen as usize,
                }));
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
                // `pcap-parser` leaves the type of these in the file's order.
                let kind = unknown.block_type;
                let kind = if self.big_endian {
                    kind.swap_bytes()
                } else {
                    kind
                };
                if kind == OBSOLETE_PACKET {
                    handle(Err(Skip::Block));
                }
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("layout", &self.layout)
            .field("consumed", &self.blocks.consumed())
            .finish_non_exhaustive()
    }
}
