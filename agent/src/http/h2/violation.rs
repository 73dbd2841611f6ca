//! What breaks the protocol, as far as one who listens can see it.

use super::frame::Invalid;

/// An error of a connection or of a stream (RFC 9113 §5.4). Servers differ in what they refuse, so
/// it ends nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// What the client sends first is no preface (§3.4).
    Preface,
    /// A frame of a length that its kind cannot have (§4.2).
    Length,
    /// A frame on a stream that its kind cannot be on (§6).
    Stream,
    /// More padding than frame (§6.1).
    Padding,
    /// A value that is not allowed: a window grows by nothing (§6.9), a stream depends on itself
    /// (RFC 7540 §5.3.1).
    Value,
    /// CONTINUATION behind nothing that it continues, or another frame inside a header block
    /// (§6.10).
    Continuation,
    /// DATA or HEADERS behind END_STREAM (§5.1).
    Closed,
    /// A frame on a stream that nobody has opened (§5.1).
    Idle,
    /// A client opens a stream of the server's, or one below another that it has opened (§5.1.1).
    StreamId,
    /// PUSH_PROMISE of a client (§8.4).
    Push,
    /// Trailers that do not end their stream (§8.1).
    Trailers,
    /// An interim response that ends its stream (§8.1).
    Interim,
}

impl Violation {
    /// Every kind, in order.
    pub const ALL: [Self; 12] = [
        Self::Preface,
        Self::Length,
        Self::Stream,
        Self::Padding,
        Self::Value,
        Self::Continuation,
        Self::Closed,
        Self::Idle,
        Self::StreamId,
        Self::Push,
        Self::Trailers,
        Self::Interim,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Preface => "preface",
            Self::Length => "length",
            Self::Stream => "stream",
            Self::Padding => "padding",
            Self::Value => "value",
            Self::Continuation => "continuation",
            Self::Closed => "closed_stream",
            Self::Idle => "idle_stream",
            Self::StreamId => "stream_id",
            Self::Push => "push_promise",
            Self::Trailers => "trailers",
            Self::Interim => "interim",
        }
    }
}

impl From<Invalid> for Violation {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Length => Self::Length,
            Invalid::Stream => Self::Stream,
            Invalid::Padding => Self::Padding,
            Invalid::Value => Self::Value,
        }
    }
}
