//! Bytes as a coded body. The first byte chooses the codings, the rest is the body; nothing panics,
//! and no more than the cap comes out.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use meshtap::http::coding::{Decoded, Undecodable, decode};

const CODINGS: [&str; 8] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, gzip",
    "deflate, deflate",
    "br, zstd",
];

const CAP: usize = 256 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let codings = CODINGS[usize::from(*choice) % CODINGS.len()].as_bytes();
    match decode(
        [codings],
        &Bytes::copy_from_slice(body),
        choice & 0x80 == 0,
        CAP,
    ) {
        Decoded::Identity => assert!(body.is_empty()),
        Decoded::Decoded { bytes, .. } => assert!(bytes.len() <= CAP),
        Decoded::Failed { reason } => assert_ne!(reason, Undecodable::Decoder),
    }
});
