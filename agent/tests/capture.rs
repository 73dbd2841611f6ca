//! The BPF programs on the running kernel, with sockets of the test's own on loopback. Needs root
//! and the kernel programs (`cargo xtask test` brings both); says that it was skipped without them,
//! and fails instead where `CI` is set.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests: the helpers outside of #[test] functions fail like the tests themselves"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use meshtap::capture::kernel::{Capture, CaptureError, CaptureOptions};
use meshtap::capture::{Command, Event, Polled, Source};
use meshtap::flow::{Direction, SocketId};
use meshtap_common::{CaptureConfig, DropReason, IgnoreReason, SIDE_CLIENT, SIDE_SERVER};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A segment, with its payload.
#[derive(Clone, Debug)]
struct Emitted {
    socket: SocketId,
    direction: Direction,
    local: SocketAddr,
    remote: SocketAddr,
    seq: u32,
    expected: u32,
    wire_len: u32,
    start: bool,
    fin: bool,
    rst: bool,
    skipped: bool,
    payload: Vec<u8>,
}

/// A capture of one port, and what it has reported.
struct Live {
    capture: Capture,
    emitted: Vec<Emitted>,
}

impl Live {
    /// `None` when this machine cannot capture, which has been said then.
    fn start(port: u16, change: impl FnOnce(&mut CaptureConfig)) -> Option<Self> {
        let mut config = CaptureConfig {
            port_count: 1,
            ..CaptureConfig::default()
        };
        config.ports[0] = port;
        change(&mut config);
        let options = CaptureOptions {
            config,
            ..CaptureOptions::default()
        };
        match Capture::start(&options) {
            Ok(capture) => Some(Self {
                capture,
                emitted: Vec::new(),
            }),
            Err(error @ (CaptureError::NoPrograms | CaptureError::Privilege { .. })) => {
                assert!(std::env::var_os("CI").is_none(), "{error}");
                eprintln!("SKIPPED, NOT TESTED: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Polls until the reported segments satisfy `enough`.
    fn until(&mut self, what: &str, enough: impl Fn(&[Emitted]) -> bool) -> &[Emitted] {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !enough(&self.emitted) {
            assert!(
                Instant::now() < deadline,
                "no {what}; emitted: {:#?}; drops: {:?}",
                self.emitted,
                self.capture.drops()
            );
            let emitted = &mut self.emitted;
            let polled = self.capture.poll(Duration::from_millis(100), &mut |event| {
                let Event::Tcp(segment) = event else {
                    return;
                };
                emitted.push(Emitted {
                    socket: segment.socket,
                    direction: segment.direction,
                    local: segment.local.into(),
                    remote: segment.remote.into(),
                    seq: segment.seq,
                    expected: segment.expected,
                    wire_len: segment.wire_len,
                    start: segment.start,
                    fin: segment.fin,
                    rst: segment.rst,
                    skipped: segment.skipped,
                    payload: segment.payload.to_vec(),
                });
            });
            // A live capture has no end; it may have more waiting than one batch.
            assert_ne!(polled.unwrap(), Polled::End);
        }
        &self.emitted
    }

    /// Polls until both ends of the client's connection have received the end of the other's
    /// stream.
    fn until_closed(&mut self, client: SocketAddr) -> &[Emitted] {
        self.until("end of the connection", |emitted| {
            let ended = |segment: &&Emitted| {
                segment.fin && segment.direction == Direction::Ingress && ends_at(segment, client)
            };
            emitted.iter().filter(ended).count() >= 2
        })
    }

    /// Polls until both streams of the one connection reported have ended, at the one end reported.
    fn until_ended(&mut self) -> &[Emitted] {
        self.until("end of the streams", |emitted| {
            emitted.iter().filter(|segment| segment.fin).count() >= 2
        })
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.capture.drops().unwrap().segments(reason)
    }
}

fn ends_at(segment: &Emitted, client: SocketAddr) -> bool {
    segment.local.port() == client.port() || segment.remote.port() == client.port()
}

/// What went one way at one socket, put together by sequence numbers; `None` when bytes are
/// missing.
fn stream(emitted: &[Emitted], local: SocketAddr, direction: Direction) -> Option<Vec<u8>> {
    let mut segments: Vec<&Emitted> = emitted
        .iter()
        .filter(|segment| segment.local == local && segment.direction == direction)
        .collect();
    let first = segments.iter().find(|segment| segment.start)?.expected;
    segments.sort_by_key(|segment| segment.seq.wrapping_sub(first));
    let mut bytes = Vec::new();
    for segment in segments {
        let at = usize::try_from(segment.seq.wrapping_sub(first)).ok()?;
        if at > bytes.len() || segment.payload.len() != segment.wire_len as usize {
            return None;
        }
        let known = bytes.len() - at;
        bytes.extend_from_slice(segment.payload.get(known..).unwrap_or_default());
    }
    Some(bytes)
}

fn listen(address: impl Into<IpAddr>) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address.into(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn connect(listener: &TcpListener, to: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(to).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

/// Sends `bytes` from one end to the other, and waits until they are there.
fn send(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).unwrap());
        let mut got = vec![0; bytes.len()];
        to.read_exact(&mut got).unwrap();
        assert!(got == bytes, "the bytes arrive as they were sent");
    });
}

/// Ends the connection from both sides, client first.
fn close(mut client: TcpStream, mut server: TcpStream) {
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

/// One exchange on a new connection; gives the client's address.
fn exchange(listener: &TcpListener, to: SocketAddr) -> SocketAddr {
    let (mut client, mut server) = connect(listener, to);
    let address = client.local_addr().unwrap();
    send(&mut client, &mut server, REQUEST);
    send(&mut server, &mut client, RESPONSE);
    close(client, server);
    address
}

/// Both ends of one exchange, as reported on the addresses given.
fn check_both_ends(bind: IpAddr, to: IpAddr) {
    let (listener, port) = listen(bind);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let server = SocketAddr::new(to, port);
    let client = exchange(&listener, server);
    let emitted = live.until_closed(client);
    for (local, remote, sent, received) in [
        (client, server, REQUEST, RESPONSE),
        (server, client, RESPONSE, REQUEST),
    ] {
        let own: Vec<&Emitted> = emitted
            .iter()
            .filter(|segment| segment.local == local)
            .collect();
        assert!(own.iter().all(|segment| segment.remote == remote));
        assert!(own.iter().all(|segment| segment.socket == own[0].socket));
        assert_eq!(
            stream(emitted, local, Direction::Egress).as_deref(),
            Some(sent)
        );
        assert_eq!(
            stream(emitted, local, Direction::Ingress).as_deref(),
            Some(received)
        );
        for direction in [Direction::Egress, Direction::Ingress] {
            let way: Vec<_> = own
                .iter()
                .filter(|segment| segment.direction == direction)
                .collect();
            assert!(way[0].start && way[0].seq == way[0].expected, "{way:#?}");
            assert!(way.iter().any(|segment| segment.fin), "{way:#?}");
        }
    }
    let sockets = |local| {
        emitted
            .iter()
            .find(|segment| segment.local == local)
            .map(|segment| segment.socket)
    };
    assert_ne!(sockets(client), sockets(server));
    for reason in [
        DropReason::RingFull,
        DropReason::RingShare,
        DropReason::Unreadable,
        DropReason::FlowState,
        DropReason::Budget,
    ] {
        assert_eq!(live.dropped(reason), 0, "{reason:?}");
    }
}

#[test]
fn ipv4() {
    check_both_ends(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
}

#[test]
fn ipv6() {
    check_both_ends(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
}

#[test]
fn ipv4_on_an_ipv6_listener() {
    check_both_ends(Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into());
}

#[test]
fn only_the_first_exchange_of_a_connection_is_its_start() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    let address = client.local_addr().unwrap();
    for _ in 0..3 {
        send(&mut client, &mut server, REQUEST);
        send(&mut server, &mut client, RESPONSE);
    }
    close(client, server);
    let emitted = live.until_closed(address);
    let heads: Vec<bool> = emitted
        .iter()
        .filter(|segment| segment.local == address && !segment.payload.is_empty())
        .map(|segment| segment.start)
        .collect();
    assert_eq!(heads, [true, true, false, false, false, false]);
}

#[test]
fn large_segments_come_whole_and_in_order() {
    let (listener, port) = listen(Ipv6Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |config| config.budget = 8 << 20) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    let address = client.local_addr().unwrap();
    let mut upload = b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n".to_vec();
    upload.extend((0..3_000_000u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    send(&mut client, &mut server, &upload);
    close(client, server);
    let emitted = live.until_closed(address);
    let server = SocketAddr::new(address.ip(), port);
    assert!(stream(emitted, address, Direction::Egress).as_ref() == Some(&upload));
    assert!(stream(emitted, server, Direction::Ingress).as_ref() == Some(&upload));
}

/// Sends what is given on a new connection, then an exchange on the same, then an exchange on
/// another one. Of the first connection, the payloads that are emitted at both ends are exactly
/// `expected`.
fn check_first(first: &[&[u8]], by_server: bool, expected: &[&[u8]]) {
    let messages: Vec<_> = first
        .iter()
        .map(|bytes| vec![(by_server, *bytes)])
        .collect();
    check_messages(&messages, expected);
}

/// As [`check_first`]; several messages on each connection, each by the server or by the client.
fn check_messages(connections: &[Vec<(bool, &[u8])>], expected: &[&[u8]]) {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let to = listener.local_addr().unwrap();
    for messages in connections {
        let (mut client, mut server) = connect(&listener, to);
        let address = client.local_addr().unwrap();
        for (by_server, bytes) in messages {
            if *by_server {
                send(&mut server, &mut client, bytes);
            } else {
                send(&mut client, &mut server, bytes);
            }
        }
        send(&mut client, &mut server, REQUEST);
        send(&mut server, &mut client, RESPONSE);
        close(client, server);
        let other = exchange(&listener, to);
        live.until_closed(other);
        for end in [address, to] {
            let emitted: Vec<&[u8]> = live
                .emitted
                .iter()
                .filter(|segment| segment.local == end && ends_at(segment, address))
                .map(|segment| segment.payload.as_slice())
                .filter(|payload| !payload.is_empty())
                .collect();
            let first = messages[0].1.escape_ascii();
            assert_eq!(emitted, expected, "{first}");
        }
        live.emitted.clear();
    }
}

#[test]
fn tls_of_both_sides_is_ignored_for_good() {
    const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76";
    check_messages(&[vec![(false, CLIENT_HELLO), (true, SERVER_HELLO)]], &[]);
    // One side alone proves nothing: some servers take such bytes for a method.
    check_first(&[CLIENT_HELLO], false, &[REQUEST, RESPONSE]);
    check_first(&[SERVER_HELLO], true, &[REQUEST, RESPONSE]);
}

#[test]
fn other_protocols_are_not_emitted_until_they_may_be_http() {
    check_first(
        &[
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"AMQP\0\0\x09\x01",
        ],
        false,
        &[REQUEST, RESPONSE],
    );
    check_first(&[b"J\0\0\0\x0a8.0.36\0"], true, &[REQUEST, RESPONSE]);
    // What holds a target may be a request.
    let odd: &[u8] = b"\x16\x03GET / HTTP/1.1\r\n\r\n";
    check_first(&[odd], false, &[odd, REQUEST, RESPONSE]);
}

/// The first segment of a direction may be so short that it says nothing.
#[test]
fn the_first_letter_of_a_message_decides_nothing() {
    let rest: &[u8] = b"ET /a HTTP/1.1\r\n\r\n";
    let junk: &[u8] = b"junk\r\n\r\n";
    let sent: [(bool, &[u8]); 3] = [(false, b"G"), (false, rest), (true, junk)];
    check_messages(&[sent.to_vec()], &[b"G", rest, junk, REQUEST, RESPONSE]);
    let status: &[u8] = b"TTP/1.1 204 No Content\r\n\r\n";
    let sent: [(bool, &[u8]); 3] = [(false, b"\0"), (true, b"H"), (true, status)];
    check_messages(&[sent.to_vec()], &[b"H", status, REQUEST, RESPONSE]);
}

/// Sends what is given on a new connection each: it is emitted, at both ends.
fn check_kept(first: &[&[u8]], by_server: bool) {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let to = listener.local_addr().unwrap();
    for bytes in first {
        let (mut client, mut server) = connect(&listener, to);
        let address = client.local_addr().unwrap();
        let (from, at) = if by_server {
            send(&mut server, &mut client, bytes);
            (to, address)
        } else {
            send(&mut client, &mut server, bytes);
            (address, to)
        };
        close(client, server);
        let mut emitted = live.until_closed(address).to_vec();
        emitted.retain(|segment| ends_at(segment, address));
        for (local, direction) in [(from, Direction::Egress), (at, Direction::Ingress)] {
            assert_eq!(stream(&emitted, local, direction).as_deref(), Some(*bytes));
        }
    }
}

#[test]
fn what_may_be_http_is_kept() {
    check_kept(
        &[
            REQUEST,
            b"G",
            b"GET",
            b"GET ",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"GET http://host/ HTTP/1.1\r\n\r\n",
            b"GET HTTP://host/ HTTP/1.1\r\n\r\n",
            b"CONNECT host:443 HTTP/1.1\r\n\r\n",
            b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n",
            b"M-SEARCH * HTTP/1.1\r\n\r\n",
            b"VERSION-CONTROL /a HTTP/1.1\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
            b"PROXY UNKNOWN\r\n",
            b"patch /a HTTP/1.1\r\n\r\n",
            b"INVOKE2 /a HTTP/1.1\r\n\r\n",
            b"get\t/ HTTP/1.1\r\n\r\n",
            b"A-METHOD-OF-MORE-THAN-THIRTY-TWO-LETTERS / HTTP/1.1\r\n\r\n",
            b"GET ws://host/ HTTP/1.1\r\n\r\n",
            b"GET ?a b HTTP/3.14\r\n\r\n",
            b"\n",
            b"\r\n\n\r\n\n!#$%&'*+-.^_`|~ / HTTP/1.1\r\n\r\n",
            // What user space must distinguish.
            b"EHLO mail.example\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        ],
        false,
    );
}

#[test]
fn an_http2_server_may_speak_first() {
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
    check_kept(&[settings, b"\0\0\0\x04\0\0\0\0\0"], true);
}

#[test]
fn one_side_can_be_chosen() {
    for (side, is_server) in [(SIDE_SERVER, true), (SIDE_CLIENT, false)] {
        let (listener, port) = listen(Ipv4Addr::LOCALHOST);
        let Some(mut live) = Live::start(port, |config| config.side = side) else {
            return;
        };
        exchange(&listener, listener.local_addr().unwrap());
        let emitted = live.until_ended();
        assert!(
            emitted
                .iter()
                .all(|segment| (segment.local.port() == port) == is_server),
            "{emitted:#?}"
        );
    }
}

#[test]
fn marked_sockets_are_ignored() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |config| {
        // Sockets without a mark have this one.
        config.ignored_mark = 0;
        config.mark_mask = 0xfff;
    }) else {
        return;
    };
    exchange(&listener, listener.local_addr().unwrap());
    // The programs have run by now; what they had to report would be there.
    let polled = live.capture.poll(Duration::from_millis(100), &mut |event| {
        let Event::Tcp(segment) = event else {
            return;
        };
        panic!("emitted: {segment:?}")
    });
    assert_eq!(polled.unwrap(), Polled::More);
}

#[test]
fn own_sockets_are_ignored() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    let address = client.local_addr().unwrap();
    let own = SocketId(rustix::net::sockopt::socket_cookie(&client).unwrap());
    live.capture.own_sockets().ignore(own).unwrap();
    send(&mut client, &mut server, REQUEST);
    send(&mut server, &mut client, RESPONSE);
    close(client, server);
    let emitted = live.until_ended();
    assert!(emitted.iter().all(|segment| segment.local != address));
}

#[test]
fn what_an_own_listener_accepts_is_ignored() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    live.capture
        .own_sockets()
        .ignore_accepted(&listener)
        .unwrap();
    let address = exchange(&listener, listener.local_addr().unwrap());
    let emitted = live.until("end of the connection", |emitted| {
        emitted.iter().filter(|segment| segment.fin).count() >= 2
    });
    assert!(emitted.iter().all(|segment| segment.local == address));
}

#[test]
fn what_the_engine_gives_up_is_emitted_no_more() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let to = listener.local_addr().unwrap();
    let (mut client, mut server) = connect(&listener, to);
    let address = client.local_addr().unwrap();
    send(&mut client, &mut server, REQUEST);
    let emitted = live.until("request at both ends", |emitted| {
        emitted.iter().filter(|segment| segment.start).count() == 2
    });
    let commands: Vec<Command> = emitted
        .iter()
        .map(|segment| Command::Ignore(segment.socket, IgnoreReason::NotHttp))
        .collect();
    live.capture.command(&commands);
    send(&mut server, &mut client, RESPONSE);
    close(client, server);
    let other = exchange(&listener, to);
    let emitted = live.until_closed(other);
    let of_first = emitted.iter().filter(|segment| ends_at(segment, address));
    assert_eq!(of_first.count(), 2);
}

#[test]
fn an_older_connection_is_joined_at_its_next_request() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    let address = client.local_addr().unwrap();
    send(&mut client, &mut server, REQUEST);
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    send(&mut server, &mut client, half);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    send(&mut server, &mut client, b" a word");
    send(&mut client, &mut server, REQUEST);
    send(&mut server, &mut client, RESPONSE);
    close(client, server);
    let emitted = live.until_closed(address);
    let payloads: Vec<&[u8]> = emitted
        .iter()
        .filter(|segment| segment.local == address && !segment.payload.is_empty())
        .map(|segment| segment.payload.as_slice())
        .collect();
    assert_eq!(payloads, [REQUEST, RESPONSE]);
    assert!(emitted.iter().all(|segment| !segment.start));
}

#[test]
fn an_older_connection_without_requests_is_ignored() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let to = listener.local_addr().unwrap();
    let (mut client, mut server) = connect(&listener, to);
    send(&mut client, &mut server, b"something");
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    for _ in 0..10 {
        send(&mut client, &mut server, b"\x01else");
        send(&mut server, &mut client, b"\x02responded");
    }
    send(&mut client, &mut server, REQUEST);
    close(client, server);
    let other = exchange(&listener, to);
    let emitted = live.until_closed(other);
    assert!(emitted.iter().all(|segment| ends_at(segment, other)));
}

#[test]
fn a_reset_is_emitted() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    send(&mut client, &mut server, REQUEST);
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let emitted = live.until("reset at both ends", |emitted| {
        emitted.iter().filter(|segment| segment.rst).count() == 2
    });
    let directions: Vec<Direction> = emitted
        .iter()
        .filter(|segment| segment.rst)
        .map(|segment| segment.direction)
        .collect();
    assert_eq!(directions, [Direction::Egress, Direction::Ingress]);
}

/// A body of 64 MiB, with budgets of 256 KiB.
const BODY: usize = 64 << 20;
const BUDGET: usize = 256 << 10;

/// The largest segment that a budget may end within.
const OVERHANG: usize = meshtap_common::MAX_SKB;

fn of_servers_with_the_small_budget(config: &mut CaptureConfig) {
    config.budget = u32::try_from(BUDGET).unwrap();
    config.side = SIDE_SERVER;
}

#[test]
fn a_large_body_is_omitted_and_the_next_message_is_not() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, of_servers_with_the_small_budget) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    send(&mut client, &mut server, REQUEST);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
    send(&mut server, &mut client, head.as_bytes());
    send(&mut server, &mut client, &vec![b'x'; BODY]);
    send(&mut client, &mut server, REQUEST);
    send(&mut server, &mut client, RESPONSE);
    close(client, server);
    let emitted = live.until_ended();
    let sent: Vec<&Emitted> = emitted
        .iter()
        .filter(|segment| segment.direction == Direction::Egress)
        .collect();
    let copied: usize = sent.iter().map(|segment| segment.payload.len()).sum();
    let wire = head.len() + BODY + RESPONSE.len();
    assert!(copied >= BUDGET + RESPONSE.len(), "{copied}");
    // Nobody reads meanwhile: the window goes on until half of the ring buffer is in use.
    let room = meshtap_common::DEFAULT_RING_BYTES as usize / 2;
    let most = BUDGET + room + RESPONSE.len() + OVERHANG;
    assert!(copied <= most, "{copied}");
    // User space hears of what is omitted, again and again, and what follows is whole.
    let progress = sent.iter().filter(|segment| segment.skipped).count();
    assert!(progress > BODY >> 20, "{progress}");
    let response = sent
        .iter()
        .find(|segment| segment.payload == RESPONSE)
        .unwrap();
    assert!(response.skipped, "the gap before it is on purpose");
    let length = u32::try_from(head.len() + BODY).unwrap();
    assert_eq!(response.seq, sent[0].seq.wrapping_add(length));
    let omitted = live.capture.drops().unwrap().bytes(DropReason::Budget);
    assert_eq!(usize::try_from(omitted).unwrap(), wire - copied);
}

#[test]
fn a_budget_counts_from_where_user_space_says() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(mut live) = Live::start(port, of_servers_with_the_small_budget) else {
        return;
    };
    let (mut client, mut server) = connect(&listener, listener.local_addr().unwrap());
    let head = b"POST / HTTP/1.1\r\nContent-Length: 8388608\r\n\r\n";
    send(&mut client, &mut server, head);
    let emitted = live.until("head", |emitted| {
        emitted.iter().any(|segment| segment.start)
    });
    let socket = emitted[0].socket;
    let body_at = emitted[0].seq.wrapping_add(emitted[0].wire_len);
    // 1 KiB of marks, 2 MiB into the body.
    const MARKS: usize = 2 << 20;
    live.capture.command(&[Command::ResumeOffset {
        socket,
        direction: Direction::Ingress,
        seq: body_at.wrapping_add(u32::try_from(MARKS).unwrap()),
    }]);
    let mut body = vec![b'.'; 8 << 20];
    body[MARKS..MARKS + 1024].fill(b'!');
    send(&mut client, &mut server, &body);
    close(client, server);
    let emitted = live.until_ended();
    let marks = emitted
        .iter()
        .flat_map(|segment| &segment.payload)
        .filter(|&&byte| byte == b'!');
    assert_eq!(marks.count(), 1024);
    let copied: usize = emitted.iter().map(|segment| segment.payload.len()).sum();
    // The window goes on behind the offset, and nothing before it is copied.
    let behind = body.len() - MARKS;
    assert!(copied <= behind + BUDGET + OVERHANG, "{copied}");
    assert!(
        emitted
            .iter()
            .any(|segment| segment.skipped && !segment.payload.is_empty())
    );
}

#[test]
fn the_hook_leaves_with_the_capture() {
    let (listener, port) = listen(Ipv4Addr::LOCALHOST);
    let Some(live) = Live::start(port, |_| ()) else {
        return;
    };
    drop(live);
    // Traffic flows as before, and another capture can start.
    let to = listener.local_addr().unwrap();
    exchange(&listener, to);
    let Some(mut live) = Live::start(port, |_| ()) else {
        return;
    };
    let client = exchange(&listener, to);
    live.until_closed(client);
}

#[test]
fn a_folder_that_is_no_cgroup_is_named() {
    let options = CaptureOptions {
        cgroup: Some("/proc".into()),
        ..CaptureOptions::default()
    };
    match Capture::start(&options) {
        Err(CaptureError::NotCgroup { path }) => assert_eq!(path, std::path::Path::new("/proc")),
        Err(CaptureError::NoPrograms | CaptureError::Privilege { .. }) => {}
        other => panic!("{other:?}"),
    }
}
