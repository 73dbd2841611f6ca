//! `/metrics`, `/stats/prometheus`, `/healthz` and `/readyz`, on a thread and a runtime of their
//! own: a slow scraper never holds up the data.
//!
//! A connection carries one request and lives for seconds, whatever its peer does or leaves undone.
//! When all places are taken the oldest connection of the peer that holds most gives way: nobody
//! keeps others from asking.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use super::families::Format;
use super::state::Shared;
use super::stats::Body;
use super::{health, metrics};
use crate::export::OwnSockets;

/// A scraper, a kubelet, a person, and many to spare: what one peer can open between a probe's
/// connection and its response.
const CONNECTIONS: usize = 128;
/// Connections that the kernel holds until they are accepted, which takes microseconds each.
const BACKLOG: i32 = 1024;
/// Longest wait for a request's head, however its bytes drip in.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest life of a connection: a page over a slow network.
const LIFETIME: Duration = Duration::from_secs(10);
/// After the response: how long, and for how many bytes, the rest of what the peer sends is read,
/// so that no reset overtakes the response.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// Largest head: the least that hyper can be reported.
const MAX_HEAD: usize = 8192;
/// Istio's path for Istio's metrics.
const STATS: &str = "/stats/prometheus";
/// A page is made this often at most, however often it is asked for.
const PAGE_AGE: Duration = Duration::from_millis(100);
/// Wait after a failed accept (no file descriptors left), or for an address: the cause does not go
/// away at once.
const PAUSE: Duration = Duration::from_millis(200);

/// The server. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A socket that listens, before anybody is served.
#[derive(Debug)]
pub struct Listener {
    /// `None`: another process listens there, and is to end.
    socket: Option<TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = listen(address)?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket: Some(socket),
            address,
        })
    }

    /// As [`Self::bind`], or once the process is gone that listens there: the agent that this one
    /// takes over from.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind_after_another(address: SocketAddr) -> io::Result<Self> {
        match Self::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Self {
                socket: None,
                address,
            }),
            bound => bound,
        }
    }

    /// Another process listens there still.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.socket.is_none()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Server {
    /// Serves. What it accepts is named as the agent's own by its listener: a socket's cookie is
    /// known only once it is accepted, after its first packets.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        listener: Listener,
        shared: Arc<Shared>,
        own: Arc<dyn OwnSockets>,
    ) -> io::Result<Self> {
        let Listener { socket, address } = listener;
        if let Some(socket) = &socket {
            announce(socket, &*own);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let pages = Arc::new(Pages {
            shared,
            metrics: Mutex::default(),
        });
        let thread = std::thread::Builder::new()
            .name("meshtap-admin".to_owned())
            .spawn(move || {
                let served = async {
                    let socket = match socket {
                        Some(socket) => socket,
                        None => freed(address, &*own).await,
                    };
                    serve(socket, pages, own).await;
                };
                runtime.block_on(async {
                    tokio::select! {
                        () = served => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It only waits for the runtime to end; a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on an address as soon as nobody else does.
async fn freed(address: SocketAddr, own: &dyn OwnSockets) -> TcpListener {
    loop {
        if let Ok(socket) = listen(address) {
            announce(&socket, own);
            return socket;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn announce(socket: &TcpListener, own: &dyn OwnSockets) {
    own.listener(socket.as_fd());
    register(socket, own);
}

fn register(socket: impl std::os::fd::AsFd, own: &dyn OwnSockets) -> Option<u64> {
    let cookie = rustix::net::sockopt::socket_cookie(socket).ok()?;
    own.register(cookie);
    Some(cookie)
}

/// A registered socket; forgotten however its connection ends.
struct Registered {
    cookie: Option<u64>,
    own: Arc<dyn OwnSockets>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(cookie) = self.cookie {
            self.own.forget(cookie);
        }
    }
}

/// A connection that is open.
struct Open {
    id: Id,
    peer: IpAddr,
    abort: AbortHandle,
}

async fn serve(listener: TcpListener, pages: Arc<Pages>, own: Arc<dyn OwnSockets>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "no metrics can be served"),
    };
    let mut tasks = JoinSet::new();
    // In the order in which they were accepted.
    let mut open = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let registered = Registered {
                        cookie: register(&stream, &*own),
                        own: own.clone(),
                    };
                    let pages = pages.clone();
                    let abort = tasks.spawn(async move {
                        // A connection that breaks off, or that takes too long, is the other end's
                        // affair.
                        let _ = timeout(LIFETIME, connection(stream, &pages)).await;
                        drop(registered);
                    });
                    open.push_back(Open { id: abort.id(), peer: peer.ip(), abort });
                    if open.len() > CONNECTIONS
                        && let Some(victim) = victim(open.iter().map(|open| open.peer))
                        && let Some(victim) = open.remove(victim)
                    {
                        victim.abort.abort();
                    }
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                open.retain(|open| open.id != id);
            }
        }
    }
}

/// Which of these connections, the oldest first, gives way: the oldest of the peer that has most of
/// them.
fn victim(peers: impl Iterator<Item = IpAddr> + Clone) -> Option<usize> {
    let count = |peer| peers.clone().filter(|other| *other == peer).count();
    let most = peers.clone().map(count).max()?;
    peers.clone().position(|peer| count(peer) == most)
}

async fn connection(stream: TcpStream, pages: &Pages) -> Option<()> {
    let service = service_fn(|request| std::future::ready(pages.response(&request)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    let mut stream = served.await.ok()?.io.into_inner();
    stream.shutdown().await.ok()?;
    let mut rest = (&mut stream).take(LINGER_BYTES as u64);
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Some(())
}

/// The pages, made of what the agent's threads publish.
struct Pages {
    shared: Arc<Shared>,
    /// The page of metrics in each format, and when it was made.
    metrics: Mutex<[Option<(Instant, Bytes)>; 2]>,
}

impl Pages {
    fn metrics(&self, format: Format) -> Bytes {
        let mut made = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let [prometheus, open] = &mut *made;
        let slot = match format {
            Format::Prometheus => prometheus,
            Format::OpenMetrics => open,
        };
        match slot {
            Some((at, page)) if now.duration_since(*at) < PAGE_AGE => page.clone(),
            _ => {
                let page = Bytes::from(metrics::page(self.shared.read(), format));
                *slot = Some((now, page.clone()));
                page
            }
        }
    }

    /// In the format that the scraper accepts.
    fn scraped(&self, request: &Request<Incoming>) -> (&'static str, Body) {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        let page = match (request.uri().path(), self.shared.metrics()) {
            (STATS, Some(metrics)) => Body::of(metrics, format),
            _ => Body::Whole(Some(self.metrics(format))),
        };
        (format.content_type(), page)
    }

    fn response(&self, request: &Request<Incoming>) -> Result<Response<Body>, Infallible> {
        const TEXT: &str = "text/plain; charset=utf-8";
        const JSON: &str = "application/json";
        let known = request.method() == Method::GET || request.method() == Method::HEAD;
        let whole = |text: String| Body::Whole(Some(Bytes::from(text)));
        let text = |status, text: String| (status, TEXT, whole(text));
        let (status, kind, body) = match request.uri().path() {
            _ if !known => text(StatusCode::METHOD_NOT_ALLOWED, String::new()),
            STATS if self.shared.metrics().is_none() => {
                let reason = "metrics.enabled is false\n";
                text(StatusCode::NOT_FOUND, reason.to_owned())
            }
            "/metrics" | STATS => {
                let (kind, page) = self.scraped(request);
                (StatusCode::OK, kind, page)
            }
            "/healthz" => match health::complaints(&self.shared.read()) {
                None => text(StatusCode::OK, "ok\n".to_owned()),
                Some(complaints) => text(StatusCode::SERVICE_UNAVAILABLE, complaints),
            },
            "/readyz" => {
                let (ready, detail) = health::readiness(&self.shared.read());
                let status = match ready {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, JSON, whole(format!("{detail:#}\n")))
            }
            _ => text(StatusCode::NOT_FOUND, "no such page\n".to_owned()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::super::state::{Hook, HookState};
    use super::*;

    fn start(shared: &Arc<Shared>) -> Server {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(address).unwrap();
        Server::start(listener, shared.clone(), Arc::new(())).unwrap()
    }

    fn connect(server: &Server) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    fn get(server: &Server, request: &str, fields: &str) -> String {
        let mut stream = connect(server);
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[track_caller]
    fn check(server: &Server, request: &str, status: u16, body: &str) {
        let text = get(server, request, "");
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {text}"
        );
        assert!(text.contains(body), "{request}: {text}");
    }

    #[test]
    fn pages() {
        let shared = Arc::new(Shared::default());
        let server = start(&shared);
        check(&server, "GET /readyz", 503, "\"ready\": false");
        check(&server, "GET /healthz", 503, "has not started");
        let heart = shared.heart("data", Duration::from_secs(3600));
        shared.set_hooks(vec![Hook {
            name: "socket",
            state: HookState::Attached,
        }]);
        check(&server, "GET /healthz", 200, "ok");
        check(&server, "GET /readyz", 200, "\"ready\": true");
        let attached = "meshtap_hook_attached{hook=\"socket\"} 1";
        check(&server, "GET /metrics", 200, attached);
        check(&server, "GET /stats/prometheus", 404, "metrics.enabled");
        check(&server, "GET /", 404, "");
        check(&server, "POST /metrics", 405, "");
        let text = get(
            &server,
            "GET /metrics",
            "accept: application/openmetrics-text\r\n",
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(text.contains("content-type: application/openmetrics-text"));
        let stuck = shared.heart("worker-7", Duration::ZERO);
        check(&server, "GET /healthz", 503, "worker-7 has not moved");
        check(&server, "GET /readyz", 503, "worker-7 has not moved");
        drop((stuck, heart));
        let address = server.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "still listening");
    }

    #[test]
    fn an_address_is_served_once_it_is_free() {
        let shared = Arc::new(Shared::default());
        let first = start(&shared);
        let address = first.address();
        assert!(Listener::bind(address).is_err());
        let listener = Listener::bind_after_another(address).unwrap();
        assert!(listener.waits());
        let second = Server::start(listener, shared, Arc::new(())).unwrap();
        drop(first);
        while TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        check(&second, "GET /", 404, "");
        drop(second);
        assert!(!Listener::bind_after_another(address).unwrap().waits());
    }

    #[test]
    fn nobody_holds_the_places() {
        let shared = Arc::new(Shared::default());
        let server = start(&shared);
        let heart = shared.heart("data", Duration::from_secs(3600));
        let starts: [&[u8]; 4] = [
            b"",
            b"G",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
            // Its pages are never read.
            &b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000),
        ];
        let mut held = Vec::new();
        for number in 0..3 * CONNECTIONS {
            let mut stream = connect(&server);
            // It may be closed already.
            let _ = stream.write_all(starts[number % starts.len()]);
            held.push(stream);
            if number % 50 == 0 {
                check(&server, "GET /healthz", 200, "ok");
            }
        }
        check(&server, "GET /healthz", 200, "ok");
        drop(heart);
    }

    #[test]
    fn a_request_before_many_others_has_its_response() {
        let server = start(&Arc::default());
        let mut stream = connect(&server);
        let one = "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(one.repeat(50).as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("HTTP/1.1 404").count(), 1, "{text}");
        assert!(text.ends_with("no such page\n"), "{text}");
    }

    #[test]
    fn a_head_that_drips_in_is_cut() {
        let server = start(&Arc::default());
        let mut stream = connect(&server);
        let started = Instant::now();
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut byte = [0];
        loop {
            let sent = stream.write_all(b"G");
            match stream.read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && sent.is_ok() => {}
                _ => break,
            }
            assert!(started.elapsed() < 20 * HEAD_TIMEOUT, "held");
        }
    }

    #[test]
    fn who_has_most_gives_way() {
        let check = |peers: &[u8], expected| {
            let peers = peers.iter().map(|last| IpAddr::from([10, 0, 0, *last]));
            assert_eq!(victim(peers), expected);
        };
        check(&[], None);
        check(&[1], Some(0));
        check(&[1, 2, 3], Some(0));
        check(&[1, 2, 2, 3], Some(1));
        check(&[1, 2, 2, 1, 2], Some(1));
    }
}
