//! A request and its answer: what the core makes and everything after it consumes.

mod open;

pub(crate) use open::{Account, Answer, Open};

use std::sync::Arc;

use crate::flow::{CgroupId, Endpoint, Nanos, Side, SocketId};
use crate::http::{Body, RequestHead, ResponseHead};

/// What all exchanges of one connection share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The socket that was recorded.
    pub socket: SocketId,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Which end it is.
    pub side: Side,
    /// The end that sends requests, as the socket knows it.
    pub client: Endpoint,
    /// The end that answers, as the socket knows it.
    pub server: Endpoint,
    /// The client's address told by a PROXY protocol preamble, when there was one.
    pub proxied_client: Option<Endpoint>,
}

impl Peers {
    /// Who sends the requests: a PROXY protocol preamble knows better than the socket.
    #[must_use]
    pub fn caller(&self) -> &Endpoint {
        self.proxied_client.as_ref().unwrap_or(&self.client)
    }
}

/// The request half.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its first byte was handled.
    pub began: Nanos,
    /// When its last byte was handled.
    pub ended: Nanos,
    /// Request line and header fields.
    pub head: RequestHead,
    /// Body.
    pub body: Body,
    /// Head faults that were tolerated.
    pub oddities: Oddities,
}

/// The response half.
#[derive(Clone, Debug)]
pub struct Response {
    /// When its first byte was handled.
    pub began: Nanos,
    /// When its last byte was handled.
    pub ended: Nanos,
    /// Status line and header fields of the final answer.
    pub head: ResponseHead,
    /// Body.
    pub body: Body,
    /// Head faults that were tolerated.
    pub oddities: Oddities,
    /// Number of interim (1xx) answers before it.
    pub interim: u16,
}

/// Faults of a head that a recipient tolerates (RFC 9112) and that a reader may want to know of. A bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities(pub u8);

impl Oddities {
    /// `Transfer-Encoding` and `Content-Length` both present (RFC 9112 §6.3: the first wins; a smuggling sign).
    pub const LENGTH_AND_CHUNKED: Self = Self(1);
    /// `Content-Length` repeated with the same value.
    pub const REPEATED_LENGTH: Self = Self(1 << 1);
    /// A folded field line (obs-fold).
    pub const FOLDED: Self = Self(1 << 2);
    /// A line that ends with LF alone.
    pub const BARE_LF: Self = Self(1 << 3);
    /// `Transfer-Encoding` in an HTTP/1.0 message, or whose last coding is not chunked.
    pub const ODD_CODING: Self = Self(1 << 4);
    /// A field whose name is no token or whose value holds control characters, or a line that is no field.
    pub const INVALID_FIELD: Self = Self(1 << 5);

    /// A request line with spaces after its version, or a minor version above 1.
    pub const ODD_LINE: Self = Self(1 << 6);

    /// Each with the name it is told by.
    pub const NAMED: [(Self, &'static str); 7] = [
        (Self::LENGTH_AND_CHUNKED, "length_and_chunked"),
        (Self::REPEATED_LENGTH, "repeated_length"),
        (Self::FOLDED, "folded_field"),
        (Self::BARE_LF, "bare_lf"),
        (Self::ODD_CODING, "odd_transfer_coding"),
        (Self::INVALID_FIELD, "invalid_field"),
        (Self::ODD_LINE, "odd_request_line"),
    ];

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED
            .into_iter()
            .filter(move |(oddity, _)| self.contains(*oddity))
            .map(|(_, name)| name)
    }

    /// With those of `other` added.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Why an exchange that is told lacks something. One exchange has at most one: the first that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partial {
    /// The connection ended before an answer began.
    NoResponse,
    /// The connection ended inside the request.
    RequestCut,
    /// The connection ended inside the answer.
    ResponseCut,
    /// The kernel could not give some bytes of a body.
    Gap,
    /// The exchange outlived `max_exchange_age`; told with what there was.
    MaxAge,
    /// Capture stopped first.
    Shutdown,
    /// Dropped early to stay within the memory bound; told with what there was.
    Evicted,
    /// The end of a body was lost past the body budget: its size is a lower bound.
    SizeUnknown,
    /// A body's chunked coding is broken; told with what came before.
    Malformed,
}

impl Partial {
    /// Every reason, in order.
    pub const ALL: [Self; 9] = [
        Self::NoResponse,
        Self::RequestCut,
        Self::ResponseCut,
        Self::Gap,
        Self::MaxAge,
        Self::Shutdown,
        Self::Evicted,
        Self::SizeUnknown,
        Self::Malformed,
    ];

    /// The metric's label and the JSON value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoResponse => "no_response",
            Self::RequestCut => "request_cut",
            Self::ResponseCut => "response_cut",
            Self::Gap => "gap",
            Self::MaxAge => "max_age",
            Self::Shutdown => "shutdown",
            Self::Evicted => "evicted",
            Self::SizeUnknown => "size_unknown",
            Self::Malformed => "malformed",
        }
    }
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The connection.
    pub peers: Arc<Peers>,
    /// The request. Always there: an answer whose request was not seen is counted, never guessed at.
    pub request: Request,
    /// The answer, if one began.
    pub response: Option<Response>,
    /// What the connection was switched to, when the answer was a 101 or a 2xx to CONNECT.
    pub upgrade: bool,
    /// What is missing, if anything.
    pub partial: Option<Partial>,
}

impl Exchange {
    /// From the request's first byte to the last byte there is.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        let end = self
            .response
            .as_ref()
            .map_or(self.request.ended, |r| r.ended.max(self.request.ended));
        end.saturating_sub(self.request.began)
    }
}
