//! The schemas of the two Lua filters, with what they got wrong put right: profiles `mesh` and
//! `gateway`.

use super::attributes::Builder;
use super::body::{self, Keys};
use super::settings::{Profile, Settings};
use super::{Status, details, headers, peer};
use crate::flow::Side;
use crate::http::Version;
use crate::http::target::path_and_query;
use crate::redact::{Known, Sanitized};

/// Body bytes that the gateway filter sends at most.
const GATEWAY_BODY: usize = 10_000;

pub(super) const REQUEST: Keys = Keys {
    body: "http.request.body",
    encoding: "http.request.body.encoding",
    truncated: "meshtap.request.body.truncated",
    undecoded: "meshtap.request.body.undecoded",
    omitted: "meshtap.request.body.omitted",
};

pub(super) const RESPONSE: Keys = Keys {
    body: "http.response.body",
    encoding: "http.response.body.encoding",
    truncated: "meshtap.response.body.truncated",
    undecoded: "meshtap.response.body.undecoded",
    omitted: "meshtap.response.body.omitted",
};

/// Adds the attributes; returns the status of the span, which the schema leaves free: a server's
/// own error is one.
pub(super) fn build(out: &mut Builder, settings: &Settings, sanitized: &Sanitized) -> Status {
    let exchange = sanitized.exchange();
    let (request, response) = (&exchange.request, exchange.response.as_ref());
    let head = &request.head;
    let limit = (settings.profile == Profile::Gateway).then_some(GATEWAY_BODY);
    out.bytes("http.method", head.method());
    if let Some(response) = response {
        out.int("http.status_code", i64::from(response.head.status));
    }
    out.bytes("http.target", path_and_query(head.target()));
    out.bytes("http.host", head.host().unwrap_or_default());
    // As Envoy names it, where this attribute comes from.
    let flavor = match head.version {
        Version::Http2 => "2.0",
        version => version.label(),
    };
    out.fixed("http.flavor", flavor);
    scheme(out, "http.scheme", settings, sanitized);
    out.write("net.sock.peer.addr", |out| peer::write(out, sanitized));
    out.write("http.request.headers", |out| {
        headers::write_json(out, &head.fields)
    });
    if let Some(response) = response {
        out.write("http.response.headers", |out| {
            headers::write_json(out, &response.head.fields)
        });
    }
    body::push(
        out,
        &REQUEST,
        &request.body,
        sanitized.request_content(),
        limit,
    );
    out.size("http.request.body.size", request.body.size);
    if let Some(response) = response {
        body::push(
            out,
            &RESPONSE,
            &response.body,
            sanitized.response_content(),
            limit,
        );
        out.size("http.response.body.size", response.body.size);
    }
    if settings.profile == Profile::Mesh && !settings.sensor_id.is_empty() {
        out.str("sensor.id", &settings.sensor_id);
    }
    out.fixed("meshtap.side", exchange.peers.side.label());
    details::push(out, exchange);
    match response {
        Some(response) if response.head.status >= 500 => Status::Error,
        _ => Status::Unset,
    }
}

/// Adds the scheme.
pub(super) fn scheme(
    out: &mut Builder,
    key: &'static str,
    settings: &Settings,
    sanitized: &Sanitized,
) {
    match scheme_of(settings, sanitized) {
        Some(b"http") => out.fixed(key, "http"),
        Some(b"https") => out.fixed(key, "https"),
        Some(other) => out.bytes(key, other),
        None => {}
    }
}

/// `https` when a proxy in front of a server says so, else as configured, else as the request
/// itself says, else what the connection carried. `None` where what the request says is unknown.
pub(super) fn scheme_of<'a>(settings: &'a Settings, sanitized: &'a Sanitized) -> Option<&'a [u8]> {
    let is_server = sanitized.exchange().peers.side == Side::Server;
    let forwarded = sanitized
        .request_field(Known::ForwardedProto)
        .filter(|_| is_server);
    if forwarded.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https")) {
        return Some(b"https");
    }
    let configured = settings.scheme.as_deref().map(str::as_bytes);
    configured.or_else(|| sanitized.exchange().scheme())
}
