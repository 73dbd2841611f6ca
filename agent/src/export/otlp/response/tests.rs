use std::io::Write as _;
use std::time::{Duration, SystemTime};

use ::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::super::config::Protocol;
use super::super::wire;
use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, text) in pairs {
        let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        map.append(HeaderName::from_static(name), value);
    }
    map
}

fn reply(status: u16, pairs: &[(&'static str, &str)], body: &[u8]) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers(pairs),
        trailers: None,
        body: Bytes::copy_from_slice(body),
        end: End::Whole,
    }
}

/// `taken 7: remark`, `retry 3s: message`, `refused: message`.
fn summary(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Taken { rejected, remark } => format!("taken {rejected}: {remark}"),
        Outcome::Retry { after, message } => match after {
            Some(after) => format!("retry {after:?}: {message}"),
            None => format!("retry: {message}"),
        },
        Outcome::Refused { message } => format!("refused: {message}"),
    }
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const HTML: (&str, &str) = ("content-type", "text/html");
const TEXT: (&str, &str) = ("content-type", "text/plain");
/// `ExportTraceServiceResponse { partial_success { rejected_spans: 7, error_message: "no" } }`
const PARTIAL: &[u8] = &[0x0a, 6, 0x08, 7, 0x12, 2, b'n', b'o'];

#[track_caller]
fn check_as(protocol: Protocol, reply: &Reply, expected: &str) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let outcome = match protocol {
        Protocol::Grpc => grpc(reply, now),
        _ => http(protocol, reply, now),
    };
    let found = summary(&outcome);
    let right = match expected.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => found == expected,
    };
    assert!(right, "{found}\nis not\n{expected}\n{reply:?}");
}

#[track_caller]
fn check(status: u16, pairs: &[(&'static str, &str)], body: &[u8], expected: &str) {
    check_as(
        Protocol::HttpProtobuf,
        &reply(status, pairs, body),
        expected,
    );
}

#[test]
fn what_says_that_a_batch_was_taken() {
    check(200, &[], b"", "taken 0: ");
    check(200, &[PROTOBUF], b"", "taken 0: ");
    check(200, &[PROTOBUF], PARTIAL, "taken 7: no");
    let json = Protocol::HttpJson;
    for (body, expected) in [
        ("{}", "taken 0: "),
        ("", "taken 0: "),
        (r#"{"partialSuccess":{}}"#, "taken 0: "),
        (
            r#"{"partialSuccess":{"rejectedSpans":"3"}}"#,
            "taken 3: no reason is given",
        ),
        (
            r#"{"partialSuccess":{"rejectedSpans":4}}"#,
            "taken 4: no reason is given",
        ),
        (r#"{"partialSuccess":{"rejectedSpans":null}}"#, "taken 0: "),
        (
            r#"{"partialSuccess":{"rejectedSpans":-4}}"#,
            "taken 0: the count of rejected items cannot be read",
        ),
        (
            r#"{"partialSuccess":{"rejectedSpans":"x","errorMessage":"no"}}"#,
            "taken 0: no (the count of rejected items cannot be read)",
        ),
        (
            r#"{"partial_success":{"rejected_spans":"1","error_message":"a\nb"}}"#,
            "taken 1: a b",
        ),
    ] {
        check_as(json, &reply(200, &[JSON], body.as_bytes()), expected);
    }
}

#[test]
fn what_counts_as_taken_is_said_where_it_is_odd() {
    for (status, kind) in [
        (204, ""),
        (202, ""),
        (200, "text/html"),
        (200, "application/json"),
    ] {
        let pairs = [("content-type", kind)];
        let pairs = if kind.is_empty() { &[][..] } else { &pairs[..] };
        check(status, pairs, b"", &format!("taken 0: HTTP {status} *"));
    }
    let odd = "is not what OTLP asks for; it counts as taken";
    check(
        202,
        &[PROTOBUF],
        b"",
        &format!("taken 0: HTTP 202 Accepted with content type application/x-protobuf {odd}"),
    );
    check(
        202,
        &[PROTOBUF],
        PARTIAL,
        &format!("taken 7: HTTP 202 Accepted with content type application/x-protobuf {odd}: no"),
    );
    // JSON under the type of protobuf, protobuf under another binary type, JSON for protobuf.
    check(200, &[PROTOBUF], b"{}", "taken 0: ");
    check(
        200,
        &[JSON],
        b"{}",
        "taken 0: HTTP 200 OK with content type application/json *",
    );
    check(
        200,
        &[TEXT],
        b"{}",
        "taken 0: HTTP 200 OK with content type text/plain *",
    );
    check(
        200,
        &[("content-type", "application/octet-stream")],
        PARTIAL,
        "taken 7: HTTP 200 OK with content type application/octet-stream *",
    );
}

#[test]
fn what_is_not_an_otlp_response_is_refused() {
    let page = b"<!doctype html><html><style>a{}</style><body>Please <b>log in</b></body></html>";
    check(
        200,
        &[HTML],
        page,
        "refused: HTTP 200 OK with content type text/html is not an OTLP response: Please log in",
    );
    check(
        200,
        &[],
        b"OK",
        "refused: HTTP 200 OK with no content type is not an OTLP response: OK",
    );
    // This text is protobuf of a field that nobody knows.
    check(
        200,
        &[TEXT],
        b"xy",
        "refused: HTTP 200 OK with content type text/plain is not an OTLP response: xy",
    );
    let json = Protocol::HttpJson;
    for body in [r#"{"error":"log in"}"#, "[]", "null", "{", r#""ok""#] {
        check_as(
            json,
            &reply(200, &[JSON], body.as_bytes()),
            "refused: HTTP 200 OK *",
        );
    }
    let mut endless = reply(200, &[PROTOBUF], PARTIAL);
    endless.end = End::TooLong;
    check_as(Protocol::HttpProtobuf, &endless, "refused: HTTP 200 OK *");
    endless.end = End::Broken("reset".to_owned());
    check_as(
        Protocol::HttpProtobuf,
        &endless,
        "retry: HTTP 200 OK, but its body did not come: reset",
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn content_codings_are_removed() {
    let coded = [PROTOBUF, ("content-encoding", "gzip")];
    check(200, &coded, &gzip(PARTIAL), "taken 7: no");
    check(200, &coded, &gzip(b""), "taken 0: ");
    check(
        503,
        &[TEXT, ("content-encoding", "gzip")],
        &gzip(b"busy"),
        "retry: HTTP 503 Service Unavailable: busy",
    );
    check(200, &coded, b"no gzip", "refused: HTTP 200 OK *");
    check(
        200,
        &[("content-encoding", "odd")],
        b"x",
        "refused: HTTP 200 OK *",
    );
    // A bomb is no message.
    check(
        200,
        &coded,
        &gzip(&[0; 10_000_000]),
        "refused: HTTP 200 OK *",
    );
}

#[test]
fn http_errors_say_what_the_server_says() {
    check(401, &[], b"", "refused: HTTP 401 Unauthorized");
    check(
        401,
        &[TEXT],
        b"invalid api key\r\n\tfor tenant 7\x1b[31m\0",
        "refused: HTTP 401 Unauthorized: invalid api key for tenant 7 [31m",
    );
    check(
        401,
        &[TEXT],
        b"invalid api key\r\n\tfor tenant 7\n",
        "refused: HTTP 401 Unauthorized: invalid api key for tenant 7",
    );
    check(
        400,
        &[JSON],
        br#"{"code":3,"message":"bad"}"#,
        "refused: HTTP 400 Bad Request: bad",
    );
    check(
        400,
        &[JSON],
        br#"{"error":{"message":"worse"}}"#,
        "refused: HTTP 400 Bad Request: worse",
    );
    check(
        400,
        &[JSON],
        br#"{"x":1}"#,
        r#"refused: HTTP 400 Bad Request: {"x":1}"#,
    );
    let mut status = Vec::new();
    wire::bytes(&mut status, 2, b"no tenant");
    check(
        400,
        &[PROTOBUF],
        &status,
        "refused: HTTP 400 Bad Request: no tenant",
    );
    check(
        500,
        &[PROTOBUF],
        b"\xff\xfe\0",
        "refused: HTTP 500 Internal Server Error: 3 bytes *",
    );
    for status in [301, 302, 307, 308] {
        check(
            status,
            &[("location", "https://other/v1/traces")],
            b"",
            &format!("refused: HTTP {status} *"),
        );
    }
    check(
        302,
        &[("location", "/login")],
        b"",
        "refused: HTTP 302 Found to Location /login, which is not followed",
    );
    for status in [400, 401, 403, 404, 405, 408, 413, 415, 500, 501, 505] {
        check(status, &[("retry-after", "1")], b"", "refused: *");
    }
    for status in [429, 502, 503, 504] {
        check(status, &[], b"", "retry: *");
    }
}

#[test]
fn a_long_text_is_cut() {
    let found = one_line(&"ab ".repeat(1_000_000));
    assert_eq!(found.chars().count(), 257);
    assert!(found.ends_with('…'));
    assert_eq!(one_line(" \u{202e}a\u{85}\u{2028}b\u{0} "), "a b");
    let page = format!("<script>{}", "</".repeat(100_000));
    check(
        503,
        &[HTML],
        page.as_bytes(),
        "retry: HTTP 503 Service Unavailable",
    );
}

#[test]
fn retry_after() {
    let retry = |value: &str, expected: &str| {
        check(
            503,
            &[("retry-after", value)],
            b"",
            &format!("retry{expected}: *"),
        );
    };
    retry("3", " 3s");
    retry(" 0 ", " 0ns");
    retry("1.5", " 1.5s");
    retry("2.", " 2s");
    retry("0.0000000019", " 1ns");
    retry("86400", " 86400s");
    retry("18446744073709551615", " 18446744073709551615s");
    retry("99999999999999999999999999", " 18446744073709551615s");
    for odd in [
        "-1", "soon", "", "1e9", "inf", "NaN", ".5", "+5", "0x5", "1.5.2", "1,2",
    ] {
        retry(odd, "");
    }
    retry("Sun, 06 Nov 1994 08:50:07 GMT", " 30s");
    retry("Sunday, 06-Nov-94 08:50:07 GMT", " 30s");
    retry("Sun, 06 Nov 1994 08:00:00 GMT", " 0ns");
    retry("Thu, 01 Jan 1970 00:00:00 GMT", " 0ns");
    retry("Fri, 31 Dec 9999 23:59:59 GMT", " 252618189022s");
    check(
        429,
        &[("retry-after", "1"), ("retry-after", "4")],
        b"",
        "retry 4s: *",
    );
    // The server's clock is an hour behind: its own date says so.
    check(
        503,
        &[
            ("date", "Sun, 06 Nov 1994 07:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 07:49:47 GMT"),
        ],
        b"",
        "retry 10s: *",
    );
}

/// As trailers and, as a response without a body has it, as the head itself.
#[track_caller]
fn check_grpc(pairs: &[(&'static str, &str)], expected: &str) {
    let framed = [&[0, 0, 0, 0, PARTIAL.len() as u8], PARTIAL].concat();
    let mut whole = reply(200, &[("content-type", "application/grpc")], &framed);
    whole.trailers = Some(headers(pairs));
    check_as(Protocol::Grpc, &whole, expected);
    let head = reply(200, pairs, &framed);
    check_as(Protocol::Grpc, &head, expected);
}

#[test]
fn grpc_codes() {
    check_grpc(&[("grpc-status", "0")], "taken 7: no");
    for code in ["1", "4", "10", "11", "14", "15"] {
        check_grpc(
            &[("grpc-status", code)],
            &format!("retry: gRPC status {code} *"),
        );
    }
    for code in [
        "2", "3", "5", "6", "7", "8", "9", "12", "13", "16", "99", "-1", "x",
    ] {
        check_grpc(&[("grpc-status", code)], "refused: gRPC status *");
    }
    check_grpc(
        &[
            ("grpc-status", "16"),
            ("grpc-message", "no%20such key%0a%zz"),
        ],
        "refused: gRPC status 16 UNAUTHENTICATED: no such key %zz",
    );
}

#[test]
fn grpc_messages() {
    let judge = |encoding: &str, body: &[u8], expected: &str| {
        let head = [
            ("content-type", "application/grpc"),
            ("grpc-encoding", encoding),
        ];
        let mut reply = reply(200, &head, body);
        reply.trailers = Some(headers(&[("grpc-status", "0")]));
        check_as(Protocol::Grpc, &reply, expected);
    };
    let compressed = gzip(PARTIAL);
    let framed = [&[1, 0, 0, 0, compressed.len() as u8], &compressed[..]].concat();
    judge("gzip", &framed, "taken 7: no");
    judge(
        "odd",
        &framed,
        "taken 0: gRPC status 0 OK with a message that cannot be read",
    );
    judge("identity", b"", "taken 0: ");
    judge("identity", b"\0\0", "taken 0: gRPC status 0 OK with *");
    judge(
        "identity",
        b"\0\0\0\0\x02OK",
        "taken 0: gRPC status 0 OK with *",
    );
}

fn details(seconds: i64, nanos: i32) -> String {
    // google.rpc.Status { details: [Any { type_url, value: RetryInfo { retry_delay } }] }
    let (mut delay, mut info, mut any, mut status) = (vec![], vec![], vec![], vec![]);
    wire::int(&mut delay, 1, seconds.cast_unsigned());
    wire::int(&mut delay, 2, i64::from(nanos).cast_unsigned());
    wire::bytes(&mut info, 1, &delay);
    wire::bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    wire::bytes(&mut any, 2, &info);
    wire::bytes(&mut status, 3, &any);
    STANDARD_NO_PAD.encode(status)
}

#[test]
fn grpc_retry_info() {
    let retry = |code, details: &str, expected: &str| {
        let pairs = [("grpc-status", code), ("grpc-status-details-bin", details)];
        check_grpc(&pairs, expected);
    };
    let delay = details(1, 500_000_000);
    retry("8", &delay, "retry 1.5s: gRPC status 8 RESOURCE_EXHAUSTED");
    retry("14", &delay, "retry 1.5s: gRPC status 14 UNAVAILABLE");
    retry("8", &format!("{delay}=="), "retry 1.5s: *");
    retry("8", "%%%", "refused: *");
    retry("3", &delay, "refused: *");
    retry("14", &details(0, 0), "retry 0ns: *");
    retry("14", &details(-5, -1), "retry 0ns: *");
    retry("14", &details(i64::MAX, i32::MAX), "retry 922*");
}

#[test]
fn what_is_not_grpc() {
    let judge = |status, pairs: &[(&'static str, &str)], body: &[u8], expected: &str| {
        check_as(Protocol::Grpc, &reply(status, pairs, body), expected);
    };
    judge(
        503,
        &[],
        b"",
        "retry: HTTP 503 Service Unavailable with content type none *",
    );
    judge(
        403,
        &[TEXT],
        b"no",
        "refused: HTTP 403 Forbidden with content type text/plain is not a gRPC response: no",
    );
    judge(404, &[], b"", "refused: *");
    judge(
        200,
        &[HTML],
        b"<p>hello",
        "refused: HTTP 200 OK with content type text/html is not a gRPC response: hello",
    );
    judge(
        302,
        &[("location", "/x")],
        b"",
        "refused: HTTP 302 Found with content type none is not a gRPC response; Location /x is not followed",
    );
    let kind = ("content-type", "application/grpc+proto");
    judge(
        200,
        &[kind],
        b"",
        "retry: HTTP 200 OK without a gRPC status",
    );
    // Who sends such a status may say when to come back.
    let after = ("retry-after", "8");
    for (status, pairs, expected) in [
        (429, &[after][..], "retry 8s: *"),
        (503, &[after], "retry 8s: *"),
        (
            503,
            &[kind, after],
            "retry 8s: HTTP 503 Service Unavailable without *",
        ),
        (200, &[kind, after], "retry: *"),
        (403, &[after], "refused: *"),
    ] {
        judge(status, pairs, b"", expected);
    }
    let mut cut = reply(200, &[kind], b"");
    cut.end = End::Broken("reset".to_owned());
    check_as(Protocol::Grpc, &cut, "retry: the response broke off: reset");
}
