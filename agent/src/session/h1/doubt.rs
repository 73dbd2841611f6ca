//! Bytes that their recipient may have read otherwise.
//!
//! Where recipients see the end of a request in different places ([`Traits::doubtful`]), what
//! follows is another request where both sides had nothing else left to say, or where there are as
//! many responses as requests.
//!
//! [`Traits::doubtful`]: crate::http::h1::Traits::doubtful

use super::super::{Context, Messages};
use super::H1;
use super::beginning::empty_lines;
use super::state::{Pairing, Requests, Responses};
use crate::exchange::{InFlight, Partial, Progress};
use crate::flow::{Direction, Nanos};
use crate::http::Anomalies;
use crate::http::h1::{Class, classify};
use crate::ledger::Dropped;
use crate::transport::Chunk;

/// Requests that follow such a one without a break.
#[derive(Debug)]
pub(super) struct Doubt {
    /// What is odd about the one before them.
    pub(super) anomalies: Anomalies,
    /// What was known before them.
    pairing: Pairing,
    /// Those that have their response, if they were any.
    pub(super) shown: Vec<InFlight>,
}

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
        let pending =
            |exchange: &InFlight| exchange.progress != Progress::Done && !exchange.doubted;
        let [_, responses] = &self.spoken;
        let bytes = chunk.bytes.get(empty_lines(chunk.bytes)..);
        self.doubtful.is_some()
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
        self.doubtful = None;
        self.requests_lost();
    }

    /// After the end of such a request, as far as it can be known, more of the same chunk comes,
    /// which may be requests or be none. It is read as the RFC says (§6.3: the coding wins), and
    /// shown if the responses bear it out. `true`: they cannot, so it is counted once, and the
    /// requests are lost track of. Where nothing shows what a sender had heard, the rules of the
    /// RFC have to do.
    pub(super) fn doubts(&mut self, chunk: &Chunk<'_>, proven: bool, cx: &mut Context<'_>) -> bool {
        let Some(anomalies) = self.doubtful.take() else {
            return false;
        };
        if proven || chunk.heard.is_none() || self.doubt.is_some() {
            return false;
        }
        let counts = matches!(self.responses, Responses::Reading(_) | Responses::Await(_));
        if counts && self.pairing != Pairing::Lost {
            self.doubt = Some(Box::new(Doubt {
                anomalies,
                pairing: self.pairing,
                shown: Vec::new(),
            }));
            return false;
        }
        cx.ledger.start();
        cx.drop_with(Dropped::Uncertain);
        self.owed += 1;
        self.requests_lost();
        true
    }

    /// Both sides had nothing else left to say, or say nothing more: each request that was read in
    /// doubt has its response, or none of them was one. `false`: so it is.
    pub(super) fn decide(&mut self, now: Nanos, cx: &mut Context<'_>) -> bool {
        let awaited =
            |exchange: &InFlight| exchange.doubted && exchange.progress == Progress::Awaited;
        if self.doubt.is_some() && (self.started.is_some() || self.in_flight.iter().any(awaited)) {
            self.refute(now, cx);
            return false;
        }
        let Some(doubt) = self.doubt.take() else {
            return true;
        };
        for mut exchange in doubt.shown {
            self.held = self.held.saturating_sub(exchange.memory());
            exchange.emit(false, now, &mut cx.emitter(&self.peers));
        }
        for exchange in &mut self.in_flight {
            exchange.doubted = false;
        }
        self.settle(now, cx);
        true
    }

    /// What was read in doubt was no request, or not all of it: the responses do not fit.
    pub(super) fn refute(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let Some(mut doubt) = self.doubt.take() else {
            return;
        };
        let first = self
            .in_flight
            .iter()
            .take_while(|exchange| !exchange.doubted);
        let first = first.count();
        self.current &= self.in_flight.len() == first;
        let mut emitter = cx.emitter(&self.peers);
        for exchange in doubt
            .shown
            .iter_mut()
            .chain(self.in_flight.iter_mut().skip(first))
        {
            exchange.drop_with(Dropped::Uncertain, &mut emitter);
            self.owed += 1;
        }
        self.in_flight.truncate(first);
        self.held = self.in_flight.iter().map(InFlight::memory).sum();
        self.head_cut(Dropped::Uncertain, cx);
        self.started = None;
        // What looked like more than one request in flight was none.
        self.pairing = doubt.pairing;
        if !matches!(self.requests, Requests::Ended) {
            self.doubtful = None;
            self.requests_lost();
        }
        self.settle(now, cx);
    }
}
