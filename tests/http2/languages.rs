//! An agent that starts in the middle of connections between programs in Go, Node.js and Python:
//! their libraries differ in what they put into tables, into one packet, and between requests.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use meshtap_parts::h2::{Peer, program};
use meshtap_tests::{Bench, Daemon, HTTP_PORT, Tap, live, skip};

use crate::in_part::judge;

const CONNECTIONS: usize = 8;
const STREAMS: usize = 4;
/// Rounds of so many streams on each connection, before the agent starts and after it.
const BEFORE: usize = 10;
const AFTER: usize = 12;

/// As the programs make them.
fn fields(prefix: char, id: usize) -> BTreeMap<String, String> {
    let mixed = |at: usize| (id * 12 + at) * 40_503 % 65_536;
    let is_there = |at: &usize| mixed(*at) % 3 != 0;
    let epoch = id / (CONNECTIONS * STREAMS * 5);
    let epoch_too = (prefix == 'x').then(|| ("x-epoch".to_owned(), epoch.to_string()));
    (0..12)
        .filter(is_there)
        .map(|at| {
            let value = mixed(at) / 3 % 4;
            let name = format!("{prefix}-name-{epoch}-{at}");
            (name, format!("{prefix}{at} is {value}"))
        })
        .chain([(format!("{prefix}-id"), id.to_string())])
        .chain(epoch_too)
        .collect()
}

/// A client that has sent some rounds, and sends more.
struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn start(mut program: Command, role: &str) -> Self {
        let numbers = [CONNECTIONS, STREAMS, BEFORE, AFTER].map(|number| number.to_string());
        let mut child = program
            .args([role, &HTTP_PORT.to_string()])
            .args(numbers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a client");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut client = Self {
            child,
            stdin,
            stdout,
        };
        assert_eq!(client.line(), "warm\n");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a pipe");
        line
    }

    /// Lets it send the rest. The ids of that.
    fn finish(mut self) -> Vec<String> {
        self.stdin.write_all(b"go\n").expect("a pipe");
        let mut ids = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            ids.extend(line.split_whitespace().map(str::to_owned));
        }
        let status = self.child.wait().expect("the client's end");
        assert!(status.success(), "{status}");
        assert_eq!(ids.len(), CONNECTIONS * STREAMS * AFTER);
        ids
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The agent starts in between, at one side of the connections.
fn run(
    bench: &Bench,
    (client, role): (Command, &str),
    mut server: Command,
    side: &str,
    what: &str,
) {
    let port = HTTP_PORT.to_string();
    server.args(["server", &port]);
    let _server = Daemon::start(bench, &mut server).listening(HTTP_PORT);
    let client = Client::start(client, role);
    let tap = Tap::new(bench)
        .args(["--side", side, "--no-redact", "--port", &port])
        .start();
    let ids = client.finish();
    judge(&tap.finish(), &ids, what, fields);
}

fn check(client: Peer, role: &str) {
    // What the first run makes, it makes of what the network has: the test's own has nothing.
    let command = |peer| program(peer).expect("a program that can be made");
    for server in [Peer::Go, Peer::Node, Peer::Python] {
        for side in ["server", "client"] {
            let what = format!("{client:?} ({role}) to {server:?}, at the {side}");
            let (Some(asks), Some(serves)) = (command(client), command(server)) else {
                skip(&what);
                continue;
            };
            live(|bench| run(bench, (asks, role), serves, side, &what));
        }
    }
}

#[test]
fn go_asks() {
    check(Peer::Go, "client");
}

#[test]
fn node_asks() {
    check(Peer::Node, "client");
}

#[test]
fn python_asks() {
    check(Peer::Python, "client");
}

#[test]
fn httpx_asks() {
    check(Peer::Python, "httpx");
}
