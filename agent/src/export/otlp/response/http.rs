//! Responses to HTTP requests.

use std::time::SystemTime;

use ::http::{StatusCode, header};
use bytes::Bytes;
use prost::Message as _;
use tonic_types::pb::Status;

use super::super::config::Protocol;
use super::partial::{self, Partial};
use super::text::{self, one_line};
use super::{End, Outcome, Reply, is_temporary, retry_after};

/// What a response says of the batch that was sent over `protocol`.
pub(in super::super) fn judge(protocol: Protocol, reply: &Reply, now: SystemTime) -> Outcome {
    let content = reply.content();
    if reply.status.is_success() {
        return success(protocol, reply, content.as_ref());
    }
    let mut message = reply.status_line();
    if let Some(location) = reply.headers.get(header::LOCATION) {
        let location = one_line(&String::from_utf8_lossy(location.as_bytes()));
        message = format!("{message} to Location {location}, which is not followed");
    }
    let detail = detail(reply, content.as_ref());
    if !detail.is_empty() {
        message = format!("{message}: {detail}");
    }
    if is_temporary(reply.status) {
        let after = retry_after::parse(&reply.headers, now);
        Outcome::Retry { after, message }
    } else {
        Outcome::Refused { message }
    }
}

/// Only an `ExportTraceServiceResponse` says that the batch was taken: a login page does not,
/// whatever its status.
fn success(protocol: Protocol, reply: &Reply, content: Option<&Bytes>) -> Outcome {
    if let End::Broken(reason) = &reply.end {
        return Outcome::Retry {
            after: None,
            message: format!(
                "{}, but its body did not come: {reason}",
                reply.status_line()
            ),
        };
    }
    let kind = reply.content_type();
    let whole = content.filter(|_| reply.end == End::Whole);
    let Some(partial) = whole.and_then(|content| read(protocol, &kind, content)) else {
        let text = text::of(reply, content);
        return Outcome::Refused {
            message: format!(
                "{} with {} is not an OTLP response: {text}",
                reply.status_line(),
                named(&kind)
            ),
        };
    };
    let remark = if is_expected(protocol, reply.status, &kind) {
        partial.message
    } else {
        let more = match partial.message.is_empty() {
            true => String::new(),
            false => format!(": {}", partial.message),
        };
        format!(
            "{} with {} is not what OTLP asks for; it counts as taken{more}",
            reply.status_line(),
            named(&kind),
        )
    };
    Outcome::Taken {
        rejected: partial.rejected,
        remark,
    }
}

fn named(kind: &str) -> String {
    match kind {
        "" => "no content type".to_owned(),
        kind => format!("content type {}", one_line(kind)),
    }
}

/// The message, in the form that the content type names, else in the one that was sent. Nothing is
/// an empty message.
fn read(protocol: Protocol, kind: &str, content: &Bytes) -> Option<Partial> {
    let is_json = content.trim_ascii_start().first() == Some(&b'{');
    if content.trim_ascii().is_empty() && protocol == Protocol::HttpJson || content.is_empty() {
        return Some(Partial::default());
    }
    if is_json && let Some(partial) = partial::json(content) {
        return Some(partial);
    }
    // Text of some sorts happens to be protobuf with unknown fields.
    let may_be_protobuf = !kind.starts_with("text/") && !kind.contains("json");
    if may_be_protobuf {
        partial::protobuf(content)
    } else {
        None
    }
}

fn is_expected(protocol: Protocol, status: StatusCode, kind: &str) -> bool {
    let kinds: &[&str] = match protocol {
        Protocol::HttpJson => &["", "application/json"],
        Protocol::HttpProtobuf | Protocol::Grpc => {
            &["", "application/x-protobuf", "application/protobuf"]
        }
    };
    status == StatusCode::OK && kinds.contains(&kind)
}

/// What the server says of an error: the message of a `google.rpc.Status`, or the text of whatever
/// it sent.
fn detail(reply: &Reply, content: Option<&Bytes>) -> String {
    let kind = reply.content_type();
    let status = content
        .filter(|_| kind.contains("protobuf") || kind.is_empty())
        .and_then(|content| Status::decode(&**content).ok())
        .map(|status| one_line(&status.message))
        .filter(|message| !message.is_empty());
    status.unwrap_or_else(|| text::of(reply, content))
}
