//! A collector that keeps nothing, on threads of this process whose time is known: OTLP over
//! HTTP/1.1.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counted;

/// What it says to every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// All spans are taken.
    Taken,
    /// All but three (`ExportTracePartialSuccess`).
    Rejected,
    /// The request is wrong.
    Refused,
}

impl Says {
    fn response(self) -> &'static [u8] {
        match self {
            Self::Taken => {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
            }
            // partial_success { rejected_spans: 3, error_message: "no" }
            Self::Rejected => {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 8\r\n\r\n\
                  \x0a\x06\x08\x03\x12\x02no"
            }
            Self::Refused => b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
}

/// Its threads end with the process.
pub(super) struct Collector {
    address: SocketAddr,
    counts: Arc<Counts>,
}

/// What has come, and what taking it took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl Collector {
    pub(super) fn start(says: Says) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let shared = counts.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let counts = shared.clone();
                std::thread::spawn(move || serve(connection, says, &counts));
            }
        });
        Self { address, counts }
    }

    /// Where spans go.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    pub(super) fn taken(&self) -> Taken {
        let read = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Taken {
            requests: read(&self.counts.requests),
            bytes: read(&self.counts.bytes),
            time: Duration::from_nanos(read(&self.counts.nanos)),
        }
    }
}

fn serve(connection: TcpStream, says: Says, counts: &Counts) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, connection.try_clone()?);
    let mut writer = connection;
    let mut line = String::with_capacity(256);
    let mut before = Duration::ZERO;
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
        let bytes = io::copy(&mut (&mut reader).take(length), &mut io::empty())?;
        let now = counted::of_thread();
        let nanos = now.saturating_sub(before).as_nanos() as u64;
        before = now;
        counts.requests.fetch_add(1, Ordering::SeqCst);
        counts.bytes.fetch_add(bytes, Ordering::SeqCst);
        counts.nanos.fetch_add(nanos, Ordering::SeqCst);
        writer.write_all(says.response())?;
    }
}
