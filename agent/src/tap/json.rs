//! One JSON object per exchange and line (RFC 8259), written by hand into a reused buffer: no value tree, no allocation.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body::Text;
use super::escape::hidden;
use super::{Detail, View};
use crate::flow::Endpoint;
use crate::http::Anomalies;
use crate::http::{Body, Fields};
use crate::redact::Content;

/// Appends the object and a line feed.
pub fn write(out: &mut Vec<u8>, view: &View<'_>, detail: Detail) {
    let exchange = view.exchange();
    let (request, peers) = (&exchange.request, &exchange.peers);
    let time = Duration::from_nanos(view.clock.unix_nanos(request.began));
    let _ = write!(
        out,
        "{{\"time\":\"{}\",\"duration_ns\":{},\"side\":\"{}\"",
        humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + time),
        exchange.duration(),
        peers.side.label(),
    );
    endpoint(out, ",\"client\":", peers.caller());
    endpoint(out, ",\"server\":", &peers.server);
    if let Some(process) = &view.process {
        let _ = write!(out, ",\"process\":{{\"pid\":{},\"name\":", process.pid);
        string(out, process.name.as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b",\"method\":");
    string(out, request.head.method());
    out.extend_from_slice(b",\"target\":");
    string(out, request.head.target());
    if let Some(host) = request.head.host() {
        out.extend_from_slice(b",\"host\":");
        string(out, host);
    }
    let _ = write!(out, ",\"version\":\"{}\"", request.head.version.label());
    if let Some(response) = &exchange.response {
        let _ = write!(out, ",\"status\":{}", response.head.status);
        let reason = response.head.reason.as_bytes();
        if !reason.is_empty() {
            out.extend_from_slice(b",\"reason\":");
            string(out, reason);
        }
    }
    for (index, head) in exchange.interim.heads.iter().enumerate() {
        let before = if index == 0 { ",\"interim\":[" } else { "," };
        let _ = write!(out, "{before}{}", head.status);
    }
    if !exchange.interim.heads.is_empty() {
        out.push(b']');
    }
    out.extend_from_slice(b",\"request\":");
    let content = view.sanitized.request_content();
    message(
        out,
        &request.head.fields,
        (&request.body, content),
        request.anomalies,
        detail,
    );
    if let Some(response) = &exchange.response {
        out.extend_from_slice(b",\"response\":");
        let content = view.sanitized.response_content();
        message(
            out,
            &response.head.fields,
            (&response.body, content),
            response.anomalies,
            detail,
        );
    }
    if exchange.upgrade {
        out.extend_from_slice(b",\"upgrade\":true");
    }
    if let Some(partial) = exchange.partial {
        let _ = write!(out, ",\"partial\":\"{}\"", partial.label());
    }
    out.extend_from_slice(b"}\n");
}

fn endpoint(out: &mut Vec<u8>, key: &str, endpoint: &Endpoint) {
    let _ = write!(
        out,
        "{key}{{\"address\":\"{}\",\"port\":{}}}",
        endpoint.ip(),
        endpoint.port()
    );
}

fn message(
    out: &mut Vec<u8>,
    fields: &Fields,
    (body, content): (&Body, &Content),
    anomalies: Anomalies,
    detail: Detail,
) {
    out.extend_from_slice(b"{\"headers\":");
    pairs(out, fields);
    if let Some(trailers) = &body.trailers {
        out.extend_from_slice(b",\"trailers\":");
        pairs(out, trailers);
    }
    match content.omitted {
        _ if detail < Detail::Bodies => {}
        Some(reason) => {
            let _ = write!(out, ",\"body_omitted\":\"{}\"", reason.label());
        }
        None => {
            match Text::of(body, content) {
                Text::Utf8(text) => {
                    out.extend_from_slice(b",\"body\":");
                    string(out, text.as_bytes());
                }
                Text::Binary(bytes) => {
                    out.extend_from_slice(b",\"body\":\"");
                    base64(out, bytes);
                    out.extend_from_slice(b"\",\"body_encoding\":\"base64\"");
                }
            }
            if content.cut {
                out.extend_from_slice(b",\"body_truncated\":true");
            }
            if content.undecoded {
                out.extend_from_slice(b",\"body_undecoded\":true");
            }
        }
    }
    let _ = write!(out, ",\"body_size\":{}", body.size);
    for (index, name) in anomalies.names().enumerate() {
        let before = if index == 0 { ",\"oddities\":[" } else { "," };
        let _ = write!(out, "{before}\"{name}\"");
    }
    if anomalies != Anomalies::default() {
        out.push(b']');
    }
    out.push(b'}');
}

/// Name and value of each field, in the order of the wire.
fn pairs(out: &mut Vec<u8>, fields: &Fields) {
    out.push(b'[');
    for (index, (name, value)) in fields.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        string(out, name);
        out.push(b',');
        string(out, value);
        out.push(b']');
    }
    out.push(b']');
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, room).unwrap_or(0);
    out.truncate(start + written);
}

/// A JSON string. Bytes that are not UTF-8 become U+FFFD; characters that a terminal would obey or hide are escaped, which
/// JSON allows for any character.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if bytes.chunks(BLOCK).all(is_plain) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            escaped(out, chunk.valid());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Nothing in it needs an escape. Every byte is looked at, which the compiler turns into a few vector instructions.
fn is_plain(block: &[u8]) -> bool {
    let plain =
        |b: u8| u8::from(matches!(b, b' '..=b'~')) & u8::from(b != b'"') & u8::from(b != b'\\');
    block.iter().fold(1, |all, b| all & plain(*b)) == 1
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if hidden(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Partial;
    use crate::tap::sample;

    fn text(view: &View<'_>, detail: Detail) -> String {
        let mut out = Vec::new();
        write(&mut out, view, detail);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn golden() {
        let exchange = sample::sanitized(&sample::exchange());
        let expected = concat!(
            r#"{"time":"2024-02-29T12:34:56.000000789Z","duration_ns":1500000,"side":"server","#,
            r#""client":{"address":"10.0.0.1","port":40000},"server":{"address":"10.0.0.2","port":8080},"#,
            r#""process":{"pid":4321,"name":"shop"},"method":"POST","target":"/cart?id=7","host":"shop.example","#,
            r#""version":"1.1","status":201,"#,
            r#""request":{"headers":[["Host","shop.example"],["Content-Type","application/json"],["X-Bytes","a"#,
            "\u{fffd}",
            r#"b"]],"body":"{\"item\":\"té\"}","body_size":14},"#,
            r#""response":{"headers":[["content-type","image/png"],["Set-Cookie","a=1"]],"#,
            r#""body":"iVBORw0KGgoA/w==","body_encoding":"base64","body_size":10}}"#,
            "\n"
        );
        assert_eq!(text(&sample::view(&exchange), Detail::Bodies), expected);
    }

    #[test]
    fn what_is_not_there_has_no_key() {
        let mut exchange = sample::exchange();
        exchange.response = None;
        exchange.partial = Some(Partial::NoResponse);
        exchange.request.head = sample::request_head(b"GET", b"/", &[]);
        let sanitized = sample::sanitized(&exchange);
        let mut view = sample::view(&sanitized);
        view.process = None;
        let expected = concat!(
            r#"{"time":"2024-02-29T12:34:56.000000789Z","duration_ns":400000,"side":"server","#,
            r#""client":{"address":"10.0.0.1","port":40000},"server":{"address":"10.0.0.2","port":8080},"#,
            r#""method":"GET","target":"/","version":"1.1","#,
            r#""request":{"headers":[],"body_size":14},"partial":"no_response"}"#,
            "\n"
        );
        assert_eq!(text(&view, Detail::Line), expected);
    }

    #[test]
    fn strings_are_what_a_parser_reads_back() {
        let check = |bytes: &[u8]| {
            let mut out = Vec::new();
            string(&mut out, bytes);
            let read: String = serde_json::from_slice(&out).expect("a JSON string");
            assert_eq!(read, String::from_utf8_lossy(bytes));
            assert!(!out.iter().any(u8::is_ascii_control));
        };
        check(b"");
        check(b"plain \"quoted\" back\\slash /");
        check(b"\0\x01\x1b[2J\r\n\t\x08\x0c\x7f");
        check("é日🦀\u{9b}\u{202e}\u{2028}\u{e0041}".as_bytes());
        check(b"\xff\xfe\xc3(\xf0\x9f\xa6");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_make_one_line_of_json(
            target in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
            size in 0_u64..128,
        ) {
            let mut exchange = sample::exchange();
            exchange.request.head = sample::request_head(b"GET", &target, &[(&target, &body)]);
            exchange.request.body = sample::body(&body);
            exchange.request.body.size = size;
            exchange.request.body.truncated = size > body.len() as u64;
            let text = text(&sample::view(&sample::sanitized(&exchange)), Detail::Bodies);
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            proptest::prop_assert_eq!(value["target"].as_str(), Some(&*String::from_utf8_lossy(&target)));
            proptest::prop_assert_eq!(value["request"]["body_size"].as_u64(), Some(size));
            if value["request"]["body_encoding"].is_string() {
                let read = STANDARD.decode(value["request"]["body"].as_str().expect("text")).expect("base64");
                proptest::prop_assert_eq!(read, body);
            } else {
                proptest::prop_assert!(body.starts_with(value["request"]["body"].as_str().expect("text").as_bytes()));
            }
            proptest::prop_assert_eq!(text.matches('\n').count(), 1);
        }
    }
}
