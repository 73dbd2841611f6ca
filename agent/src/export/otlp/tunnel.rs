//! A way through a proxy: CONNECT (RFC 9110 §9.3.6).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::proxy::Proxy;
use super::response::one_line;

/// Longest head of a proxy's response: what servers commonly take.
const HEAD_LIMIT: usize = 8 * 1024;

/// Asks the proxy at the other end of `tcp` for a connection to `target` (`host:port`). Returns
/// what came behind its response: the target may speak first.
///
/// # Errors
/// What the proxy responds instead.
pub(super) async fn open(tcp: &mut TcpStream, proxy: &Proxy, target: &str) -> io::Result<Bytes> {
    tcp.write_all(&request(proxy, target)).await?;
    let mut head = BytesMut::with_capacity(1024);
    loop {
        if let Some(len) = read(&head).map_err(|reason| refused(proxy, target, &reason))? {
            return Ok(head.split_off(len).freeze());
        }
        if head.len() >= HEAD_LIMIT {
            return Err(refused(proxy, target, "its response is too long"));
        }
        if tcp.read_buf(&mut head).await? == 0 {
            return Err(refused(proxy, target, "it closed the connection"));
        }
    }
}

fn request(proxy: &Proxy, target: &str) -> Vec<u8> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(value) = &proxy.authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// The length of the head of a response that grants the connection; `None` while it is not whole.
fn read(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(len)) => match response.code {
            Some(200..=299) => Ok(Some(len)),
            code => {
                let reason = one_line(response.reason.unwrap_or_default());
                Err(format!("HTTP {} {reason}", code.unwrap_or_default()))
            }
        },
        Err(error) => Err(format!("its response is not HTTP/1 ({error})")),
    }
}

fn refused(proxy: &Proxy, target: &str, reason: &str) -> io::Error {
    io::Error::other(format!(
        "the proxy {proxy} does not connect to {target}: {reason}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<usize>, &str>) {
        assert_eq!(read(bytes), expected.map_err(str::to_owned));
    }

    #[test]
    fn responses() {
        check(b"", Ok(None));
        check(b"HTTP/1.1 200 OK\r\nx: y\r\n", Ok(None));
        check(b"HTTP/1.1 200 OK\r\n\r\n\0\0\x12", Ok(Some(19)));
        check(b"HTTP/1.0 299 \r\n\r\n", Ok(Some(17)));
        check(
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            Err("HTTP 407 Proxy Authentication Required"),
        );
        check(
            b"SSH-2.0\r\n",
            Err("its response is not HTTP/1 (invalid HTTP version)"),
        );
    }
}
