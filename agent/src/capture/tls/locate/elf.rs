//! The headers of an ELF file (System V ABI, chapters 4 and 5), as far as they are needed.

use super::bytes::{ReadAt, read, u16_at, u32_at, u64_at, unreadable};
use super::{BuildId, Machine, Refusal};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
/// Real files have about ten segments, and sections by the thousand only before linking.
const MAX_SEGMENTS: usize = 128;
const MAX_SECTIONS: usize = 4096;
/// A note segment has some hundred bytes.
const MAX_NOTES: usize = 64 * 1024;
/// Two of the largest pages.
const SHARED: u64 = 128 * 1024;

/// With debug information, a Chromium has about 4 GB.
const MAX_FILE: u64 = 8 * 1024 * 1024 * 1024;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

/// An ELF program or library.
pub(super) struct Elf<'a> {
    pub(super) bytes: &'a dyn ReadAt,
    pub(super) machine: Machine,
    /// It is loaded where it says (`ET_EXEC`), so code may hold addresses as they are.
    pub(super) is_fixed: bool,
    pub(super) entry: u64,
    /// `PT_LOAD`.
    pub(super) segments: Vec<Segment>,
    /// Empty where the headers of sections were removed.
    pub(super) sections: Vec<Section>,
    pub(super) eh_frame_header: Option<Segment>,
    notes: Vec<Segment>,
}

/// A part of the file that is in memory at run time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) offset: u64,
    /// In the file.
    pub(super) size: u64,
    memory: u64,
    flags: u32,
}

impl Segment {
    pub(super) const fn is_executable(&self) -> bool {
        self.flags & PF_X != 0
    }

    pub(super) const fn is_writable(&self) -> bool {
        self.flags & PF_W != 0
    }

    pub(super) const fn contains(&self, address: u64) -> bool {
        address >= self.address && address - self.address < self.size
    }
}

/// A part of the file that linkers and debuggers know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
}

impl<'a> Elf<'a> {
    pub(super) fn parse(bytes: &'a dyn ReadAt) -> Result<Self, Refusal> {
        let size = bytes.size().map_err(unreadable)?;
        if size < HEADER as u64 {
            return Err(Refusal::NotElf);
        }
        if size > MAX_FILE {
            return Err(Refusal::TooLarge("the file"));
        }
        let header = read(bytes, 0, HEADER)?;
        // ELF64, little-endian, version 1.
        if !header.starts_with(b"\x7fELF\x02\x01\x01") {
            return Err(Refusal::NotElf);
        }
        let short = |at| u16_at(&header, at).unwrap_or(0);
        let long = |at| u64_at(&header, at).unwrap_or(0);
        let is_fixed = match short(16) {
            2 => true,
            3 => false,
            _ => return Err(Refusal::NotElf),
        };
        let machine = match short(18) {
            62 => Machine::X86_64,
            183 => Machine::Aarch64,
            _ => return Err(Refusal::Machine),
        };
        let mut elf = Self {
            bytes,
            machine,
            is_fixed,
            entry: long(24),
            segments: Vec::new(),
            sections: Vec::new(),
            eh_frame_header: None,
            notes: Vec::new(),
        };
        elf.read_segments(long(32), short(54), short(56), size)?;
        elf.read_sections(long(40), short(58), short(60), size)?;
        Ok(elf)
    }

    fn read_segments(
        &mut self,
        offset: u64,
        entry_size: u16,
        count: u16,
        size: u64,
    ) -> Result<(), Refusal> {
        let count = usize::from(count);
        if usize::from(entry_size) != PROGRAM_HEADER || count == 0 || count > MAX_SEGMENTS {
            return Err(Refusal::Malformed("program headers"));
        }
        let table = read(self.bytes, offset, count * PROGRAM_HEADER)?;
        for header in table.chunks_exact(PROGRAM_HEADER) {
            let long = |at| u64_at(header, at).unwrap_or(0);
            let segment = Segment {
                flags: u32_at(header, 4).unwrap_or(0),
                offset: long(8),
                address: long(16),
                size: long(32),
                memory: long(40).max(long(32)),
            };
            let in_file = segment
                .offset
                .checked_add(segment.size)
                .is_some_and(|end| end <= size);
            let in_memory = segment.address.checked_add(segment.size).is_some();
            let list = match u32_at(header, 0) {
                Some(PT_LOAD) => &mut self.segments,
                Some(PT_NOTE) => &mut self.notes,
                Some(PT_GNU_EH_FRAME) if in_file && in_memory => {
                    self.eh_frame_header = Some(segment);
                    continue;
                }
                _ => continue,
            };
            if !in_file || !in_memory {
                return Err(Refusal::Malformed("a segment outside the file"));
            }
            list.push(segment);
        }
        // Segments share no more of the file than a page at each end.
        let total: u64 = self.segments.iter().map(|segment| segment.size).sum();
        if total > size.saturating_add(SHARED * self.segments.len() as u64) {
            return Err(Refusal::Malformed("segments that overlap"));
        }
        // The kernel maps them in order, each over those before. They ascend (System V ABI, 5-5).
        let ascend = self.segments.is_sorted_by(|one, next| {
            one.address
                .checked_add(one.memory)
                .is_some_and(|end| end <= next.address)
        });
        if !ascend {
            return Err(Refusal::Malformed("segments that do not ascend"));
        }
        Ok(())
    }

    /// Headers of sections are not needed at run time and may be cut off: what is not in the file
    /// is as if it were not there.
    fn read_sections(
        &mut self,
        offset: u64,
        entry_size: u16,
        count: u16,
        size: u64,
    ) -> Result<(), Refusal> {
        let count = usize::from(count);
        let length = count * SECTION_HEADER;
        let is_there = offset != 0
            && usize::from(entry_size) == SECTION_HEADER
            && count <= MAX_SECTIONS
            && offset
                .checked_add(length as u64)
                .is_some_and(|end| end <= size);
        if !is_there {
            return Ok(());
        }
        let table = read(self.bytes, offset, length)?;
        for header in table.chunks_exact(SECTION_HEADER) {
            let long = |at| u64_at(header, at).unwrap_or(0);
            let mut section = Section {
                kind: u32_at(header, 4).unwrap_or(0),
                offset: long(24),
                size: long(32),
                link: u32_at(header, 40).unwrap_or(0),
            };
            let in_file = section
                .offset
                .checked_add(section.size)
                .is_some_and(|end| end <= size);
            if !in_file {
                section.size = 0;
            }
            self.sections.push(section);
        }
        Ok(())
    }

    /// The place in the file of code at an address.
    pub(super) fn code_offset(&self, address: u64) -> Option<u64> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.contains(address))?;
        segment
            .is_executable()
            .then(|| address - segment.address + segment.offset)
    }

    /// The linker's name for the contents.
    pub(super) fn build_id(&self) -> Option<BuildId> {
        self.notes.iter().find_map(|segment| {
            let size = usize::try_from(segment.size).ok()?.min(MAX_NOTES);
            build_id(&read(self.bytes, segment.offset, size).ok()?)
        })
    }
}

/// `NT_GNU_BUILD_ID` among notes.
fn build_id(notes: &[u8]) -> Option<BuildId> {
    const NT_GNU_BUILD_ID: u32 = 3;
    /// SHA-512 is the longest that anybody uses.
    const LONGEST: usize = 64;
    let mut rest = notes;
    loop {
        let name_size = usize::try_from(u32_at(rest, 0)?).ok()?;
        let size = usize::try_from(u32_at(rest, 4)?).ok()?;
        let kind = u32_at(rest, 8)?;
        let name = rest.get(12..)?.get(..name_size)?;
        let start = 12 + name_size.next_multiple_of(4);
        let contents = rest.get(start..)?.get(..size)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return (1..=LONGEST)
                .contains(&size)
                .then(|| BuildId(contents.into()));
        }
        rest = rest.get(start + size.next_multiple_of(4)..)?;
    }
}
