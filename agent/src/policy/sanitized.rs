//! An exchange that may leave the node.

use super::context::{SpanId, TraceContext, TraceId};
use super::fields::{Facts, Known};
use crate::exchange::Exchange;
use crate::http::Body;

/// Why a body is left out though it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// It could not be decoded, and so not be inspected.
    Uninspected,
    /// A rule on its media type.
    Unwanted,
    /// The agent was over its budget.
    Overload,
}

impl Withheld {
    /// The name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uninspected => "uninspected",
            Self::Unwanted => "unwanted",
            Self::Overload => "overload",
        }
    }
}

/// What is known of a body besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the whole body as it was meant, secrets and all; of a decoded one that was cut, what was decoded.
    pub full_size: u64,
    /// Its end is not there.
    pub cut: bool,
    /// A content coding was removed.
    pub decoded: bool,
    /// There is a content coding that could not be removed: these are the bytes as they came.
    pub undecoded: bool,
    /// The body is left out.
    pub withheld: Option<Withheld>,
}

impl Content {
    /// Of a body as it came.
    pub(super) const fn of(body: &Body) -> Self {
        Self {
            full_size: body.size,
            cut: body.truncated || body.missing > 0 || !body.size_exact,
            decoded: false,
            undecoded: false,
            withheld: None,
        }
    }

    /// Of a body that is not told.
    pub(super) const fn left_out(body: &Body, why: Withheld) -> Self {
        let mut content = Self::of(body);
        content.withheld = Some(why);
        content
    }
}

/// What the policy learnt of a request or an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) facts: Facts,
    pub(super) content: Content,
}

/// An exchange that may leave the node. Only [`super::Policy`] makes one.
#[derive(Clone, Debug)]
pub struct Sanitized {
    pub(super) exchange: Exchange,
    pub(super) trace: TraceContext,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) request: Message,
    pub(super) response: Message,
}

impl Sanitized {
    /// The exchange: secrets hidden, fields that are not kept gone, content codings removed from bodies.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The trace it belongs to.
    #[must_use]
    pub const fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Its trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace.trace
    }

    /// Its span.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.trace.span
    }

    /// Nanoseconds since 1970 at the request's first byte.
    #[must_use]
    pub const fn began(&self) -> u64 {
        self.began
    }

    /// Nanoseconds since 1970 at the last byte there is.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.ended
    }

    /// The request's body.
    #[must_use]
    pub const fn request_content(&self) -> &Content {
        &self.request.content
    }

    /// The answer's body.
    #[must_use]
    pub const fn response_content(&self) -> &Content {
        &self.response.content
    }

    /// The value of a request field that tells something of the request even where it is not kept.
    pub(crate) fn request_fact(&self, known: Known) -> Option<&[u8]> {
        self.request.facts.get(known)
    }
}
