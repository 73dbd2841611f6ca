//! A capture file through the product's own source and engine.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use meshtap::capture::pcap::{Capture, Totals};
use meshtap::capture::{Polled, Source as _};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::{Exchange, Partial};
use meshtap::http::Fields;
use meshtap::http::coding::{Decoded, decode};
use meshtap::ledger::Ledger;

use super::shown::{Connections, Ends, Shown};

/// An exchange with what only we show of it.
pub struct Ours {
    pub ends: Ends,
    pub shown: Shown,
    pub partial: Option<Partial>,
    /// The response's body, content coding removed.
    pub decoded: Vec<u8>,
}

/// What came of a file.
pub struct Outcome {
    pub exchanges: Vec<Ours>,
    pub ledger: Ledger,
    pub totals: Totals,
}

impl Outcome {
    pub fn connections(&self) -> Connections {
        let mut connections = BTreeMap::<Ends, Vec<Shown>>::new();
        for exchange in &self.exchanges {
            let shown = connections.entry(exchange.ends.clone()).or_default();
            shown.push(exchange.shown.clone());
        }
        connections
    }
}

pub fn replay(file: &[u8]) -> Outcome {
    let mut capture = Capture::read(Cursor::new(file.to_vec())).expect("a capture file");
    // Whole bodies, so that they can be compared.
    let mut engine = Engine::new(Limits {
        body: 16 * 1024 * 1024,
        positions: false,
        ..Limits::default()
    });
    let mut exchanges = Vec::new();
    let mut output = Output::default();
    loop {
        let polled = capture
            .poll(Duration::ZERO, &mut |event| {
                engine.event(event, &mut output)
            })
            .expect("a readable file");
        engine.expire(capture.time().unwrap_or_default(), &mut output);
        exchanges.append(&mut output.exchanges);
        output.commands.clear();
        if polled == Polled::End {
            break;
        }
    }
    engine.finish(capture.time().unwrap_or_default(), &mut output);
    exchanges.append(&mut output.exchanges);
    let ledger = engine.ledger().clone();
    assert_eq!((ledger.imbalance(), ledger.in_flight), (0, 0), "{ledger:?}");
    Outcome {
        exchanges: exchanges.iter().map(ours).collect(),
        ledger,
        totals: capture.totals().clone(),
    }
}

fn ours(exchange: &Exchange) -> Ours {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let response = exchange.response.as_ref();
    let decoded = response.map(|response| {
        let coding = response.head.fields.get_all("content-encoding");
        match decode(
            coding,
            &response.body.bytes,
            !response.body.truncated,
            1 << 24,
        ) {
            Decoded::Decoded { bytes, .. } => bytes.to_vec(),
            Decoded::Identity => response.body.bytes.to_vec(),
            Decoded::Failed { reason } => panic!("{reason:?} {:?}", names(&response.head.fields)),
        }
    });
    Ours {
        ends: Ends {
            client: exchange.peers.client.to_string(),
            server: exchange.peers.server.to_string(),
        },
        shown: Shown {
            method: text(exchange.request.head.method()),
            target: text(exchange.request.head.target()),
            status: response.map(|response| response.head.status),
            request_body: exchange.request.body.size,
            response_body: response.map_or(0, |response| response.body.size),
        },
        partial: exchange.partial,
        decoded: decoded.unwrap_or_default(),
    }
}

fn names(fields: &Fields) -> Vec<String> {
    let name = |(name, _): (&[u8], &[u8])| String::from_utf8_lossy(name).into_owned();
    fields.iter().map(name).collect()
}
