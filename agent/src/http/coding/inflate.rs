//! gzip (RFC 1952) and deflate: zlib (RFC 1950), or bare DEFLATE (RFC 1951) as some servers send
//! under that name.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{End, Output, Undecodable};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;
/// CRC-32 and length of a member's data.
const TRAILER: usize = 8;
/// Most members, and how many bytes each more must have held on average: whoever writes gzip in
/// members writes 64 KiB or a file into each, and a decoder takes long to begin.
const MEMBERS: usize = 64;
const MEMBER: usize = 1024;

/// Every member of a gzip stream. Bytes after the last member are no part of it (gzip(1) and
/// browsers ignore them too).
pub(super) fn gzip(mut input: &[u8], output: &mut Output) -> Result<End, Undecodable> {
    let mut first = true;
    let mut members = 0;
    let mut decoder = Decompress::new(false);
    while first || is_prefix_of(GZIP_MAGIC, input) {
        let data = match member_data(input) {
            Ok(data) => data,
            Err(End::Cut) => return Ok(End::Cut),
            // A later "member" whose head is not one is trailing garbage; a first one is no gzip at
            // all.
            Err(_) if !first => return Ok(End::Finished),
            Err(_) => return Err(Undecodable::Corrupt),
        };
        first = false;
        members += 1;
        if members > MEMBERS + output.bytes.len() / MEMBER {
            return Err(Undecodable::Corrupt);
        }
        decoder.reset(false);
        let start = output.bytes.len();
        let (end, used) = inflate(&mut decoder, data, output)?;
        if end != End::Finished {
            return Ok(end);
        }
        let rest = data.get(used..).unwrap_or_default();
        let Some((trailer, rest)) = rest.split_first_chunk::<TRAILER>() else {
            return Ok(End::Cut);
        };
        check_trailer(*trailer, output.bytes.get(start..).unwrap_or_default())?;
        input = rest;
    }
    Ok(End::Finished)
}

/// zlib, or bare DEFLATE when it is not that.
pub(super) fn deflate(input: &[u8], output: &mut Output) -> Result<End, Undecodable> {
    if has_zlib_head(input) {
        if let Ok((end, _)) = inflate(&mut Decompress::new(true), input, output) {
            return Ok(end);
        }
        output.bytes.clear();
    }
    inflate(&mut Decompress::new(false), input, output).map(|(end, _)| end)
}

/// RFC 1950 §2.2: method 8, a window of at most 32 KiB, no dictionary, and a check that makes the
/// two bytes a multiple of 31.
fn has_zlib_head(input: &[u8]) -> bool {
    const DICTIONARY: u8 = 1 << 5;
    match input {
        [cmf, flg, ..] => {
            cmf & 0x0f == METHOD_DEFLATE
                && cmf >> 4 <= 7
                && flg & DICTIONARY == 0
                && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31)
        }
        [cmf] => cmf & 0x0f == METHOD_DEFLATE && cmf >> 4 <= 7,
        [] => false,
    }
}

fn is_prefix_of(magic: [u8; 2], input: &[u8]) -> bool {
    match input {
        [a, b, ..] => [*a, *b] == magic,
        [a] => *a == magic[0],
        [] => false,
    }
}

/// What follows a member's head (RFC 1952 §2.3); [`End::Cut`] when the head is not whole,
/// [`End::Finished`] when it is none.
fn member_data(input: &[u8]) -> Result<&[u8], End> {
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0b1110_0000;

    let known = [GZIP_MAGIC[0], GZIP_MAGIC[1], METHOD_DEFLATE];
    if !input.iter().zip(known).all(|(byte, want)| *byte == want) {
        return Err(End::Finished);
    }
    let (head, mut rest) = input.split_first_chunk::<10>().ok_or(End::Cut)?;
    let flags = head[3];
    if flags & RESERVED != 0 {
        return Err(End::Finished);
    }
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(End::Cut)?;
        let len = usize::from(u16::from_le_bytes(*len));
        rest = after.get(len..).ok_or(End::Cut)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let zero = memchr::memchr(0, rest).ok_or(End::Cut)?;
            rest = rest.get(zero + 1..).ok_or(End::Cut)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(End::Cut)?;
    }
    Ok(rest)
}

fn check_trailer(trailer: [u8; TRAILER], data: &[u8]) -> Result<(), Undecodable> {
    let [c0, c1, c2, c3, l0, l1, l2, l3] = trailer;
    let mut crc = Crc::new();
    crc.update(data);
    let sound = crc.sum() == u32::from_le_bytes([c0, c1, c2, c3])
        && crc.amount() == u32::from_le_bytes([l0, l1, l2, l3]);
    sound.then_some(()).ok_or(Undecodable::Corrupt)
}

/// One DEFLATE stream, and how much of `input` it took.
fn inflate(
    decoder: &mut Decompress,
    input: &[u8],
    output: &mut Output,
) -> Result<(End, usize), Undecodable> {
    let mut used = 0;
    while output.grow() {
        let rest = input.get(used..).unwrap_or_default();
        let (in_before, out_before) = (decoder.total_in(), output.bytes.len());
        let status = decoder
            .decompress_vec(rest, &mut output.bytes, FlushDecompress::None)
            .map_err(|_| Undecodable::Corrupt)?;
        let taken = usize::try_from(decoder.total_in() - in_before);
        used += taken.map_err(|_| Undecodable::Decoder)?;
        let idle = decoder.total_in() == in_before && output.bytes.len() == out_before;
        match status {
            Status::StreamEnd if output.full() => return Ok((End::Full, used)),
            Status::StreamEnd => return Ok((End::Finished, used)),
            Status::Ok | Status::BufError if idle => return Ok((End::Cut, used)),
            Status::Ok | Status::BufError => {}
        }
    }
    Ok((End::Full, used))
}
