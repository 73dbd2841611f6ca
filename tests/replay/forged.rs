//! Captures with packets that their receiver did not take: what is shown is what it took, or it is
//! marked.

use std::io::Cursor;
use std::net::SocketAddr;
use std::time::Duration;

use meshtap::capture::pcap::Capture;
use meshtap::capture::{Polled, Source as _};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap_tests::{Ack, Segment, packet};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// One connection in a capture file of bare IP packets, a millisecond apart.
struct Talk {
    file: Vec<u8>,
    packets: u32,
    /// Next numbers of client and server.
    next: [u32; 2],
    /// No checksum is right.
    offloaded: bool,
}

#[derive(Clone, Copy)]
enum Who {
    Client = 0,
    Server = 1,
}
use Who::{Client, Server};

impl Talk {
    /// A connection with its first exchange.
    fn new(offloaded: bool) -> Self {
        // Magic number, version 2.4, zone, accuracy, snap length, LINKTYPE_RAW.
        let head = [
            0xa1b2_c3d4_u32,
            0x0002_0004_u32.rotate_left(16),
            0,
            0,
            262_144,
            101,
        ];
        let mut talk = Self {
            file: head.iter().flat_map(|word| word.to_le_bytes()).collect(),
            packets: 0,
            next: [u32::MAX - 20, 5000],
            offloaded,
        };
        talk.put(Client, "", |syn| (syn.syn, syn.ack) = (true, Ack::None));
        talk.next[0] = talk.next[0].wrapping_add(1);
        talk.put(Server, "", |syn| syn.syn = true);
        talk.next[1] += 1;
        talk.put(Client, "", |_| ());
        talk.say(Client, &get("/first"));
        talk.say(Server, OK);
        talk
    }

    /// A packet after which everything goes on as if it had not been.
    fn put(&mut self, who: Who, payload: &str, change: impl FnOnce(&mut Segment<'_>)) {
        let ends = [("10.0.0.1", 40_000), ("10.0.0.2", 80)]
            .map(|(ip, port)| SocketAddr::new(ip.parse().expect("an address"), port));
        let (own, other) = (who as usize, 1 - who as usize);
        let mut segment = Segment {
            seq: self.next[own],
            ack: Ack::Number(self.next[other]),
            syn: false,
            fin: false,
            rst: false,
            urgent: None,
            options: &[],
            payload: payload.as_bytes(),
            bad_checksum: self.offloaded,
        };
        change(&mut segment);
        let bytes = packet(ends[own], ends[other], &segment);
        let len = u32::try_from(bytes.len()).expect("short");
        for word in [1_700_000_000, self.packets * 1000, len, len] {
            self.file.extend_from_slice(&word.to_le_bytes());
        }
        self.file.extend_from_slice(&bytes);
        self.packets += 1;
    }

    fn say(&mut self, who: Who, payload: &str) {
        self.put(who, payload, |_| ());
        let len = u32::try_from(payload.len()).expect("short");
        let next = &mut self.next[who as usize];
        *next = next.wrapping_add(len);
    }

    /// What is shown of it, the first exchange excluded.
    fn shown(self) -> Vec<String> {
        let mut capture = Capture::read(Cursor::new(self.file)).expect("a capture file");
        let mut engine = Engine::new(Limits {
            positions: false,
            ..Limits::default()
        });
        let mut output = Output::default();
        while capture
            .poll(Duration::ZERO, &mut |event| {
                engine.event(event, &mut output)
            })
            .expect("a readable file")
            != Polled::End
        {}
        engine.finish(capture.time().unwrap_or_default(), &mut output);
        let mut shown: Vec<_> = output.exchanges.iter().map(line).collect();
        assert_eq!(shown.remove(0), "GET /first 200");
        shown
    }
}

fn line(exchange: &Exchange) -> String {
    let head = &exchange.request.head;
    let [method, target] = [head.method(), head.target()].map(String::from_utf8_lossy);
    let status = exchange
        .response
        .as_ref()
        .map_or(0, |response| response.head.status);
    let mut line = format!("{method} {target} {status}");
    for name in exchange.request.anomalies.names() {
        line += &format!(" {name}");
    }
    line
}

/// Between the first exchange and `GET /real`, this packet of the client's comes, whose payload has
/// the same length.
#[track_caller]
fn check(expected: &str, change: impl FnOnce(&mut Segment<'_>)) {
    let mut talk = Talk::new(false);
    talk.put(Client, &get("/fake"), change);
    talk.say(Client, &get("/real"));
    talk.say(Server, OK);
    talk.say(Client, &get("/last"));
    talk.say(Server, OK);
    assert_eq!(talk.shown(), [expected, "GET /last 200"]);
}

#[test]
fn what_tcp_refuses_is_not_shown() {
    check("GET /real 200", |fake| fake.bad_checksum = true);
    check("GET /real 200", |fake| fake.ack = Ack::None);
    check("GET /real 200", |fake| {
        fake.seq = fake.seq.wrapping_add(20 << 20)
    });
    check("GET /real 200", |fake| {
        fake.seq = fake.seq.wrapping_add(1 << 31)
    });
    check("GET /real 200", |fake| {
        fake.seq = fake.seq.wrapping_sub(100_000)
    });
    // An acknowledgement of bytes that nobody has sent.
    check("GET /real 200", |fake| {
        if let Ack::Number(ack) = &mut fake.ack {
            *ack += 100_000;
        }
    });
    for fin in [true, false] {
        check("GET /real 200", |fake| {
            (fake.fin, fake.rst) = (fin, !fin);
            (fake.bad_checksum, fake.payload) = (true, b"");
        });
    }
    check("GET /real 200", |fake| {
        (fake.rst, fake.payload, fake.seq) = (true, b"", fake.seq.wrapping_add(10));
    });
}

/// Which of two copies was taken, the file does not show: the first is read, and marked.
#[test]
fn two_copies_of_one_position() {
    check("GET /fake 200 conflicting_bytes", |_| ());
    // One that comes after the acknowledgement is nothing new.
    let mut talk = Talk::new(false);
    talk.say(Client, &get("/real"));
    talk.say(Server, OK);
    let len = u32::try_from(get("/real").len()).expect("short");
    talk.put(Client, &get("/fake"), |fake| {
        fake.seq = fake.seq.wrapping_sub(len)
    });
    talk.say(Client, &get("/last"));
    talk.say(Server, OK);
    assert_eq!(talk.shown(), ["GET /real 200", "GET /last 200"]);
}

/// A sender cuts what it sends again at other places.
#[test]
fn the_same_bytes_cut_at_other_places() {
    let request = get("/real");
    for (from, to, other) in [
        (5, 20, false),
        (0, 9, false),
        (5, request.len(), false),
        (5, 9, true),
    ] {
        let mut talk = Talk::new(false);
        talk.put(Client, &request, |_| ());
        let again = match other {
            true => "x".repeat(to - from),
            false => request[from..to].to_owned(),
        };
        let ahead = u32::try_from(from).expect("short");
        talk.put(Client, &again, |again| {
            again.seq = again.seq.wrapping_add(ahead);
        });
        talk.next[0] = talk.next[0].wrapping_add(u32::try_from(request.len()).expect("short"));
        talk.say(Server, OK);
        let expected = match other {
            true => "GET /real 200 conflicting_bytes",
            false => "GET /real 200",
        };
        assert_eq!(talk.shown(), [expected], "{from} {to}");
    }
}

/// Where no checksum is right, a device was to fill them in: nothing is refused. One that was
/// acknowledged was not refused either.
#[test]
fn checksums_that_prove_nothing() {
    let mut talk = Talk::new(true);
    talk.say(Client, &get("/real"));
    talk.say(Server, OK);
    assert_eq!(talk.shown(), ["GET /real 200"]);

    let mut talk = Talk::new(false);
    talk.offloaded = true;
    talk.say(Client, &get("/real"));
    talk.offloaded = false;
    talk.say(Server, OK);
    talk.say(Client, &get("/last"));
    talk.say(Server, OK);
    assert_eq!(talk.shown(), ["GET /real 200", "GET /last 200"]);
}

#[test]
fn urgent_bytes() {
    let odd = get("/reXal").replacen(' ', "\t", 2);
    for (request, shown) in [
        (get("/reXal"), "GET /real 200 urgent_data"),
        (odd, "GET /real 200 odd_request_line urgent_data"),
    ] {
        urgent_byte(&request, shown);
    }
}

/// The eighth byte of a request is urgent.
#[track_caller]
fn urgent_byte(request: &str, shown: &str) {
    let mut talk = Talk::new(false);
    talk.put(Client, request, |urgent| urgent.urgent = Some(8));
    talk.next[0] = talk.next[0].wrapping_add(u32::try_from(request.len()).expect("short"));
    talk.say(Server, OK);
    talk.say(Client, &get("/last"));
    talk.say(Server, OK);
    assert_eq!(talk.shown(), [shown, "GET /last 200"]);
}
