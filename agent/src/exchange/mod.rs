//! A request and its response: what the core makes and everything after it consumes.

mod in_flight;

pub use crate::flow::Peers;
pub use crate::ledger::Partial;
pub(crate) use in_flight::{Emitter, InFlight, Progress};

use std::sync::Arc;

use crate::flow::{Nanos, Offset};
use crate::http::{Anomalies, Body, RequestHead, ResponseHead, Unknown, allocated};

/// The request.
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
    /// Errors of the head that were tolerated.
    pub anomalies: Anomalies,
}

/// The response.
#[derive(Clone, Debug)]
pub struct Response {
    /// When its first byte was handled.
    pub began: Nanos,
    /// When its last byte was handled.
    pub ended: Nanos,
    /// Status line and header fields of the final response.
    pub head: ResponseHead,
    /// Body.
    pub body: Body,
    /// Errors of the head that were tolerated.
    pub anomalies: Anomalies,
}

impl Request {
    /// Bytes held beside the structure itself.
    pub(crate) fn memory(&self) -> usize {
        self.head.fields.memory() + self.body.memory()
    }
}

impl Response {
    /// Bytes held beside the structure itself.
    pub(crate) fn memory(&self) -> usize {
        self.head.memory() + self.body.memory()
    }
}

/// Interim (1xx) responses that came before the final one (RFC 9110 §15.2).
#[derive(Clone, Debug, Default)]
pub struct Interim {
    /// How many came.
    pub count: u16,
    /// The first of them, at most [`Interim::KEPT`].
    pub heads: Vec<ResponseHead>,
}

impl Interim {
    /// Heads that are kept: servers send one or two, and a hostile one no more than this.
    pub const KEPT: usize = 8;

    /// Adds one.
    pub(crate) fn push(&mut self, head: ResponseHead) {
        self.count = self.count.saturating_add(1);
        if self.heads.len() < Self::KEPT {
            self.heads.push(head);
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let places = self.heads.capacity() * size_of::<ResponseHead>();
        let heads = self.heads.iter().map(ResponseHead::memory);
        allocated(places) + heads.sum::<usize>()
    }
}

/// A request and its response, whatever protocol carried them.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The connection.
    pub peers: Arc<Peers>,
    /// The stream of the connection, in a protocol that has streams (RFC 9113 §5.1.1).
    pub stream: Option<u32>,
    /// Where the request begins in its direction.
    pub(crate) offset: Offset,
    /// The request. Always there: a response whose request was not seen is counted, never guessed
    /// at.
    pub request: Request,
    /// Interim responses.
    pub interim: Interim,
    /// The final response, if one began.
    pub response: Option<Response>,
    /// The connection speaks something else from here on: the response was a 101, or a 2xx to
    /// CONNECT.
    pub upgrade: bool,
    /// The error code with which the stream was reset (RFC 9113 §7).
    pub reset: Option<u32>,
    /// When its last byte came, or when nothing more was awaited: the time of FIN or RST, a
    /// time-out, the end of the capture.
    pub ended: Nanos,
    /// What is missing, if anything.
    pub partial: Option<Partial>,
}

impl Exchange {
    /// Bytes held. What exchanges of one connection have in common counts for each: it stays as
    /// long as any of them.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + allocated(size_of::<Peers>())
            + self.request.memory()
            + self.interim.memory()
            + self.response.as_ref().map_or(0, Response::memory)
    }

    /// The scheme, as the request names it, or else by what the connection carries. `None`: the
    /// request names it in what is unknown.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        let head = &self.request.head;
        match head.scheme() {
            None if head.unknown.contains(Unknown::SCHEME) => None,
            named => Some(named.unwrap_or_else(|| self.peers.scheme().as_bytes())),
        }
    }

    /// What is unknown of its two messages.
    #[must_use]
    pub fn unknown(&self) -> Unknown {
        let response = self.response.as_ref();
        let response = response.map_or_else(Unknown::default, |response| response.head.unknown);
        self.request.head.unknown.with(response)
    }

    /// From the request's first byte until its end: nanoseconds.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        let response = self.response.as_ref().map_or(0, |response| response.ended);
        let end = self.ended.max(self.request.ended).max(response);
        end.saturating_sub(self.request.began)
    }

    /// Where its time went. An early response begins before the request has ended: no part is
    /// negative, and their sum is the whole.
    #[must_use]
    pub fn phases(&self) -> Phases {
        let request = &self.request;
        let whole = self.duration();
        let (send, wait) = match &self.response {
            Some(response) => {
                let sent = request.ended.min(response.began);
                let send = sent.saturating_sub(request.began);
                (send, response.began.saturating_sub(sent))
            }
            None => (whole, 0),
        };
        Phases {
            send,
            wait,
            receive: whole.saturating_sub(send + wait),
        }
    }
}

/// The parts of an exchange's time: nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// From the first byte of the request to the last.
    pub send: Nanos,
    /// From there to the first byte of the response.
    pub wait: Nanos,
    /// From there to the end.
    pub receive: Nanos,
}
