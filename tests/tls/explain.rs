//! `meshtap explain` about sockets that carry TLS, from before the agent and from after it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use meshtap_tests::{Tap, binary, live};
use serde_json::Value;

use crate::bench::{Certificate, TLS_PORT, nginx, reading};

/// `openssl s_client`, which keeps its connection.
struct Client {
    process: Child,
    requests: ChildStdin,
    responses: ChildStdout,
}

impl Client {
    fn connect() -> Self {
        let address = format!("127.0.0.1:{TLS_PORT}");
        let mut process = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        Self {
            requests: process.stdin.take().expect("stdin"),
            responses: process.stdout.take().expect("stdout"),
            process,
        }
    }

    fn exchange(&mut self, id: &str) {
        write!(
            self.requests,
            "GET /echo?id={id} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .expect("a request");
        let mut seen = Vec::new();
        while !seen.ends_with(id.as_bytes()) {
            let mut byte = [0];
            self.responses.read_exact(&mut byte).expect("a response");
            seen.extend(byte);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What this agent's verdict on the server's end is, as `captured, reason: why`.
fn verdict(agent: u32) -> Option<String> {
    let output = Command::new(binary().expect("a meshtap binary"))
        .args(["explain", "--json", "--port", &TLS_PORT.to_string()])
        .output()
        .expect("meshtap starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let end = format!(":{TLS_PORT}");
    let mut sockets = report["sockets"].as_array().expect("sockets").iter();
    let socket = sockets.find(|socket| {
        let local = socket["local"].as_str().unwrap_or_default();
        local.ends_with(&end) && !socket["remote"].is_null() && socket["process"] == "nginx"
    })?;
    let mut verdicts = socket["verdicts"].as_array().expect("verdicts").iter();
    let found = verdicts.find(|one| one["agent"]["pid"] == agent)?;
    let word = |key: &str| found[key].as_str().unwrap_or_default();
    Some(format!(
        "{}, {}: {}",
        word("captured"),
        word("reason"),
        word("why")
    ))
}

/// Exchanges go on until the verdict begins so.
#[track_caller]
fn becomes(agent: u32, client: &mut Client, expected: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        client.exchange("on");
        let found = verdict(agent).unwrap_or_default();
        if found.starts_with(expected) {
            return found;
        }
        assert!(Instant::now() < deadline, "{expected}: {found}");
    }
}

#[test]
fn a_session_that_began_before_the_agent() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let mut client = Client::connect();
        client.exchange("before");
        // One that reads no TLS: it knows of no handshake.
        let tap = Tap::new(bench).server_side().start();
        let why = becomes(tap.pid(), &mut client, "undecided, maybe_older_tls");
        assert!(
            why.contains("libssl.so") && why.contains("restart the client"),
            "{why}"
        );
        let mut fresh = Client::connect();
        drop(client);
        becomes(tap.pid(), &mut fresh, "no, tls: ");
        drop(tap);
    });
}

#[test]
fn what_is_read_where_it_is_decrypted_is_captured() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let mut client = Client::connect();
        client.exchange("before");
        let tap = reading(Tap::new(bench).server_side(), "libssl.so");
        // Older than the agent, and one that is not.
        becomes(tap.pid(), &mut client, "yes, decrypted: ");
        let mut fresh = Client::connect();
        drop(client);
        becomes(tap.pid(), &mut fresh, "yes, decrypted: ");
        drop(tap);
    });
}
