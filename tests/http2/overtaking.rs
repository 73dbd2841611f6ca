//! Packets that overtake each other beside a body past its limit: where a header of HTTP/2 was not
//! seen, nothing is skipped that is not known to be DATA, and little else is copied.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::ops::Range;
use std::time::Duration;

use meshtap_tests::{Bench, Random, RawConnection, RawNetwork, Report, Tap, figure, live};

const PORT: u16 = 8080;
/// Bytes of DATA in a frame.
const CHUNK: usize = 8192;
/// Bytes of a stream's DATA that are copied.
const BUDGET: u64 = 256 * 1024;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A request without indexes, so that none is of use that another one was lost of.
fn request(method: u8, flags: u8, stream: u32, target: &str) -> Vec<u8> {
    let len = u8::try_from(target.len()).expect("short");
    let block = [&[method, 0x86, 4, len], target.as_bytes(), b"\x01\x04test"].concat();
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// An upload of so many frames on a stream, and the targets of the small requests in between, each
/// after one of the frames in `small`.
struct Upload {
    bytes: Vec<u8>,
    size: u64,
    targets: Vec<String>,
    /// Where the small requests begin.
    places: Vec<usize>,
}

impl Upload {
    fn new(frames: usize, small: impl Fn(usize) -> bool, payload: &[u8]) -> Self {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        bytes.extend(request(0x83, 0, 1, "/upload"));
        let mut body = payload.iter().copied().cycle();
        let (mut targets, mut places) = (Vec::new(), Vec::new());
        for at in 0..frames {
            let chunk: Vec<u8> = body.by_ref().take(CHUNK).collect();
            bytes.extend(frame(DATA, 0, 1, &chunk));
            if small(at) {
                // Of another length each time.
                let target = format!("/small?id={at}&{}", "x".repeat(targets.len() * 7 % 60));
                places.push(bytes.len());
                let stream = u32::try_from(3 + 2 * targets.len()).expect("few");
                bytes.extend(request(0x82, END_STREAM, stream, &target));
                targets.push(target);
            }
        }
        bytes.extend(frame(DATA, END_STREAM, 1, b"end"));
        Self {
            bytes,
            size: (frames * CHUNK + 3) as u64,
            targets,
            places,
        }
    }

    /// Sends it to a server that responds once it has all of it.
    fn run(&self, bench: &Bench, send: impl FnOnce(&mut Sender<'_, '_>)) -> Report {
        let network = RawNetwork::new(&bench.netns, 1);
        let listener = TcpListener::bind((network.own(false), PORT)).expect("listen");
        let tap = Tap::new(bench).server_side().start();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("accept");
                let mut all = vec![0; self.bytes.len()];
                stream.read_exact(&mut all).expect("the upload");
                assert!(all == self.bytes, "as it was sent");
                let mut response = frame(SETTINGS, 0, 0, &[]);
                for n in 0..=self.targets.len() {
                    let stream = u32::try_from(1 + 2 * n).expect("few");
                    response.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88]));
                }
                stream.write_all(&response).expect("a response");
                let _end = stream.read(&mut [0]).expect("the end");
            });
            let mut peer = network.connect(false, 40_000, PORT);
            let mut sender = Sender {
                upload: self,
                peer: &mut peer,
                acknowledged: 0,
            };
            send(&mut sender);
            peer.close();
        });
        tap.finish()
    }

    /// Parts it into packets, most of which have the header of a frame.
    fn packets(&self, random: &mut Random) -> Vec<Range<usize>> {
        let mut packets = Vec::new();
        let mut at = 0;
        while at < self.bytes.len() {
            let len = 9000 + usize::try_from(random.below(1500)).expect("small");
            let end = self.bytes.len().min(at + len);
            packets.push(at..end);
            at = end;
        }
        packets
    }

    #[track_caller]
    fn check(&self, report: &Report) {
        report.assert_nothing_lost();
        let mut targets: Vec<_> = report.exchanges.iter().map(|one| one.target()).collect();
        targets.sort_unstable();
        let mut expected: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        expected.push("/upload");
        expected.sort_unstable();
        assert_eq!(targets, expected, "{:#}", report.ledger);
        for exchange in &report.exchanges {
            assert_eq!(exchange.partial(), None, "{exchange:?}");
            if exchange.target() == "/upload" {
                assert_eq!(exchange.request().body_size(), self.size);
            }
        }
    }
}

struct Sender<'a, 'n> {
    upload: &'a Upload,
    peer: &'a mut RawConnection<'n>,
    /// How much of it the server has.
    acknowledged: usize,
}

impl Sender<'_, '_> {
    /// Sends a packet, out of its turn or in it.
    fn send(&self, range: &Range<usize>) {
        self.send_as(range, &self.upload.bytes[range.clone()], false);
    }

    /// Sends other bytes in its place.
    fn send_as(&self, range: &Range<usize>, bytes: &[u8], bad_checksum: bool) {
        let ahead = u32::try_from(range.start - self.acknowledged).expect("near");
        let mut segment = self.peer.segment(bytes);
        segment.seq = segment.seq.wrapping_add(ahead);
        segment.bad_checksum = bad_checksum;
        self.peer.send(&segment);
    }

    /// Waits until the server's kernel has all up to there.
    fn until(&mut self, end: usize) {
        self.peer.advance(end - self.acknowledged);
        self.acknowledged = end;
        self.peer.until_acknowledged();
    }

    /// Sends packets, by three; some overtake others of the three, as two queues bring them. Bytes
    /// of those.
    fn send_by_three(&mut self, packets: &[Range<usize>], random: &mut Random) -> u64 {
        /// Where the budget of the upload is spent.
        const SPENT: usize = 300_000;
        const ORDERS: [[usize; 3]; 4] = [[1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]];
        let mut overtaking = 0;
        for three in packets.chunks(3) {
            let order = match three[0].start > SPENT && random.chance(300) {
                true => ORDERS[usize::try_from(random.below(4)).expect("small")],
                false => [0, 1, 2],
            };
            for (n, at) in order.iter().enumerate() {
                if let Some(packet) = three.get(*at) {
                    self.send(packet);
                    if order[n..].iter().any(|later| later < at) {
                        overtaking += packet.len() as u64;
                    }
                }
            }
            self.until(three.last().expect("a packet").end);
        }
        overtaking
    }
}

/// What came late proves what was followed early.
#[test]
fn usual_frames_that_come_early_are_followed() {
    live(|bench| {
        let upload = Upload::new(500, |at| at == 10, b"x");
        let mut random = Random::new(1);
        let packets = upload.packets(&mut random);
        let mut overtaking = 0;
        let report = upload.run(bench, |sender| {
            overtaking = sender.send_by_three(&packets, &mut random);
        });
        upload.check(&report);
        let copied = report.copied_bytes();
        figure(&format!(
            "{copied} bytes copied of an upload of {}, {overtaking} of which overtook others",
            upload.size
        ));
        // Besides, what is beside a small request, and the first packets after one that came late.
        let other = upload.targets.len() as u64 * 40_000;
        assert!(copied <= BUDGET + overtaking + other, "{copied}");
    });
}

/// A small request among what comes late: where frames begin behind it cannot be computed. User
/// space says so before the next packet but one.
#[test]
fn frames_are_found_again_at_once() {
    live(|bench| {
        let upload = Upload::new(500, |at| at > 50 && at % 50 == 49, b"x");
        let packets = upload.packets(&mut Random::new(2));
        let report = upload.run(bench, |sender| {
            let mut rest = &packets[..];
            let mut pause = false;
            while let [first, others @ ..] = rest {
                let has_small = (upload.places.iter()).any(|place| first.contains(place));
                rest = others;
                if has_small && let [second, third, others @ ..] = others {
                    sender.send(second);
                    sender.send(first);
                    sender.send(third);
                    sender.until(third.end);
                    rest = others;
                    pause = true;
                } else {
                    sender.send(first);
                    sender.until(first.end);
                    // What is received is read once the next packet shows that TCP has taken it.
                    if std::mem::take(&mut pause) {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
            }
        });
        upload.check(&report);
        let copied = report.copied_bytes();
        figure(&format!(
            "{copied} bytes copied of an upload of {}, lost track of {} times",
            upload.size,
            upload.targets.len()
        ));
        let other = upload.targets.len() as u64 * 50_000;
        assert!(copied <= BUDGET + other, "{copied}");
    });
}

/// Bodies that look like headers of usual frames wherever one is looked for.
#[test]
fn a_guess_that_is_wrong_costs_no_request() {
    for (seed, every) in [(1, 3), (2, 5), (3, 9), (4, 20)] {
        live(|bench| {
            let header = &frame(DATA, 0, 1, &[0; CHUNK])[..9];
            let upload = Upload::new(200, |at| at % every == every - 1, header);
            let mut random = Random::new(seed);
            let packets = upload.packets(&mut random);
            let report = upload.run(bench, |sender| {
                sender.send_by_three(&packets, &mut random);
            });
            upload.check(&report);
        });
    }
}

/// A packet that the kernel refuses comes early, without the small request that the genuine one
/// has.
#[test]
fn a_forged_packet_that_comes_early_costs_no_request() {
    live(|bench| {
        let upload = Upload::new(200, |at| at > 50 && at % 20 == 19, b"x");
        let packets = upload.packets(&mut Random::new(3));
        let plain = Upload::new(200, |_| false, b"x");
        let report = upload.run(bench, |sender| {
            let mut previous = None;
            for packet in &packets {
                let place = upload.places.iter().find(|place| packet.contains(place));
                if let Some(place) = place
                    && let Some(previous) = previous.take()
                {
                    // As it would be without the small request.
                    let mut forged = upload.bytes[packet.start..*place].to_vec();
                    let usual = plain.bytes.len() - 9 - 3 - 3 * (9 + CHUNK);
                    forged.extend_from_slice(&plain.bytes[usual..][..packet.end - place]);
                    sender.send_as(packet, &forged, true);
                    sender.send(previous);
                    sender.until(previous.end);
                    sender.send(packet);
                    sender.until(packet.end);
                    continue;
                }
                if let Some(previous) = previous.replace(packet) {
                    sender.send(previous);
                    sender.until(previous.end);
                }
            }
            if let Some(last) = previous {
                sender.send(last);
                sender.until(last.end);
            }
        });
        upload.check(&report);
    });
}
