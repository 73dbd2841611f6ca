//! Captures read by Wireshark's dissector and by the engine: the same exchanges. Joined at any
//! packet, or without any packet, what the engine shows is still what Wireshark read of the whole
//! file, or unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _};
use std::time::Duration;

use flate2::read::GzDecoder;
use meshtap::capture::pcap::Capture;
use meshtap::capture::{Polled, Source as _};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::http::{Fields, Unknown};
use meshtap_tests::figure;

use crate::dissected::{Exchanges, Ports, Seen, dissect};

/// nginx with h2load and curl.
const NGINX: (&[u8], Ports<'_>) = (
    include_bytes!("../recordings/pcap/http2-nginx.pcap.gz"),
    &[(31_731, "http2")],
);
/// Everything that other servers and clients make of it: see `http2-kinds.py` beside it.
const KINDS: (&[u8], Ports<'_>) = (
    include_bytes!("../recordings/pcap/http2-kinds.pcap.gz"),
    &[
        (31_741, "http2"),
        (31_742, "http2"),
        (31_743, "http"),
        (31_744, "http2"),
        (31_745, "http2"),
    ],
);

/// A capture, cut into packets.
struct Packets {
    header: Vec<u8>,
    packets: Vec<Vec<u8>>,
}

impl Packets {
    fn read(compressed: &[u8]) -> Self {
        const HEADER: usize = 24;
        const PACKET: usize = 16;
        let mut bytes = Vec::new();
        let mut decoder = GzDecoder::new(compressed);
        decoder.read_to_end(&mut bytes).expect("gzip");
        let (header, mut rest) = bytes.split_at(HEADER);
        let mut packets = Vec::new();
        while let Some(len) = rest.get(8..).and_then(|rest| rest.first_chunk()) {
            let len = PACKET + usize::try_from(u32::from_le_bytes(*len)).expect("small");
            let (packet, more) = rest.split_at(len);
            packets.push(packet.to_vec());
            rest = more;
        }
        Self {
            header: header.to_vec(),
            packets,
        }
    }

    /// A file of some of them.
    fn file(&self, is_there: impl Fn(usize) -> bool) -> Vec<u8> {
        let packets = self.packets.iter().enumerate();
        let packets = packets.filter(|(at, _)| is_there(*at));
        let packets = packets.flat_map(|(_, packet)| packet.iter().copied());
        self.header.iter().copied().chain(packets).collect()
    }

    /// Each connection by itself.
    fn connections(&self, servers: Ports<'_>) -> Vec<Self> {
        let mut connections: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for packet in &self.packets {
            // Ethernet, and IPv4 as the fifteenth byte says.
            let at = 16 + 14 + usize::from(packet[16 + 14] & 15) * 4;
            let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            let is_server = |port: u16| servers.iter().any(|(server, _)| *server == port);
            let ports = [port(at), port(at + 2)];
            let client = ports.into_iter().find(|port| !is_server(*port));
            let packets = connections.entry(client.expect("a client")).or_default();
            packets.push(packet.clone());
        }
        let connections = connections.into_values().map(|packets| Self {
            header: self.header.clone(),
            packets,
        });
        connections.collect()
    }
}

fn replay(file: Vec<u8>) -> Vec<Exchange> {
    let mut capture = Capture::read(Cursor::new(file)).expect("a capture");
    let mut engine = Engine::new(Limits {
        positions: false,
        ..Limits::default()
    });
    let mut output = Output::default();
    loop {
        let polled = capture.poll(Duration::ZERO, &mut |event| {
            engine.event(event, &mut output)
        });
        engine.expire(capture.time().expect("a time"), &mut output);
        if polled.expect("a file") == Polled::End {
            break;
        }
    }
    engine.finish(capture.time().expect("a time"), &mut output);
    assert_eq!(engine.ledger().imbalance(), 0);
    output.exchanges
}

fn key(exchange: &Exchange) -> (u16, u32) {
    let stream = exchange.stream.expect("HTTP/2");
    (exchange.peers.client.port(), stream)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn pairs(fields: &Fields) -> impl Iterator<Item = (String, String)> {
    fields.iter().map(|(name, value)| (text(name), text(value)))
}

/// Fields and trailers of the request, and of all responses.
fn fields(exchange: &Exchange) -> [Vec<(String, String)>; 2] {
    let request = &exchange.request;
    let trailers = request
        .body
        .trailers
        .iter()
        .flat_map(|fields| pairs(fields));
    let asked = pairs(&request.head.fields).chain(trailers).collect();
    let interim = exchange.interim.heads.iter();
    let interim = interim.flat_map(|head| pairs(&head.fields));
    let response = exchange.response.iter().flat_map(|response| {
        let trailers = response
            .body
            .trailers
            .iter()
            .flat_map(|fields| pairs(fields));
        pairs(&response.head.fields).chain(trailers)
    });
    [asked, interim.chain(response).collect()]
}

/// As the engine shows it.
fn shown(exchange: &Exchange, truth: &Seen) -> Seen {
    let head = &exchange.request.head;
    let response = exchange.response.as_ref();
    let size = |of_it: Option<u64>, other: u64| match exchange.upgrade {
        // What is in a tunnel is no body.
        true => other,
        false => of_it.unwrap_or_default(),
    };
    let mut fields = fields(exchange);
    if truth.upgraded {
        fields[0] = truth.fields[0].clone();
    }
    Seen {
        method: text(head.method()),
        path: text(head.target()),
        authority: text(head.host().unwrap_or_default()),
        status: response.map_or_else(String::new, |response| response.head.status.to_string()),
        sizes: [
            size(Some(exchange.request.body.size), truth.sizes[0]),
            size(response.map(|response| response.body.size), truth.sizes[1]),
        ],
        fields,
        reset: exchange.reset,
        upgraded: truth.upgraded,
    }
}

/// How many have something that only some have.
fn count(exchanges: &Exchanges, has: impl Fn(&(u16, u32), &Seen) -> bool) -> usize {
    exchanges
        .iter()
        .filter(|(key, seen)| has(key, seen))
        .count()
}

#[track_caller]
fn check_all((compressed, ports): (&[u8], Ports<'_>)) -> Exchanges {
    let file = Packets::read(compressed).file(|_| true);
    let expected = dissect(&file, ports);
    let mut found = Exchanges::new();
    for exchange in replay(file) {
        let key = key(&exchange);
        let truth = expected.get(&key).unwrap_or_else(|| panic!("{exchange:?}"));
        let before = found.insert(key, shown(&exchange, truth));
        assert_eq!(before, None, "twice");
    }
    for (key, truth) in &expected {
        assert_eq!(found.get(key), Some(truth), "{key:?}");
    }
    expected
}

#[test]
fn the_same_exchanges_as_wireshark() {
    assert!(check_all(NGINX).len() > 300);
    let kinds = check_all(KINDS);
    let has = |seen: &Seen, name: &str| seen.fields[1].iter().any(|(own, _)| own == name);
    let counts = [
        ("exchanges", kinds.len()),
        ("pushed", count(&kinds, |(_, stream), _| stream % 2 == 0)),
        ("upgraded", count(&kinds, |_, seen| seen.upgraded)),
        ("reset", count(&kinds, |_, seen| seen.reset.is_some())),
        ("gRPC", count(&kinds, |_, seen| has(seen, "grpc-status"))),
        ("trailers", count(&kinds, |_, seen| has(seen, "x-sum"))),
        ("WebSocket", count(&kinds, |_, seen| seen.path == "/chat")),
    ];
    figure(&format!("{counts:?}"));
    assert!(counts.iter().all(|(_, count)| *count > 5), "{counts:?}");
}

/// What is known of an exchange is what Wireshark read of it. How many parts are known, and how
/// many are not.
#[track_caller]
fn check_parts(exchange: &Exchange, expected: &Exchanges, what: &str) -> [usize; 2] {
    let truth = &expected[&key(exchange)];
    let head = &exchange.request.head;
    let own = shown(exchange, truth);
    let unknown = head.unknown;
    let mut found = [0; 2];
    let mut part = |is_unknown: bool, own: &String, truth: &String| {
        found[usize::from(is_unknown)] += 1;
        match is_unknown {
            true => assert!(exchange.partial.is_some(), "{what}: {exchange:?}"),
            false => assert_eq!(own, truth, "{what}: {exchange:?}"),
        }
    };
    part(
        unknown.contains(Unknown::METHOD),
        &own.method,
        &truth.method,
    );
    part(unknown.contains(Unknown::PATH), &own.path, &truth.path);
    let authority = unknown.contains(Unknown::AUTHORITY);
    part(authority, &own.authority, &truth.authority);
    // What crossed a reset that is missing was not looked at in the whole file.
    let has_crossed = truth.reset.is_some() && exchange.reset.is_none();
    if let Some(response) = &exchange.response
        && !has_crossed
    {
        let unknown = response.head.unknown.contains(Unknown::STATUS);
        part(unknown, &own.status, &truth.status);
    }
    // No field is another one's, or moved before another one.
    let sides = if has_crossed { 1 } else { 2 };
    for (own, truth) in own.fields.iter().zip(&truth.fields).take(sides) {
        let mut rest = truth.iter();
        for field in own {
            let is_crumb = field.0 == "cookie";
            let is_there = is_crumb || rest.any(|other| other == field);
            assert!(is_there, "{what}: {field:?} of {exchange:?}");
        }
    }
    if exchange.partial.is_none() && !has_crossed {
        assert_eq!(&own, truth, "{what}: {exchange:?}");
    }
    found
}

#[track_caller]
fn check_some(what: &str, cases: impl Fn(&Packets) -> Vec<Vec<u8>>) {
    let (mut total, mut exchanges) = ([0; 2], 0);
    for (compressed, ports) in [NGINX, KINDS] {
        let all = Packets::read(compressed);
        let expected = dissect(&all.file(|_| true), ports);
        for connection in all.connections(ports) {
            for file in cases(&connection) {
                for exchange in replay(file) {
                    // A request of HTTP/1 that was not upgraded, as far as is seen.
                    if exchange.stream.is_some() {
                        let found = check_parts(&exchange, &expected, what);
                        total = [total[0] + found[0], total[1] + found[1]];
                        exchanges += 1;
                    }
                }
            }
        }
    }
    let [known, unknown] = total;
    figure(&format!(
        "{what}: {exchanges} exchanges: {known} parts known and right, {unknown} unknown"
    ));
    assert!(known > unknown);
}

/// At most so many cuts of each connection.
const CUTS: usize = 60;

fn cuts(connection: &Packets) -> BTreeSet<usize> {
    let len = connection.packets.len();
    (0..CUTS).map(|at| at * len / CUTS).collect()
}

#[test]
fn joined_at_any_packet_nothing_differs_from_wireshark() {
    check_some("joined", |connection| {
        let file = |cut: usize| connection.file(|at| at > cut);
        cuts(connection).into_iter().map(file).collect()
    });
}

#[test]
fn without_any_packet_nothing_differs_from_wireshark() {
    check_some("without a packet", |connection| {
        let file = |cut: usize| connection.file(|at| at != cut);
        cuts(connection).into_iter().map(file).collect()
    });
}
