//! One entry of a HAR document.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::exchange::{Exchange, Response};
use crate::http::percent::decode_percent;
use crate::http::target::{path_and_query, split_query};
use crate::http::{Body, Fields, RequestHead, Version};
use crate::redact::{Content, Sanitized};

/// Not known, as the format says it.
const UNKNOWN: &[u8] = b"-1";

/// Appends the entry.
pub(crate) fn write(out: &mut Vec<u8>, sanitized: &Sanitized) {
    let exchange = sanitized.exchange();
    let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(sanitized.started());
    put(out, b"{\"startedDateTime\":\"");
    let _ = write!(out, "{}", humantime::format_rfc3339_millis(began));
    put(out, b"\",\"time\":");
    millis(out, exchange.duration());
    put(out, b",\"request\":");
    request(out, exchange, sanitized.request_content());
    put(out, b",\"response\":");
    match &exchange.response {
        Some(answer) => response(out, answer, sanitized.response_content()),
        None => no_response(out, exchange),
    }
    put(out, b",\"cache\":{},\"timings\":");
    timings(out, exchange);
    let peers = &exchange.peers;
    let _ = write!(
        out,
        ",\"serverIPAddress\":\"{}\",\"connection\":\"{}\",\"_clientIPAddress\":\"{}\",\"_side\":\"{}\",\"_traceId\":\"{}\"",
        peers.server.ip(),
        peers.socket.0,
        peers.client.ip(),
        peers.side.label(),
        sanitized.trace_id(),
    );
    if let Some(partial) = exchange.partial {
        let _ = write!(out, ",\"_partial\":\"{}\"", partial.label());
    }
    out.push(b'}');
}

fn request(out: &mut Vec<u8>, exchange: &Exchange, content: &Content) {
    let (head, body) = (&exchange.request.head, &exchange.request.body);
    put(out, b"{\"method\":");
    string(out, head.method());
    put(out, b",\"url\":");
    string(out, &url(exchange));
    put(out, b",\"httpVersion\":\"");
    put(out, version(head.version));
    put(out, b"\",\"cookies\":");
    request_cookies(out, &head.fields);
    put(out, b",\"headers\":");
    headers(out, &head.fields);
    put(out, b",\"queryString\":");
    query(out, head);
    if !body.bytes.is_empty() {
        put(out, b",\"postData\":");
        post_data(out, &head.fields, body, content);
    }
    put(out, b",\"headersSize\":-1,\"bodySize\":");
    size(out, body);
    comment(out, content);
    out.push(b'}');
}

fn response(out: &mut Vec<u8>, answer: &Response, content: &Content) {
    let (head, body) = (&answer.head, &answer.body);
    let _ = write!(out, "{{\"status\":{},\"statusText\":\"", head.status);
    put(out, reason(head.status).as_bytes());
    put(out, b"\",\"httpVersion\":\"");
    put(out, version(head.version));
    put(out, b"\",\"cookies\":");
    response_cookies(out, &head.fields);
    put(out, b",\"headers\":");
    headers(out, &head.fields);
    put(out, b",\"content\":{\"size\":");
    let _ = write!(out, "{}", content.full_size);
    if content.decoded && !content.cut && body.size_exact {
        // Bytes saved; negative when the coding made it larger.
        let saved = i128::from(content.full_size) - i128::from(body.size);
        let _ = write!(out, ",\"compression\":{saved}");
    }
    put(out, b",\"mimeType\":");
    string(out, media_type(&head.fields));
    if !body.bytes.is_empty() {
        put(out, b",\"text\":");
        text(out, body, content, b",\"encoding\":\"base64\"");
    }
    comment(out, content);
    put(out, b"},\"redirectURL\":");
    string(out, head.fields.get("location").unwrap_or_default());
    put(out, b",\"headersSize\":-1,\"bodySize\":");
    size(out, body);
    out.push(b'}');
}

/// What browsers write for a request that was not answered.
fn no_response(out: &mut Vec<u8>, exchange: &Exchange) {
    put(out, b"{\"status\":0,\"statusText\":\"\",\"httpVersion\":\"");
    put(out, version(exchange.request.head.version));
    put(
        out,
        b"\",\"cookies\":[],\"headers\":[],\"content\":{\"size\":0,\"mimeType\":\"\"},\"redirectURL\":\"\",\"headersSize\":-1,\"bodySize\":-1}",
    );
}

fn timings(out: &mut Vec<u8>, exchange: &Exchange) {
    let request = &exchange.request;
    put(
        out,
        b"{\"blocked\":-1,\"dns\":-1,\"connect\":-1,\"ssl\":-1,\"send\":",
    );
    let (send, wait, receive) = match &exchange.response {
        // An early answer begins before the request has ended: no part may be negative, and their
        // sum is the whole time.
        Some(response) => {
            let sent = request.ended.min(response.began);
            let send = sent.saturating_sub(request.began);
            let wait = response.began.saturating_sub(sent);
            (send, wait, exchange.duration().saturating_sub(send + wait))
        }
        None => (exchange.duration(), 0, 0),
    };
    millis(out, send);
    put(out, b",\"wait\":");
    millis(out, wait);
    put(out, b",\"receive\":");
    millis(out, receive);
    out.push(b'}');
}

fn post_data(out: &mut Vec<u8>, fields: &Fields, body: &Body, content: &Content) {
    put(out, b"{\"mimeType\":");
    let kind = media_type(fields);
    string(out, kind);
    put(out, b",\"params\":[");
    if kind.starts_with(b"application/x-www-form-urlencoded") {
        pairs(out, &body.bytes);
    }
    put(out, b"],\"text\":");
    // The format has no encoding here; `_encoding` is what others write for bytes.
    text(out, body, content, b",\"_encoding\":\"base64\"");
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, body: &Body, content: &Content, encoding: &[u8]) {
    let valid = match str::from_utf8(&body.bytes) {
        Ok(text) => Some(text),
        Err(error) if content.cut && error.error_len().is_none() => body
            .bytes
            .get(..error.valid_up_to())
            .and_then(|bytes| str::from_utf8(bytes).ok()),
        Err(_) => None,
    };
    match valid {
        Some(text) => string(out, text.as_bytes()),
        None => {
            out.push(b'"');
            put(out, STANDARD.encode(&body.bytes).as_bytes());
            out.push(b'"');
            put(out, encoding);
        }
    }
}

fn comment(out: &mut Vec<u8>, content: &Content) {
    if let Some(reason) = content.omitted {
        let _ = write!(out, ",\"comment\":\"body left out: {}\"", reason.label());
    } else if content.cut {
        put(out, b",\"comment\":\"body cut\"");
    }
}

fn headers(out: &mut Vec<u8>, fields: &Fields) {
    out.push(b'[');
    for (i, (name, value)) in fields.iter().enumerate() {
        pair(out, i, name, value);
        out.push(b'}');
    }
    out.push(b']');
}

/// The beginning of a `{"name":…,"value":…` object.
fn pair(out: &mut Vec<u8>, index: usize, name: &[u8], value: &[u8]) {
    put(
        out,
        if index == 0 {
            b"{\"name\":"
        } else {
            b",{\"name\":"
        },
    );
    string(out, name);
    put(out, b",\"value\":");
    string(out, value);
}

fn request_cookies(out: &mut Vec<u8>, fields: &Fields) {
    out.push(b'[');
    let all = fields
        .get_all("cookie")
        .flat_map(|line| line.split(|&b| b == b';'));
    for (i, cookie) in all
        .map(<[u8]>::trim_ascii)
        .filter(|c| !c.is_empty())
        .enumerate()
    {
        let (name, value) = split_pair(cookie);
        pair(out, i, name, value);
        out.push(b'}');
    }
    out.push(b']');
}

/// RFC 6265 §4.1; `expires` must be ISO 8601 in HAR, and is left to the header where it is not
/// understood.
fn response_cookies(out: &mut Vec<u8>, fields: &Fields) {
    out.push(b'[');
    for (i, line) in fields.get_all("set-cookie").enumerate() {
        let mut parts = line.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let (name, value) = split_pair(parts.next().unwrap_or_default());
        pair(out, i, name, value);
        let (mut http_only, mut secure) = (false, false);
        for part in parts {
            let (key, value) = split_pair(part);
            let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
            http_only |= is("httponly");
            secure |= is("secure");
            if is("path") {
                put(out, b",\"path\":");
                string(out, value);
            } else if is("domain") {
                put(out, b",\"domain\":");
                string(out, value);
            }
        }
        let _ = write!(out, ",\"httpOnly\":{http_only},\"secure\":{secure}}}");
    }
    out.push(b']');
}

fn query(out: &mut Vec<u8>, head: &RequestHead) {
    out.push(b'[');
    if let (_, Some(query)) = split_query(path_and_query(head.target())) {
        pairs(out, query);
    }
    out.push(b']');
}

/// `name=value&…`, decoded.
fn pairs(out: &mut Vec<u8>, text: &[u8]) {
    let all = text.split(|&b| b == b'&').filter(|part| !part.is_empty());
    for (i, part) in all.enumerate() {
        let (name, value) = split_pair(part);
        pair(out, i, &decode_percent(name), &decode_percent(value));
        out.push(b'}');
    }
}

fn split_pair(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&b| b == b'=') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// An absolute URL, as the format asks for.
fn url(exchange: &Exchange) -> Vec<u8> {
    let head = &exchange.request.head;
    let mut url = head.scheme().unwrap_or(b"http").to_vec();
    url.extend_from_slice(b"://");
    match head.host().filter(|host| !host.is_empty()) {
        Some(host) => url.extend_from_slice(host),
        None => url.extend_from_slice(exchange.peers.server.to_string().as_bytes()),
    }
    let target = path_and_query(head.target());
    if target.first() == Some(&b'/') {
        url.extend_from_slice(target);
    } else {
        url.push(b'/');
    }
    url
}

fn media_type(fields: &Fields) -> &[u8] {
    fields.get("content-type").unwrap_or_default()
}

const fn version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2",
    }
}

fn size(out: &mut Vec<u8>, body: &Body) {
    if body.size_exact {
        let _ = write!(out, "{}", body.size);
    } else {
        put(out, UNKNOWN);
    }
}

/// Milliseconds with what is below them.
fn millis(out: &mut Vec<u8>, nanos: u64) {
    let _ = write!(out, "{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
}

/// A JSON string. What is not UTF-8 is taken for ISO-8859-1.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    crate::signal::span::push_escaped(out, bytes);
    out.push(b'"');
}

/// Reason phrases of RFC 9110 §15 and the commonest others; the format wants one, the captured one
/// is not kept.
const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
