//! A capture of nginx by tcpdump, with h2load (20 streams at once on each of two connections) and
//! curl. The response of each exchange names the request that it is of.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Cursor, Read as _};
use std::time::Duration;

use flate2::read::GzDecoder;
use meshtap::capture::pcap::Capture;
use meshtap::capture::{Polled, Source as _};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::{Exchange, Partial};

/// Bytes of the file's header, and of that of each packet.
const FILE: usize = 24;
const PACKET: usize = 16;

/// The file without its first packets.
fn file(skip: usize) -> Vec<u8> {
    let compressed = include_bytes!("../recordings/pcap/http2-nginx.pcap.gz");
    let mut bytes = Vec::new();
    GzDecoder::new(&compressed[..])
        .read_to_end(&mut bytes)
        .unwrap();
    let mut at = FILE;
    for _ in 0..skip {
        let len = bytes[at + 8..].first_chunk().unwrap();
        at += PACKET + usize::try_from(u32::from_le_bytes(*len)).unwrap();
    }
    bytes.drain(FILE..at);
    bytes
}

fn replay(file: Vec<u8>) -> (Engine, Vec<Exchange>) {
    let mut capture = Capture::read(Cursor::new(file)).unwrap();
    let mut engine = Engine::new(Limits::default());
    let mut output = Output::default();
    loop {
        let polled = capture
            .poll(Duration::ZERO, &mut |event| {
                engine.event(event, &mut output)
            })
            .unwrap();
        engine.expire(capture.time().unwrap(), &mut output);
        if polled == Polled::End {
            break;
        }
    }
    engine.finish(capture.time().unwrap(), &mut output);
    assert_eq!(engine.ledger().imbalance(), 0);
    assert_eq!(engine.ledger().in_flight, 0);
    (engine, output.exchanges)
}

/// What is known of the exchange fits together.
fn check(exchange: &Exchange) {
    let target = std::str::from_utf8(exchange.request.head.target()).unwrap();
    let Some(response) = &exchange.response else {
        return;
    };
    let body = std::str::from_utf8(&response.body.bytes).unwrap();
    if target.starts_with("/echo") && response.body.size_exact {
        assert_eq!(body, format!("hello {target}\n"));
    }
}

#[test]
fn every_exchange_is_paired() {
    let (engine, exchanges) = replay(file(0));
    assert_eq!(exchanges.len(), 302);
    assert_eq!(engine.ledger().emitted_complete, 302);
    exchanges.iter().for_each(check);
    let count = |method: &[u8], status: u16| {
        let of = exchanges.iter().filter(|exchange| {
            let response = exchange.response.as_ref().unwrap();
            exchange.request.head.method() == method && response.head.status == status
        });
        of.count()
    };
    assert_eq!(
        (count(b"GET", 200), count(b"POST", 200), count(b"GET", 404)),
        (300, 1, 1)
    );
    let post = exchanges
        .iter()
        .find(|exchange| exchange.request.head.method() == b"POST");
    assert_eq!(&post.unwrap().request.body.bytes[..], b"abc=1");
    assert!(
        exchanges
            .iter()
            .all(|exchange| exchange.request.head.host() == Some(b"127.0.0.1:31731"))
    );
}

#[test]
fn picked_up_at_any_packet_nothing_is_wrong() {
    let (mut known, mut all) = (0, 0);
    for skip in (5..250).step_by(7) {
        let (_, exchanges) = replay(file(skip));
        all += exchanges.len();
        for exchange in &exchanges {
            if exchange.request.head.unknown.is_empty() {
                assert_ne!(exchange.partial, Some(Partial::Hpack), "{exchange:?}");
                check(exchange);
                known += 1;
            } else {
                assert!(exchange.partial.is_some(), "{exchange:?}");
            }
        }
    }
    // Most refer to what both ends have known since the beginning.
    assert!(known > 300 && all > 7000, "{known} of {all}");
}
