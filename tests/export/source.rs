//! Spans to export.

use std::sync::Arc;

use meshtap::span::{Resource, Span, Value};

/// A span with this name.
pub(crate) fn span(name: &str) -> Span {
    Span {
        trace_id: [1; 16],
        span_id: [2; 8],
        parent: None,
        name: name.into(),
        kind: 1,
        start: 1,
        end: 2,
        error: false,
        attributes: vec![(
            "http.request.body".into(),
            Value::Str("x".repeat(1000).into()),
        )],
        resource: Arc::new(Resource {
            attributes: vec![("service.name".into(), Value::Str("test".into()))],
            scope: "scope".into(),
            version: "".into(),
        }),
    }
}
