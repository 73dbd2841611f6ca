//! Capture files made here, byte by byte: every link type, byte order and time resolution that is
//! read.

use std::io::Cursor;

use etherparse::{PacketBuilder, TcpHeader};
use proptest::prelude::*;

use super::*;
use crate::flow::Direction;

const ETHERNET: u16 = 1;
const NULL: u16 = 0;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const SLL: u16 = 113;
const SLL2: u16 = 276;

mod frames;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// IPv4 and TCP, from 10.0.0.1:40000 to 10.0.0.2:80, sequence number 1000.
fn ipv4(payload: &[u8]) -> Vec<u8> {
    tcp_in(
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        payload,
    )
}

/// IPv6 and TCP, from fd00::1 port 40000 to fd00::2 port 80, sequence number 1000.
fn ipv6(payload: &[u8]) -> Vec<u8> {
    let address = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    tcp_in(PacketBuilder::ipv6(address(1), address(2), 64), payload)
}

fn tcp_in(ip: etherparse::PacketBuilderStep<etherparse::IpHeaders>, payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(40_000, 80, 1000, 512);
    header.ack = true;
    header.acknowledgment_number = 2000;
    let mut bytes = Vec::new();
    ip.tcp_header(header).write(&mut bytes, payload).unwrap();
    bytes
}

/// An Ethernet frame: tags (tag protocol, id), then `ether_type` and what it carries.
fn ethernet(tags: &[(u16, u16)], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for (protocol, id) in tags {
        frame.extend_from_slice(&protocol.to_be_bytes());
        frame.extend_from_slice(&id.to_be_bytes());
    }
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn cooked(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14];
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn cooked2(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = ether_type.to_be_bytes().to_vec();
    frame.extend_from_slice(&[0; 18]);
    frame.extend_from_slice(payload);
    frame
}

/// Writes integers in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

const LITTLE: Order = Order { big: false };
const BIG: Order = Order { big: true };

impl Order {
    fn put16(self, out: &mut Vec<u8>, value: u16) {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        out.extend_from_slice(&bytes);
    }

    fn put32(self, out: &mut Vec<u8>, value: u32) {
        let bytes = if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        out.extend_from_slice(&bytes);
    }
}

/// A pcap file: magic number, link type, then frames (seconds, fraction, captured bytes, length on
/// the wire).
fn pcap(order: Order, magic: u32, link: u16, frames: &[(u32, u32, &[u8], usize)]) -> Vec<u8> {
    let mut out = Vec::new();
    order.put32(&mut out, magic);
    order.put16(&mut out, 2);
    order.put16(&mut out, 4);
    for value in [0, 0, 262_144, u32::from(link)] {
        order.put32(&mut out, value);
    }
    for (seconds, fraction, data, length) in frames {
        let sizes = [data.len(), *length].map(|n| u32::try_from(n).unwrap());
        for value in [*seconds, *fraction, sizes[0], sizes[1]] {
            order.put32(&mut out, value);
        }
        out.extend_from_slice(data);
    }
    out
}

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;

/// A pcapng file.
struct Ng {
    order: Order,
    out: Vec<u8>,
}

impl Ng {
    fn new(order: Order) -> Self {
        let mut ng = Self {
            order,
            out: Vec::new(),
        };
        ng.section();
        ng
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let length = u32::try_from(padded + 12).unwrap();
        self.order.put32(&mut self.out, kind);
        self.order.put32(&mut self.out, length);
        self.out.extend_from_slice(body);
        self.out.resize(self.out.len() + padded - body.len(), 0);
        self.order.put32(&mut self.out, length);
    }

    fn section(&mut self) {
        let mut body = Vec::new();
        self.order.put32(&mut body, 0x1a2b_3c4d);
        self.order.put16(&mut body, 1);
        self.order.put16(&mut body, 0);
        body.extend_from_slice(&[0xff; 8]);
        self.block(0x0a0d_0d0a, &body);
    }

    /// An interface: link type, options (code, value).
    fn interface(mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Self {
        let mut body = Vec::new();
        self.order.put16(&mut body, link);
        self.order.put16(&mut body, 0);
        self.order.put32(&mut body, snaplen);
        for (code, value) in options {
            self.order.put16(&mut body, *code);
            self.order
                .put16(&mut body, u16::try_from(value.len()).unwrap());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body.extend_from_slice(&[0; 4]);
        self.block(1, &body);
        self
    }

    fn packet(mut self, interface: u32, units: u64, data: &[u8]) -> Self {
        let mut body = Vec::new();
        self.order.put32(&mut body, interface);
        self.order
            .put32(&mut body, u32::try_from(units >> 32).unwrap());
        self.order
            .put32(&mut body, u32::try_from(units & 0xffff_ffff).unwrap());
        for _ in 0..2 {
            self.order
                .put32(&mut body, u32::try_from(data.len()).unwrap());
        }
        body.extend_from_slice(data);
        self.block(6, &body);
        self
    }

    fn simple_packet(mut self, length: usize, data: &[u8]) -> Self {
        let mut body = Vec::new();
        self.order.put32(&mut body, u32::try_from(length).unwrap());
        body.extend_from_slice(data);
        self.block(3, &body);
        self
    }

    fn obsolete_packet(mut self, interface: u16, units: u64, data: &[u8]) -> Self {
        let mut body = Vec::new();
        self.order.put16(&mut body, interface);
        self.order.put16(&mut body, 0xffff);
        let length = u32::try_from(data.len()).unwrap();
        let halves = [units >> 32, units & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        for value in [halves[0], halves[1], length, length] {
            self.order.put32(&mut body, value);
        }
        body.extend_from_slice(data);
        self.block(2, &body);
        self
    }

    fn other(mut self, kind: u32, body: &[u8]) -> Self {
        self.block(kind, body);
        self
    }

    fn next_section(mut self, order: Order) -> Self {
        self.order = order;
        self.section();
        self
    }
}

/// Reads to the end: a line for each segment, the totals, and how it ended.
fn read(file: Vec<u8>) -> (Vec<String>, Totals, Result<(), io::Error>) {
    let mut capture = match Capture::read(Cursor::new(file)) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Totals::default(), Err(error.into())),
    };
    let mut lines = Vec::new();
    let end = loop {
        let polled = capture.poll(Duration::ZERO, &mut |event| {
            let Event::Tcp(s) = event else {
                panic!("a packet capture has segments: {event:?}");
            };
            let arrow = match s.direction {
                Direction::Ingress => "<-",
                Direction::Egress => "->",
            };
            let text = String::from_utf8_lossy(s.payload.get(..5).unwrap_or(s.payload));
            lines.push(format!(
                "{} {} {arrow} {} {} {}/{} {text}",
                s.time,
                s.local,
                s.remote,
                s.seq,
                s.payload.len(),
                s.wire_len
            ));
        });
        match polled {
            Ok(Polled::More | Polled::Pending) => {}
            Ok(Polled::End) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    (lines, capture.totals().clone(), end)
}

/// Expects exactly these segments, every other packet counted under `skipped`, and a regular end.
fn check(file: Vec<u8>, expected: &[&str], skipped: &[(Skip, u64)]) {
    let (lines, totals, end) = read(file);
    end.unwrap();
    assert_eq!(lines, expected, "{totals:?}");
    let mut skipped = skipped.to_vec();
    skipped.sort_unstable();
    assert_eq!(totals.reasons().collect::<Vec<_>>(), skipped);
    let counted = totals.tcp + totals.joined + totals.all_skipped();
    assert_eq!(totals.packets, counted);
}

const V4: &str = "1000 10.0.0.2:80 <- 10.0.0.1:40000 1000 27/27 GET /";
const V6: &str = "1000 [fd00::2]:80 <- [fd00::1]:40000 1000 27/27 GET /";

#[test]
fn link_types() {
    let (v4, v6) = (ipv4(REQUEST), ipv6(REQUEST));
    let family = |number: u32, big: bool, ip: &[u8]| {
        let number = if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        };
        [&number, ip].concat()
    };
    let mut short = ethernet(&[], 0x0800, &ipv4(b""));
    short.resize(60, 0);
    let cases: [(u16, Vec<u8>, &str); 19] = [
        (ETHERNET, ethernet(&[], 0x0800, &v4), V4),
        (ETHERNET, ethernet(&[], 0x86dd, &v6), V6),
        (ETHERNET, ethernet(&[(0x8100, 5)], 0x0800, &v4), V4),
        (
            ETHERNET,
            ethernet(&[(0x88a8, 5), (0x8100, 6)], 0x86dd, &v6),
            V6,
        ),
        (
            ETHERNET,
            ethernet(&[(0x8100, 5), (0x8100, 6)], 0x0800, &v4),
            V4,
        ),
        (SLL, cooked(0x0800, &v4), V4),
        (SLL, cooked(0x86dd, &v6), V6),
        (SLL, cooked(0x8100, &[&[0, 5, 8, 0], &v4[..]].concat()), V4),
        (SLL2, cooked2(0x0800, &v4), V4),
        (SLL2, cooked2(0x86dd, &v6), V6),
        (RAW, v4.clone(), V4),
        (RAW, v6.clone(), V6),
        (228, v4.clone(), V4),
        (229, v6.clone(), V6),
        (12, v4.clone(), V4),
        (NULL, family(2, false, &v4), V4),
        (NULL, family(30, true, &v6), V6),
        (LOOP, family(2, true, &v4), V4),
        (LOOP, family(24, true, &v6), V6),
    ];
    for (link, frame, expected) in cases {
        let length = frame.len();
        check(
            pcap(LITTLE, MICROS, link, &[(0, 1, &frame, length)]),
            &[expected],
            &[],
        );
    }
    // The padding of a minimal frame is no payload.
    check(
        pcap(LITTLE, MICROS, ETHERNET, &[(0, 1, &short, 60)]),
        &[],
        &[],
    );
}

#[test]
fn byte_orders_and_times() {
    let frame = ipv4(REQUEST);
    let line = |time: &str| format!("{time} 10.0.0.2:80 <- 10.0.0.1:40000 1000 27/27 GET /");
    for order in [LITTLE, BIG] {
        let file = pcap(order, MICROS, RAW, &[(7, 123_456, &frame, frame.len())]);
        check(file, &[&line("7123456000")], &[]);
        let file = pcap(order, NANOS, RAW, &[(7, 123_456_789, &frame, frame.len())]);
        check(file, &[&line("7123456789")], &[]);
        let offset = if order.big {
            5_i64.to_be_bytes()
        } else {
            5_i64.to_le_bytes()
        };
        let file = Ng::new(order)
            .interface(RAW, 0, &[])
            .interface(RAW, 0, &[(9, &[9])])
            .interface(RAW, 0, &[(9, &[3]), (14, &offset)])
            .interface(RAW, 0, &[(9, &[0x80 | 10])])
            .interface(RAW, 0, &[(9, &[0x7f])])
            .packet(0, 7_000_001, &frame)
            .packet(1, 7_000_000_001, &frame)
            .packet(2, 7_001, &frame)
            .packet(3, 7 * 1024 + 512, &frame)
            .packet(4, 7, &frame);
        // The last is no nanosecond after 1970, which is no time: it has that of the one before.
        let times = [
            "7000001000",
            "7000000001",
            "12001000000",
            "7500000000",
            "7500000000",
        ];
        let lines = times.map(line);
        check(file.out, &lines.each_ref().map(String::as_str), &[]);
    }
}

#[test]
fn pcapng_with_everything() {
    let simple = ipv4(REQUEST);
    let file = Ng::new(LITTLE)
        .other(0x0bad, b"of a vendor")
        .interface(ETHERNET, 0, &[(2, b"eth0"), (9, &[9])])
        .interface(SLL2, 0, &[(2, b"any"), (9, &[9])])
        .packet(0, 1000, &ethernet(&[(0x8100, 7)], 0x0800, &ipv4(REQUEST)))
        .packet(1, 1000, &cooked2(0x86dd, &ipv6(REQUEST)))
        .packet(2, 1000, b"no such interface")
        .obsolete_packet(0, 1000, &ethernet(&[], 0x0800, &ipv4(REQUEST)))
        .other(5, &[0; 12])
        .next_section(BIG)
        .packet(0, 1000, b"none described yet")
        .interface(RAW, 60, &[(9, &[9])])
        .packet(0, 1000, &ipv4(REQUEST))
        .obsolete_packet(0, 1000, &ipv4(REQUEST))
        .simple_packet(simple.len(), &simple[..60]);
    check(
        file.out,
        &[
            V4,
            V4,
            V4,
            V4,
            "1000 10.0.0.2:80 <- 10.0.0.1:40000 1000 20/27 GET /",
            V6,
        ],
        &[(Skip::Interface, 2)],
    );
}

/// A block that says of its content what is not so, between blocks that are whole.
#[test]
fn pcapng_with_a_damaged_block() {
    for order in [LITTLE, BIG] {
        // Decryption secrets whose length is false, the header of a packet cut short, names.
        let secrets: Vec<u8> = [&[0; 4][..], &[0x7f; 4], b"CLIENT_RANDOM"].concat();
        for (kind, body) in [
            (10, &secrets[..]),
            (6, &[0; 8]),
            (10, &[]),
            (4, &[0, 1, 0x7f, 0x7f]),
        ] {
            let file = Ng::new(order)
                .interface(RAW, 0, &[(9, &[9])])
                .packet(0, 1000, &ipv4(REQUEST))
                .other(kind, body)
                .packet(0, 1000, &ipv4(REQUEST));
            check(file.out, &[V4, V4], &[(Skip::Block, 1)]);
        }
    }
}

/// What cannot be found behind it is not guessed.
#[test]
fn pcapng_with_a_block_of_two_lengths() {
    let mut file = Ng::new(LITTLE)
        .interface(RAW, 0, &[(9, &[9])])
        .packet(0, 1000, &ipv4(REQUEST))
        .other(10, &[0x7f; 8]);
    let last = file.out.len() - 4;
    file.out[last] ^= 4;
    let file = file.packet(0, 1000, &ipv4(REQUEST));
    let (lines, _, end) = read(file.out);
    assert_eq!(lines, [V4]);
    assert!(end.is_err());
}

#[test]
fn frames_cut_by_the_snap_length() {
    let frame = ethernet(&[], 0x0800, &ipv4(REQUEST));
    let cut = |length: usize| {
        pcap(
            LITTLE,
            MICROS,
            ETHERNET,
            &[(0, 1, &frame[..length], frame.len())],
        )
    };
    let line = |kept: usize, text: &str| {
        format!("1000 10.0.0.2:80 <- 10.0.0.1:40000 1000 {kept}/27 {text}")
    };
    check(cut(14 + 40 + 5), &[&line(5, "GET /")], &[]);
    check(cut(14 + 40), &[&line(0, "")], &[]);
    check(cut(14 + 39), &[], &[(Skip::Header, 1)]);
    check(cut(14 + 10), &[], &[(Skip::Header, 1)]);
    check(cut(10), &[], &[(Skip::Header, 1)]);
    // Cut by a tool that rewrites the length of the frame as well: the IP header still knows.
    let file = pcap(LITTLE, MICROS, ETHERNET, &[(0, 1, &frame[..59], 59)]);
    check(file, &[&line(5, "GET /")], &[]);
}

#[test]
fn datagrams_longer_than_their_length_field() {
    let mut v4 = ipv4(REQUEST);
    v4[2..4].copy_from_slice(&[0, 0]);
    let mut v6 = ipv6(REQUEST);
    v6[4..6].copy_from_slice(&[0, 0]);
    for (ip, expected) in [(v4, V4), (v6, V6)] {
        check(
            pcap(LITTLE, MICROS, RAW, &[(0, 1, &ip, ip.len())]),
            &[expected],
            &[],
        );
        let file = pcap(LITTLE, MICROS, RAW, &[(0, 1, &ip, ip.len() + 100_000)]);
        check(file, &[&expected.replace("27/27", "27/100027")], &[]);
        // A length that no frame has is not believed.
        let (lines, ..) = read(pcap(LITTLE, MICROS, RAW, &[(0, 1, &ip, u32::MAX as usize)]));
        let wire: u32 = lines[0].split(['/', ' ']).nth(6).unwrap().parse().unwrap();
        assert!(wire < 600_000, "{lines:?}");
    }
}

#[test]
fn what_is_skipped_is_counted() {
    let mut udp = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(53, 53)
        .write(&mut udp, b"query")
        .unwrap();
    let mut first_fragment = ipv4(REQUEST);
    first_fragment[6] = 0x20;
    let mut next_fragment = ipv4(REQUEST);
    next_fragment[7] = 5;
    let mut bad_tcp = ipv4(REQUEST);
    bad_tcp[32] = 0x10;
    let frames = [
        ethernet(&[], 0x0806, &[0; 28]),
        ethernet(&[], 0x0026, &[0; 46]),
        ethernet(&[], 0x0800, &udp),
        ethernet(&[], 0x0800, &first_fragment),
        ethernet(&[], 0x0800, &next_fragment),
        ethernet(&[], 0x0800, &bad_tcp),
        ethernet(&[], 0x0800, &[0x4f; 30]),
    ];
    let frames: Vec<_> = frames.iter().map(|f| (0, 1, &f[..], f.len())).collect();
    check(
        pcap(LITTLE, MICROS, ETHERNET, &frames),
        &[],
        &[
            (Skip::EtherType(0x0806), 1),
            (Skip::Llc(0), 1),
            (Skip::Udp, 1),
            (Skip::Fragment, 2),
            (Skip::Header, 2),
        ],
    );
    check(
        pcap(LITTLE, MICROS, 189, &frames[..1]),
        &[],
        &[(Skip::Link(189), 1)],
    );
    check(
        pcap(LITTLE, MICROS, NULL, &[(0, 1, &[9, 0, 0, 0, 1], 5)]),
        &[],
        &[(Skip::Family(9), 1)],
    );
    check(
        pcap(LITTLE, MICROS, RAW, &[(0, 1, &[0x60], 1)]),
        &[],
        &[(Skip::Header, 1)],
    );
    check(
        pcap(LITTLE, MICROS, RAW, &[(0, 1, &[0x10], 1)]),
        &[],
        &[(Skip::Version(1), 1)],
    );
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_whole() {
    let frame = ipv4(REQUEST);
    let classic = pcap(
        LITTLE,
        MICROS,
        RAW,
        &[(0, 1, &frame, frame.len()), (0, 1, &frame, frame.len())],
    );
    let ng = Ng::new(LITTLE)
        .interface(RAW, 0, &[(9, &[9])])
        .packet(0, 1000, &frame)
        .packet(0, 1000, &frame)
        .out;
    for (file, record) in [
        (classic, 16 + frame.len()),
        (ng, 32 + frame.len().next_multiple_of(4)),
    ] {
        let head = file.len() - 2 * record;
        for length in head..=file.len() {
            let (lines, _, end) = read(file[..length].to_vec());
            assert_eq!(lines.len(), (length - head) / record, "cut at {length}");
            match end {
                Ok(()) => assert!((length - head).is_multiple_of(record), "cut at {length}"),
                Err(error) => {
                    let at = head + (length - head) / record * record;
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    assert!(error.to_string().contains(&format!("byte {at}")), "{error}");
                }
            }
        }
    }
}

#[test]
fn files_that_are_none() {
    for (bytes, kind) in [
        (&b""[..], io::ErrorKind::InvalidData),
        (b"\x0a\x0d\x0d", io::ErrorKind::InvalidData),
        (
            b"\xfd7zXZ\0 compressed otherwise",
            io::ErrorKind::InvalidData,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: not a capture\r\n\r\n",
            io::ErrorKind::InvalidData,
        ),
    ] {
        let (_, _, end) = read(bytes.to_vec());
        assert_eq!(end.unwrap_err().kind(), kind);
    }
    // A record that claims gigabytes does not make the reader take them.
    let mut file = pcap(LITTLE, MICROS, RAW, &[]);
    file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]);
    file.resize(file.len() + 2 * 1024 * 1024, 0);
    let (_, _, end) = read(file);
    assert!(end.unwrap_err().to_string().contains("byte 24"));
    // A block whose two lengths differ.
    let mut ng = Ng::new(LITTLE).interface(RAW, 0, &[]).out;
    *ng.last_mut().unwrap() ^= 1;
    let (_, _, end) = read(ng);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::compress(&mut out, bytes, 1).unwrap();
    out
}

#[test]
fn compressed_files() {
    let frame = ipv4(REQUEST);
    let (first, second) = (frame.len(), 2);
    let plain = pcap(LITTLE, NANOS, RAW, &[(0, 1000, &frame[..], first); 2]);
    let ng = Ng::new(LITTLE)
        .interface(RAW, 0, &[(9, &[9])])
        .packet(0, 1000, &frame)
        .packet(0, 1000, &frame)
        .out;
    for file in [plain, ng] {
        for compress in [gzip, zstandard] {
            check(compress(&file), &[V4, V4], &[]);
            // Several members or frames, one after the other, as tools append them.
            let (a, b) = file.split_at(file.len() / second);
            check([compress(a), compress(b)].concat(), &[V4, V4], &[]);
            if compress(&[]).starts_with(&[0x28]) {
                // Frames to be skipped, as pzstd writes them before each other one.
                let skip = |kind: u8, len: u8| {
                    let head = [0x50 + kind, 0x2a, 0x4d, 0x18, len, 0, 0, 0];
                    [&head[..], &vec![7; len.into()]].concat()
                };
                let parts = [skip(0, 4), compress(a), skip(15, 0), compress(b)];
                check(parts.concat(), &[V4, V4], &[]);
            }
            // Cut off: what is whole is read, and the end is an error.
            let whole = compress(&file);
            for cut in [whole.len() - 1, whole.len() / 2, 12] {
                let (lines, _, end) = read(whole[..cut].to_vec());
                assert!(lines.len() <= 2);
                assert_eq!(
                    end.unwrap_err().kind(),
                    io::ErrorKind::UnexpectedEof,
                    "{cut}"
                );
            }
        }
    }
    let mut damaged = gzip(&pcap(
        LITTLE,
        NANOS,
        RAW,
        &[(0, 1000, &frame[..], first); 2],
    ));
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 0xff;
    let (lines, _, end) = read(damaged);
    assert_eq!(lines, [V4, V4]);
    let error = end.unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    // A compressed text is no capture.
    let (_, _, end) = read(gzip(b"GET / HTTP/1.1\r\n\r\n"));
    assert!(end.unwrap_err().to_string().contains("not a pcap"));
}

/// Gives one byte at a time, as a slow pipe may.
struct Drip(Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn files_that_come_byte_by_byte() {
    let frame = ipv4(REQUEST);
    let plain = pcap(BIG, NANOS, RAW, &[(0, 1000, &frame, frame.len())]);
    let ng = Ng::new(BIG)
        .interface(RAW, 0, &[(9, &[9])])
        .packet(0, 1000, &frame)
        .out;
    for file in [plain.clone(), ng, gzip(&plain), zstandard(&plain)] {
        let mut capture = Capture::read(Drip(Cursor::new(file))).unwrap();
        let mut segments = 0;
        while capture
            .poll(Duration::ZERO, &mut |_| segments += 1)
            .unwrap()
            != Polled::End
        {}
        assert_eq!(segments, 1);
    }
}

#[test]
fn other_kinds_of_pcap() {
    const PATCHED: u32 = 0xa1b2_cd34;
    let frame = ipv4(REQUEST);
    let length = u32::try_from(frame.len()).unwrap();
    for order in [LITTLE, BIG] {
        // Interface, protocol, packet type: eight more bytes in each record.
        let mut file = pcap(order, PATCHED, RAW, &[]);
        for _ in 0..2 {
            for value in [0, 1, length, length, 0, 0] {
                order.put32(&mut file, value);
            }
            file.extend_from_slice(&frame);
        }
        check(file, &[V4, V4], &[]);
        // Before version 2.3 the two lengths of a record were the other way round.
        for (minor, lengths) in [(2, [300, length]), (3, [300, length]), (3, [length, 300])] {
            let mut file = pcap(order, MICROS, RAW, &[]);
            let mut version = Vec::new();
            order.put16(&mut version, minor);
            file[6..8].copy_from_slice(&version);
            for value in [0, 1, lengths[0], lengths[1]] {
                order.put32(&mut file, value);
            }
            file.extend_from_slice(&frame);
            check(file, &[V4], &[]);
        }
    }
}

#[test]
fn snoop() {
    let frame = ethernet(&[], 0x0800, &ipv4(REQUEST));
    let length = u32::try_from(frame.len()).unwrap();
    let padded = frame.len().next_multiple_of(4);
    let mut file = b"snoop\0\0\0".to_vec();
    for value in [2, 4] {
        BIG.put32(&mut file, value);
    }
    for _ in 0..2 {
        let record = u32::try_from(24 + padded).unwrap();
        for value in [length, length, record, 0, 0, 1] {
            BIG.put32(&mut file, value);
        }
        file.extend_from_slice(&frame);
        file.resize(file.len() + padded - frame.len(), 0);
    }
    check(file.clone(), &[V4, V4], &[]);
    // A record that is shorter than its frame.
    file[24..28].copy_from_slice(&[0, 0, 0, 30]);
    let (_, _, end) = read(file);
    assert!(end.unwrap_err().to_string().contains("byte 16"));
}

#[test]
fn files_larger_than_the_buffer() {
    let body = vec![b'x'; 60_000];
    let frame = ipv4(&body);
    let frames: Vec<_> = (0..40).map(|n| (n, 0, &frame[..], frame.len())).collect();
    let (lines, totals, end) = read(pcap(BIG, NANOS, RAW, &frames));
    end.unwrap();
    assert_eq!((lines.len(), totals.segments), (40, 40));
    // One block larger than the whole buffer, as a table of names may be.
    let ng = Ng::new(BIG)
        .interface(RAW, 0, &[(9, &[9])])
        .other(0x0bad, &vec![0; 3 * 1024 * 1024])
        .packet(0, 1000, &ipv4(REQUEST));
    check(ng.out, &[V4], &[]);
}

#[test]
fn polls_are_bounded_by_recorded_time() {
    let frame = ipv4(REQUEST);
    let frames: Vec<_> = (0..36).map(|n| (n, 0, &frame[..], frame.len())).collect();
    let file = pcap(LITTLE, MICROS, RAW, &frames);
    let mut capture = Capture::read(Cursor::new(file)).unwrap();
    let mut seen = Vec::new();
    loop {
        let mut count = 0;
        let polled = capture.poll(Duration::ZERO, &mut |_| count += 1).unwrap();
        seen.push((count, capture.time().unwrap() / 1_000_000));
        if polled == Polled::End {
            break;
        }
    }
    assert_eq!(
        seen,
        [(0, 31_000), (34, 33_000), (2, 35_000), (0, 35_000)],
        "until 32 packets say so, no time passes: what waits goes on to wait",
    );
}

#[test]
fn magic_numbers() {
    for order in [LITTLE, BIG] {
        assert!(recognizes(&pcap(order, MICROS, RAW, &[])));
        assert!(recognizes(&pcap(order, NANOS, RAW, &[])));
        assert!(recognizes(&Ng::new(order).out));
    }
    assert!(recognizes(b"snoop\0\0\0"));
    assert!(recognizes(&gzip(b"anything")));
    assert!(recognizes(&zstandard(b"anything")));
    assert!(!recognizes(b"\x0a\x0d\x0d"));
    assert!(!recognizes(b"MSHT"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_end(
        big in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let order = Order { big };
        let frame = ethernet(&[(0x8100, 7)], 0x86dd, &ipv6(REQUEST));
        let classic = pcap(order, MICROS, ETHERNET, &[(0, 1, &frame, frame.len()), (0, 2, &frame, frame.len())]);
        let ng = Ng::new(order)
            .interface(ETHERNET, 0, &[(9, &[9])])
            .packet(0, 1000, &frame)
            .simple_packet(frame.len(), &frame)
            .out;
        for mut file in [classic, ng] {
            for (at, value) in &flips {
                let at = at.index(file.len());
                file[at] = *value;
            }
            file.truncate(cut.index(file.len()) + 1);
            let (lines, totals, _) = read(file);
            prop_assert!(lines.len() as u64 == totals.segments);
            prop_assert_eq!(totals.packets, totals.tcp + totals.joined + totals.all_skipped());
        }
    }
}
