//! What of a file is in memory at run time and never changes: code and constants.

use super::super::bytes::read;
use super::super::elf::{Elf, Segment};
use super::super::{Machine, Refusal};

/// Code and constants are read whole, once a file is known to hold BoringSSL. An Envoy has 100 MB
/// of them, a Chromium 250 MB.
const MAX_SIZE: u64 = 280 * 1024 * 1024;

/// Code and constants.
pub(super) struct Image {
    pub(super) machine: Machine,
    /// Code may hold addresses as they are.
    pub(super) is_fixed: bool,
    pub(super) entry: u64,
    pub(super) segments: Vec<Loaded>,
    pub(super) eh_frame_header: Option<Segment>,
}

/// A segment in memory.
pub(super) struct Loaded {
    pub(super) address: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) is_code: bool,
}

impl Loaded {
    /// The first address after it.
    pub(super) fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }

    /// The bytes from an address on.
    pub(super) fn from(&self, address: u64) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(start..).filter(|rest| !rest.is_empty())
    }
}

impl Image {
    pub(super) fn read(elf: &Elf<'_>) -> Result<Self, Refusal> {
        let constant = || elf.segments.iter().filter(|segment| !segment.is_writable());
        let size = constant().try_fold(0_u64, |size, segment| size.checked_add(segment.size));
        if size.is_none_or(|size| size > MAX_SIZE) {
            return Err(Refusal::TooLarge("code and constants"));
        }
        let segments = constant().map(|segment| {
            let size = usize::try_from(segment.size)
                .map_err(|_| Refusal::TooLarge("code and constants"))?;
            Ok(Loaded {
                address: segment.address,
                bytes: read(elf.bytes, segment.offset, size)?,
                is_code: segment.is_executable(),
            })
        });
        Ok(Self {
            machine: elf.machine,
            is_fixed: elf.is_fixed,
            entry: elf.entry,
            segments: segments.collect::<Result<_, Refusal>>()?,
            eh_frame_header: elf.eh_frame_header,
        })
    }

    pub(super) fn code(&self) -> impl Iterator<Item = &Loaded> {
        self.segments.iter().filter(|segment| segment.is_code)
    }

    /// The code from an address on.
    pub(super) fn code_at(&self, address: u64) -> Option<&[u8]> {
        self.code().find_map(|segment| segment.from(address))
    }

    /// The bytes from an address on.
    pub(super) fn bytes_at(&self, address: u64) -> Option<&[u8]> {
        self.segments
            .iter()
            .find_map(|segment| segment.from(address))
    }

    /// The address is one of a constant.
    pub(super) fn is_constant(&self, address: u64) -> bool {
        self.segments
            .iter()
            .any(|segment| !segment.is_code && segment.from(address).is_some())
    }
}
