//! A connection as a stream of bytes, which looks at the first that the server sends.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::super::greeting::{Expected, Greeting, Heard};
use crate::export::OwnSockets;

/// The BPF programs ignore a socket for as long as this lives.
pub(super) struct Cookie {
    cookie: u64,
    own: Arc<dyn OwnSockets>,
}

impl Cookie {
    pub(super) fn new(cookie: u64, own: Arc<dyn OwnSockets>) -> Self {
        own.register(cookie);
        Self { cookie, own }
    }

    /// The socket is connected, from this address.
    pub(super) fn connected(&self, local: SocketAddr) {
        self.own.connected(self.cookie, local);
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        self.own.forget(self.cookie);
    }
}

/// A TCP connection, with bytes that were read ahead and the first ones that came.
pub(super) struct Socket {
    tcp: TcpStream,
    prefix: Bytes,
    greeting: Greeting,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, prefix: Bytes) -> Self {
        Self {
            tcp,
            prefix,
            greeting: Greeting::default(),
        }
    }

    pub(super) const fn greeting(&self) -> &Greeting {
        &self.greeting
    }
}

pub(super) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Why the newest connection that was of no use was of none: hyper's error of a request that was
/// not sent yet names no reason.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    /// What was said, once.
    pub(in super::super) fn take(&self) -> Option<String> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.take()
    }

    fn put(&self, text: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(text.to_owned());
    }
}

/// A connection.
pub(in super::super) struct Stream {
    transport: Transport,
    expected: Expected,
    greeting: Greeting,
    is_proxied: bool,
    refusal: Refusal,
    _cookie: Option<Cookie>,
}

impl Stream {
    pub(super) fn new(
        transport: Transport,
        expected: Expected,
        is_proxied: bool,
        refusal: Refusal,
        cookie: Option<Cookie>,
    ) -> Self {
        Self {
            transport,
            expected,
            greeting: Greeting::default(),
            is_proxied,
            refusal,
            _cookie: cookie,
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxied);
        match &self.transport {
            Transport::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            _ => connected,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        if this.prefix.is_empty() {
            ready!(Pin::new(&mut this.tcp).poll_read(cx, buffer))?;
        } else {
            let len = this.prefix.len().min(buffer.remaining());
            buffer.put_slice(this.prefix.get(..len).unwrap_or_default());
            this.prefix.advance(len);
        }
        this.greeting
            .keep(buffer.filled().get(start..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let refusal = &this.refusal;
        let wrong = |text: String| {
            refusal.put(&text);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        loop {
            let start = buffer.filled().len();
            ready!(match &mut this.transport {
                Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
                Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            })?;
            let came = buffer.filled().get(start..).unwrap_or_default();
            if came.is_empty() {
                // The end, unless nothing was asked for.
                let is_end = buffer.remaining() > 0;
                let mut end = || this.greeting.end(this.expected).map_err(wrong);
                return Poll::Ready(if is_end { end() } else { Ok(()) });
            }
            match this.greeting.hear(came, this.expected).map_err(wrong)? {
                Heard::Pass => return Poll::Ready(Ok(())),
                Heard::Hold => buffer.set_filled(start),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
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
