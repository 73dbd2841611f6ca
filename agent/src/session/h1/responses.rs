//! The responses' side.

use super::super::Context;
use super::super::quiescent::{after_interim, is_interim};
use super::beginning::empty_lines;
use super::state::{Pairing, Pickup, Requests, Responses};
use super::{H1, counter, decide_claim};
use crate::exchange::{InFlight, Partial, Progress};
use crate::flow::{Nanos, Offset};
use crate::http::h1::{self, Class, Damage, Event, Framed, ReadError, Reader, classify};
use crate::http::{Anomalies, Body, Method, ResponseHead};
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

impl H1 {
    /// The responses' position became known.
    pub(super) fn responses_open(&mut self, offset: Offset, start: bool, cx: &mut Context<'_>) {
        if let Responses::Await(at) = self.responses {
            if start || at == Some(offset) {
                self.responses = Responses::Reading(Reader::default());
            } else {
                let [requests, _] = &self.spoken;
                self.responses_lost(requests.time(), cx);
            }
        }
    }

    #[inline]
    pub(super) fn response_bytes(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        if cx.one_sided {
            self.responses_alone(chunk, cx);
            return;
        }
        while !chunk.bytes.is_empty() {
            match &mut self.responses {
                Responses::Reading(reader) => {
                    if reader.is_between() {
                        chunk.advance(empty_lines(chunk.bytes));
                        if chunk.bytes.is_empty() {
                            return;
                        }
                        if !self.response_begins(chunk, cx) {
                            if !self.switches_alone(chunk, cx) {
                                self.responses_lost(chunk.time, cx);
                            }
                            return;
                        }
                    }
                    self.read_response(chunk, cx);
                    if self.switched.is_some() {
                        return;
                    }
                }
                Responses::Seek => {
                    self.response_alone(chunk, false, cx);
                    self.switches_alone(chunk, cx);
                    return;
                }
                Responses::Await(_) | Responses::Ended => return,
            }
        }
    }

    /// The first byte of a response. `false`: there is no request that it belongs to.
    fn response_begins(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) -> bool {
        // An interim response may come at any time: the final one has to confirm the request.
        if self.pickup != Pickup::Certain && !is_interim(chunk.bytes) {
            if !self.asked_once(chunk) || self.is_other_than_asked(chunk) {
                self.misjoined(chunk.time, cx);
                self.response_alone(chunk, false, cx);
                return false;
            }
            self.pickup = Pickup::Certain;
        }
        self.responds_early(chunk, cx);
        match self.in_flight.front_mut() {
            Some(exchange) if exchange.progress == Progress::Awaited => {
                exchange.progress = Progress::Began(chunk.time);
                true
            }
            _ => {
                // One too many.
                self.refute(chunk.time, cx);
                self.response_alone(chunk, true, cx);
                false
            }
        }
    }

    /// Counts a response without its request, if that is what begins here.
    fn response_alone(&mut self, chunk: &Chunk<'_>, in_step: bool, cx: &mut Context<'_>) {
        let [requests, responses] = &self.spoken;
        // It begins after the last message, where both sides had nothing else left to say, or with
        // the first bytes seen.
        let begins = in_step
            || (chunk.boundary
                && (responses.is_unseen()
                    || requests.is_unseen()
                    || requests.had_received(chunk.offset)));
        let bytes = after_interim(chunk.bytes);
        if !begins || is_interim(bytes) || classify(bytes) != Class::Response {
            return;
        }
        // The request it belongs to may have been counted itself.
        let pending = |exchange: &InFlight| exchange.progress != Progress::Done;
        let counted = self.pairing == Pairing::Lost || self.in_flight.iter().any(pending);
        if self.owed > 0 {
            self.owed -= 1;
        } else if !counted {
            cx.ledger.start();
            cx.drop_with(Dropped::ResponseOnly);
        }
    }

    fn read_response(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        let Responses::Reading(reader) = &mut self.responses else {
            return;
        };
        let mut rest = chunk.bytes;
        let event = reader.read::<ResponseHead>(&mut rest, &cx.bounds);
        chunk.advance(chunk.bytes.len() - rest.len());
        match event {
            // No head of a response is passed over.
            Event::More | Event::Passed(_) => {}
            Event::Head { head, anomalies } => self.response_head(head, anomalies, chunk.time, cx),
            Event::End(body) => self.response_end(body, chunk.time, cx),
            Event::Error(_, Some(body)) => {
                self.responding(|exchange| exchange.mark(Partial::Malformed));
                self.response_end(body, chunk.time, cx);
                cx.stats.unread_bytes += chunk.bytes.len() as u64;
                chunk.advance(chunk.bytes.len());
                self.responses_lost(chunk.time, cx);
            }
            Event::Error(error, None) => {
                let partial = reader.partial_head();
                let held = partial.map_or(0, <[u8]>::len);
                let bytes = partial.unwrap_or(chunk.bytes).to_vec();
                let first = self.in_flight.front();
                let is_connect = first.is_some_and(|first| first.method == Method::Connect);
                match error {
                    ReadError::Malformed => {
                        cx.stats.unread_bytes += held as u64;
                        self.unreadable(Partial::Malformed);
                        self.settle(chunk.time, cx);
                    }
                    ReadError::TooLarge => {
                        self.response_head_cut(&bytes, Partial::HeadTooLarge, chunk.time, cx);
                    }
                }
                // What follows an error is no beginning.
                cx.stats.unread_bytes += chunk.bytes.len() as u64;
                chunk.advance(chunk.bytes.len());
                self.responses_lost(chunk.time, cx);
                if is_connect && error == ReadError::Malformed {
                    self.no_tunnel(cx);
                }
            }
        }
    }

    fn response_head(
        &mut self,
        head: ResponseHead,
        anomalies: Anomalies,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        let Some(exchange) = self.in_flight.front_mut() else {
            return;
        };
        let before = exchange.memory();
        let (framed, traits) = match h1::response(&head, exchange.method) {
            Ok(framed) => framed,
            Err(_) => {
                // Where it ends is not known, nor where the next begins.
                exchange.response_head(head, anomalies, now);
                self.held += exchange.memory() - before;
                self.unreadable(Partial::Malformed);
                self.settle(now, cx);
                self.responses_lost(now, cx);
                return;
            }
        };
        if head.status / 100 == 1 && framed != Framed::Switched {
            // Interim: the final response follows.
            exchange.interim.push(head);
            exchange.progress = Progress::Awaited;
            self.held += exchange.memory() - before;
            return;
        }
        let status = head.status;
        if status == 400 && exchange.doubted {
            // What its server read was none: where it begins, the two differ.
            self.refute(now, cx);
            self.responses_lost(now, cx);
            return;
        }
        let counter = counter(framed, &head.fields);
        exchange.response_head(head, anomalies.with(traits.anomalies), now);
        self.held += exchange.memory() - before;
        decide_claim(&mut self.claim, &mut self.peers, status);
        if framed == Framed::Switched {
            let none = Body {
                size_exact: true,
                ..Body::default()
            };
            exchange.response_body(none, now);
            self.switch(traits.websocket, now, cx);
            return;
        }
        if let Responses::Reading(reader) = &mut self.responses
            && let Some(body) = reader.body(framed, counter, &cx.bounds)
        {
            self.response_end(body, now, cx);
        }
    }

    fn response_end(&mut self, body: Body, now: Nanos, cx: &mut Context<'_>) {
        let Some(exchange) = self.in_flight.front_mut() else {
            return;
        };
        if !exchange.is_emitted() {
            self.held += body.memory();
        }
        exchange.response_body(body, now);
        exchange.progress = Progress::Done;
        self.settle(now, cx);
        self.no_tunnel(cx);
    }

    /// The request that others wait for was refused, or what its response says cannot be read: what
    /// came early were requests.
    fn no_tunnel(&mut self, cx: &mut Context<'_>) {
        let Requests::Hold(early) = &mut self.requests else {
            return;
        };
        let early = std::mem::take(early);
        self.requests = Requests::Reading(Reader::default());
        if early.gap(0).is_some() {
            // They were not kept whole.
            cx.ledger.start();
            cx.drop_with(Dropped::Uncertain);
            self.requests_lost();
        } else if let Some(mut chunk) = early.chunk() {
            self.request_bytes(&mut chunk, cx);
        }
    }

    /// The exchange whose response is being read.
    pub(super) fn responding(&mut self, act: impl FnOnce(&mut InFlight)) {
        if let Some(exchange) = self.in_flight.front_mut() {
            act(exchange);
        }
    }

    pub(super) fn response_gap(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        if cx.one_sided {
            if let Some(alone) = &mut self.alone {
                alone.gap(gap, cx);
            }
            self.responses_lost(gap.time, cx);
            return;
        }
        self.was_responded(gap.end());
        match &mut self.responses {
            Responses::Reading(reader) => match reader.gap(gap.len, !gap.skipped) {
                None => self.gap_before_a_response_body(gap, cx),
                Some(Damage::Survived { lost, end }) => {
                    if lost {
                        self.responding(|exchange| exchange.mark(Partial::Gap));
                    }
                    if let Some(body) = end {
                        self.response_end(body, gap.time, cx);
                    }
                }
                Some(Damage::Broken { body, lost }) => {
                    self.responding(|exchange| {
                        if lost {
                            exchange.mark(Partial::Gap);
                        } else if !body.size_exact {
                            exchange.mark(Partial::SizeUnknown);
                        }
                    });
                    self.response_end(body, gap.time, cx);
                    self.responses_lost(gap.time, cx);
                }
            },
            Responses::Await(_) => self.responses_lost(gap.time, cx),
            Responses::Seek | Responses::Ended => {}
        }
    }

    /// Where the next response begins is not known.
    pub(super) fn responses_lost(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.abandon(now, cx);
        self.responses = Responses::Seek;
        self.lose_track();
    }

    pub(super) fn response_fin(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.decide(now, cx);
        if !matches!(&self.responses, Responses::Reading(reader) if !reader.is_between()) {
            self.may_be_body(cx);
        }
        self.passed.clear();
        match &mut self.responses {
            Responses::Reading(reader) => {
                let within_head = reader.partial_head().is_some();
                let body = reader.fin();
                if let Some(Err(_)) = body {
                    self.responding(|exchange| exchange.mark(Partial::ResponseCut));
                }
                if let Some(Ok(body) | Err(body)) = body {
                    self.response_end(body, now, cx);
                }
                if within_head {
                    self.responding(|exchange| {
                        exchange.mark(Partial::ResponseCut);
                        exchange.progress = Progress::Done;
                    });
                }
                for exchange in self
                    .in_flight
                    .iter_mut()
                    .filter(|o| o.progress != Progress::Done)
                {
                    exchange.mark(Partial::NoResponse);
                    exchange.progress = Progress::Done;
                }
                self.settle(now, cx);
            }
            Responses::Await(_) => {
                for exchange in &mut self.in_flight {
                    exchange.mark(Partial::NoResponse);
                    exchange.progress = Progress::Done;
                }
                self.settle(now, cx);
            }
            Responses::Seek => self.abandon(now, cx),
            Responses::Ended => {}
        }
        self.responses = Responses::Ended;
    }
}
