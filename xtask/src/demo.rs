//! Sample traffic for `cargo xtask run --demo`: a small HTTP server and its client, both on
//! loopback, in a process of their own that ends when the process that asked for it does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// The hidden subcommand that is this traffic.
pub const SUBCOMMAND: &str = "demo-traffic";

/// Slow enough to be read as it goes by.
const PACE: Duration = Duration::from_millis(700);

/// Requests as a client sends them, in turn: target, head fields and body.
const REQUESTS: &[&str] = &[
    "GET /products?sort=price HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\nAccept: application/json\r\n\r\n",
    "POST /cart/items HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\nContent-Type: application/json\r\n\
     Content-Length: 33\r\n\r\n{\"product\": \"teapot\", \"count\": 2}",
    "GET /cart HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\n\r\n",
    "GET /favicon.ico HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\nAccept: text/event-stream\r\n\r\n",
    "DELETE /cart/items/7 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\n\r\n",
    "POST /checkout HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo\r\nContent-Type: application/json\r\n\
     Content-Length: 20\r\n\r\n{\"method\": \"coffee\"}",
];

/// Starts the traffic. It lives as long as this process, whatever program this process becomes.
pub fn start() -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program again")?;
    Command::new(program)
        .arg(SUBCOMMAND)
        .arg(std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start the sample traffic")?;
    Ok(())
}

/// Serves and sends until the process `parent` is no longer this one's parent.
pub fn run(parent: u32) -> Result<()> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that goes away in the middle is not of interest.
            std::thread::spawn(move || serve(connection));
        }
    });
    // A keep-alive connection carries one round, as a browser's would.
    while let Ok(mut connection) = connect(address) {
        for request in REQUESTS {
            if std::os::unix::process::parent_id() != parent {
                return Ok(());
            }
            exchange(&mut connection, request)?;
            std::thread::sleep(PACE);
        }
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    Ok(BufReader::new(connection))
}

/// Sends a request and reads its response to the end.
fn exchange(connection: &mut BufReader<TcpStream>, request: &str) -> io::Result<()> {
    connection.get_mut().write_all(request.as_bytes())?;
    let Some(head) = read_head(connection)? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    if head.chunked {
        while read_chunk(connection)? {}
        return Ok(());
    }
    io::copy(&mut connection.take(head.length), &mut io::sink()).map(drop)
}

/// As much of a head as these two need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    /// The request's method and target, or the response's version and status.
    first: (String, String),
    length: u64,
    chunked: bool,
}

fn read_head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut head = Head {
        first: (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        ),
        ..Head::default()
    };
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Some(head));
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().map_err(io::Error::other)?,
            "transfer-encoding" => head.chunked = true,
            _ => {}
        }
    }
}

/// Reads one chunk; false after the last.
fn read_chunk(from: &mut impl BufRead) -> io::Result<bool> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
    // The chunk and the line end after it.
    io::copy(&mut from.take(size + 2), &mut io::sink())?;
    Ok(size > 0)
}

fn serve(connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut connection = BufReader::new(connection);
    while let Some(head) = read_head(&mut connection)? {
        io::copy(&mut (&mut connection).take(head.length), &mut io::sink())?;
        respond(connection.get_mut(), &head.first.0, &head.first.1)?;
    }
    Ok(())
}

fn respond(to: &mut impl Write, method: &str, target: &str) -> io::Result<()> {
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET", "/products") => (
            "200 OK",
            "[{\"id\": 7, \"name\": \"teapot\", \"price\": 24.5}]",
        ),
        ("POST", "/cart/items") => ("201 Created", "{\"id\": 7, \"count\": 2}"),
        ("GET", "/cart") => (
            "200 OK",
            "{\"items\": [{\"id\": 7, \"count\": 2}], \"total\": 49.0}",
        ),
        ("GET", "/events") => return events(to),
        ("DELETE", _) => return to.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("POST", "/checkout") => (
            "418 I'm a teapot",
            "{\"error\": \"coffee is not sold here\"}",
        ),
        _ => ("404 Not Found", "{\"error\": \"not found\"}"),
    };
    let length = body.len();
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A response that comes part by part.
fn events(to: &mut impl Write) -> io::Result<()> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for event in ["cart-updated", "price-changed", "bye"] {
        let data = format!("event: {event}\n\n");
        write!(to, "{:x}\r\n{data}\r\n", data.len())?;
        std::thread::sleep(PACE / 10);
    }
    to.write_all(b"0\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_framed_right_and_responded_to() {
        for request in REQUESTS {
            let mut bytes = request.as_bytes();
            let head = read_head(&mut bytes).unwrap().unwrap();
            assert_eq!(bytes.len() as u64, head.length, "{request}");
            let mut written = Vec::new();
            respond(&mut written, &head.first.0, &head.first.1).unwrap();
            let mut rest = written.as_slice();
            let head = read_head(&mut rest).unwrap().unwrap();
            if head.chunked {
                while read_chunk(&mut rest).unwrap() {}
                assert!(rest.is_empty());
            } else {
                assert_eq!(rest.len() as u64, head.length);
            }
        }
    }
}
