//! `/metrics`, `/healthz` and `/readyz`, on a thread and a runtime of their own: a slow scraper never holds up the data.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use super::render;
use super::state::Shared;
use crate::export::OwnSockets;

/// A scraper, a kubelet, a person, and some to spare. More wait in the listener's backlog.
const CONNECTIONS: usize = 16;
/// Longest wait for a request's head: idle connections make room.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept (no file descriptors left): the cause does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The server. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `address`. Its sockets get `mark`, if one is given: one that capture ignores hides a connection from its first
    /// packet on, for accepted sockets inherit it, while its cookie is known only once it is accepted.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(
        address: SocketAddr,
        shared: Arc<Shared>,
        own: Arc<dyn OwnSockets>,
        mark: Option<u32>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        if let Some(mark) = mark
            && let Err(error) = socket2::SockRef::from(&listener).set_mark(mark)
        {
            warn!(%error, "requests for metrics may be captured");
        }
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        register(&listener, &*own);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("meshtap-admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, shared, own) => {}
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
            // It only waits for the runtime to end; a panic in it has been told already.
            let _ = thread.join();
        }
    }
}

fn register(socket: impl std::os::fd::AsFd, own: &dyn OwnSockets) {
    if let Ok(cookie) = rustix::net::sockopt::socket_cookie(socket) {
        own.register(cookie);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, own: Arc<dyn OwnSockets>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "no metrics can be served"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let cookie = rustix::net::sockopt::socket_cookie(&stream).ok();
        if let Some(cookie) = cookie {
            own.register(cookie);
        }
        let (shared, own) = (shared.clone(), own.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| std::future::ready(answer(&request, &shared)));
            // A connection that breaks off is the other end's affair.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Some(cookie) = cookie {
                own.forget(cookie);
            }
            drop(place);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Infallible> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    const JSON: &str = "application/json";
    let known = request.method() == Method::GET || request.method() == Method::HEAD;
    let (status, kind, body) = match request.uri().path() {
        _ if !known => (StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new()),
        "/metrics" => (StatusCode::OK, METRICS, render::metrics(&shared.read())),
        "/healthz" if shared.alive() => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/healthz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the data thread does not move\n".to_owned(),
        ),
        "/readyz" => {
            let (ready, detail) = render::readiness(&shared.read(), shared.alive());
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            (status, JSON, format!("{detail:#}\n"))
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "no such page\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::super::state::{EngineView, Hook, HookState};
    use super::*;

    fn get(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn check(server: &Server, request: &str, status: u16, body: &str) {
        let text = get(server, request);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {text}"
        );
        assert!(text.contains(body), "{request}: {text}");
    }

    #[test]
    fn pages() {
        let shared = Arc::new(Shared::default());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(address, shared.clone(), Arc::new(()), None).unwrap();
        check(&server, "GET /readyz", 503, "\"ready\": false");
        shared.publish_engine(EngineView::default());
        shared.set_hooks(vec![Hook {
            name: "socket",
            state: HookState::Attached,
        }]);
        check(&server, "GET /healthz", 200, "ok");
        check(&server, "GET /readyz", 200, "\"ready\": true");
        check(
            &server,
            "GET /metrics",
            200,
            "meshtap_hook_attached{hook=\"socket\"} 1",
        );
        check(&server, "GET /", 404, "");
        check(&server, "POST /metrics", 405, "");
        let address = server.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "still listening");
    }
}
