//! TCP and TLS connections to a collector, made here so that the agent's own sockets are told to the kernel side before their first
//! byte and are never captured.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::export::OwnSockets;

/// Longest wait for one address to answer, so that a dead one of several leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections for hyper's client pool.
#[derive(Clone)]
pub(super) struct Connector {
    own: Arc<dyn OwnSockets>,
    tls: Option<TlsConnector>,
}

impl Connector {
    pub(super) fn new(own: Arc<dyn OwnSockets>, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self {
            own,
            tls: tls.map(TlsConnector::from),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&uri).await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> io::Result<Stream> {
        let host = uri
            .host()
            .ok_or_else(|| invalid("the endpoint has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut last = invalid("the endpoint's host has no address");
        for address in tokio::net::lookup_host((host, port)).await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.open(address)).await {
                Ok(Ok((tcp, cookie))) => {
                    let transport = if secure {
                        self.secure(host, tcp).await?
                    } else {
                        Transport::Plain(tcp)
                    };
                    return Ok(Stream {
                        transport,
                        _cookie: cookie,
                    });
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        Err(last)
    }

    async fn open(&self, address: SocketAddr) -> io::Result<(TcpStream, Option<Cookie>)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_nodelay(true)?;
        // Without a cookie there is nothing to ignore it by; kernels since 4.10 give one.
        let cookie = rustix::net::sockopt::socket_cookie(&socket).ok();
        let cookie = cookie.map(|cookie| Cookie::new(cookie, self.own.clone()));
        Ok((socket.connect(address).await?, cookie))
    }

    async fn secure(&self, host: &str, tcp: TcpStream) -> io::Result<Transport> {
        let tls = self
            .tls
            .as_ref()
            .ok_or_else(|| invalid("TLS is not configured"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            invalid("the endpoint's host is not a name that a certificate can have")
        })?;
        Ok(Transport::Tls(Box::new(tls.connect(name, tcp).await?)))
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The kernel side ignores a socket for as long as this lives.
struct Cookie {
    cookie: u64,
    own: Arc<dyn OwnSockets>,
}

impl Cookie {
    fn new(cookie: u64, own: Arc<dyn OwnSockets>) -> Self {
        own.register(cookie);
        Self { cookie, own }
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        self.own.forget(self.cookie);
    }
}

/// A connection.
pub(super) struct Stream {
    transport: Transport,
    _cookie: Option<Cookie>,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        match &self.transport {
            Transport::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            _ => connected,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
