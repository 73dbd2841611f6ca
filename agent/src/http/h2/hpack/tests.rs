use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

type Owned = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Decodes blocks, one after the other: fields as `name: value` with `?` for what is unknown,
/// blocks apart by `|`.
fn decode(decoder: &mut Decoder, blocks: &[Vec<u8>]) -> Result<String, Error> {
    let mut text = String::new();
    let mut blocks = blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        let mut fields = Vec::new();
        decoder.block(block, &mut |field| {
            let part = |part: Option<&[u8]>| match part {
                None => "?".to_owned(),
                Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            };
            fields.push(format!("{}: {}", part(field.name), part(field.value)));
        })?;
        text += &fields.join("; ");
        if blocks.peek().is_some() {
            text += " | ";
        }
    }
    Ok(text)
}

/// Bytes of text in hexadecimal.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    pairs
        .map(|pair| u8::from_str_radix(&pair, 16).unwrap())
        .collect()
}

fn check(blocks: &[&str], expected: Result<&str, Error>) {
    let blocks: Vec<_> = blocks.iter().map(|block| hex(block)).collect();
    let result = decode(&mut Decoder::new(), &blocks);
    assert_eq!(result.as_deref(), expected.as_deref());
}

fn check_mid_stream(blocks: &[&str], expected: Result<&str, Error>) {
    let blocks: Vec<_> = blocks.iter().map(|block| hex(block)).collect();
    let result = decode(&mut Decoder::mid_stream(), &blocks);
    assert_eq!(result.as_deref(), expected.as_deref());
}

/// RFC 7541 appendix C.2.
#[test]
fn representations() {
    check(
        &["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"],
        Ok("custom-key: custom-header"),
    );
    check(
        &["040c 2f73 616d 706c 652f 7061 7468"],
        Ok(":path: /sample/path"),
    );
    check(
        &["1008 7061 7373 776f 7264 0673 6563 7265 74"],
        Ok("password: secret"),
    );
    check(&["82"], Ok(":method: GET"));
}

const REQUESTS: &str = ":method: GET; :scheme: http; :path: /; :authority: www.example.com | \
     :method: GET; :scheme: http; :path: /; :authority: www.example.com; cache-control: no-cache | \
     :method: GET; :scheme: https; :path: /index.html; :authority: www.example.com; \
     custom-key: custom-value";

/// Appendix C.3 and C.4.
#[test]
fn requests() {
    check(
        &[
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        Ok(REQUESTS),
    );
    check(
        &[
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
        Ok(REQUESTS),
    );
}

const RESPONSES: &str = ":status: 302; cache-control: private; \
     date: Mon, 21 Oct 2013 20:13:21 GMT; location: https://www.example.com | \
     :status: 307; cache-control: private; date: Mon, 21 Oct 2013 20:13:21 GMT; \
     location: https://www.example.com | \
     :status: 200; cache-control: private; date: Mon, 21 Oct 2013 20:13:22 GMT; \
     location: https://www.example.com; content-encoding: gzip; \
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

/// Appendix C.5 and C.6: a table of 256 bytes, from which entries are evicted.
#[test]
fn responses() {
    for blocks in [
        [
            "3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 \
             6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
             677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
             553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ],
        [
            "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
             ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
             821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
             4ee5 b106 3d50 07",
        ],
    ] {
        check(&blocks, Ok(RESPONSES));
    }
}

#[test]
fn integers() {
    // §C.1: 1337 with a prefix of five bits, as a size.
    let mut input = Input::new(&[0x1f, 0x9a, 0x0a], 0);
    assert_eq!(input.integer(5), Ok(1337));
    let mut input = Input::new(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 0);
    assert_eq!((input.integer(7), input.odd), (Ok(127), true));
    let mut input = Input::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], 0);
    assert_eq!(input.integer(7), Err(Error::Integer));
    // Bits beyond what five bytes hold; zeros without end.
    let mut input = Input::new(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], 0);
    assert_eq!(input.integer(7), Err(Error::Integer));
    for len in [2, 5, 6, 9, 200] {
        let bytes = [&[0x1f, 0x9a, 0x8a], &vec![0x80; len][..], &[0x00]].concat();
        let mut input = Input::new(&bytes, 0);
        assert_eq!((input.integer(5), input.odd), (Ok(1337), true));
    }
    // One zero is no padding.
    let mut input = Input::new(&[0xff, 0x00], 0);
    assert_eq!((input.integer(7), input.odd), (Ok(127), false));
    let mut input = Input::new(&[0xff, 0x80], 0);
    assert_eq!(input.integer(7), Err(Error::Truncated));
}

#[test]
fn blocks_that_are_not_valid() {
    check(&["80"], Err(Error::Index));
    check(&["be"], Err(Error::Index));
    check(&["7f00 0161"], Err(Error::Index));
    check(&["40"], Err(Error::Truncated));
    check(&["4001"], Err(Error::Truncated));
    check(&["4001 6105 61"], Err(Error::Truncated));
    check(&["4081 00"], Err(Error::Huffman));
    check(&["3fe2 1f"], Err(Error::SizeUpdate));
}

#[test]
fn after_an_error_the_table_is_unknown() {
    for error in ["80", "7f00 0161", "4001", "4081 00", "3fe2 1f"] {
        let mut decoder = Decoder::new();
        let text = decode(&mut decoder, &[hex("4001 6101 62 be")]);
        assert_eq!(text.unwrap(), "a: b; a: b");
        assert!(decode(&mut decoder, &[hex(error)]).is_err());
        // An index from before may have moved; literals and what they add are known.
        let text = decode(&mut decoder, &[hex("be 82 4001 6301 64 be bf")]);
        assert_eq!(text.unwrap(), "?: ?; :method: GET; c: d; c: d; ?: ?");
    }
}

#[test]
fn what_decoders_tolerate_is_read_and_marked() {
    for (blocks, expected) in [
        // A size update after a field evicts as one before it.
        (
            &["4001 6101 62", "82 20 3fe1 1f 84"][..],
            "a: b | :method: GET; :path: /",
        ),
        (&["82 3f00"], ":method: GET"),
        // Long padding of a name, of a value.
        (&["4084 1fff ffff 0162"], "a: b"),
        (&["4001 6186 6402 ffff ffff", "be"], "a: 302 | a: 302"),
        // An index with zeros in front.
        (&["0f80 8080 8080 8000 0162"], "accept-charset: b"),
    ] {
        let mut decoder = Decoder::new();
        let blocks: Vec<_> = blocks.iter().map(|block| hex(block)).collect();
        assert_eq!(decode(&mut decoder, &blocks).as_deref(), Ok(expected));
        assert!(decoder.take_odd(), "{expected}");
        assert!(!decoder.take_odd());
    }
    let mut decoder = Decoder::new();
    decode(&mut decoder, &[hex("20 3fe1 1f 4001 6101 62 be")]).unwrap();
    assert!(!decoder.take_odd());
    check(&["4001 6101 62", "82 20", "be"], Err(Error::Index));
}

#[test]
fn table_sizes() {
    // Two updates at the beginning of a block, as §4.2 has it: all is evicted.
    check(
        &["4001 6101 62", "be", "20 3fe1 1f 82"],
        Ok("a: b | a: b | :method: GET"),
    );
    check(&["4001 6101 62", "20 be"], Err(Error::Index));
    // A larger table than the default only where the other end allows it.
    let mut decoder = Decoder::new();
    decoder.allow(65_536);
    assert_eq!(
        decode(&mut decoder, &[hex("3fe1 ff03 82")]).unwrap(),
        ":method: GET"
    );
    // An entry that is larger than the table empties it.
    check(&["3f03 4001 6101 62", "82"], Ok("a: b | :method: GET"));
    check(&["3f02 4001 6101 62", "be"], Err(Error::Index));
}

#[test]
fn entries_that_were_never_seen_are_unknown() {
    // An index, a name, and both again from what was added meanwhile.
    check_mid_stream(&["82 be"], Ok(":method: GET; ?: ?"));
    check_mid_stream(&["7e 0162", "be", "0f2f 0163"], Ok("?: b | ?: b | ?: c"));
    check_mid_stream(
        &["4001 6101 62", "be bf", "4001 6301 64 bf be c0"],
        Ok("a: b | a: b; ?: ? | c: d; a: b; c: d; ?: ?"),
    );
    // Any size may have been agreed on.
    check_mid_stream(&["3fe1 ff03 82"], Ok(":method: GET"));
    // A table that was emptied is known.
    check_mid_stream(&["20 3fe1 1f 4001 6101 62", "be"], Ok("a: b | a: b"));
    check_mid_stream(&["20 be"], Err(Error::Index));
    // So is one without room for an entry that is not known.
    check_mid_stream(&["3f03 4001 6101 62", "be"], Ok("a: b | a: b"));
    check_mid_stream(&["3f03 4001 6101 62", "bf"], Err(Error::Index));
}

#[test]
fn a_missing_block_makes_all_unknown() {
    let mut decoder = Decoder::new();
    let text = decode(&mut decoder, &[hex("4001 6101 62 be")]).unwrap();
    assert_eq!(text, "a: b; a: b");
    decoder.forget();
    assert_eq!(
        decode(&mut decoder, &[hex("be 82")]).unwrap(),
        "?: ?; :method: GET"
    );
}

#[test]
fn memory_is_bounded() {
    let mut decoder = Decoder::new();
    decoder.allow(u32::MAX);
    // A table of 256 MiB less a bit, and entries without end.
    decode(&mut decoder, &[hex("3fe0 ffff 7f")]).unwrap();
    let mut block = hex("4001 61 7f81 07");
    block.extend_from_slice(&[b'x'; 1024]);
    for _ in 0..2000 {
        decode(&mut decoder, std::slice::from_ref(&block)).unwrap();
    }
    assert!(decoder.memory() < 1300 * 1024, "{}", decoder.memory());
    let mut last = String::new();
    // One of the newest 900, and one of those that were dropped: unknown, no error.
    for (index, expected) in [(61 + 900, 'x'), (61 + 1200, '?')] {
        let mut reference = Vec::new();
        Encoder::integer(&mut reference, 0x80, 7, index);
        last.clear();
        write!(last, "{}", decode(&mut decoder, &[reference]).unwrap()).unwrap();
        assert!(last.ends_with(expected), "{index}");
    }
    // Nobody knows how large it is: less is kept.
    let mut decoder = Decoder::mid_stream();
    for _ in 0..500 {
        decode(&mut decoder, std::slice::from_ref(&block)).unwrap();
    }
    assert!(decoder.memory() < 80 * 1024, "{}", decoder.memory());
}

/// What the other end allows may be known before the direction begins, and may become unknown.
#[test]
fn allowed_sizes() {
    let update = || [hex("3fe1 ff03 82")];
    let mut decoder = Decoder::mid_stream();
    decoder.allow(65_536);
    decoder.begins();
    decoder.bound();
    assert!(decode(&mut decoder, &update()).is_ok());
    let mut decoder = Decoder::mid_stream();
    decoder.begins();
    assert!(decode(&mut decoder, &update()).is_ok());
    decoder.bound();
    assert_eq!(decode(&mut decoder, &update()), Err(Error::SizeUpdate));
    decoder.unbound();
    assert!(decode(&mut decoder, &update()).is_ok());
}

/// An encoder of our own, for what the others never do: every representation, Huffman or not, size
/// updates.
struct Encoder {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    max: usize,
}

impl Encoder {
    fn integer(out: &mut Vec<u8>, first: u8, prefix: u32, mut value: usize) {
        let mask = usize::from(u8::MAX >> (8 - prefix));
        if value < mask {
            out.push(first | u8::try_from(value).unwrap());
            return;
        }
        out.push(first | u8::try_from(mask).unwrap());
        value -= mask;
        while value >= 128 {
            out.push(u8::try_from(value % 128).unwrap() | 0x80);
            value /= 128;
        }
        out.push(u8::try_from(value).unwrap());
    }

    fn string(out: &mut Vec<u8>, text: &[u8], coded: bool) {
        match coded {
            true => {
                let text = huffman::tests::encode(text);
                Self::integer(out, 0x80, 7, text.len());
                out.extend_from_slice(&text);
            }
            false => {
                Self::integer(out, 0, 7, text.len());
                out.extend_from_slice(text);
            }
        }
    }

    fn resize(&mut self, out: &mut Vec<u8>, max: usize) {
        self.max = max;
        self.evict();
        Self::integer(out, 0x20, 5, max);
    }

    fn evict(&mut self) {
        let cost = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 32;
        while self.entries.iter().map(cost).sum::<usize>() > self.max {
            self.entries.pop();
        }
    }

    fn field(
        &mut self,
        out: &mut Vec<u8>,
        (name, value, how): &(u8, u8, u8),
    ) -> (Vec<u8>, Vec<u8>) {
        let field = (
            vec![b'a' + name % 6; usize::from(*name) % 40 + 1],
            vec![*value; usize::from(*value) % 90],
        );
        let found = self.entries.iter().position(|entry| *entry == field);
        if let Some(at) = found.filter(|_| how & 1 == 0) {
            Self::integer(out, 0x80, 7, at + 62);
            return field;
        }
        let named = self.entries.iter().position(|entry| entry.0 == field.0);
        let (first, prefix) = match how >> 1 & 3 {
            0 => (0x00, 4),
            1 => (0x10, 4),
            _ => (0x40, 6),
        };
        match named.filter(|_| how & 8 == 0) {
            Some(at) => Self::integer(out, first, prefix, at + 62),
            None => {
                Self::integer(out, first, prefix, 0);
                Self::string(out, &field.0, how & 16 == 0);
            }
        }
        Self::string(out, &field.1, how & 32 == 0);
        if prefix == 6 {
            self.entries.insert(0, field.clone());
            self.evict();
        }
        field
    }
}

/// A block: the table's size to announce, and what makes each field.
type Recipe = (Option<u16>, Vec<(u8, u8, u8)>);

/// Blocks of random fields, and what they hold. A block may begin with a size update.
fn conversation(blocks: &[Recipe]) -> Vec<(Vec<u8>, Vec<Owned>)> {
    let mut encoder = Encoder {
        entries: Vec::new(),
        max: 4096,
    };
    let encode = |(size, fields): &(Option<u16>, Vec<(u8, u8, u8)>)| {
        let mut out = Vec::new();
        if let Some(size) = size {
            encoder.resize(&mut out, usize::from(*size) % 4097);
        }
        let encoded = fields.iter().map(|field| encoder.field(&mut out, field));
        let fields = encoded
            .map(|(name, value)| (Some(name), Some(value)))
            .collect();
        (out, fields)
    };
    blocks.iter().map(encode).collect()
}

fn fields(decoder: &mut Decoder, block: &[u8]) -> Vec<Owned> {
    let mut fields = Vec::new();
    decoder
        .block(block, &mut |field| {
            fields.push((
                field.name.map(<[u8]>::to_vec),
                field.value.map(<[u8]>::to_vec),
            ));
        })
        .unwrap();
    fields
}

fn blocks() -> impl Strategy<Value = Vec<Recipe>> {
    let size = prop_oneof![4 => Just(None), 1 => any::<u16>().prop_map(Some)];
    let fields = prop::collection::vec(any::<(u8, u8, u8)>(), 0..12);
    prop::collection::vec((size, fields), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// From the beginning all is known; from any later block, what is known is right.
    #[test]
    fn joined_at_any_block_nothing_is_wrong(blocks in blocks(), from in any::<prop::sample::Index>()) {
        let conversation = conversation(&blocks);
        let mut exact = Decoder::new();
        for (block, expected) in &conversation {
            prop_assert_eq!(&fields(&mut exact, block), expected);
        }
        let from = from.index(conversation.len());
        let mut late = Decoder::mid_stream();
        // One that has missed a block is in the same place.
        let mut missed = Decoder::new();
        for (block, _) in &conversation[..from] {
            fields(&mut missed, block);
        }
        missed.forget();
        for (block, expected) in &conversation[from..] {
            let read = fields(&mut late, block);
            prop_assert_eq!(read.len(), expected.len());
            for (read, expected) in read.iter().zip(expected) {
                prop_assert!(read.0.is_none() || read.0 == expected.0);
                prop_assert!(read.1.is_none() || read.1 == expected.1);
            }
            let missed = fields(&mut missed, block);
            prop_assert_eq!(missed, read);
        }
    }

    #[test]
    fn any_bytes_end(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..8)) {
        for mut decoder in [Decoder::new(), Decoder::mid_stream()] {
            for block in &blocks {
                let _ = decoder.block(block, &mut |_| ());
                // Literals need no table.
                prop_assert_eq!(fields(&mut decoder, &[0x82]), [(
                    Some(b":method".to_vec()),
                    Some(b"GET".to_vec()),
                )]);
            }
        }
    }
}

/// Puts `x: vvv…` of so many bytes into the table.
fn long_entry(len: usize) -> Vec<u8> {
    let mut block = vec![0x40, 1, b'x'];
    Encoder::integer(&mut block, 0, 7, len);
    block.extend(std::iter::repeat_n(b'v', len));
    block
}

/// Bytes of fields that a block gives, and whether some were omitted.
fn given(decoder: &mut Decoder, block: &[u8]) -> (usize, bool) {
    let mut bytes = 0;
    let result = decoder.block(block, &mut |field| {
        bytes += field.name.map_or(0, <[u8]>::len) + field.value.map_or(0, <[u8]>::len);
    });
    result.unwrap();
    (bytes, decoder.take_cut())
}

/// Senders that put a cookie, a token or a policy into the table refer to it in each of their
/// messages, with a byte.
#[test]
fn entries_that_each_block_refers_to_are_whole() {
    for (size, entries, len) in [(4096, 1, 4000), (4096, 3, 1200), (65_536, 4, 4000)] {
        let mut decoder = Decoder::new();
        decoder.allow(size);
        let mut update = Vec::new();
        Encoder::integer(&mut update, 0x20, 5, size as usize);
        given(&mut decoder, &update);
        for _ in 0..entries {
            assert_eq!(given(&mut decoder, &long_entry(len)), (len + 1, false));
        }
        let references: Vec<u8> = (0..entries).map(|at| 0xbe + at).collect();
        for _ in 0..5000 {
            let all = usize::from(entries) * (len + 1);
            assert_eq!(given(&mut decoder, &references), (all, false));
        }
    }
    // Small ones may be repeated: `x: v…`, a hundred times.
    let mut decoder = Decoder::new();
    given(&mut decoder, &long_entry(60));
    assert_eq!(given(&mut decoder, &[0xbe; 100]), (6100, false));
}

/// A block that refers to a long entry again and again gives no more than in proportion to the
/// table and to its own bytes; whether by whole entries or by names.
#[test]
fn references_give_in_proportion() {
    let mut decoder = Decoder::new();
    given(&mut decoder, &long_entry(3800));
    for references in [2, 15, 1000, 10_000] {
        let block = vec![0xbe; references];
        let (bytes, cut) = given(&mut decoder, &block);
        assert!(bytes >= 3801 && bytes <= 4096 + 64 * references, "{bytes}");
        assert!(cut);
    }
    // The name of an entry, with an empty value.
    let mut decoder = Decoder::new();
    let mut named = vec![0x40];
    Encoder::integer(&mut named, 0, 7, 3800);
    named.extend(std::iter::repeat_n(b'n', 3800));
    named.push(0);
    given(&mut decoder, &named);
    let (bytes, cut) = given(&mut decoder, &[0x0f, 47, 0].repeat(100));
    assert!(bytes <= 4096 + 64 * 300 && cut, "{bytes}");
    // In a large table, each entry once.
    let mut decoder = Decoder::new();
    decoder.allow(65_536);
    given(&mut decoder, &hex("3fe1 ff03"));
    for _ in 0..16 {
        given(&mut decoder, &long_entry(3800));
    }
    let references: Vec<u8> = (0xbe..0xbe + 16).collect();
    let (bytes, cut) = given(&mut decoder, &references);
    assert!(bytes <= ONCE + RATIO * 16 && cut, "{bytes}");
}

/// What is omitted is in the table all the same.
#[test]
fn what_is_omitted_moves_the_table() {
    let mut decoder = Decoder::new();
    let mut named = vec![0x40];
    Encoder::integer(&mut named, 0, 7, 1500);
    named.extend(std::iter::repeat_n(b'n', 1500));
    named.push(0);
    given(&mut decoder, &named);
    // Uses the budget up, and then adds `nnn…: v`.
    let mut block = vec![0xbe; 3];
    block.extend(hex("7e01 76"));
    assert!(given(&mut decoder, &block).1);
    let mut fields = Vec::new();
    decoder
        .block(&hex("be"), &mut |field| {
            fields.push((field.name.map(<[u8]>::len), field.value.map(<[u8]>::to_vec)));
        })
        .unwrap();
    assert_eq!(fields, [(Some(1500), Some(b"v".to_vec()))]);
}
