//! OpenTelemetry's stable HTTP conventions
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, 1.23 and later).

use super::attributes::{Builder, push_text};
use super::body::{self, Keys};
use super::headers::has_repeated;
use super::settings::Settings;
use super::{Kind, Status, details, lua, peer, rpc};
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::Fields;
use crate::http::rpc::Code;
use crate::http::target::{path_and_query, split_port, split_query};
use crate::redact::{Known, Sanitized};

/// Methods that keep their name: RFC 9110 §9 and PATCH (RFC 5789). Others are `_OTHER`, so that
/// names stay few.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

pub(super) const REQUEST: Keys = Keys {
    body: "http.request.body.content",
    encoding: "http.request.body.encoding",
    truncated: "meshtap.request.body.truncated",
    undecoded: "meshtap.request.body.undecoded",
    omitted: "meshtap.request.body.omitted",
};

pub(super) const RESPONSE: Keys = Keys {
    body: "http.response.body.content",
    encoding: "http.response.body.encoding",
    truncated: "meshtap.response.body.truncated",
    undecoded: "meshtap.response.body.undecoded",
    omitted: "meshtap.response.body.omitted",
};

/// Adds the attributes; returns kind, status and name of the span.
pub(super) fn build(
    out: &mut Builder,
    settings: &Settings,
    sanitized: &Sanitized,
) -> (Kind, Status, &'static str) {
    let exchange = sanitized.exchange();
    let head = &exchange.request.head;
    let method = METHODS
        .iter()
        .find(|known| known.as_bytes() == head.method());
    out.fixed("http.request.method", method.unwrap_or(&"_OTHER"));
    if method.is_none() {
        out.bytes("http.request.method_original", head.method());
    }
    url(out, settings, sanitized);
    network(out, sanitized);
    if let Some(agent) = sanitized.request_field(Known::UserAgent) {
        out.bytes("user_agent.original", agent);
    }
    fields(out, "http.request.header.", &head.fields);
    body::push(
        out,
        &REQUEST,
        &exchange.request.body,
        sanitized.request_content(),
        None,
    );
    out.size("http.request.body.size", exchange.request.body.size);
    if let Some(response) = &exchange.response {
        out.int("http.response.status_code", i64::from(response.head.status));
        fields(out, "http.response.header.", &response.head.fields);
        body::push(
            out,
            &RESPONSE,
            &response.body,
            sanitized.response_content(),
            None,
        );
        out.size("http.response.body.size", response.body.size);
    }
    let call = rpc::push(out, sanitized);
    details::push(out, exchange);
    let kind = match exchange.peers.side {
        Side::Server => Kind::Server,
        Side::Client => Kind::Client,
    };
    let status = match (outcome(out, exchange), call) {
        (Status::Unset, Some(status)) => {
            let code = sanitized
                .call()
                .and_then(|call| call.outcome.as_ref()?.known());
            out.fixed("error.type", code.unwrap_or(Code::Unknown).label());
            status
        }
        (status, _) => status,
    };
    // A span whose method is not known is named HTTP.
    (kind, status, method.unwrap_or(&"HTTP"))
}

/// Servers fail with 5xx, clients also with 4xx, both without a response.
fn outcome(out: &mut Builder, exchange: &Exchange) -> Status {
    let Some(response) = &exchange.response else {
        if let Some(partial) = exchange.partial {
            out.fixed("error.type", partial.label());
        }
        return Status::Error;
    };
    let status = response.head.status;
    let fails = match exchange.peers.side {
        Side::Server => status >= 500,
        Side::Client => status >= 400,
    };
    if !fails {
        return Status::Unset;
    }
    out.write("error.type", |out| {
        out.extend([100, 10, 1].map(|unit| b'0' + (status / unit % 10) as u8));
    });
    Status::Error
}

fn url(out: &mut Builder, settings: &Settings, sanitized: &Sanitized) {
    let head = &sanitized.exchange().request.head;
    let host = head.host().filter(|host| !host.is_empty());
    let target = path_and_query(head.target());
    // An authority (CONNECT) and `*` (OPTIONS) are no paths.
    if target.starts_with(b"/") {
        // Required of clients.
        if sanitized.exchange().peers.side == Side::Client
            && let Some(scheme) = lua::scheme_of(settings, sanitized)
        {
            out.write("url.full", |out| {
                push_text(out, scheme);
                out.extend_from_slice(b"://");
                match host {
                    Some(host) => push_text(out, host),
                    None => peer::push_ip(out, sanitized.exchange().peers.server.ip()),
                }
                push_text(out, target);
            });
        }
        let (path, query) = split_query(target);
        out.bytes("url.path", path);
        if let Some(query) = query {
            out.bytes("url.query", query);
        }
    }
    lua::scheme(out, "url.scheme", settings, sanitized);
    let server = sanitized.exchange().peers.server;
    match host.map(split_port) {
        Some((name, port)) => {
            out.bytes("server.address", name);
            out.int(
                "server.port",
                i64::from(port.unwrap_or_else(|| server.port())),
            );
        }
        None => {
            out.write("server.address", |out| peer::push_ip(out, server.ip()));
            out.int("server.port", i64::from(server.port()));
        }
    }
}

fn network(out: &mut Builder, sanitized: &Sanitized) {
    let exchange = sanitized.exchange();
    let socket = peer::socket(sanitized);
    if exchange.peers.side == Side::Server {
        out.write("client.address", |out| match peer::forwarded(sanitized) {
            Some(client) => push_text(out, client),
            None => peer::push_ip(out, socket.ip()),
        });
    }
    out.write("network.peer.address", |out| {
        peer::push_ip(out, socket.ip())
    });
    out.int("network.peer.port", i64::from(socket.port()));
    out.fixed("network.protocol.name", "http");
    out.fixed(
        "network.protocol.version",
        exchange.request.head.version.label(),
    );
}

/// One attribute per name, with a list of its values.
fn fields(out: &mut Builder, prefix: &str, fields: &Fields) {
    let repeated = has_repeated(fields);
    for (index, (name, value)) in fields.iter().enumerate() {
        if !repeated {
            out.list(prefix, name, std::iter::once(value));
            continue;
        }
        let same = |other: &[u8]| other.eq_ignore_ascii_case(name);
        if fields.iter().take(index).all(|(other, _)| !same(other)) {
            let values = fields.iter().skip(index).filter(|(other, _)| same(other));
            out.list(prefix, name, values.map(|(_, value)| value));
        }
    }
}
