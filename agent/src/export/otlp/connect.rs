//! Connections to a collector, made here so that the BPF programs hear of the agent's own sockets
//! before their first byte, and never captures them: TCP, through a proxy or not, with TLS or
//! without.

mod stream;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use stream::{Cookie, Socket, Transport};
pub(super) use stream::{Refusal, Stream};

use super::greeting::Expected;
use super::proxy::Proxy;
use super::tunnel;
use crate::export::OwnSockets;

/// Longest wait for one address to connect, so that a dead one of several leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections for hyper's client pool.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) own: Arc<dyn OwnSockets>,
    pub(super) tls: Option<TlsConnector>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) expected: Expected,
    pub(super) refusal: Refusal,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("tls", &self.tls.is_some())
            .field("proxy", &self.proxy)
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
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        // Plain HTTP/1 requests are given to the proxy as they are; everything else gets a
        // connection through it.
        let tunnels = secure || self.expected == Expected::Http2;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let (tcp, cookie, prefix) = match self.proxy.as_deref() {
            None => {
                let (tcp, cookie) = self.dial(name, port).await?;
                (tcp, cookie, Bytes::new())
            }
            Some(proxy) => {
                self.reach(proxy, tunnels, &format!("{host}:{port}"))
                    .await?
            }
        };
        let socket = Socket::new(tcp, prefix);
        let transport = if secure {
            self.secure(name, socket).await?
        } else {
            Transport::Plain(socket)
        };
        let is_proxied = self.proxy.is_some() && !tunnels;
        Ok(Stream::new(
            transport,
            self.expected,
            is_proxied,
            self.refusal.clone(),
            cookie,
        ))
    }

    /// A connection to the proxy and, when it is to be a tunnel, through it.
    async fn reach(
        &self,
        proxy: &Proxy,
        tunnels: bool,
        target: &str,
    ) -> io::Result<(TcpStream, Option<Cookie>, Bytes)> {
        let (mut tcp, cookie) = self
            .dial(&proxy.host, proxy.port)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("the proxy {proxy}: {error}")))?;
        let prefix = if tunnels {
            tunnel::open(&mut tcp, proxy, target).await?
        } else {
            Bytes::new()
        };
        Ok((tcp, cookie, prefix))
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<(TcpStream, Option<Cookie>)> {
        let mut last = invalid("the host has no address");
        for address in tokio::net::lookup_host((host, port)).await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.open(address)).await {
                Ok(Ok(connection)) => return Ok(connection),
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
        let stream = socket.connect(address).await?;
        if let (Some(cookie), Ok(local)) = (&cookie, stream.local_addr()) {
            cookie.connected(local);
        }
        Ok((stream, cookie))
    }

    async fn secure(&self, host: &str, socket: Socket) -> io::Result<Transport> {
        let tls = self
            .tls
            .as_ref()
            .ok_or_else(|| invalid("TLS is not configured"))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            invalid("the endpoint's host is not a name that a certificate can have")
        })?;
        match tls.connect(name, socket).into_fallible().await {
            Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
            Err((error, socket)) => {
                let instead = socket.greeting().instead_of_tls();
                let text = instead.unwrap_or_else(|| refused(&error));
                Err(io::Error::new(error.kind(), text))
            }
        }
    }
}

/// What TLS says of the other end, and what to do where nobody that is trusted has signed for it.
fn refused(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let hint = match inner {
        Some(rustls::Error::InvalidCertificate(reason)) if is_unsigned(reason) => {
            "; to trust a certificate of your own, name the file of its authority (PEM) with \
             `tls.ca` or OTEL_EXPORTER_OTLP_CERTIFICATE"
        }
        _ => "",
    };
    format!("TLS: {error}{hint}")
}

/// Nobody that is trusted has signed it; or it has signed itself, and is of an authority.
fn is_unsigned(reason: &rustls::CertificateError) -> bool {
    match reason {
        rustls::CertificateError::UnknownIssuer => true,
        rustls::CertificateError::Other(other) => other.to_string().contains("CaUsedAsEndEntity"),
        _ => false,
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
