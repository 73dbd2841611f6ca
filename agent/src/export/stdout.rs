//! Spans as JSON lines: one object a line, for pipes and for looking at what would be sent.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Batch;
use super::outlet::Encode;
use crate::span::{Span, Value};

/// Lines appear soon after what they tell.
pub(super) const AGE: Duration = Duration::from_millis(100);
/// A pipe's buffer (Linux): one write fills it.
const BATCH: usize = 64 * 1024;

/// Fills buffers with lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    spans: u64,
}

impl Encode for Lines {
    fn add(&mut self, span: &Span) -> Option<Batch> {
        let full = self.buffer.len() >= BATCH;
        let closed = if full { self.close() } else { None };
        let before = self.buffer.len();
        // Writing JSON into memory fails for no input that a span can hold; half a line would spoil the next.
        if serde_json::to_writer(&mut self.buffer, &Line(span)).is_err() {
            self.buffer.truncate(before);
        } else {
            self.buffer.push(b'\n');
        }
        self.spans += 1;
        closed
    }

    fn close(&mut self) -> Option<Batch> {
        if self.spans == 0 {
            return None;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        Some(Batch {
            bytes: bytes.len(),
            parts: vec![bytes],
            spans: std::mem::take(&mut self.spans),
        })
    }
}

struct Line<'a>(&'a Span);

struct Attributes<'a, K>(&'a [(K, Value)]);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Str(text) => serializer.serialize_str(text),
            Self::Int(number) => serializer.serialize_i64(*number),
        }
    }
}

impl<K: AsRef<str>> Serialize for Attributes<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key.as_ref(), value)))
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &hexadecimal(&span.trace_id))?;
        map.serialize_entry("span_id", &hexadecimal(&span.span_id))?;
        if let Some(parent) = &span.parent {
            map.serialize_entry("parent_span_id", &hexadecimal(parent))?;
        }
        map.serialize_entry("name", &*span.name)?;
        map.serialize_entry("kind", &span.kind)?;
        map.serialize_entry("start_unix_nano", &span.start)?;
        map.serialize_entry("end_unix_nano", &span.end)?;
        map.serialize_entry("resource", &Attributes(&span.resource.attributes))?;
        map.serialize_entry("scope", &*span.resource.scope)?;
        map.serialize_entry("attributes", &Attributes(&span.attributes))?;
        map.end()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
