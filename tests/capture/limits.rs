//! Bounds: bodies past the limit stay in the kernel, and connections that never finish cost bounded
//! memory.

use std::fs::{self, File};

use meshtap_tests::{Connection, ECHO, HTTP_PORT, Nginx, Pair, Tap, curl, figure, live, url};

#[test]
fn a_gigabyte_is_measured_and_not_copied() {
    const SIZE: u64 = 1 << 30;
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        let file = File::create(nginx.root().join("huge")).expect("a file");
        file.set_len(SIZE).expect("a sparse file");
        let tap = Tap::new(bench).server_side().start();
        let (huge, next) = (url("127.0.0.1", "/huge"), url("127.0.0.1", "/echo?id=next"));
        let response = curl(&["-o", "/dev/null", &huge, "-o", "-", &next]);
        assert_eq!(response, b"next");
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 2, "{:#}", report.ledger);
        let [huge, next] = &report.exchanges[..] else {
            panic!("two exchanges");
        };
        assert_eq!(huge.end("client"), next.end("client"), "one connection");
        assert_eq!(huge.response().body_size(), SIZE, "the true size");
        assert_eq!(huge.response().text().len(), 64 * 1024);
        assert_eq!(next.response().text(), "next");
        let copied = report.copied_bytes();
        figure(&format!("{copied} bytes copied of a 1 GB download"));
        assert!(copied < 8 << 20, "{copied}");
    });
}

/// The end of a body that the kernel did not give is seen at once, though nothing follows on its
/// connection.
fn large_responses_on_a_connection_that_stays_open(side: &str) {
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        // A gap is waited for longer than an exchange may last here: what waits for one is emitted
        // as too old.
        let tap = Tap::new(bench)
            .args(["--side", side, "--max-exchange-age", "1500ms"])
            .start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        let asked = [1_100_000, 2_000_000, 5_000_001].repeat(4);
        for (n, size) in asked.iter().copied().enumerate() {
            let file = File::create(nginx.root().join("large")).expect("a file");
            file.set_len(size).expect("a sparse file");
            assert_eq!(connection.get("/large").body.len() as u64, size);
            tap.emitted(n + 1);
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        let sizes: Vec<u64> = (report.exchanges.iter())
            .map(|exchange| exchange.response().body_size())
            .collect();
        assert_eq!(sizes, asked);
        drop(connection);
    });
}

#[test]
fn large_responses_seen_by_the_server() {
    large_responses_on_a_connection_that_stays_open("server");
}

#[test]
fn large_responses_seen_by_the_client() {
    large_responses_on_a_connection_that_stays_open("client");
}

#[test]
fn a_gigabyte_upload_is_measured_and_not_copied() {
    const SIZE: u64 = 1 << 30;
    live(|bench| {
        let _nginx = Nginx::start(
            bench,
            "location /up { return 200 up; } location /echo { return 200 $arg_id; }",
        );
        let path = bench.scratch.path().join("huge");
        File::create(&path)
            .and_then(|file| file.set_len(SIZE))
            .expect("a sparse file");
        let tap = Tap::new(bench).server_side().start();
        let (up, next) = (url("127.0.0.1", "/up"), url("127.0.0.1", "/echo?id=next"));
        let file = path.to_str().expect("a path");
        let _ = curl(&[
            "-X", "POST", "-H", "Expect:", "-T", file, &up, "--next", "-sS", &next,
        ]);
        let report = tap.finish();
        report.assert_nothing_lost();
        let [up, next] = &report.exchanges[..] else {
            panic!("two exchanges: {:#?}", report.lines);
        };
        assert_eq!(up.request().body_size(), SIZE, "the true size");
        assert_eq!(next.response().text(), "next");
        let copied = report.copied_bytes();
        figure(&format!("{copied} bytes copied of a 1 GB upload"));
        assert!(copied < 8 << 20, "{copied}");
    });
}

/// A request with a chunked body, and the next one: no length says where it begins.
fn chunked_and_next(size: usize, chunk: usize) -> Vec<u8> {
    let body = vec![b'x'; size];
    let mut bytes =
        b"POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in body.chunks(chunk) {
        bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
        bytes.extend(part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\nGET /next HTTP/1.1\r\nHost: test\r\n\r\n");
    bytes
}

/// In one write of the client's, many times the capture window: as much as half of the ring buffer,
/// so that it does not matter when the agent is given a processor.
#[test]
fn a_request_in_one_write_with_the_chunked_body_before_it() {
    for (size, chunk) in [
        (3 << 20, 1000),
        (8_000_000, 16 << 10),
        (8_000_000, 64 << 10),
        (8_000_000, 8_000_000),
    ] {
        live(|bench| {
            let bytes = chunked_and_next(size, chunk);
            let tap = Tap::new(bench).server_side().start();
            let mut pair = Pair::new(HTTP_PORT);
            for n in 1..=3 {
                pair.request(&bytes);
                pair.respond("HTTP/1.1 204 No Content\r\n\r\n".repeat(2));
                tap.emitted(2 * n);
            }
            let report = tap.finish();
            report.assert_nothing_lost();
            let seen: Vec<_> = (report.exchanges.iter())
                .map(|one| (one.target(), one.request().body_size(), one.partial()))
                .collect();
            let expected = [("/upload", size as u64, None), ("/next", 0, None)].repeat(3);
            assert_eq!(seen, expected, "{size} in chunks of {chunk}");
        });
    }
}

/// Resident memory of a process, in bytes (`VmRSS`, proc(5)).
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("VmRSS") * 1024
}

#[test]
fn ten_thousand_half_sent_requests() {
    const COUNT: usize = 10_000;
    live(|bench| {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let raised = rustix::process::Rlimit {
            current: limit.maximum,
            ..limit
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("rlimit");

        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let before = resident(tap.pid());
        let filler = "x".repeat(900);
        let mut connections: Vec<Connection> = (0..COUNT)
            .map(|n| {
                let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
                connection.send(format!(
                    "GET /echo?id={n} HTTP/1.1\r\nX-Filler: {filler}\r\n"
                ));
                connection
            })
            .collect();
        // One exchange more: when it is emitted, all that came before it has been read.
        let _ = curl(&[&url("127.0.0.1", "/echo?id=last")]);
        tap.emitted(1);
        let half = resident(tap.pid());
        for connection in &mut connections {
            connection.send("Host: test\r\n\r\n");
        }
        for (n, connection) in connections.iter_mut().enumerate() {
            assert_eq!(connection.response().body, n.to_string().as_bytes());
        }
        tap.emitted(1 + COUNT);
        drop(connections);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 1 + COUNT);
        let each = half.saturating_sub(before) / COUNT as u64;
        figure(&format!(
            "RSS {} MiB with {COUNT} half-sent requests of 1 KB ({} MiB before: {each} bytes each)",
            half >> 20,
            before >> 20
        ));
        // 1 KB of head, rounded up to a power of two as buffers grow, and the connection's state
        // beside it.
        assert!(each < 8 * 1024, "{each}");
        assert!(half < 256 << 20, "{half}");
    });
}
