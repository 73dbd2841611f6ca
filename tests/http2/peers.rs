//! A client and a server of HTTP/2 with prior knowledge, in this process.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// What both ends take.
pub const MAX_HEADER_LIST: u32 = 128 * 1024;

/// A body that is written while it travels.
#[derive(Debug)]
pub struct Outgoing(UnboundedReceiver<Frame<Bytes>>);

impl Outgoing {
    /// The body, and where to write it.
    pub fn new() -> (Self, UnboundedSender<Frame<Bytes>>) {
        let (to, from) = unbounded_channel();
        (Self(from), to)
    }

    /// All of it at once.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let (body, to) = Self::new();
        let bytes = bytes.into();
        if !bytes.is_empty() {
            to.send(Frame::data(bytes)).expect("the other end is here");
        }
        body
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// Runs `future` on a runtime of one thread: the calling one, in its network.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// Connects with windows of this many bytes.
pub async fn connect(address: SocketAddr, window: u32) -> SendRequest<Outgoing> {
    let stream = TcpStream::connect(address).await.expect("connect");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    tokio::spawn(async move {
        let _closed = connection.await;
    });
    sender
}

/// A server, until dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves HTTP/2 with prior knowledge, in the network of the calling thread.
    pub fn start<F, R>(address: SocketAddr, respond: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Outgoing>> + Send + 'static,
    {
        Self::run(move |ready| async move {
            let listener = TcpListener::bind(address).await.expect("bind");
            ready.send(()).expect("a waiting test");
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                stream.set_nodelay(true).expect("TCP_NODELAY");
                let respond = respond.clone();
                let service = service_fn(move |request| {
                    let response = respond(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                tokio::spawn(async move {
                    let _closed = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .max_concurrent_streams(1000)
                        .max_header_list_size(MAX_HEADER_LIST)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        })
    }

    /// Runs `serve` on a thread of its own, in the network of the calling one; it says by its
    /// argument that it listens.
    pub fn run<F>(serve: impl FnOnce(mpsc::Sender<()>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                tokio::select! {
                    () = serve(ready) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("a server");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
