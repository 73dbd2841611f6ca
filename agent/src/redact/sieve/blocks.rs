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

/// The first byte of a letter of full width (U+FF01 to U+FF5E) in UTF-8.
const WIDE: u8 = 0xef;

type Bytes = [u8; BLOCK + AHEAD];

/// Bit `n` stands for byte `n` of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// The window of a pattern may begin. Padding has none: groups are so that they do not meet in
    /// zeros, spaces, digits and dashes.
    pub(super) hits: u64,
    /// `%`.
    pub(super) percents: u64,
    /// `\u0`, `\uF` or `\uf`, and the beginning of a letter of full width in UTF-8.
    pub(super) escapes: u64,
    /// `:/` or `:\`.
    pub(super) schemes: u64,
    /// `0` to `9`.
    pub(super) digits: u64,
}

/// Who sees blocks. A trait, because a closure cannot ask for being part of the loop.
pub(super) trait Visit {
    /// A block, and where it begins.
    fn visit(&mut self, start: usize, block: &Block);
}

/// How blocks are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With instructions that processors with AVX2 have besides: BMI1, LZCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// On every processor.
    Portable,
}

impl Kind {
    /// The fastest that the processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("lzcnt")
        {
            return Self::Avx2;
        }
        Self::Portable
    }

    /// Shows every block of a text.
    #[inline]
    pub(super) fn each(self, tables: &Tables, text: &[u8], to: &mut impl Visit) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` is the only maker of this variant outside tests, which ask the
            // processor as well, and saw that it has AVX2, and counts bits at either end.
            Self::Avx2 => unsafe { avx2::each(tables, text, to) },
            Self::Portable => blocks(text, |bytes| portable(tables, bytes), to),
        }
    }
}

/// Cuts a text into blocks; the last is filled up with zeros.
#[inline(always)]
fn blocks(text: &[u8], look: impl Fn(&Bytes) -> Block, to: &mut impl Visit) {
    let mut last = [0; BLOCK + AHEAD];
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let bytes = match rest.first_chunk() {
            Some(bytes) => bytes,
            None => {
                fill(&mut last, rest);
                &last
            }
        };
        to.visit(at, &look(bytes));
        at += BLOCK;
    }
}

#[cold]
fn fill(last: &mut Bytes, rest: &[u8]) {
    *last = [0; BLOCK + AHEAD];
    // It is no whole block.
    if let Some(start) = last.get_mut(..rest.len()) {
        start.copy_from_slice(rest);
    }
}

fn portable(tables: &Tables, bytes: &Bytes) -> Block {
    let mut block = Block::default();
    for at in 0..BLOCK {
        let [a, b, c] = [bytes[at], bytes[at + 1], bytes[at + 2]];
        let groups = |place: usize, byte: u8| tables.bytes[place][usize::from(byte)];
        let bit = |is: bool| u64::from(is) << at;
        block.hits |= bit(groups(0, a) & groups(1, b) & groups(2, c) != 0);
        block.percents |= bit(a == b'%');
        let is_escape = matches!([a, b, c], [b'\\', b'u', b'0' | b'F' | b'f']);
        block.escapes |= bit(is_escape || a == WIDE);
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
    use super::{BLOCK, Block, Bytes, Tables, Visit, WIDE, blocks};

    /// Bytes of a register.
    const WIDTH: usize = BLOCK / 2;

    /// As [`super::Kind::each`].
    #[target_feature(enable = "avx2,bmi1,lzcnt")]
    pub(super) fn each(tables: &Tables, text: &[u8], to: &mut impl Visit) {
        let look = |bytes: &Bytes| {
            let (low, high) = (Lanes::at(bytes, 0), Lanes::at(bytes, WIDTH));
            let [low_groups, high_groups] = groups(tables, &low, &high);
            let none = _mm256_setzero_si256();
            let mut block = Block {
                hits: !join(
                    _mm256_cmpeq_epi8(low_groups, none),
                    _mm256_cmpeq_epi8(high_groups, none),
                ),
                digits: join(low.digits(), high.digits()),
                ..Block::default()
            };
            if _mm256_movemask_epi8(_mm256_or_si256(low.rare(), high.rare())) != 0 {
                [block.percents, block.escapes, block.schemes] = rare(bytes);
            }
            block
        };
        blocks(text, look, to);
    }

    /// One mask of two halves.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn join(low: __m256i, high: __m256i) -> u64 {
        let low = _mm256_movemask_epi8(low).cast_unsigned();
        let high = _mm256_movemask_epi8(high).cast_unsigned();
        u64::from(low) | u64::from(high) << WIDTH
    }

    /// 32 bytes: each byte, the one after it, and the next one.
    struct Lanes {
        a: __m256i,
        b: __m256i,
        c: __m256i,
    }

    impl Lanes {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn at(bytes: &Bytes, at: usize) -> Self {
            Self {
                a: load(bytes, at),
                b: load(bytes, at + 1),
                c: load(bytes, at + 2),
            }
        }

        /// The upper four bits of each.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn upper(&self) -> Self {
            Self {
                a: upper(self.a),
                b: upper(self.b),
                c: upper(self.c),
            }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn digits(&self) -> __m256i {
            // `0` to `9` become the ten greatest signed numbers.
            let top = _mm256_set1_epi8(0x7f - b'9'.cast_signed());
            let digits = _mm256_add_epi8(self.a, top);
            _mm256_cmpgt_epi8(digits, _mm256_set1_epi8(0x7f - 10))
        }

        /// `%`, and what an escape and a scheme begin with, nearly.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn rare(&self) -> __m256i {
            let escape = _mm256_and_si256(is(self.a, b'\\'), is(self.b, b'u'));
            let rest = _mm256_or_si256(self.schemes(), is(self.a, b'%'));
            let escape = _mm256_or_si256(escape, is(self.a, WIDE));
            _mm256_or_si256(escape, rest)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn schemes(&self) -> __m256i {
            let slash = _mm256_or_si256(is(self.b, b'/'), is(self.b, b'\\'));
            _mm256_and_si256(is(self.a, b':'), slash)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn escapes(&self) -> __m256i {
            let two = _mm256_and_si256(is(self.a, b'\\'), is(self.b, b'u'));
            // A capital letter and the small one differ in one bit.
            let small = _mm256_or_si256(self.c, _mm256_set1_epi8(0x20));
            let digit = _mm256_or_si256(is(self.c, b'0'), is(small, b'f'));
            _mm256_or_si256(_mm256_and_si256(two, digit), is(self.a, WIDE))
        }
    }

    /// What few blocks have: percent signs, escapes and schemes.
    #[cold]
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    fn rare(bytes: &Bytes) -> [u64; 3] {
        let (low, high) = (Lanes::at(bytes, 0), Lanes::at(bytes, WIDTH));
        [
            join(is(low.a, b'%'), is(high.a, b'%')),
            join(low.escapes(), high.escapes()),
            join(low.schemes(), high.schemes()),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn is(bytes: __m256i, byte: u8) -> __m256i {
        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()))
    }

    /// The groups whose windows may begin at each byte of both halves: each table is loaded once
    /// for the two.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn groups(tables: &Tables, low: &Lanes, high: &Lanes) -> [__m256i; 2] {
        let (low_ups, high_ups) = (low.upper(), high.upper());
        let mut groups = [_mm256_setzero_si256(); 2];
        for [first, second, third] in &tables.halves {
            let [l1, h1] = look(first, (low.a, low_ups.a), (high.a, high_ups.a));
            let [l2, h2] = look(second, (low.b, low_ups.b), (high.b, high_ups.b));
            let [l3, h3] = look(third, (low.c, low_ups.c), (high.c, high_ups.c));
            let any = _mm256_set1_epi8(third.any.cast_signed());
            let (l3, h3) = (_mm256_or_si256(l3, any), _mm256_or_si256(h3, any));
            let found = _mm256_and_si256(_mm256_and_si256(l1, l2), l3);
            groups[0] = _mm256_or_si256(groups[0], found);
            let found = _mm256_and_si256(_mm256_and_si256(h1, h2), h3);
            groups[1] = _mm256_or_si256(groups[1], found);
        }
        groups
    }

    /// The groups that bytes of both halves may stand in here. With each come its upper four bits.
    /// A shuffle gives zero for bytes from 0x80, which are in no pattern.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn look(
        lane: &Lane,
        (low, low_up): (__m256i, __m256i),
        (high, high_up): (__m256i, __m256i),
    ) -> [__m256i; 2] {
        let (lower, upper) = (table(&lane.low), table(&lane.high));
        [
            _mm256_and_si256(
                _mm256_shuffle_epi8(lower, low),
                _mm256_shuffle_epi8(upper, low_up),
            ),
            _mm256_and_si256(
                _mm256_shuffle_epi8(lower, high),
                _mm256_shuffle_epi8(upper, high_up),
            ),
        ]
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

    impl Visit for Vec<(usize, Block)> {
        fn visit(&mut self, start: usize, block: &Block) {
            self.push((start, *block));
        }
    }

    fn look(kind: Kind, text: &[u8]) -> Vec<(usize, Block)> {
        let mut blocks = Vec::new();
        kind.each(&Patterns::new().tables, text, &mut blocks);
        blocks
    }

    #[test]
    fn every_processor_sees_the_same() {
        let mut rng = fastrand::Rng::with_seed(1);
        let bytes = b"passwordtokenkey%\\u0\\uff:/:\\059 \xe9\xef\0\x7f{\"EYJghp_";
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

    /// What texts are filled up with, and documents indented.
    #[test]
    fn runs_of_one_byte_have_no_window() {
        for byte in b"\0 \t\n\r0123456789-=*#._/".iter().chain(&[0xff]) {
            // What follows the text is no padding.
            let text = [vec![*byte; 3 * BLOCK], b"\xff\xfe".to_vec()].concat();
            for kind in [Kind::Portable, Kind::detect()] {
                for (at, block) in look(kind, &text).iter().take(3) {
                    assert_eq!(block.hits, 0, "{byte:#x} at {at}");
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
