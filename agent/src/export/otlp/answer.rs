//! What a collector answered: taken, worth another attempt, or refused for good. The rules are the OTLP specification's
//! (<https://opentelemetry.io/docs/specs/otlp/#failures>).

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic_types::pb::Status;
use tonic_types::{RetryInfo, RpcStatusExt};

use super::config::Protocol;

/// Longest text of a server that is repeated in a log line.
const MESSAGE_LIMIT: usize = 256;
/// Longest wait that a server can ask for; what is beyond it cannot be added to a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector took the batch.
    Taken {
        /// Spans of it that it rejected.
        rejected: u64,
        /// What it had to say about that, or in general.
        message: String,
    },
    /// Another attempt may succeed.
    Retry {
        /// Not before this, the collector says.
        after: Option<Duration>,
        /// What happened.
        message: String,
    },
    /// Another attempt cannot succeed.
    Refused {
        /// Why.
        message: String,
    },
}

/// The rules of gRPC status codes.
fn grpc_retryable(code: i32, retry_info: Option<&RetryInfo>) -> bool {
    const CANCELLED: i32 = 1;
    const DEADLINE_EXCEEDED: i32 = 4;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const ABORTED: i32 = 10;
    const OUT_OF_RANGE: i32 = 11;
    const UNAVAILABLE: i32 = 14;
    const DATA_LOSS: i32 = 15;
    match code {
        CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => true,
        RESOURCE_EXHAUSTED => retry_info.is_some(),
        _ => false,
    }
}

/// The rules of HTTP status codes.
const fn http_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Judges an answer to an HTTP request.
pub(super) fn http(
    protocol: Protocol,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Outcome {
    if status.is_success() {
        return taken(match protocol {
            Protocol::HttpJson => json_partial_success(body),
            Protocol::HttpProtobuf | Protocol::Grpc => partial_success(body),
        });
    }
    let detail = match protocol {
        Protocol::HttpJson => serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|value| Some(value.get("message")?.as_str()?.to_owned())),
        Protocol::HttpProtobuf | Protocol::Grpc => {
            Status::decode(body).ok().map(|status| status.message)
        }
    };
    let message = printable(&match detail.filter(|text| !text.is_empty()) {
        Some(detail) => format!("HTTP {}: {detail}", status.as_u16()),
        None => format!("HTTP {}", status.as_u16()),
    });
    if http_retryable(status) {
        let after = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, now));
        Outcome::Retry { after, message }
    } else {
        Outcome::Refused { message }
    }
}

/// Judges an answer to a gRPC call. `trailers` are the headers themselves when the server answered without a body.
pub(super) fn grpc(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: &Bytes,
) -> Outcome {
    let code = trailers
        .and_then(|map| map.get("grpc-status"))
        .or_else(|| headers.get("grpc-status"));
    let Some(code) = code else {
        // No status: not (all of) an answer of a gRPC server. A proxy may have answered (gRPC "HTTP to gRPC status code mapping").
        let message = format!("HTTP {} without a gRPC status", status.as_u16());
        return if status == StatusCode::OK || http_retryable(status) {
            Outcome::Retry {
                after: None,
                message,
            }
        } else {
            Outcome::Refused { message }
        };
    };
    let code: i32 = code.to_str().ok().and_then(|c| c.parse().ok()).unwrap_or(2);
    if code == 0 {
        // One length-prefixed message: compressed flag, four bytes of length.
        return taken(partial_success(body.get(5..).unwrap_or_default()));
    }
    let text = |name| {
        let value = trailers
            .and_then(|map| map.get(name))
            .or_else(|| headers.get(name))?;
        value.to_str().ok()
    };
    let retry_info = text("grpc-status-details-bin").and_then(|value| {
        let bytes = STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok()?;
        Status::decode(&*bytes).ok()?.get_details_retry_info()
    });
    let detail = text("grpc-message").unwrap_or_default();
    let message = printable(&format!("gRPC status {code}: {detail}"));
    if grpc_retryable(code, retry_info.as_ref()) {
        let after = retry_info.and_then(|info| info.retry_delay);
        Outcome::Retry {
            after: after.map(|delay| delay.min(LONGEST_WAIT)),
            message,
        }
    } else {
        Outcome::Refused { message }
    }
}

fn taken((rejected, message): (i64, String)) -> Outcome {
    Outcome::Taken {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: printable(&message),
    }
}

/// The server said that it took the batch: a body that cannot be read does not change that.
fn partial_success(body: &[u8]) -> (i64, String) {
    ExportTraceServiceResponse::decode(body)
        .ok()
        .and_then(|response| response.partial_success)
        .map_or((0, String::new()), |partial| {
            (partial.rejected_spans, partial.error_message)
        })
}

/// 64-bit numbers are strings in protobuf's JSON; plain ones are accepted.
fn json_partial_success(body: &[u8]) -> (i64, String) {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = value.get("partialSuccess");
    let field = |name| partial.and_then(|partial| partial.get(name));
    let rejected = field("rejectedSpans").and_then(|rejected| match rejected {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_i64(),
    });
    let message = field("errorMessage").and_then(serde_json::Value::as_str);
    (
        rejected.unwrap_or(0),
        message.unwrap_or_default().to_owned(),
    )
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .unwrap_or(Duration::ZERO),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// A server's text, made safe for a log line.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| http::HeaderValue::from_str(text).unwrap();
        pairs
            .iter()
            .map(|(name, text)| (http::HeaderName::from_static(name), value(text)))
            .collect()
    }

    fn summary(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Taken { rejected, .. } => format!("taken, {rejected} rejected"),
            Outcome::Retry { after, .. } => format!("retry {after:?}"),
            Outcome::Refused { .. } => "refused".to_owned(),
        }
    }

    fn check(status: u16, pairs: &[(&'static str, &str)], body: &[u8], expected: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let protocol = match body.first() {
            Some(b'{') => Protocol::HttpJson,
            _ => Protocol::HttpProtobuf,
        };
        let outcome = http(protocol, status, &headers(pairs), body, now);
        assert_eq!(summary(&outcome), expected, "{status} {pairs:?}");
    }

    #[test]
    fn http_codes() {
        check(200, &[], b"", "taken, 0 rejected");
        check(202, &[], b"\xff\xff", "taken, 0 rejected");
        check(200, &[], &[0x0a, 2, 0x08, 7], "taken, 7 rejected");
        check(
            200,
            &[],
            br#"{"partialSuccess":{"rejectedSpans":"3"}}"#,
            "taken, 3 rejected",
        );
        check(
            200,
            &[],
            br#"{"partialSuccess":{"rejectedSpans":4}}"#,
            "taken, 4 rejected",
        );
        check(
            200,
            &[],
            br#"{"partialSuccess":{"rejectedSpans":-4}}"#,
            "taken, 0 rejected",
        );
        for status in [429, 502, 503, 504] {
            check(status, &[], b"", "retry None");
        }
        for status in [301, 400, 401, 404, 408, 413, 500, 501] {
            check(status, &[("retry-after", "1")], b"", "refused");
        }
    }

    #[test]
    fn retry_after_header() {
        check(429, &[("retry-after", "3")], b"", "retry Some(3s)");
        check(503, &[("retry-after", " 0 ")], b"", "retry Some(0ns)");
        check(
            503,
            &[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")],
            b"",
            "retry Some(30s)",
        );
        check(
            503,
            &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")],
            b"",
            "retry Some(0ns)",
        );
        check(503, &[("retry-after", "soon")], b"", "retry None");
        check(
            503,
            &[("retry-after", "18446744073709551615")],
            b"",
            "retry Some(604800s)",
        );
    }

    fn check_grpc(pairs: &[(&'static str, &str)], expected: &str) {
        let map = headers(pairs);
        let none = HeaderMap::new();
        let body = Bytes::from_static(&[0, 0, 0, 0, 4, 0x0a, 2, 0x08, 7]);
        for (head, trailers) in [(&map, None), (&none, Some(&map))] {
            let outcome = grpc(StatusCode::OK, head, trailers, &body);
            assert_eq!(summary(&outcome), expected, "{pairs:?}");
        }
    }

    #[test]
    fn grpc_codes() {
        check_grpc(&[("grpc-status", "0")], "taken, 7 rejected");
        for code in ["1", "4", "10", "11", "14", "15"] {
            check_grpc(&[("grpc-status", code)], "retry None");
        }
        for code in [
            "2", "3", "5", "6", "7", "8", "9", "12", "13", "16", "99", "x",
        ] {
            check_grpc(&[("grpc-status", code)], "refused");
        }
        check_grpc(&[], "retry None");
    }

    #[test]
    fn grpc_retry_info() {
        // google.rpc.Status { details: [Any { type_url, value: RetryInfo { retry_delay: 1.5 s } }] }
        let delay = [0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        let (mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new());
        wire::bytes(&mut info, 1, &delay);
        wire::bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        wire::bytes(&mut any, 2, &info);
        wire::bytes(&mut status, 3, &any);
        let details = STANDARD_NO_PAD.encode(status);
        let both = [("grpc-status", "8"), ("grpc-status-details-bin", &*details)];
        check_grpc(&both, "retry Some(1.5s)");
        let unavailable = [
            ("grpc-status", "14"),
            ("grpc-status-details-bin", &*details),
        ];
        check_grpc(&unavailable, "retry Some(1.5s)");
        let padded = format!("{details}==");
        let odd = [("grpc-status", "8"), ("grpc-status-details-bin", &*padded)];
        check_grpc(&odd, "retry Some(1.5s)");
        check_grpc(
            &[("grpc-status", "8"), ("grpc-status-details-bin", "%%%")],
            "refused",
        );
        check_grpc(
            &[("grpc-status", "3"), ("grpc-status-details-bin", &details)],
            "refused",
        );
    }

    #[test]
    fn a_proxy_in_between() {
        let none = HeaderMap::new();
        for (status, expected) in [(503, "retry None"), (403, "refused"), (200, "retry None")] {
            let status = StatusCode::from_u16(status).unwrap();
            let outcome = grpc(status, &none, None, &Bytes::new());
            assert_eq!(summary(&outcome), expected, "{status}");
        }
    }
}
