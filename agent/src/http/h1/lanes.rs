//! Which of sixteen bytes are of a kind: a bit for each, the lowest for the first.

/// Bytes that are looked at at a time: a vector register of every processor.
pub(super) const LANES: usize = 16;

type Chunk = [u8; LANES];

/// Control characters, but tabs.
#[inline]
pub(super) fn controls(chunk: &Chunk) -> u32 {
    simd::controls(chunk)
}

/// What is no letter, digit or dash of ASCII: nearly all names of fields have nothing else.
#[inline]
pub(super) fn no_names(chunk: &Chunk) -> u32 {
    simd::no_names(chunk)
}

/// What is no printable ASCII, or is a space.
#[inline]
pub(super) fn no_graphics(chunk: &Chunk) -> u32 {
    simd::no_graphics(chunk)
}

/// The place of the first bit, or all lanes when none is set.
#[inline]
pub(super) const fn first(bits: u32) -> usize {
    (bits | 1 << LANES).trailing_zeros() as usize
}

#[cfg(target_arch = "x86_64")]
mod simd {
    use std::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm_sub_epi8,
    };

    use super::Chunk;

    #[inline]
    pub(super) fn controls(chunk: &Chunk) -> u32 {
        let bytes = load(chunk);
        // SAFETY: every processor of this architecture has SSE2.
        unsafe {
            let found = _mm_or_si128(within(bytes, 0, 0x1f), within(bytes, 0x7f, 0x7f));
            mask(_mm_andnot_si128(within(bytes, b'\t', b'\t'), found))
        }
    }

    #[inline]
    pub(super) fn no_names(chunk: &Chunk) -> u32 {
        let bytes = load(chunk);
        // SAFETY: every processor of this architecture has SSE2.
        unsafe {
            let lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
            let others = _mm_or_si128(within(bytes, b'0', b'9'), within(bytes, b'-', b'-'));
            !mask(_mm_or_si128(within(lower, b'a', b'z'), others)) & 0xffff
        }
    }

    #[inline]
    pub(super) fn no_graphics(chunk: &Chunk) -> u32 {
        !mask(within(load(chunk), b'!', b'~')) & 0xffff
    }

    #[inline]
    fn load(chunk: &Chunk) -> __m128i {
        // SAFETY: every processor of this architecture has SSE2. The chunk's 16 bytes are read,
        // which need no alignment.
        unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
    }

    /// The bytes from `least` to `most`.
    #[inline]
    fn within(bytes: __m128i, least: u8, most: u8) -> __m128i {
        // SAFETY: every processor of this architecture has SSE2.
        unsafe {
            let above = _mm_sub_epi8(bytes, _mm_set1_epi8(least.cast_signed()));
            let width = _mm_set1_epi8((most - least).cast_signed());
            _mm_cmpeq_epi8(_mm_min_epu8(above, width), above)
        }
    }

    #[inline]
    fn mask(bytes: __m128i) -> u32 {
        // SAFETY: every processor of this architecture has SSE2.
        unsafe { _mm_movemask_epi8(bytes) }.cast_unsigned()
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod simd {
    use super::Chunk;

    #[inline]
    fn mask(chunk: &Chunk, is: impl Fn(&u8) -> bool) -> u32 {
        let bits = chunk.iter().rev();
        bits.fold(0, |bits, byte| bits << 1 | u32::from(is(byte)))
    }

    #[inline]
    pub(super) fn controls(chunk: &Chunk) -> u32 {
        mask(chunk, |byte| byte.is_ascii_control() && *byte != b'\t')
    }

    #[inline]
    pub(super) fn no_names(chunk: &Chunk) -> u32 {
        mask(chunk, |byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
    }

    #[inline]
    pub(super) fn no_graphics(chunk: &Chunk) -> u32 {
        mask(chunk, |byte| !byte.is_ascii_graphic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: fn(&Chunk) -> u32, is: fn(&u8) -> bool) {
        for byte in 0..=255_u8 {
            for at in 0..LANES {
                let mut chunk = [b'x'; LANES];
                chunk[at] = byte;
                let expected = if is(&byte) { 1 << at } else { 0 };
                assert_eq!(found(&chunk), expected, "{byte} at {at}");
                assert_eq!(first(expected), if is(&byte) { at } else { LANES });
            }
        }
    }

    #[test]
    fn every_byte_at_every_place() {
        check(controls, |byte| byte.is_ascii_control() && *byte != b'\t');
        check(no_names, |byte| {
            !byte.is_ascii_alphanumeric() && *byte != b'-'
        });
        check(no_graphics, |byte| !byte.is_ascii_graphic());
    }
}
