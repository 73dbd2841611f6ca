//! Zstandard (RFC 8878, and RFC 9659 for its use as a content coding).

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::{End, Output, Undecodable};

/// log2 of the largest window: RFC 9659 §3 has recipients refuse more than 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// What libzstd calls a window over the limit.
const WINDOW_ERROR: &str = "Frame requires too much memory for decoding";

/// Every frame of a Zstandard stream, skippable ones omitted.
pub(super) fn decode(input: &[u8], output: &mut Output) -> Result<End, Undecodable> {
    let mut context = DCtx::try_create().ok_or(Undecodable::Decoder)?;
    context
        .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
        .map_err(|_| Undecodable::Decoder)?;
    let mut source = InBuffer::around(input);
    while output.grow() {
        let start = output.bytes.len();
        let mut receiver = OutBuffer::around_pos(&mut output.bytes, start);
        let left = context
            .decompress_stream(&mut receiver, &mut source)
            .map_err(|code| match get_error_name(code) {
                WINDOW_ERROR => Undecodable::Window,
                _ => Undecodable::Corrupt,
            })?;
        let rest = input.get(source.pos()..).unwrap_or_default();
        let has_room = output.bytes.len() < output.bytes.capacity();
        match left {
            0 if output.full() => return Ok(End::Full),
            // Bytes after the last frame are no part of the stream.
            0 if !begins_frame(rest) => return Ok(End::Finished),
            0 => {}
            _ if rest.is_empty() && has_room => return Ok(End::Cut),
            _ => {}
        }
    }
    Ok(End::Full)
}

/// RFC 8878 §3.1: the magic number of a frame or of a skippable frame, or as much of one as there
/// is.
fn begins_frame(bytes: &[u8]) -> bool {
    const FRAME: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    const SKIPPABLE: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();

    let same = |magic: [u8; 4], mask: u8| {
        bytes
            .iter()
            .zip(magic)
            .enumerate()
            .all(|(i, (byte, want))| {
                if i == 0 {
                    byte & mask == want
                } else {
                    *byte == want
                }
            })
    };
    !bytes.is_empty() && (same(FRAME, 0xff) || same(SKIPPABLE, 0xf0))
}
