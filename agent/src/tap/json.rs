//! One JSON object per exchange and line (RFC 8259).

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use super::body::Text;
use super::{Detail, View};
use crate::flow::{Endpoint, Peers};
use crate::http::rpc::procedure;
use crate::http::{Anomalies, Body, Fields};
use crate::redact::Content;
use crate::visible::Json;

/// Appends the object and a line feed.
pub fn write(out: &mut Vec<u8>, view: &View<'_>, detail: Detail) {
    let before = out.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Json);
    // Writing into memory does not fail; half a line would spoil the next.
    match Record::of(view, detail).serialize(&mut serializer) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(before),
    }
}

/// The members, in their order. Those that are `Option`s are there only where there is something to
/// say.
#[derive(Serialize)]
struct Record<'a> {
    time: Shown<humantime::Rfc3339Timestamp>,
    duration_ns: u64,
    side: &'static str,
    client: End,
    /// As a PROXY preamble claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_client: Option<End>,
    server: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Process<'a>>,
    method: Lossy<'a>,
    target: Lossy<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Lossy<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<Lossy<'a>>,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Lossy<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interim: Vec<u16>,
    request: Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Message<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    upgrade: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_spiffe_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc: Option<Rpc<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<&'static str>,
    /// Parts of the two messages that are unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<&'static str>,
}

#[derive(Serialize)]
struct End {
    address: std::net::IpAddr,
    port: u16,
}

/// The connection that a tunnel runs through, and what its CONNECT says of it.
#[derive(Serialize)]
struct Tunnel {
    client: End,
    server: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<End>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<BTreeMap<&'static str, String>>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    name: Lossy<'a>,
}

/// A call: gRPC, gRPC-web or Connect.
#[derive(Serialize)]
struct Rpc<'a> {
    protocol: &'static str,
    service: Lossy<'a>,
    method: Lossy<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Lossy<'a>>,
}

impl<'a> Rpc<'a> {
    fn of(view: &'a View<'_>) -> Option<Self> {
        let call = view.sanitized.call()?;
        let target = view.exchange().request.head.target();
        let (service, method) = procedure(target).unwrap_or_default();
        let outcome = call.outcome.as_ref();
        Some(Self {
            protocol: call.protocol.label(),
            service: Lossy(service),
            method: Lossy(method),
            status: outcome.map(|outcome| outcome.code),
            status_name: outcome.and_then(|outcome| Some(outcome.known()?.label())),
            message: outcome.and_then(|outcome| outcome.message.as_deref().map(Lossy)),
        })
    }
}

#[derive(Serialize)]
struct Message<'a> {
    headers: Pairs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trailers: Option<Pairs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_omitted: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    body_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    body_undecoded: bool,
    body_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_size: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    messages_inexact: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<&'static str>,
}

impl<'a> Record<'a> {
    fn of(view: &'a View<'_>, detail: Detail) -> Self {
        let exchange = view.exchange();
        let (request, peers) = (&exchange.request, &exchange.peers);
        let time = Duration::from_nanos(view.clock.unix_nanos(request.began));
        let response = exchange.response.as_ref();
        Self {
            time: Shown(humantime::format_rfc3339_nanos(
                SystemTime::UNIX_EPOCH + time,
            )),
            duration_ns: exchange.duration(),
            side: peers.side.label(),
            client: End::of(peers.caller()),
            claimed_client: peers.claimed_client.as_ref().map(End::of),
            server: End::of(&peers.server),
            process: view.process.as_deref().map(Process::of),
            caller: view.other().map(Process::of),
            method: Lossy(request.head.method()),
            target: Lossy(request.head.target()),
            host: request.head.host().map(Lossy),
            scheme: exchange.scheme().map(Lossy),
            version: request.head.version.label(),
            stream: exchange.stream,
            status: response.map(|response| response.head.status),
            reason: (response.map(|response| response.head.reason.as_bytes()))
                .filter(|reason| !reason.is_empty())
                .map(Lossy),
            interim: (exchange.interim.heads.iter())
                .map(|head| head.status)
                .collect(),
            request: Message::of(
                &request.head.fields,
                (&request.body, view.sanitized.request_content()),
                request.anomalies,
                detail,
            ),
            response: response.map(|response| {
                Message::of(
                    &response.head.fields,
                    (&response.body, view.sanitized.response_content()),
                    response.anomalies,
                    detail,
                )
            }),
            upgrade: exchange.upgrade,
            tunnel: peers.outer.as_deref().map(Tunnel::of),
            mtls: peers.secured.as_deref().map(|secured| secured.mtls),
            peer_spiffe_id: peers
                .secured
                .as_deref()
                .and_then(|secured| secured.peer.as_deref()),
            reset: exchange.reset,
            rpc: Rpc::of(view),
            partial: exchange.partial.map(|partial| partial.label()),
            unknown: exchange.unknown().names().collect(),
        }
    }
}

impl End {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            address: endpoint.ip(),
            port: endpoint.port(),
        }
    }
}

impl Tunnel {
    fn of(outer: &Peers) -> Self {
        Self {
            client: End::of(&outer.client),
            server: End::of(&outer.server),
            target: outer.claims.target.as_ref().map(End::of),
            forwarded: outer.claims.forwarded,
            source: outer.claims.source.as_ref().map(|source| {
                let names = source.iter();
                names.map(|(key, name)| (key, name.to_owned())).collect()
            }),
        }
    }
}

impl<'a> Process<'a> {
    fn of(process: &'a crate::process::Process) -> Self {
        Self {
            pid: process.pid,
            name: Lossy(process.name.as_bytes()),
        }
    }
}

impl<'a> Message<'a> {
    fn of(
        fields: &'a Fields,
        (body, content): (&'a Body, &Content),
        anomalies: Anomalies,
        detail: Detail,
    ) -> Self {
        let shows_body = detail >= Detail::Bodies;
        let omitted = content.omitted.filter(|_| shows_body);
        let is_there = shows_body && omitted.is_none();
        let text = is_there.then(|| Text::of(body, content));
        Self {
            headers: Pairs(fields),
            trailers: body.trailers.as_deref().map(Pairs),
            body_encoding: matches!(text, Some(Text::Binary(_))).then_some("base64"),
            body: text.map(BodyText),
            body_omitted: omitted.map(|reason| reason.label()),
            body_truncated: is_there && content.cut,
            body_undecoded: is_there && content.undecoded,
            body_size: body.size,
            messages: body.messages.map(|messages| messages.count),
            messages_size: body.messages.map(|messages| messages.bytes),
            messages_inexact: body.messages.is_some_and(|messages| messages.inexact),
            anomalies: anomalies.names().collect(),
        }
    }
}

/// What shows itself as text.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Captured bytes; those that are not UTF-8 become U+FFFD.
#[derive(Clone, Copy)]
struct Lossy<'a>(&'a [u8]);

impl Serialize for Lossy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

/// Fields as pairs of name and value, in the order of the wire.
struct Pairs<'a>(&'a Fields);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(None)?;
        for (name, value) in self.0.iter() {
            pairs.serialize_element(&(Lossy(name), Lossy(value)))?;
        }
        pairs.end()
    }
}

/// A body as text, or in base64.
struct BodyText<'a>(Text<'a>);

impl Serialize for BodyText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Text::Utf8(text) => serializer.serialize_str(text),
            Text::Binary(bytes) => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Partial;
    use crate::http::Unknown;
    use crate::tap::sample;
    use crate::visible::hidden;
    use base64::Engine as _;

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
            r#""scheme":"http","version":"1.1","status":201,"#,
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
            r#""method":"GET","target":"/","scheme":"http","version":"1.1","#,
            r#""request":{"headers":[],"body_size":14},"partial":"no_response"}"#,
            "\n"
        );
        assert_eq!(text(&view, Detail::Line), expected);
    }

    #[test]
    fn what_is_unknown_is_not_claimed() {
        let mut exchange = sample::exchange();
        exchange.partial = Some(Partial::Hpack);
        exchange.request.head.unknown = Unknown::SCHEME.with(Unknown::TRAILERS);
        let sanitized = sample::sanitized(&exchange);
        let text = text(&sample::view(&sanitized), Detail::Line);
        assert!(!text.contains("\"scheme\":"), "{text}");
        assert!(
            text.contains(r#""unknown":["scheme","trailers"]"#),
            "{text}"
        );
    }

    #[test]
    fn strings_are_what_a_parser_reads_back() {
        let check = |bytes: &[u8]| {
            let mut out = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut out, Json);
            Lossy(bytes).serialize(&mut serializer).expect("written");
            let read: String = serde_json::from_slice(&out).expect("a JSON string");
            assert_eq!(read, String::from_utf8_lossy(bytes));
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(!text.chars().any(hidden), "{text}");
        };
        check(b"");
        check(b"plain \"quoted\" back\\slash /");
        check(b"\0\x01\x1b[2J\r\n\t\x08\x0c\x7f");
        check("é日🦀\u{9b}\u{202e}\u{2028}\u{e0041}".as_bytes());
        check(b"\xff\xfe\xc3(\xf0\x9f\xa6");
    }

    #[test]
    fn what_goes_with_a_message() {
        let mut exchange = sample::exchange();
        exchange.stream = Some(3);
        exchange.reset = Some(8);
        exchange.interim.push(sample::response_head(103, &[]));
        exchange.request.anomalies = Anomalies::BARE_LF.with(Anomalies::FOLDED);
        let response = exchange.response.as_mut().expect("a response");
        response.head.reason = crate::http::Reason::new(201, b"Made \x1b[2J");
        let trailers = sample::response_head(200, &[(b"Grpc-Status", b"0")]).fields;
        response.body.trailers = Some(Box::new(trailers));
        let sanitized = sample::sanitized(&exchange);
        let mut view = sample::view(&sanitized);
        view.caller = view.process.take();
        let value: serde_json::Value =
            serde_json::from_str(&text(&view, Detail::Line)).expect("JSON");
        for (pointer, expected) in [
            ("/stream", serde_json::json!(3)),
            ("/reset", serde_json::json!(8)),
            ("/interim", serde_json::json!([103])),
            ("/caller/pid", serde_json::json!(4321)),
            (
                "/request/anomalies",
                serde_json::json!(["folded_field", "bare_lf"]),
            ),
            ("/reason", serde_json::json!("Made \x1b[2J")),
            (
                "/response/trailers",
                serde_json::json!([["Grpc-Status", "0"]]),
            ),
        ] {
            assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert!(value.pointer("/response/body").is_none());
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
