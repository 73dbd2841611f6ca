//! Who calls whom, and what: the key of a cell.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::flow::Side;
use crate::http::target::{path_and_query, split_query, without_port};
use crate::signal::route::automatic;
use crate::views::services::{self, Service};
use crate::views::shown::{End, Shown, visible};

/// Methods that a key may have: RFC 9110 §9 and PATCH (RFC 5789).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
const OTHER: &str = "_OTHER";
/// Characters of a name at most: what a client sends must not make keys long.
const MAX_NAME: usize = 80;
/// Between the parts of a key's text: not visible, so in none of them.
const SEPARATOR: char = '\u{1f}';

/// Who calls whom, and what. Every text is visible; a part that a table does not look at is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The service or program at the client's end, else its address.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "text")]
    pub client: Arc<str>,
    /// The program at the server's end with its port, else the host that was asked for, else its
    /// address.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "text")]
    pub server: Arc<str>,
    /// The method; `_OTHER` for one that is in no RFC.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "text")]
    pub method: Arc<str>,
    /// The path with `{id}` for parts that look like ids; of a call, its service and method.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "text")]
    pub route: Arc<str>,
    /// The status, and how a call ended; `none` without a response.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "text")]
    pub status: Arc<str>,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// The text of a key. Its memory is used again.
#[derive(Debug, Default)]
pub(super) struct KeyText(String);

impl KeyText {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Those of ends whose services are not known yet differ by process, or by cgroup, when they
    /// are `apart`.
    pub(super) fn fill(&mut self, shown: &Shown, apart: bool) {
        let exchange = shown.exchange();
        let head = &exchange.request.head;
        let text = &mut self.0;
        text.clear();
        text.push_str(&client(shown));
        text.push(SEPARATOR);
        text.push_str(&server(shown));
        text.push(SEPARATOR);
        let method = METHODS
            .iter()
            .find(|known| known.as_bytes() == head.method());
        text.push_str(method.copied().unwrap_or(OTHER));
        text.push(SEPARATOR);
        let (path, _) = split_query(path_and_query(head.target()));
        let path = visible(path);
        match shown.sanitized.call() {
            Some(_) => text.push_str(short(&path)),
            None => automatic(text, &path),
        }
        text.push(SEPARATOR);
        let _ = match &exchange.response {
            Some(response) => write!(text, "{:03}", response.head.status),
            None => write!(text, "none"),
        };
        if let Some(call) = shown.call_text() {
            let _ = write!(text, " {call}");
        }
        for (end, _) in shown.unnamed().filter(|_| apart) {
            let _ = match end {
                End::Client => {
                    let pid = shown.client_process().map(|process| process.pid);
                    write!(text, "{SEPARATOR}{}", pid.unwrap_or(0))
                }
                End::Server => write!(text, "{SEPARATOR}in {}", exchange.peers.cgroup.0),
            };
        }
    }

    /// The text of a key.
    pub(super) fn set(&mut self, key: &Key) {
        self.0.clear();
        let parts = [
            &key.client,
            &key.server,
            &key.method,
            &key.route,
            &key.status,
        ];
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.0.push(SEPARATOR);
            }
            self.0.push_str(part);
        }
    }

    pub(super) fn key(&self) -> Key {
        let mut parts = self.0.split(SEPARATOR).map(Arc::from);
        let mut next = || parts.next().unwrap_or_default();
        Key {
            client: next(),
            server: next(),
            method: next(),
            route: next(),
            status: next(),
        }
    }
}

/// A beginning of at most [`MAX_NAME`] characters.
fn short(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(MAX_NAME)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// Who sent the request.
pub(crate) fn client(shown: &Shown) -> String {
    match shown.client_process() {
        Some(process) => match shown.service.as_ref().and_then(Service::name) {
            Some(name) => name.to_string(),
            None => visible(process.name.as_bytes()),
        },
        // A client has another port for each connection.
        None => shown.exchange().peers.caller().ip().to_string(),
    }
}

/// Who it went to.
pub(crate) fn server(shown: &Shown) -> String {
    let exchange = shown.exchange();
    if let Some(process) = shown.server_process() {
        return services::name(process, exchange.peers.server.port());
    }
    if let Some(name) = shown.place.as_ref().and_then(Service::name) {
        return name.to_string();
    }
    let host = exchange.request.head.host().map(without_port);
    match host.filter(|host| !host.is_empty() && exchange.peers.side == Side::Client) {
        Some(host) => short(&visible(host)).to_owned(),
        None => exchange.peers.server.to_string(),
    }
}
