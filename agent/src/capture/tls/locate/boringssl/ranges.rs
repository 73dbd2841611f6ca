//! Where functions start and end.

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, EhFrame, EhFrameHdr, EhFrameOffset,
    EndianSlice, LittleEndian, Pointer, UnwindSection,
};
use hashbrown::HashMap;

use super::super::{Machine, Refusal};
use super::image::{Image, Loaded};
use super::scan::Called;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A Chromium has about a million.
const MAX_FUNCTIONS: usize = 4 * 1024 * 1024;

/// Code from one address up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Range {
    pub(super) const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    pub(super) const fn size(&self) -> u64 {
        self.end - self.start
    }
}

/// The functions of a program, in ascending order; a function may have several ranges.
pub(super) struct Ranges {
    all: Vec<Range>,
    /// Those of [`Self::add_gap`].
    added: usize,
}

/// Code of libssl without an unwind table: compilers make it for few functions, if any.
const MAX_ADDED: usize = 64;

impl Ranges {
    /// From the unwind tables; without these, from what is called.
    pub(super) fn of(image: &Image, called: &Called) -> Result<Self, Refusal> {
        let mut ranges = unwound(image)?;
        if ranges.is_empty() {
            ranges = from_calls(image, called);
        }
        ranges.sort_unstable();
        Ok(Self {
            all: ranges,
            added: 0,
        })
    }

    pub(super) fn of_address(&self, address: u64) -> Option<Range> {
        let after = self.all.partition_point(|range| range.start <= address);
        let range = self.all.get(after.checked_sub(1)?)?;
        range.contains(address).then_some(*range)
    }

    /// Code without an unwind table: from the last call's target before it to the next one.
    pub(super) fn add_gap(&mut self, address: u64, called: &Called) -> Option<Range> {
        const LONGEST: u64 = 256;
        if self.added >= MAX_ADDED {
            return None;
        }
        let after = self.all.partition_point(|range| range.start <= address);
        let before = after.checked_sub(1).and_then(|before| self.all.get(before));
        let low = before.map_or(0, |range| range.end);
        let low = low.max(address.saturating_sub(LONGEST));
        let high = self.all.get(after).map_or(u64::MAX, |range| range.start);
        let start = (low..=address)
            .rev()
            .find(|address| called.contains(*address))?;
        let high = high.min(start + LONGEST);
        let end = (address + 1..high)
            .find(|address| called.contains(*address))
            .unwrap_or(high);
        let range = Range { start, end };
        self.added += 1;
        self.all.insert(after, range);
        Some(range)
    }
}

/// The ranges in `.eh_frame` (System V ABI for x86-64, 4.2.4; Linux Standard Base, 10.6).
fn unwound(image: &Image) -> Result<Vec<Range>, Refusal> {
    let mut ranges = Vec::new();
    let Some(header) = image.eh_frame_header else {
        return Ok(ranges);
    };
    let Some(bytes) = image.bytes_at(header.address) else {
        return Ok(ranges);
    };
    let malformed = |_| Refusal::Malformed(".eh_frame");
    let bases = BaseAddresses::default().set_eh_frame_hdr(header.address);
    let parsed = EhFrameHdr::new(bytes, LittleEndian)
        .parse(&bases, 8)
        .map_err(malformed)?;
    let Pointer::Direct(address) = parsed.eh_frame_ptr() else {
        return Err(Refusal::Malformed(".eh_frame"));
    };
    let bytes = image
        .bytes_at(address)
        .ok_or(Refusal::Malformed(".eh_frame"))?;
    let frames = EhFrame::new(bytes, LittleEndian);
    let bases = bases.set_eh_frame(address);
    let mut common: HashMap<EhFrameOffset, CommonInformationEntry<Bytes<'_>>> = HashMap::new();
    let mut entries = frames.entries(&bases);
    while let Some(entry) = entries.next().map_err(malformed)? {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let entry = partial.parse(|frames, bases, offset| {
            if let Some(found) = common.get(&offset) {
                return Ok(found.clone());
            }
            let read = frames.cie_from_offset(bases, offset)?;
            common.insert(offset, read.clone());
            Ok(read)
        });
        let entry = entry.map_err(malformed)?;
        let start = entry.initial_address();
        let Some(end) = start.checked_add(entry.len()).filter(|end| *end > start) else {
            continue;
        };
        // Of functions that the linker removed, address 0 is left.
        if image.code_at(start).is_some() {
            ranges.push(Range { start, end });
        }
        if ranges.len() > MAX_FUNCTIONS {
            return Err(Refusal::TooLarge("functions"));
        }
    }
    Ok(ranges)
}

/// Without unwind tables: a function starts where something is called, and on x86-64 only where
/// compilers align functions and code before it has ended.
fn from_calls(image: &Image, called: &Called) -> Vec<Range> {
    let last = image.code().map(Loaded::end).max();
    let mut starts: Vec<u64> = called
        .iter()
        .filter(|address| image.machine == Machine::Aarch64 || may_start(image, *address))
        .take(MAX_FUNCTIONS)
        .collect();
    starts.extend(last);
    starts.sort_unstable();
    starts.dedup();
    starts
        .array_windows()
        .map(|[start, end]| Range {
            start: *start,
            end: *end,
        })
        .collect()
}

fn may_start(image: &Image, address: u64) -> bool {
    const BEFORE: u64 = 5;
    if !address.is_multiple_of(16) {
        return false;
    }
    let code = address
        .checked_sub(BEFORE)
        .and_then(|before| image.code_at(before));
    match code {
        // Padding, `ret`; short and long `jmp`, `call` of what does not return, `ud2`.
        Some([_, _, _, _, 0xcc | 0x90 | 0xc3 | 0x00, ..])
        | Some([0xe9 | 0xe8, ..])
        | Some([_, _, _, 0xeb, _, ..])
        | Some([_, _, _, 0x0f, 0x0b, ..]) => true,
        _ => false,
    }
}
