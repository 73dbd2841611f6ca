//! Exchanges whose messages are as long as the test wants, with bodies that say which exchange they
//! belong to.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use crate::Connection;

/// When a server accepts a connection.
#[derive(Debug)]
pub enum Accept {
    /// As soon as there is one.
    AtOnce,
    /// When its first data has come (`TCP_DEFER_ACCEPT`, tcp(7)): until then there is no socket but
    /// the listener.
    Deferred,
    /// One for each message, so that data waits in a socket that nobody has accepted.
    When(Receiver<()>),
}

/// A server that reads a request's body and responds with one as long as the request asks for
/// ([`ask`]).
#[derive(Debug)]
pub struct MessageServer {
    listener: TcpListener,
    acceptor: Option<JoinHandle<()>>,
}

impl MessageServer {
    /// Listening at `address` of the current network.
    #[must_use]
    pub fn start(address: SocketAddr, accept: Accept) -> Self {
        let listener = TcpListener::bind(address).expect("bind");
        if matches!(accept, Accept::Deferred) {
            defer_accept(&listener);
        }
        let accepting = listener.try_clone().expect("a listener");
        let acceptor = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                loop {
                    if let Accept::When(event) = &accept
                        && event.recv().is_err()
                    {
                        return;
                    }
                    // An error: the listener has been shut down.
                    let Ok((stream, _)) = accepting.accept() else {
                        return;
                    };
                    scope.spawn(move || serve(&stream));
                }
            });
        });
        Self {
            listener,
            acceptor: Some(acceptor),
        }
    }
}

impl Drop for MessageServer {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        // Where the test has failed, its clients may still be there, and nobody ends the wait.
        if let Some(acceptor) = self.acceptor.take().filter(|_| !std::thread::panicking()) {
            acceptor.join().expect("the server");
        }
    }
}

fn defer_accept(listener: &TcpListener) {
    let seconds: libc::c_int = 30;
    // SAFETY: the option's value is an `int` (tcp(7)), and its size is given.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    assert_eq!(
        result,
        0,
        "TCP_DEFER_ACCEPT: {}",
        io::Error::last_os_error()
    );
}

/// Serves one connection until its client has closed it.
fn serve(stream: &TcpStream) {
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut reader = BufReader::new(stream);
    loop {
        let (mut target, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().expect("a length");
            }
            if target.is_empty() {
                target = line.split(' ').nth(1).expect("a target").to_owned();
            }
        }
        let (id, size) = parse(&target);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the request's body");
        assert!(
            body == body_of(id, length),
            "another request's body: {target}"
        );
        let mut response =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        response.extend(body_of(id, size));
        let mut stream = stream;
        if stream.write_all(&response).is_err() {
            return;
        }
    }
}

/// `/message?id=ID&size=N`
fn parse(target: &str) -> (&str, usize) {
    let query = target
        .strip_prefix("/message?id=")
        .expect("a target of `ask`");
    let (id, size) = query.split_once("&size=").expect("a size");
    (id, size.parse().expect("a size"))
}

/// The body of this length that belongs to an id.
#[must_use]
pub fn body_of(id: &str, length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length + 32);
    while body.len() < length {
        let at = body.len();
        body.extend_from_slice(format!("{id} from {at:x}\n").as_bytes());
    }
    body.truncate(length);
    body
}

/// Sends a request with a body of `request` bytes. The other half of the exchange is [`received`].
pub fn send(connection: &mut Connection, id: &str, request: usize, response: usize) {
    let mut bytes = format!(
        "POST /message?id={id}&size={response} HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n\
         Content-Length: {request}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend(body_of(id, request));
    connection.send(bytes);
}

/// Reads the response to [`send`].
///
/// # Panics
/// When it is another request's.
#[track_caller]
pub fn received(connection: &mut Connection, id: &str, response: usize) {
    let message = connection.response();
    assert_eq!(message.status, 200);
    assert!(
        message.body == body_of(id, response),
        "{id}: another request's response"
    );
}

/// Closes for writing and waits for the server to close: what both ends have sent, both ends have.
pub fn close(connection: &Connection) {
    let mut stream = connection.stream();
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0]);
}
