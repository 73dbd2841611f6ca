//! `ExportTraceServiceResponse`: the message that says that a batch was taken, in protobuf or in
//! JSON. Those of metrics and logs have the same fields under the same numbers; in JSON, the name
//! of one is another.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::Value;

use super::text::one_line;

/// A batch was taken, but for some of its spans.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

impl Partial {
    /// `None` for what is no count. Neither that nor a rejection without a reason goes unmentioned.
    fn new(rejected: Option<u64>, message: &str) -> Self {
        const NO_COUNT: &str = "the count of rejected items cannot be read";
        let message = one_line(message);
        let message = match (rejected, message.is_empty()) {
            (None, true) => NO_COUNT.to_owned(),
            (None, false) => format!("{message} ({NO_COUNT})"),
            (Some(1..), true) => "no reason is given".to_owned(),
            _ => message,
        };
        Self {
            rejected: rejected.unwrap_or(0),
            message,
        }
    }
}

/// `None` when it is no such message.
pub(super) fn protobuf(message: &[u8]) -> Option<Partial> {
    let response = ExportTraceServiceResponse::decode(message).ok()?;
    let partial = response.partial_success.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).ok();
    Some(Partial::new(rejected, &partial.error_message))
}

/// `None` when it is no such message: an object with other members alone says something else, such
/// as `{"error":"log in"}`.
///
/// 64-bit numbers are strings in protobuf's JSON; plain ones are understood, as are the names of
/// the `.proto` file.
pub(super) fn json(message: &[u8]) -> Option<Partial> {
    let value: Value = serde_json::from_slice(message).ok()?;
    let object = value.as_object()?;
    let names = ["partialSuccess", "partial_success"];
    let Some(partial) = names.iter().find_map(|name| object.get(*name)) else {
        return object.is_empty().then(Partial::default);
    };
    let field = |camel: &str, snake: &str| partial.get(camel).or_else(|| partial.get(snake));
    let rejected = field("rejectedSpans", "rejected_spans")
        .or_else(|| field("rejectedDataPoints", "rejected_data_points"))
        .or_else(|| field("rejectedLogRecords", "rejected_log_records"));
    let rejected = match rejected {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
    };
    let message = field("errorMessage", "error_message").and_then(Value::as_str);
    Some(Partial::new(rejected, message.unwrap_or_default()))
}
