//! What the server is sent.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use super::super::h2load::Load;
use super::super::nginx::Nginx;

/// Seconds after which a steady load begins anew, with connections of its own.
const ROUND: u64 = 20;
/// Longest wait of a connection that comes and goes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Connections a second that come and go.
const PACE: Duration = Duration::from_millis(5);

const JSON: &[&str] = &["content-type: application/json"];
const GRPC: &[&str] = &["content-type: application/grpc", "te: trailers"];

/// Everything that is sent, until it is stopped.
pub(super) struct Loads {
    steady: Vec<Steady>,
    churn: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    churned: Arc<AtomicU64>,
}

/// One protocol at a steady rate.
struct Steady {
    url: String,
    http2: bool,
    rate: u64,
    body: Option<PathBuf>,
    fields: &'static [&'static str],
    log: PathBuf,
    process: Option<Child>,
    sent: u64,
}

impl Steady {
    fn load(&self) -> Load<'_> {
        Load {
            url: &self.url,
            http2: self.http2,
            clients: 10,
            streams: 1,
            rate: Some(self.rate),
            seconds: ROUND,
            body: self.body.as_deref(),
            fields: self.fields,
        }
    }

    /// Starts it, where it does not run.
    fn keep_going(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process {
            if process.try_wait()?.is_none() {
                return Ok(());
            }
            self.count();
        }
        self.process = Some(self.load().start(&self.log)?);
        Ok(())
    }

    /// Counts what the process that has ended sent: one line for each request.
    fn count(&mut self) {
        let log = fs::read(&self.log).unwrap_or_default();
        self.sent += log.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

impl Loads {
    pub(super) fn start(server: &Nginx, folder: &Path) -> Result<Self> {
        let [document, call] = bodies(folder)?;
        let document = || Some(document.clone());
        let steady = |name: &str, url, http2, rate, body, fields| -> Result<Steady> {
            let mut steady = Steady {
                url,
                http2,
                rate,
                body,
                fields,
                log: folder.join(format!("{name}.log")),
                process: None,
                sent: 0,
            };
            steady.keep_going()?;
            Ok(steady)
        };
        let stop = Arc::new(AtomicBool::new(false));
        let churned = Arc::new(AtomicU64::new(0));
        let port = server.port();
        let churn = std::thread::Builder::new().name("churn".into()).spawn({
            let (stop, churned) = (stop.clone(), churned.clone());
            move || churn(port, &stop, &churned)
        })?;
        Ok(Self {
            steady: vec![
                steady("h1", server.url(), false, 1000, document(), JSON)?,
                steady("h2", server.url_http2(), true, 500, document(), JSON)?,
                steady("grpc", server.url_http2(), true, 200, Some(call), GRPC)?,
                steady("tls-h1", server.url_tls(), false, 200, document(), JSON)?,
                steady("tls-h2", server.url_tls(), true, 200, document(), JSON)?,
            ],
            churn: Some(churn),
            stop,
            churned,
        })
    }

    /// Starts those anew that have ended.
    pub(super) fn keep_going(&mut self) -> Result<()> {
        self.steady.iter_mut().try_for_each(Steady::keep_going)
    }

    /// Ends them; the requests that were sent.
    pub(super) fn stop(mut self) -> Result<u64> {
        self.end();
        let steady: u64 = self.steady.iter().map(|steady| steady.sent).sum();
        Ok(steady + self.churned.load(Ordering::Relaxed))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for steady in &mut self.steady {
            if let Some(mut process) = steady.process.take() {
                super::end(&mut process);
                steady.count();
            }
        }
        if let Some(churn) = self.churn.take() {
            let _ = churn.join();
        }
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        if self.churn.is_some() {
            self.end();
        }
    }
}

/// Files with a document, and with a call's message, which is not compressed and has its length in
/// front (gRPC over HTTP/2).
fn bodies(folder: &Path) -> Result<[PathBuf; 2]> {
    let files = [folder.join("body"), folder.join("call")];
    let message = [b"\x0a\xc8\x01".as_slice(), &[b'x'; 200]].concat();
    let length = u32::try_from(message.len())?.to_be_bytes();
    let [body, call] = &files;
    fs::write(body, super::json_body(1024))?;
    fs::write(call, [&[0_u8][..], &length[..], &message[..]].concat())?;
    Ok(files)
}

/// One request on a connection of its own, again and again; every third connection ends in the
/// middle of a message.
fn churn(port: u16, stop: &AtomicBool, sent: &AtomicU64) {
    const REQUEST: &[u8] = b"POST /cart HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{\"product\":\"teapot\"}";
    for n in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let part = match n % 3 {
            0 => REQUEST.len() - 1 - n % (REQUEST.len() - 1),
            _ => REQUEST.len(),
        };
        // The server may refuse while it is flat out.
        if once(port, &REQUEST[..part], part == REQUEST.len()).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(PACE);
    }
}

fn once(port: u16, bytes: &[u8], is_whole: bool) -> io::Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.write_all(bytes)?;
    if is_whole {
        let mut response = Vec::new();
        connection.read_to_end(&mut response)?;
    }
    Ok(())
}
