//! `Expect: 100-continue` that is refused (RFC 9110 §10.1.1).

use super::super::Context;
use super::H1;
use super::beginning::is_known_request;
use super::state::Requests;
use crate::exchange::Progress;
use crate::flow::Nanos;
use crate::http::h1::{self, Class, classify};
use crate::ledger::Dropped;
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
            })
            && reader.reading().is_some_and(h1::Reading::untouched)
            && responses.is_quiescent(chunk)
            && is_known_request(chunk.bytes)
            && classify(chunk.bytes) == Class::Request
    }

    /// The body, or another request: only the two ends know. Neither is emitted, one is counted.
    pub(super) fn ambiguous(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.request_cut(now, cx);
        cx.ledger.start();
        cx.drop_with(Dropped::Uncertain);
        self.owed += 1;
        self.requests_lost();
    }
}
