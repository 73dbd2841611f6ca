//! One entry of a HAR document, as the specification names its members. Those that begin with `_`
//! are ours.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::cookies;
use super::pairs::{Encoded, Headers, Owned};
use super::text::{BodyText, Text};
use crate::exchange::{Exchange, Response};
use crate::http::rpc::procedure;
use crate::http::target::{path_and_query, split_query};
use crate::http::{Body, Fields, RequestHead, ResponseHead, Version};
use crate::redact::{Content, Sanitized};

/// Not known, as the format says it.
const UNKNOWN: i64 = -1;

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
#[serde(rename_all = "camelCase")]
struct RequestPart<'a> {
    method: Text<'a>,
    url: Owned<Vec<u8>>,
    http_version: &'static str,
    cookies: cookies::Sent<'a>,
    headers: Headers<'a>,
    query_string: Encoded<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_trailers", skip_serializing_if = "Option::is_none")]
    trailers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponsePart<'a> {
    status: u16,
    status_text: Text<'a>,
    http_version: &'static str,
    cookies: cookies::Set<'a>,
    headers: Headers<'a>,
    content: ContentPart<'a>,
    #[serde(rename = "redirectURL")]
    redirect: Text<'a>,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_trailers", skip_serializing_if = "Option::is_none")]
    trailers: Option<Headers<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: Text<'a>,
    params: Encoded<'a>,
    text: BodyText<'a>,
    /// The format has no place for it here; this is what others write for bytes.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentPart<'a> {
    size: u64,
    /// Bytes saved; negative when the coding made it larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<i128>,
    mime_type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<BodyText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

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
            interim: exchange.interim.heads.iter().map(InterimPart::of).collect(),
            upgrade: exchange.upgrade,
            stream: exchange.stream,
            reset: exchange.reset,
            call: CallPart::of(sanitized),
            tunnel: peers.outer.as_deref().map(|outer| Tunnel {
                client: outer.client.to_string(),
                server: outer.server.to_string(),
            }),
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

impl<'a> RequestPart<'a> {
    fn new(exchange: &'a Exchange, content: &Content) -> Self {
        let (head, body) = (&exchange.request.head, &exchange.request.body);
        let (_, query) = split_query(path_and_query(head.target()));
        Self {
            method: Text(head.method()),
            url: Owned(url(exchange)),
            http_version: version(head.version),
            cookies: cookies::Sent(&head.fields),
            headers: Headers(Some(&head.fields)),
            query_string: Encoded(query.unwrap_or_default()),
            post_data: BodyText::of(body, content).map(|text| PostData::new(head, body, text)),
            headers_size: UNKNOWN,
            body_size: size(body),
            trailers: trailers(body),
            comment: comment(content),
        }
    }
}

impl<'a> PostData<'a> {
    fn new(head: &'a RequestHead, body: &'a Body, text: BodyText<'a>) -> Self {
        let kind = media_type(&head.fields);
        let is_form = kind.starts_with(b"application/x-www-form-urlencoded");
        Self {
            mime_type: Text(kind),
            params: Encoded(if is_form { &body.bytes } else { b"" }),
            encoding: text.encoding(),
            text,
        }
    }
}

impl<'a> ResponsePart<'a> {
    fn new(response: &'a Response, content: &Content) -> Self {
        let (head, body) = (&response.head, &response.body);
        let text = BodyText::of(body, content);
        let is_whole = content.decoded && !content.cut && body.size_exact;
        Self {
            status: head.status,
            status_text: Text(phrase(head)),
            http_version: version(head.version),
            cookies: cookies::Set(Some(&head.fields)),
            headers: Headers(Some(&head.fields)),
            content: ContentPart {
                size: content.full_size,
                compression: is_whole
                    .then(|| i128::from(content.full_size) - i128::from(body.size)),
                mime_type: Text(media_type(&head.fields)),
                encoding: text.and_then(BodyText::encoding),
                text,
                comment: comment(content),
            },
            redirect: Text(head.fields.get("location").unwrap_or_default()),
            headers_size: UNKNOWN,
            body_size: size(body),
            trailers: trailers(body),
        }
    }

    /// What browsers write for a request without a response.
    fn none(exchange: &Exchange) -> Self {
        Self {
            status: 0,
            status_text: Text(b""),
            http_version: version(exchange.request.head.version),
            cookies: cookies::Set(None),
            headers: Headers(None),
            content: ContentPart {
                size: 0,
                compression: None,
                mime_type: Text(b""),
                text: None,
                encoding: None,
                comment: None,
            },
            redirect: Text(b""),
            headers_size: UNKNOWN,
            body_size: UNKNOWN,
            trailers: None,
        }
    }
}

impl Timings {
    /// An early response begins before the request has ended: no part may be negative, and their
    /// sum is the whole time.
    fn of(exchange: &Exchange) -> Self {
        let request = &exchange.request;
        let whole = exchange.duration();
        let (send, wait) = match &exchange.response {
            Some(response) => {
                let sent = request.ended.min(response.began);
                let send = sent.saturating_sub(request.began);
                (send, response.began.saturating_sub(sent))
            }
            None => (whole, 0),
        };
        Self {
            blocked: UNKNOWN,
            dns: UNKNOWN,
            connect: UNKNOWN,
            ssl: UNKNOWN,
            send: millis(send),
            wait: millis(wait),
            receive: millis(whole.saturating_sub(send + wait)),
        }
    }
}

/// An absolute URL, as the format asks for. What is not UTF-8 is taken for ISO-8859-1.
fn url(exchange: &Exchange) -> Vec<u8> {
    let head = &exchange.request.head;
    let scheme = head.scheme();
    let mut url = scheme
        .unwrap_or_else(|| exchange.peers.scheme().as_bytes())
        .to_vec();
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

fn comment(content: &Content) -> Option<String> {
    match content.omitted {
        Some(reason) => Some(format!("body omitted: {}", reason.label())),
        None => content.cut.then(|| "body cut".to_owned()),
    }
}

fn media_type(fields: &Fields) -> &[u8] {
    fields.get("content-type").unwrap_or_default()
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

fn size(body: &Body) -> i64 {
    match body.size_exact {
        true => i64::try_from(body.size).unwrap_or(i64::MAX),
        false => UNKNOWN,
    }
}

/// Milliseconds with what is below them.
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn trailers(body: &Body) -> Option<Headers<'_>> {
    let trailers = body.trailers.as_deref();
    trailers.map(|trailers| Headers(Some(trailers)))
}

/// The reason phrase as it came or, where a protocol has none, the registered one.
fn phrase(head: &ResponseHead) -> &[u8] {
    match head.reason.as_bytes() {
        b"" => {
            let status = ::http::StatusCode::from_u16(head.status);
            let phrase = status.ok().and_then(|status| status.canonical_reason());
            phrase.unwrap_or_default().as_bytes()
        }
        phrase => phrase,
    }
}
