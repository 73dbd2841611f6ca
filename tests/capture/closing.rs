//! A client closes its socket before its response is there: at its own side, no packet says so.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Command;

use meshtap_tests::{Daemon, HTTP_PORT, Pair, Tap, live, reset, url};

const PORT: u16 = 9000;
const GET: &str = "GET /wait HTTP/1.1\r\nHost: test\r\n\r\n";

/// At a client's side: what `talk` leaves of a connection. An exchange is emitted long before it is
/// too old.
fn check(talk: impl Fn(Pair) -> Pair + Send + Sync, partial: &str) {
    live(|bench| {
        let tap = Tap::new(bench).args(["--side", "client"]).start();
        let pair = talk(Pair::new(PORT));
        tap.emitted(1);
        let report = tap.finish();
        report.assert_balanced();
        assert_eq!(report.only().partial(), Some(partial));
        // Open until now.
        drop(pair);
    });
}

/// Closes the client's socket, and leaves a copy of the server's in both places.
fn close_client(pair: Pair) -> Pair {
    let Pair { client, server } = pair;
    drop(client);
    let copy = server.try_clone().expect("a copy");
    Pair {
        client: copy,
        server,
    }
}

#[test]
fn while_it_waits() {
    check(
        |mut pair| {
            pair.request(GET);
            close_client(pair)
        },
        "no_response",
    );
}

#[test]
fn while_it_waits_after_the_end_of_its_requests() {
    check(
        |mut pair| {
            pair.request(GET);
            pair.client.shutdown(Shutdown::Write).expect("shutdown");
            assert_eq!(pair.server.read(&mut [0]).expect("the end"), 0);
            close_client(pair)
        },
        "no_response",
    );
}

#[test]
fn while_the_response_comes() {
    check(
        |mut pair| {
            pair.request(GET);
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
            close_client(pair)
        },
        "response_cut",
    );
}

/// The kernel resets the connection then.
#[test]
fn with_bytes_that_it_has_not_read() {
    check(
        |mut pair| {
            pair.request(GET);
            let some = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome";
            pair.server.write_all(some).expect("send");
            let mut first = [0];
            assert_eq!(pair.client.peek(&mut first).expect("bytes"), 1);
            close_client(pair)
        },
        "response_cut",
    );
}

#[test]
fn with_a_reset() {
    check(
        |mut pair| {
            pair.request(GET);
            let Pair { client, server } = pair;
            reset(client);
            let copy = server.try_clone().expect("a copy");
            Pair {
                client: copy,
                server,
            }
        },
        "no_response",
    );
}

/// Most of the body is in the kernel when the client has closed, and is sent all the same.
#[test]
fn with_a_request_that_is_still_sent() {
    const SIZE: usize = 3_000_000;
    live(|bench| {
        let tap = Tap::new(bench).args(["--side", "client"]).start();
        let Pair {
            mut client,
            mut server,
        } = Pair::new(PORT);
        let sender = std::thread::spawn(move || {
            let head = format!("POST /up HTTP/1.1\r\nContent-Length: {SIZE}\r\n\r\n");
            client.write_all(head.as_bytes()).expect("send");
            client.write_all(&vec![b'x'; SIZE]).expect("send");
        });
        let mut all = Vec::new();
        server.read_to_end(&mut all).expect("all of it");
        sender.join().expect("the client");
        assert!(all.len() > SIZE);
        tap.emitted(1);
        let report = tap.finish();
        report.assert_balanced();
        assert_eq!(report.only().partial(), Some("no_response"));
        assert_eq!(report.only().request().body_size(), SIZE as u64);
        drop(server);
    });
}

/// At both sides, and at each: the response that comes in the end is read whole.
fn read_whole(talk: impl Fn(&mut Pair) + Send + Sync) {
    live(|bench| {
        for side in ["client", "server", "both"] {
            let tap = Tap::new(bench).args(["--side", side]).start();
            let mut pair = Pair::new(PORT);
            pair.request(GET);
            talk(&mut pair);
            pair.respond("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
            tap.emitted(1);
            drop(pair);
            let report = tap.finish();
            report.assert_nothing_lost();
            assert_eq!(report.only().partial(), None, "{side}");
            assert_eq!(report.only().response().text(), "body", "{side}");
        }
    });
}

#[test]
fn the_end_of_its_requests_is_no_close() {
    read_whole(|pair| pair.client.shutdown(Shutdown::Write).expect("shutdown"));
}

#[test]
fn a_copy_of_the_descriptor_is_open() {
    read_whole(|pair| {
        let copy = pair.client.try_clone().expect("a copy");
        drop(std::mem::replace(&mut pair.client, copy));
    });
}

/// The server's end knows nothing of it until it has closed as well. With both, the exchange is
/// shown once.
#[test]
fn at_both_sides() {
    live(|bench| {
        for side in ["server", "both"] {
            let tap = Tap::new(bench).args(["--side", side]).start();
            let mut pair = Pair::new(PORT);
            pair.request(GET);
            drop(close_client(pair));
            tap.emitted(1);
            let report = tap.finish();
            report.assert_balanced();
            assert_eq!(report.only().partial(), Some("no_response"), "{side}");
        }
    });
}

/// Connections that are closed while nothing is in flight say nothing.
#[test]
fn idle_connections() {
    live(|bench| {
        let tap = Tap::new(bench).args(["--side", "client"]).start();
        for _ in 0..100 {
            let mut pair = Pair::new(PORT);
            pair.request(GET);
            pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 100);
        assert!(report.exchanges.iter().all(|one| one.partial().is_none()));
    });
}

/// Programs that give up, each in its way; the last one is killed.
#[test]
fn programs_that_give_up() {
    let page = url("127.0.0.1", "/wait");
    let python = format!(
        "import urllib.request as r
try: r.urlopen('{page}', timeout=0.2)
except TimeoutError: pass"
    );
    let http2 = "--http2-prior-knowledge";
    let commands: [&[&str]; 4] = [
        &["curl", "-s", "--noproxy", "*", "--max-time", "2", &page],
        &[
            "curl",
            "-s",
            "--noproxy",
            "*",
            http2,
            "--max-time",
            "2",
            &page,
        ],
        &["python3", "-c", &python],
        &["curl", "-s", "--noproxy", "*", &page],
    ];
    live(|bench| {
        let listener = TcpListener::bind(("127.0.0.1", HTTP_PORT)).expect("bind");
        let tap = Tap::new(bench).args(["--side", "client"]).start();
        let mut open = Vec::new();
        for (before, words) in commands.iter().enumerate() {
            let mut command = Command::new(words[0]);
            let mut program = Daemon::start(bench, command.args(&words[1..]));
            let (mut server, _) = listener.accept().expect("a client");
            assert!(server.read(&mut [0; 4096]).expect("a request") > 0);
            open.push(server);
            if before < 3 {
                program.wait();
            }
            drop(program);
            tap.emitted(before + 1);
        }
        let report = tap.finish();
        report.assert_balanced();
        for exchange in &report.exchanges {
            assert_eq!(
                exchange.partial(),
                Some("no_response"),
                "{:?}",
                report.lines
            );
        }
    });
}
