//! One entry of a HAR document, as the specification names its members. Those that begin with `_`
//! are ours.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::messages::{RequestPart, ResponsePart};
use super::pairs::Headers;
use super::text::Text;
use crate::exchange::{Exchange, Phases};
use crate::http::rpc::procedure;
use crate::http::{Body, ResponseHead};
use crate::redact::Sanitized;

/// Not known, as the format says it.
pub(super) const UNKNOWN: i64 = -1;

/// Appends the entry.
pub(crate) fn write(out: &mut Vec<u8>, sanitized: &Sanitized) {
    let before = out.len();
    // Writing into memory does not fail, and an entry has no map whose key is not text; half an
    // entry would spoil the document.
    if serde_json::to_writer(&mut *out, &Entry::new(sanitized)).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"{}");
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    started_date_time: String,
    time: f64,
    request: RequestPart<'a>,
    response: ResponsePart<'a>,
    cache: Cache,
    timings: Timings,
    #[serde(rename = "serverIPAddress")]
    server: IpAddr,
    connection: String,
    #[serde(rename = "_clientIPAddress")]
    client: IpAddr,
    #[serde(rename = "_side")]
    side: &'static str,
    #[serde(rename = "_traceId")]
    trace: String,
    #[serde(rename = "_partial", skip_serializing_if = "Option::is_none")]
    partial: Option<&'static str>,
    #[serde(rename = "_unknown", skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<&'static str>,
    #[serde(rename = "_interim", skip_serializing_if = "Vec::is_empty")]
    interim: Vec<InterimPart<'a>>,
    #[serde(rename = "_upgrade", skip_serializing_if = "std::ops::Not::not")]
    upgrade: bool,
    #[serde(rename = "_streamId", skip_serializing_if = "Option::is_none")]
    stream: Option<u32>,
    #[serde(rename = "_resetCode", skip_serializing_if = "Option::is_none")]
    reset: Option<u32>,
    #[serde(rename = "_rpc", skip_serializing_if = "Option::is_none")]
    call: Option<CallPart<'a>>,
    #[serde(rename = "_tunnel", skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
    #[serde(rename = "_mtls", skip_serializing_if = "Option::is_none")]
    mtls: Option<bool>,
    #[serde(rename = "_peerSpiffeId", skip_serializing_if = "Option::is_none")]
    peer_spiffe_id: Option<&'a str>,
}

/// An interim response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InterimPart<'a> {
    status: u16,
    status_text: Text<'a>,
    headers: Headers<'a>,
}

/// A call: gRPC, gRPC-web or Connect.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallPart<'a> {
    protocol: &'static str,
    service: Text<'a>,
    method: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_text: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_messages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_messages: Option<u64>,
}

impl<'a> CallPart<'a> {
    fn of(sanitized: &'a Sanitized) -> Option<Self> {
        let exchange = sanitized.exchange();
        let call = sanitized.call()?;
        let (service, method) = procedure(exchange.request.head.target()).unwrap_or_default();
        let outcome = call.outcome.as_ref();
        let response = exchange.response.as_ref();
        let count = |body: &Body| body.messages.map(|messages| messages.count);
        Some(Self {
            protocol: call.protocol.label(),
            service: Text(service),
            method: Text(method),
            status: outcome.map(|outcome| outcome.code),
            status_text: outcome.and_then(|outcome| Some(outcome.known()?.label())),
            message: outcome.and_then(|outcome| outcome.message.as_deref().map(Text)),
            request_messages: count(&exchange.request.body),
            response_messages: response.and_then(|response| count(&response.body)),
        })
    }
}

/// The ends of the connection that a tunnel runs through.
#[derive(Serialize)]
struct Tunnel {
    client: String,
    server: String,
}

/// Nothing is known of caches.
#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
struct Timings {
    blocked: i64,
    dns: i64,
    connect: i64,
    ssl: i64,
    send: f64,
    wait: f64,
    receive: f64,
}

impl<'a> Entry<'a> {
    fn new(sanitized: &'a Sanitized) -> Self {
        let exchange = sanitized.exchange();
        let peers = &exchange.peers;
        let secured = peers.secured.as_deref();
        let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(sanitized.started());
        Self {
            started_date_time: humantime::format_rfc3339_millis(started).to_string(),
            time: millis(exchange.duration()),
            request: RequestPart::new(exchange, sanitized.request_content()),
            response: match &exchange.response {
                Some(response) => ResponsePart::new(response, sanitized.response_content()),
                None => ResponsePart::none(exchange),
            },
            cache: Cache {},
            timings: Timings::of(exchange),
            server: peers.server.ip(),
            connection: peers.socket.0.to_string(),
            client: peers.client.ip(),
            side: peers.side.label(),
            trace: sanitized.trace_id().to_string(),
            partial: exchange.partial.map(|partial| partial.label()),
            unknown: exchange.unknown().names().collect(),
            interim: exchange.interim.heads.iter().map(InterimPart::of).collect(),
            upgrade: exchange.upgrade,
            stream: exchange.stream,
            reset: exchange.reset,
            call: CallPart::of(sanitized),
            tunnel: peers.outer.as_deref().map(|outer| Tunnel {
                client: outer.client.to_string(),
                server: outer.server.to_string(),
            }),
            mtls: secured.map(|secured| secured.mtls),
            peer_spiffe_id: secured.and_then(|secured| secured.peer.as_deref()),
        }
    }
}

impl<'a> InterimPart<'a> {
    fn of(head: &'a ResponseHead) -> Self {
        Self {
            status: head.status,
            status_text: Text(head.reason.as_bytes()),
            headers: Headers(Some(&head.fields)),
        }
    }
}

impl Timings {
    fn of(exchange: &Exchange) -> Self {
        let Phases {
            send,
            wait,
            receive,
        } = exchange.phases();
        Self {
            blocked: UNKNOWN,
            dns: UNKNOWN,
            connect: UNKNOWN,
            ssl: UNKNOWN,
            send: millis(send),
            wait: millis(wait),
            receive: millis(receive),
        }
    }
}

/// Milliseconds with what is below them.
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
