use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const CAP: usize = 16 * 1024 * 1024;

/// Expects `body` under these `Content-Encoding` values to be decoded to `expected`.
fn check(codings: &[&str], body: &[u8], expected: Decoded) {
    let got = run(codings, body, true, CAP);
    assert_eq!(got, expected, "codings {codings:?}");
}

fn run(codings: &[&str], body: &[u8], complete: bool, cap: usize) -> Decoded {
    let body = Bytes::copy_from_slice(body);
    decode(codings.iter().map(|c| c.as_bytes()), &body, complete, cap)
}

fn whole(bytes: &[u8]) -> Decoded {
    Decoded::Decoded {
        bytes: Bytes::copy_from_slice(bytes),
        truncated: false,
    }
}

fn failed(reason: Undecodable) -> Decoded {
    Decoded::Failed { reason }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(data).unwrap();
    encoder.into_inner()
}

fn zstd_with(data: &[u8], set: impl FnOnce(&mut zstd_safe::CCtx<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(data.len()));
    let mut context = zstd_safe::CCtx::create();
    set(&mut context);
    context.compress2(&mut out, data).unwrap();
    out
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd_with(data, |_| {})
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODERS: [(&str, Encode); 5] = [
    ("gzip", gzip),
    ("deflate", zlib),
    ("deflate", bare_deflate),
    ("br", brotli),
    ("zstd", zstd),
];

/// Text that compresses as bodies do: repeated words with numbers between them.
fn text(len: usize) -> Vec<u8> {
    let numbers = std::iter::successors(Some(1_u64), |n| {
        Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    });
    let words = numbers.flat_map(|n| format!("item {} of the list; ", n >> 50).into_bytes());
    words.take(len).collect()
}

#[test]
fn nothing_to_do() {
    check(&[], b"plain", Decoded::Identity);
    check(&["identity", " , Identity,"], b"plain", Decoded::Identity);
    check(&["gzip"], b"", Decoded::Identity);
}

#[test]
fn names_are_lists_without_case() {
    let data = text(500);
    check(&["X-GZip"], &gzip(&data), whole(&data));
    check(&[" GZIP\t, identity"], &gzip(&data), whole(&data));
    check(&["gzip, br"], &brotli(&gzip(&data)), whole(&data));
    check(&["gzip", "br"], &brotli(&gzip(&data)), whole(&data));
    check(
        &["zstd,br", "deflate"],
        &zlib(&brotli(&zstd(&data))),
        whole(&data),
    );
    check(&["compress"], b"x", failed(Undecodable::UnknownCoding));
    check(
        &["gzip, none"],
        &gzip(&data),
        failed(Undecodable::UnknownCoding),
    );
    let six = ["gzip"; MAX_CODINGS + 1];
    check(&six, b"x", failed(Undecodable::TooManyCodings));
}

#[test]
fn stacks_up_to_the_limit() {
    let data = text(500);
    let coded = (0..MAX_CODINGS).fold(data.clone(), |coded, _| gzip(&coded));
    check(&["gzip"; MAX_CODINGS], &coded, whole(&data));
}

#[test]
fn several_members_and_frames() {
    let (a, b) = (text(300), text(70_000));
    let both = [a.clone(), b.clone()].concat();
    check(&["gzip"], &[gzip(&a), gzip(&b)].concat(), whole(&both));
    let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let frames = [zstd(&a), skippable.to_vec(), zstd(&b)].concat();
    check(&["zstd"], &frames, whole(&both));
}

#[test]
fn members_without_end_are_refused() {
    let many = |len: usize, members: usize| gzip(&vec![b'x'; len]).repeat(members);
    check(&["gzip"], &many(0, 65), failed(Undecodable::Corrupt));
    check(&["gzip"], &many(1, 100_000), failed(Undecodable::Corrupt));
    check(&["gzip"], &many(1, 64), whole(&[b'x'; 64]));
    check(&["gzip"], &many(2048, 200), whole(&vec![b'x'; 2048 * 200]));
}

#[test]
fn garbage_after_the_end_is_ignored() {
    let data = text(300);
    for (name, encode) in ENCODERS {
        check(
            &[name],
            &[encode(&data), b"\0\0tail".to_vec()].concat(),
            whole(&data),
        );
    }
}

#[test]
fn gzip_heads_with_every_field() {
    let data = text(300);
    let plain = gzip(&data);
    let mut head = plain[..10].to_vec();
    head[3] = 0b1_1110;
    head.extend_from_slice(b"\x03\0abcname\0comment\0\xAA\xBB");
    let coded = [&head, &plain[10..]].concat();
    check(&["gzip"], &coded, whole(&data));
    for cut in 1..head.len() {
        let expected = Decoded::Decoded {
            bytes: Bytes::new(),
            truncated: true,
        };
        assert_eq!(
            run(&["gzip"], &coded[..cut], false, CAP),
            expected,
            "cut at {cut}"
        );
    }
}

#[test]
fn not_of_the_coding() {
    for name in ["gzip", "zstd", "br", "deflate"] {
        check(
            &[name],
            b"\xff\xff{\"plain\": true}",
            failed(Undecodable::Corrupt),
        );
    }
    check(&["gzip"], &zlib(b"x"), failed(Undecodable::Corrupt));
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    let data = text(4000);
    for (name, encode) in [("gzip", gzip as Encode), ("deflate", zlib)] {
        let mut coded = encode(&data);
        *coded.last_mut().unwrap() ^= 1;
        check(&[name], &coded, failed(Undecodable::Corrupt));
    }
    let mut coded = zstd_with(&data, |context| {
        context
            .set_parameter(zstd_safe::CParameter::ChecksumFlag(true))
            .unwrap();
    });
    *coded.last_mut().unwrap() ^= 1;
    check(&["zstd"], &coded, failed(Undecodable::Corrupt));
}

#[test]
fn a_sender_that_stops_early() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"data: one\n\n").unwrap();
    encoder.flush().unwrap();
    let flushed = encoder.get_ref().clone();
    let expected = Decoded::Decoded {
        bytes: Bytes::from_static(b"data: one\n\n"),
        truncated: true,
    };
    check(&["gzip"], &flushed, expected);
    check(&["gzip"], &flushed[..9], failed(Undecodable::Cut));
}

#[test]
fn a_cut_stream_gives_most_of_what_its_bytes_hold() {
    let data = text(400_000);
    for (name, encode) in ENCODERS {
        let coded = encode(&data);
        let Decoded::Decoded { bytes, truncated } =
            run(&[name], &coded[..coded.len() / 2], false, CAP)
        else {
            panic!("{name} failed");
        };
        assert!(truncated);
        assert!(data.starts_with(&bytes));
        // Zstandard and Brotli give whole blocks only.
        assert!(
            bytes.len() > data.len() / 10,
            "{name}: {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn output_is_capped() {
    let data = text(100_000);
    for (name, encode) in ENCODERS {
        let coded = encode(&data);
        assert_eq!(
            run(&[name], &coded, true, data.len()),
            whole(&data),
            "{name}"
        );
        for cap in [0, 1, 4096, 65_536, data.len() - 1] {
            let expected = Decoded::Decoded {
                bytes: Bytes::copy_from_slice(&data[..cap]),
                truncated: true,
            };
            assert_eq!(
                run(&[name], &coded, true, cap),
                expected,
                "{name} capped at {cap}"
            );
        }
    }
}

#[test]
fn bombs_stay_within_the_cap_and_the_ratio() {
    let zeros = vec![0; 64 * 1024 * 1024];
    for (name, encode) in ENCODERS {
        let coded = encode(&zeros);
        let Decoded::Decoded { bytes, truncated } = run(&[name], &coded, true, CAP) else {
            panic!("{name} failed");
        };
        assert!(truncated, "{name}");
        assert!(bytes.len() <= CAP, "{name}");
        assert!(
            bytes.len() <= FREE_OUTPUT.max(coded.len() * MAX_RATIO),
            "{name}"
        );
        // A second layer multiplies the ratio; the bound stays.
        let twice = encode(&coded);
        if let Decoded::Decoded { bytes, .. } = run(&[name, name], &twice, true, CAP) {
            assert!(bytes.len() <= CAP, "{name} twice");
        }
    }
}

#[test]
fn one_block_that_claims_gigabytes() {
    // A raw block of 8 bytes, then a block of 65 000 sequences that are all the same (RLE tables)
    // but for 16 bits each: matches of 65 539 + 0xffff bytes, 8 GiB from 130 000 bytes. RFC
    // 8878 §3.1.1.2.3 lets a block give 128 KiB, and a decoder that does not check that
    // allocates all of it.
    let mut sequences = vec![1 << 3, b'x'];
    sequences.extend_from_slice(&[0xff, 0xe8, 0x7e, 0b0101_0100, 0, 0, 52]);
    sequences.resize(sequences.len() + 130_000, 0xff);
    sequences.push(1);
    let header = |len: usize, kind| u32::try_from(len << 3 | kind).unwrap().to_le_bytes();
    let mut frame = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    frame.extend_from_slice(&[0, 13 << 3]);
    frame.extend_from_slice(&header(8, 0)[..3]);
    frame.extend_from_slice(b"8 bytes.");
    frame.extend_from_slice(&header(sequences.len(), 0b101)[..3]);
    frame.extend(sequences);
    check(&["zstd"], &frame, failed(Undecodable::Corrupt));
}

#[test]
fn large_windows_are_refused() {
    let data = text(20_000);
    let coded = |log| {
        zstd_with(&data, |context| {
            context.set_pledged_src_size(None).unwrap();
            context
                .set_parameter(zstd_safe::CParameter::WindowLog(log))
                .unwrap();
            context
                .set_parameter(zstd_safe::CParameter::ContentSizeFlag(false))
                .unwrap();
        })
    };
    check(&["zstd"], &coded(23), whole(&data));
    // The same frame with 2 GiB written into its window descriptor.
    let mut large = coded(23);
    large[5] = 21 << 3;
    check(&["zstd"], &large, failed(Undecodable::Window));
    // The first byte of Brotli's "large window" streams (0x11) is reserved in RFC 7932.
    check(
        &["br"],
        &[0x11, 0x1e, 0, 0, 0, 0],
        failed(Undecodable::Corrupt),
    );
}

#[test]
fn labels_are_distinct() {
    let labels: std::collections::HashSet<_> = Undecodable::ALL
        .iter()
        .map(|reason| reason.label())
        .collect();
    assert_eq!(labels.len(), Undecodable::ALL.len());
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..400),
        prop::collection::vec(0_u8..3, 1..3000),
        (1_usize..3000).prop_map(text),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_at_any_length_gives_a_prefix(data in payload()) {
        for (name, encode) in ENCODERS {
            let coded = encode(&data);
            prop_assert_eq!(run(&[name], &coded, true, CAP), whole(&data));
            for cut in 0..coded.len() {
                match run(&[name], &coded[..cut], false, CAP) {
                    Decoded::Decoded { bytes, truncated } => {
                        prop_assert!(data.starts_with(&bytes), "{} cut at {}", name, cut);
                        prop_assert!(truncated);
                    }
                    Decoded::Identity => prop_assert_eq!(cut, 0),
                    Decoded::Failed { reason } => {
                        prop_assert!(false, "{} cut at {}: {:?}", name, cut, reason);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_under_any_coding_stay_within_the_cap(
        data in prop::collection::vec(any::<u8>(), 0..2000),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cap in 0_usize..100_000,
    ) {
        for (name, encode) in ENCODERS {
            let mut coded = encode(&data);
            for (at, value) in &flips {
                let at = at.index(coded.len());
                coded[at] ^= value;
            }
            for body in [&coded, &data] {
                if let Decoded::Decoded { bytes, .. } = run(&[name], body, true, cap) {
                    prop_assert!(bytes.len() <= cap);
                }
            }
        }
    }
}
