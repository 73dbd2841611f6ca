//! `tap -i` under load: capture does not wait for the screen, memory is bounded, and what is not
//! shown is said.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use meshtap_tests::{Bench, Terminal, figure, live};
use serde_json::Value;

const REQUEST: &[u8] = b"GET /items/17 HTTP/1.1\r\nHost: load.example\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONNECTIONS: usize = 8;
/// Requests in one write (RFC 9112 §9.3.2): load that leaves processors to the agent.
const PIPELINED: usize = 20;
/// What the screen holds (128 MiB), the queue before it (64 MiB), the ring buffer (16 MiB), and as
/// much again.
const MAX_MEMORY: u64 = 416 * 1024 * 1024;

/// Responds to every request on a connection. All have one length.
fn respond(mut stream: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let (mut received, mut responded) = (0, 0);
    while let Ok(1..) = stream.read(&mut buffer).inspect(|count| received += count) {
        let due = received / REQUEST.len() - responded;
        stream.write_all(&RESPONSE.repeat(due)).expect("sent");
        responded += due;
    }
}

/// Sends so many batches, one each `period`.
fn send(server: SocketAddr, batches: usize, period: Duration) {
    let mut stream = TcpStream::connect(server).expect("connected");
    stream.set_nodelay(true).expect("an option");
    let mut buffer = vec![0; PIPELINED * RESPONSE.len()];
    let mut due = Instant::now();
    for _ in 0..batches {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // One that is late is not made up for by a burst.
        due = Instant::now().max(due) + period;
        stream.write_all(&REQUEST.repeat(PIPELINED)).expect("sent");
        stream.read_exact(&mut buffer).expect("responses");
    }
}

/// Exchanges on connections, so many a second at most; how long they took.
fn exchange(count: usize, rate: Option<u32>) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("one");
    let each = u32::try_from(CONNECTIONS * PIPELINED).expect("a number");
    let period = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) * each / rate);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CONNECTIONS {
                let (stream, _) = listener.accept().expect("a connection");
                scope.spawn(move || respond(stream));
            }
        });
        for _ in 0..CONNECTIONS {
            scope.spawn(move || send(server, count / CONNECTIONS / PIPELINED, period));
        }
    });
    start.elapsed()
}

/// A number of the first line: what stands before these words.
fn said(screen: &str, words: &str) -> u64 {
    let bar = screen.lines().next().unwrap_or_default();
    let Some((before, _)) = bar.split_once(words) else {
        return 0;
    };
    let number = before.rsplit("  ").next().unwrap_or_default();
    number.replace(' ', "").parse().expect("a number")
}

/// So many exchanges at most so fast beside `tap -i`.
fn check(bench: &Bench, count: usize, rate: Option<u32>) {
    let file = bench.scratch.path().join("ledger.json");
    let arguments = ["tap", "-i", "--ledger-json", &file.to_string_lossy()];
    let terminal = Terminal::live(bench, (120, 24), &[], &arguments);
    let took = exchange(count, rate);
    let all = count as u64;
    // Every one is held, fell out, or was not shown; the first line says which.
    let screen = terminal.until("it has followed", |screen| {
        let parts = [" exchanges", " not shown", " fell out"];
        parts.map(|words| said(screen, words)).iter().sum::<u64>() == all
    });
    terminal.press(&["q"]);
    let (state, left) = terminal.ended();
    assert_eq!(state, "1:0::0", "{left}");
    let ledger = std::fs::read(&file).expect("a file");
    let ledger: Value = serde_json::from_slice(&ledger).expect("JSON");
    let number = |pointer: &str| {
        let value = ledger.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no {pointer}: {ledger:#}"))
    };
    assert_eq!(number("/ledger/started"), all, "{ledger:#}");
    assert_eq!(number("/ledger/emitted_complete"), all, "{ledger:#}");
    assert_eq!(number("/stats/gaps"), 0, "{ledger:#}");
    assert_eq!(number("/delivery/output_full"), 0, "{ledger:#}");
    let skipped = number("/delivery/skipped");
    assert_eq!(number("/delivery/shown") + skipped, all, "{ledger:#}");
    assert_eq!(skipped, said(&screen, " not shown"), "{screen}");
    let memory = number("/max_rss_bytes");
    assert!(memory < MAX_MEMORY, "{memory}: {ledger:#}");
    figure(&format!(
        "{:.0} exchanges a second for {:.1} s, {skipped} not shown, {} MiB, {:.1} µs each",
        all as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        memory >> 20,
        number("/cpu_ns") as f64 / 1e3 / all as f64,
    ));
}

#[test]
fn capture_does_not_wait() {
    live(|bench| check(bench, 48_000, None));
}

#[test]
#[ignore = "takes both processors for ten seconds, and wants a release build"]
fn fifty_thousand_a_second() {
    live(|bench| check(bench, 500_000, Some(50_000)));
}
