//! Bytes at offsets, all reads checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Refusal;

/// Bytes that are read at offsets.
pub trait ReadAt {
    /// How many there are.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    /// When there are fewer bytes, or they cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for &[u8] {
    fn size(&self) -> io::Result<u64> {
        u64::try_from(self.len()).map_err(io::Error::other)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// A part of a file, in memory. Its size has been compared with a bound by whoever asks.
pub(super) fn read(bytes: &dyn ReadAt, offset: u64, size: usize) -> Result<Vec<u8>, Refusal> {
    let mut buffer = vec![0; size];
    bytes.read_at(&mut buffer, offset).map_err(unreadable)?;
    Ok(buffer)
}

/// An error of a read.
pub(super) fn unreadable(error: io::Error) -> Refusal {
    Refusal::Unreadable(error.kind())
}

/// Calls `visit` with overlapping windows of a part of a file, each with its place in that part;
/// what is at most `overlap` bytes long is in one window whole. Ends early when `visit` says so.
pub(super) fn windows(
    bytes: &dyn ReadAt,
    offset: u64,
    size: u64,
    overlap: usize,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    const WINDOW: usize = 1024 * 1024;
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < size {
        let left = usize::try_from(size - at).unwrap_or(usize::MAX);
        buffer.resize(left.min(WINDOW + overlap), 0);
        let position = offset.checked_add(at).ok_or(Refusal::Malformed("offset"))?;
        bytes.read_at(&mut buffer, position).map_err(unreadable)?;
        visit(at, &buffer)?;
        at += WINDOW as u64;
    }
    Ok(())
}

/// A little-endian number.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A little-endian number.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A little-endian number.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
