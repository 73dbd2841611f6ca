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
    first(name) == first(other) && name.len() == other.len() && is_same_word(name, other)
}

/// The same, of names of one length: eight bytes at a time.
fn is_same_word(name: &[u8], other: &[u8]) -> bool {
    let (Some(last), Some(other_last)) = (name.last_chunk(), other.last_chunk()) else {
        return name.eq_ignore_ascii_case(other);
    };
    let (names, _) = name.as_chunks();
    let (others, _) = other.as_chunks();
    // The last eight once more, and with them what the chunks leave.
    let mut pairs = names.iter().zip(others).chain([(last, other_last)]);
    pairs.all(|(one, other)| lower(*one) == lower(*other))
}

/// Eight bytes with their letters in lower case.
const fn lower(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let bytes = u64::from_le_bytes(bytes);
    // No sum carries into the next byte: each addend is less than 0x80.
    let low = bytes & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let past_z = low + (0x7f - b'Z' as u64) * ONES;
    let is_capital = from_a & !past_z & !bytes & HIGH;
    bytes | is_capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case() {
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut name = vec![b'a'; len];
                    name[at] = byte;
                    for other in [byte, byte ^ 0x20, byte ^ 0x80, b'a', 0x7f] {
                        let mut others = vec![b'A'; len];
                        others[at] = other;
                        let expected = name.eq_ignore_ascii_case(&others);
                        assert_eq!(is_same(&name, &others), expected, "{name:?} {others:?}");
                    }
                }
            }
        }
        assert!(is_same(b"", b""));
        assert!(!is_same(b"content-type", b"content-typ"));
    }
}
