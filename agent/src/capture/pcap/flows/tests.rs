use std::net::SocketAddr;

use super::super::checksum::Checksum;
use super::super::held::MAX_PACKETS;
use super::*;
use crate::flow::{Direction, Endpoint};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:80";

/// A packet `from` one end `to` the other: flags (`S`, `F`, `R`), sequence number, acknowledgement,
/// payload.
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
        urgent: None,
        wire_len: u32::try_from(payload.len()).unwrap(),
        payload,
        checksum: Checksum::Open,
        network: 0,
    }
}

const UP: (&str, &str) = (CLIENT, SERVER);
const DOWN: (&str, &str) = (SERVER, CLIENT);

/// What is reported of each packet: nothing, or socket, direction, position, acknowledgement and
/// flags; and what is reported at the end.
fn say(flows: &mut Flows, packets: &[Packet<'_>]) -> Vec<Vec<String>> {
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

/// Expects a line for each packet: `-` for nothing reported, `;` between several.
fn check(packets: &[Packet<'_>], expected: &[&str]) {
    let mut emitted: Vec<String> = Vec::new();
    for lines in say(&mut Flows::default(), packets) {
        emitted.push(match lines.is_empty() {
            true => "-".to_owned(),
            false => lines.join("; "),
        });
    }
    assert_eq!(emitted, expected);
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
        let mut emitted = None;
        let mut note = |s: &Segment<'_>| emitted = Some((s.local.to_string(), s.socket.0));
        for packet in packets {
            flows.packet(packet, packet.time, &mut note);
        }
        flows.release_all(&mut note);
        emitted.unwrap()
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
    // The end of a request line is no response.
    for rest in [&b"HTTP/1.1\r\nHost: y\r\n\r\n"[..], b"HTTP/1."] {
        let rest = packet(back, "", 2, Some(1), rest);
        assert_eq!(serving(&[rest]), ("10.0.0.1:81".to_owned(), 1));
    }
    // The lower port, until a message says otherwise: then it is another socket.
    assert_eq!(serving(&[data]), ("10.0.0.1:81".to_owned(), 1));
    let more = packet(odd, "", 3, Some(1), b"GET / HTTP/1.1\r\n");
    assert_eq!(serving(&[data, more]), ("10.0.0.2:9000".to_owned(), 1));
    let later = at(300, more);
    assert_eq!(serving(&[data, later]), ("10.0.0.2:9000".to_owned(), 2));
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

/// A handshake: the client's first byte is 100, the server's 500.
const OPEN: usize = 2;

fn open() -> [Packet<'static>; OPEN] {
    [
        packet(UP, "S", 99, None, b""),
        packet(DOWN, "S", 499, Some(100), b""),
    ]
}

/// `check` for what follows a handshake.
fn after_open(packets: &[Packet<'_>], expected: &[&str]) {
    let packets = [&open(), packets].concat();
    check(&packets, &[&["-"; OPEN], expected].concat());
}

#[test]
fn what_acknowledges_nothing_is_no_data() {
    let one = packet(UP, "", 100, Some(500), b"one");
    let emitted = "1 in 100+3 expected 100 ack 500 start";
    let next = packet(UP, "", 103, Some(500), b"two");
    let after = "1 in 103+3 expected 103 ack 500";
    for flags in ["", "F"] {
        for (seq, text) in [
            (100, &b"odd"[..]),
            (100, b""),
            (103, b"odd"),
            (101, b"longer"),
        ] {
            let void = packet(UP, flags, seq, None, text);
            after_open(&[void, one, next], &["-", emitted, after]);
            after_open(&[one, void, next], &[emitted, "-", after]);
        }
    }
    // A connection does not begin with it.
    let mut flows = Flows::default();
    flows.packet(&packet(UP, "", 100, None, b"odd"), 0, &mut |_| ());
    assert!(flows.young.is_empty());
}

#[test]
fn ports_are_used_again() {
    let one = packet(UP, "", 100, Some(500), b"one");
    let emitted = "1 in 100+3 expected 100 ack 500 start";
    let again = [
        packet(UP, "S", 7, None, b""),
        packet(DOWN, "S", 70, Some(8), b""),
        packet(UP, "", 8, Some(71), b"two"),
    ];
    let next = ["-", "-", "2 in 8+3 expected 8 ack 71 start"];
    // After a reset.
    let reset = packet(UP, "R", 103, None, b"reason");
    let gone = "1 in 103+0 expected 103 ack 500 rst";
    let packets = [&[one, reset], &again[..]].concat();
    after_open(&packets, &[&[emitted, gone], &next[..]].concat());
    // After a FIN each way.
    let ends = [
        packet(UP, "F", 103, Some(500), b""),
        packet(DOWN, "F", 500, Some(104), b""),
    ];
    let ended = [
        "1 in 103+0 expected 103 ack 500 fin",
        "1 out 500+0 expected 500 ack 104 start fin",
    ];
    let packets = [&[one], &ends[..], &again].concat();
    after_open(&packets, &[&[emitted], &ended[..], &next].concat());
    // Without an end in the file.
    after_open(
        &[&[one], &again[..]].concat(),
        &[emitted, "-", gone, next[2]],
    );
    let both = "1 in 103+0 expected 103 ack 500 rst; 2 in 8+3 expected 8 ack 71 start";
    // Of the handshake, only the SYN is there.
    after_open(&[one, again[0], again[2]], &[emitted, "-", gone, next[2]]);
    // Or only its response.
    after_open(&[one, again[1], again[2]], &[emitted, "-", both]);
}

#[test]
fn a_syn_that_agrees_with_nothing_changes_nothing() {
    let request = packet(UP, "", 100, Some(500), b"GET");
    let response = packet(DOWN, "", 500, Some(103), b"200");
    let emitted = [
        "1 in 100+3 expected 100 ack 500 start",
        "1 out 500+3 expected 500 ack 103 start",
    ];
    for stray in [
        packet(DOWN, "S", 77_000, Some(100), b""),
        packet(DOWN, "S", 77_000, Some(103), b""),
        packet(UP, "S", 77_000, None, b""),
        packet(UP, "S", 77_000, None, b"data"),
    ] {
        // Responded to by a challenge acknowledgement.
        let challenge = match stray.source == request.source {
            true => packet(DOWN, "", 500, Some(103), b""),
            false => packet(UP, "", 103, Some(500), b""),
        };
        let packets = [request, stray, challenge, response];
        after_open(&packets, &[emitted[0], "-", "-", emitted[1]]);
        let packets = [stray, challenge, request, response];
        after_open(&packets, &["-", "-", emitted[0], emitted[1]]);
    }
    // Refused by a reset that goes with the stray one alone.
    let stray = packet(UP, "S", 77_000, None, b"");
    let refused = packet(DOWN, "R", 0, Some(77_001), b"");
    let packets = [request, stray, refused, response];
    let (first, rest) = emitted.split_at(1);
    after_open(&packets, &[first, &["-", "-"], rest].concat());
}

#[test]
fn data_in_the_handshake() {
    check(
        &[
            packet(UP, "S", 99, None, b"fast"),
            packet(DOWN, "S", 0, Some(104), b""),
            packet(UP, "", 104, Some(1), b"open"),
        ],
        &[
            "-",
            "1 in 100+4 expected 100 ack 1 start",
            "1 in 104+4 expected 104 ack 1",
        ],
    );
}

#[test]
fn mid_stream_packets_wait_for_the_earliest() {
    let first = packet(UP, "", 100, Some(500), b"abc");
    let second = packet(UP, "", 103, Some(500), b"def");
    let response = packet(DOWN, "", 500, Some(106), b"xy");
    let emitted = "1 in 100+3 expected 100 ack 500; 1 in 103+3 expected 103 ack 500; \
                1 out 500+2 expected 500 ack 106";
    for packets in [
        [second, first, response],
        [response, first, second],
        [response, second, first],
        [first, second, response],
        [first, response, second],
    ] {
        check(&packets, &["-", "-", "-", emitted]);
    }
    // Time passes: what waits is handed over.
    let later = at(300, packet(UP, "", 106, Some(502), b"g"));
    let rest = format!("{emitted}; 1 in 106+1 expected 106 ack 502");
    check(&[response, first, second, later], &["-", "-", "-", &rest]);
}

#[test]
fn keep_alive_probes_are_no_bytes() {
    let request = packet(UP, "", 100, Some(500), b"GET");
    let emitted = "1 in 100+3 expected 100 ack 500";
    // RFC 9293 3.8.4: a number that was used before, with or without one byte.
    let probe = packet(UP, "", 99, Some(500), b"");
    check(&[probe, request], &["-", "-", emitted]);
    let response = packet(DOWN, "", 500, Some(100), b"");
    check(&[probe, response, request], &["-", "-", "-", emitted]);
    let garbage = packet(UP, "", 99, Some(500), b"\0");
    let (_, _, lines) = (
        garbage,
        request,
        say(&mut Flows::default(), &[garbage, request]),
    );
    assert_eq!(
        lines.last().unwrap().last().unwrap(),
        "1 in 100+3 expected 100 ack 500"
    );
    // In the middle of a connection that is known.
    let packets = [probe, response, request];
    after_open(
        &packets,
        &["-", "-", "1 in 100+3 expected 100 ack 500 start"],
    );
}

#[test]
fn bytes_before_the_first_packet_are_missing_when_they_were_asked_for() {
    // The receiver waits for 100, the first packet in the file begins at 140.
    check(
        &[
            packet(DOWN, "", 500, Some(100), b""),
            packet(UP, "", 140, Some(500), b"def"),
        ],
        &["-", "-", "1 in 140+3 expected 100 ack 500"],
    );
}

#[test]
fn acknowledged_bytes_that_the_file_does_not_have_are_missing() {
    let request = packet(UP, "", 100, Some(500), b"GET");
    let emitted = "1 in 100+3 expected 100 ack 500 start";
    let missing = "1 out 500+41 expected 500 ack 103 start";
    // By a FIN, and by a bare acknowledgement.
    let fin = packet(UP, "F", 103, Some(541), b"");
    let end = packet(DOWN, "F", 541, Some(104), b"");
    let ends = "1 in 103+0 expected 103 ack 541 fin; 1 out 541+0 expected 541 ack 104 fin";
    let lines = format!("{missing}; {ends}");
    after_open(&[request, fin, end], &[emitted, "-", "-", &lines]);
    let bare = packet(UP, "", 103, Some(541), b"");
    after_open(&[request, bare], &[emitted, "-", missing]);
    // Around what the file has.
    let middle = packet(DOWN, "", 510, Some(103), b"body");
    let lines = "1 out 500+10 expected 500 ack 103 start; 1 out 514+27 expected 514 ack 103";
    let shown = "1 out 510+4 expected 500 ack 103 start";
    after_open(&[request, middle, bare], &[emitted, shown, "-", lines]);
}

/// A FIN takes a number, and is no byte: also where the file does not have it.
#[test]
fn a_fin_that_the_file_does_not_have_is_no_byte() {
    let request = packet(UP, "", 100, Some(500), b"GET");
    let emitted = "1 in 100+3 expected 100 ack 500 start";
    let missing = "1 out 500+41 expected 500 ack 103 start";
    let fin = |ack| packet(UP, "F", 103, Some(ack), b"");
    let bare = |seq, ack| packet(UP, "", seq, Some(ack), b"");
    let ends = "1 in 103+0 expected 103 ack 541 fin";
    // The server ends first: acknowledged by itself, or with the last bytes.
    let lines = format!("{missing}; {ends}");
    let packets = [request, bare(103, 541), bare(103, 542), fin(542)];
    after_open(&packets, &[emitted, "-", "-", "-", &lines]);
    let packets = [request, bare(103, 542), fin(542)];
    after_open(&packets, &[emitted, "-", "-", &lines]);
    // The client ends first.
    let packets = [request, fin(541), bare(104, 542)];
    after_open(&packets, &[emitted, "-", "-", &lines]);
    // Much later.
    let late = [request, fin(541), at(900, bare(104, 542))];
    let lines = "1 out 500+40 expected 500 ack 103 start; 1 in 103+0 expected 103 ack 540 fin";
    let rest = "1 out 540+1 expected 540 ack 103";
    after_open(&late, &[emitted, "-", lines, rest]);
    // What was taken for a FIN was none: more comes.
    let more = at(900, packet(DOWN, "", 541, Some(103), b"xy"));
    let packets = [request, bare(103, 540), bare(103, 541), more];
    let first = "1 out 500+40 expected 500 ack 103 start";
    let second = "1 out 541+2 expected 540 ack 103";
    let lines = format!("{first}; {second}");
    after_open(&packets, &[emitted, "-", "-", &lines]);
}

/// What a reset acknowledges was received before it.
#[test]
fn a_reset_written_before_what_it_acknowledges_waits() {
    let request = packet(UP, "", 100, Some(500), b"GET");
    let response = packet(DOWN, "", 500, Some(103), b"200");
    let reset = packet(UP, "R", 103, Some(503), b"");
    let lines = [
        "1 in 100+3 expected 100 ack 500 start",
        "1 out 500+3 expected 500 ack 103 start",
        "1 in 103+0 expected 103 ack 503 rst",
    ];
    let both = [lines[1], lines[2]].join("; ");
    after_open(&[request, reset, response], &[lines[0], "-", &both]);
    after_open(&[reset, request, response], &["-", lines[0], &both]);
    let all = lines.join("; ");
    after_open(&[reset, response, request], &["-", "-", &all]);
    let older = all.replace(" start", "");
    check(&[request, reset, response], &["-", "-", "-", &older]);
    // Its number is behind bytes of its own end.
    let more = packet(UP, "", 103, Some(503), b"more");
    let reset = packet(UP, "R", 107, None, b"");
    let rest = "1 in 103+4 expected 103 ack 503; 1 in 107+0 expected 107 ack 503 rst";
    let packets = [request, response, reset, more];
    after_open(&packets, &[lines[0], lines[1], "-", rest]);
    // What it acknowledges never comes.
    let odd = packet(UP, "R", 103, Some(77_000), b"");
    let rst = "1 in 103+0 expected 103 ack 77000 rst";
    after_open(
        &[request, odd, at(500, response)],
        &[lines[0], "-", &[rst, lines[1]].join("; ")],
    );
}

/// Of two packets that wait, one waits for bytes that the capture has lost, and the other one for
/// the bytes of the first.
#[test]
fn bytes_of_a_packet_that_waits_are_not_missing() {
    let acknowledges = packet(DOWN, "", 600, Some(103), b"");
    let request = packet(UP, "", 100, Some(600), b"GET");
    let lines = "1 out 500+100 expected 500 ack 100 start; 1 in 100+3 expected 100 ack 600 start";
    after_open(&[acknowledges, request], &["-", "-", lines]);
    let later = at(450, packet(UP, "", 103, Some(600), b"x"));
    let packets = [acknowledges, at(150, request), later];
    let rest = "1 in 103+1 expected 103 ack 600";
    after_open(&packets, &["-", "-", &[lines, rest].join("; ")]);
}

#[test]
fn a_capture_of_one_direction() {
    check(
        &[
            packet(UP, "", 100, Some(500), b"GET"),
            packet(UP, "", 103, Some(541), b""),
            packet(UP, "", 103, Some(541), b"GET"),
            packet(UP, "", 106, Some(582), b""),
        ],
        &[
            "-",
            "-",
            "-",
            "-",
            "1 in 100+3 expected 100 ack 500; 1 out 500+41 expected 500 ack 103; \
             1 in 103+0 expected 103 ack 541; 1 in 103+3 expected 103 ack 541; \
             1 out 541+41 expected 541 ack 106; 1 in 106+0 expected 106 ack 582",
        ],
    );
}

#[test]
fn the_same_ends_in_two_networks() {
    let within = |network, packet| Packet { network, ..packet };
    let far = 1 << 30;
    // Of both connections, the handshake, a byte each way.
    let talk = |first: u32, up: u32, down: u32| {
        [
            within(up, packet(UP, "S", first + 99, None, b"")),
            within(down, packet(DOWN, "S", first + 499, Some(first + 100), b"")),
            within(up, packet(UP, "", first + 100, Some(first + 500), b"a")),
            within(down, packet(DOWN, "", first + 500, Some(first + 101), b"b")),
        ]
    };
    let check = |packets: &[Packet<'_>], expected: &[&str]| {
        let mut flows = Flows::default();
        let lines = say(&mut flows, packets).concat();
        let short = lines
            .iter()
            .map(|line| line.split(" expected").next().unwrap());
        assert_eq!(short.collect::<Vec<_>>(), expected);
    };
    let interleaved = |a: [Packet<'static>; 4], b: [Packet<'static>; 4]| {
        let pairs = a.into_iter().zip(b);
        pairs.flat_map(|(a, b)| [a, b]).collect::<Vec<_>>()
    };
    let both = [
        "1 in 100+1",
        "2 in 1073741924+1",
        "1 out 500+1",
        "2 out 1073742324+1",
    ];
    check(&interleaved(talk(0, 5, 5), talk(far, 6, 6)), &both);
    let near = 500_000;
    let close = [
        "1 in 100+1",
        "2 in 500100+1",
        "1 out 500+1",
        "2 out 500500+1",
    ];
    check(&interleaved(talk(0, 5, 5), talk(near, 6, 6)), &close);
    check(&interleaved(talk(0, 5, 6), talk(near, 7, 8)), &close);
    check(&interleaved(talk(0, 0, 0), talk(far, 6, 6)), &both);
    // Each direction has its own.
    check(&talk(0, 5, 6), &["1 in 100+1", "1 out 500+1"]);
    check(&interleaved(talk(0, 5, 6), talk(far, 7, 8)), &both);
    // Packets that are there twice, inside of a tunnel and outside: one connection.
    let twice = ["1 in 100+1", "1 in 100+1", "1 out 500+1", "1 out 500+1"];
    check(&interleaved(talk(0, 5, 5), talk(0, 0, 0)), &twice);
    // Ports that are used again in one network.
    let again = [&talk(0, 5, 5)[..], &talk(far, 5, 5)].concat();
    let lines = say(&mut Flows::default(), &again).concat();
    let second = |line: &&String| line.starts_with("2 in 1073741924+1 ");
    assert_eq!(lines.iter().filter(second).count(), 1, "{lines:?}");
    // Two of each: what is there twice of the second one finds it.
    let two = interleaved(talk(0, 5, 5), talk(far, 6, 6));
    let doubled = two.iter().flat_map(|packet| [*packet, within(0, *packet)]);
    let doubled: Vec<Packet<'_>> = doubled.collect();
    let all: Vec<&str> = both.iter().flat_map(|line| [*line, *line]).collect();
    check(&doubled, &all);
}

#[test]
fn urgent_bytes() {
    let check = |pointer, packet: Packet<'_>, expected: &[Option<u32>]| {
        let urgent = Packet {
            urgent: Some(pointer),
            ..packet
        };
        let mut flows = Flows::default();
        let mut got = Vec::new();
        for packet in [&open()[..], &[urgent]].concat() {
            flows.packet(&packet, 0, &mut |segment| got.push(segment.urgent));
        }
        assert_eq!(got, expected);
    };
    let text = packet(UP, "", 100, Some(500), b"/caXrt");
    check(4, text, &[Some(103)]);
    check(1, text, &[Some(100)]);
    check(0, text, &[Some(100)]);
    // Announced without bytes.
    check(9, packet(UP, "", 100, Some(500), b""), &[Some(108)]);
}

#[test]
fn a_wrong_checksum() {
    fn with(checksum: Checksum, packet: Packet<'_>) -> Packet<'_> {
        Packet { checksum, ..packet }
    }
    let check = |packets: &[Packet<'_>], expected: &str| {
        let mut flows = Flows::default();
        let mut text = Vec::new();
        let mut say = |s: &Segment<'_>| {
            text.push(match s.payload {
                [] => format!("{} late", s.wire_len),
                payload => String::from_utf8_lossy(payload).into_owned(),
            });
        };
        for packet in [&open()[..], packets].concat() {
            flows.packet(&packet, 0, &mut say);
        }
        flows.release_all(&mut say);
        assert_eq!(text.join(" "), expected);
    };
    let (right, wrong) = (Checksum::Right, Checksum::Wrong);
    let first = packet(UP, "", 100, Some(500), b"a");
    let known = with(right, first);
    let forged = with(wrong, packet(UP, "", 101, Some(500), b"XXX"));
    let real = with(right, packet(UP, "", 101, Some(500), b"bcd"));
    let ack = |ack| packet(DOWN, "", 500, Some(ack), b"");
    // Refused: the same bytes come again. Accepted: nothing else brings them.
    check(&[known, forged, real, ack(104)], "a bcd");
    check(&[known, forged, ack(104)], "a XXX");
    check(&[known, forged], "a");
    check(&[known, forged, ack(101), real, ack(104)], "a bcd");
    // A reset, and an end.
    let rst = with(wrong, packet(UP, "R", 101, Some(500), b""));
    let fin = with(wrong, packet(UP, "F", 101, Some(500), b""));
    check(&[known, rst, fin, real, ack(104)], "a bcd");
    // Where none is right, a wrong one says nothing.
    check(&[with(wrong, first), forged, ack(104)], "a XXX");
    check(&[with(Checksum::Open, first), forged, ack(104)], "a XXX");
    // Behind a hole: accepted, and refused.
    let behind = with(wrong, packet(UP, "", 104, Some(500), b"YY"));
    let genuine = with(right, packet(UP, "", 104, Some(500), b"ef"));
    let last = with(wrong, packet(UP, "", 106, Some(500), b"Z"));
    check(&[known, behind, ack(106)], "a YY 3 late");
    check(&[known, behind, ack(104), last, ack(107)], "a 3 late YY Z");
    check(&[known, behind, last, ack(107)], "a YY Z 3 late");
    check(&[known, behind, genuine, ack(106)], "a ef 3 late");
    check(&[known, behind, ack(106), genuine], "a ef 3 late");
    check(&[known, behind, ack(106), real], "a bcd YY");
    check(&[known, behind, ack(104), real], "a bcd");
    check(&[known, behind, ack(104)], "a 3 late");
    // Written after its acknowledgement.
    check(&[known, ack(104), forged], "a XXX");
    check(&[known, ack(106), behind, forged], "a XXX YY");
    // What waits is handed over between them.
    let said = with(right, packet(DOWN, "", 500, Some(106), b"ok"));
    let again = with(wrong, packet(UP, "", 106, Some(502), b"Z"));
    let more = with(right, packet(DOWN, "", 502, Some(107), b"on"));
    check(
        &[known, behind, ack(106), said, again, more],
        "a YY 3 late ok Z on",
    );
    // Both directions: each proves the other.
    let reply = with(right, packet(DOWN, "", 500, Some(101), b"ok"));
    let wrong_reply = with(wrong, packet(DOWN, "", 502, Some(104), b"on"));
    let heard = packet(UP, "", 104, Some(504), b"");
    check(&[known, reply, forged, wrong_reply, heard], "a ok XXX on");
}

#[test]
fn holes_copies_and_wrap() {
    let near = u32::MAX - 3;
    check(
        &[
            packet(UP, "S", near - 1, None, b""),
            packet(DOWN, "S", 0, Some(near), b""),
            packet(UP, "", near, Some(1), b"ab"),
            packet(UP, "", near.wrapping_add(4), Some(1), b"ef"),
            packet(UP, "", near.wrapping_add(6), Some(1), b"gh"),
            packet(UP, "", near, Some(1), b"ab"),
            packet(UP, "", near.wrapping_add(2), Some(1), b"cd"),
            packet(UP, "", near.wrapping_add(8), Some(1), b"i"),
        ],
        &[
            "-",
            "-",
            "1 in 4294967292+2 expected 4294967292 ack 1 start",
            "1 in 0+2 expected 4294967294 ack 1",
            "1 in 2+2 expected 4294967294 ack 1",
            // Nothing shows yet which of the two copies was taken.
            "1 in 4294967292+2 expected 4294967292 ack 1",
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
fn an_response_written_before_its_request_waits() {
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
fn packets_that_came_before_the_time_was_known_wait_as_long() {
    const BEGINNING: u64 = 1_000_000;
    let mut flows = Flows::default();
    let mut lines = Vec::new();
    let mut packet_at = |ms: u64, before: bool, one: Packet<'_>| {
        if !before && flows.waiting.iter().any(|(since, _)| *since == 0) {
            flows.time_begins(at(BEGINNING, one).time);
        }
        let now = if before {
            0
        } else {
            at(BEGINNING + ms, one).time
        };
        flows.packet(&one, now, &mut |segment| lines.push(line(segment)));
    };
    for one in open() {
        packet_at(0, true, one);
    }
    packet_at(0, true, packet(DOWN, "", 500, Some(103), b"xy"));
    packet_at(199, false, packet(UP, "", 103, Some(502), b"next"));
    packet_at(199, false, packet(UP, "", 100, Some(500), b"abc"));
    assert_eq!(
        lines,
        [
            "1 in 100+3 expected 100 ack 500 start",
            "1 out 500+2 expected 500 ack 103 start",
            "1 in 103+4 expected 103 ack 502",
        ]
    );
}

#[test]
fn bytes_that_never_come_are_waited_for_once() {
    after_open(
        &[
            at(2, packet(DOWN, "", 500, Some(106), b"z")),
            at(201, packet(DOWN, "", 501, Some(106), b"z")),
            at(202, packet(DOWN, "", 502, Some(106), b"z")),
            at(203, packet(UP, "", 106, Some(503), b"def")),
        ],
        &[
            "-",
            "-",
            "1 in 100+6 expected 100 ack 500 start; 1 out 500+1 expected 500 ack 106 start; \
             1 out 501+1 expected 501 ack 106; 1 out 502+1 expected 502 ack 106",
            "1 in 106+3 expected 106 ack 503",
        ],
    );
}

#[test]
fn what_waits_is_emitted_at_the_end() {
    let early = packet(DOWN, "", 500, Some(103), b"x");
    let missing = "1 in 100+3 expected 100 ack 500 start";
    let emitted = format!("{missing}; 1 out 500+1 expected 500 ack 103 start");
    after_open(&[early], &["-", &emitted]);
    let reset = packet(DOWN, "R", 501, Some(103), b"");
    let both = format!("{emitted}; 1 out 501+0 expected 501 ack 103 rst");
    after_open(&[early, reset], &["-", "-", &both]);
    let again = packet(UP, "S", 7, None, b"");
    after_open(&[early, again], &["-", "-", &emitted]);
}

#[test]
fn what_waits_is_bounded() {
    let mut packets = open().to_vec();
    let count = 2 * MAX_PACKETS;
    for n in 0..u32::try_from(count).unwrap() {
        packets.push(packet(DOWN, "", 500 + n, Some(103), b"x"));
    }
    let emitted = say(&mut Flows::default(), &packets);
    // And one for the bytes that are missing.
    assert_eq!(emitted.iter().flatten().count(), count + 1);
    let first = emitted.iter().position(|lines| !lines.is_empty());
    assert_eq!(first, Some(OPEN + MAX_PACKETS));
}

#[test]
fn an_acknowledged_end_is_no_hole() {
    after_open(
        &[
            packet(UP, "F", 100, Some(500), b"abc"),
            packet(DOWN, "", 500, Some(104), b"x"),
        ],
        &[
            "1 in 100+3 expected 100 ack 500 start fin",
            "1 out 500+1 expected 500 ack 104 start",
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
        flows.release_all(&mut |s| socket = Some(s.socket.0));
        socket.unwrap()
    };
    assert_eq!([socket(0), socket(1), socket(2)], [1, 2, 3]);
    // Brought back from the older generation, which then is {1, 2}, then {2, 0}.
    assert_eq!([socket(0), socket(3)], [1, 4]);
    assert_eq!([socket(2), socket(0)], [3, 1]);
    assert_eq!(socket(1), 5, "forgotten, so a new socket");
    assert!(flows.young.len() + flows.old.len() <= 4);
}
