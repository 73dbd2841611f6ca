//! Packet captures that lack something: one direction, the ends of packets, the end of a wait.

use std::io::Cursor;
use std::time::Duration;

use etherparse::{PacketBuilder, TcpHeader};

use super::wire::{CLIENT, Run, SERVER, Who};
use crate::capture::pcap::Capture;
use crate::capture::{Polled, Source as _};
use crate::engine::Limits;

const MILLI: u64 = 1_000_000;

/// A capture file under construction: a connection between two ends.
pub(super) struct File {
    /// In the order of the file.
    pub(super) packets: Vec<Packet>,
    next: [u32; 2],
    kept: usize,
}

/// A packet of a file.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) millis: u32,
    pub(super) who: Who,
    pub(super) flags: String,
    pub(super) payload: usize,
    pub(super) datagram: Vec<u8>,
}

impl File {
    /// Of a connection that is older. `kept`: the snap length.
    pub(super) fn new(kept: usize) -> Self {
        Self {
            packets: Vec::new(),
            next: [1000, 9000],
            kept,
        }
    }

    /// Of a connection of which the client's packets are there, its SYN too where `opened`.
    fn with_client(opened: bool, kept: usize) -> Self {
        let mut file = Self::new(kept);
        if opened {
            file.packet(0, CLIENT, "S", b"");
            file.unseen(SERVER, 1);
        }
        file
    }

    /// Moves on by what `who` says, which is not in the file.
    fn unseen(&mut self, who: Who, len: u32) {
        self.next[who as usize] += len;
    }

    pub(super) fn say(&mut self, millis: u32, who: Who, text: impl AsRef<[u8]>) {
        self.packet(millis, who, "", text.as_ref());
    }

    /// Two segments of `who`, the second of which comes before the first.
    fn swapped(&mut self, one: u32, two: u32, who: Who, first: &str, second: &str, flags: &str) {
        let len = u32::try_from(first.len()).unwrap();
        self.unseen(who, len);
        self.packet(one, who, flags, second.as_bytes());
        let end = self.next[who as usize];
        self.next[who as usize] -= len + u32::try_from(second.len()).unwrap();
        self.next[who as usize] -= u32::from(flags.contains('F'));
        self.say(two, who, first);
        self.next[who as usize] = end;
    }

    pub(super) fn packet(&mut self, millis: u32, who: Who, flags: &str, payload: &[u8]) {
        let (from, to) = match who {
            CLIENT => ((1, 40_000), (2, 80)),
            SERVER => ((2, 80), (1, 40_000)),
        };
        let mut header = TcpHeader::new(from.1, to.1, self.next[who as usize], 512);
        header.syn = flags.contains('S');
        header.fin = flags.contains('F');
        header.rst = flags.contains('R');
        header.ack = flags != "S";
        if header.ack {
            header.acknowledgment_number = self.next[who.other() as usize];
        }
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, from.0], [10, 0, 0, to.0], 64)
            .tcp_header(header)
            .write(&mut bytes, payload)
            .unwrap();
        self.next[who as usize] +=
            u32::try_from(payload.len()).unwrap() + u32::from(flags.contains(['S', 'F']));
        self.packets.push(Packet {
            millis,
            who,
            flags: flags.to_owned(),
            payload: payload.len(),
            datagram: bytes,
        });
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for value in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 101] {
            out.extend_from_slice(&u32::to_le_bytes(value));
        }
        for packet in &self.packets {
            let len = packet.datagram.len();
            let kept = len.min(self.kept);
            let [kept_len, len] = [kept, len].map(|len| u32::try_from(len).unwrap());
            let seconds = 1_700_000_000 + packet.millis / 1000;
            for value in [seconds, packet.millis % 1000 * 1000, kept_len, len] {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.extend_from_slice(&packet.datagram[..kept]);
        }
        out
    }

    /// What comes of it.
    pub(super) fn run(&self) -> Run {
        let mut capture = Capture::read(Cursor::new(self.bytes())).unwrap();
        let mut run = Run::new(Limits {
            positions: false,
            ..Limits::default()
        });
        loop {
            let Run { engine, output, .. } = &mut run;
            let polled = capture.poll(Duration::ZERO, &mut |event| engine.event(event, output));
            run.now = capture.time().unwrap();
            run.expire(0);
            if let Polled::End = polled.unwrap() {
                break;
            }
        }
        run.finish();
        run
    }

    /// Each exchange with its duration in milliseconds, then what was dropped.
    fn read(self) -> Vec<String> {
        let run = self.run();
        let durations = run
            .output
            .exchanges
            .iter()
            .map(|exchange| exchange.duration() / MILLI);
        let mut durations: Vec<_> = durations.collect();
        durations.reverse();
        let mut lines = run.story();
        for line in &mut lines {
            if let Some(duration) = durations.pop() {
                *line += &format!(" {duration} ms");
            }
        }
        lines
    }
}

const OPENED: [bool; 2] = [true, false];

/// Only the client's packets: what it requested is emitted, and lasted until it had received
/// something.
#[test]
fn requests_alone() {
    for opened in OPENED {
        for acknowledges in [true, false] {
            let mut file = File::with_client(opened, usize::MAX);
            file.say(10, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
            file.unseen(SERVER, 100);
            if acknowledges {
                file.say(40, CLIENT, "");
            }
            file.say(
                1010,
                CLIENT,
                "POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            );
            file.unseen(SERVER, 25);
            file.say(1020, CLIENT, "body");
            file.unseen(SERVER, 5000);
            if acknowledges {
                file.say(1070, CLIENT, "");
            }
            file.say(3000, CLIENT, "GET /c HTTP/1.1\r\n\r\n");
            file.say(3500, CLIENT, "");
            let [a, b] = if acknowledges { [30, 10] } else { [1000, 10] };
            assert_eq!(
                file.read(),
                [
                    &format!("GET /a \"\" !one_sided {a} ms"),
                    &format!("POST /b \"\"/0+ !one_sided {b} ms"),
                    "GET /c \"\" !one_sided 500 ms",
                ],
                "{opened} {acknowledges}"
            );
        }
    }
}

#[test]
fn pipelined_requests_alone() {
    for opened in OPENED {
        let mut file = File::with_client(opened, usize::MAX);
        file.say(10, CLIENT, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 100);
        file.say(20, CLIENT, "GET /c HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 100);
        file.packet(30, CLIENT, "F", b"");
        assert_eq!(
            file.read(),
            [
                "GET /a \"\" !one_sided 10 ms",
                "GET /b \"\" !one_sided 10 ms",
                "GET /c \"\" !one_sided 10 ms",
            ],
            "{opened}"
        );
    }
}

/// The capture begins in a body: what is in it is no request, what follows it is.
#[test]
fn requests_alone_after_a_body() {
    let mut file = File::new(usize::MAX);
    file.say(10, CLIENT, "of a body\r\n");
    file.say(11, CLIENT, "GET /none HTTP/1.1\r\n\r\nand more of the body");
    file.unseen(SERVER, 100);
    file.say(20, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
    file.unseen(SERVER, 100);
    file.say(30, CLIENT, "GET /b HTTP/1.1\r\n\r\n");
    file.unseen(SERVER, 100);
    file.say(40, CLIENT, "");
    assert_eq!(
        file.read(),
        [
            "GET /a \"\" !one_sided 10 ms",
            "GET /b \"\" !one_sided 10 ms"
        ]
    );
}

/// Cut heads hide that a body waits for a `100 Continue`: what the client sends then is no request.
#[test]
fn requests_alone_that_a_snap_length_cuts() {
    for opened in OPENED {
        let mut file = File::with_client(opened, 52);
        file.say(
            10,
            CLIENT,
            "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 22\r\n\r\n",
        );
        file.unseen(SERVER, 25);
        file.say(20, CLIENT, "GET /none HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 38);
        file.say(30, CLIENT, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
        file.unseen(SERVER, 38);
        file.say(40, CLIENT, "");
        assert_eq!(
            file.read(),
            [
                "PUT /a \"\"/0+ !gap_in_head 10 ms",
                "GET /b \"\"/0+ !gap_in_head 10 ms",
            ],
            "{opened}"
        );
    }
}

/// The head of a request is missing, its body looks like one.
#[test]
fn requests_alone_of_which_bytes_are_missing() {
    for opened in OPENED {
        let mut file = File::with_client(opened, usize::MAX);
        file.say(10, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 100);
        file.say(15, CLIENT, "");
        file.unseen(CLIENT, 50);
        file.say(20, CLIENT, "GET /none HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 100);
        file.say(30, CLIENT, "GET /b HTTP/1.1\r\n\r\n");
        file.unseen(SERVER, 100);
        file.say(40, CLIENT, "");
        let lines = file.read();
        let targets: Vec<_> = lines
            .iter()
            .filter_map(|line| line.split(' ').nth(1))
            .collect();
        assert_eq!(targets, ["/a", "/b"], "{opened}");
    }
}

/// Requests are missing. What the client had received before them shows where the next begins, as
/// far as that is in the file.
#[test]
fn requests_alone_of_which_some_are_missing() {
    let missing = [(0, 1), (0, 2), (1, 1), (1, 3), (2, 2), (3, 1)];
    let cases = missing
        .iter()
        .flat_map(|case| [true, false].map(|acknowledges| (*case, acknowledges)));
    for opened in OPENED {
        for ((first, many), acknowledges) in cases.clone() {
            if !opened && first == 0 {
                // They are older than the file.
                continue;
            }
            let mut file = File::with_client(opened, usize::MAX);
            if opened && acknowledges {
                file.say(1, CLIENT, "");
            }
            let mut expected = Vec::new();
            for n in 0..6 {
                let request = format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n");
                match (first..first + many).contains(&n) {
                    true => file.unseen(CLIENT, u32::try_from(request.len()).unwrap()),
                    false => {
                        file.say(100 + 100 * n, CLIENT, request);
                        expected.push(format!("/{n}"));
                    }
                }
                file.unseen(SERVER, 55);
                if acknowledges {
                    file.say(150 + 100 * n, CLIENT, "");
                }
            }
            let lines = file.read();
            let targets = lines.iter().filter_map(|line| line.split(' ').nth(1));
            let targets: Vec<_> = targets.collect();
            assert_eq!(
                targets, expected,
                "{opened} {first} {many} {acknowledges} {lines:#?}"
            );
        }
    }
}

/// The first request of a connection without its SYN comes in small segments.
#[test]
fn small_segments_at_the_beginning() {
    for len in 1..=20 {
        let mut file = File::new(usize::MAX);
        for part in b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".chunks(len) {
            file.say(1, CLIENT, part);
        }
        file.say(2, SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(file.read(), ["GET /a \"\" -> 200 \"\" 1 ms"], "{len}");
    }
}

/// The first segment again, after it and the next one, which are too small for a method.
#[test]
fn the_first_small_segment_twice() {
    for len in 1..5 {
        let mut file = File::new(usize::MAX);
        file.packet(0, CLIENT, "S", b"");
        file.packet(1, SERVER, "SA", b"");
        for part in b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".chunks(len) {
            file.say(2, CLIENT, part);
        }
        file.say(3, SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let (first, second) = (file.packets[2].clone(), file.packets[3].clone());
        file.packets.splice(2..4, [second, first.clone(), first]);
        assert_eq!(file.read(), ["GET /a \"\" -> 200 \"\" 1 ms"], "{len}");
    }
}

/// Resets that their receiver has not taken: their numbers are of another time.
#[test]
fn stray_resets() {
    let away = [-70_000, -1, 1, 200_000, 20_000_000, i32::MAX - 5, i32::MIN];
    for away in away.map(i32::cast_unsigned) {
        for who in [CLIENT, SERVER] {
            let mut file = File::new(usize::MAX);
            file.packet(0, CLIENT, "S", b"");
            file.packet(1, SERVER, "SA", b"");
            let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            for (at, target) in [(10, "/a"), (1000, "/b"), (2000, "/c")] {
                file.say(at, CLIENT, format!("GET {target} HTTP/1.1\r\n\r\n"));
                let next = file.next[who as usize];
                file.next[who as usize] = next.wrapping_add(away);
                file.packet(at + 1, who, "R", b"");
                file.next[who as usize] = next;
                file.say(at + 100, SERVER, ok);
            }
            let whole = ["/a", "/b", "/c"].map(|t| format!("GET {t} \"\" -> 200 \"\" 100 ms"));
            assert_eq!(file.read(), whole, "{away} {who:?}");
        }
    }
}

/// The same ports again: what was in flight has ended when the new connection begins.
#[test]
fn ports_of_a_connection_that_is_in_flight_are_used_again() {
    for wait in [1, 3000, 90_000] {
        let mut file = File::new(usize::MAX);
        file.packet(0, CLIENT, "S", b"");
        file.packet(1, SERVER, "SA", b"");
        file.say(2, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
        file.next = [777_777, 888_888];
        file.packet(2 + wait, CLIENT, "S", b"");
        file.packet(3 + wait, SERVER, "SA", b"");
        file.say(4 + wait, CLIENT, "GET /b HTTP/1.1\r\n\r\n");
        file.say(
            5 + wait,
            SERVER,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        );
        file.packet(600_000, SERVER, "F", b"");
        let first = format!("GET /a \"\" !no_response {wait} ms");
        assert_eq!(file.read(), [&first, "GET /b \"\" -> 200 \"\" 1 ms"]);
    }
}

/// Interim responses that a snap length cuts are no responses.
#[test]
fn interim_responses_alone_that_a_snap_length_cuts() {
    let mut file = File::new(54);
    for millis in [10, 20, 30] {
        file.unseen(CLIENT, 50);
        file.say(millis, SERVER, "HTTP/1.1 100 Continue\r\n\r\n");
        file.unseen(CLIENT, 50);
        file.say(
            millis + 5,
            SERVER,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        );
    }
    assert_eq!(file.read(), ["lost response_only 3"]);
}

/// Only the server's packets: each response is counted, once.
#[test]
fn responses_alone() {
    for opened in OPENED {
        let mut file = File::new(usize::MAX);
        if opened {
            file.unseen(CLIENT, 1);
            file.packet(0, SERVER, "SA", b"");
        }
        let said = |file: &mut File, millis, texts: &[&str]| {
            file.unseen(CLIENT, 50);
            for text in texts {
                file.say(millis, SERVER, text);
            }
        };
        let small = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        said(&mut file, 10, &[small]);
        // To a HEAD.
        said(
            &mut file,
            20,
            &["HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"],
        );
        // In several segments, some of which look like responses.
        said(
            &mut file,
            30,
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4d\r\n",
                small,
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\r\n0\r\n\r\n",
            ],
        );
        // To two requests that were pipelined.
        said(&mut file, 40, &[&format!("{small}{small}")]);
        said(&mut file, 50, &["HTTP/1.1 100 Continue\r\n\r\n"]);
        said(&mut file, 60, &[small]);
        // Its head in two segments, and another cut by the end of the file.
        said(&mut file, 70, &["HTTP/1.1 204 No Cont", "ent\r\n\r\n"]);
        said(&mut file, 80, &["HTTP/1.1 404 Not Fou"]);
        assert_eq!(file.read(), ["lost response_only 8"], "{opened}");
    }
}

/// The first frame of a server says that it is HTTP/2, where the client's preface is not there.
#[test]
fn responses_alone_in_http2() {
    let mut file = File::new(usize::MAX);
    file.unseen(CLIENT, 1);
    file.packet(0, SERVER, "SA", b"");
    file.say(1, SERVER, [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]);
    for stream in [1, 3, 5] {
        file.unseen(CLIENT, 50);
        // `:status: 200`.
        file.say(
            10 * u32::from(stream),
            SERVER,
            [0, 0, 1, 1, 5, 0, 0, 0, stream, 0x88],
        );
    }
    assert_eq!(file.read(), ["lost response_only 3"]);
}

/// The last packets of a file come after a long silence: that is how long was waited.
#[test]
fn a_wait_lasts_to_the_end_of_the_capture() {
    for silence in [1000, 61_000, 90_000, 250_000] {
        for (end, partial) in [("", "shutdown"), ("F", "no_response")] {
            let mut file = File::new(usize::MAX);
            file.packet(0, CLIENT, "S", b"");
            file.packet(1, SERVER, "SA", b"");
            file.say(2, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
            file.say(3, SERVER, "");
            file.packet(2 + silence, SERVER, end, b"");
            assert_eq!(
                file.read(),
                [format!("GET /a \"\" !{partial} {silence} ms")],
            );
        }
    }
    // It was too old before.
    let mut file = File::new(usize::MAX);
    file.say(0, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
    file.say(3, SERVER, "");
    file.say(1_000_000, SERVER, "");
    assert_eq!(file.read(), ["GET /a \"\" !max_age 300000 ms"]);
}

/// An end that lost segments has them when they have come again: also what came before them.
#[test]
fn a_message_lasts_until_its_last_byte_has_come() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    let request = "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
    for fin in ["", "F"] {
        let mut file = File::new(usize::MAX);
        file.packet(0, CLIENT, "S", b"");
        file.packet(1, SERVER, "SA", b"");
        // The head of each message comes last.
        file.swapped(10, 200, CLIENT, request, "body", "");
        file.swapped(300, 700, SERVER, head, "body", fin);
        if !fin.is_empty() {
            file.packet(701, CLIENT, "F", b"");
        }
        assert_eq!(file.read(), ["POST /a \"body\" -> 200 \"body\" 500 ms"]);
    }
}

/// Bytes that never come are not waited for: what came after them was there before.
#[test]
fn missing_bytes_were_sent_before_what_came_after_them() {
    let mut file = File::new(usize::MAX);
    file.packet(0, CLIENT, "S", b"");
    file.packet(1, SERVER, "SA", b"");
    file.say(10, CLIENT, "GET /a HTTP/1.1\r\n\r\n");
    file.say(20, SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    file.unseen(SERVER, 4);
    file.say(40, SERVER, "body");
    file.say(60_000, CLIENT, "GET /b HTTP/1.1\r\n\r\n");
    file.say(60_010, SERVER, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(
        file.read(),
        [
            "GET /a \"\" -> 200 \"\"/8 missing 4 !gap 30 ms",
            "GET /b \"\" -> 204 \"\" 10 ms"
        ]
    );
}

/// What a snap length leaves of a conversation.
#[test]
fn heads_cut_by_the_snap_length() {
    for (kept, a, b) in [
        (
            60,
            "GET /a?b=c \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
            "POST /b \"\"/0+ -> 404 \"\"/0+ !gap_in_head",
        ),
        (
            96,
            "GET /a?b=c \"\" -> 404 \"012345678\"/100 missing 91 !gap",
            "POST /b \"\"/0+ -> 404 \"012345678\"/100 missing 91 !gap_in_head",
        ),
        (
            300,
            "GET /a?b=c \"\" -> 404 \"<100>\"",
            "POST /b \"\" -> 404 \"<100>\"",
        ),
    ] {
        for opened in OPENED {
            let mut file = File::new(kept);
            if opened {
                file.packet(0, CLIENT, "S", b"");
                file.packet(1, SERVER, "SA", b"");
            }
            let body = "0123456789".repeat(10);
            let response = format!("HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n{body}");
            file.say(
                2,
                CLIENT,
                "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n\r\n",
            );
            file.say(5, SERVER, &response);
            file.say(
                6,
                CLIENT,
                "POST /b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nA: 0123456789\r\n\r\n",
            );
            file.say(8, SERVER, &response);
            let found = file.read();
            let found: Vec<_> = found
                .iter()
                .map(|line| line.rsplit_once(" ms").unwrap().0)
                .collect();
            let found: Vec<_> = found
                .iter()
                .map(|line| line.rsplit_once(' ').unwrap().0)
                .collect();
            assert_eq!(found, [a, b], "{kept} {opened}");
        }
    }
}
