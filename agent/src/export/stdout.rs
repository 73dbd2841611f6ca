//! Spans as JSON lines: one object a line, for pipes and for looking at what would be sent. What a
//! terminal would obey is escaped.

use std::fmt::Write as _;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Batch;
use super::batch::Buffered;
use super::handle::{Encode, Input};
use crate::signal::span::{Attributes, Kind, Resource, ResourceValue, Span, Status, Value};
use crate::visible;

/// Lines appear soon after their exchange.
pub(super) const AGE: Duration = Duration::from_millis(100);
/// A pipe's buffer (Linux): one write fills it.
const BATCH: usize = 64 * 1024;

/// Fills buffers with lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Buffered);

impl Encode for Lines {
    fn add(&mut self, input: Input<'_>) -> Option<Batch> {
        let Input::Span(span) = input else {
            return None;
        };
        self.0.add(BATCH, |buffer| {
            let before = buffer.len();
            // Writing JSON into memory fails for no input that a span can hold; half a line would
            // spoil the next.
            if visible::write_json(buffer, &Line(span)).is_err() {
                buffer.truncate(before);
            } else {
                buffer.push(b'\n');
            }
        })
    }

    fn close(&mut self) -> Option<Batch> {
        self.0.close()
    }
}

struct Line<'a>(&'a Span);

/// The attributes of a span as one object.
struct SpanAttributes<'a>(&'a Attributes);

/// Those of a resource, likewise.
struct ResourceAttributes<'a>(&'a Resource);

struct Borrowed<'a>(Value<'a>);

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Str(text) => serializer.serialize_str(text),
            Value::Int(number) => serializer.serialize_i64(number),
            Value::Bool(truth) => serializer.serialize_bool(truth),
            Value::List(list) => serializer.collect_seq(list.iter()),
        }
    }
}

impl Serialize for SpanAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter();
        serializer.collect_map(pairs.map(|(key, value)| (key, Borrowed(value))))
    }
}

impl Serialize for ResourceAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.attributes.iter().map(|(key, value)| match value {
            ResourceValue::Str(text) => (key, Borrowed(Value::Str(text))),
            ResourceValue::Int(number) => (key, Borrowed(Value::Int(*number))),
        });
        serializer.collect_map(pairs)
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &hexadecimal(&span.context.trace.0))?;
        map.serialize_entry("span_id", &hexadecimal(&span.context.span.0))?;
        if let Some(parent) = span.parent() {
            map.serialize_entry("parent_span_id", &hexadecimal(&parent.0))?;
        }
        map.serialize_entry("name", span.name())?;
        map.serialize_entry("kind", kind(span.kind))?;
        map.serialize_entry("start_unix_nano", &span.start)?;
        map.serialize_entry("end_unix_nano", &span.end)?;
        if span.status == Status::Error {
            map.serialize_entry("status", "error")?;
        }
        map.serialize_entry("attributes", &SpanAttributes(&span.attributes))?;
        map.serialize_entry("resource", &ResourceAttributes(&span.resource))?;
        map.serialize_entry("scope", &span.scope.name)?;
        map.end()
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
