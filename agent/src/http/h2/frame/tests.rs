use proptest::prelude::*;

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn emitted(event: Event<'_>) -> String {
    match event {
        Event::Frame(header, payload) => format!(
            "{:?} {:x} {} {}",
            header.kind,
            header.flags.0,
            header.stream,
            payload.len()
        ),
        Event::Data(header, body) => format!("Data {} {body}", header.stream),
        Event::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Event::Missing(len) => format!("missing {len}"),
        Event::DataEnd(header) => format!("end {:x}", header.flags.0),
        Event::TooLong(header) => format!("too long {}", header.length),
        Event::Cut(header, bytes) => format!("{:?} cut at {}", header.kind, bytes.len()),
        Event::Invalid(_, invalid) => format!("{invalid:?}"),
    }
}

/// What is reported of a direction that comes in chunks of this size.
fn read(bytes: &[u8], size: usize) -> Vec<String> {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    for chunk in bytes.chunks(size) {
        reader.push(chunk, &mut |event| lines.push(emitted(event)));
    }
    lines
}

fn check(frames: &[Vec<u8>], expected: &[&str]) {
    let bytes = frames.concat();
    assert_eq!(read(&bytes, bytes.len().max(1)), expected);
}

#[test]
fn every_kind() {
    check(
        &[
            frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
            frame(4, 1, 0, &[]),
            frame(1, 4, 1, b"block"),
            frame(0, 1, 1, b"body"),
            frame(0, 0, 1, b""),
            frame(2, 0, 1, &[0; 5]),
            frame(3, 0, 1, &[0, 0, 0, 8]),
            frame(5, 4, 1, &[0, 0, 0, 2, 0x82]),
            frame(6, 1, 0, &[0; 8]),
            frame(7, 0, 0, &[0; 9]),
            frame(8, 0, 0, &[0, 0, 0, 1]),
            frame(9, 4, 1, b"more"),
            frame(16, 0, 0, &[0, 0, 0, 1, b'u']),
            frame(0xbe, 7, 9, b"of an extension"),
        ],
        &[
            "Settings 0 0 6",
            "Settings 1 0 0",
            "Headers 4 1 5",
            "Data 1 4",
            "body",
            "end 1",
            "Data 1 0",
            "end 0",
            "Priority 0 1 5",
            "RstStream 0 1 4",
            "PushPromise 4 1 5",
            "Ping 1 0 8",
            "GoAway 0 0 9",
            "WindowUpdate 0 0 4",
            "Continuation 4 1 4",
            "PriorityUpdate 0 0 5",
            "Other(190) 7 9 15",
        ],
    );
}

#[test]
fn padding_is_no_body() {
    check(
        &[frame(0, 8, 1, b"\x03bodyppp"), frame(0, 9, 1, b"\x00all")],
        &["Data 1 4", "body", "end 8", "Data 1 3", "all", "end 9"],
    );
    check(&[frame(0, 8, 1, b"\x02pp")], &["Data 1 0", "end 8"]);
    check(
        &[frame(0, 8, 1, b"\x04ppp"), frame(0, 0, 1, b"x")],
        &["Padding"],
    );
    check(&[frame(0, 8, 1, b"")], &["Length"]);
}

#[test]
fn frames_that_break_the_protocol_end_the_direction() {
    for (kind, flags, stream, len, expected) in [
        (0, 0, 0, 3, "Stream"),
        (1, 4, 0, 3, "Stream"),
        (2, 0, 1, 4, "Length"),
        (3, 0, 1, 5, "Length"),
        (4, 0, 1, 6, "Stream"),
        (4, 0, 0, 5, "Length"),
        (4, 1, 0, 6, "Length"),
        (5, 4, 1, 3, "Length"),
        (6, 0, 0, 7, "Length"),
        (6, 0, 1, 8, "Stream"),
        (7, 0, 0, 7, "Length"),
        (8, 0, 0, 5, "Length"),
        (9, 4, 0, 5, "Stream"),
        (0, 0, 1, 16_385, "Length"),
    ] {
        let frames = [
            frame(kind, flags, stream, &vec![0; len]),
            frame(6, 0, 0, &[0; 8]),
        ];
        check(&frames, &[expected]);
    }
}

#[test]
fn from_the_start_frames_that_break_the_protocol_are_passed_over() {
    for (kind, flags, stream, len, expected) in [
        (0, 0, 0, 3, "Stream"),
        (0, 8, 1, 0, "Length"),
        (1, 4, 0, 3, "Stream"),
        (2, 0, 1, 4, "Length"),
        (4, 0, 0, 5, "Length"),
        (4, 1, 0, 6, "Length"),
        (6, 0, 1, 8, "Stream"),
        (7, 0, 0, 0, "Length"),
        (8, 0, 0, 5, "Length"),
    ] {
        let frames = [
            frame(kind, flags, stream, &vec![0; len]),
            frame(6, 0, 0, &[0; 8]),
        ];
        for size in [1, 5, 64] {
            let mut reader = Reader::from_start();
            let mut lines = Vec::new();
            for chunk in frames.concat().chunks(size) {
                let rest = reader.push(chunk, &mut |event| lines.push(emitted(event)));
                assert!(rest.is_empty());
            }
            assert_eq!(lines, [expected, "Ping 0 0 8"]);
            assert!(!reader.is_broken());
        }
    }
    // More padding than payload.
    let mut reader = Reader::from_start();
    let mut lines = Vec::new();
    let frames = [frame(0, 8, 1, b"\x04ppp"), frame(6, 1, 0, &[0; 8])].concat();
    reader.push(&frames, &mut |event| lines.push(emitted(event)));
    assert_eq!(lines, ["Padding", "Ping 1 0 8"]);
}

#[test]
fn frames_of_extensions_break_nothing() {
    for (kind, stream, len) in [(16, 0, 0), (16, 0, 3), (16, 1, 5), (16, 1, 0), (11, 9, 0)] {
        let frames = [
            frame(kind, 0xff, stream, &vec![0; len]),
            frame(6, 0, 0, &[0; 8]),
        ];
        let lines = read(&frames.concat(), 100);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1], "Ping 0 0 8");
    }
}

#[test]
fn what_is_left_where_frames_are_not_known_is_handed_back() {
    let frames = [frame(6, 0, 0, &[0; 7]), b"rest".to_vec()].concat();
    assert_eq!(Reader::default().push(&frames, &mut |_| ()), &frames[9..]);
}

#[test]
fn larger_frames_are_read_where_they_are_allowed() {
    let mut reader = Reader::default();
    reader.allow(1 << 20);
    let mut lines = Vec::new();
    let frames = [frame(1, 4, 1, &[0; 300_000]), frame(1, 4, 3, &[0; 200_000])];
    for chunk in frames.concat().chunks(1000) {
        reader.push(chunk, &mut |event| lines.push(emitted(event)));
        assert!(reader.memory() <= 512 * 1024);
    }
    assert_eq!(lines, ["too long 300000", "Headers 4 3 200000"]);
    assert!(reader.is_between());
}

#[test]
fn missing_bytes_of_a_body_leave_frames_where_they_are() {
    let mut reader = Reader::default();
    let mut lines = Vec::new();
    let bytes = frame(0, 9, 1, b"\x04abcdefghpppp");
    reader.push(&bytes[..12], &mut |event| lines.push(emitted(event)));
    assert!(reader.miss(3, &mut |event| lines.push(emitted(event))));
    reader.push(&bytes[15..16], &mut |event| lines.push(emitted(event)));
    // Two of the body, and the padding.
    assert!(reader.miss(6, &mut |event| lines.push(emitted(event))));
    assert!(reader.is_between());
    assert_eq!(
        lines,
        ["Data 1 8", "ab", "missing 3", "f", "missing 2", "end 9"]
    );
    // In a header, or beyond the frame, there is no way to know.
    assert!(!reader.miss(1, &mut |_| ()));
    reader.push(&bytes[..12], &mut |_| ());
    assert!(!reader.miss(11, &mut |_| ()));
}

#[test]
fn views() {
    let view = |bytes: &[u8]| {
        let header = Header::parse(bytes.first_chunk().unwrap());
        (header, bytes[HEADER_LEN..].to_vec())
    };
    let (header, payload) = view(&frame(1, 0x2d, 1, b"\x02\x80\x00\x00\x03\x10blockpp"));
    let headers = Headers::parse(&header, &payload).unwrap();
    assert_eq!(headers.block, b"block");
    assert!(headers.end_headers && headers.end_stream);
    let priority = headers.priority.unwrap();
    assert_eq!(
        (priority.exclusive, priority.dependency, priority.weight),
        (true, 3, 16)
    );
    let (header, payload) = view(&frame(1, 0x2c, 1, b"\x02\x80\x00\x00\x03pp"));
    assert_eq!(Headers::parse(&header, &payload), Err(Invalid::Length));
    let (header, payload) = view(&frame(5, 4, 1, &[0, 0, 0, 3, 0x82]));
    assert_eq!(PushPromise::parse(&header, &payload), Err(Invalid::Stream));
    let (header, payload) = view(&frame(0, 9, 1, b"\x01bodyp"));
    let data = Data::parse(&header, &payload).unwrap();
    assert_eq!((data.bytes, data.end_stream), (&b"body"[..], true));
    assert_eq!(RstStream::parse(&[0, 0, 0, 8]), Ok(RstStream { code: 8 }));
    assert_eq!(WindowUpdate::parse(&[0x80, 0, 0, 0]), Err(Invalid::Value));
    let goaway = GoAway::parse(b"\x80\x00\x00\x05\x00\x00\x00\x02because").unwrap();
    assert_eq!((goaway.last_stream, goaway.code), (5, 2));
    assert!(
        Ping::parse(&view(&frame(6, 1, 0, &[7; 8])).0, &[7; 8])
            .unwrap()
            .ack
    );
    let (header, payload) = view(&frame(9, 4, 1, b"more"));
    assert!(Continuation::parse(&header, &payload).end_headers);
}

#[test]
fn settings() {
    let parameters = [
        (1, 0_u32, Ok(Setting::HeaderTableSize(0))),
        (2, 1, Ok(Setting::EnablePush(true))),
        (2, 2, Err(Invalid::Value)),
        (3, 100, Ok(Setting::MaxConcurrentStreams(100))),
        (4, 65_535, Ok(Setting::InitialWindowSize(65_535))),
        (4, 1 << 31, Err(Invalid::Value)),
        (5, 16_384, Ok(Setting::MaxFrameSize(16_384))),
        (5, 16_383, Err(Invalid::Value)),
        (6, 9, Ok(Setting::MaxHeaderListSize(9))),
        (8, 1, Ok(Setting::EnableConnectProtocol(true))),
        (0x4242, 7, Ok(Setting::Other(0x4242, 7))),
    ];
    let mut payload = Vec::new();
    for (identifier, value, _) in &parameters {
        payload.extend_from_slice(&u16::to_be_bytes(*identifier));
        payload.extend_from_slice(&u32::to_be_bytes(*value));
    }
    let bytes = frame(4, 0, 0, &payload);
    let header = Header::parse(bytes.first_chunk().unwrap());
    let settings = Settings::parse(&header, &payload).unwrap();
    let expected: Vec<_> = parameters.iter().map(|(.., expected)| *expected).collect();
    assert_eq!(settings.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn frames_are_found_again() {
    let frames = [
        frame(0, 0, 7, &[b'x'; 4000]),
        frame(8, 0, 0, &[0, 0, 16, 0]),
        frame(1, 4, 9, &[0x82; 40]),
        frame(0, 1, 9, b"body"),
        frame(6, 0, 0, &[0; 8]),
    ];
    let all = frames.concat();
    assert_eq!(find(&all, DEFAULT_MAX_SIZE, 9), Some(0));
    // From the middle of the first body: at the next frame.
    assert_eq!(find(&all[100..], DEFAULT_MAX_SIZE, 9), Some(3909));
    assert_eq!(find(&all[4009..], DEFAULT_MAX_SIZE, 9), Some(0));
    // A chain that is short is believed where it ends with the bytes.
    assert_eq!(find(&all[4022..], DEFAULT_MAX_SIZE, 9), Some(0));
    assert_eq!(find(&all[4030..], DEFAULT_MAX_SIZE, 9), Some(41));
    assert_eq!(find(&all[4071..all.len() - 1], DEFAULT_MAX_SIZE, 9), None);
    // A head, and a frame behind it.
    assert_eq!(
        find(&all[4022..all.len() - 1], DEFAULT_MAX_SIZE, 9),
        Some(0)
    );
    assert_eq!(find(&all[4022..4071 + 8], DEFAULT_MAX_SIZE, 9), None);
    assert_eq!(find(&frames[4], DEFAULT_MAX_SIZE, 9), Some(0));
    // A stream that is far off does not fit.
    let far = frame(0, 0, 1 << 30, b"x").repeat(5);
    assert_eq!(find(&far, DEFAULT_MAX_SIZE, 9), None);
    // Text and zeros are no frames.
    assert_eq!(
        find(
            &b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".repeat(500),
            1 << 20,
            9
        ),
        None
    );
    assert_eq!(find(&[0xff; 50_000], 1 << 20, 9), None);
}

/// How many bytes have come when frames are found in `bytes`, in chunks of this size, and how many
/// of them begin with those.
fn searched(bytes: &[u8], size: usize) -> Option<(usize, usize)> {
    let mut search = Search::default();
    let mut came = 0;
    for chunk in bytes.chunks(size) {
        came += chunk.len();
        let found = search.push(chunk, ANY_SIZE, 9);
        assert!(search.memory() < 300 * 1024, "{}", search.memory());
        if let Some(found) = found {
            assert_eq!(found, bytes[came - found.len()..came]);
            assert_eq!(search.take_passed(), (came - found.len()) as u64);
            return Some((came, found.len()));
        }
    }
    assert_eq!(search.forget(), bytes.len() as u64);
    None
}

/// Headers that are in different segments make a chain.
#[test]
fn frames_are_found_across_segments() {
    let small = [
        frame(0, 0, 7, &[b'x'; 4000]),
        frame(1, 4, 9, &[0xff; 40]),
        frame(0, 0, 9, &[b'y'; 3000]),
        frame(0, 0, 7, &[b'z'; 4000]),
        frame(0, 1, 9, &[b'y'; 3000]),
    ];
    let all = small.concat();
    // From the second frame on: when the header of the last has come.
    let bytes = &all[100..all.len() - 1];
    for size in [1, 7, 1400, 3000] {
        let (came, found) = searched(bytes, size).expect("found");
        let last = all.len() - 100 - 3009;
        assert!(came >= last + 9 && came < last + 9 + size, "{came}");
        assert_eq!(found, came - 3909, "{size}");
    }
    // Frames of a megabyte, of which no bytes are held.
    let large = frame(0, 0, 7, &vec![b'x'; 1 << 20]);
    let bytes = [&large[100..], &large, &large, &large].concat();
    let (came, found) = searched(&bytes, 60_000).expect("found");
    assert!(
        came < 2 * large.len() + 60_000 && found <= 60_000,
        "{came}, {found}"
    );
    // Bytes that are none.
    let none: Vec<u8> = (0..2_000_000_u32)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    assert_eq!(searched(&none, 1448), None);
}

/// Bytes that many chains may begin in are searched in proportion.
#[test]
fn the_search_is_linear() {
    let header = [0, 0x40, 0, 0, 0, 0, 0, 0, 1];
    let time = |len: usize| {
        let bytes: Vec<u8> = header.iter().copied().cycle().take(len).collect();
        let mut search = Search::default();
        let start = std::time::Instant::now();
        for chunk in bytes.chunks(1448) {
            let _ = search.push(chunk, ANY_SIZE, 9);
        }
        start.elapsed()
    };
    time(100_000);
    let (once, more) = (time(400_000), time(1_600_000));
    assert!(more < once * 12, "{once:?}, {more:?}");
}

/// A frame of any kind, valid.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (1..9_u32, any::<bool>(), body.clone()).prop_map(|(stream, end, body)| frame(
            0,
            u8::from(end),
            stream,
            &body
        )),
        (1..9_u32, 0..20_u8, body.clone()).prop_map(|(stream, padding, body)| {
            let padded = [&[padding], &body[..], &vec![0; usize::from(padding)]].concat();
            frame(0, 8, stream, &padded)
        }),
        (1..9_u32, body.clone()).prop_map(|(stream, body)| frame(1, 4, stream, &body)),
        (17..99_u8, body).prop_map(|(kind, body)| frame(kind, 0, 0, &body)),
        Just(frame(6, 0, 0, &[1; 8])),
    ]
}

/// Bytes of bodies are joined: how they come is not a matter of the frames.
fn joined(lines: Vec<String>) -> String {
    lines.concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn chunks_change_nothing(frames in prop::collection::vec(any_frame(), 0..12), size in 1..50_usize) {
        let bytes: Vec<u8> = frames.concat().iter().map(|byte| byte & 0x7f).collect();
        prop_assert_eq!(joined(read(&bytes, size)), joined(read(&bytes, bytes.len().max(1))));
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1..50_usize) {
        let mut reader = Reader::default();
        for (at, chunk) in bytes.chunks(size).enumerate() {
            reader.push(chunk, &mut |_| ());
            if at % 5 == 4 {
                let _ = reader.miss(u64::from(chunk[0]), &mut |_| ());
            }
        }
        prop_assert!(reader.memory() < 1024);
        let _ = find(&bytes, DEFAULT_MAX_SIZE, 9);
    }
}
