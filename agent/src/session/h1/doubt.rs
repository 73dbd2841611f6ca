//! Bytes that their recipient may have read otherwise.
//!
//! Where recipients see the end of a request in different places ([`Traits::doubtful`]), what
//! follows is another request only where both sides had nothing else left to say.
//!
//! [`Traits::doubtful`]: crate::http::h1::Traits::doubtful

use super::super::{Context, Messages};
use super::H1;
use super::beginning::empty_lines;
use super::state::Requests;
use crate::exchange::{InFlight, Partial, Progress};
use crate::flow::{Direction, Nanos};
use crate::http::Anomalies;
use crate::http::h1::{Class, classify};
use crate::ledger::Dropped;
use crate::transport::Chunk;

impl H1 {
    /// The recipient may have read other bytes than the last ones of a direction.
    pub(crate) fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        match self.messages(direction) {
            Messages::Requests => match &mut self.started {
                Some(started) => started.marks = started.marks.with(anomaly),
                None => self
                    .in_flight
                    .iter_mut()
                    .for_each(|exchange| exchange.request_anomaly(anomaly)),
            },
            Messages::Responses => {
                if let Some(exchange) = self.in_flight.front_mut() {
                    exchange.response_anomaly(anomaly);
                }
            }
        }
    }

    /// Within the body of such a request, after all responses, another request may begin: its
    /// server saw the end before.
    pub(super) fn may_have_ended_before(&self, chunk: &Chunk<'_>) -> bool {
        let pending = |exchange: &InFlight| exchange.progress != Progress::Done;
        let [_, responses] = &self.spoken;
        let bytes = chunk.bytes.get(empty_lines(chunk.bytes)..);
        self.doubtful
            && responses.is_quiescent(chunk)
            && !self.in_flight.iter().any(pending)
            && matches!(
                bytes.map(classify),
                Some(Class::Request | Class::OddRequest | Class::Undecided)
            )
    }

    /// Its body is over, where is not known.
    pub(super) fn end_before(&mut self, now: Nanos, cx: &mut Context<'_>) {
        if let Requests::Reading(reader) = &mut self.requests
            && let Some(body) = reader.so_far()
        {
            self.mark_current(Partial::SizeUnknown);
            self.request_end(body, now, cx);
        }
        self.doubtful = false;
        self.requests_lost();
    }

    /// After the end of such a request, as far as it can be known, more of the same chunk comes,
    /// which may be requests or be none: it is counted once. `true`: the requests are lost track
    /// of. Where nothing shows what a sender had heard, the rules of the RFC have to do.
    pub(super) fn doubts(&mut self, chunk: &Chunk<'_>, proven: bool, cx: &mut Context<'_>) -> bool {
        let doubts = self.doubtful && !proven && chunk.heard.is_some();
        self.doubtful = false;
        if doubts {
            cx.ledger.start();
            cx.drop_with(Dropped::PairingLost);
            self.owed += 1;
            self.requests_lost();
        }
        doubts
    }
}
