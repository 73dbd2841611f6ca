//! Finding the way back after a loss of track; see the rules in [`super`].

use super::super::Context;
use super::super::quiescent::is_continue;
use super::H1;
use super::beginning::{
    empty_lines, is_known_request, is_odd_head, is_plain_request, may_be_known_request,
};
use super::state::{Cut, Pairing, Pickup, Recognition, Requests, Responses};
use crate::exchange::{InFlight, Partial};
use crate::flow::{Nanos, Offset};
use crate::http::h1::{Class, Reader, classify};
use crate::ledger::Dropped;
use crate::transport::Chunk;

impl H1 {
    /// More comes right after the request at which the connection was picked up: it was none, or
    /// the client pipelines.
    pub(super) fn goes_on_too_soon(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        self.misjoined(chunk.time, cx);
        if is_plain_request(classify(chunk.bytes), chunk.bytes) {
            cx.ledger.start();
            cx.drop_with(Dropped::Uncertain);
            self.owed += 1;
        }
    }

    /// What was taken for a request at which the connection was picked up cannot be confirmed.
    pub(super) fn misjoined(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.drop_unconfirmed(cx);
        self.abandon(now, cx);
        if let Some(started) = self.started.take()
            && started.counted
        {
            cx.drop_with(Dropped::Uncertain);
            self.owed += 1;
        }
        self.pickup = Pickup::Certain;
        self.current = false;
        if !matches!(self.requests, Requests::Ended) {
            self.requests = Requests::Seek;
        }
        self.responses = Responses::Seek;
    }

    /// Drops what was taken for a request on its looks alone.
    pub(super) fn drop_unconfirmed(&mut self, cx: &mut Context<'_>) {
        if self.pickup == Pickup::Certain {
            return;
        }
        for mut exchange in std::mem::take(&mut self.in_flight) {
            exchange.drop_with(Dropped::Uncertain, &mut cx.emitter(&self.peers));
            self.owed += 1;
        }
        self.held = 0;
        self.current = false;
    }

    /// Responses are missing up to `to`. What the connection was picked up at is a request if its
    /// client has received some of them after it: it is whole, is all that came, and names a host.
    /// (An interim response may be for the request whose body looks like that.)
    pub(super) fn was_responded(&mut self, to: Offset) {
        let asked = self.last_request.heard.map_or(0, |heard| heard.until(to));
        let whole = match &self.requests {
            Requests::Reading(reader) => reader.is_between() && self.started.is_none(),
            Requests::Ended => true,
            Requests::Seek | Requests::Hold(_) => false,
        };
        if self.pickup == Pickup::Unconfirmed
            && whole
            && asked > 0
            && !is_continue(asked)
            && self.in_flight.len() == 1
            && self.in_flight.iter().all(InFlight::names_host)
        {
            self.pickup = Pickup::Likely;
        }
    }

    /// More comes right after the request at which the connection was picked up. Where no response
    /// can confirm either, another request does: the client pipelines.
    pub(super) fn may_be_pipelined(&self, chunk: &Chunk<'_>, cx: &Context<'_>) -> bool {
        let looks = classify(chunk.bytes);
        let begins = looks == Class::Undecided && may_be_known_request(chunk.bytes);
        cx.one_sided && (begins || is_plain_request(looks, chunk.bytes))
    }

    /// Responses were lost track of, requests were not. A client that waits for each response has
    /// had the whole of the last one: the next begins where it says.
    pub(super) fn find_response(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        let [_, responses] = &self.spoken;
        if self.recognition == Recognition::Proven && self.last_request.heard == chunk.heard {
            // Nothing came between the last request and this one: it did not wait.
            self.pairing = Pairing::Lost;
        } else if responses.may_be_quiescent(chunk) && self.pairing != Pairing::Lost {
            self.abandon(chunk.time, cx);
            self.owed = 0;
            if self.in_flight.is_empty() {
                self.responses = Responses::Reading(Reader::default());
            }
        }
    }

    /// A request begins here, as far as can be known after a loss of track.
    pub(super) fn is_request(&self, chunk: &Chunk<'_>, cx: &Context<'_>) -> bool {
        if !chunk.boundary {
            return false;
        }
        let [requests, responses] = &self.spoken;
        let bytes = chunk
            .bytes
            .get(empty_lines(chunk.bytes)..)
            .unwrap_or_default();
        let looks = classify(bytes);
        if responses.is_quiescent(chunk) {
            // A response may come before the end of its request: it is not the rest of that.
            let is_text = bytes.first().is_none_or(u8::is_ascii_graphic);
            let may_be = matches!(looks, Class::Request | Class::OddRequest | Class::Undecided);
            // A response did not wait for the end of a head: what follows may be the rest of that.
            let is_rest = |cut: Cut| cut.early && cut.at == chunk.offset;
            let is_plain = is_known_request(bytes) || is_plain_request(looks, bytes);
            return is_text && may_be && (is_plain || !self.cut.is_some_and(is_rest));
        }
        // Bytes of both sides are missing, and may be the end of an exchange: the response will
        // show whether this is the next one.
        let is_next = self.pairing == Pairing::InOrder
            && requests.may_go_on(chunk)
            && responses.may_have_ended(chunk);
        // What follows an interim response is the body that it asked for.
        let joins = self.pairing == Pairing::InOrder
            && requests.is_unseen()
            && !responses.is_interim()
            && responses.end().is_none_or(|end| Some(end) == chunk.heard);
        // Where no response is seen, it is enough that the client has received something since.
        let joins = joins || cx.one_sided && requests.was_responded(chunk);
        let begins = looks == Class::Undecided && is_known_request(bytes);
        let is_request = is_plain_request(looks, bytes) || is_odd_head(looks, bytes);
        (joins || is_next) && (begins || is_request)
    }

    /// Both directions are read anew from a quiescent point on; only the requests where nothing can
    /// be paired any more.
    pub(super) fn restart(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        self.decide(chunk.time, cx);
        self.abandon(chunk.time, cx);
        // One that only waited for the end of its request: that has come, somewhere.
        for exchange in &mut self.in_flight {
            exchange.mark(Partial::Gap);
            exchange.requested = true;
        }
        self.settle(chunk.time, cx);
        self.requests = Requests::Reading(Reader::default());
        self.doubtful = None;
        self.owed = 0;
        let [_, responses] = &self.spoken;
        self.pickup = match self.recognition {
            _ if responses.is_quiescent(chunk) => Pickup::Certain,
            Recognition::Proven => Pickup::Likely,
            _ => Pickup::Unconfirmed,
        };
        self.responses = match (&self.responses, responses.end()) {
            (Responses::Ended, _) => Responses::Ended,
            _ if self.pairing == Pairing::Lost => Responses::Seek,
            (_, None) => Responses::Await(chunk.heard),
            (_, Some(_)) => Responses::Reading(Reader::default()),
        };
    }

    /// What has come of the requests is one whole request, and the sender of `response` had
    /// received all of it.
    pub(super) fn asked_once(&self, response: &Chunk<'_>) -> bool {
        let [requests, _] = &self.spoken;
        let whole = match &self.requests {
            Requests::Reading(reader) => reader.is_between(),
            Requests::Hold(early) => early.len == 0,
            // As far as the capture has its head.
            Requests::Seek => {
                // Or its body, which ends nobody knows where.
                let is_unframed = self.in_flight.iter().all(InFlight::is_malformed);
                is_unframed || self.cut.is_some_and(|cut| Some(cut.at) == requests.end())
            }
            Requests::Ended => self.in_flight.iter().all(|exchange| exchange.requested),
        };
        // A FIN counts as one.
        let fin = u64::from(matches!(self.requests, Requests::Ended));
        let at_end = |end| response.heard == Some(end) || response.heard == Some(end + fin);
        whole && self.in_flight.len() == 1 && requests.end().is_some_and(at_end)
    }
}
