//! HTTP/2 picked up at any segment of a random conversation: what is emitted is right or marked,
//! and every stream that begins once frames are known is there.
//!
//! Conversations have what frames can carry: padding, CONTINUATION, PRIORITY, PING, GOAWAY, interim
//! heads, trailers, DATA of no byte and of a megabyte, several bodies at once; tables whose size
//! changes; segments cut anywhere.

use std::collections::BTreeMap;

use httlib_hpack::Encoder;

use super::http2::{frame, settings};
use super::wire::{CLIENT, Run, SERVER, Who, Wire};
use crate::engine::Limits;
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::Unknown;
use crate::http::h2::frame::PREFACE;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    /// In one case of so many.
    fn rarely(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }
}

type Fields = Vec<(String, String)>;

/// What is sent on a stream.
#[derive(Clone, Debug)]
struct Sent {
    fields: [Fields; 2],
    sizes: [usize; 2],
    trailers: [Option<(String, String)>; 2],
    interim: usize,
    /// Where its first frame begins in what the client sends.
    at: usize,
    reset: bool,
}

/// What a body holds at a position: bytes that say whose it is.
fn body_byte(stream: u32, who: Who, at: usize) -> u8 {
    let word = u32::try_from(at / 4).unwrap().wrapping_mul(0x9e37_79b9) ^ stream << 1 ^ who as u32;
    word.to_be_bytes()[at % 4]
}

fn body(stream: u32, who: Who, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|at| body_byte(stream, who, at)).collect()
}

/// A stream that is being sent: bytes of the two bodies so far, and what the ends have done.
#[derive(Debug)]
struct Open {
    stream: u32,
    sent: [usize; 2],
    headed: bool,
    interim: usize,
    ended: [bool; 2],
}

/// Two ends that talk.
struct Talk {
    random: Random,
    encoders: [Encoder<'static>; 2],
    /// Bytes written and not yet in segments; how many were written.
    pending: [Vec<u8>; 2],
    written: [usize; 2],
    open: Vec<Open>,
    streams: BTreeMap<u32, Sent>,
    /// Largest DATA.
    largest: usize,
    wire: Wire,
}

impl Talk {
    fn new(seed: u64, side: Side) -> Self {
        let mut random = Random(seed);
        let largest = [4000, 16_384, 16_384, 70_000, 1 << 20][random.below(5)];
        Self {
            random,
            encoders: [(); 2].map(|()| Encoder::with_dynamic_size(4096)),
            pending: [Vec::new(), Vec::new()],
            written: [0; 2],
            open: Vec::new(),
            streams: BTreeMap::new(),
            largest,
            wire: Wire::new(side),
        }
    }

    /// Writes to the socket, where bytes may wait. What the other end has written before is on its
    /// way then.
    fn write(&mut self, who: Who, bytes: &[u8]) {
        self.flush(who.other());
        self.pending[who as usize].extend_from_slice(bytes);
        self.written[who as usize] += bytes.len();
        if !self.random.rarely(3) {
            self.flush(who);
        }
    }

    /// Puts what is written into segments, cut anywhere.
    fn flush(&mut self, who: Who) {
        let bytes = std::mem::take(&mut self.pending[who as usize]);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let size = [1, 9, 300, 1448, 1448, 16_000, 65_000][self.random.below(7)];
            let (now, later) = rest.split_at(size.min(rest.len()));
            self.wire.say(who, now);
            rest = later;
        }
    }

    fn fields(&mut self, stream: u32, who: Who) -> Fields {
        let own = |text: &str| text.to_owned();
        let mut fields = match who {
            CLIENT => vec![
                (
                    own(":method"),
                    own(["GET", "POST", "PATCH"][self.random.below(3)]),
                ),
                (own(":scheme"), own("http")),
                (own(":path"), format!("/{stream}")),
                (own(":authority"), format!("shop-{}", self.random.below(3))),
            ],
            SERVER => vec![(
                own(":status"),
                own(["200", "404", "418"][self.random.below(3)]),
            )],
        };
        fields.push((own("id"), stream.to_string()));
        for _ in 0..self.random.below(8) {
            let name = format!("name-{}", self.random.below(12));
            fields.push((name, format!("value {}", self.random.below(5))));
        }
        if self.random.rarely(12) {
            fields.push((own("long"), "~".repeat(self.random.below(9000))));
        }
        fields
    }

    fn block(&mut self, who: Who, fields: &[(String, String)]) -> Vec<u8> {
        let (encoder, random) = (&mut self.encoders[who as usize], &mut self.random);
        let mut out = Vec::new();
        if random.rarely(20) {
            let size = [0, 100, 1000, 4096][random.below(4)];
            encoder.update_max_dynamic_size(size, &mut out).unwrap();
        }
        for (name, value) in fields {
            let indexed = if random.rarely(4) {
                0
            } else {
                Encoder::WITH_INDEXING
            };
            let coding = u8::try_from(random.below(4)).unwrap();
            let flags = Encoder::BEST_FORMAT | indexed | coding;
            let field = (name.clone().into_bytes(), value.clone().into_bytes(), flags);
            encoder.encode(field, &mut out).unwrap();
        }
        out
    }

    /// A header block in its frames.
    fn headers(&mut self, stream: u32, who: Who, fields: &[(String, String)], end: bool) {
        let block = self.block(who, fields);
        let (mut flags, mut head, mut padding) = (u8::from(end) * END_STREAM, vec![], vec![]);
        if self.random.rarely(6) {
            flags |= PADDED;
            padding = vec![0; self.random.below(256)];
            head.push(u8::try_from(padding.len()).unwrap());
        }
        if who == CLIENT && self.random.rarely(4) {
            flags |= PRIORITY;
            head.extend_from_slice(&[0, 0, 0, 0, 200]);
        }
        let mut parts = vec![&block[..]];
        if block.len() > 16_000 || self.random.rarely(5) {
            let at = self.random.below(block.len().min(16_000));
            parts = vec![&block[..at]];
            parts.extend(block[at..].chunks(1 + self.random.below(16_000)));
        }
        let mut frames = Vec::new();
        let last = parts.len() - 1;
        for (at, part) in parts.into_iter().enumerate() {
            let ends = if at == last { END_HEADERS } else { 0 };
            frames.extend(match at {
                0 => frame(1, flags | ends, stream, &[&head, part, &padding].concat()),
                _ => frame(9, ends, stream, part),
            });
        }
        self.write(who, &frames);
    }

    /// Frames that are of no exchange.
    fn between(&mut self, who: Who) {
        let stream = self.open.first().map_or(1, |open| open.stream);
        let some = match self.random.below(7) {
            0 => frame(6, 0, 0, &[7; 8]),
            1 => frame(8, 0, 0, &[0, 0, 16, 0]),
            2 => frame(8, 0, stream, &[0, 0, 16, 0]),
            3 if who == CLIENT => frame(2, 0, stream, &[0, 0, 0, 0, 9]),
            4 => frame(7, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
            5 => frame(4, 0, 0, &[0, 4, 0, 16, 0, 0]),
            _ => frame(4, 1, 0, &[]),
        };
        self.write(who, &some);
    }

    fn begin(&mut self) {
        let stream = self
            .streams
            .last_key_value()
            .map_or(1, |(last, _)| last + 2);
        let fields = [CLIENT, SERVER].map(|who| self.fields(stream, who));
        let mut size = || match self.random.below(9) {
            0..3 => 0,
            3..6 => self.random.below(300),
            6 => self.random.below(20_000),
            7 => self.random.below(100_000),
            _ => self.random.below(self.largest.min(400_000) * 3),
        };
        let sizes = [size(), size()];
        let mut trailers = || {
            let value = || format!("sum of {stream}");
            self.random.rarely(4).then(|| ("sum".to_owned(), value()))
        };
        let trailers = [trailers(), trailers()];
        let sent = Sent {
            fields,
            sizes,
            trailers,
            interim: if self.random.rarely(6) { 2 } else { 0 },
            at: self.written[0],
            reset: false,
        };
        let ends = sent.sizes[0] == 0 && sent.trailers[0].is_none() && self.random.rarely(2);
        let fields = sent.fields[0].clone();
        self.streams.insert(stream, sent);
        self.headers(stream, CLIENT, &fields, ends);
        self.open.push(Open {
            stream,
            sent: [0; 2],
            headed: false,
            interim: 0,
            ended: [ends, false],
        });
    }

    /// One of the two ends goes on with a stream.
    fn go_on(&mut self, at: usize, who: Who) {
        let Open { stream, sent, .. } = self.open[at];
        let whole = self.streams[&stream].clone();
        if who == SERVER && !self.open[at].headed {
            if self.open[at].interim < whole.interim {
                self.open[at].interim += 1;
                let early = [(":status", "103"), ("link", "x")];
                let early = early.map(|(name, value)| (name.to_owned(), value.to_owned()));
                return self.headers(stream, who, &early, false);
            }
            let ends = whole.sizes[1] == 0 && whole.trailers[1].is_none() && self.random.rarely(2);
            self.open[at].headed = true;
            self.open[at].ended[1] = ends;
            return self.headers(stream, who, &whole.fields[1], ends);
        }
        let side = who as usize;
        let left = whole.sizes[side] - sent[side];
        if left == 0
            && let Some(trailer) = &whole.trailers[side]
        {
            self.open[at].ended[side] = true;
            return self.headers(stream, who, std::slice::from_ref(trailer), true);
        }
        let size = [0, 1, 100, 16_384, self.largest, self.largest][self.random.below(6)];
        let size = size.min(left).min(self.largest);
        let ends = size == left && whole.trailers[side].is_none() && !self.random.rarely(3);
        let bytes = body(stream, who, sent[side]..sent[side] + size);
        self.open[at].sent[side] += size;
        self.open[at].ended[side] = ends;
        let flags = u8::from(ends) * END_STREAM;
        let data = match self.random.rarely(5) {
            true => {
                let padding = self.random.below(256);
                let head = [u8::try_from(padding).unwrap()];
                let payload = [&head, &bytes[..], &vec![0; padding]].concat();
                frame(0, flags | PADDED, stream, &payload)
            }
            false => frame(0, flags, stream, &bytes),
        };
        self.write(who, &data);
    }

    fn step(&mut self, begins: bool) {
        if self.random.rarely(12) {
            let who = [CLIENT, SERVER][self.random.below(2)];
            return self.between(who);
        }
        if self.open.is_empty() || begins && self.open.len() < 6 && self.random.rarely(4) {
            if begins {
                self.begin();
            }
            return;
        }
        let at = self.random.below(self.open.len());
        let who = [CLIENT, SERVER][self.random.below(2)];
        if self.random.rarely(150) {
            let stream = self.open.remove(at).stream;
            self.streams.get_mut(&stream).unwrap().reset = true;
            return self.write(who, &frame(3, 0, stream, &[0, 0, 0, 8]));
        }
        if !self.open[at].ended[who as usize] {
            self.go_on(at, who);
        }
        if self.open[at].ended == [true; 2] {
            self.open.remove(at);
        }
    }

    /// All of it: so many streams.
    fn run(mut self, streams: usize) -> (Wire, BTreeMap<u32, Sent>) {
        self.write(CLIENT, PREFACE);
        self.write(CLIENT, &settings());
        self.write(SERVER, &settings());
        while self.streams.len() < streams || !self.open.is_empty() {
            let begins = self.streams.len() < streams;
            self.step(begins);
        }
        self.flush(CLIENT);
        self.flush(SERVER);
        (self.wire, self.streams)
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What is shown of a head is as it was sent. All is shown if `is_whole`.
fn check_fields(shown: &crate::http::Fields, sent: &Fields, is_whole: bool) {
    let sent: Vec<_> = sent
        .iter()
        .filter(|(name, _)| !name.starts_with(':'))
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let shown: Vec<_> = shown
        .into_iter()
        .filter(|(name, _)| !name.is_empty())
        .collect();
    for (name, value) in &shown {
        let found = sent.iter().any(|one| (&*one.0, &*one.1) == (*name, *value));
        assert!(found || !is_whole && value.is_empty(), "{name}: {value}");
    }
    assert!(
        !is_whole || shown.len() == sent.len(),
        "{shown:?}, {sent:?}"
    );
}

/// What is shown of an exchange is as it was sent.
fn check(exchange: &Exchange, sent: &Sent) {
    let stream = exchange.stream.unwrap();
    let is_whole = exchange.partial.is_none();
    let head = &exchange.request.head;
    let value = |who: Who, name: &str| {
        let fields = &sent.fields[who as usize];
        let found = fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    for (part, shown, name) in [
        (Unknown::METHOD, head.method(), ":method"),
        (Unknown::PATH, head.target(), ":path"),
        (
            Unknown::AUTHORITY,
            head.host().unwrap_or_default(),
            ":authority",
        ),
    ] {
        match head.unknown.contains(part) {
            true => assert!(!is_whole, "{exchange:?}"),
            false => assert_eq!(text(shown), value(CLIENT, name), "{exchange:?}"),
        }
    }
    check_fields(&head.fields, &sent.fields[0], is_whole);
    let response = exchange.response.as_ref();
    if let Some(response) = response {
        let is_known = !response.head.unknown.contains(Unknown::STATUS);
        let status = response.head.status.to_string();
        assert!(is_known || !is_whole);
        assert!(
            !is_known || status == value(SERVER, ":status"),
            "{exchange:?}"
        );
        // What is shown of a status that is not known may be an interim response.
        if is_known {
            check_fields(&response.head.fields, &sent.fields[1], is_whole);
        }
    }
    assert!(response.is_some() || !is_whole);
    let bodies = [
        (CLIENT, Some(&exchange.request.body)),
        (SERVER, response.map(|response| &response.body)),
    ];
    for (who, shown) in bodies {
        let Some(shown) = shown else { continue };
        let size = sent.sizes[who as usize];
        if shown.missing == 0 {
            let right = body(stream, who, 0..shown.bytes.len().min(size));
            assert!(shown.bytes == right, "another body: {stream} {who:?}");
        }
        if shown.size_exact {
            assert_eq!(shown.size, size as u64, "{exchange:?}");
        }
        let pairs = shown.trailers.iter().flat_map(|fields| fields.iter());
        // An unknown head behind an unknown one may be the trailers.
        let is_known = response.is_some_and(|it| !it.head.unknown.contains(Unknown::STATUS));
        for (name, value) in pairs.filter(|_| who == CLIENT || is_known) {
            let expected = sent.trailers[who as usize].as_ref().unwrap();
            assert_eq!((text(name), text(value)), (&*expected.0, &*expected.1));
        }
        let has = shown.trailers.is_some();
        assert!(!is_whole || has == sent.trailers[who as usize].is_some());
    }
}

/// How many exchanges began after the capture did, and of them: whole, marked, absent.
#[derive(Debug, Default)]
struct Tally {
    later: usize,
    whole: usize,
    marked: usize,
    absent: usize,
}

/// A conversation from one of its segments on.
fn joined(seed: u64, tally: &mut Tally) {
    let side = [Side::Server, Side::Client][usize::from(seed.is_multiple_of(2))];
    let (mut wire, streams) = Talk::new(seed, side).run(24);
    let mut random = Random(!seed);
    let from = random.below(wire.packets.len());
    let client = wire.direction(CLIENT);
    let before: usize = (wire.packets[..from].iter())
        .filter(|packet| packet.direction == client)
        .map(|packet| packet.payload.len())
        .sum();
    wire.packets.drain(..from);
    for packet in &mut wire.packets {
        packet.start &= from == 0;
    }
    let mut run = Run::new(Limits {
        body: 4 << 20,
        ..Limits::default()
    });
    run.feed(&wire.packets);
    run.finish();
    let mut shown = BTreeMap::new();
    for exchange in &run.output.exchanges {
        let stream = exchange.stream.expect("HTTP/2 alone");
        let sent = (streams.get(&stream)).unwrap_or_else(|| panic!("invented: {exchange:?}"));
        check(exchange, sent);
        let is_whole = exchange.partial.is_none();
        assert!(shown.insert(stream, is_whole).is_none(), "twice: {stream}");
    }
    // Nothing is absent once a request is shown that began after the capture did.
    let later = streams.iter().filter(|(_, sent)| sent.at >= before);
    let mut found = from == 0;
    for (stream, sent) in later {
        tally.later += 1;
        let is_whole = shown.get(stream);
        assert!(
            is_whole.is_some() || !found,
            "seed {seed}: {stream} is absent"
        );
        assert!(
            is_whole == Some(&true) || from > 0 || sent.reset,
            "seed {seed}: {stream}"
        );
        found |= is_whole.is_some();
        match is_whole {
            Some(true) => tally.whole += 1,
            Some(false) => tally.marked += 1,
            None => tally.absent += 1,
        }
    }
}

#[test]
fn joined_at_any_segment() {
    let mut tally = Tally::default();
    for seed in 0..200 {
        joined(seed, &mut tally);
    }
    // The head that shows what the connection speaks may be cut by the capture, or by a segment.
    assert!(tally.absent * 30 < tally.later, "{tally:?}");
}
