//! A HAR document → exchanges. What wrote it need not be meshtap: browsers and proxies differ in
//! what they leave away, so nothing but a request with a URL is needed of an entry.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::heads::{request_head, response_head};
use crate::exchange::{Exchange, Interim, Peers, Request, Response};
use crate::flow::{CgroupId, ConnectionId, Endpoint, Nanos, Side, SocketId, TunnelClaims};
use crate::http::{Anomalies, Body, Framing};

/// Why a document is none.
#[derive(Debug, Error)]
#[error("it is no HAR document: {0}")]
pub struct ReadError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Document {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Item>,
}

/// One that is none costs itself, not the document.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Entry(Box<Entry>),
    Other(serde::de::IgnoredAny),
}

/// What a document has.
#[derive(Debug)]
pub struct Entries {
    /// In the order of the entries.
    pub exchanges: Vec<Exchange>,
    /// Entries that could not be read.
    pub skipped: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: Option<String>,
    time: Option<f64>,
    request: RequestPart,
    response: Option<ResponsePart>,
    timings: Option<Timings>,
    #[serde(rename = "serverIPAddress")]
    server: Option<String>,
    #[serde(rename = "_clientIPAddress")]
    client: Option<String>,
    #[serde(rename = "_side")]
    side: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestPart {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) http_version: String,
    #[serde(default)]
    pub(super) headers: Vec<Pair>,
    post_data: Option<PostData>,
    body_size: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponsePart {
    #[serde(default, deserialize_with = "status")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) status_text: String,
    #[serde(default)]
    pub(super) http_version: String,
    #[serde(default)]
    pub(super) headers: Vec<Pair>,
    content: Option<Content>,
}

#[derive(Deserialize)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default)]
    text: String,
    #[serde(rename = "_encoding")]
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    size: Option<f64>,
    text: Option<String>,
    encoding: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Timings {
    send: Option<f64>,
    wait: Option<f64>,
    receive: Option<f64>,
}

/// Reads a document. Its times are since 1970.
///
/// # Errors
/// When it is no HAR document.
pub fn read(document: &[u8]) -> Result<Entries, ReadError> {
    // A mark of byte order is what some writers begin with.
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let document: Document = serde_json::from_slice(document)?;
    let mut found = Entries {
        exchanges: Vec::new(),
        skipped: 0,
    };
    for (number, item) in (1..).zip(document.log.entries) {
        match item {
            Item::Entry(entry) => found.exchanges.push(exchange(number, &entry)),
            Item::Other(_) => found.skipped += 1,
        }
    }
    Ok(found)
}

fn exchange(number: u64, entry: &Entry) -> Exchange {
    let began = entry.started_date_time.as_deref();
    let began = began.and_then(time).unwrap_or(0);
    let timings = entry.timings.unwrap_or_default();
    let sent = began.saturating_add(nanos(timings.send));
    let response = entry.response.as_ref();
    let response = response.filter(|response| response.status != 0);
    let responded = sent.saturating_add(nanos(timings.wait));
    let whole = nanos(entry.time).max(nanos(timings.receive) + (responded - began));
    let ended = began.saturating_add(whole);
    let head = request_head(&entry.request);
    let data = entry.request.post_data.as_ref();
    let request_body = data.map_or_else(Bytes::new, |data| {
        decoded(&data.text, data.encoding.as_deref())
    });
    Exchange {
        peers: Arc::new(peers(number, entry)),
        stream: None,
        offset: crate::flow::Offset::ORIGIN,
        request: Request {
            began,
            ended: sent,
            head,
            body: body(request_body, entry.request.body_size),
            anomalies: Anomalies::default(),
        },
        interim: Interim::default(),
        response: response.map(|response| Response {
            began: responded,
            ended,
            head: response_head(response),
            body: content(response.content.as_ref()),
            anomalies: Anomalies::default(),
        }),
        upgrade: response.is_some_and(|response| response.status == 101),
        reset: None,
        ended,
        partial: None,
    }
}

fn peers(number: u64, entry: &Entry) -> Peers {
    let url = &entry.request.url;
    Peers {
        connection: match url.starts_with("https:") {
            true => ConnectionId::tls(number),
            false => ConnectionId::socket(SocketId(number)),
        },
        socket: SocketId(number),
        cgroup: CgroupId(0),
        side: match entry.side.as_deref() {
            Some("server") => Side::Server,
            _ => Side::Client,
        },
        client: end(entry.client.as_deref(), 0),
        server: end(entry.server.as_deref(), port(url)),
        proxied_client: None,
        claimed_client: None,
        claimed_port: None,
        outer: None,
        secured: None,
        claims: TunnelClaims::default(),
    }
}

fn content(content: Option<&Content>) -> Body {
    let Some(content) = content else {
        return body(Bytes::new(), None);
    };
    let text = content.text.as_deref().unwrap_or_default();
    body(decoded(text, content.encoding.as_deref()), content.size)
}

/// A body of which these bytes are there, and which has this size.
fn body(bytes: Bytes, size: Option<f64>) -> Body {
    let there = bytes.len() as u64;
    let size = size
        .filter(|size| size.is_finite() && *size > 0.0)
        .map_or(0, |size| size as u64);
    let size = size.max(there);
    Body {
        bytes,
        size,
        size_exact: true,
        truncated: size > there,
        framing: if size == 0 {
            Framing::None
        } else {
            Framing::Length
        },
        ..Body::default()
    }
}

fn decoded(text: &str, encoding: Option<&str>) -> Bytes {
    let decoded = (encoding == Some("base64"))
        .then(|| STANDARD.decode(text).ok())
        .flatten();
    Bytes::from(decoded.unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// A status of three digits; zero, as browsers write it where there was no response, for anything
/// else.
fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?.as_f64();
    // Of three digits, so it fits.
    Ok(value
        .filter(|value| (100.0..1_000.0).contains(value))
        .unwrap_or(0.0) as u16)
}

/// Milliseconds; negative ones stand for what is not known.
fn nanos(millis: Option<f64>) -> Nanos {
    let millis = millis.filter(|millis| millis.is_finite() && *millis > 0.0);
    // A day at most: what claims more is wrong.
    (millis.unwrap_or(0.0).min(86_400_000.0) * 1e6).round() as Nanos
}

/// ISO 8601 as browsers write it, with an offset or a `Z`.
fn time(text: &str) -> Option<Nanos> {
    let at = text.get(11..)?.find(['Z', '+', '-']).map(|at| at + 11);
    let (local, zone) = text.split_at(at.unwrap_or(text.len()));
    let parsed = humantime::parse_rfc3339_weak(local).ok()?;
    let since = parsed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let shift = zone.get(1..).and_then(offset).unwrap_or_default();
    let since = match zone.starts_with('+') {
        true => since.saturating_sub(shift),
        false => since.saturating_add(shift),
    };
    u64::try_from(since.as_nanos()).ok()
}

/// `hh:mm` or `hhmm`.
fn offset(text: &str) -> Option<Duration> {
    let minutes = text.get(2..)?.trim_start_matches(':');
    let (hours, minutes): (u64, u64) = (text.get(..2)?.parse().ok()?, minutes.parse().ok()?);
    Some(Duration::from_secs(hours * 3600 + minutes * 60))
}

fn end(address: Option<&str>, port: u16) -> Endpoint {
    let address = address.unwrap_or_default();
    let inside = address.trim_start_matches('[').trim_end_matches(']');
    let address = inside.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    SocketAddr::new(address, port).into()
}

fn port(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, port) = crate::http::target::split_port(authority.as_bytes());
    port.unwrap_or(if scheme == "https" { 443 } else { 80 })
}

#[cfg(test)]
mod tests;
