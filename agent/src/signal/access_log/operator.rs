//! Operators of a format: those of Envoy that a socket has a value for
//! (<https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>).

use std::io::Write as _;

use crate::exchange::{Exchange, Partial};
use crate::flow::Nanos;
use crate::http::Fields;
use crate::http::target::{path_and_query, split_query};
use crate::redact::{Known, Sanitized};

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    StartTime,
    Request(Names),
    Response(Names),
    Trailer(Names),
    Protocol,
    ResponseCode,
    ResponseCodeDetails,
    ResponseFlags,
    BytesReceived,
    BytesSent,
    Duration,
    RequestDuration,
    ResponseDuration,
    ResponseTxDuration,
    RemoteAddress {
        port: bool,
        direct: bool,
    },
    LocalAddress {
        port: bool,
    },
    UpstreamHost,
    GrpcStatus,
    ConnectionId,
    TraceId,
    SpanId,
    Path {
        query: bool,
    },
    /// Known to Envoy, and to nobody who looks at a socket: always `-`.
    Absent,
}

/// A field and the one that is taken where it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    first: String,
    second: Option<String>,
}

/// A value, as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// There is none.
    Nothing,
    Text,
    Number,
}

/// Operators of Envoy that have no value here.
const ABSENT: [&str; 14] = [
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "CONNECTION_TERMINATION_DETAILS",
    "REQUESTED_SERVER_NAME",
    "ROUTE_NAME",
    "VIRTUAL_CLUSTER_NAME",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TLS_CIPHER",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "HOSTNAME",
];

impl Operator {
    /// From its name and what stands in its brackets.
    pub(super) fn parse(name: &str, argument: Option<&str>) -> Result<Self, String> {
        let names = || {
            let argument = argument.ok_or_else(|| format!("{name} needs the name of a field"))?;
            let (first, second) = match argument.split_once('?') {
                Some((first, second)) => (first, Some(second.to_ascii_lowercase())),
                None => (argument, None),
            };
            Ok::<_, String>(Names {
                first: first.to_ascii_lowercase(),
                second,
            })
        };
        let operator = match name {
            "START_TIME" if argument.is_none() => Self::StartTime,
            "START_TIME" => return Err("START_TIME takes no format here".to_owned()),
            "REQ" => Self::Request(names()?),
            "RESP" => Self::Response(names()?),
            "TRAILER" => Self::Trailer(names()?),
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::ResponseCode,
            "RESPONSE_CODE_DETAILS" => Self::ResponseCodeDetails,
            "RESPONSE_FLAGS" => Self::ResponseFlags,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "DURATION" => Self::Duration,
            "REQUEST_DURATION" => Self::RequestDuration,
            "RESPONSE_DURATION" => Self::ResponseDuration,
            "RESPONSE_TX_DURATION" => Self::ResponseTxDuration,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::RemoteAddress {
                port: true,
                direct: false,
            },
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::RemoteAddress {
                port: false,
                direct: false,
            },
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Self::RemoteAddress {
                port: true,
                direct: true,
            },
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Self::RemoteAddress {
                port: false,
                direct: true,
            },
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::LocalAddress { port: true },
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Self::LocalAddress { port: false },
            "UPSTREAM_HOST" => Self::UpstreamHost,
            "GRPC_STATUS" | "GRPC_STATUS_NUMBER" => Self::GrpcStatus,
            "CONNECTION_ID" => Self::ConnectionId,
            "TRACE_ID" => Self::TraceId,
            "SPAN_ID" => Self::SpanId,
            "PATH" => Self::Path {
                query: argument != Some("NQ"),
            },
            _ if ABSENT.contains(&name) => Self::Absent,
            _ => return Err(format!("there is no operator %{name}%")),
        };
        Ok(operator)
    }

    /// Writes the value.
    pub(super) fn write(&self, out: &mut Vec<u8>, sanitized: &Sanitized) -> Written {
        let exchange = sanitized.exchange();
        let response = exchange.response.as_ref();
        match self {
            Self::StartTime => start_time(out, sanitized.started()),
            Self::Request(names) => field(out, names, |name| request_field(sanitized, name)),
            Self::Response(names) => field(out, names, |name| {
                response.and_then(|response| response.head.fields.get(name))
            }),
            Self::Trailer(names) => field(out, names, |name| {
                response.and_then(|response| response.body.trailers.as_deref()?.get(name))
            }),
            Self::Protocol => text(out, exchange.request.head.version.text().as_bytes()),
            Self::ResponseCode => number(
                out,
                response.map_or(0, |response| u64::from(response.head.status)),
            ),
            Self::ResponseCodeDetails => match response {
                Some(_) => text(out, b"via_upstream"),
                None => Written::Nothing,
            },
            Self::ResponseFlags => text(out, flags(exchange).as_bytes()),
            Self::BytesReceived => number(out, sanitized.request_content().full_size),
            Self::BytesSent => number(out, sanitized.response_content().full_size),
            Self::Duration => millis(out, Some(exchange.duration())),
            Self::RequestDuration => millis(
                out,
                exchange.request.ended.checked_sub(exchange.request.began),
            ),
            Self::ResponseDuration => millis(
                out,
                response.and_then(|response| response.began.checked_sub(exchange.request.began)),
            ),
            Self::ResponseTxDuration => millis(
                out,
                response.and_then(|response| response.ended.checked_sub(response.began)),
            ),
            Self::RemoteAddress { port, direct } => {
                let peers = &exchange.peers;
                let client = match direct {
                    true => &peers.client,
                    false => peers.caller(),
                };
                address(out, client, *port)
            }
            Self::LocalAddress { port } => address(out, &exchange.peers.server, *port),
            // A server's own socket is where Envoy would connect to.
            Self::UpstreamHost => address(out, &exchange.peers.server, true),
            Self::GrpcStatus => grpc_status(out, exchange),
            Self::ConnectionId => number(out, exchange.peers.socket.0),
            Self::TraceId => text(out, sanitized.trace_id().to_string().as_bytes()),
            Self::SpanId => text(out, sanitized.span_id().to_string().as_bytes()),
            Self::Path { query } => {
                let path = path_and_query(exchange.request.head.target());
                let without = split_query(path).0;
                text(out, if *query { path } else { without })
            }
            Self::Absent => Written::Nothing,
        }
    }
}

fn text(out: &mut Vec<u8>, value: &[u8]) -> Written {
    out.extend_from_slice(value);
    Written::Text
}

fn number(out: &mut Vec<u8>, value: u64) -> Written {
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
    Written::Number
}

fn millis(out: &mut Vec<u8>, time: Option<Nanos>) -> Written {
    time.map_or(Written::Nothing, |time| number(out, time / 1_000_000))
}

fn address(out: &mut Vec<u8>, endpoint: &crate::flow::Endpoint, port: bool) -> Written {
    let _ = match port {
        true => write!(out, "{endpoint}"),
        false => write!(out, "{}", endpoint.ip()),
    };
    Written::Text
}

fn field<'a>(out: &mut Vec<u8>, names: &Names, get: impl Fn(&str) -> Option<&'a [u8]>) -> Written {
    let second = || names.second.as_deref().and_then(&get);
    match get(&names.first).or_else(second) {
        Some(value) => text(out, value),
        None => Written::Nothing,
    }
}

/// Fields of a request, and its pseudo-fields (RFC 9113 §8.3.1).
fn request_field<'a>(sanitized: &'a Sanitized, name: &str) -> Option<&'a [u8]> {
    let head = &sanitized.exchange().request.head;
    match name {
        ":method" => Some(head.method()),
        ":path" => Some(path_and_query(head.target())),
        ":authority" | "host" => head.host(),
        ":scheme" => sanitized.exchange().scheme(),
        "x-forwarded-for" => sanitized.request_field(Known::ForwardedFor),
        "user-agent" => sanitized.request_field(Known::UserAgent),
        name => head.fields.get(name),
    }
}

fn grpc_status(out: &mut Vec<u8>, exchange: &Exchange) -> Written {
    let status = |fields: &Fields| {
        let value = fields.get("grpc-status").filter(|value| value.len() <= 2)?;
        str::from_utf8(value).ok()?.parse::<u64>().ok()
    };
    let found = exchange.response.as_ref().and_then(|response| {
        let trailers = response.body.trailers.as_deref();
        trailers
            .and_then(status)
            .or_else(|| status(&response.head.fields))
    });
    found.map_or(Written::Nothing, |found| number(out, found))
}

/// As in Istio's metrics: `DC` where the connection or the stream ended first.
fn flags(exchange: &Exchange) -> &'static str {
    let cut = [
        Partial::NoResponse,
        Partial::RequestCut,
        Partial::ResponseCut,
    ];
    let is_cut = exchange
        .partial
        .is_some_and(|partial| cut.contains(&partial));
    match is_cut || exchange.reset.is_some() {
        true => "DC",
        false => "-",
    }
}

/// `2026-11-26T18:00:00.123Z` (RFC 3339).
fn start_time(out: &mut Vec<u8>, unix_nanos: u64) -> Written {
    let millis = unix_nanos / 1_000_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
    );
    Written::Text
}

/// Days since 1970-01-01 in the Gregorian calendar, from eras of 400 years that begin on 1 March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |seconds: u64, expected: &str| {
            let mut out = Vec::new();
            start_time(&mut out, seconds * 1_000_000_000 + 7_900_000);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check(0, "1970-01-01T00:00:00.007Z");
        check(951_782_400, "2000-02-29T00:00:00.007Z");
        check(1_709_251_199, "2024-02-29T23:59:59.007Z");
        check(1_795_651_200, "2026-11-26T00:00:00.007Z");
        check(4_102_444_800, "2100-01-01T00:00:00.007Z");
    }
}
