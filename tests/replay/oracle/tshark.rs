//! The same file through Wireshark's dissectors: `tshark -T pdml`, whose fields are paired here by
//! nothing but HTTP's own rule, that responses come in the order of their requests (RFC 9112
//! §9.3.2).

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use super::shown::{Connections, Ends, Shown};

/// Dissectors whose fields are looked at.
const PROTOCOLS: &str = "geninfo ip ipv6 tcp http";

/// One HTTP message.
#[derive(Default)]
struct Message {
    method: Option<String>,
    target: Option<String>,
    status: Option<u16>,
    /// With the content coding still on; set only when there is one.
    encoded: Option<u64>,
    /// As far as it is decoded.
    body: u64,
}

#[derive(Default)]
struct Stream {
    ends: Option<Ends>,
    requests: Vec<Message>,
    responses: Vec<Message>,
}

/// What of a packet is needed to say whose message it carries.
#[derive(Default)]
struct Packet {
    source: String,
    destination: String,
    ports: [String; 2],
    stream: String,
}

/// Dissects a file. `decompress`: body lengths are those after the content coding is removed.
pub fn dissect(path: &Path, ports: &[u16], decompress: bool) -> Connections {
    let mut tshark = Command::new("tshark");
    tshark
        .args(["-n", "-T", "pdml", "-J", PROTOCOLS, "-r"])
        .arg(path);
    for (name, value) in [
        ("tcp.reassemble_out_of_order", true),
        ("http.decompress_body", decompress),
        ("tcp.check_checksum", false),
    ] {
        let value = if value { "TRUE" } else { "FALSE" };
        tshark.args(["-o", &format!("{name}:{value}")]);
    }
    for port in ports {
        tshark.args(["-d", &format!("tcp.port=={port},http")]);
    }
    tshark
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = tshark.spawn().expect("tshark");
    let mut reader = BufReader::new(child.stdout.take().expect("stdout"));
    let streams = read(&mut reader);
    let status = child.wait().expect("tshark");
    assert!(status.success(), "tshark: {status}");
    connections(streams, decompress)
}

fn read(reader: &mut impl std::io::BufRead) -> BTreeMap<u64, Stream> {
    let mut streams = BTreeMap::<u64, Stream>::new();
    let mut packet = Packet::default();
    let mut message: Option<Message> = None;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).expect("PDML is text") == 0 {
            return streams;
        }
        let text = line.trim_start();
        if text.starts_with("<packet>") {
            packet = Packet::default();
        }
        let begins_protocol = text.starts_with("<proto ");
        if (begins_protocol || text.starts_with("</packet>"))
            && let Some(message) = message.take()
        {
            let number = packet.stream.parse().expect("a stream number");
            streams.entry(number).or_default().take(message, &packet);
        }
        if begins_protocol && attribute(text, "name") == Some("http") {
            message = Some(Message::default());
        }
        if let Some(name) = attribute(text, "name") {
            let show = attribute(text, "show").unwrap_or_default();
            packet.field(name, show);
            if let Some(message) = &mut message {
                message.field(name, show, text);
            }
        }
    }
}

impl Packet {
    fn field(&mut self, name: &str, show: &str) {
        let place = match name {
            "ip.src" | "ipv6.src" => &mut self.source,
            "ip.dst" | "ipv6.dst" => &mut self.destination,
            "tcp.srcport" => &mut self.ports[0],
            "tcp.dstport" => &mut self.ports[1],
            "tcp.stream" => &mut self.stream,
            _ => return,
        };
        show.clone_into(place);
    }

    fn ends(&self) -> [String; 2] {
        [
            (&self.source, &self.ports[0]),
            (&self.destination, &self.ports[1]),
        ]
        .map(|(address, port)| match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        })
    }
}

impl Message {
    fn length(&self, decoded: bool) -> u64 {
        self.encoded.filter(|_| !decoded).unwrap_or(self.body)
    }

    fn field(&mut self, name: &str, show: &str, text: &str) {
        match name {
            "http.request.method" if self.method.is_none() => self.method = Some(show.to_owned()),
            "http.request.uri" if self.target.is_none() => self.target = Some(unescape(show)),
            "http.response.code" if self.status.is_none() => self.status = show.parse().ok(),
            "http.file_data" => self.body = size(text),
            "" if show.starts_with("Content-encoded entity body") => {
                self.encoded = Some(size(text));
            }
            _ => {}
        }
    }
}

fn size(element: &str) -> u64 {
    let size = attribute(element, "size").and_then(|size| size.parse().ok());
    size.expect("a size")
}

impl Stream {
    fn take(&mut self, message: Message, packet: &Packet) {
        let [source, destination] = packet.ends();
        if message.method.is_some() {
            self.ends = Some(Ends {
                client: source,
                server: destination,
            });
            self.requests.push(message);
        } else if message
            .status
            .is_some_and(|status| status >= 200 || status == 101)
        {
            self.responses.push(message);
        }
    }
}

fn connections(streams: BTreeMap<u64, Stream>, decoded: bool) -> Connections {
    let mut connections = Connections::new();
    for stream in streams.into_values() {
        let Some(ends) = stream.ends else { continue };
        let mut responses = stream.responses.into_iter();
        let shown = stream.requests.into_iter().map(|request| {
            let response = responses.next().unwrap_or_default();
            Shown {
                request_body: request.length(decoded),
                response_body: response.length(decoded),
                method: request.method.unwrap_or_default(),
                target: request.target.unwrap_or_default(),
                status: response.status,
            }
        });
        connections.entry(ends).or_default().extend(shown);
    }
    connections
}

/// The value of an attribute of an element on one line.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let start = element.find(&format!(" {name}=\""))? + name.len() + 3;
    let rest = element.get(start..)?;
    rest.get(..rest.find('"')?)
}

fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
