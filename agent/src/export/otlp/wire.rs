//! The protobuf wire format, the writing part
//! (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! A nested message is preceded by its length, so each thing that is written has a function that
//! gives its size first: two passes over borrowed data, no allocation, and the canonical bytes that
//! any encoder would make.

/// Wire type 0: an integer of variable length.
const VARINT: u64 = 0;
/// Wire type 1: eight bytes.
const FIXED64: u64 = 1;
/// Wire type 2: a length, then as many bytes.
const LENGTH: u64 = 2;
/// Wire type 5: four bytes.
const FIXED32: u64 = 5;

/// Size of a varint.
#[inline]
#[must_use]
pub(super) const fn varint_len(value: u64) -> usize {
    match value {
        // Nearly every length.
        0..0x80 => 1,
        0x80..0x4000 => 2,
        // Seven bits to a byte.
        _ => ((70 - value.leading_zeros()) / 7) as usize,
    }
}

/// Tags and lengths that stand together, on their way into a buffer: one write, whose size is known
/// to the compiler, instead of one for each byte.
#[derive(Debug, Default)]
pub(super) struct Heads {
    bytes: [u8; HEADS],
    len: usize,
}

/// Four of a tag of two bytes and a length of five (32 bits), and some to spare.
const HEADS: usize = 32;

impl Heads {
    /// Adds the head of a length-delimited field; `len` bytes must follow.
    #[inline]
    pub(super) fn push(&mut self, field: u32, len: usize) {
        self.varint((u64::from(field) << 3) | LENGTH);
        self.varint(len as u64);
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        // There is room: lengths are below 2^32, and nobody adds more than four heads.
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Writes them.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        out.truncate(start + self.len);
    }
}

/// Size of a field's tag. Every field number used here is below 16, which `tag_len` does not take
/// for granted.
#[inline]
const fn tag_len(field: u32) -> usize {
    varint_len((field as u64) << 3)
}

/// Size of a length-delimited field with `len` bytes inside.
#[inline]
#[must_use]
pub(super) const fn bytes_len(field: u32, len: usize) -> usize {
    tag_len(field) + varint_len(len as u64) + len
}

/// Size of a varint field.
#[inline]
#[must_use]
pub(super) const fn int_len(field: u32, value: u64) -> usize {
    tag_len(field) + varint_len(value)
}

/// Size of a fixed64 field.
#[inline]
#[must_use]
pub(super) const fn fixed64_len(field: u32) -> usize {
    tag_len(field) + 8
}

/// Size of a fixed32 field.
#[inline]
#[must_use]
pub(super) const fn fixed32_len(field: u32) -> usize {
    tag_len(field) + 4
}

/// Writes a varint.
#[inline]
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes the head of a length-delimited field; `len` bytes must follow.
#[inline]
pub(super) fn head(out: &mut Vec<u8>, field: u32, len: usize) {
    varint(out, (u64::from(field) << 3) | LENGTH);
    varint(out, len as u64);
}

/// Writes a length-delimited field.
#[inline]
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    head(out, field, value.len());
    out.extend_from_slice(value);
}

/// Writes a varint field.
#[inline]
pub(super) fn int(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, (u64::from(field) << 3) | VARINT);
    varint(out, value);
}

/// Writes a fixed64 field.
#[inline]
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, (u64::from(field) << 3) | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes a fixed32 field.
#[inline]
pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    varint(out, (u64::from(field) << 3) | FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A varint equals what prost writes and is as long as foretold.
    fn check(value: u64) {
        let mut ours = Vec::new();
        varint(&mut ours, value);
        let mut theirs = Vec::new();
        prost::encoding::encode_varint(value, &mut theirs);
        assert_eq!(ours, theirs, "{value}");
        assert_eq!(ours.len(), varint_len(value), "{value}");
    }

    #[test]
    fn heads_are_the_same_in_one_write() {
        for len in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX as usize] {
            let mut heads = Heads::default();
            let (mut one, mut each) = (vec![7], vec![7]);
            for field in [1, 2, 15, 16] {
                heads.push(field, len);
                head(&mut each, field, len);
            }
            heads.write(&mut one);
            assert_eq!(one, each, "{len}");
        }
    }

    #[test]
    fn varints() {
        for shift in 0..64 {
            check(1 << shift);
            check((1 << shift) - 1);
        }
        check(u64::MAX);
    }
}
