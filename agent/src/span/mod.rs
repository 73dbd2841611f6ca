//! The span: what is told of an exchange.

use std::borrow::Cow;
use std::sync::Arc;

/// Provisional.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "provisional")]
pub struct Span {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub name: Arc<str>,
    pub kind: u8,
    pub start: u64,
    pub end: u64,
    pub error: bool,
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    pub resource: Arc<Resource>,
}

/// Provisional.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "provisional")]
pub enum Value {
    Str(Cow<'static, str>),
    Int(i64),
}

/// Provisional.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "provisional")]
pub struct Resource {
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    pub scope: Cow<'static, str>,
    pub version: Cow<'static, str>,
}
