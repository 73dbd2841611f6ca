//! What a response says of a batch: taken, worth another attempt, or refused for good. The rules
//! are the OTLP specification's (<https://opentelemetry.io/docs/specs/otlp/#failures>). Pure: the
//! response has been read, and the time is an argument.

mod grpc;
mod http;
mod partial;
mod retry_after;
mod text;

pub(super) use grpc::judge as grpc;
pub(super) use http::judge as http;
pub(super) use text::one_line;

use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;

use crate::http::coding::{self, Decoded};

/// Longest response that is read: a partial success with a message, or an error with its details.
/// It is also the most that its content codings may expand to.
pub(super) const RESPONSE_LIMIT: usize = 64 * 1024;

/// The outcome of one attempt. Messages are one line, bounded, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The destination took the batch.
    Taken {
        /// Items of it that it rejected.
        rejected: u64,
        /// What its user should know all the same; empty: nothing.
        remark: String,
    },
    /// Another attempt may succeed.
    Retry {
        /// Not before this, the destination says.
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

/// How the body of a response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is whole.
    Whole,
    /// It is longer than [`RESPONSE_LIMIT`].
    TooLong,
    /// It broke off, or did not end in time.
    Broken(String),
}

/// A response, as far as it was read.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) end: End,
}

impl Reply {
    /// `type/subtype` of the content, in lower case; empty when the response has none.
    fn content_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE);
        let text = value.map_or(&b""[..], |value| value.as_bytes());
        let essence = text.split(|&b| b == b';').next().unwrap_or_default();
        String::from_utf8_lossy(essence.trim_ascii()).to_ascii_lowercase()
    }

    /// The body without its content codings, which a server may apply unasked (RFC 9110 §12.5.3).
    /// `None` when they cannot be removed.
    fn content(&self) -> Option<Bytes> {
        let codings = self.headers.get_all(header::CONTENT_ENCODING);
        let codings = codings.iter().map(|value| value.as_bytes());
        match coding::decode(codings, &self.body, self.end == End::Whole, RESPONSE_LIMIT) {
            Decoded::Identity => Some(self.body.clone()),
            Decoded::Decoded { bytes, .. } => Some(bytes),
            Decoded::Failed { .. } => None,
        }
    }

    /// `HTTP 401 Unauthorized`.
    fn status_line(&self) -> String {
        let reason = self.status.canonical_reason();
        let reason = reason.map_or_else(String::new, |reason| format!(" {reason}"));
        format!("HTTP {}{reason}", self.status.as_u16())
    }
}

/// Status codes that a server sends when it, or what is behind it, cannot take the batch now. Every
/// other 4xx and 5xx, 408 among them, must not be tried again, the specification says.
const fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
mod tests;
