//! A capture of nginx with h2load and curl, read by Wireshark's dissector and by the engine: the
//! same exchanges. Joined at any packet, what the engine shows is still what Wireshark read of the
//! whole file, or unknown.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::read::GzDecoder;
use meshtap::capture::pcap::Capture;
use meshtap::capture::{Polled, Source as _};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::http::Unknown;
use meshtap_tests::{Scratch, figure};

const PORT: u16 = 31_731;
/// Bytes of the file's header, and of that of each packet.
const FILE: usize = 24;
const PACKET: usize = 16;

fn file() -> Vec<u8> {
    let compressed = include_bytes!("../recordings/pcap/http2-nginx.pcap.gz");
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(&compressed[..]);
    decoder.read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// The file without its first packets.
fn without(file: &[u8], packets: usize) -> Vec<u8> {
    let mut at = FILE;
    for _ in 0..packets {
        let len = file[at + 8..].first_chunk().expect("a packet");
        at += PACKET + usize::try_from(u32::from_le_bytes(*len)).expect("small");
    }
    [&file[..FILE], &file[at..]].concat()
}

/// An exchange: by the client's port and the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    method: String,
    path: String,
    authority: String,
    status: String,
    /// Bytes of DATA: of the request, of the response.
    sizes: [u64; 2],
}

type Exchanges = BTreeMap<(u16, u32), Seen>;

/// What the dissector is at.
#[derive(Default)]
struct At {
    ports: [u16; 2],
    kind: u64,
    length: u64,
    stream: u32,
    name: String,
}

fn dissect(file: &[u8]) -> Exchanges {
    let scratch = Scratch::new();
    let path = scratch.write("h2.pcap", file);
    let output = Command::new("tshark")
        .args(["-n", "-T", "pdml", "-J", "tcp http2", "-d"])
        .arg(format!("tcp.port=={PORT},http2"))
        .args(["-o", "tcp.reassemble_out_of_order:TRUE", "-r"])
        .arg(path)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .expect("tshark");
    assert!(output.status.success(), "tshark: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut at, mut found) = (At::default(), Exchanges::new());
    for line in text.lines() {
        let attribute = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        if let (Some(name), Some(show)) = (attribute("name"), attribute("show")) {
            at.field(name, &plain(show), &mut found);
        }
    }
    found
}

/// PDML's escapes undone.
fn plain(text: &str) -> String {
    [
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

impl At {
    fn field(&mut self, name: &str, show: &str, found: &mut Exchanges) {
        let number = || show.parse::<u64>().unwrap_or_default();
        match name {
            "tcp.srcport" => self.ports[0] = show.parse().expect("a port"),
            "tcp.dstport" => self.ports[1] = show.parse().expect("a port"),
            "http2.length" => self.length = number(),
            "http2.type" => self.kind = number(),
            "http2.streamid" => {
                self.stream = u32::try_from(number()).expect("31 bits");
                if self.kind == 0 && self.stream != 0 {
                    let side = usize::from(self.ports[0] == PORT);
                    self.seen(found).sizes[side] += self.length;
                }
            }
            "http2.header.name" => show.clone_into(&mut self.name),
            "http2.header.value" => {
                let name = std::mem::take(&mut self.name);
                if self.kind == 1 {
                    let seen = self.seen(found);
                    match name.as_str() {
                        ":method" => show.clone_into(&mut seen.method),
                        ":path" => show.clone_into(&mut seen.path),
                        ":authority" => show.clone_into(&mut seen.authority),
                        ":status" => show.clone_into(&mut seen.status),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn seen<'a>(&self, found: &'a mut Exchanges) -> &'a mut Seen {
        let [source, destination] = self.ports;
        let client = if source == PORT { destination } else { source };
        found.entry((client, self.stream)).or_default()
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
    (
        exchange.peers.client.port(),
        exchange.stream.expect("HTTP/2"),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn the_same_exchanges_as_wireshark() {
    let file = file();
    let expected = dissect(&file);
    let found: Exchanges = (replay(file).iter())
        .map(|exchange| {
            let head = &exchange.request.head;
            let response = exchange.response.as_ref().expect("all are whole");
            let seen = Seen {
                method: text(head.method()),
                path: text(head.target()),
                authority: text(head.host().unwrap_or_default()),
                status: response.head.status.to_string(),
                sizes: [exchange.request.body.size, response.body.size],
            };
            (key(exchange), seen)
        })
        .collect();
    assert!(found.len() > 300);
    assert_eq!(found, expected);
}

#[test]
fn joined_at_any_packet_nothing_differs_from_wireshark() {
    let file = file();
    let expected = dissect(&file);
    let (mut known, mut unknown) = (0, 0);
    for packets in (1..240).step_by(3) {
        for exchange in replay(without(&file, packets)) {
            let truth = &expected[&key(&exchange)];
            let head = &exchange.request.head;
            let parts = [
                (Unknown::METHOD, head.method(), &truth.method),
                (Unknown::PATH, head.target(), &truth.path),
                (
                    Unknown::AUTHORITY,
                    head.host().unwrap_or_default(),
                    &truth.authority,
                ),
            ];
            for (part, shown, truth) in parts {
                if head.unknown.contains(part) {
                    assert!(exchange.partial.is_some(), "{exchange:?}");
                    unknown += 1;
                } else {
                    assert_eq!(
                        &text(shown),
                        truth,
                        "without {packets} packets: {exchange:?}"
                    );
                    known += 1;
                }
            }
            if let Some(response) = &exchange.response
                && !response.head.unknown.contains(Unknown::STATUS)
            {
                assert_eq!(response.head.status.to_string(), truth.status);
            }
        }
    }
    figure(&format!(
        "{known} parts of heads known and right, {unknown} unknown"
    ));
    assert!(known > unknown);
}
