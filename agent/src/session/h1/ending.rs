//! Exchanges that are emitted before both directions are over: the connection is gone, capture
//! stops, or they are too old.

use super::super::{Context, End};
use super::H1;
use super::state::{Requests, Responses};
use crate::exchange::{InFlight, Partial, Progress};
use crate::flow::Nanos;
use crate::ledger::Dropped;

impl H1 {
    /// Nothing more comes: everything in flight is emitted or counted.
    pub(crate) fn finish(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        let head = match end {
            End::Gone => (Partial::RequestCut, Dropped::HeadCut),
            End::Shutdown => (Partial::Shutdown, Dropped::HeadCut),
            End::Evicted => (Partial::Evicted, Dropped::Evicted),
        };
        self.decide(now, cx);
        self.request_head_over(head, now, cx);
        self.may_be_body(cx);
        self.take_bodies(|_| true);
        let paired = !cx.one_sided && !matches!(self.responses, Responses::Seek);
        let unpaired = self.unpaired(cx.one_sided);
        if let Some(alone) = &mut self.alone {
            alone.end(cx);
        }
        let mut emitter = cx.emitter(&self.peers);
        for exchange in &mut self.in_flight {
            if !paired && exchange.progress != Progress::Done {
                exchange.mark(unpaired);
            }
            exchange.mark(match end {
                End::Shutdown => Partial::Shutdown,
                End::Evicted => Partial::Evicted,
                End::Gone if !exchange.requested => Partial::RequestCut,
                End::Gone if exchange.progress == Progress::Awaited => Partial::NoResponse,
                End::Gone => Partial::ResponseCut,
            });
            exchange.emit(false, now, &mut emitter);
        }
        self.in_flight.clear();
        self.passed.clear();
        self.held = 0;
        self.requests = Requests::Ended;
        self.responses = Responses::Ended;
    }

    /// Emits what began before `oldest`, as it stands. Its place in the order stays.
    pub(crate) fn expire(&mut self, oldest: Nanos, now: Nanos, cx: &mut Context<'_>) {
        if self.started.is_some_and(|started| started.time <= oldest) {
            self.request_head_over((Partial::MaxAge, Dropped::HeadCut), now, cx);
            self.requests_lost();
        }
        let old = |exchange: &InFlight| exchange.began().is_some_and(|began| began <= oldest);
        if !self.started_exchanges().any(old) {
            return;
        }
        // Which responses are whose is not known yet.
        self.refute(now, cx);
        self.may_be_body(cx);
        self.take_bodies(old);
        let mut emitter = cx.emitter(&self.peers);
        for exchange in self.in_flight.iter_mut().filter(|exchange| old(exchange)) {
            // Time may pass in steps.
            let due = (exchange.began()).map_or(now, |began| began + now.saturating_sub(oldest));
            exchange.mark(Partial::MaxAge);
            exchange.emit(false, due.min(now), &mut emitter);
        }
        self.held = self.in_flight.iter().map(InFlight::memory).sum();
    }

    /// What there is of the two bodies that are being read, of exchanges that `which` selects.
    pub(super) fn take_bodies(&mut self, which: impl Fn(&InFlight) -> bool) {
        let [requests, responses] = &self.spoken;
        if self.current
            && let Requests::Reading(reader) = &mut self.requests
            && let Some(exchange) = self.in_flight.back_mut().filter(|exchange| which(exchange))
            && let Some(body) = reader.so_far()
        {
            exchange.request_body(body, requests.time());
        }
        if let Responses::Reading(reader) = &mut self.responses
            && let Some(exchange) = self
                .in_flight
                .front_mut()
                .filter(|exchange| which(exchange))
            && let Some(body) = reader.so_far()
        {
            exchange.response_body(body, responses.time());
        }
    }
}
