use std::net::SocketAddr;

use super::super::held::MAX_PACKETS;
use super::*;
use crate::flow::{Direction, Endpoint};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:80";

/// A packet `from` one end `to` the other: flags (`S`, `F`, `R`), sequence number, acknowledgement, payload.
fn packet<'a>(
    (from, to): (&str, &str),
    flags: &str,
    seq: u32,
    ack: Option<u32>,
    payload: &'a [u8],
) -> Packet<'a> {
    let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
    Packet {
        time: 0,
        source: end(from),
        destination: end(to),
        seq,
        ack,
        syn: flags.contains('S'),
        fin: flags.contains('F'),
        rst: flags.contains('R'),
        wire_len: u32::try_from(payload.len()).unwrap(),
        payload,
    }
}

const UP: (&str, &str) = (CLIENT, SERVER);
const DOWN: (&str, &str) = (SERVER, CLIENT);

/// What is told of each packet: nothing, or socket, direction, position, acknowledgement and flags; and what is told at the end.
fn tell(flows: &mut Flows, packets: &[Packet<'_>]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut now = 0;
    for packet in packets {
        now = packet.time.max(now);
        let mut lines = Vec::new();
        flows.packet(packet, now, &mut |segment| lines.push(line(segment)));
        all.push(lines);
    }
    let mut rest = Vec::new();
    flows.release_all(&mut |segment| rest.push(line(segment)));
    if !rest.is_empty() {
        all.push(rest);
    }
    all
}

fn line(s: &Segment<'_>) -> String {
    let way = match s.direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    let flags: String = [(s.start, " start"), (s.fin, " fin"), (s.rst, " rst")]
        .iter()
        .filter_map(|(set, name)| set.then_some(*name))
        .collect();
    format!(
        "{} {way} {}+{} expected {} ack {}{flags}",
        s.socket.0, s.seq, s.wire_len, s.expected, s.ack
    )
}

/// Expects a line for each packet: `-` for nothing told, `;` between several.
fn check(packets: &[Packet<'_>], expected: &[&str]) {
    let mut told: Vec<String> = Vec::new();
    for lines in tell(&mut Flows::default(), packets) {
        told.push(match lines.is_empty() {
            true => "-".to_owned(),
            false => lines.join("; "),
        });
    }
    assert_eq!(told, expected);
}

#[test]
fn a_whole_connection() {
    check(
        &[
            packet(UP, "S", 99, None, b""),
            packet(DOWN, "S", 499, Some(100), b""),
            packet(UP, "", 100, Some(500), b""),
            packet(UP, "", 100, Some(500), b"GET /a HTTP/1.1\r\n"),
            packet(DOWN, "", 500, Some(117), b"HTTP/1.1 200 OK\r\n"),
            packet(UP, "", 117, Some(517), b"\r\n"),
            packet(UP, "F", 119, Some(517), b""),
            packet(DOWN, "F", 517, Some(120), b""),
            packet(UP, "", 120, Some(518), b""),
        ],
        &[
            "-",
            "-",
            "-",
            "1 in 100+17 expected 100 ack 500 start",
            "1 out 500+17 expected 500 ack 117 start",
            "1 in 117+2 expected 117 ack 517",
            "1 in 119+0 expected 119 ack 517 fin",
            "1 out 517+0 expected 517 ack 120 fin",
            "-",
        ],
    );
}

#[test]
fn who_serves() {
    let serving = |packets: &[Packet<'_>]| {
        let mut flows = Flows::default();
        let mut told = None;
        for packet in packets {
            flows.packet(packet, 0, &mut |s| {
                told = Some((s.local.to_string(), s.socket.0))
            });
        }
        told.unwrap()
    };
    let odd = ("10.0.0.1:81", "10.0.0.2:9000");
    let back = ("10.0.0.2:9000", "10.0.0.1:81");
    // The handshake, whatever the ports.
    let syn = packet(odd, "S", 1, None, b"");
    let data = packet(odd, "", 2, Some(1), b"x");
    assert_eq!(serving(&[syn, data]), ("10.0.0.2:9000".to_owned(), 1));
    let syn_ack = packet(back, "S", 1, Some(2), b"");
    assert_eq!(serving(&[syn_ack, data]), ("10.0.0.2:9000".to_owned(), 1));
    // A message.
    let request = packet(odd, "", 2, Some(1), b"PATCH /x HTTP/1.1\r\nHost: y\r\n");
    assert_eq!(serving(&[request]), ("10.0.0.2:9000".to_owned(), 1));
    let preface = packet(odd, "", 2, Some(1), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(serving(&[preface]), ("10.0.0.2:9000".to_owned(), 1));
    let response = packet(back, "", 2, Some(1), b"HTTP/1.0 404 Not Found\r\n");
    assert_eq!(serving(&[response]), ("10.0.0.2:9000".to_owned(), 1));
    // The lower port, until a message says otherwise: then it is another socket.
    assert_eq!(serving(&[data]), ("10.0.0.1:81".to_owned(), 1));
    let more = packet(odd, "", 3, Some(1), b"GET / HTTP/1.1\r\n");
    assert_eq!(serving(&[data, more]), ("10.0.0.2:9000".to_owned(), 2));
    // Text that only looks like one does not.
    let text = packet(
        odd,
        "",
        2,
        Some(1),
        b"GET is a method of\nHTTP/1.1 and others",
    );
    assert_eq!(serving(&[text]), ("10.0.0.1:81".to_owned(), 1));
}

#[test]
fn ports_are_used_again() {
    check(
        &[
            packet(UP, "S", 99, None, b""),
            packet(UP, "S", 99, None, b""),
            packet(UP, "", 100, Some(1), b"one"),
            packet(UP, "R", 103, None, b"reason"),
            packet(UP, "S", 7, None, b""),
            packet(DOWN, "S", 70, Some(8), b""),
            packet(UP, "", 8, Some(71), b"two"),
        ],
        &[
            "-",
            "-",
            "1 in 100+3 expected 100 ack 1 start",
            "1 in 103+0 expected 103 ack 1 rst",
            "-",
            "-",
            "2 in 8+3 expected 8 ack 71 start",
        ],
    );
}

#[test]
fn data_in_the_handshake() {
    check(
        &[
            packet(UP, "S", 99, None, b"fast"),
            packet(UP, "", 104, Some(1), b"open"),
        ],
        &[
            "1 in 100+4 expected 100 ack 0 start",
            "1 in 104+4 expected 104 ack 1",
        ],
    );
}

#[test]
fn joined_late() {
    check(
        &[
            packet(DOWN, "", 900, Some(50), b""),
            packet(UP, "R", 50, None, b""),
            packet(DOWN, "", 900, Some(50), b"body"),
            packet(UP, "", 50, Some(904), b"GET"),
        ],
        &[
            "-",
            "-",
            "1 out 900+4 expected 900 ack 50",
            "1 in 50+3 expected 50 ack 904",
        ],
    );
}

#[test]
fn holes_copies_and_wrap() {
    let near = u32::MAX - 3;
    check(
        &[
            packet(UP, "S", near - 1, None, b""),
            packet(UP, "", near, Some(1), b"ab"),
            packet(UP, "", near.wrapping_add(4), Some(1), b"ef"),
            packet(UP, "", near.wrapping_add(6), Some(1), b"gh"),
            packet(UP, "", near, Some(1), b"ab"),
            packet(UP, "", near.wrapping_add(2), Some(1), b"cd"),
            packet(UP, "", near.wrapping_add(8), Some(1), b"i"),
        ],
        &[
            "-",
            "1 in 4294967292+2 expected 4294967292 ack 1 start",
            "1 in 0+2 expected 4294967294 ack 1",
            "1 in 2+2 expected 4294967294 ack 1",
            "1 in 4294967292+2 expected 4294967294 ack 1",
            "1 in 4294967294+2 expected 4294967294 ack 1",
            "1 in 4+1 expected 4 ack 1",
        ],
    );
}

fn at(ms: u64, packet: Packet<'_>) -> Packet<'_> {
    let time = ms * 1_000_000;
    Packet { time, ..packet }
}

#[test]
fn an_answer_written_before_its_request_waits() {
    check(
        &[
            packet(UP, "S", 99, None, b""),
            packet(DOWN, "S", 499, Some(100), b""),
            at(1, packet(DOWN, "", 500, Some(103), b"xy")),
            at(2, packet(UP, "", 103, Some(502), b"next")),
            at(3, packet(UP, "", 100, Some(500), b"abc")),
            at(4, packet(DOWN, "F", 502, Some(107), b"")),
        ],
        &[
            "-",
            "-",
            "-",
            "-",
            "1 in 100+3 expected 100 ack 500 start; 1 out 500+2 expected 500 ack 103 start; \
             1 in 103+4 expected 103 ack 502",
            "1 out 502+0 expected 502 ack 107 fin",
        ],
    );
}

#[test]
fn bytes_that_never_come_are_waited_for_once() {
    check(
        &[
            packet(UP, "S", 99, None, b""),
            at(2, packet(DOWN, "", 502, Some(106), b"z")),
            at(201, packet(DOWN, "", 503, Some(106), b"z")),
            at(202, packet(DOWN, "", 504, Some(106), b"z")),
            at(203, packet(UP, "", 106, Some(505), b"def")),
        ],
        &[
            "-",
            "-",
            "-",
            "1 out 502+1 expected 502 ack 106; 1 out 503+1 expected 503 ack 106; \
             1 out 504+1 expected 504 ack 106",
            "1 in 106+3 expected 106 ack 505",
        ],
    );
}

#[test]
fn what_waits_is_told_at_the_end() {
    let open = packet(UP, "S", 99, None, b"");
    let early = packet(DOWN, "", 500, Some(103), b"x");
    let told = "1 out 500+1 expected 500 ack 103";
    check(&[open, early], &["-", "-", told]);
    let reset = packet(DOWN, "R", 501, Some(103), b"");
    let both = format!("{told}; 1 out 501+0 expected 501 ack 103 rst");
    check(&[open, early, reset], &["-", "-", &both]);
    let again = packet(UP, "S", 7, None, b"");
    check(&[open, early, again], &["-", "-", told]);
}

#[test]
fn what_waits_is_bounded() {
    let mut packets = vec![packet(UP, "S", 99, None, b"")];
    let count = 2 * MAX_PACKETS;
    for n in 0..u32::try_from(count).unwrap() {
        packets.push(packet(DOWN, "", 500 + n, Some(103), b"x"));
    }
    let told = tell(&mut Flows::default(), &packets);
    assert_eq!(told.iter().flatten().count(), count);
    let first = told.iter().position(|lines| !lines.is_empty());
    assert_eq!(first, Some(1 + MAX_PACKETS));
}

#[test]
fn an_acknowledged_end_is_no_hole() {
    check(
        &[
            packet(UP, "S", 99, None, b""),
            packet(UP, "F", 100, Some(1), b"abc"),
            packet(DOWN, "", 1, Some(104), b"x"),
        ],
        &[
            "-",
            "1 in 100+3 expected 100 ack 1 start fin",
            "1 out 1+1 expected 1 ack 104",
        ],
    );
}

#[test]
fn the_older_generation_goes_first() {
    let mut flows = Flows::bounded(2);
    let ends: Vec<String> = (1..=5).map(|n| format!("10.0.0.1:{n}000")).collect();
    let mut socket = |n: usize| {
        let packet = packet((&ends[n], SERVER), "", 1, Some(1), b"x");
        let mut socket = None;
        flows.packet(&packet, 0, &mut |s| socket = Some(s.socket.0));
        socket.unwrap()
    };
    assert_eq!([socket(0), socket(1), socket(2)], [1, 2, 3]);
    // Brought back from the older generation, which then is {1, 2}, then {2, 0}.
    assert_eq!([socket(0), socket(3)], [1, 4]);
    assert_eq!([socket(2), socket(0)], [3, 1]);
    assert_eq!(socket(1), 5, "forgotten, so a new socket");
    assert!(flows.young.len() + flows.old.len() <= 4);
}
