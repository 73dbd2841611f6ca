//! A collector that takes everything and keeps nothing: OTLP over HTTP (the specification's
//! OTLP/HTTP), in this process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

/// An empty `ExportTraceServiceResponse`.
const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
/// For what a collector says while it starts.
const REFUSED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

#[derive(Debug, Default)]
struct Shared {
    requests: AtomicU64,
    bytes: AtomicU64,
    away: AtomicBool,
    over: AtomicBool,
}

/// Takes requests until it is dropped.
pub(super) struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("collector".into())
            .spawn({
                let shared = shared.clone();
                move || accept(&listener, &shared)
            })?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where spans go.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a collector that restarts: it refuses everything as long as this is set.
    pub(super) fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::Relaxed);
    }

    /// Requests that were taken, and their bytes.
    pub(super) fn taken(&self) -> (u64, u64) {
        let Shared {
            requests, bytes, ..
        } = &*self.shared;
        (
            requests.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // It waits for a connection: this is one.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming().flatten() {
        if shared.over.load(Ordering::Relaxed) {
            return;
        }
        let shared = shared.clone();
        // An exporter has a few connections, and ends them when it does.
        std::thread::spawn(move || serve(connection, &shared));
    }
}

fn serve(connection: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let taken = io::copy(&mut (&mut reader).take(length), &mut io::empty())?;
        if shared.away.load(Ordering::Relaxed) {
            writer.write_all(REFUSED)?;
            continue;
        }
        shared.requests.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(taken, Ordering::Relaxed);
        writer.write_all(TAKEN)?;
    }
}
