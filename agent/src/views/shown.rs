//! An exchange as views hold it: the whole of it, and the summary that a table shows.

use std::sync::Arc;

use serde::Serialize;

use super::services::Service;
use crate::clock::WallClock;
use crate::exchange::{Exchange, Partial};
use crate::flow::Side;
use crate::har;
use crate::http::Version;
use crate::http::rpc::Code;
use crate::process::Process;
use crate::redact::Sanitized;
use crate::tap::{Detail, View, write_json};
use crate::visible::{self, Keep};

/// Who calls, or who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// An exchange that may be looked at.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What policy and redaction let be seen.
    pub sanitized: Sanitized,
    /// The process of the recorded socket, where known.
    pub process: Option<Arc<Process>>,
    /// The process at the client's end of a connection within this machine, where known.
    pub caller: Option<Arc<Process>>,
    /// From the capture's time to wall-clock time.
    pub clock: WallClock,
    /// The service that the client's process is: the store knows, or will know.
    pub service: Option<Service>,
    /// The service at a server's socket whose process was not found, likewise.
    pub place: Option<Service>,
}

impl Shown {
    /// For the formats of `tap`.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            sanitized: &self.sanitized,
            process: self.process.clone(),
            caller: self.caller.clone(),
            clock: self.clock,
        }
    }

    /// The exchange itself.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        self.sanitized.exchange()
    }

    /// The object that `tap --json -vv` prints, without the line feed.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_json(&mut out, &self.view(), Detail::Bodies);
        out.truncate(out.trim_ascii_end().len());
        out
    }

    /// The entry of a HAR document.
    #[must_use]
    pub fn har(&self) -> Vec<u8> {
        let mut out = Vec::new();
        har::push_entry(&mut out, &self.sanitized);
        out
    }

    /// The summary. `id` is its number in the store.
    #[must_use]
    pub fn row(&self, id: u64) -> Row {
        let exchange = self.exchange();
        let (request, response) = (&exchange.request, exchange.response.as_ref());
        let response_anomalies = response.map(|response| response.anomalies);
        let anomalies = request
            .anomalies
            .with(response_anomalies.unwrap_or_default());
        Row {
            id,
            time_us: self.sanitized.started() / 1_000,
            duration_ns: exchange.duration(),
            side: exchange.peers.side.label(),
            client: exchange.peers.caller().to_string(),
            server: exchange.peers.server.to_string(),
            process: self.process.as_deref().map(process_text),
            caller: self.caller.as_deref().map(process_text),
            method: visible(request.head.method()),
            target: visible(request.head.target()),
            host: request.head.host().map(visible),
            status: response.map(|response| response.head.status),
            call: self.call_text(),
            request_size: request.body.size,
            response_size: response.map(|response| response.body.size),
            protocol: self.protocol(),
            tls: exchange.peers.connection.is_tls(),
            upgrade: exchange.upgrade,
            partial: exchange.partial.map(|partial| partial.label()),
            anomalies: anomalies.names().collect(),
            failed: self.failed(),
        }
    }

    /// What carried it: a call's protocol, else the version of HTTP.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        if let Some(call) = self.sanitized.call() {
            return call.protocol.label();
        }
        match self.exchange().request.head.version {
            Version::Http10 => "http/1.0",
            Version::Http11 => "http/1.1",
            Version::Http2 => "http/2",
        }
    }

    /// How a call ended.
    pub(crate) fn call_text(&self) -> Option<String> {
        let outcome = self.sanitized.call()?.outcome.as_ref()?;
        Some(match outcome.known() {
            Some(code) => Code::label(code).to_owned(),
            None => outcome.code.to_string(),
        })
    }

    /// The end of the capture cut it off: how it ended, and how long it took, nobody saw.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.exchange().partial, Some(Partial::Shutdown))
    }

    /// The server did not do what was asked for: no response, a 5xx, or a call that did not end
    /// with OK. A 4xx is the client's error. What is open has a status that came, and no more.
    #[must_use]
    pub fn failed(&self) -> bool {
        let outcome = self.sanitized.call().and_then(|call| call.outcome.as_ref());
        let response = self.exchange().response.as_ref();
        match response.is_some_and(|response| response.head.status >= 500) {
            true => true,
            false if self.is_open() => false,
            false => response.is_none() || outcome.is_some_and(|outcome| outcome.code != 0),
        }
    }

    /// The process at the client's end, where it is on this machine and known.
    #[must_use]
    pub fn client_process(&self) -> Option<&Process> {
        match self.exchange().peers.side {
            Side::Client => self.process.as_deref(),
            Side::Server => self.caller.as_deref(),
        }
    }

    /// The ends of which it is not known yet which services they are, if any.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = (End, &Service)> {
        let ends = [(End::Client, &self.service), (End::Server, &self.place)];
        let ends = (ends.into_iter()).filter_map(|(end, service)| Some((end, service.as_ref()?)));
        ends.filter(|(_, service)| service.name().is_none())
    }

    /// The process at the server's end, likewise.
    #[must_use]
    pub fn server_process(&self) -> Option<&Process> {
        match self.exchange().peers.side {
            Side::Server => self.process.as_deref(),
            Side::Client => None,
        }
    }

    /// Bytes that it holds, about.
    #[must_use]
    pub fn memory(&self) -> usize {
        let exchange = self.exchange();
        let response = exchange.response.as_ref();
        size_of::<Self>()
            + exchange.request.head.fields.memory()
            + exchange.request.body.bytes.len()
            + exchange.interim.memory()
            + response.map_or(0, |r| r.head.fields.memory() + r.body.bytes.len())
    }
}

/// A name and its number, visible.
pub(crate) fn process_text(process: &Process) -> String {
    let mut text = visible(process.name.as_bytes());
    text.push_str(&format!("[{}]", process.pid));
    text
}

/// Captured text of which every character can be seen: safe for a terminal and for a page.
#[must_use]
pub fn visible(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    visible::write(&mut out, bytes, Keep::Nothing);
    // What is escaped is UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

/// What a table shows of an exchange. Every text in it is visible: controls and what reorders text
/// are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number in the store, from 1 on, in the order of ends.
    pub id: u64,
    /// Microseconds since 1970 at the request's first byte.
    pub time_us: u64,
    /// From there to the last byte.
    pub duration_ns: u64,
    /// The side of the recorded socket: `server` or `client`.
    pub side: &'static str,
    /// Address and port that sent the request.
    pub client: String,
    /// Address and port that it went to.
    pub server: String,
    /// The process of the recorded socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The process at the client's end of a connection within this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The method.
    pub method: String,
    /// The target as it was sent.
    pub target: String,
    /// The host that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The status of the response, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How a call (gRPC, Connect) ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Bytes of the request's body.
    pub request_size: u64,
    /// Bytes of the response's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_size: Option<u64>,
    /// `http/1.0`, `http/1.1`, `http/2`, or a call's.
    pub protocol: &'static str,
    /// It came out of TLS.
    pub tls: bool,
    /// The connection speaks something else from there on.
    pub upgrade: bool,
    /// What is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<&'static str>,
    /// Errors of the two heads that were tolerated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<&'static str>,
    /// No response, a 5xx, or a call that did not end with OK.
    pub failed: bool,
}

#[cfg(test)]
pub(crate) mod tests;
