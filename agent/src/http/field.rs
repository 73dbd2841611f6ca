//! One field of a head.

use super::Slice;

/// A field and its place in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    buffer: &'a [u8],
    name: Slice,
    /// Where its value is.
    pub(crate) value: Slice,
}

impl<'a> Field<'a> {
    /// Of this buffer.
    #[inline]
    pub(super) const fn new(buffer: &'a [u8], name: Slice, value: Slice) -> Self {
        Self {
            buffer,
            name,
            value,
        }
    }

    /// Name and value.
    #[inline]
    pub(crate) fn parts(&self) -> (&'a [u8], &'a [u8]) {
        (self.name.of(self.buffer), self.value.of(self.buffer))
    }

    /// From the name's first byte to the value's last; nothing when that is not their order.
    #[inline]
    pub(crate) fn line(&self) -> &'a [u8] {
        let start = usize::from(self.name.start);
        let end = usize::from(self.value.start) + usize::from(self.value.len);
        match self.name.start.checked_add(self.name.len) {
            Some(after) if after <= self.value.start => {
                self.buffer.get(start..end).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Bytes of name and value.
    #[inline]
    pub(crate) const fn lens(&self) -> [u16; 2] {
        [self.name.len, self.value.len]
    }
}

/// Two names are the same but for case; most are not by their first letter.
#[inline]
pub(super) fn is_same(name: &[u8], other: &[u8]) -> bool {
    let first = |name: &[u8]| name.first().map(|byte| byte | 0x20);
    first(name) == first(other) && name.eq_ignore_ascii_case(other)
}
