//! Listens and serves, on threads of its own.
//!
//! A request's head has a bound in bytes and in time, a connection that asks for nothing ends, and
//! there are so many connections at most. Further ones wait in the kernel.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service as _;

use super::Settings;
use super::guard::Guard;
use super::router::router;
use super::token::Token;
use crate::export::OwnSockets;
use crate::process;

/// A browser opens six at most (to one host), and keeps them for a while.
const CONNECTIONS: usize = 64;
/// Longest wait for a request's head, and for the next request of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head: a filter of 2000 characters, all encoded, and what browsers send besides.
const MAX_HEAD: usize = 32 * 1024;
/// Filters and exports at work at once: the rest of the machine is the capture's.
const WORKERS: usize = 2;
/// Wait after a failed accept (no file descriptors left): the cause does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long browsers have to hear that the page ends.
const FAREWELL: Duration = Duration::from_millis(300);
/// How often the page looks whether anybody is there.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// A socket that listens, before anybody is served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    token: Token,
}

impl Listener {
    /// Listens. Before anything is captured: a mistaken address costs nothing.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let token = Token::random()?;
        Ok(Self {
            socket,
            address,
            token,
        })
    }

    /// What a person opens on this machine. Where every address is listened on, that of loopback.
    #[must_use]
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.is_ipv4() {
                true => std::net::Ipv4Addr::LOCALHOST.into(),
                false => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}/{}/", self.token.as_str())
    }

    /// Every address is listened on, so from elsewhere another one is opened.
    #[must_use]
    pub const fn is_anywhere(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

/// What all requests share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    /// The page ends.
    pub(super) ended: watch::Receiver<bool>,
    /// Files that are read.
    pub(super) imports: Semaphore,
    work: Semaphore,
    looking: AtomicUsize,
    started: Instant,
    /// Milliseconds after `started` at which somebody was there last.
    seen: AtomicU64,
}

impl Shared {
    pub(super) fn new(settings: Settings, ended: watch::Receiver<bool>) -> Self {
        Self {
            settings,
            ended,
            imports: Semaphore::new(1),
            work: Semaphore::new(WORKERS),
            looking: AtomicUsize::new(0),
            started: Instant::now(),
            seen: AtomicU64::new(0),
        }
    }

    /// Does what takes a while beside the threads that serve.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.work.acquire().await.ok()?;
        tokio::task::spawn_blocking(act).await.ok()
    }

    /// A browser looks until this is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.looking.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen.store(millis, Ordering::Relaxed);
    }

    /// So long has nobody been there.
    fn idle(&self) -> Duration {
        if self.looking.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let seen = Duration::from_millis(self.seen.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(seen)
    }
}

/// A browser that looks.
pub(super) struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.looking.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

/// The page. Ends when dropped.
pub struct Page {
    url: String,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves. What it accepts is named as the agent's own by its listener: a socket's cookie is
    /// known only once it is accepted, after its first packets.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(listener: Listener, settings: Settings) -> io::Result<Self> {
        let url = listener.url();
        let own = settings.own.clone();
        own.listener(listener.socket.as_fd());
        register(&listener.socket, &*own);
        let (stop, ended) = watch::channel(false);
        let shared = Arc::new(Shared::new(settings, ended));
        let guard = Guard::new(listener.token, listener.address);
        let router = router(shared.clone(), guard);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(WORKERS + 1)
            .thread_name("meshtap-page")
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("meshtap-page".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener.socket, router, &shared));
                // What still reads a file must not hold up the end.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            url,
            stop,
            thread: Some(thread),
        })
    }

    /// What a person opens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Nobody is served any more: nobody had looked for long.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // It only waits for the runtime to end; a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

fn register(socket: impl AsFd, own: &dyn OwnSockets) -> Option<u64> {
    let cookie = rustix::net::sockopt::socket_cookie(socket).ok()?;
    own.register(cookie);
    Some(cookie)
}

/// A registered socket; forgotten however its connection ends.
struct Registered {
    cookies: [Option<u64>; 2],
    own: Arc<dyn OwnSockets>,
}

impl Registered {
    /// Where the browser is on this machine, its end is as good as ours. Its first request may have
    /// been captured before its socket is named: so it is named by its address, too.
    fn new(stream: &TcpStream, peer: SocketAddr, own: &Arc<dyn OwnSockets>) -> Self {
        let cookie = register(stream, &**own);
        if let Some(cookie) = cookie {
            own.connected(cookie, peer);
        }
        let browser = stream.local_addr().ok();
        let browser = browser.and_then(|local| process::socket_at(peer.into(), local.into()));
        if let Some(browser) = browser {
            own.register(browser.0);
        }
        Self {
            cookies: [cookie, browser.map(|socket| socket.0)],
            own: own.clone(),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for cookie in self.cookies.into_iter().flatten() {
            self.own.forget(cookie);
        }
    }
}

async fn serve(listener: TcpListener, router: Router, shared: &Arc<Shared>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!(%error, "no page can be served"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut ended = shared.ended.clone();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => break,
            () = tokio::time::sleep(IDLE_TICK) => {
                if shared.idle() >= shared.settings.idle {
                    (shared.settings.on_idle)();
                    return;
                }
            }
            accepted = accept(&listener, &places) => match accepted {
                Ok((place, stream, peer)) => {
                    let registered = Registered::new(&stream, peer, &shared.settings.own);
                    let (router, shared) = (router.clone(), shared.clone());
                    tasks.spawn(async move {
                        // A connection that breaks off is the other end's affair.
                        let _ = connection(stream, router, &shared).await;
                        drop((registered, place));
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
    let rest = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, rest).await;
}

/// A connection, once there is a place for it.
async fn accept(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let place = places.clone().acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((place, stream, peer))
}

async fn connection(stream: TcpStream, router: Router, shared: &Arc<Shared>) -> hyper::Result<()> {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        shared.touch();
        // A router is always ready.
        router.clone().call(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
