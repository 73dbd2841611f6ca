//! Header blocks of encoders that are not ours, decoded: those of `h2`, of `httlib-hpack`, of
//! nghttp2 and of Python's `hpack`, with tables of many sizes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;

use httlib_hpack::Encoder;
use meshtap::http::h2::frame::{Event, Headers, Kind, PREFACE, Reader};
use meshtap::http::h2::hpack::Decoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

type Field = (Vec<u8>, Vec<u8>);

/// The generator that `blocks.py` draws from as well.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        const STEP: u64 = 6_364_136_223_846_793_005;
        self.0 = self
            .0
            .wrapping_mul(STEP)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let at = self.below(choices.len() as u64);
        choices[usize::try_from(at).unwrap()]
    }

    /// Fewer than `longest` bytes, of `count` from `first` on.
    fn bytes(&mut self, longest: u64, first: u64, count: u64) -> Vec<u8> {
        let len = self.below(longest);
        let byte = |_| u8::try_from(first + self.below(count)).unwrap();
        (0..len).map(byte).collect()
    }

    /// A field, and whether it must never be indexed.
    fn field(&mut self) -> (Field, bool) {
        const NAMES: [&str; 15] = [
            ":method",
            ":path",
            ":scheme",
            ":authority",
            ":status",
            "user-agent",
            "accept",
            "cookie",
            "x-request-id",
            "traceparent",
            "content-type",
            "authorization",
            "grpc-timeout",
            "te",
            "x-b3-sampled",
        ];
        const VALUES: [&str; 12] = [
            "GET",
            "POST",
            "/",
            "/cart",
            "https",
            "shop.example",
            "200",
            "404",
            "application/grpc",
            "1S",
            "trailers",
            "gzip",
        ];
        let kind = usize::try_from(self.below(NAMES.len() as u64 + 5)).unwrap();
        let name = match NAMES.get(kind) {
            Some(name) => (*name).to_owned(),
            None => format!("x-{}", self.below(40)),
        };
        let value = match self.below(16) {
            0..8 => self.of(&VALUES).as_bytes().to_vec(),
            8..12 => format!("v{}", self.below(30)).into_bytes(),
            12 | 13 => self.bytes(60, 33, 94),
            14 => self.bytes(40, 128, 128),
            // Now and then one that is about as large as the whole table.
            _ if self.below(50) > 0 => self.bytes(300, 33, 94),
            _ => vec![b'l'; 3900 + usize::try_from(self.below(300)).unwrap()],
        };
        let never = self.below(16) == 0;
        ((name.into_bytes(), value), never)
    }
}

/// Name and value, as far as they are known.
type Decoded = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The fields of a block; `?` for the part of one that is unknown.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Vec<Decoded> {
    let mut fields = Vec::new();
    let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
    decoder
        .block(block, &mut |field| {
            fields.push((owned(field.name), owned(field.value)))
        })
        .unwrap();
    fields
}

/// How many blocks were decoded from the beginning; how many mid-stream, and the fields of those:
/// known, or not.
#[derive(Debug, Default)]
struct Decodings {
    exact: usize,
    late: usize,
    known: usize,
    unknown: usize,
}

impl Decodings {
    /// Decodes the blocks of a connection from its beginning, where all is known, and from later
    /// ones, where nothing may be wrong.
    fn check(&mut self, blocks: &[Vec<u8>], expected: &[Vec<Field>], limit: u32) {
        /// The late ones start so many blocks apart.
        const STEP: usize = 9;
        assert_eq!(blocks.len(), expected.len());
        let mut exact = Decoder::new();
        exact.allow(limit);
        let known = |(name, value)| Some((name?, value?));
        for (block, expected) in blocks.iter().zip(expected) {
            let fields = decode(&mut exact, block).into_iter().map(known);
            assert_eq!(
                fields.collect::<Option<Vec<Field>>>().as_ref(),
                Some(expected)
            );
            self.exact += 1;
        }
        let first = 1 + self.exact % STEP;
        for from in (first..blocks.len())
            .step_by(STEP)
            .chain([blocks.len() - 1])
        {
            let mut late = Decoder::mid_stream();
            for (block, expected) in blocks[from..].iter().zip(&expected[from..]) {
                self.late(&decode(&mut late, block), expected);
            }
        }
        assert!(self.known > 0, "one who comes late knows something");
    }

    fn late(&mut self, fields: &[Decoded], expected: &[Field]) {
        self.late += 1;
        assert_eq!(fields.len(), expected.len());
        for ((name, value), expected) in fields.iter().zip(expected) {
            assert!(name.as_ref().is_none_or(|name| *name == expected.0));
            assert!(value.as_ref().is_none_or(|value| *value == expected.1));
            match name.is_some() && value.is_some() {
                true => self.known += 1,
                false => self.unknown += 1,
            }
        }
    }
}

/// What `blocks.py` wrote.
fn blocks_of(mut file: &[u8], seed: u64) {
    let (mut random, mut decodings) = (Random(seed), Decodings::default());
    for _ in 0..15 {
        let (mut blocks, mut expected) = (Vec::new(), Vec::new());
        for at in 0..120 {
            if at > 0 && random.below(20) == 0 {
                random.below(5);
            }
            let _huffman = random.below(4);
            let count = 1 + random.below(8);
            expected.push((0..count).map(|_| random.field().0).collect());
            let (len, more) = file.split_first_chunk().unwrap();
            let (block, more) = more.split_at(usize::from(u16::from_be_bytes(*len)));
            blocks.push(block.to_vec());
            file = more;
        }
        decodings.check(&blocks, &expected, 4096);
    }
    assert!(file.is_empty());
}

#[test]
fn blocks_of_nghttp2() {
    blocks_of(include_bytes!("../recordings/hpack/nghttp2.blocks"), 2026);
}

#[test]
fn blocks_of_hpack() {
    blocks_of(include_bytes!("../recordings/hpack/hpack.blocks"), 2027);
}

#[test]
fn blocks_of_httlib() {
    let (mut random, mut decodings) = (Random(7), Decodings::default());
    for connection in 0..80 {
        let size = [4096, 0, 100, 1000, 20_000][connection % 5];
        let mut encoder = Encoder::with_dynamic_size(4096);
        let (mut blocks, mut expected) = (Vec::new(), Vec::new());
        for at in 0..150 {
            let mut block = Vec::new();
            if at == 0 || random.below(25) == 0 {
                let size = if at == 0 {
                    size
                } else {
                    64 + u32::try_from(random.below(2000)).unwrap()
                };
                encoder.update_max_dynamic_size(size, &mut block).unwrap();
            }
            let mut fields = Vec::new();
            for _ in 0..1 + random.below(8) {
                let (field, never) = random.field();
                let coding = u8::try_from(random.below(4)).unwrap();
                let flags = match never {
                    true => coding | Encoder::NEVER_INDEXED,
                    false if random.below(4) == 0 => coding,
                    false => coding | Encoder::WITH_INDEXING | Encoder::BEST_FORMAT,
                };
                let item = (field.0.clone(), field.1.clone(), flags);
                encoder.encode(item, &mut block).unwrap();
                fields.push(field);
            }
            blocks.push(block);
            expected.push(fields);
        }
        decodings.check(&blocks, &expected, 20_000);
    }
}

/// A connection of `h2`'s client, whose peer is played by hand: what it sends, cut into header
/// blocks.
struct Peer {
    io: DuplexStream,
    reader: Reader,
    blocks: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Peer {
    /// Sends SETTINGS with a table size.
    async fn allow(&mut self, size: u32) -> io::Result<()> {
        let mut frame = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1];
        frame.extend_from_slice(&size.to_be_bytes());
        self.io.write_all(&frame).await
    }

    /// Reads until so many blocks have come, and so many acknowledgements.
    async fn read(&mut self, blocks: usize, acknowledged: usize) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        while self.blocks.len() < blocks || self.acknowledged < acknowledged {
            let len = self.io.read(&mut bytes).await?;
            assert!(len > 0, "the client has gone");
            let Self {
                blocks,
                acknowledged,
                ..
            } = self;
            self.reader.push(&bytes[..len], &mut |event| {
                let Event::Frame(header, payload) = event else {
                    return;
                };
                match header.kind {
                    Kind::Headers => {
                        let headers = Headers::parse(&header, payload).unwrap();
                        assert!(headers.end_headers);
                        blocks.push(headers.block.to_vec());
                    }
                    Kind::Settings => *acknowledged += usize::from(header.flags.0 & 1 != 0),
                    _ => {}
                }
            });
        }
        Ok(())
    }
}

async fn requests(seed: u64, count: usize) -> (Vec<Vec<u8>>, Vec<Vec<Field>>) {
    let mut random = Random(seed);
    let (client, io) = tokio::io::duplex(1 << 20);
    let (mut send, connection) = h2::client::handshake(client).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut peer = Peer {
        io,
        reader: Reader::default(),
        blocks: Vec::new(),
        acknowledged: 0,
    };
    let mut preface = [0; 24];
    peer.io.read_exact(&mut preface).await.unwrap();
    assert_eq!(&preface, PREFACE);
    peer.allow(4096).await.unwrap();
    peer.read(0, 1).await.unwrap();
    let mut expected = Vec::new();
    let mut responses = Vec::new();
    for at in 0..count {
        if random.below(30) == 0 {
            let sizes = [0, 100, 500, 4096, 16_384];
            let size = sizes[usize::try_from(random.below(5)).unwrap()];
            peer.allow(size).await.unwrap();
            let acknowledged = peer.acknowledged + 1;
            peer.read(at, acknowledged).await.unwrap();
        }
        let path = format!("/{}", random.below(60));
        let mut fields: Vec<Field> = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "shop.example"),
            (":path", &path),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        let uri = format!("https://shop.example{path}");
        let mut request = http::Request::get(uri).body(()).unwrap();
        for _ in 0..random.below(7) {
            let ((name, value), never) = random.field();
            if name[0] == b':' || name == b"te" {
                continue;
            }
            let name = http::HeaderName::from_bytes(&name).unwrap();
            let mut value = http::HeaderValue::from_bytes(&value).unwrap();
            value.set_sensitive(never);
            request.headers_mut().append(name, value);
        }
        let sent = request.headers().iter();
        fields.extend(sent.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())));
        expected.push(fields);
        send = send.ready().await.unwrap();
        responses.push(send.send_request(request, true).unwrap());
        peer.read(at + 1, peer.acknowledged).await.unwrap();
    }
    drop((send, responses));
    driver.abort();
    (peer.blocks, expected)
}

#[test]
fn blocks_of_h2() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut decodings = Decodings::default();
    for connection in 0..80 {
        let (blocks, expected) = runtime.block_on(requests(connection, 150));
        decodings.check(&blocks, &expected, 16_384);
    }
}
