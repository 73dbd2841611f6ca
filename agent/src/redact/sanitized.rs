//! An exchange that may leave the node.

use super::fields::{Known, KnownFields};
use super::rpc::Call;
use crate::exchange::Exchange;
use crate::http::Body;
use crate::policy::{SpanId, TraceContext, TraceId};

/// Why a body is omitted though it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Omitted {
    /// It could not be decoded, and so not be inspected.
    Uninspected,
    /// A rule on its media type.
    Unwanted,
    /// The agent was over its budget.
    Overload,
    /// It was made in a way that searching it for secrets costs too much.
    Effort,
}

impl Omitted {
    /// Every reason, in order.
    pub const ALL: [Self; 4] = [
        Self::Uninspected,
        Self::Unwanted,
        Self::Overload,
        Self::Effort,
    ];

    /// The name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uninspected => "uninspected",
            Self::Unwanted => "unwanted",
            Self::Overload => "overload",
            Self::Effort => "effort",
        }
    }
}

/// What is known of a body besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the whole body as it was meant, secrets and all; of a decoded one that was cut,
    /// what was decoded.
    pub full_size: u64,
    /// Its end is not there.
    pub cut: bool,
    /// A content coding was removed.
    pub decoded: bool,
    /// There is a content coding that could not be removed: these are the bytes as they came.
    pub undecoded: bool,
    /// The body is omitted.
    pub omitted: Option<Omitted>,
    /// It is messages in envelopes ([`crate::http::rpc`]): never text.
    pub envelopes: bool,
}

impl Content {
    /// Of a body as it came.
    pub(super) const fn of(body: &Body) -> Self {
        Self {
            full_size: body.size,
            cut: body.truncated || body.missing > 0 || !body.size_exact,
            decoded: false,
            undecoded: false,
            omitted: None,
            envelopes: false,
        }
    }

    /// Of a body that is omitted.
    pub(super) const fn of_omitted(body: &Body, why: Omitted) -> Self {
        let mut content = Self::of(body);
        content.omitted = Some(why);
        content
    }
}

/// What was learnt of a request or a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) known: KnownFields,
    pub(super) content: Content,
}

/// An exchange that may leave the node. Only [`super::Redactor`] makes one.
#[derive(Clone, Debug)]
pub struct Sanitized {
    pub(super) exchange: Exchange,
    pub(super) trace: TraceContext,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) request: Message,
    pub(super) response: Message,
    pub(super) call: Option<Call>,
}

impl Sanitized {
    /// The exchange: secrets hidden, fields that are not kept gone, content codings removed from
    /// bodies.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The call that it is, if it is one.
    #[must_use]
    pub const fn call(&self) -> Option<&Call> {
        self.call.as_ref()
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
    pub const fn started(&self) -> u64 {
        self.started
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

    /// The response's body.
    #[must_use]
    pub const fn response_content(&self) -> &Content {
        &self.response.content
    }

    /// The value of a request field that says something of the request even where it is not kept.
    /// What a client or a proxy claims: no proof.
    pub(crate) fn request_field(&self, known: Known) -> Option<&[u8]> {
        self.request.known.get(known)
    }
}
