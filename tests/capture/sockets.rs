//! Ways in which bytes reach or leave a socket: each has its own path through the kernel, and all
//! of them are seen.

use std::fs;
use std::io::{IoSlice, Write as _};
use std::process::Command;

use meshtap_tests::{
    Bench, Connection, Daemon, HTTP_PORT, Nginx, Pair, Random, Tap, curl, live, url,
};

/// Starts a Python program that listens on [`HTTP_PORT`], or on another port.
fn python(bench: &Bench, program: &str, port: u16) -> Daemon {
    let mut command = Command::new("python3");
    command
        .args(["-c", program])
        .current_dir(bench.scratch.path());
    Daemon::start(bench, &mut command).listening(port)
}

#[test]
fn a_listener_for_both_families() {
    live(|bench| {
        let listen = format!("listen [::]:{HTTP_PORT} ipv6only=off;");
        let page = "location / { return 200 $remote_addr; }";
        let _nginx = Nginx::start_http(bench, &format!("server {{ {listen} {page} }}"));
        for side in ["server", "client", "both"] {
            let tap = Tap::new(bench).args(["--side", side]).start();
            // The server's addresses are ::ffff:127.0.0.1, the client's 127.0.0.1: the same to
            // whoever reads them.
            let response = curl(&[&url("127.0.0.1", "/mapped")]);
            assert_eq!(response, b"::ffff:127.0.0.1");
            let report = tap.finish();
            report.assert_nothing_lost();
            assert_eq!(report.only().end("server"), ("127.0.0.1", HTTP_PORT));
            assert_eq!(report.only().end("client").0, "127.0.0.1");
        }
    });
}

#[test]
fn a_request_in_the_syn() {
    live(|bench| {
        fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3").expect("the namespace's own setting");
        let listen = format!("listen {HTTP_PORT} fastopen=16;");
        let page = "location / { return 200 fast; }";
        let _nginx = Nginx::start_http(bench, &format!("server {{ {listen} {page} }}"));
        let tap = Tap::new(bench).start();
        // The first connection gets the cookie that the others use.
        for n in 0..4 {
            let page = url("127.0.0.1", &format!("/{n}"));
            assert_eq!(curl(&["--tcp-fastopen", &page]), b"fast");
        }
        assert!(counter("TCPFastOpenPassive") >= 3, "TCP Fast Open was used");
        let report = tap.finish();
        report.assert_nothing_lost();
        let targets: Vec<_> = report.exchanges.iter().map(|e| e.target()).collect();
        assert_eq!(targets, ["/0", "/1", "/2", "/3"]);
    });
}

/// A counter of `TcpExt` in the current network.
fn counter(name: &str) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/netstat").expect("counters");
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names
        .split(' ')
        .zip(values.split(' '))
        .find(|(key, _)| *key == name);
    found
        .and_then(|(_, value)| value.parse().ok())
        .expect("the counter")
}

/// A download of five megabytes through `fetch`; the captured body is the file on every socket that
/// is emitted.
fn check_download(
    prepare: impl Fn(&Bench) -> Option<Daemon> + Send + Sync,
    page: &str,
    emitted: usize,
) {
    live(|bench| {
        let nginx = Nginx::start(bench, "");
        let content = Random::new(8).bytes(5_000_000);
        fs::write(nginx.root().join("big"), &content).expect("a file");
        let _prepared = prepare(bench);
        let tap = Tap::new(bench)
            .args(["--max-body", "16MiB", "--ring-size", "64MiB"])
            .start();
        assert!(curl(&[page]) == content);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), emitted);
        for exchange in &report.exchanges {
            assert_eq!(exchange.response().body_size(), 5_000_000);
            assert!(exchange.response().bytes() == content);
        }
    });
}

#[test]
fn packets_of_half_a_megabyte() {
    check_download(
        |bench| {
            bench.netns.ip("link set lo gso_max_size 524280");
            None
        },
        &url("[::1]", "/big"),
        1,
    );
}

#[test]
fn small_packets() {
    check_download(
        |bench| {
            bench.netns.ip("link set lo mtu 1280 gso_max_segs 1");
            None
        },
        &url("127.0.0.1", "/big"),
        1,
    );
}

#[test]
fn a_proxy_that_splices() {
    let program = "
import os, socket, threading
listener = socket.create_server(('127.0.0.1', 8081))
def pump(a, b):
    r, w = os.pipe()
    while True:
        n = os.splice(a.fileno(), w, 1 << 20)
        if n == 0: break
        while n: n -= os.splice(r, b.fileno(), n)
    b.shutdown(socket.SHUT_WR)
while True:
    client, _ = listener.accept()
    server = socket.create_connection(('127.0.0.1', 8080))
    threading.Thread(target=pump, args=(client, server)).start()
    threading.Thread(target=pump, args=(server, client)).start()
";
    check_download(
        |bench| Some(python(bench, program, 8081)),
        "http://127.0.0.1:8081/big",
        2,
    );
}

#[test]
fn bytes_sent_without_a_copy() {
    let program = "
import socket
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
listener = socket.create_server(('127.0.0.1', 8081))
while True:
    client, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    client.recv(65536)
    body = memoryview(open('www/big', 'rb').read())
    client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body))
    sent = 0
    while sent < len(body): sent += client.send(body[sent:sent + 200000], MSG_ZEROCOPY)
    client.close()
";
    check_download(
        |bench| Some(python(bench, program, 8081)),
        "http://127.0.0.1:8081/big",
        1,
    );
}

#[test]
fn a_request_in_many_parts_of_one_write() {
    live(|bench| {
        let tap = Tap::new(bench).server_side().start();
        let mut pair = Pair::new(9000);
        let fields: Vec<String> = (0..120).map(|n| format!("X-{n}: {n}\r\n")).collect();
        let mut parts = vec![IoSlice::new(b"GET /parts HTTP/1.1\r\n")];
        parts.extend(fields.iter().map(|field| IoSlice::new(field.as_bytes())));
        parts.push(IoSlice::new(b"\r\n"));
        let length: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(pair.client.write_vectored(&parts).expect("writev"), length);
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().request().headers().len(), 120);
    });
}

/// ztunnel's sockets carry a mark. So can anybody's: it counts only where a person says so.
#[test]
fn marked_sockets_are_left_alone_on_request() {
    let program = "
import http.server as h, socket
server = h.ThreadingHTTPServer(('127.0.0.1', 8080), h.SimpleHTTPRequestHandler, False)
server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
server.server_bind()
server.server_activate()
server.serve_forever()
";
    live(|bench| {
        let _server = python(bench, program, HTTP_PORT);
        for (arguments, side) in [
            (&[][..], "server"),
            (&["--ignore-mark", "0x539/0xfff"], "client"),
        ] {
            let tap = Tap::new(bench).args(arguments).start();
            let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
            assert_eq!(connection.get("/").status, 200);
            let report = tap.finish();
            report.assert_nothing_lost();
            assert_eq!(report.only().side(), side, "{arguments:?}");
        }
    });
}
