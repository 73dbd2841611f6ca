//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{End, Output, Undecodable};

/// One Brotli stream. Windows are those of RFC 7932, at most 16 MiB; the "large window" extension
/// is no HTTP coding.
pub(super) fn decode(input: &[u8], output: &mut Output) -> Result<End, Undecodable> {
    let mut state = BrotliState::new_strict(
        StandardAlloc::default(),
        StandardAlloc::default(),
        StandardAlloc::default(),
    );
    let (mut available_in, mut position_in) = (input.len(), 0);
    let mut total = 0;
    while output.grow() {
        // The decoder writes into initialized memory only.
        let mut position_out = output.bytes.len();
        output.bytes.resize(output.bytes.capacity(), 0);
        let mut available_out = output.bytes.len() - position_out;
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut position_in,
            input,
            &mut available_out,
            &mut position_out,
            &mut output.bytes,
            &mut total,
            &mut state,
        );
        // Out of input and out of room at once: what is decoded is not all written yet.
        let has_room = position_out < output.bytes.len();
        output.bytes.truncate(position_out);
        match result {
            BrotliResult::ResultSuccess if output.full() => return Ok(End::Full),
            BrotliResult::ResultSuccess => return Ok(End::Finished),
            BrotliResult::NeedsMoreInput if has_room => return Ok(End::Cut),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(Undecodable::Corrupt),
        }
    }
    Ok(End::Full)
}
