//! Receivers that are no collectors, or bad ones: what is dropped, what is tried again and how
//! often, and what a user reads of it.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use meshtap::export::delivery::{DropReason, Totals};

use crate::delivery::{Agent, BATCH, QUICK};
use crate::fake::{Fake, Reply};
use crate::raw::Raw;
use crate::source::Source;

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Exported,
    Rejected(u64),
    Dropped(DropReason),
}

fn fate(totals: &Totals) -> Fate {
    let dropped = DropReason::ALL
        .into_iter()
        .find(|reason| totals.dropped[*reason as usize] == BATCH);
    match dropped {
        Some(reason) => Fate::Dropped(reason),
        None if totals.rejected > 0 => Fate::Rejected(totals.rejected),
        None => Fate::Exported,
    }
}

/// Delivers one batch to an endpoint. `more`: further lines of the configuration.
fn deliver(endpoint: &str, protocol: &str, more: &str) -> (Totals, Option<String>) {
    let mut agent = Agent::to(endpoint, protocol, more, &|_| None);
    agent.send(0..BATCH);
    agent.settle();
    let error = agent.error();
    (agent.stop(Duration::from_secs(60)), error)
}

/// Delivers one batch to `server`: what becomes of it, after how many requests, and what the last
/// error says.
#[track_caller]
fn check(
    server: &Raw,
    protocol: &str,
    more: &str,
    expected: Fate,
    requests: usize,
    error: &[&str],
) {
    let endpoint = format!("http://{}", server.address);
    let (totals, last) = deliver(&endpoint, protocol, &format!("{QUICK}{more}"));
    assert_eq!(fate(&totals), expected, "{last:?}");
    assert_eq!(server.heads().len(), requests, "{last:?}");
    let last = last.unwrap_or_default();
    for part in error {
        assert!(last.contains(part), "{part} is not in {last}");
    }
    if !error.is_empty() {
        assert!(
            last.starts_with(&endpoint) || last.contains(&format!(": {endpoint}")),
            "{last}"
        );
    }
    assert!(!last.chars().any(char::is_control), "{last:?}");
    assert!(last.chars().count() < 700, "{last}");
}

const REFUSED: Fate = Fate::Dropped(DropReason::Permanent);
const EXHAUSTED: Fate = Fate::Dropped(DropReason::RetriesExhausted);
const HTTP: &str = "http/protobuf";

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// This, then what a collector sends.
fn once(bytes: impl Into<Vec<u8>>) -> Raw {
    let bytes = bytes.into();
    Raw::start(move |number, stream| match number {
        0 => stream.write_all(&bytes),
        _ => stream.write_all(&http("200 OK", b"")),
    })
}

const PROTOBUF: &str = "Content-Type: application/x-protobuf";
/// `ExportTraceServiceResponse { partial_success { rejected_spans: 7, error_message: "no" } }`
const PARTIAL: &[u8] = &[0x0a, 6, 0x08, 7, 0x12, 2, b'n', b'o'];

#[test]
fn a_2xx_that_is_no_otlp_response_is_refused_and_named() {
    let page = b"<!doctype html><form action=/login>Please log in</form>";
    let login = http("200 OK\r\nContent-Type: text/html", page);
    let error = ["not an OTLP response", "text/html", "Please log in"];
    for protocol in [HTTP, "http/json"] {
        check(
            &Raw::always(login.clone()),
            protocol,
            "",
            REFUSED,
            1,
            &error,
        );
    }
    let text = http("200 OK\r\nContent-Type: text/plain", b"OK");
    check(&Raw::always(text), HTTP, "", REFUSED, 1, &["text/plain"]);
    let json = http(
        "200 OK\r\nContent-Type: application/json",
        br#"{"error":"no"}"#,
    );
    check(
        &Raw::always(json),
        "http/json",
        "",
        REFUSED,
        1,
        &["application/json", "no"],
    );
}

#[test]
fn what_collectors_of_all_sorts_send_is_taken() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for bytes in [
        http("200 OK", b""),
        http(&format!("200 OK\r\n{PROTOBUF}"), b""),
        http("202 Accepted", b""),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        http("200 OK\r\nContent-Type: text/html", b""),
        http("200 OK\r\nContent-Type: application/json", b"{}"),
        http(&format!("200 OK\r\n{PROTOBUF}"), b"{}"),
        format!("{chunked}0\r\n\r\n").into_bytes(),
        format!("{chunked}2\r\n{{}}\r\n0\r\nx: y\r\n\r\n").into_bytes(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ] {
        check(&Raw::always(bytes), HTTP, "", Fate::Exported, 1, &[]);
    }
    let coded = format!("200 OK\r\n{PROTOBUF}\r\nContent-Encoding: gzip");
    let seven = Fate::Rejected(7);
    check(
        &Raw::always(http(&coded, &gzip(PARTIAL))),
        HTTP,
        "",
        seven,
        1,
        &["no"],
    );
    check(
        &Raw::always(http("200 OK", PARTIAL)),
        HTTP,
        "",
        seven,
        1,
        &["no"],
    );
    let json = br#"{"partialSuccess":{"rejectedSpans":"7","errorMessage":"no"}}"#;
    let coded = "200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip";
    check(
        &Raw::always(http(coded, &gzip(json))),
        "http/json",
        "",
        seven,
        1,
        &["no"],
    );
}

#[test]
fn errors_say_what_the_server_says() {
    let text = http(
        "401 No\r\nContent-Type: text/plain",
        b"invalid api key\r\nfor tenant 7\x07\n",
    );
    let error = ["HTTP 401", "invalid api key for tenant 7", "/v1/traces"];
    check(&Raw::always(text), HTTP, "", REFUSED, 1, &error);
    let long = http("400 No", "no ".repeat(100_000).as_bytes());
    check(
        &Raw::always(long),
        HTTP,
        "",
        REFUSED,
        1,
        &["HTTP 400", "no no no"],
    );
    for status in [301, 302, 307, 308] {
        let bytes = http(&format!("{status} X\r\nLocation: https://other:1/x"), b"");
        let error = [&*format!("HTTP {status}"), "Location https://other:1/x"];
        check(&Raw::always(bytes), HTTP, "", REFUSED, 1, &error);
    }
    for status in [400, 403, 404, 405, 408, 413, 415, 500, 501] {
        let bytes = http(&format!("{status} X\r\nRetry-After: 1"), b"");
        check(
            &Raw::always(bytes),
            HTTP,
            "",
            REFUSED,
            1,
            &[&format!("HTTP {status}")],
        );
    }
    // A server that repeats the key does not put it into the log.
    let text = http("403 No", b"the key s3cret-token is not known");
    let more = "headers: {authorization: 'Bearer s3cret-token'}\n";
    check(
        &Raw::always(text),
        HTTP,
        more,
        REFUSED,
        1,
        &["the key *** is not known"],
    );
}

#[test]
fn what_is_temporary_is_tried_again() {
    for status in [429, 502, 503, 504] {
        check(
            &once(http(&format!("{status} X"), b"busy")),
            HTTP,
            "",
            Fate::Exported,
            2,
            &["busy"],
        );
    }
    check(
        &once(""),
        HTTP,
        "timeout: 300ms\n",
        Fate::Exported,
        2,
        &["no response within 300ms"],
    );
    let closed = Raw::start(|number, stream| match number {
        0 => Err(io::ErrorKind::ConnectionAborted.into()),
        _ => stream.write_all(&http("200 OK", b"")),
    });
    check(
        &closed,
        HTTP,
        "",
        Fate::Exported,
        2,
        &["closed without a response"],
    );
}

fn endless(stream: &mut TcpStream, head: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {head}\r\n\r\n")?;
    loop {
        stream.write_all(&[b'x'; 4096])?;
    }
}

#[test]
fn bodies_without_an_end_are_not_waited_for() {
    let busy = Raw::start(|number, stream| match number {
        0 => endless(stream, "503 X"),
        _ => stream.write_all(&http("200 OK", b"")),
    });
    check(&busy, HTTP, "", Fate::Exported, 2, &["HTTP 503", "xxx"]);
    let page = Raw::start(|_, stream| endless(stream, "200 OK"));
    check(&page, HTTP, "", REFUSED, 1, &["not an OTLP response"]);
    // The rest of these never comes.
    let cut = |head: &str| format!("HTTP/1.1 {head}\r\nContent-Length: 1000\r\n\r\nwhy");
    let start = Instant::now();
    let more = "timeout: 1h\n";
    check(
        &Raw::always(cut("403 X")),
        HTTP,
        more,
        REFUSED,
        1,
        &["HTTP 403", "why"],
    );
    assert!(start.elapsed() < Duration::from_secs(60));
    check(
        &once(cut("503 X")),
        HTTP,
        more,
        Fate::Exported,
        2,
        &["HTTP 503", "why"],
    );
    let more = "timeout: 300ms\n";
    check(
        &once(cut("200 OK")),
        HTTP,
        more,
        Fate::Exported,
        2,
        &["no end within the timeout"],
    );
}

/// One batch that a receiver never takes: dropped after `give_up`, and after no more attempts than
/// the backoff has room for.
#[test]
fn a_busy_receiver_is_not_hammered() {
    let retry = "retry: {initial: 100ms, max: 400ms, give_up: 1s}\nconcurrency: 4\n";
    for after in [
        "",
        "Retry-After: 0\r\n",
        "Retry-After: -1\r\n",
        "Retry-After: soon\r\n",
        "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "Retry-After: 0.01\r\n",
    ] {
        let server = Raw::always(format!(
            "HTTP/1.1 429 X\r\n{after}Content-Length: 0\r\n\r\n"
        ));
        let endpoint = format!("http://{}", server.address);
        let (totals, error) = deliver(&endpoint, HTTP, retry);
        assert_eq!(fate(&totals), EXHAUSTED, "{after}");
        // Waits of 100, 200 and then 267 ms at least.
        assert!(
            (2..=5).contains(&totals.attempts),
            "{after}: {}",
            totals.attempts
        );
        assert!(error.unwrap().contains("HTTP 429"), "{after}");
    }
}

#[test]
fn a_long_wait_is_bounded_and_drops_nothing() {
    let retry = "retry: {initial: 10ms, max: 300ms, give_up: 1h}\n";
    for after in [
        "86400",
        "99999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let server = once(http(&format!("503 X\r\nRetry-After: {after}"), b""));
        let mut agent = Agent::to(&format!("http://{}", server.address), HTTP, retry, &|_| {
            None
        });
        agent.send(0..BATCH);
        agent.wait_until(|totals| totals.failures == 1);
        let start = Instant::now();
        agent.send(BATCH..3 * BATCH);
        let totals = agent.stop(Duration::from_secs(600));
        assert_eq!(
            (totals.exported, totals.dropped_total()),
            (3 * BATCH, 0),
            "{after}"
        );
        assert!(start.elapsed() < Duration::from_secs(300), "{after}");
    }
}

const SETTINGS: &[u8] = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x10\0\0\0\x06\0\0\x20\0";
const ALERT: &[u8] = b"\x15\x03\x01\0\x02\x02\x46";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

#[test]
fn another_protocol_is_named() {
    let once = "retry: {initial: 10ms, max: 10ms, give_up: 0s}\n";
    let check = |server: Raw, scheme: &str, protocol: &str, expected: &str| {
        let ca = format!(
            "tls: {{ca: '{}/export/ca.pem'}}\n",
            env!("CARGO_MANIFEST_DIR")
        );
        let endpoint = format!("{scheme}://{}", server.address);
        let (totals, error) = deliver(&endpoint, protocol, &format!("{once}{ca}"));
        let error = error.unwrap();
        assert!(error.contains(expected), "{expected} is not in {error}");
        assert_eq!(fate(&totals), EXHAUSTED);
    };
    let grpc = "this port speaks gRPC (HTTP/2), not HTTP/1";
    check(Raw::greet(SETTINGS), "http", HTTP, grpc);
    check(Raw::respond(SETTINGS), "http", "http/json", grpc);
    check(Raw::respond(ALERT), "http", HTTP, "this port speaks TLS");
    check(Raw::respond(ALERT), "http", "grpc", "this port speaks TLS");
    check(
        Raw::greet(b"SSH-2.0-OpenSSH_9.2\r\n"),
        "http",
        HTTP,
        "SSH-2.0-OpenSSH",
    );
    check(
        Raw::respond(BAD_REQUEST),
        "http",
        "grpc",
        "this port speaks HTTP/1, not gRPC",
    );
    check(Raw::respond(b""), "http", HTTP, "closed without a response");
    check(
        Raw::respond(b""),
        "http",
        "grpc",
        "closed without a response",
    );
    check(
        Raw::respond(BAD_REQUEST),
        "https",
        HTTP,
        "this port speaks HTTP/1 without TLS",
    );
    check(
        Raw::greet(SETTINGS),
        "https",
        "grpc",
        "this port speaks gRPC (HTTP/2) without TLS",
    );
    check(Raw::respond(b""), "https", HTTP, "TLS");
}

#[test]
fn paths_and_queries_arrive_as_they_are() {
    for (tail, expected) in [
        ("", "/v1/traces"),
        ("/otlp", "/otlp/v1/traces"),
        ("/v1/traces/", "/v1/traces/"),
        ("/otlp?tenant=7&x=%2F", "/otlp/v1/traces?tenant=7&x=%2F"),
    ] {
        let server = Raw::always(http("200 OK", b""));
        let endpoint = format!("http://{}{tail}", server.address);
        let (totals, _) = deliver(&endpoint, HTTP, QUICK);
        assert_eq!(fate(&totals), Fate::Exported, "{tail}");
        let heads = server.heads();
        assert!(
            heads[0].starts_with(&format!("POST {expected} HTTP/1.1\r\n")),
            "{heads:?}"
        );
    }
}

#[test]
fn requests_go_through_a_proxy() {
    let target = "collector.invalid:4318";
    let through = |proxy: &Raw, protocol: &str, scheme: &str, name: &str| {
        let url = format!("http://us%65r:pass@{}", proxy.address);
        let env = |asked: &str| (asked == name).then(|| url.clone());
        let ca = format!(
            "tls: {{ca: '{}/export/ca.pem'}}\n",
            env!("CARGO_MANIFEST_DIR")
        );
        let more = format!("{ca}retry: {{initial: 10ms, max: 10ms, give_up: 0s}}\n");
        let mut agent = Agent::to(&format!("{scheme}://{target}"), protocol, &more, &env);
        agent.send(0..BATCH);
        agent.settle();
        let error = agent.error();
        (
            fate(&agent.stop(Duration::from_secs(60))),
            error,
            proxy.heads(),
        )
    };
    const USER: &str = "proxy-authorization: Basic dXNlcjpwYXNz\r\n";
    // A plain request is given to the proxy; it may be a collector itself.
    for name in ["HTTP_PROXY", "http_proxy"] {
        let proxy = Raw::always(http("200 OK", b""));
        let (fate, error, heads) = through(&proxy, HTTP, "http", name);
        assert_eq!(fate, Fate::Exported, "{error:?}");
        let line = format!("POST http://{target}/v1/traces HTTP/1.1\r\n");
        assert!(
            heads[0].starts_with(&line) && heads[0].contains(USER),
            "{heads:?}"
        );
    }
    // gRPC gets a connection.
    let fake = Fake::start(Vec::new(), Reply::Take);
    let proxy = Raw::proxy(fake.address);
    let (fate_of, error, heads) = through(&proxy, "grpc", "http", "HTTP_PROXY");
    assert_eq!(fate_of, Fate::Exported, "{error:?}");
    assert_eq!(fake.received().len(), 1);
    let line = format!("CONNECT {target} HTTP/1.1\r\n");
    let asks =
        |head: &str| head.starts_with(&line) && head.to_lowercase().contains(&USER.to_lowercase());
    assert!(asks(&heads[0]), "{heads:?}");
    // So does TLS; a proxy that refuses is named, and so is one that is something else.
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let proxy = Raw::always("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        let (fate_of, error, heads) = through(&proxy, HTTP, "https", name);
        assert_eq!(fate_of, EXHAUSTED);
        assert!(asks(&heads[0]), "{heads:?}");
        let error = error.unwrap();
        let expected = format!(
            "the proxy {} does not connect to {target}: HTTP 407",
            proxy.address
        );
        assert!(error.contains(&expected), "{error}");
        assert!(!error.contains("pass"), "{error}");
    }
    let proxy = Raw::always("SSH-2.0\r\n");
    let (_, error, _) = through(&proxy, "grpc", "http", "HTTP_PROXY");
    assert!(error.unwrap().contains("not HTTP/1"));
    // Exceptions: a name that does not exist, so nothing arrives anywhere.
    let proxy = Raw::always(http("200 OK", b""));
    let url = format!("http://{}", proxy.address);
    let env = |asked: &str| match asked {
        "HTTP_PROXY" => Some(url.clone()),
        "NO_PROXY" => Some(".invalid".to_owned()),
        _ => None,
    };
    let more = "retry: {initial: 10ms, max: 10ms, give_up: 0s}\n";
    let mut agent = Agent::to(&format!("http://{target}"), HTTP, more, &env);
    agent.send(0..BATCH);
    assert_eq!(fate(&agent.stop(Duration::from_secs(60))), EXHAUSTED);
    assert_eq!(proxy.heads().len(), 0);
}

#[test]
fn a_span_that_no_collector_takes_goes_without_its_bodies() {
    for protocol in ["grpc", HTTP, "http/json"] {
        let fake = Fake::start(Vec::new(), Reply::Take);
        let mut agent = Agent::to(
            &format!("http://{}", fake.address),
            protocol,
            QUICK,
            &|_| None,
        );
        let mut source = Source::with_bodies(8 * 1024 * 1024);
        let body = "x".repeat(5 * 1024 * 1024);
        let length = body.len();
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let small = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
        for (target, response) in [("/large", &*large), ("/small", small)] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            agent.span(&source.exchange(request.as_bytes(), response.as_bytes()));
        }
        let totals = agent.stop(Duration::from_secs(60));
        assert_eq!(totals.exported, 2, "{protocol}");
        for received in fake.received() {
            assert!(received.payload.len() < 4 * 1024 * 1024, "{protocol}");
        }
        assert_eq!(fake.text("/large", "http.response.body"), None);
        let reason = fake.text("/large", "meshtap.response.body.omitted");
        assert_eq!(reason.as_deref(), Some("too_large"), "{protocol}");
        let body = fake.text("/small", "http.response.body");
        assert_eq!(body.as_deref(), Some("yes"), "{protocol}");
    }
}
