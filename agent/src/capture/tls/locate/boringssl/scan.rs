//! Passes over all code for bytes that look like calls, jumps, or references to an address. What
//! looks like one and is not does no harm: what is found is decoded afterwards.

use memchr::{memchr_iter, memmem};

use super::super::Machine;
use super::super::bytes::u32_at;
use super::image::{Image, Loaded};
use super::ranges::Range;

/// References to the name of a file: libssl has about a hundred.
const MAX_FOUND: usize = 16 * 1024;

/// Which addresses are called, one bit for each byte of code.
pub(super) struct Called(Vec<Bits>);

/// Of one segment.
struct Bits {
    first: u64,
    words: Vec<u64>,
}

impl Bits {
    fn place(&self, address: u64) -> Option<(usize, u64)> {
        let at = address.checked_sub(self.first)?;
        let word = usize::try_from(at / 64).ok()?;
        (word < self.words.len()).then_some((word, 1 << (at % 64)))
    }
}

impl Called {
    pub(super) fn of(image: &Image) -> Self {
        let bits = image.code().map(|code| Bits {
            first: code.address,
            words: vec![0; code.bytes.len().div_ceil(64)],
        });
        let mut called = Self(bits.collect());
        calls(image, |_, target| called.insert(target));
        called
    }

    fn insert(&mut self, address: u64) {
        for bits in &mut self.0 {
            if let Some((word, bit)) = bits.place(address)
                && let Some(word) = bits.words.get_mut(word)
            {
                *word |= bit;
            }
        }
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        self.0.iter().any(|bits| {
            let word = bits
                .place(address)
                .and_then(|(word, bit)| Some(bits.words.get(word)? & bit));
            word.is_some_and(|word| word != 0)
        })
    }

    /// In ascending order within a segment.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|bits| {
            let words = (bits.first..).step_by(64).zip(&bits.words);
            words.flat_map(|(first, word)| {
                (0..64)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| first + bit)
            })
        })
    }
}

/// Every direct call: where it is, and its target in the same segment.
pub(super) fn calls(image: &Image, mut visit: impl FnMut(u64, u64)) {
    for code in image.code() {
        let inside = Range {
            start: code.address,
            end: code.end(),
        };
        let mut visit = |at: u64, target| {
            if inside.contains(target) {
                visit(at, target);
            }
        };
        match image.machine {
            Machine::X86_64 => x86_relative(code, 0xe8, visit),
            Machine::Aarch64 => words(code, |at, word| {
                (word >> 26 == 0b10_0101).then(|| branch_target(at, word, 0, 26))
            })
            .for_each(|(at, target)| visit(at, target)),
        }
    }
}

/// Every direct jump into one of the ranges: where it is.
pub(super) fn jumps_into(image: &Image, ranges: &[Range]) -> Vec<u64> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut found = Vec::new();
    let mut visit = |at, target| {
        let after = ranges.partition_point(|range| range.start <= target);
        let range = after.checked_sub(1).and_then(|before| ranges.get(before));
        if found.len() < MAX_FOUND && range.is_some_and(|range| range.contains(target)) {
            found.push(at);
        }
    };
    for code in image.code() {
        match image.machine {
            Machine::X86_64 => {
                x86_relative(code, 0xe9, &mut visit);
                x86_conditional(code, &mut visit);
            }
            Machine::Aarch64 => {
                let jumps = words(code, |at, word| match word >> 24 {
                    0x14..=0x17 => Some(branch_target(at, word, 0, 26)),
                    0x54 => Some(branch_target(at, word, 5, 19)),
                    _ => None,
                });
                jumps.for_each(|(at, target)| visit(at, target));
            }
        }
    }
    found
}

/// Every place in code that makes one of the addresses, in ascending order.
pub(super) fn references(image: &Image, addresses: &[u64]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut visit = |at, target| {
        if found.len() < MAX_FOUND && addresses.contains(&target) {
            found.push(at);
        }
    };
    for code in image.code() {
        match image.machine {
            Machine::X86_64 => x86_addresses(code, image.is_fixed, &mut visit),
            Machine::Aarch64 => aarch64_addresses(code, addresses, &mut visit),
        }
    }
    found.sort_unstable();
    found
}

/// Every place of one of the byte strings.
pub(super) fn places(image: &Image, needle: &[u8]) -> Vec<u64> {
    const MAX_PLACES: usize = 1024 * 1024;
    let finder = memmem::Finder::new(needle);
    image
        .code()
        .flat_map(|code| {
            finder
                .find_iter(&code.bytes)
                .map(|at| code.address + at as u64)
        })
        .take(MAX_PLACES)
        .collect()
}

/// An opcode of one byte, and a distance of 32 bits from its end.
fn x86_relative(code: &Loaded, opcode: u8, mut visit: impl FnMut(u64, u64)) {
    for at in memchr_iter(opcode, &code.bytes) {
        x86_target(code, at, at + 1, &mut visit);
    }
}

/// `0f 8x` and a distance of 32 bits.
fn x86_conditional(code: &Loaded, visit: &mut impl FnMut(u64, u64)) {
    for at in memchr_iter(0x0f, &code.bytes) {
        if code
            .bytes
            .get(at + 1)
            .is_some_and(|next| next & 0xf0 == 0x80)
        {
            x86_target(code, at, at + 2, visit);
        }
    }
}

fn x86_target(code: &Loaded, at: usize, field: usize, visit: &mut impl FnMut(u64, u64)) {
    let Some(distance) = u32_at(&code.bytes, field) else {
        return;
    };
    let end = code.address + field as u64 + 4;
    visit(
        code.address + at as u64,
        end.wrapping_add_signed(i64::from(distance.cast_signed())),
    );
}

/// `lea` of an address relative to the instruction; where addresses are fixed, `mov` too.
fn x86_addresses(code: &Loaded, is_fixed: bool, visit: &mut impl FnMut(u64, u64)) {
    for at in memchr_iter(0x8d, &code.bytes) {
        let (before, after) = (at.checked_sub(1), code.bytes.get(at + 1));
        let prefix = before.and_then(|before| code.bytes.get(before));
        if prefix.is_some_and(|prefix| prefix & 0xfb == 0x48)
            && after.is_some_and(|operand| operand & 0xc7 == 0x05)
        {
            x86_target(code, at, at + 2, visit);
        }
    }
    if !is_fixed {
        return;
    }
    for (at, byte) in code.bytes.iter().enumerate() {
        if byte & 0xf8 == 0xb8
            && let Some(value) = u32_at(&code.bytes, at + 1)
        {
            visit(code.address + at as u64, u64::from(value));
        }
    }
}

/// `adrp` and an `add` of the same register soon after it; `adr`.
fn aarch64_addresses(code: &Loaded, addresses: &[u64], visit: &mut impl FnMut(u64, u64)) {
    const SOON: usize = 24;
    let pages: Vec<u64> = addresses.iter().map(|address| address & !0xfff).collect();
    let found = words(code, |at, word| match word & 0x9f00_0000 {
        0x9000_0000 => {
            let distance = signed_field(word, 5, 19) << 2 | i64::from(word >> 29 & 3);
            let page = (at & !0xfff).wrapping_add_signed(distance << 12);
            pages.contains(&page).then_some(page)
        }
        0x1000_0000 => {
            let distance = signed_field(word, 5, 19) << 2 | i64::from(word >> 29 & 3);
            Some(at.wrapping_add_signed(distance))
        }
        _ => None,
    });
    for (at, value) in found {
        let Some(here) = code.from(at) else {
            continue;
        };
        let mut next = here
            .chunks_exact(4)
            .filter_map(|word| u32_at(word, 0))
            .zip((at..).step_by(4));
        let Some((first, _)) = next.next() else {
            continue;
        };
        if first & 0x9f00_0000 == 0x1000_0000 {
            visit(at, value);
            continue;
        }
        let register = first & 31;
        for (word, at) in next.take(SOON - 1) {
            if word & 0xffc0_0000 == 0x9100_0000 && word >> 5 & 31 == register {
                visit(at, value + u64::from(word >> 10 & 0xfff));
            }
        }
    }
}

fn words(
    code: &Loaded,
    pick: impl Fn(u64, u32) -> Option<u64>,
) -> impl Iterator<Item = (u64, u64)> {
    let addresses = (code.address..).step_by(4);
    let words = code.bytes.chunks_exact(4).zip(addresses);
    words.filter_map(move |(bytes, at)| {
        let word = u32_at(bytes, 0)?;
        Some((at, pick(at, word)?))
    })
}

fn branch_target(at: u64, word: u32, low: u32, count: u32) -> u64 {
    at.wrapping_add_signed(signed_field(word, low, count) << 2)
}

fn signed_field(word: u32, low: u32, count: u32) -> i64 {
    let shift = 32 - count;
    i64::from((word >> low << shift).cast_signed() >> shift)
}
