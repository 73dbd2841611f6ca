//! Header blocks of anything: decoding ends and stays within its bounds, and one who comes late
//! knows nothing that is wrong.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtap::http::h2::hpack::{Decoder, Error};

type Field = (Option<Vec<u8>>, Option<Vec<u8>>);

fn decode(decoder: &mut Decoder, block: &[u8]) -> (Vec<Field>, Result<(), Error>) {
    let mut fields = Vec::new();
    let result = decoder.block(block, &mut |field| {
        fields.push((
            field.name.map(<[u8]>::to_vec),
            field.value.map(<[u8]>::to_vec),
        ));
    });
    (fields, result)
}

// The first byte says from which block on the late one listens; each block follows its length.
fuzz_target!(|data: &[u8]| {
    let [from, rest @ ..] = data else { return };
    let mut exact = Decoder::new();
    exact.allow(65_536);
    let mut late = Decoder::mid_stream();
    let mut rest = rest;
    let mut at = 0;
    while let [len, more @ ..] = rest {
        let (block, more) = more.split_at(usize::from(*len).min(more.len()));
        rest = more;
        let (known, result) = decode(&mut exact, block);
        let exact_is_cut = exact.take_cut();
        assert!(exact.memory() < 512 * 1024);
        if result.is_err() {
            let again = decode(&mut exact, &[0x82]);
            assert_eq!(again.1, Ok(()));
            assert_eq!(again.0.len(), 1);
            let _ = decode(&mut late, block);
            return;
        }
        assert!(
            known
                .iter()
                .all(|(name, value)| name.is_some() && value.is_some())
        );
        if at >= u32::from(*from) {
            let (seen, result) = decode(&mut late, block);
            assert_eq!(result, Ok(()));
            // What references may give depends on the size of the table, and what they give on
            // which entries are known: of one of both, fields may be omitted.
            if !exact_is_cut && !late.take_cut() {
                assert_eq!(seen.len(), known.len());
                for (seen, known) in seen.into_iter().zip(known) {
                    assert!(seen.0.is_none() || seen.0 == known.0);
                    assert!(seen.1.is_none() || seen.1 == known.1);
                }
            }
        }
        at += 1;
    }
});
