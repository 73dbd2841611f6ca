//! What Wireshark's dissector reads of a capture: the exchanges of HTTP/2, by the client's port and
//! the stream.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use meshtap_tests::Scratch;

/// An exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authority: String,
    /// Of the final response.
    pub status: String,
    /// Bytes of DATA without padding: of the request, of the response.
    pub sizes: [u64; 2],
    /// Other fields, trailers too: of the request, of all responses. Crumbs of a cookie are one.
    pub fields: [Vec<(String, String)>; 2],
    /// The code of an RST_STREAM that came before both ends had sent all. What crosses it is not
    /// looked at.
    pub reset: Option<u32>,
    /// Its request was one of HTTP/1.1.
    pub upgraded: bool,
}

pub type Exchanges = BTreeMap<(u16, u32), Seen>;

/// What a port speaks, for Wireshark.
pub type Ports<'a> = &'a [(u16, &'a str)];

pub fn dissect(file: &[u8], ports: Ports<'_>) -> Exchanges {
    let scratch = Scratch::new();
    let path = scratch.write("h2.pcap", file);
    let decode = ports
        .iter()
        .flat_map(|(port, protocol)| ["-d".to_owned(), format!("tcp.port=={port},{protocol}")]);
    let output = Command::new("tshark")
        .args(["-n", "-T", "pdml", "-J", "tcp http http2"])
        .args(decode)
        .args(["-o", "tcp.reassemble_out_of_order:TRUE", "-r"])
        .arg(path)
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .expect("tshark");
    assert!(output.status.success(), "tshark: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut at = At {
        servers: ports.iter().map(|(port, _)| *port).collect(),
        ..At::default()
    };
    for line in text.lines() {
        let attribute = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        if let (Some(name), Some(show)) = (attribute("name"), attribute("show")) {
            at.field(name, &plain(show));
        }
    }
    at.found.retain(|_, seen| seen.method != "PRI");
    at.found
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

/// What the dissector is at.
#[derive(Default)]
struct At {
    servers: Vec<u16>,
    ports: [u16; 2],
    kind: u64,
    length: u64,
    padded: bool,
    end_stream: bool,
    stream: u32,
    /// By direction: the stream that a block promises, which CONTINUATION may go on with.
    promised: [Option<u32>; 2],
    name: String,
    found: Exchanges,
    /// Which ends have sent all.
    ended: BTreeMap<(u16, u32), [bool; 2]>,
}

const DATA: u64 = 0;
const HEADERS: u64 = 1;
const PUSH_PROMISE: u64 = 5;
const CONTINUATION: u64 = 9;

impl At {
    fn field(&mut self, name: &str, show: &str) {
        let number = || show.parse::<u64>().unwrap_or_default();
        let stream = || u32::try_from(number()).expect("31 bits");
        match name {
            "tcp.srcport" => self.ports[0] = show.parse().expect("a port"),
            "tcp.dstport" => self.ports[1] = show.parse().expect("a port"),
            "http.request.method" => {
                self.stream = 1;
                self.ended(1)[0] = true;
                let seen = self.seen(1);
                seen.upgraded = true;
                show.clone_into(&mut seen.method);
            }
            "http.request.uri" => show.clone_into(&mut self.seen(1).path),
            "http.host" => show.clone_into(&mut self.seen(1).authority),
            "http2.length" => self.length = number(),
            "http2.type" => self.kind = number(),
            "http2.flags.padded" => self.padded = show == "1",
            "http2.flags.end_stream" => self.end_stream = show == "1",
            "http2.streamid" => {
                self.stream = stream();
                self.frame();
            }
            "http2.pad_length" if self.kind == DATA && self.padded => {
                let (side, padding) = (self.side(), 1 + number());
                if !self.is_reset(self.stream) {
                    self.seen(self.stream).sizes[side] -= padding;
                }
            }
            "http2.push_promise.promised_stream_id" => {
                let side = self.side();
                self.promised[side] = Some(stream());
                self.ended(stream())[0] = true;
            }
            "http2.rst_stream.error" if *self.ended(self.stream) != [true; 2] => {
                let code = stream();
                self.seen(self.stream).reset.get_or_insert(code);
            }
            "http2.header.name" => show.clone_into(&mut self.name),
            "http2.header.value" => self.header(show),
            _ => {}
        }
    }

    /// The header of a frame was read.
    fn frame(&mut self) {
        let (side, stream, length) = (self.side(), self.stream, self.length);
        if self.kind == HEADERS {
            self.promised[side] = None;
        }
        if !matches!(self.kind, DATA | HEADERS) || stream == 0 || self.is_reset(stream) {
            return;
        }
        if self.kind == DATA {
            self.seen(stream).sizes[side] += length;
        }
        if self.end_stream {
            self.ended(stream)[side] = true;
        }
    }

    fn header(&mut self, value: &str) {
        if !matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            return;
        }
        let name = std::mem::take(&mut self.name);
        let (stream, side) = match self.promised[self.side()] {
            // What a server promises is a request.
            Some(promised) => (promised, 0),
            None => (self.stream, self.side()),
        };
        if self.is_reset(stream) {
            return;
        }
        let seen = self.seen(stream);
        match name.as_str() {
            ":method" => value.clone_into(&mut seen.method),
            ":path" => value.clone_into(&mut seen.path),
            ":authority" => value.clone_into(&mut seen.authority),
            ":status" => value.clone_into(&mut seen.status),
            _ if name.starts_with(':') => {}
            "cookie" => match seen.fields[side]
                .iter_mut()
                .find(|(name, _)| name == "cookie")
            {
                Some((_, before)) => *before += &format!("; {value}"),
                None => seen.fields[side].push((name, value.to_owned())),
            },
            _ => seen.fields[side].push((name, value.to_owned())),
        }
    }

    /// Who sends: the client is 0.
    fn side(&self) -> usize {
        usize::from(self.servers.contains(&self.ports[0]))
    }

    fn key(&self, stream: u32) -> (u16, u32) {
        (self.ports[self.side()], stream)
    }

    fn is_reset(&self, stream: u32) -> bool {
        let seen = self.found.get(&self.key(stream));
        seen.is_some_and(|seen| seen.reset.is_some())
    }

    fn ended(&mut self, stream: u32) -> &mut [bool; 2] {
        self.ended.entry(self.key(stream)).or_default()
    }

    fn seen(&mut self, stream: u32) -> &mut Seen {
        self.found.entry(self.key(stream)).or_default()
    }
}
