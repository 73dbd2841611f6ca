//! Responses to gRPC calls (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use ::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use prost::Message as _;
use tonic_types::pb;

use super::super::environment::percent_decoded;
use super::partial::{self, Partial};
use super::text::{self, one_line};
use super::{End, Outcome, RESPONSE_LIMIT, Reply, is_temporary, retry_after};
use crate::http::coding::{self, Decoded};

/// Names of the status codes, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const OK: usize = 0;
const UNKNOWN: usize = 2;
const RESOURCE_EXHAUSTED: usize = 8;
/// CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
const TEMPORARY: [usize; 6] = [1, 4, 10, 11, 14, 15];

/// What a response says of the batch that was sent.
pub(in super::super) fn judge(reply: &Reply, now: SystemTime) -> Outcome {
    let Some(code) = field(reply, "grpc-status") else {
        return without_status(reply, now);
    };
    let code = code.parse().unwrap_or(UNKNOWN);
    if code == OK {
        return taken(reply);
    }
    let name = CODES.get(code).unwrap_or(&"which has no name");
    let detail = field(reply, "grpc-message").and_then(|text| percent_decoded(&text));
    let detail = one_line(&detail.unwrap_or_default());
    let message = match detail.as_str() {
        "" => format!("gRPC status {code} {name}"),
        detail => format!("gRPC status {code} {name}: {detail}"),
    };
    let asked = retry_delay(reply);
    // Without RetryInfo the server does not expect to recover.
    let is_temporary = TEMPORARY.contains(&code) || code == RESOURCE_EXHAUSTED && asked.is_some();
    if is_temporary {
        Outcome::Retry {
            after: asked,
            message,
        }
    } else {
        Outcome::Refused { message }
    }
}

/// A field of the trailers, which are the head itself when the server responds without a body.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<Cow<'a, str>> {
    let trailers = reply.trailers.as_ref().and_then(|map| map.get(name));
    let value = trailers.or_else(|| reply.headers.get(name))?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}

/// Not (all of) a response of a gRPC server: it was cut off, or a proxy or a server of something
/// else sent it.
fn without_status(reply: &Reply, now: SystemTime) -> Outcome {
    let kind = reply.content_type();
    let is_temporary = is_temporary(reply.status);
    // Who sends such a status may say when it ends, as to any request (RFC 9110 §10.2.3).
    let after = retry_after::parse(&reply.headers, now).filter(|_| is_temporary);
    if let End::Broken(reason) = &reply.end {
        return Outcome::Retry {
            after,
            message: format!("the response broke off: {reason}"),
        };
    }
    if kind.starts_with("application/grpc") {
        return Outcome::Retry {
            after,
            message: format!("{} without a gRPC status", reply.status_line()),
        };
    }
    let mut message = format!(
        "{} with content type {} is not a gRPC response",
        reply.status_line(),
        if kind.is_empty() {
            "none".to_owned()
        } else {
            one_line(&kind)
        }
    );
    if let Some(location) = reply.headers.get(header::LOCATION) {
        let location = one_line(&String::from_utf8_lossy(location.as_bytes()));
        message = format!("{message}; Location {location} is not followed");
    }
    let text = text::of(reply, reply.content().as_ref());
    if !text.is_empty() {
        message = format!("{message}: {text}");
    }
    if is_temporary {
        Outcome::Retry { after, message }
    } else {
        Outcome::Refused { message }
    }
}

/// The server said that it took the batch: a message that cannot be read does not change that.
fn taken(reply: &Reply) -> Outcome {
    match read(reply) {
        Some(partial) => Outcome::Taken {
            rejected: partial.rejected,
            remark: partial.message,
        },
        None => Outcome::Taken {
            rejected: 0,
            remark: "gRPC status 0 OK with a message that cannot be read".to_owned(),
        },
    }
}

/// One length-prefixed message: a byte that says whether it is compressed, four bytes of length,
/// the message. Some servers send none.
fn read(reply: &Reply) -> Option<Partial> {
    if reply.body.is_empty() {
        return Some(Partial::default());
    }
    let (prefix, message) = reply.body.split_first_chunk::<5>()?;
    let message = reply.body.slice_ref(message);
    match prefix[0] {
        0 => partial::protobuf(&message),
        _ => partial::protobuf(&decompressed(reply, &message)?),
    }
}

fn decompressed(reply: &Reply, message: &Bytes) -> Option<Bytes> {
    let coding = reply.headers.get("grpc-encoding")?.as_bytes();
    match coding::decode([coding], message, true, RESPONSE_LIMIT) {
        Decoded::Identity => Some(message.clone()),
        Decoded::Decoded { bytes, .. } => Some(bytes),
        Decoded::Failed { .. } => None,
    }
}

/// `google.rpc.RetryInfo.retry_delay` in the status's details. A negative one is zero.
fn retry_delay(reply: &Reply) -> Option<Duration> {
    let details = field(reply, "grpc-status-details-bin")?;
    let bytes = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).ok()?;
    let status = pb::Status::decode(&*bytes).ok()?;
    let info = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = pb::RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanos = u32::try_from(delay.nanos).unwrap_or(0);
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into())))
}
