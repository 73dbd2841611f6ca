//! Both ends of a TCP connection in one thread: what goes over it, and in which order, is up to the
//! test to the byte.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Two connected sockets.
#[derive(Debug)]
pub struct Pair {
    /// The end that connected.
    pub client: TcpStream,
    /// The end that accepted.
    pub server: TcpStream,
}

impl Pair {
    /// Over loopback; the server's port is `port`.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// At this address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("bind");
        let client = TcpStream::connect(address).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("TCP_NODELAY");
            let timeout = Some(Duration::from_secs(60));
            stream.set_read_timeout(timeout).expect("timeout");
        }
        Self { client, server }
    }

    /// The client sends; the server has it all when this returns.
    pub fn request(&mut self, bytes: impl AsRef<[u8]>) {
        transfer(&mut self.client, &mut self.server, bytes.as_ref());
    }

    /// The server sends; the client has it all when this returns.
    pub fn respond(&mut self, bytes: impl AsRef<[u8]>) {
        transfer(&mut self.server, &mut self.client, bytes.as_ref());
    }

    /// The client sends one byte a segment.
    pub fn request_slowly(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref().chunks(1) {
            self.request(byte);
        }
    }

    /// The server sends one byte a segment.
    pub fn respond_slowly(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref().chunks(1) {
            self.respond(byte);
        }
    }
}

fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    /// Fits every socket buffer; more may not, and then one end must read while the other writes.
    const SMALL: usize = 4096;
    let mut received = vec![0; bytes.len()];
    if bytes.len() <= SMALL {
        from.write_all(bytes).expect("send");
        to.read_exact(&mut received).expect("receive");
    } else {
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || from.write_all(bytes));
            to.read_exact(&mut received).expect("receive");
            sender.join().expect("sender").expect("send");
        });
    }
    assert!(received == bytes, "TCP gave other bytes");
}

/// Closes with RST instead of FIN (SO_LINGER with a time of zero, socket(7)).
pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("SO_LINGER");
    drop(stream);
}
