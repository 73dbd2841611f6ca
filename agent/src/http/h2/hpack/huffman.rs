//! The Huffman code of HPACK (RFC 7541 §5.2, appendix B). It is canonical: the lengths of the codes
//! say all.

/// Bits of each symbol's code: 256 bytes, then the end-of-string symbol.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS: u16 = 256;

/// Longest code.
const MAX: usize = 30;

/// A string that is not valid: the end-of-string symbol is within it, or what it ends with is no
/// padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// What a string ends with: the first bits of the end-of-string symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// Fewer than eight bits, as §5.2 has it.
    Short,
    /// More, which some decoders take, even the whole symbol.
    Long,
}

/// The code, by length: where its codes end (left-aligned in 32 bits), the first of them, and where
/// its symbols begin in `order`.
struct Code {
    ends: [u64; MAX + 1],
    firsts: [u32; MAX + 1],
    starts: [u16; MAX + 1],
    order: [u16; 257],
    /// Symbol and length for the first eight bits, where a code is not longer.
    short: [(u8, u8); 256],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            ends: [0; MAX + 1],
            firsts: [0; MAX + 1],
            starts: [0; MAX + 1],
            order: [0; 257],
            short: [(0, 0); 256],
        };
        let mut next = 0_u32;
        let mut placed = 0;
        let mut len = 1;
        while len <= MAX {
            next <<= 1;
            code.firsts[len] = next;
            code.starts[len] = placed as u16;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == len {
                    code.order[placed] = symbol as u16;
                    placed += 1;
                    if len <= 8 {
                        let mut at = (next << (8 - len)) as usize;
                        let end = ((next + 1) << (8 - len)) as usize;
                        while at < end {
                            code.short[at] = (symbol as u8, len as u8);
                            at += 1;
                        }
                    }
                    next += 1;
                }
                symbol += 1;
            }
            code.ends[len] = (next as u64) << (32 - len);
            len += 1;
        }
        code
    }

    /// The symbol that the first of 32 bits are, and its length.
    fn first(&self, bits: u32) -> Option<(u16, usize)> {
        let (symbol, len) = self.short[(bits >> 24) as usize];
        if len > 0 {
            return Some((u16::from(symbol), usize::from(len)));
        }
        let len = (9..=MAX).find(|len| u64::from(bits) < self.ends[*len])?;
        let at = usize::from(self.starts[len]) + ((bits >> (32 - len)) - self.firsts[len]) as usize;
        self.order.get(at).map(|symbol| (*symbol, len))
    }
}

/// Decodes a string onto `out`: at most eight fifths of its length.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<Padding, Invalid> {
    // The bits that are left, from the top.
    let mut window = 0_u64;
    let mut bits = 0;
    let mut bytes = input.iter();
    loop {
        while bits <= 56
            && let Some(byte) = bytes.next()
        {
            window |= u64::from(*byte) << (56 - bits);
            bits += 8;
        }
        let first = CODE.first((window >> 32) as u32);
        match first.filter(|(_, len)| *len <= bits) {
            Some((symbol, len)) if symbol != EOS => {
                out.push(symbol as u8);
                window <<= len;
                bits -= len;
            }
            // Nothing but ones is left: once, so that the work stays linear.
            _ if window.leading_ones() as usize >= bits && bytes.all(|byte| *byte == 0xff) => {
                return Ok(match bits < 8 {
                    true => Padding::Short,
                    false => Padding::Long,
                });
            }
            _ => return Err(Invalid),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// RFC 7541 §5.2, for tests.
    pub(in super::super) fn encode(input: &[u8]) -> Vec<u8> {
        static CODES: LazyLock<[u32; 257]> = LazyLock::new(|| {
            let mut codes = [0_u32; 257];
            for len in 1..=MAX {
                let symbols = (0..257).filter(|symbol| usize::from(LENGTHS[*symbol]) == len);
                for (at, symbol) in symbols.enumerate() {
                    codes[symbol] = CODE.firsts[len] + u32::try_from(at).unwrap();
                }
            }
            codes
        });
        let (mut out, mut window, mut bits) = (Vec::new(), 0_u64, 0);
        for byte in input {
            let symbol = usize::from(*byte);
            window = window << LENGTHS[symbol] | u64::from(CODES[symbol]);
            bits += LENGTHS[symbol];
            while bits >= 8 {
                bits -= 8;
                out.push((window >> bits) as u8);
            }
        }
        if bits > 0 {
            out.push((window << (8 - bits)) as u8 | u8::MAX >> bits);
        }
        out
    }

    fn check(input: &[u8], expected: Result<&[u8], Invalid>) {
        let mut out = Vec::new();
        let result = decode(input, &mut out);
        assert_eq!(result.map(|_| out.as_slice()), expected, "{input:x?}");
    }

    fn check_padding(input: &[u8], expected: Padding) {
        assert_eq!(decode(input, &mut Vec::new()), Ok(expected), "{input:x?}");
    }

    #[test]
    fn examples_of_the_rfc() {
        check(
            &[
                0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
            ],
            Ok(b"www.example.com"),
        );
        check(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], Ok(b"no-cache"));
        check(
            &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
            Ok(b"custom-key"),
        );
        check(&[0x64, 0x02], Ok(b"302"));
    }

    #[test]
    fn every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        check(&encode(&all), Ok(&all));
        for byte in 0..=255 {
            check(&encode(&[byte]), Ok(&[byte]));
            check(&encode(&[byte; 9]), Ok(&[byte; 9]));
        }
    }

    #[test]
    fn padding_is_checked() {
        check(&[], Ok(b""));
        check_padding(&[], Padding::Short);
        check_padding(&[0b0000_0111], Padding::Short);
        check_padding(&encode(b"www.example.com"), Padding::Short);
        // Whole bytes of padding.
        for len in [1, 2, 3, 4, 5, 8, 9, 40] {
            let padded = [&[0x64, 0x02], &vec![0xff; len][..]].concat();
            check(&padded, Ok(b"302"));
            check_padding(&padded, Padding::Long);
            check(&vec![0xff; len], Ok(b""));
            check_padding(&vec![0xff; len], Padding::Long);
        }
        // Padding of zeros.
        check(&[0b0000_0000], Err(Invalid));
        check(&[0b0000_0111], Ok(b"0"));
        // The end-of-string symbol.
        check(&[0xff, 0xff, 0xff, 0xfc], Err(Invalid));
        check(&[0xff, 0xff, 0xff, 0xff, 0x64, 0x02], Err(Invalid));
        check(&[&[0xff; 9], &[0x07][..]].concat(), Err(Invalid));
    }
}
