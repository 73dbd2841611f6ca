//! What stands in each block of 64 bytes of a text, found for many bytes at once.
//!
//! Three bytes in a row are looked up in one table each, by their lower and by their upper four
//! bits: a table says in which groups of patterns such a byte may stand there (the shuffle-based
//! search "Teddy" of Hyperscan and the crate `aho-corasick`; here it ignores case, and the same
//! look at a block finds escapes, URLs and digits). With AVX2 it takes some four instructions a
//! byte; without it, bytes are looked at one by one.

use super::patterns::Tables;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes after it that are looked at: a window has three.
const AHEAD: usize = 2;

type Bytes = [u8; BLOCK + AHEAD];

/// Bit `n` stands for byte `n` of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// The window of a pattern may begin. None has the same byte three times; padding has, and
    /// could look like one at every byte.
    pub(super) hits: u64,
    /// `%`.
    pub(super) percents: u64,
    /// `\u0`.
    pub(super) escapes: u64,
    /// `:/` or `:\`.
    pub(super) schemes: u64,
    /// `0` to `9`.
    pub(super) digits: u64,
}

/// How blocks are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// On every processor.
    Portable,
}

impl Kind {
    /// The fastest that the processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Portable
    }

    /// Calls `each` with every block of a text and where it begins.
    #[inline]
    pub(super) fn each(self, tables: &Tables, text: &[u8], each: impl FnMut(usize, Block)) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` is the only maker of this variant outside tests, which ask the
            // processor as well, and saw that it has AVX2.
            Self::Avx2 => unsafe { avx2::each(tables, text, each) },
            Self::Portable => blocks(text, |bytes| portable(tables, bytes), each),
        }
    }
}

/// Cuts a text into blocks; the last is filled up with zeros.
#[inline(always)]
fn blocks(text: &[u8], look: impl Fn(&Bytes) -> Block, mut each: impl FnMut(usize, Block)) {
    let mut at = 0;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        each(at, look(bytes));
        at += BLOCK;
    }
    let mut last = [0; 2 * BLOCK + AHEAD];
    let rest = text.get(at..).unwrap_or_default();
    last[..rest.len()].copy_from_slice(rest);
    for start in [0, BLOCK] {
        if start < rest.len()
            && let Some(bytes) = last[start..].first_chunk()
        {
            each(at + start, look(bytes));
        }
    }
}

fn portable(tables: &Tables, bytes: &Bytes) -> Block {
    let mut block = Block::default();
    for at in 0..BLOCK {
        let [a, b, c] = [bytes[at], bytes[at + 1], bytes[at + 2]];
        let groups = |place: usize, byte: u8| tables.bytes[place][usize::from(byte)];
        let bit = |is: bool| u64::from(is) << at;
        let is_run = a == b && b == c;
        block.hits |= bit(!is_run && groups(0, a) & groups(1, b) & groups(2, c) != 0);
        block.percents |= bit(a == b'%');
        block.escapes |= bit([a, b, c] == *br"\u0");
        block.schemes |= bit(a == b':' && matches!(b, b'/' | b'\\'));
        block.digits |= bit(a.is_ascii_digit());
    }
    block
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_and_si256, _mm256_broadcastsi128_si256,
        _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8,
        _mm256_srli_epi16,
    };

    use super::super::patterns::Lane;
    use super::{BLOCK, Block, Bytes, Tables, blocks};

    /// As [`super::Kind::each`].
    #[target_feature(enable = "avx2")]
    pub(super) fn each(tables: &Tables, text: &[u8], each: impl FnMut(usize, Block)) {
        let look = |bytes: &Bytes| {
            let [low, high] = [0, BLOCK / 2].map(|at| lane(tables, bytes, at));
            let join = |mask: fn(&[u32; 5]) -> u32| {
                u64::from(mask(&low)) | u64::from(mask(&high)) << (BLOCK / 2)
            };
            Block {
                hits: join(|masks| masks[0]),
                percents: join(|masks| masks[1]),
                escapes: join(|masks| masks[2]),
                schemes: join(|masks| masks[3]),
                digits: join(|masks| masks[4]),
            }
        };
        blocks(text, look, each);
    }

    /// The masks of 32 bytes, in the order of a block's fields.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn lane(tables: &Tables, bytes: &Bytes, at: usize) -> [u32; 5] {
        let (a, b, c) = (load(bytes, at), load(bytes, at + 1), load(bytes, at + 2));
        let (a_up, b_up, c_up) = (upper(a), upper(b), upper(c));
        let mut groups = _mm256_setzero_si256();
        for [first, second, third] in &tables.halves {
            let any = _mm256_set1_epi8(third.any.cast_signed());
            let third = _mm256_or_si256(look(third, c, c_up), any);
            let pair = _mm256_and_si256(look(first, a, a_up), look(second, b, b_up));
            groups = _mm256_or_si256(groups, _mm256_and_si256(pair, third));
        }
        let none = _mm256_cmpeq_epi8(groups, _mm256_setzero_si256());
        let is_run = _mm256_and_si256(_mm256_cmpeq_epi8(a, b), _mm256_cmpeq_epi8(b, c));
        let is = |v, byte: u8| _mm256_cmpeq_epi8(v, _mm256_set1_epi8(byte.cast_signed()));
        let mask = |v| _mm256_movemask_epi8(v).cast_unsigned();
        let slash = _mm256_or_si256(is(b, b'/'), is(b, b'\\'));
        let escape = _mm256_and_si256(_mm256_and_si256(is(a, b'\\'), is(b, b'u')), is(c, b'0'));
        // `0` to `9` become the ten greatest signed numbers.
        let digits = _mm256_add_epi8(a, _mm256_set1_epi8(0x7f - b'9'.cast_signed()));
        let digits = _mm256_cmpgt_epi8(digits, _mm256_set1_epi8(0x7f - 10));
        [
            !mask(_mm256_or_si256(is_run, none)),
            mask(is(a, b'%')),
            mask(escape),
            mask(_mm256_and_si256(is(a, b':'), slash)),
            mask(digits),
        ]
    }

    /// The groups that each byte may stand in here; `upper` has its upper four bits. A shuffle
    /// gives zero for bytes from 0x80, which are in no pattern.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn look(lane: &Lane, bytes: __m256i, upper: __m256i) -> __m256i {
        let low = _mm256_shuffle_epi8(table(&lane.low), bytes);
        let high = _mm256_shuffle_epi8(table(&lane.high), upper);
        _mm256_and_si256(low, high)
    }

    /// The upper four bits of each byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn upper(bytes: __m256i) -> __m256i {
        _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(0x0f))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn table(table: &[u8; 16]) -> __m256i {
        // SAFETY: the 16 bytes that are read are the array's; the load needs no alignment.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &Bytes, at: usize) -> __m256i {
        let bytes = &bytes[at..at + BLOCK / 2];
        // SAFETY: the 32 bytes that are read are the slice's; the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::patterns::Patterns;
    use super::*;

    fn look(kind: Kind, text: &[u8]) -> Vec<(usize, Block)> {
        let mut blocks = Vec::new();
        kind.each(&Patterns::new().tables, text, |at, block| {
            blocks.push((at, block));
        });
        blocks
    }

    #[test]
    fn every_processor_sees_the_same() {
        let mut rng = fastrand::Rng::with_seed(1);
        let bytes = b"passwordtokenkey%\\u0:/:\\059 \xe9\0\x7f{\"EYJghp_";
        for len in (0..300_usize).chain([1000]) {
            let pick = |_| match rng.bool() {
                true => *rng.choice(bytes).unwrap(),
                false => rng.u8(..),
            };
            let text: Vec<u8> = (0..len).map(pick).collect();
            let blocks = look(Kind::Portable, &text);
            assert_eq!(blocks, look(Kind::detect(), &text));
            assert_eq!(blocks.len(), len.div_ceil(BLOCK));
        }
    }

    #[test]
    fn padding_has_no_window() {
        for byte in 0..=u8::MAX {
            let mut text = vec![byte; 3 * BLOCK];
            // What follows the text is no padding.
            text.extend_from_slice(b"\xff\xfe");
            for kind in [Kind::Portable, Kind::detect()] {
                for (at, block) in look(kind, &text).iter().take(3) {
                    let last = 1 << (BLOCK - 1) | 1 << (BLOCK - 2);
                    let padding = if *at == 2 * BLOCK { !last } else { !0 };
                    assert_eq!(block.hits & padding, 0, "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn every_byte_is_seen() {
        for len in 1..200 {
            for at in 0..len {
                let mut text = vec![b'x'; len];
                text[at] = b'%';
                let blocks = look(Kind::detect(), &text);
                let seen: Vec<usize> = blocks
                    .iter()
                    .filter(|(_, block)| block.percents != 0)
                    .map(|(start, block)| start + block.percents.trailing_zeros() as usize)
                    .collect();
                assert_eq!(seen, [at]);
            }
        }
    }
}
