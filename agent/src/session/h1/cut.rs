//! Messages of whose head only the first bytes are there: the capture kept no more of their
//! segment, bytes are missing, or it is over the bounds. What there is of them is emitted.

use super::super::Context;
use super::super::quiescent::is_interim;
use super::beginning::is_known_request;
use super::state::{Cut, Pairing, Pickup, Recognition, Requests, Responses};
use super::{H1, decide_claim};
use crate::exchange::{Partial, Progress};
use crate::flow::Nanos;
use crate::http::Body;
use crate::http::h1::{self, Class, Framed, ReadError, Reader, Traits, classify};
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

impl H1 {
    /// The head of a request is cut. `bytes`: its first. False: they do not say what is requested.
    pub(super) fn request_head_cut(
        &mut self,
        bytes: &[u8],
        reason: Partial,
        now: Nanos,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.pickup == Pickup::OrBody {
            return false;
        }
        let cut = h1::cut_request(bytes, &cx.bounds).or_else(|| {
            let line = is_known_request(bytes).then_some(bytes)?;
            h1::cut_request_line(line, &cx.bounds)
        });
        let Some((head, anomalies)) = cut else {
            return false;
        };
        self.request_head(head, anomalies, Some(reason), now, cx);
        true
    }

    /// The head of a request cannot be read: it is shown as far as its first line says what is
    /// requested. False: it does not.
    pub(super) fn unreadable_head(
        &mut self,
        error: ReadError,
        bytes: &[u8],
        now: Nanos,
        cx: &mut Context<'_>,
    ) -> bool {
        match error {
            ReadError::TooLarge => self.request_head_cut(bytes, Partial::HeadTooLarge, now, cx),
            // The first one may be of another protocol.
            ReadError::Malformed => {
                let line = bytes
                    .split(|byte| *byte == b'\n')
                    .next()
                    .unwrap_or_default();
                self.recognition == Recognition::Proven
                    && self.request_head_cut(line, Partial::Malformed, now, cx)
            }
        }
    }

    /// Looks for the end of the head of a request that is over the bounds, to read what follows.
    /// False: it is not known where that is.
    pub(super) fn passes_head(&mut self) -> bool {
        match &mut self.requests {
            Requests::Reading(reader) => reader.pass_head(),
            Requests::Seek | Requests::Hold(_) | Requests::Ended => false,
        }
    }

    /// The end of such a head: its body follows, if it is known how that ends.
    pub(super) fn request_head_passed(
        &mut self,
        passed: Result<(Framed, Traits), ReadError>,
        chunk: &mut Chunk<'_>,
        cx: &mut Context<'_>,
    ) {
        let Ok((framed, traits)) = passed else {
            self.request_head_not_passed(chunk.time, cx);
            cx.stats.unread_bytes += chunk.bytes.len() as u64;
            chunk.advance(chunk.bytes.len());
            return;
        };
        self.doubtful = traits.doubtful.then_some(traits.anomalies);
        if self.current
            && let Some(exchange) = self.in_flight.back_mut()
        {
            exchange.request_anomaly(traits.anomalies);
            exchange.expects = traits.expects;
        }
        self.request_body((framed, None), chunk.time, cx);
    }

    /// How the request ends whose head is cut is not known, nor where the next one begins.
    pub(super) fn request_head_not_passed(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let unknown = Body {
            size_exact: false,
            ..Body::default()
        };
        self.request_end(unknown, now, cx);
        self.requests_lost();
    }

    /// Nothing more comes of a request whose head is not whole. It is shown if its first line says
    /// what is requested, else it is counted.
    pub(super) fn request_head_over(
        &mut self,
        (reason, otherwise): (Partial, Dropped),
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Some(bytes) = self.partial_request()
            && matches!(classify(&bytes), Class::Request | Class::OddRequest)
            && self.request_head_cut(&bytes, reason, now, cx)
        {
            return;
        }
        self.head_cut(otherwise, cx);
    }

    /// Nothing more comes of a head that is not whole.
    pub(super) fn head_cut(&mut self, reason: Dropped, cx: &mut Context<'_>) {
        if self.recognition != Recognition::Proven
            && let Requests::Reading(reader) = &self.requests
            && reader.partial_head().is_some_and(is_known_request)
        {
            self.count(cx);
        }
        if let Some(started) = self.started.take()
            && started.counted
        {
            cx.drop_with(reason);
        }
    }

    /// A response begins that does not wait for the rest of a request's head, which its sender has
    /// received in part: that request is shown as far as it came.
    pub(super) fn responds_early(&mut self, response: &Chunk<'_>, cx: &mut Context<'_>) {
        let received = self
            .started
            .is_some_and(|started| response.heard > Some(started.offset));
        if received
            && self.in_flight.is_empty()
            && self.pairing != Pairing::Lost
            && !is_interim(response.bytes)
            && let Some(bytes) = self.partial_request()
        {
            self.request_head_cut(&bytes, Partial::RequestCut, response.time, cx);
            let [requests, _] = &self.spoken;
            self.cut = requests.end().map(|at| Cut { at, early: true });
        }
    }

    /// The first bytes of a request whose head is being read.
    fn partial_request(&self) -> Option<Vec<u8>> {
        let Requests::Reading(reader) = &self.requests else {
            return None;
        };
        if self.doubt.is_some() || self.started.is_none() {
            return None;
        }
        reader.partial_head().map(<[u8]>::to_vec)
    }

    /// Bytes are missing in the head of a request, or between two requests.
    pub(super) fn gap_before_a_body(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &self.requests else {
            return;
        };
        if reader.passes_head() {
            self.request_head_not_passed(gap.time, cx);
            return;
        }
        let bytes = reader.partial_head().map(<[u8]>::to_vec);
        if let Some(bytes) = bytes
            && self.request_head_cut(&bytes, Partial::GapInHead, gap.time, cx)
        {
            self.cut = Some(Cut {
                at: gap.end(),
                early: false,
            });
            let [requests, _] = &mut self.spoken;
            requests.breaks_off();
            return;
        }
        if self.started.is_some() {
            self.owed += 1;
        }
        self.head_cut(Dropped::GapInHead, cx);
        self.requests_lost();
    }

    /// The head of the response that is being read is cut. Its request is known all the same.
    pub(super) fn response_head_cut(
        &mut self,
        bytes: &[u8],
        reason: Partial,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Some((head, anomalies)) = h1::cut_response(bytes, &cx.bounds)
            // An interim response is not the one that was awaited.
            && head.status / 100 != 1
            && let Some(exchange) = self.in_flight.front_mut()
        {
            let before = exchange.memory();
            decide_claim(&mut self.claim, &mut self.peers, head.status);
            exchange.response_head(head, anomalies, now);
            self.held += exchange.memory() - before;
        }
        self.unreadable(reason);
        self.settle(now, cx);
    }

    /// Bytes are missing in the head of a response, or between two responses.
    pub(super) fn gap_before_a_response_body(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        let Responses::Reading(reader) = &self.responses else {
            return;
        };
        if let Some(bytes) = reader.partial_head().map(<[u8]>::to_vec) {
            if gap.heard.is_some() && is_interim(&bytes) && self.interim_cut(&bytes, cx) {
                return;
            }
            self.response_head_cut(&bytes, Partial::GapInHead, gap.time, cx);
        }
        self.responses_lost(gap.time, cx);
    }

    /// The head of an interim response is cut, with the rest of its segment. What follows is the
    /// final one.
    fn interim_cut(&mut self, bytes: &[u8], cx: &Context<'_>) -> bool {
        let Some((head, _)) = h1::cut_response(bytes, &cx.bounds) else {
            return false;
        };
        let Some(exchange) = self.in_flight.front_mut() else {
            return false;
        };
        let before = exchange.memory();
        exchange.interim.push(head);
        exchange.mark(Partial::GapInHead);
        exchange.progress = Progress::Awaited;
        self.held += exchange.memory() - before;
        self.responses = Responses::Reading(Reader::default());
        true
    }

    /// The response that is being read cannot be read any further.
    pub(super) fn unreadable(&mut self, reason: Partial) {
        self.responding(|exchange| {
            exchange.mark(reason);
            exchange.progress = Progress::Done;
        });
    }
}
