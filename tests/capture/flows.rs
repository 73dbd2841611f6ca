//! What the kernel keeps of a connection: nobody else can push it out, or change it with segments
//! that TCP does not take.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use meshtap_tests::{
    Accept, Ack, Bench, MessageServer, Pair, RawConnection, RawNetwork, Report, Segment, Tap,
    body_of, live, reset,
};

const PORT: u16 = 8080;

/// Connections of the flood: more than any table of flows had room for, two ends each.
const FLOOD: usize = 60_000;

/// What the flood sends: the beginning of something that is no HTTP, or of a request.
fn flood(address: SocketAddr, bytes: &[u8]) {
    let listener = TcpListener::bind(address).expect("bind");
    for _ in 0..FLOOD {
        let mut client = TcpStream::connect(address).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(bytes).expect("send");
        server
            .read_exact(&mut vec![0; bytes.len()])
            .expect("receive");
        reset(client);
    }
}

/// A body of 1 MiB is half read while another client floods the node: it is whole, and so is what
/// follows on its connection.
fn partly_read_during_a_flood(bytes: &[u8]) {
    live(|bench| {
        let tap = Tap::new(bench).server_side().start();
        let mut pair = Pair::new(PORT);
        let body = body_of("upload", 1 << 20);
        let (first, second) = body.split_at(body.len() / 2);
        pair.request(format!(
            "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        pair.request(first);
        flood(([127, 0, 0, 1], 9000).into(), bytes);
        pair.request(second);
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        pair.request("GET /next HTTP/1.1\r\nHost: test\r\n\r\n");
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        let report = tap.finish();
        assert_eq!(report.count("/stats/gaps"), 0, "{:#}", report.ledger);
        let [upload, next] = &report.exchanges[..] else {
            panic!("two exchanges: {:#?}", report.lines);
        };
        assert_eq!(upload.request().body_size(), 1 << 20);
        assert_eq!((upload.partial(), next.partial()), (None, None));
        assert_eq!((upload.target(), next.target()), ("/upload", "/next"));
    });
}

#[test]
fn half_read_during_a_flood_of_tls() {
    partly_read_during_a_flood(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
}

#[test]
fn half_read_during_a_flood_that_user_space_must_judge() {
    partly_read_during_a_flood(b"EHLO mail.example\r\n");
}

fn request(id: &str, size: usize) -> Vec<u8> {
    let mut bytes = format!(
        "POST /message?id={id}&size=5 HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(body_of(id, size));
    bytes
}

/// A peer made by hand sends the request `one` as `talk` does, then another. Both are emitted as
/// the server read them.
fn check(talk: impl Fn(&mut RawConnection<'_>, &[u8]) + Send + Sync) -> Vec<Report> {
    check_each(talk, |peer, bytes| peer.data(bytes))
}

/// The same, with a way to send for either request.
fn check_each(
    first: impl Fn(&mut RawConnection<'_>, &[u8]) + Send + Sync,
    second: impl Fn(&mut RawConnection<'_>, &[u8]) + Send + Sync,
) -> Vec<Report> {
    let reports = std::sync::Mutex::new(Vec::new());
    for v6 in [false, true] {
        live(|bench: &Bench| {
            let network = RawNetwork::new(&bench.netns, 1);
            let _server = MessageServer::start((network.own(v6), PORT).into(), Accept::AtOnce);
            let tap = Tap::new(bench).server_side().arg("--no-redact").start();
            let mut peer = network.connect(v6, 40_000, PORT);
            first(&mut peer, &request("one", 3000));
            peer.read_until(&body_of("one", 5));
            second(&mut peer, &request("two", 200));
            peer.read_until(&body_of("two", 5));
            peer.close();
            let report = tap.finish();
            assert_eq!(report.count("/stats/gaps"), 0, "{:#}", report.ledger);
            let [one, two] = &report.exchanges[..] else {
                panic!("two exchanges: {:#?}", report.lines);
            };
            for (exchange, id, size) in [(one, "one", 3000), (two, "two", 200)] {
                assert_eq!(exchange.partial(), None, "{:#?}", report.lines);
                assert_eq!(exchange.target(), format!("/message?id={id}&size=5"));
                assert_eq!(exchange.request().bytes(), body_of(id, size));
            }
            reports.lock().expect("reports").push(report);
        });
    }
    reports.into_inner().expect("reports")
}

/// Segments of 1400 bytes, in this order.
fn in_order(peer: &mut RawConnection<'_>, bytes: &[u8], order: &[usize]) {
    let segments: Vec<&[u8]> = bytes.chunks(1400).collect();
    for &index in order {
        let mut segment = peer.segment(segments[index]);
        let before: usize = segments[..index].iter().map(|s| s.len()).sum();
        segment.seq = peer.seq.wrapping_add(u32::try_from(before).expect("small"));
        peer.send(&segment);
    }
    peer.advance(bytes.len());
    peer.until_acknowledged();
}

#[test]
fn the_first_segments_are_overtaken() {
    check(|peer, bytes| in_order(peer, bytes, &[1, 2, 0]));
    check(|peer, bytes| in_order(peer, bytes, &[2, 1, 0]));
    check(|peer, bytes| in_order(peer, bytes, &[2, 2, 0, 1, 0]));
}

/// What hides a connection when TCP takes it as its first bytes: TLS, a response, another protocol.
const HIDING: [&[u8]; 3] = [
    b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03 and so on",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nand so on",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f\x00 and so on",
];

/// A segment that TCP refuses, where the request is to begin; then the request.
fn refused_first(forge: impl Fn(&mut Segment<'_>) + Send + Sync) {
    for payload in HIDING {
        check(|peer, bytes| {
            let mut segment = peer.segment(payload);
            forge(&mut segment);
            peer.send(&segment);
            peer.data(bytes);
        });
    }
}

/// In the middle of the request; it is counted.
fn refused_in_between(forge: impl Fn(&mut Segment<'_>) + Send + Sync) {
    let reports = check(|peer, bytes| {
        let (start, end) = bytes.split_at(1500);
        peer.data(start);
        let mut segment = peer.segment(&[b'X'; 500]);
        forge(&mut segment);
        peer.send(&segment);
        peer.data(end);
    });
    for report in reports {
        let refused = report.count("/kernel_drops/unaccepted/segments");
        assert_eq!(refused, 1, "{:#}", report.ledger);
    }
}

fn without_acknowledgement(segment: &mut Segment<'_>) {
    segment.ack = Ack::None;
}

fn acknowledging_what_was_never_sent(segment: &mut Segment<'_>) {
    if let Ack::Number(number) = &mut segment.ack {
        *number = number.wrapping_add(2);
    }
}

fn far_ahead(segment: &mut Segment<'_>) {
    segment.seq = segment.seq.wrapping_add(0x5000_0000);
}

fn with_syn(segment: &mut Segment<'_>) {
    segment.syn = true;
}

fn with_a_bad_checksum(segment: &mut Segment<'_>) {
    segment.bad_checksum = true;
}

#[test]
fn a_refused_segment_hides_no_connection() {
    refused_first(without_acknowledgement);
    refused_first(acknowledging_what_was_never_sent);
    refused_first(far_ahead);
    refused_first(with_syn);
}

/// Linux takes the data of a segment in order when its acknowledgement is an old one: such a
/// segment must not be hidden.
#[test]
fn an_old_acknowledgement_hides_nothing() {
    let old = |peer: &mut RawConnection<'_>, bytes: &[u8]| {
        send_acknowledging(peer, bytes, 1);
        peer.advance(bytes.len());
        peer.until_acknowledged();
    };
    check_each(|peer, bytes| peer.data(bytes), old);
}

/// How old it may be depends on the version of Linux and on what the socket has sent (RFC 5961
/// §5.2): whether such data is taken the first time or when it comes again, it is emitted.
#[test]
fn a_very_old_acknowledgement_hides_nothing() {
    check(|peer, bytes| {
        send_acknowledging(peer, bytes, 1 << 30);
        peer.data(bytes);
    });
}

/// Sends bytes with acknowledgements that are so many bytes old.
fn send_acknowledging(peer: &RawConnection<'_>, bytes: &[u8], age: u32) {
    let mut at = peer.seq;
    for payload in bytes.chunks(1000) {
        let mut segment = peer.segment(payload);
        segment.seq = at;
        segment.ack = Ack::Number(peer.ack.wrapping_sub(age));
        peer.send(&segment);
        at = at.wrapping_add(u32::try_from(payload.len()).expect("small"));
    }
}

/// Nothing but TCP itself sees that the checksum is wrong.
#[test]
fn a_bad_checksum_hides_no_connection() {
    for payload in [HIDING[0], HIDING[2]] {
        check(|peer, bytes| {
            let mut segment = peer.segment(payload);
            with_a_bad_checksum(&mut segment);
            peer.send(&segment);
            peer.data(bytes);
        });
    }
}

/// A reset that TCP refuses, in the middle of the request, or before it.
fn refused_reset(forge: impl Fn(&mut Segment<'_>) + Send + Sync) {
    let payload = [b'X'; 500];
    let send = |peer: &mut RawConnection<'_>, payload: &[u8]| {
        let mut segment = peer.segment(payload);
        segment.rst = true;
        forge(&mut segment);
        peer.send(&segment);
    };
    check(|peer, bytes| {
        let (start, end) = bytes.split_at(1500);
        peer.data(start);
        send(peer, &payload);
        peer.data(end);
    });
    check(|peer, bytes| {
        send(peer, HIDING[0]);
        send(peer, &payload);
        peer.data(bytes);
    });
}

#[test]
fn a_refused_reset_ends_nothing() {
    refused_reset(with_a_bad_checksum);
    // After what the socket expects, far after it, before it.
    refused_reset(|segment| segment.seq = segment.seq.wrapping_add(1));
    refused_reset(|segment| segment.seq = segment.seq.wrapping_add(500));
    refused_reset(far_ahead);
    // It ends where the socket stands.
    refused_reset(|segment| {
        let len = u32::try_from(segment.payload.len()).expect("small");
        segment.seq = segment.seq.wrapping_sub(len);
    });
    refused_reset(|segment| {
        (segment.payload, segment.seq) = (b"", segment.seq.wrapping_add(1));
    });
}

/// Bytes that TCP refuses, and a reset at their end: neither counts.
#[test]
fn a_reset_after_refused_bytes_ends_nothing() {
    check(|peer, bytes| {
        let (start, end) = bytes.split_at(1500);
        peer.data(start);
        let mut segment = peer.segment(&[b'X'; 500]);
        with_a_bad_checksum(&mut segment);
        peer.send(&segment);
        let mut reset = peer.segment(b"");
        (reset.rst, reset.seq) = (true, reset.seq.wrapping_add(500));
        peer.send(&reset);
        peer.data(end);
    });
}

/// What one carries that TCP takes is no part of the stream. What it ends is emitted when it is too
/// old, or at the end: its checksum might have been wrong.
#[test]
fn a_reset_with_a_payload() {
    live(|bench: &Bench| {
        let network = RawNetwork::new(&bench.netns, 1);
        let listener = TcpListener::bind((network.own(false), PORT)).expect("bind");
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        let mut peer = network.connect(false, 40_000, PORT);
        let (mut server, _) = listener.accept().expect("accept");
        peer.data(&request("one", 3000)[..1500]);
        let mut reset = peer.segment(&[b'X'; 500]);
        reset.rst = true;
        peer.send(&reset);
        server.read_to_end(&mut Vec::new()).expect_err("a reset");
        let report = tap.finish();
        let text = report.only().request().bytes();
        assert_eq!(report.only().target(), "/message?id=one&size=5");
        assert!(!text.contains(&b'X'), "{text:?}");
        assert!(report.only().partial().is_some(), "{:#?}", report.lines);
    });
}

/// An acknowledgement of one byte more than was sent: only the end of a stream would be that.
#[test]
fn an_acknowledgement_of_an_end_that_was_not_sent() {
    check(|peer, bytes| {
        let (start, end) = bytes.split_at(1500);
        peer.data(start);
        for payload in [&b""[..], &[b'X'; 500]] {
            let mut segment = peer.segment(payload);
            segment.urgent = payload.is_empty().then_some(1000);
            if let Ack::Number(number) = &mut segment.ack {
                *number = number.wrapping_add(1);
            }
            peer.send(&segment);
        }
        peer.data(end);
    });
}

#[test]
fn a_refused_segment_is_not_emitted() {
    refused_in_between(without_acknowledgement);
    refused_in_between(acknowledging_what_was_never_sent);
    refused_in_between(far_ahead);
    refused_in_between(with_syn);
}

/// An option of Multipath TCP that only the peer sends: the socket is none of it.
#[test]
fn an_option_of_the_peer_hides_no_connection() {
    check(|peer, bytes| {
        for payload in bytes.chunks(1000) {
            let mut segment = peer.segment(payload);
            // Kind 30, length 4, subtype 2 (DSS), no flags (RFC 8684 §3.3).
            segment.options = &[30, 4, 0x20, 0];
            peer.send(&segment);
            peer.advance(payload.len());
        }
        peer.until_acknowledged();
    });
}

/// Exchanges over one socket pair of this protocol (262: Multipath TCP), on two addresses.
fn exchanges(protocol: u16, listen: u16) {
    let program = format!(
        "
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {listen})
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('198.18.79.1', {PORT})); listener.listen(5)
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, {protocol})
client.connect(('198.18.79.1', {PORT})); server, _ = listener.accept()
def receive(end, n):
    while n > 0: n -= len(end.recv(n))
for n in range(20):
    request = b'POST /%d HTTP/1.1\\r\\nContent-Length: 40000\\r\\n\\r\\n' % n + b'x' * 40000
    client.sendall(request); receive(server, len(request))
    response = b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'
    server.sendall(response); receive(client, len(response))
"
    );
    let output = Command::new("python3")
        .args(["-c", &program])
        .output()
        .expect("python3");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{protocol} to {listen}: {errors}");
}

/// Client, server, and whether its exchanges are emitted.
#[test]
fn subflows_of_multipath_tcp_are_counted() {
    const TCP: u16 = 6;
    const MPTCP: u16 = 262;
    live(|bench| {
        if std::fs::read("/proc/sys/net/mptcp/enabled").is_err() {
            return meshtap_tests::skip("the kernel has no Multipath TCP");
        }
        for address in ["198.18.79.1/32", "198.18.79.2/32"] {
            bench.netns.ip(&format!("address add {address} dev lo"));
        }
        bench
            .netns
            .ip("mptcp limits set subflow 4 add_addr_accepted 4");
        bench
            .netns
            .ip("mptcp endpoint add 198.18.79.2 dev lo subflow");
        for (client, server, is_emitted) in [
            (TCP, TCP, true),
            (MPTCP, MPTCP, false),
            // Fallen back to TCP (RFC 8684 §3.7).
            (TCP, MPTCP, true),
            (MPTCP, TCP, true),
        ] {
            let tap = Tap::new(bench).server_side().start();
            exchanges(client, server);
            let report = tap.finish();
            report.assert_balanced();
            let emitted = if is_emitted { 20 } else { 0 };
            assert_eq!(report.exchanges.len(), emitted, "{client} {server}");
            let counted = report.count("/kernel_drops/mptcp/segments") > 0;
            assert_eq!(counted, !is_emitted, "{:#}", report.ledger);
        }
    });
}
