//! A server that sends the bytes that a test gives: what no HTTP library would send. Its
//! connections are threads.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a connection does with the request of this number, counted over all connections. An error
/// ends the connection.
type Reply = dyn Fn(usize, &mut TcpStream) -> io::Result<()> + Send + Sync;

/// The server. Its threads end with the test.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    /// Reads HTTP/1 requests, and replies to each.
    pub(crate) fn start(
        reply: impl Fn(usize, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let reply: Arc<Reply> = Arc::new(reply);
        Self::serve(move |stream, heads| {
            let mut reader = BufReader::new(stream.try_clone()?);
            while let Some(head) = request(&mut reader)? {
                let number = {
                    let mut heads = heads.lock().unwrap();
                    heads.push(head);
                    heads.len() - 1
                };
                reply(number, stream)?;
            }
            Ok(())
        })
    }

    /// Sends the same bytes to every request.
    pub(crate) fn always(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| stream.write_all(&bytes))
    }

    /// Speaks first, and ends.
    pub(crate) fn greet(bytes: &'static [u8]) -> Self {
        Self::serve(move |stream, heads| {
            heads.lock().unwrap().push(String::new());
            stream.write_all(bytes)?;
            stream.shutdown(Shutdown::Write)?;
            io::copy(stream, &mut io::sink()).map(drop)
        })
    }

    /// Waits for the other end to speak, sends bytes, and ends.
    pub(crate) fn respond(bytes: &'static [u8]) -> Self {
        Self::serve(move |stream, heads| {
            let mut first = [0; 4096];
            let _ = stream.read(&mut first)?;
            heads.lock().unwrap().push(String::new());
            stream.write_all(bytes)?;
            stream.shutdown(Shutdown::Write)?;
            io::copy(stream, &mut io::sink()).map(drop)
        })
    }

    /// A proxy: connects to `target` whatever it is asked to connect to, and passes bytes on.
    pub(crate) fn proxy(target: SocketAddr) -> Self {
        Self::serve(move |stream, heads| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let Some(head) = request(&mut reader)? else {
                return Ok(());
            };
            heads.lock().unwrap().push(head);
            let upstream = TcpStream::connect(target)?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            let (mut back, mut client) = (upstream.try_clone()?, stream.try_clone()?);
            std::thread::spawn(move || io::copy(&mut back, &mut client));
            let mut upstream = upstream;
            io::copy(&mut reader, &mut upstream).map(drop)
        })
    }

    fn serve(
        connection: impl Fn(&mut TcpStream, &Mutex<Vec<String>>) -> io::Result<()>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (connection, shared) = (Arc::new(connection), heads.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (connection, shared) = (connection.clone(), shared.clone());
                // Connections break here on purpose.
                std::thread::spawn(move || connection(&mut stream, &shared).ok());
            }
        });
        Self { address, heads }
    }

    /// The heads of the requests that came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads a request; its head. `None` at the end of the connection.
fn request(reader: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(Some(head))
}
