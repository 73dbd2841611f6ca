//! What a pod does to push out its neighbours, in a process of its own: its sockets belong to the
//! cgroup that it was started in. It holds both ends of its connections.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// What one of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Bodies without an end, of which every byte is copied
    Flood,
    /// Heads of 60 KB that are never finished, on 6000 connections
    Heads,
    /// Bodies on which redaction works hardest
    Bodies,
    /// A connection for each request
    Churn,
}

/// Written at a time: fits the socket's buffers, so one thread can be both ends.
const CHUNK: usize = 32 * 1024;
/// Connections with unfinished heads.
const HEADS: usize = 6000;
const HEAD_BYTES: usize = 60_000;
/// Limit of a body that is kept.
const BODY_BYTES: usize = 64 * 1024;
const RESPONSE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
/// Media types, and what bodies are made of.
const SHAPES: [(&str, &str); 6] = [
    ("application/json", "\"k\":\"token\",\"v\":{"),
    ("application/json", "{\"a\":\"b: 1\\npassword: |\\n"),
    ("application/x-www-form-urlencoded", "f={\"a\":"),
    ("text/xml", "<name>password</name>"),
    ("text/plain", "password:\n "),
    ("multipart/form-data; boundary=b", "--b\nname=\""),
];

impl Attack {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Heads => "heads",
            Self::Bodies => "bodies",
            Self::Churn => "churn",
        }
    }

    /// Goes on until the process is killed. Says on standard output when it has started.
    pub(super) fn run(self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        match self {
            Self::Flood => flood(&mut Pair::new(&listener)?),
            Self::Heads => heads(&listener),
            Self::Bodies => bodies(&mut Pair::new(&listener)?),
            Self::Churn => churn(&listener),
        }
    }

    /// Starts it in a cgroup, and waits until it has started.
    pub(super) fn start(self, cgroup: &Path) -> Result<Attacker> {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n 20000 && echo $$ > \"$0\" && exec \"$@\""])
            .arg(cgroup.join("cgroup.procs"))
            .arg(std::env::current_exe()?)
            .args(["bench", "attack", self.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start an attacker")?;
        let output = process.stdout.take();
        let attacker = Attacker(process);
        let read = output.context("no output")?.read(&mut [0])?;
        match read {
            0 => bail!("the attacker has ended"),
            _ => Ok(attacker),
        }
    }
}

/// A running attacker; killed when it is dropped.
pub(super) struct Attacker(Child);

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn started() {
    println!();
}

/// Both ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new(listener: &TcpListener) -> Result<Self> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        Ok(Self { client, server })
    }

    /// The client sends, and the server reads.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut room = [0; CHUNK];
        for chunk in bytes.chunks(CHUNK) {
            self.client.write_all(chunk)?;
            self.server.read_exact(&mut room[..chunk.len()])?;
        }
        Ok(())
    }

    fn respond(&mut self) -> Result<()> {
        self.server.write_all(RESPONSE)?;
        Ok(self.client.read_exact(&mut [0; RESPONSE.len()])?)
    }
}

fn flood(pair: &mut Pair) -> Result<()> {
    pair.send(b"POST /flood HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"400\r\n", &[b'x'; 1024][..], b"\r\n"]
        .concat()
        .repeat(CHUNK / 1031);
    started();
    loop {
        pair.send(&chunk)?;
    }
}

fn heads(listener: &TcpListener) -> Result<()> {
    let head = format!("GET /head HTTP/1.1\r\nX-Long: {}", "x".repeat(HEAD_BYTES));
    let mut held = VecDeque::with_capacity(HEADS);
    loop {
        let mut pair = Pair::new(listener)?;
        pair.send(head.as_bytes())?;
        held.push_back(pair);
        if held.len() == HEADS {
            started();
        }
        if held.len() > HEADS {
            held.pop_front();
        }
    }
}

fn bodies(pair: &mut Pair) -> Result<()> {
    let request = |(media_type, unit): &(&str, &str)| {
        let body = unit.repeat(BODY_BYTES / unit.len());
        format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let requests: Vec<String> = SHAPES.iter().map(request).collect();
    started();
    for request in requests.iter().cycle() {
        pair.send(request.as_bytes())?;
        pair.respond()?;
    }
    Ok(())
}

fn churn(listener: &TcpListener) -> Result<()> {
    started();
    loop {
        let mut pair = Pair::new(listener)?;
        pair.send(b"GET /churn HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        pair.respond()?;
    }
}
