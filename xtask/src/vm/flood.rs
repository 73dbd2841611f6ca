//! Runs in the guest: a request whose body is half read while 60 000 short connections come and go.
//!
//! Built by `rustc` alone, with nothing but the standard library, so that it is one static file.

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

const UPLOAD: u16 = 8081;
const FLOOD: u16 = 8082;

/// More than a table of flows has room for, two ends each.
const CONNECTIONS: usize = 60_000;

/// The body of the request.
const BODY: usize = 1 << 20;

/// The start of a TLS handshake, which is ignored, and of a protocol that user space must judge.
const FIRST_BYTES: [&[u8]; 2] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"EHLO guest.example\r\n",
];

unsafe extern "C" {
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, size: u32) -> c_int;
}

fn main() -> io::Result<()> {
    let (mut client, mut server) = connect(&listen(UPLOAD)?, UPLOAD)?;
    let head = format!("POST /upload HTTP/1.1\r\nHost: guest\r\nContent-Length: {BODY}\r\n\r\n");
    transfer(&mut client, &mut server, head.as_bytes())?;
    transfer(&mut client, &mut server, &[b'1'; BODY / 2])?;
    let listener = listen(FLOOD)?;
    for n in 0..CONNECTIONS {
        let (mut client, mut server) = connect(&listener, FLOOD)?;
        transfer(&mut client, &mut server, FIRST_BYTES[n % FIRST_BYTES.len()])?;
        reset(client)?;
    }
    transfer(&mut client, &mut server, &[b'2'; BODY / 2])?;
    transfer(&mut server, &mut client, b"HTTP/1.1 204 No Content\r\n\r\n")
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn connect(listener: &TcpListener, port: u16) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    Ok((client, listener.accept()?.0))
}

/// Chunk by chunk, so that no socket buffer is full.
fn transfer(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for chunk in bytes.chunks(16 * 1024) {
        from.write_all(chunk)?;
        to.read_exact(&mut vec![0; chunk.len()])?;
    }
    Ok(())
}

/// Closes with RST, so that no port waits (SO_LINGER with a time of zero, socket(7)).
fn reset(stream: TcpStream) -> io::Result<()> {
    const SOL_SOCKET: c_int = 1;
    const SO_LINGER: c_int = 13;
    let linger: [c_int; 2] = [1, 0];
    // SAFETY: the option's value is a `struct linger`, two `int`s, and its size is given.
    let result = unsafe {
        setsockopt(
            stream.as_raw_fd(),
            SOL_SOCKET,
            SO_LINGER,
            linger.as_ptr().cast(),
            size_of_val(&linger) as u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
