//! Clients: curl, and a plain one over a socket that knows just enough HTTP to read a response.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::spawn;

/// Nothing in these tests takes this long; a test that hangs is worse than one that fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs curl (silent, errors shown) and gives what it prints to standard output.
///
/// # Panics
/// When it fails.
#[track_caller]
#[must_use]
pub fn curl(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "--noproxy", "*", "--max-time", "120"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().expect("curl");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {errors}");
    output.stdout
}

/// A connection whose requests are written byte by byte as the test wants them.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as the client read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Head, with its last empty line.
    pub head: String,
    /// Body, transfer coding removed.
    pub body: Vec<u8>,
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nothing responds.
    #[track_caller]
    #[must_use]
    pub fn open(address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("connect {address}: {error}"));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends a request without a body and reads its response.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.response()
    }

    /// Reads one response, 1xx included.
    pub fn response(&mut self) -> Response {
        self.read_response(true).expect("a response")
    }

    /// Reads the response to a HEAD request.
    pub fn response_to_head(&mut self) -> Response {
        self.read_response(false).expect("a response")
    }

    /// Sends bytes as they are, to a server that may have closed.
    ///
    /// # Errors
    /// When it has.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads what a server makes of a request and gives the status, interim responses (1xx) left
    /// aside. A response without a status line (HTTP/0.9) has none.
    ///
    /// # Errors
    /// When nothing comes, or only a part of it.
    pub fn try_response(&mut self) -> io::Result<Option<u16>> {
        loop {
            while self.buffer.len() < 5 {
                self.read_more()?;
            }
            if !self.buffer.starts_with(b"HTTP/") {
                self.stream.read_to_end(&mut self.buffer)?;
                self.buffer.clear();
                return Ok(None);
            }
            let response = self.read_response(true)?;
            if !(100..200).contains(&response.status) || response.status == 101 {
                return Ok(Some(response.status));
            }
        }
    }

    /// Reads these bytes, and fails on others.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        self.read_at_least(bytes.len()).expect("bytes");
        let found = self.take(bytes.len());
        assert!(found == bytes, "{:?}", String::from_utf8_lossy(&found));
    }

    /// Reads a line.
    pub fn line(&mut self) -> String {
        let end = self.read_until(b"\r\n").expect("a line");
        String::from_utf8_lossy(&self.take(end)).into_owned()
    }

    fn read_response(&mut self, body: bool) -> io::Result<Response> {
        let end = self.read_until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.take(end)).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut response = Response {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: Vec::new(),
        };
        if !body || response.status < 200 || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        response.body = if response.field("transfer-encoding") == Some("chunked") {
            self.read_chunks()?
        } else if let Some(length) = response.field("content-length") {
            let length = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            self.read_at_least(length)?;
            self.take(length)
        } else {
            self.stream.read_to_end(&mut self.buffer)?;
            std::mem::take(&mut self.buffer)
        };
        Ok(response)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.read_until(b"\r\n")?;
            let line = String::from_utf8_lossy(&self.take(end)).into_owned();
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            self.read_at_least(size + 2)?;
            let chunk = self.take(size + 2);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        self.buffer.drain(..len).collect()
    }

    fn read_until(&mut self, needle: &[u8]) -> io::Result<usize> {
        loop {
            let found = self
                .buffer
                .windows(needle.len())
                .position(|window| window == needle);
            if let Some(at) = found {
                return Ok(at + needle.len());
            }
            self.read_more()?;
        }
    }

    fn read_at_least(&mut self, len: usize) -> io::Result<()> {
        while self.buffer.len() < len {
            self.read_more()?;
        }
        Ok(())
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

/// `clients` connections at once, each with `requests` requests one after the other. Every request
/// has an id of its own, which the server must send back as the body ([`ECHO`]). Gives the ids.
///
/// # Panics
/// When a response is not the request's own.
#[must_use]
pub fn swarm(address: SocketAddr, clients: usize, requests: usize) -> Vec<String> {
    let one = |client: usize| {
        let mut connection = Connection::open(address);
        let ids: Vec<String> = (0..requests)
            .map(|n| format!("{client:03}-{n:05}"))
            .collect();
        for id in &ids {
            let response = connection.get(&format!("/echo?id={id}"));
            assert_eq!(response.status, 200);
            assert_eq!(response.body, id.as_bytes(), "the server's response");
        }
        ids
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|n| scope.spawn(move || one(n))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a client"))
            .collect()
    })
}

/// nginx configuration that responds with the `id` of the query.
pub const ECHO: &str = "location /echo { return 200 $arg_id; }";
