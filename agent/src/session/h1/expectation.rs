//! `Expect: 100-continue` that is refused (RFC 9110 §10.1.1).

use super::super::Context;
use super::H1;
use super::beginning::is_known_request;
use super::state::{Pickup, Requests};
use crate::exchange::Progress;
use crate::flow::Nanos;
use crate::http::h1::{self, Class, Reader, classify};
use crate::transport::Chunk;

impl H1 {
    /// The client asked whether to send its body (`Expect: 100-continue`), was given a final
    /// response instead, has not sent a byte of the body, and now sends what looks like another
    /// request (RFC 9110 §10.1.1).
    pub(super) fn may_give_up_its_body(&self, chunk: &Chunk<'_>) -> bool {
        let Requests::Reading(reader) = &self.requests else {
            return false;
        };
        let [_, responses] = &self.spoken;
        self.current
            && self.in_flight.back().is_some_and(|exchange| {
                exchange.expects
                    && exchange.interim.count == 0
                    && exchange.progress == Progress::Done
                    && (is_known_request(chunk.bytes) || exchange.is_repeated_by(chunk.bytes))
            })
            && reader.reading().is_some_and(h1::Reading::untouched)
            && responses.is_quiescent(chunk)
            && classify(chunk.bytes) == Class::Request
    }

    /// The body, or another request: a response shows that it is one. Many clients repeat a request
    /// that is refused with a 417 (RFC 9110 §10.1.1: they should).
    pub(super) fn body_or_request(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.request_cut(now, cx);
        self.requests = Requests::Reading(Reader::default());
        self.doubtful = None;
        self.pickup = Pickup::OrBody;
    }

    /// What may be a request is none of HTTP, nor is what comes back.
    pub(super) fn is_other_than_asked(&self, response: &Chunk<'_>) -> bool {
        self.pickup == Pickup::OrBody
            && !matches!(classify(response.bytes), Class::Response | Class::Undecided)
    }

    /// No response shows any more that what came instead of a body is a request.
    pub(super) fn may_be_body(&mut self, cx: &mut Context<'_>) {
        if self.pickup == Pickup::OrBody {
            self.drop_unconfirmed(cx);
            self.pickup = Pickup::Certain;
        }
    }
}
