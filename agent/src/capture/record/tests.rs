//! Round trips, errors, and other machines' byte order.

use std::io::Cursor as IoCursor;
use std::time::Duration;

use meshtap_common::{
    DIRECTION_EGRESS, KIND_CLOSED, KIND_PLAINTEXT, KIND_RELEASED, KIND_SEGMENT, PLAINTEXT_LEN,
};
use proptest::prelude::*;

use super::*;
use crate::capture::Command;
use crate::capture::{Polled, Source};
use crate::flow::Process;
use crate::flow::SocketId;

const META: Meta = Meta {
    offset: 1_700_000_000_000_000_000,
    started: 50,
    max_body: 65_536,
    ring_bytes: 1 << 24,
    key: [3; 16],
};

/// What a capture of the given events gives, one poll per inner list.
struct Script(std::vec::IntoIter<Vec<(EventHeader, Vec<u8>)>>);

impl RawSource for Script {
    fn poll_raw(
        &mut self,
        _timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> std::io::Result<Polled> {
        for (header, mut payload) in self.0.next().unwrap_or_default() {
            // The rest of a reserved bucket.
            payload.extend_from_slice(b"rubbish");
            handle(&header, &payload);
        }
        Ok(Polled::More)
    }

    fn command_raw(&mut self, _commands: &[Command]) {}
}

/// Everything an engine would see, in order.
fn drain(source: &mut impl Source) -> (Vec<String>, Result<(), String>) {
    let mut seen = Vec::new();
    loop {
        let polled = source.poll(Duration::ZERO, &mut |event| {
            seen.push(format!("{event:?}"));
        });
        match polled {
            Ok(polled) => {
                seen.push(format!("time {:?}", source.time()));
                if polled == Polled::End {
                    return (seen, Ok(()));
                }
            }
            Err(error) => return (seen, Err(error.to_string())),
        }
    }
}

/// Records `polls`, with a tick after each and an end mark; the file's bytes, and what the live
/// engine saw.
fn record(polls: Vec<Vec<(EventHeader, Vec<u8>)>>) -> (Vec<u8>, Vec<String>) {
    let path = std::env::temp_dir().join(format!(
        "meshtap-record-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = std::fs::File::create(&path).expect("a file");
    let recorder = Recorder::start(file, &META, |error| panic!("{error}")).expect("a thread");
    let mut processes = recorder.processes();
    let count = polls.len() as u64;
    let mut source = RecordingSource::new(Script(polls.into_iter()), recorder);
    let mut seen = Vec::new();
    for poll in 0..count {
        source
            .poll(Duration::ZERO, &mut |event| {
                seen.push(format!("{event:?}"));
            })
            .expect("a poll");
        source.expired(100 + poll);
        seen.push(format!("time {:?}", Some(100 + poll)));
    }
    let process = Process {
        pid: 9,
        name: "nginx".into(),
    };
    processes.name(5, SocketId(1), &process);
    processes.name(6, SocketId(1), &process);
    let caller = Process {
        pid: 11,
        name: "curl".into(),
    };
    processes.name_caller(7, SocketId(1), &caller);
    drop(processes);
    let (_, recorder) = source.into_parts();
    let (recorded, result) = recorder.finish(100 + count);
    result.expect("written");
    seen.push(format!("time {:?}", Some(100 + count)));
    let bytes = std::fs::read(&path).expect("the file");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(recorded.bytes, bytes.len() as u64);
    assert_eq!(recorded.dropped, 0);
    (bytes, seen)
}

fn event(payload: &[u8]) -> (EventHeader, Vec<u8>) {
    let header = EventHeader {
        time_ns: 1,
        cookie: 2,
        cgroup_id: 3,
        seq: 4,
        ack: 5,
        expected: 6,
        wire_len: u32::try_from(payload.len()).expect("short") + 7,
        captured_len: u32::try_from(payload.len()).expect("short"),
        kind: KIND_SEGMENT,
        direction: DIRECTION_EGRESS,
        flags: 0x15,
        local_port: 80,
        remote_port: 40_000,
        urgent: 0,
        local_addr: [1; 16],
        remote_addr: [2; 16],
    };
    (header, payload.to_vec())
}

fn read(bytes: &[u8]) -> (Vec<String>, Result<(), String>) {
    match Reader::new(IoCursor::new(bytes)) {
        Ok(mut reader) => drain(&mut reader),
        Err(error) => (Vec::new(), Err(error.to_string())),
    }
}

fn any_event() -> impl Strategy<Value = (EventHeader, Vec<u8>)> {
    let ids = (any::<u64>(), any::<u64>(), any::<u64>());
    let sequence = (any::<u32>(), any::<u32>(), any::<u32>());
    let ends = (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<u16>(),
        any::<u16>(),
    );
    let tags = (0..=KIND_RELEASED, 0_u8..3, any::<u16>());
    let payload = (proptest::collection::vec(any::<u8>(), 0..200), 0_u32..100);
    (ids, sequence, ends, tags, payload).prop_map(|(ids, sequence, ends, tags, payload)| {
        let captured_len = u32::try_from(payload.0.len()).expect("short");
        let header = EventHeader {
            time_ns: ids.0,
            cookie: ids.1,
            cgroup_id: ids.2,
            seq: sequence.0,
            ack: sequence.1,
            expected: sequence.2,
            wire_len: captured_len + payload.1,
            captured_len,
            kind: tags.0,
            direction: tags.1,
            flags: tags.2,
            local_port: ends.2,
            remote_port: ends.3,
            urgent: 0,
            local_addr: ends.0,
            remote_addr: ends.1,
        };
        let mut content = match tags.0 {
            KIND_PLAINTEXT | KIND_CLOSED => vec![7; PLAINTEXT_LEN],
            _ => Vec::new(),
        };
        content.extend(payload.0);
        (header, content)
    })
}

proptest! {
    #[test]
    fn what_is_read_back_is_what_the_engine_saw(
        polls in proptest::collection::vec(proptest::collection::vec(any_event(), 0..5), 0..5),
    ) {
        let (bytes, seen) = record(polls);
        prop_assert_eq!(read(&bytes), (seen, Ok(())));
    }

    #[test]
    fn any_error_ends_in_a_message(
        at in 0_usize..900, change in 1_u8..=255, cut in 0_usize..900,
    ) {
        let (mut bytes, seen) = record(vec![vec![event(b"GET / HTTP/1.1\r\n"), event(b"abc")], vec![event(&[7; 300])]]);
        let (good, result) = read(&bytes[..cut.min(bytes.len() - 1)]);
        prop_assert!(seen.starts_with(&good), "{good:?}");
        prop_assert!(result.is_err());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change;
        }
        // Payload and most header bytes can be anything; what matters is that reading ends without
        // a panic.
        let _ = read(&bytes);
    }
}

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let (_, result) = read(bytes);
    let message = result.expect_err("an error");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn errors_are_named() {
    let (good, _) = record(vec![vec![event(b"abc")]]);
    let with = |at: usize, bytes: &[u8]| {
        let mut copy = good.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        copy
    };
    check(b"", "not a meshtap recording");
    check(b"GIF89a", "not a meshtap recording");
    check(&[b'x'; 200], "not a meshtap recording");
    check(&good[..20], "byte 20");
    check(&with(8, &[9]), "byte order");
    check(&with(9, &[9]), "format 9");
    check(&with(12, &[0]), "another layout");
    check(
        &with(64, &99_u32.to_ne_bytes()),
        "byte 64: a record of no known kind",
    );
    check(&with(68, &u32::MAX.to_ne_bytes()), "longer than any");
    check(&with(68, &10_u32.to_ne_bytes()), "shorter than its header");
    check(&with(64 + 8 + 40, &2_u32.to_ne_bytes()), "contradict");
    check(&good[..good.len() - 16], "without its end mark");
    check(&good[..good.len() - 1], "without its end mark");
    check(&[&good[..], b"x"].concat(), "bytes after the end");
    check(&good.repeat(2), "bytes after the end");
    let tick = 64 + 8 + HEADER_LEN + 3;
    check(&with(tick + 8, &1_u64.to_ne_bytes()), "backwards");
}

#[test]
fn the_other_byte_order_is_read() {
    let (bytes, seen) = record(vec![vec![event(b"abc")]]);
    // Swaps every integer of head, event, tick and end; the process record is not among them.
    let mut swapped = Vec::new();
    let mut at = 0;
    let mut take = |widths: &[usize]| {
        for width in widths {
            let part = &bytes[at..at + width];
            at += width;
            if matches!(width, 2 | 4 | 8) {
                swapped.extend(part.iter().rev());
            } else {
                swapped.extend(part);
            }
        }
    };
    take(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 8, 8, 8, 4, 20]);
    take(&[4, 4, 8, 8, 8, 4, 4, 4, 4, 4, 1, 1, 2, 2, 2, 4, 16, 16, 3]);
    take(&[4, 4, 8]);
    let end = &bytes[bytes.len() - 16..];
    for part in [&end[..4], &end[4..8], &end[8..]] {
        swapped.extend(part.iter().rev());
    }
    swapped[8] = LITTLE + BIG - NATIVE;
    assert_eq!(read(&swapped), (seen, Ok(())));
}

#[test]
fn processes_hold_from_their_exchange_on() {
    let (bytes, _) = record(vec![vec![event(b"abc")]]);
    let path = std::env::temp_dir().join(format!("meshtap-owners-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("a file");
    let owners = Owners::open(&path).expect("a recording");
    std::fs::remove_file(&path).expect("removed");
    let check = |index, cookie, expected: Option<u32>| {
        assert_eq!(owners.get(index, SocketId(cookie)).map(|p| p.pid), expected);
    };
    // A replay that folds has lower numbers than a capture that did not.
    check(0, 1, Some(9));
    check(5, 1, Some(9));
    check(1000, 1, Some(9));
    check(5, 2, None);
    let caller = |index| owners.caller(index, SocketId(1)).map(|p| p.pid);
    assert_eq!((caller(6), caller(7)), (Some(11), Some(11)));
}

#[test]
fn version_1_is_read() {
    let (mut bytes, seen) = record(vec![vec![event(b"abc")]]);
    bytes[9] = 1;
    assert_eq!(read(&bytes), (seen, Ok(())));
}
