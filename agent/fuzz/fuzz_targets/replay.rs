//! Bytes as a file: a recording, or a capture in pcap or pcapng, through the source, the engine and
//! the removal of content codings.
//!
//! Whatever the bytes are: it ends, nothing panics, every packet and every exchange is counted, and
//! memory stays bounded.

#![no_main]

use std::io::Cursor;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use meshtap::capture::pcap::Capture;
use meshtap::capture::record::{MAGIC, Reader};
use meshtap::capture::{Polled, Source};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::http::coding::{Decoded, decode};

/// Decoded bytes asked for at most.
const CAP: usize = 256 * 1024;

fuzz_target!(|data: &[u8]| {
    if data.starts_with(&MAGIC) {
        if let Ok(mut reader) = Reader::new(Cursor::new(data)) {
            replay(&mut reader);
        }
        return;
    }
    let Ok(mut capture) = Capture::read(Cursor::new(data.to_vec())) else {
        return;
    };
    replay(&mut capture);
    let totals = capture.totals();
    assert_eq!(
        totals.packets,
        totals.tcp + totals.joined + totals.all_skipped()
    );
});

fn replay(source: &mut impl Source) {
    let limits = Limits {
        memory: 1024 * 1024,
        ..Limits::default()
    };
    let bound = 2 * limits.memory;
    let mut engine = Engine::new(limits);
    let mut output = Output::default();
    let mut now = 0;
    loop {
        let polled = source.poll(Duration::ZERO, &mut |event| {
            engine.event(event, &mut output)
        });
        let time = source.time().unwrap_or(0);
        assert!(time >= now, "time runs backwards");
        now = time;
        engine.expire(now, &mut output);
        assert!(engine.memory() <= bound);
        read(&mut output);
        if !matches!(polled, Ok(Polled::More)) {
            break;
        }
    }
    engine.finish(now, &mut output);
    read(&mut output);
    assert_eq!(engine.ledger().imbalance(), 0);
    assert_eq!(engine.ledger().in_flight, 0);
}

fn read(output: &mut Output) {
    output.commands.clear();
    for exchange in output.exchanges.drain(..) {
        let Some(response) = exchange.response else {
            continue;
        };
        let codings = response.head.fields.get_all("content-encoding");
        let body = &response.body;
        if let Decoded::Decoded { bytes, .. } = decode(codings, &body.bytes, !body.truncated, CAP) {
            assert!(bytes.len() <= CAP);
        }
    }
}
