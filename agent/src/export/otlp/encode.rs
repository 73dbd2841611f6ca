//! Spans, resources and scopes in protobuf (`opentelemetry/proto/trace/v1/trace.proto`,
//! `.../common/v1/common.proto`).

use super::wire::{self, Heads};
use crate::signal::span::{List, Value};

/// Field numbers of `Span`.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}

/// `KeyValue.key` and `KeyValue.value`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
/// `AnyValue`'s alternatives.
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const ARRAY: u32 = 5;
/// `ArrayValue.values`.
const ARRAY_VALUES: u32 = 1;
/// `Status.code`.
const STATUS_CODE: u32 = 3;
/// `Resource.attributes`.
const RESOURCE_ATTRIBUTES: u32 = 1;
/// `InstrumentationScope.name` and `.version`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;

/// Size of an `AnyValue`.
#[inline]
fn value_len(value: Value<'_>) -> usize {
    match value {
        Value::Str(text) => wire::bytes_len(STRING, text.len()),
        Value::Int(number) => wire::int_len(INT, number.cast_unsigned()),
        Value::Bool(truth) => wire::int_len(BOOL, u64::from(truth)),
        Value::List(list) => wire::bytes_len(ARRAY, array_len(list)),
    }
}

/// Size of an `ArrayValue` of texts.
fn array_len(list: List<'_>) -> usize {
    let texts = list.iter();
    texts
        .map(|text| wire::bytes_len(ARRAY_VALUES, wire::bytes_len(STRING, text.len())))
        .sum()
}

#[inline]
fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Str(text) => wire::bytes(out, STRING, text.as_bytes()),
        Value::Int(number) => wire::int(out, INT, number.cast_unsigned()),
        Value::Bool(truth) => wire::int(out, BOOL, u64::from(truth)),
        Value::List(list) => {
            wire::head(out, ARRAY, array_len(list));
            for text in list.iter() {
                wire::head(out, ARRAY_VALUES, wire::bytes_len(STRING, text.len()));
                wire::bytes(out, STRING, text.as_bytes());
            }
        }
    }
}

#[inline]
fn attribute_len(key: &str, value: Value<'_>) -> usize {
    optional(KEY, key.len()) + wire::bytes_len(VALUE, value_len(value))
}

/// Size of a text that is not written when it is empty.
#[inline]
fn optional(field: u32, len: usize) -> usize {
    if len == 0 {
        0
    } else {
        wire::bytes_len(field, len)
    }
}

#[inline]
fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    let len = value_len(value);
    let mut heads = Heads::default();
    heads.push(
        field,
        optional(KEY, key.len()) + wire::bytes_len(VALUE, len),
    );
    if !key.is_empty() {
        heads.push(KEY, key.len());
    }
    heads.write(out);
    out.extend_from_slice(key.as_bytes());
    if let Value::Str(text) = value {
        let mut heads = Heads::default();
        heads.push(VALUE, len);
        heads.push(STRING, text.len());
        heads.write(out);
        out.extend_from_slice(text.as_bytes());
    } else {
        wire::head(out, VALUE, len);
        write_value(out, value);
    }
}

/// A span, borrowed from wherever its parts are.
#[derive(Clone, Debug)]
pub(super) struct View<'a, A> {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) trace_state: &'a str,
    /// W3C trace flags.
    pub(super) flags: u32,
    pub(super) name: &'a str,
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// `Status.code`: unset, ok, error.
    pub(super) status: u64,
    pub(super) attributes: A,
}

impl<'a, A: Iterator<Item = (&'a str, Value<'a>)> + Clone> View<'a, A> {
    /// Bytes that [`Self::write`] appends.
    pub(super) fn len(&self) -> usize {
        let attributes: usize = self
            .attributes
            .clone()
            .map(|(key, value)| wire::bytes_len(field::ATTRIBUTES, attribute_len(key, value)))
            .sum();
        let flags = if self.flags == 0 {
            0
        } else {
            wire::fixed32_len(field::FLAGS)
        };
        wire::bytes_len(field::TRACE_ID, 16)
            + wire::bytes_len(field::SPAN_ID, 8)
            + optional(field::TRACE_STATE, self.trace_state.len())
            + self
                .parent
                .map_or(0, |_| wire::bytes_len(field::PARENT_SPAN_ID, 8))
            + optional(field::NAME, self.name.len())
            + if self.kind == 0 {
                0
            } else {
                wire::int_len(field::KIND, self.kind)
            }
            + 2 * wire::fixed64_len(field::START)
            + attributes
            + match self.status {
                0 => 0,
                code => wire::bytes_len(field::STATUS, wire::int_len(STATUS_CODE, code)),
            }
            + flags
    }

    /// Appends the span, in the order of its fields, default values not written.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        wire::bytes(out, field::TRACE_ID, &self.trace_id);
        wire::bytes(out, field::SPAN_ID, &self.span_id);
        if !self.trace_state.is_empty() {
            wire::bytes(out, field::TRACE_STATE, self.trace_state.as_bytes());
        }
        if let Some(parent) = &self.parent {
            wire::bytes(out, field::PARENT_SPAN_ID, parent);
        }
        if !self.name.is_empty() {
            wire::bytes(out, field::NAME, self.name.as_bytes());
        }
        if self.kind != 0 {
            wire::int(out, field::KIND, self.kind);
        }
        wire::fixed64(out, field::START, self.start);
        wire::fixed64(out, field::END, self.end);
        for (key, value) in self.attributes {
            attribute(out, field::ATTRIBUTES, key, value);
        }
        if self.status != 0 {
            wire::head(out, field::STATUS, wire::int_len(STATUS_CODE, self.status));
            wire::int(out, STATUS_CODE, self.status);
        }
        if self.flags != 0 {
            wire::fixed32(out, field::FLAGS, self.flags);
        }
    }
}

/// A `Resource`.
pub(super) fn resource<'a>(attributes: impl Iterator<Item = (&'a str, Value<'a>)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attributes {
        attribute(&mut out, RESOURCE_ATTRIBUTES, key, value);
    }
    out
}

/// An `InstrumentationScope`.
pub(super) fn scope(name: &str, version: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, text) in [(SCOPE_NAME, name), (SCOPE_VERSION, version)] {
        if !text.is_empty() {
            wire::bytes(&mut out, field, text.as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, any_value,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    type Pairs<'a> = &'a [(&'a str, Value<'a>)];

    fn view<'a>(pairs: Pairs<'a>) -> View<'a, impl Iterator<Item = (&'a str, Value<'a>)> + Clone> {
        View {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: None,
            trace_state: "",
            flags: 0,
            name: "",
            kind: 0,
            start: 1,
            end: u64::MAX,
            status: 0,
            attributes: pairs.iter().copied(),
        }
    }

    /// prost reads what was written, and would write the same bytes, as many as foretold.
    fn check<'a, A>(span: View<'a, A>) -> Span
    where
        A: Iterator<Item = (&'a str, Value<'a>)> + Clone,
    {
        let mut bytes = Vec::new();
        let len = span.len();
        let expected = span.clone();
        span.write(&mut bytes);
        assert_eq!(bytes.len(), len, "length");
        let decoded = Span::decode(&*bytes).unwrap();
        assert!(decoded.encode_to_vec() == bytes, "not canonical");
        assert_eq!(decoded.trace_id, expected.trace_id);
        assert_eq!(decoded.span_id, expected.span_id);
        assert_eq!(
            decoded.parent_span_id,
            expected.parent.map_or(vec![], |p| p.to_vec())
        );
        assert_eq!(decoded.name, expected.name);
        assert_eq!(decoded.trace_state, expected.trace_state);
        assert_eq!(decoded.kind as u64, expected.kind);
        assert_eq!(decoded.flags, expected.flags);
        assert_eq!(decoded.start_time_unix_nano, expected.start);
        assert_eq!(decoded.end_time_unix_nano, expected.end);
        assert_eq!(
            decoded.status.as_ref().map_or(0, |s| s.code) as u64,
            expected.status
        );
        let attributes: Vec<_> = expected.attributes.collect();
        assert_eq!(decoded.attributes.len(), attributes.len());
        for (pair, (key, value)) in decoded.attributes.iter().zip(attributes) {
            assert_eq!(pair.key, key);
            let decoded = pair.value.as_ref().and_then(|v| v.value.as_ref());
            assert_eq!(decoded, Some(&owned(value)));
        }
        decoded
    }

    fn owned(value: Value<'_>) -> any_value::Value {
        match value {
            Value::Str(text) => any_value::Value::StringValue(text.to_owned()),
            Value::Int(number) => any_value::Value::IntValue(number),
            Value::Bool(truth) => any_value::Value::BoolValue(truth),
            Value::List(list) => {
                let texts = list.iter().map(|text| AnyValue {
                    value: Some(any_value::Value::StringValue(text.to_owned())),
                });
                any_value::Value::ArrayValue(ArrayValue {
                    values: texts.collect(),
                })
            }
        }
    }

    #[test]
    fn spans() {
        check(view(&[]));
        check(View {
            parent: Some([3; 8]),
            trace_state: "a=b",
            flags: 0x101,
            name: "GET",
            kind: 2,
            status: 2,
            ..view(&[
                ("http.method", Value::Str("GET")),
                ("http.status_code", Value::Int(200)),
                ("negative", Value::Int(-1)),
                ("", Value::Str("")),
                ("yes", Value::Bool(true)),
                ("no", Value::Bool(false)),
                ("body", Value::Str(&"ü".repeat(10_000))),
            ])
        });
    }

    #[test]
    fn resources_and_scopes() {
        let pairs = [
            ("service.name", Value::Str("x")),
            ("n", Value::Int(1 << 40)),
        ];
        let decoded = Resource::decode(&*resource(pairs.iter().copied())).unwrap();
        assert_eq!(decoded.attributes.len(), 2);
        assert_eq!(decoded.attributes[0].key, "service.name");
        let decoded = InstrumentationScope::decode(&*scope("meshtap", "1.0")).unwrap();
        assert_eq!((&*decoded.name, &*decoded.version), ("meshtap", "1.0"));
    }

    proptest! {
        #[test]
        fn any_attributes(
            texts in proptest::collection::vec((".{0,40}", ".{0,300}"), 0..8),
            numbers in proptest::collection::vec(any::<i64>(), 0..8),
            name in ".{0,150}",
        ) {
            let pairs: Vec<_> = texts
                .iter()
                .map(|(key, text)| (key.as_str(), Value::Str(text)))
                .chain(numbers.iter().map(|number| ("n", Value::Int(*number))))
                .collect();
            check(View { name: &name, ..view(&pairs) });
        }
    }
}
