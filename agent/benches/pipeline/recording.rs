//! What the hook would give: the segments of many connections, kept in memory.

use std::net::SocketAddr;

use meshtap::flow::{Direction, Endpoint, SocketId};

use super::messages::{request, response};

/// What one TCP segment carries: loopback's, and that of a segmentation offload.
const SEGMENT: usize = 16 * 1024;

/// One chunk of the recording.
pub(super) struct Chunk {
    pub(super) socket: SocketId,
    pub(super) direction: Direction,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) remote: Endpoint,
    pub(super) start: bool,
    pub(super) payload: Vec<u8>,
}

/// The client of a connection: each has an address and port of its own.
fn remote(connection: u64) -> Endpoint {
    let [host, port] = [(connection % 250) as u8, (connection / 250) as u8];
    Endpoint::from(SocketAddr::from((
        [10, 0, 1, host],
        40_000 + u16::from(port),
    )))
}

/// Exchanges of HTTP/1, one after the other on each connection.
pub(super) fn http1(exchanges: u64, size: usize, connections: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut seqs = vec![(1_u32, 1_u32); connections as usize];
    for n in 0..exchanges {
        let connection = n % connections;
        let (request_seq, response_seq) = &mut seqs[connection as usize];
        let remote = remote(connection);
        for (direction, message) in [
            (Direction::Ingress, request(n, size / 2)),
            (Direction::Egress, response(n, size / 2)),
        ] {
            for payload in message.chunks(SEGMENT) {
                let (seq, ack) = match direction {
                    Direction::Ingress => (&mut *request_seq, *response_seq),
                    Direction::Egress => (&mut *response_seq, *request_seq),
                };
                chunks.push(Chunk {
                    socket: SocketId(connection + 1),
                    direction,
                    seq: *seq,
                    ack,
                    remote,
                    start: *seq == 1,
                    payload: payload.to_vec(),
                });
                *seq = seq.wrapping_add(payload.len() as u32);
            }
        }
    }
    chunks
}

/// The same exchanges in HTTP/2: [`STREAMS`] requests at a time on each connection, then their
/// responses.
pub(super) fn http2(exchanges: u64, size: usize, connections: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut ends: Vec<_> = (0..connections)
        .map(|_| [Sender::new(true), Sender::new(false)])
        .collect();
    let mut n = 0;
    while n < exchanges {
        for connection in 0..connections {
            let batch: Vec<u64> = (n..exchanges.min(n + STREAMS)).collect();
            n += batch.len() as u64;
            let [client, server] = &mut ends[connection as usize];
            let stream = client.stream;
            client.stream += 2 * STREAMS as u32;
            let mut write = |from: &mut Sender, ack, direction| {
                for payload in std::mem::take(&mut from.bytes).chunks(SEGMENT) {
                    chunks.push(Chunk {
                        socket: SocketId(connection + 1),
                        direction,
                        seq: from.seq,
                        ack,
                        remote: remote(connection),
                        start: from.seq == 1,
                        payload: payload.to_vec(),
                    });
                    from.seq = from.seq.wrapping_add(payload.len() as u32);
                }
            };
            for (stream, n) in (stream..).step_by(2).zip(&batch) {
                client.message(stream, &request(*n, size / 2));
            }
            write(client, server.seq, Direction::Ingress);
            for (stream, n) in (stream..).step_by(2).zip(&batch) {
                server.message(stream, &response(*n, size / 2));
            }
            write(server, client.seq, Direction::Egress);
        }
    }
    chunks
}

/// Streams at a time on a connection of HTTP/2.
const STREAMS: u64 = 10;

/// One end of a connection of HTTP/2.
struct Sender {
    encoder: httlib_hpack::Encoder<'static>,
    bytes: Vec<u8>,
    seq: u32,
    stream: u32,
}

impl Sender {
    fn new(client: bool) -> Self {
        let mut bytes = Vec::new();
        if client {
            bytes.extend_from_slice(meshtap::http::h2::frame::PREFACE);
        }
        // SETTINGS without any.
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        Self {
            encoder: httlib_hpack::Encoder::with_dynamic_size(4096),
            bytes,
            seq: 1,
            stream: 1,
        }
    }

    /// A message of HTTP/1 as that of a stream. What differs with every message is not indexed, as
    /// clients do it.
    fn message(&mut self, stream: u32, message: &[u8]) {
        use httlib_hpack::Encoder;
        let text = std::str::from_utf8(message).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let mut fields = match first[..] {
            ["HTTP/1.1", status, ..] => vec![(":status", status)],
            [method, target, ..] => {
                vec![(":method", method), (":path", target), (":scheme", "http")]
            }
            _ => panic!("no message"),
        };
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            match name {
                "host" => fields.push((":authority", value)),
                "connection" => {}
                _ => fields.push((name, value)),
            }
        }
        let mut block = Vec::new();
        for (name, value) in fields {
            let changes = matches!(name, ":path" | "x-request-id" | "traceparent");
            let indexing = if changes { 0 } else { Encoder::WITH_INDEXING };
            let flags = indexing | Encoder::BEST_FORMAT | Encoder::HUFFMAN_VALUE;
            let field = (name.as_bytes().to_vec(), value.as_bytes().to_vec(), flags);
            self.encoder.encode(field, &mut block).unwrap();
        }
        self.frame(1, 4, stream, &block);
        for (at, data) in body.as_bytes().chunks(SEGMENT).enumerate() {
            let last = (at + 1) * SEGMENT >= body.len();
            self.frame(0, u8::from(last), stream, data);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&[kind, flags]);
        self.bytes.extend_from_slice(&stream.to_be_bytes());
        self.bytes.extend_from_slice(payload);
    }
}
