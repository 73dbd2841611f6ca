//! First bytes that name a protocol.

/// What a client of HTTP/2 sends first: the connection preface (RFC 9113 §3.4).
pub const HTTP2_PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a PROXY protocol header of version 2 begins with (haproxy.org, proxy-protocol.txt §2.2).
pub const PROXY_V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
