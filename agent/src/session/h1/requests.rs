//! The requests' side.

use super::super::Context;
use super::beginning::{empty_lines, is_known_request};
use super::state::{LastRequest, Pairing, Pickup, Recognition, Requests, Responses, Started};
use super::{H1, counter};
use crate::exchange::{InFlight, Partial, Progress};
use crate::flow::Nanos;
use crate::http::h1::{self, Damage, Event, Framed, ReadError, Reader, Traits};
use crate::http::rpc::Counter;
use crate::http::{Anomalies, Body, Method, RequestHead};
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

impl H1 {
    #[inline]
    pub(super) fn request_bytes(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        while !chunk.bytes.is_empty() {
            match &mut self.requests {
                Requests::Reading(reader) => {
                    if reader.is_between() {
                        let [_, responses] = &self.spoken;
                        let proven = responses.is_quiescent(chunk);
                        if proven && !self.decide(chunk.time, cx) {
                            continue;
                        }
                        chunk.advance(empty_lines(chunk.bytes));
                        if chunk.bytes.is_empty() {
                            return;
                        }
                        if self.is_preface(chunk, cx) {
                            return;
                        }
                        if self.doubts(chunk, proven, cx) {
                            return;
                        }
                        if self.pickup != Pickup::Certain && !self.in_flight.is_empty() {
                            if !self.may_be_pipelined(chunk, cx) {
                                self.goes_on_too_soon(chunk, cx);
                                return;
                            }
                            self.pickup = Pickup::Certain;
                        }
                        self.request_begins(chunk, cx);
                    } else if reader.passes_head() {
                        if is_known_request(chunk.bytes) && self.is_request(chunk, cx) {
                            // Its server did not wait for the end.
                            self.request_head_not_passed(chunk.time, cx);
                            continue;
                        }
                    } else if self.may_have_ended_before(chunk) {
                        self.end_before(chunk.time, cx);
                        continue;
                    } else if chunk.boundary && self.may_give_up_its_body(chunk) {
                        self.body_or_request(chunk.time, cx);
                        continue;
                    }
                    self.read_request(chunk, cx);
                }
                Requests::Seek => {
                    if chunk.boundary && self.is_preface(chunk, cx) {
                        return;
                    }
                    if !self.is_request(chunk, cx) {
                        return;
                    }
                    self.restart(chunk, cx);
                }
                Requests::Hold(_) => {
                    self.hold(chunk, cx);
                    return;
                }
                Requests::Ended => return,
            }
        }
    }

    /// The first byte of a request.
    fn request_begins(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        match &mut self.responses {
            Responses::Seek => self.find_response(chunk, cx),
            Responses::Await(at) => match std::mem::replace(at, chunk.heard) {
                before @ Some(_) if before != chunk.heard => {
                    // Responses came in between, and were not given.
                    if let Some(heard) = chunk.heard {
                        self.was_responded(heard);
                    }
                    self.abandon(chunk.time, cx);
                    self.lose_track();
                }
                _ if self.in_flight.is_empty() => {}
                _ => self.pipelines(),
            },
            Responses::Reading(_) | Responses::Ended => {
                let pending = |exchange: &InFlight| exchange.progress != Progress::Done;
                if self.in_flight.iter().any(pending) {
                    self.pipelines();
                }
            }
        }
        self.started = Some(Started {
            time: chunk.time,
            offset: chunk.offset,
            counted: false,
            marks: Anomalies::default(),
        });
        self.last_request = LastRequest {
            offset: chunk.offset,
            heard: chunk.heard,
        };
        if self.recognition == Recognition::Proven {
            self.count(cx);
        }
    }

    fn read_request(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &mut self.requests else {
            return;
        };
        let input = chunk.bytes;
        let mut rest = input;
        let passes_head = reader.passes_head();
        let event = reader.read::<RequestHead>(&mut rest, &cx.bounds);
        chunk.advance(input.len() - rest.len());
        if passes_head {
            cx.stats.unread_bytes += (input.len() - rest.len()) as u64;
        }
        match event {
            Event::More => {
                if self.recognition != Recognition::Proven && input.contains(&b'\n') {
                    self.recognise(input, cx);
                }
            }
            Event::Head { head, anomalies } => {
                self.request_head(head, anomalies, None, chunk.time, cx);
            }
            Event::End(body) => self.request_end(body, chunk.time, cx),
            Event::Passed(passed) => self.request_head_passed(passed, chunk, cx),
            Event::Error(error, body) => {
                let bytes = reader.partial_head().unwrap_or(input).to_vec();
                if body.is_none() && self.unreadable_head(error, &bytes, chunk.time, cx) {
                    if matches!(self.requests, Requests::Seek) {
                        cx.stats.unread_bytes += rest.len() as u64;
                        chunk.advance(rest.len());
                    }
                    return;
                }
                if error == ReadError::Malformed
                    && body.is_none()
                    && self.may_be_shown_by_its_response(chunk)
                {
                    self.requests = Requests::Reading(Reader::of_any_line());
                    self.pickup = Pickup::OrBody;
                    self.read_request(chunk, cx);
                    return;
                }
                if self.recognition != Recognition::Proven {
                    self.recognise(input, cx);
                }
                self.request_error(error, body, chunk.time, cx);
                // What follows an error is no beginning.
                cx.stats.unread_bytes += rest.len() as u64;
                chunk.advance(rest.len());
            }
        }
    }

    /// The requests' position became known.
    pub(super) fn requests_open(&mut self, start: bool) {
        if start && self.recognition != Recognition::Proven {
            self.recognition = Recognition::FirstBytes;
            self.requests = Requests::Reading(Reader::default());
        }
    }

    /// `lacks`: why not all of the head is there.
    pub(super) fn request_head(
        &mut self,
        head: RequestHead,
        anomalies: Anomalies,
        lacks: Option<Partial>,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        self.count(cx);
        let Some(started) = self.started.take() else {
            return;
        };
        let (framed, traits) = match h1::request(&head) {
            Ok((framed, traits)) if lacks.is_none() => (Some(framed), traits),
            Ok(_) | Err(_) => (None, Traits::default()),
        };
        let times = (started.time, now);
        let anomalies = anomalies.with(traits.anomalies).with(started.marks);
        let counter = framed.and_then(|framed| counter(framed, &head.fields));
        cx.starts(&self.peers, &head, (started.offset, started.time));
        let mut exchange = InFlight::new(head, anomalies, times, started.offset);
        exchange.expects = traits.expects;
        if framed.is_none() {
            exchange.mark(lacks.unwrap_or(Partial::Malformed));
        }
        let spaced = Anomalies::SPACED_LENGTH;
        self.doubtful = match anomalies.contains(spaced) {
            true => Some(traits.anomalies.with(spaced)),
            false => traits.doubtful.then_some(traits.anomalies),
        };
        if let Some(doubt) = &self.doubt {
            exchange.doubted = true;
            exchange.request_anomaly(doubt.anomalies);
            self.doubtful = Some(doubt.anomalies);
        }
        self.current = false;
        self.queue(exchange, now, cx);
        match framed {
            Some(framed) => self.request_body((framed, counter), now, cx),
            None if lacks == Some(Partial::HeadTooLarge) && self.passes_head() => {}
            // Where it ends is not known, nor where the next begins.
            None => self.request_head_not_passed(now, cx),
        }
    }

    /// Has a request wait for its response, if there is room and its response can be known.
    fn queue(&mut self, mut exchange: InFlight, now: Nanos, cx: &mut Context<'_>) {
        let first = self.in_flight.front().is_some_and(InFlight::is_emitted);
        if self.started_exchanges().count() - usize::from(first) >= cx.limits.pipeline {
            if exchange.doubted {
                self.refute(now, cx);
                exchange.drop_with(Dropped::Uncertain, &mut cx.emitter(&self.peers));
                return;
            }
            if self.make_room(now, cx) {
                self.wait(exchange, cx);
                return;
            }
            // Those before it are still responded to in order.
            exchange.mark(Partial::Evicted);
            exchange.emit(false, now, &mut cx.emitter(&self.peers));
            self.owed += 1;
            self.pairing = Pairing::Lost;
            return;
        }
        self.wait(exchange, cx);
    }

    fn wait(&mut self, mut exchange: InFlight, cx: &Context<'_>) {
        if self.pairing == Pairing::Lost && !cx.one_sided {
            exchange.mark(Partial::Unpaired);
            exchange.progress = Progress::Done;
            self.owed += 1;
        }
        if self.in_flight.capacity() == 0 {
            // Most clients wait for each response.
            self.in_flight.reserve_exact(1);
        }
        self.held += exchange.memory();
        self.in_flight.push_back(exchange);
        self.current = true;
    }

    pub(super) fn request_body(
        &mut self,
        (framed, counter): (Framed, Option<Counter>),
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Requests::Reading(reader) = &mut self.requests
            && let Some(body) = reader.body(framed, counter, &cx.bounds)
        {
            self.request_end(body, now, cx);
        }
    }

    pub(super) fn request_end(&mut self, body: Body, now: Nanos, cx: &mut Context<'_>) {
        if !std::mem::take(&mut self.current) {
            return;
        }
        let Some(exchange) = self.in_flight.back_mut() else {
            return;
        };
        if !exchange.is_emitted() {
            self.held += body.memory();
        }
        exchange.request_body(body, now);
        exchange.requested = true;
        if exchange.method == Method::Connect && exchange.progress != Progress::Done {
            self.requests = Requests::Hold(Box::default());
        }
        if let Responses::Ended = self.responses
            && exchange.progress != Progress::Done
        {
            exchange.mark(Partial::NoResponse);
            exchange.progress = Progress::Done;
        }
        self.settle(now, cx);
    }

    /// Marks the request whose body is being read, or was last.
    pub(super) fn mark_current(&mut self, reason: Partial) {
        if self.current
            && let Some(exchange) = self.in_flight.back_mut()
        {
            exchange.mark(reason);
        }
    }

    fn request_error(
        &mut self,
        error: ReadError,
        body: Option<Body>,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Some(body) = body {
            self.mark_current(Partial::Malformed);
            self.request_end(body, now, cx);
        } else if self.recognition != Recognition::Proven {
            if self.started.is_some() {
                self.not_a_request();
            }
            return;
        } else if self.started.take().is_some() {
            let reason = match error {
                ReadError::Malformed => Dropped::Malformed,
                ReadError::TooLarge => Dropped::HeadTooLarge,
            };
            cx.drop_with(reason);
            self.owed += 1;
        }
        self.requests_lost();
    }

    pub(super) fn request_gap(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        match &mut self.requests {
            Requests::Reading(reader) => match reader.gap(gap.len, !gap.skipped) {
                None => self.gap_before_a_body(gap, cx),
                Some(Damage::Survived { lost, end }) => {
                    if lost {
                        self.mark_current(Partial::Gap);
                    }
                    if let Some(body) = end {
                        self.request_end(body, gap.time, cx);
                    }
                }
                Some(Damage::Broken { body, lost }) => {
                    if lost {
                        self.mark_current(Partial::Gap);
                    } else if !body.size_exact {
                        self.mark_current(Partial::SizeUnknown);
                    }
                    self.request_end(body, gap.time, cx);
                    self.requests_lost();
                }
            },
            Requests::Hold(early) => early.len += gap.len,
            Requests::Seek | Requests::Ended => {}
        }
    }

    /// Where the next request begins is not known.
    pub(super) fn requests_lost(&mut self) {
        self.requests = Requests::Seek;
        if self.recognition == Recognition::FirstBytes {
            self.recognition = Recognition::Unproven;
        }
        self.lose_track();
    }

    /// The request ends before its body does.
    pub(super) fn request_cut(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &mut self.requests else {
            return;
        };
        let body = match reader.fin() {
            None if reader.passes_head() => {
                self.request_head_not_passed(now, cx);
                return;
            }
            None => return,
            Some(Ok(body)) => body,
            Some(Err(body)) => {
                self.mark_current(Partial::RequestCut);
                body
            }
        };
        self.request_end(body, now, cx);
    }

    pub(super) fn request_fin(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.request_head_over((Partial::RequestCut, Dropped::HeadCut), now, cx);
        self.request_cut(now, cx);
        self.requests = Requests::Ended;
    }
}
