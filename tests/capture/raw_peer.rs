//! A peer made by hand: what its segments do to the socket, the agent sees; and the control for
//! every forged segment.

use std::io::Write as _;
use std::net::TcpStream;

use meshtap_tests::{
    Accept, Ack, MessageServer, RawConnection, RawNetwork, Report, Tap, body_of, live,
};

const PORT: u16 = 8080;

fn request(id: &str) -> Vec<u8> {
    let body = body_of(id, 200);
    let mut bytes = format!(
        "POST /message?id={id}&size=5 HTTP/1.1\r\nHost: test\r\nContent-Length: 200\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

/// Sends a request of two segments with `between` in the middle, then another request. Both must be
/// emitted as the server read them.
fn check(v6: bool, between: impl FnOnce(&mut RawConnection<'_>) + Send) {
    live(|bench| {
        let network = RawNetwork::new(&bench.netns, 1);
        let _server = MessageServer::start((network.own(v6), PORT).into(), Accept::AtOnce);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        let mut peer = network.connect(v6, 40_000, PORT);
        let (first, second) = (request("one"), request("two"));
        let (start, end) = first.split_at(first.len() - 100);
        peer.data(start);
        between(&mut peer);
        peer.data(end);
        peer.read_until(&body_of("one", 5));
        peer.data(&second);
        peer.read_until(&body_of("two", 5));
        peer.close();
        assert_whole(&tap.finish());
    });
}

#[track_caller]
fn assert_whole(report: &Report) {
    report.assert_nothing_lost();
    assert_eq!(report.exchanges.len(), 2, "{:#?}", report.lines);
    for (exchange, id) in report.exchanges.iter().zip(["one", "two"]) {
        assert_eq!(exchange.target(), format!("/message?id={id}&size=5"));
        assert_eq!(exchange.request().bytes(), body_of(id, 200));
        assert_eq!(exchange.response().bytes(), body_of(id, 5));
    }
}

/// The control: nothing forged. The sequence numbers cross 2^32.
#[test]
fn valid_segments() {
    check(false, |_| {});
    check(true, |_| {});
}

/// Linux takes any number of extension headers, and a fragment that is the whole packet.
#[test]
fn extension_headers() {
    for kinds in [&[60; 12][..], &[44], &[60, 44]] {
        check(true, |peer| peer.extensions = kinds);
    }
}

/// Sent again although the kernel has acknowledged it.
#[test]
fn a_needless_retransmission() {
    check(false, |peer| {
        let seen = request("one");
        let mut again = peer.segment(&seen[..100]);
        again.seq = peer
            .seq
            .wrapping_sub(u32::try_from(seen.len() - 100).expect("small"));
        peer.send(&again);
    });
}

/// On a connection that is older than the agent, the first segment of a request comes last. What
/// came before it looks like nothing, and is more than is looked at.
#[test]
fn a_first_segment_that_all_others_overtook_at_start_up() {
    live(|bench| {
        let network = RawNetwork::new(&bench.netns, 1);
        let _server = MessageServer::start((network.own(false), PORT).into(), Accept::AtOnce);
        let mut peer = network.connect(false, 40_000, PORT);
        peer.data(&request("old"));
        peer.read_until(&body_of("old", 5));
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();

        let bytes = request("one");
        // No method begins with a space.
        let cuts: Vec<_> = (0..bytes.len())
            .filter(|at| bytes[*at..].starts_with(b" from"))
            .chain([bytes.len()])
            .collect();
        assert!(cuts.len() > 16, "{cuts:?}");
        for range in cuts.windows(2) {
            let mut segment = peer.segment(&bytes[range[0]..range[1]]);
            segment.seq = peer
                .seq
                .wrapping_add(u32::try_from(range[0]).expect("small"));
            peer.send(&segment);
        }
        peer.send(&peer.segment(&bytes[..cuts[0]]));
        peer.advance(bytes.len());
        peer.until_acknowledged();
        peer.read_until(&body_of("one", 5));
        peer.data(&request("two"));
        peer.read_until(&body_of("two", 5));
        peer.close();

        let report = tap.finish();
        report.assert_balanced();
        let targets: Vec<_> = report.exchanges.iter().map(|one| one.target()).collect();
        assert_eq!(
            targets,
            ["one", "two"].map(|id| format!("/message?id={id}&size=5"))
        );
    });
}

/// The next byte is announced as urgent by a segment without payload.
#[test]
fn an_urgent_byte_that_was_announced() {
    check(false, |peer| {
        let mut announced = peer.segment(b"");
        announced.urgent = Some(1);
        peer.send(&announced);
        peer.data(b"X");
    });
}

/// After a response of `sent` bytes of body, announces the last digit of a size as urgent in a
/// segment without payload: its acknowledgement is `age` bytes old, and it lies `ahead` bytes after
/// what comes next. What is emitted must be what the server read, which its response shows; or it
/// is marked, where `is_certain` is false.
fn announce(sent: usize, age: u32, ahead: u16, is_certain: bool) {
    live(|bench| {
        let network = RawNetwork::new(&bench.netns, 1);
        let _server = MessageServer::start((network.own(false), PORT).into(), Accept::AtOnce);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        let mut peer = network.connect(false, 40_000, PORT);
        let start = peer.ack;
        peer.data(
            format!("GET /message?id=one&size={sent} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes(),
        );
        peer.read_until(&body_of("one", sent));
        let before = b"GET /message?id=two&size=1";
        let mut announcement = peer.segment(b"");
        announcement.seq = peer.seq.wrapping_add(u32::from(ahead));
        announcement.ack = match age {
            // Before the first byte that the server sent.
            u32::MAX => Ack::Number(start.wrapping_sub(2)),
            _ => Ack::Number(peer.ack.wrapping_sub(age)),
        };
        let pointer = u16::try_from(before.len() + 1).expect("short");
        announcement.urgent = Some(pointer - ahead);
        peer.send(&announcement);
        peer.data(&[before, &b"2 HTTP/1.1\r\nHost: test\r\n\r\n"[..]].concat());
        // With the digit or without, the last byte is the same.
        let response = peer.read_until(b"t");
        peer.close();
        let report = tap.finish();
        report.assert_nothing_lost();
        let [_, two] = &report.exchanges[..] else {
            panic!("two exchanges: {:#?}", report.lines);
        };
        let is_whole = response.windows(2).any(|at| at == b"12");
        let size = if is_whole { "12" } else { "1" };
        let is_read = two.target() == format!("/message?id=two&size={size}");
        let is_marked = report.lines[1].contains("urgent_data");
        let seen = (sent, age, ahead, is_whole, is_marked);
        assert!(
            is_read || (!is_certain && is_marked),
            "{seen:?} {}",
            two.target()
        );
    });
}

/// Whether Linux takes an urgent pointer depends on the acknowledgement of its segment.
#[test]
fn an_urgent_byte_that_was_announced_with_an_old_acknowledgement() {
    for ahead in [0, 10] {
        announce(5, 0, ahead, true);
        announce(5, 1, ahead, true);
        announce(5, 40, ahead, true);
        announce(5, u32::MAX, ahead, true);
        announce(5, 1 << 20, ahead, true);
        announce(5, (1 << 30) + 1, ahead, true);
        announce(100_000, 1000, ahead, true);
        // Older than the largest window, which nobody but the socket knows.
        announce(100_000, 80_000, ahead, false);
    }
}

/// The peer can be the server, too.
#[test]
fn a_server_made_by_hand() {
    live(|bench| {
        let network = RawNetwork::new(&bench.netns, 1);
        let tap = Tap::new(bench).args(["--side", "client"]).start();
        let address = (network.peer(false), PORT);
        std::thread::scope(|scope| {
            let client = scope.spawn(move || {
                let mut stream = TcpStream::connect(address).expect("connect");
                stream
                    .write_all(b"GET /raw HTTP/1.1\r\nHost: test\r\n\r\n")
                    .expect("send");
                let mut response = Vec::new();
                std::io::Read::read_to_end(&mut stream, &mut response).expect("receive");
                response
            });
            let mut server = network.accept(PORT);
            assert!(server.read_until(b"\r\n\r\n").starts_with(b"GET /raw "));
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            server.data(response);
            assert_eq!(server.segment(b"").ack, Ack::Number(server.ack));
            let mut fin = server.segment(b"");
            fin.fin = true;
            server.send(&fin);
            assert_eq!(client.join().expect("the client"), response);
        });
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().target(), "/raw");
    });
}
