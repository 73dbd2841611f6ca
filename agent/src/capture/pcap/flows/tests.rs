use std::net::SocketAddr;

use super::*;

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

/// What is told of each packet: `-` for nothing, else socket, direction, position, acknowledgement and flags.
fn tell(flows: &mut Flows, packet: &Packet<'_>) -> String {
    let Some(s) = flows.segment(packet) else {
        return "-".to_owned();
    };
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

fn check(packets: &[Packet<'_>], expected: &[&str]) {
    let mut flows = Flows::default();
    let told: Vec<String> = packets.iter().map(|p| tell(&mut flows, p)).collect();
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
        let told = packets.iter().filter_map(|p| flows.segment(p)).last();
        told.map(|s| (s.local.to_string(), s.socket.0)).unwrap()
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

#[test]
fn acknowledgements_of_bytes_not_in_the_file() {
    let at = |time, packet: Packet<'static>| Packet { time, ..packet };
    const MS: u64 = 1_000_000;
    check(
        &[
            packet(UP, "S", 99, None, b""),
            // Written out of order: the answer before its request.
            at(MS, packet(DOWN, "", 500, Some(103), b"x")),
            at(MS, packet(UP, "", 100, Some(500), b"abc")),
            at(MS, packet(DOWN, "", 501, Some(103), b"y")),
            // Lost by the capture: three bytes are acknowledged and never come.
            at(2 * MS, packet(DOWN, "", 502, Some(106), b"z")),
            at(201 * MS, packet(DOWN, "", 503, Some(106), b"z")),
            at(203 * MS, packet(DOWN, "", 504, Some(106), b"z")),
            at(204 * MS, packet(UP, "", 106, Some(505), b"def")),
        ],
        &[
            "-",
            "1 out 500+1 expected 500 ack 100",
            "1 in 100+3 expected 100 ack 500 start",
            "1 out 501+1 expected 501 ack 103",
            "1 out 502+1 expected 502 ack 103",
            "1 out 503+1 expected 503 ack 103",
            "1 out 504+1 expected 504 ack 106",
            "1 in 106+3 expected 106 ack 505",
        ],
    );
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
        flows.segment(&packet).unwrap().socket.0
    };
    assert_eq!([socket(0), socket(1), socket(2)], [1, 2, 3]);
    // Brought back from the older generation, which then is {1, 2}, then {2, 0}.
    assert_eq!([socket(0), socket(3)], [1, 4]);
    assert_eq!([socket(2), socket(0)], [3, 1]);
    assert_eq!(socket(1), 5, "forgotten, so a new socket");
    assert!(flows.young.len() + flows.old.len() <= 4);
}
