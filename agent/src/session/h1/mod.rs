//! An HTTP/1 connection: two readers and the exchanges between them.
//!
//! # States
//!
//! ```text
//!  requests:            gap outside a body of known length, malformed, head too large
//!           ┌─────────────────────────────────────────────────────────────► Seek
//!        Reading ◄──────────── a request at a quiescent point ────────────────┘
//!           │ CONNECT is whole             ┌── 2xx ──► switched
//!           └────────────────────► Hold ───┴── any other response ──► Reading
//!  responses:
//!        Await ──── its first byte is the expected one ────► Reading ── 101, 2xx to CONNECT ──► switched
//!                                                             │  ▲
//!                gap outside a body of known length, malformed│  │ the next request begins at a quiescent point
//!                                                             ▼  │
//!                                                             Seek
//!  both: FIN ──► Ended
//! ```
//!
//! # Which response belongs to which request
//!
//! Responses come in the order of their requests (RFC 9112 §9.3.2), so as long as both directions
//! are whole, the n-th response belongs to the n-th request. Bytes may be missing, and then it
//! depends on where:
//!
//! * **Inside a body of known length** (`Content-Length`, or within one chunk): nothing is lost but
//!   those bytes.
//! * **Elsewhere in the requests**: how many requests the gap holds is unknown. Those before it are
//!   still responded to in order; a response after those is not paired.
//! * **Elsewhere in the responses**: how many responses the gap holds is unknown. No pending
//!   request is paired any more, except the one whose response was being read; it is emitted with
//!   what there was.
//!
//! What comes after is paired again only where the transport proves that both sides had nothing
//! left to say: at a quiescent point ([`super::quiescent`]). On a connection whose client waits for
//! each response, every request begins at one, and its response begins exactly at the request's
//! `heard`. So:
//!
//! * if only the responses were lost track of, the next request to begin says where its response
//!   will begin;
//! * if the requests were lost track of, a request is believed only at a quiescent point whose two
//!   sides were both seen: then the first bytes after it are not in the middle of anything;
//! * if bytes of both sides are missing right before what looks like a request, its response has to
//!   confirm it, as for the next kind;
//! * a connection that was there before the agent is picked up at the first bytes of a request, if
//!   they are a whole request line at the start of a segment, and if, when the response begins,
//!   they are a whole request and nothing else, all of which the server had received. (The middle
//!   of a body does not look like that; a body that ends with exactly one request in a segment of
//!   its own would.) Where the response is missing, it is enough that the client has received some
//!   of it, and that the request names a host.
//!
//! A client that pipelines has no quiescent points to rely on for its responses: once a request was
//! seen to begin while an earlier one was pending, a loss of track is final, and nothing is paired
//! any more. Its later requests are read again from what looks like a quiescent point, and emitted
//! without a response ([`Partial::Unpaired`]). (A client that pipelines for the first time exactly
//! within a gap, in such a way that no acknowledgement shows it, cannot be emitted from one that
//! does not.)

mod alone;
mod beginning;
mod claim;
mod cut;
mod doubt;
mod ending;
mod expectation;
mod memory;
mod passed;
mod recognition;
mod requests;
mod responses;
mod resync;
mod state;
mod switched;
pub(crate) use beginning::{is_known_request, is_odd_head, is_plain_request, may_be_known_request};
pub(crate) use switched::{Switched, To};

use std::collections::VecDeque;
use std::sync::Arc;

use self::alone::Alone;
use self::claim::{decide_claim, set_claim_apart};
use self::doubt::Doubt;
use self::passed::Passed;
use self::state::{Cut, LastRequest, Pairing, Pickup, Recognition, Requests, Responses, Started};
use super::quiescent::Spoken;
use super::{Context, Course, Messages};
use crate::exchange::{InFlight, Progress};
use crate::flow::{Claim, Direction, Nanos, Offset, Peers};
use crate::http::h1::{Framed, Reader, Wanted};
use crate::http::rpc::Counter;
use crate::http::{Anomalies, Fields};
use crate::ledger::Partial;
use crate::transport::{Chunk, Gap};

/// An HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1 {
    peers: Arc<Peers>,
    /// The client that a PROXY protocol preamble names, until the server has shown that it expects
    /// one.
    claim: Option<Claim>,
    requests: Requests,
    responses: Responses,
    /// Started exchanges whose request's head is whole, in the order of their requests.
    in_flight: VecDeque<InFlight>,
    /// Requests behind the first of them that were emitted to make room.
    passed: Passed,
    /// The request whose head is being read.
    started: Option<Started>,
    /// The request whose body is being read is the last of `in_flight`.
    current: bool,
    /// Where the request ends that was read last, recipients differ in, for what is odd about it.
    doubtful: Option<Anomalies>,
    /// Requests may be none since.
    doubt: Option<Box<Doubt>>,
    /// The head of the last request is cut.
    cut: Option<Cut>,
    /// Responses that may still come to requests that are emitted or dropped already.
    owed: u32,
    /// Responses of a capture that has no requests.
    alone: Option<Box<Alone>>,
    /// How far each direction came.
    spoken: [Spoken; 2],
    recognition: Recognition,
    pairing: Pairing,
    pickup: Pickup,
    /// Bytes that `in_flight` holds.
    held: usize,
    last_request: LastRequest,
    /// A request that began since the last look.
    request_start: Option<Offset>,
    switched: Option<Box<Switched>>,
}

/// What counts the messages of a body, if it is messages of a call.
fn counter(framed: Framed, fields: &Fields) -> Option<Counter> {
    let has_body = !matches!(framed, Framed::None | Framed::Switched);
    has_body.then(|| Counter::of(fields)).flatten()
}

impl H1 {
    /// `start`: nothing came before what the direction's first item will be. Both arguments by
    /// [`Messages`].
    pub(crate) fn new(peers: Arc<Peers>, spoken: [Spoken; 2], start: [bool; 2]) -> Self {
        let (peers, claim) = set_claim_apart(peers);
        let [_, responses] = &spoken;
        let [requests_start, responses_start] = start;
        let responses = match responses.end() {
            None => Responses::Await(None),
            Some(_) if responses_start => Responses::Reading(Reader::default()),
            Some(_) => Responses::Seek,
        };
        let (requests, recognition) = match requests_start {
            true => (
                Requests::Reading(Reader::default()),
                Recognition::FirstBytes,
            ),
            false => (Requests::Seek, Recognition::Unproven),
        };
        Self {
            peers,
            claim,
            requests,
            responses,
            in_flight: VecDeque::new(),
            passed: Passed::default(),
            started: None,
            current: false,
            doubtful: None,
            doubt: None,
            cut: None,
            owed: 0,
            alone: None,
            spoken,
            recognition,
            pairing: Pairing::InOrder,
            pickup: Pickup::Certain,
            held: 0,
            last_request: LastRequest::default(),
            request_start: None,
            switched: None,
        }
    }

    /// A direction's position became known. `start`: nothing came before it.
    pub(crate) fn opens(
        &mut self,
        direction: Direction,
        offset: Offset,
        start: bool,
        cx: &mut Context<'_>,
    ) {
        let messages = self.messages(direction);
        self.spoken[messages as usize].opens(offset);
        match messages {
            Messages::Requests => self.requests_open(start),
            Messages::Responses => self.responses_open(offset, start, cx),
        }
    }

    /// Bytes came. What is left of the chunk is for what the connection was switched to.
    #[inline]
    pub(crate) fn chunk(
        &mut self,
        direction: Direction,
        chunk: &mut Chunk<'_>,
        cx: &mut Context<'_>,
    ) {
        let whole = *chunk;
        match self.messages(direction) {
            Messages::Requests => {
                self.request_bytes(chunk, cx);
                if !matches!(self.requests, Requests::Hold(_)) {
                    cx.stats.unread_bytes += chunk.bytes.len() as u64;
                }
                self.spoken[Messages::Requests as usize].chunk(&whole);
            }
            Messages::Responses => {
                self.response_bytes(chunk, cx);
                if self.switched.is_none() {
                    cx.stats.unread_bytes += chunk.bytes.len() as u64;
                }
                self.spoken[Messages::Responses as usize].response(&whole);
            }
        }
    }

    /// Its sender has received the other direction up to here.
    pub(crate) fn heard(&mut self, direction: Direction, offset: Offset) {
        let messages = self.messages(direction);
        self.spoken[messages as usize].hears(offset);
    }

    /// Bytes are missing.
    pub(crate) fn gap(&mut self, direction: Direction, gap: &Gap, cx: &mut Context<'_>) {
        let messages = self.messages(direction);
        match messages {
            Messages::Requests => self.request_gap(gap, cx),
            Messages::Responses => self.response_gap(gap, cx),
        }
        self.spoken[messages as usize].gap(gap);
    }

    /// A direction has ended.
    pub(crate) fn end(&mut self, direction: Direction, time: Nanos, cx: &mut Context<'_>) {
        match self.messages(direction) {
            Messages::Requests => self.request_fin(time, cx),
            Messages::Responses => self.response_fin(time, cx),
        }
    }

    fn messages(&self, direction: Direction) -> Messages {
        Messages::of(direction, self.peers.side.requests())
    }

    /// What the connection was switched to, once it was.
    pub(crate) const fn take_switched(&mut self) -> Option<Box<Switched>> {
        self.switched.take()
    }

    /// What becomes of the connection now.
    #[inline]
    pub(crate) fn verdict(&self) -> Course {
        match (&self.requests, &self.responses) {
            _ if self.recognition == Recognition::Refuted => Course::NotHttp,
            (Requests::Ended, Responses::Ended) => Course::Over,
            _ => Course::Go,
        }
    }

    /// When the oldest exchange began that is not emitted yet.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.started_exchanges()
            .find_map(InFlight::began)
            .or(self.started.map(|started| started.time))
    }

    /// An exchange was emitted before it was over.
    pub(crate) fn has_emitted_early(&self) -> bool {
        self.in_flight.iter().any(InFlight::is_emitted)
    }

    /// Where the first request that began since the last call begins.
    #[inline]
    pub(crate) const fn take_request_start(&mut self) -> Option<Offset> {
        self.request_start.take()
    }

    /// One of its requests that are known begins at `offset`.
    pub(crate) fn has_request_at(&self, offset: Offset) -> bool {
        (self.recognition == Recognition::Proven && self.last_request.offset == offset)
            || self
                .started_exchanges()
                .any(|exchange| exchange.offset == offset)
    }

    /// In the order of their requests, but for those that are in doubt and have their response.
    fn started_exchanges(&self) -> impl Iterator<Item = &InFlight> {
        let shown = self.doubt.iter().flat_map(|doubt| &doubt.shown);
        self.in_flight.iter().chain(shown)
    }

    pub(crate) const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Which of the bytes to come of a direction are of use.
    #[inline]
    pub(crate) fn wanted(&self, direction: Direction) -> Wanted {
        match self.messages(direction) {
            Messages::Requests => match &self.requests {
                // Any segment may begin a request.
                Requests::Reading(_) if self.doubtful.is_some() => Wanted::Next,
                Requests::Reading(reader) => reader.wanted(),
                Requests::Seek | Requests::Hold(_) | Requests::Ended => Wanted::Nothing,
            },
            Messages::Responses => match &self.responses {
                Responses::Reading(reader) => reader.wanted(),
                Responses::Await(_) | Responses::Seek | Responses::Ended => Wanted::Nothing,
            },
        }
    }

    /// A loss of track: final where requests are pipelined.
    fn lose_track(&mut self) {
        if self.pairing == Pairing::Pipelined {
            self.pairing = Pairing::Lost;
        }
    }

    /// A request began while an earlier one was pending.
    fn pipelines(&mut self) {
        self.pairing = self.pairing.max(Pairing::Pipelined);
    }

    /// What is missing of an exchange whose response was lost track of.
    const fn unpaired(&self, one_sided: bool) -> Partial {
        match self.pairing {
            _ if one_sided => Partial::OneSided,
            // It was the next one, and is missing.
            Pairing::InOrder => Partial::Gap,
            Pairing::Pipelined | Pairing::Lost => Partial::Unpaired,
        }
    }

    /// Emits what is over, in the order of the requests.
    fn settle(&mut self, now: Nanos, cx: &mut Context<'_>) {
        while let Some(mut exchange) = self.in_flight.pop_front_if(|exchange| exchange.is_over()) {
            match &mut self.doubt {
                Some(doubt) if exchange.doubted => doubt.shown.push(exchange),
                _ => {
                    self.held = self.held.saturating_sub(exchange.memory());
                    exchange.emit(false, now, &mut cx.emitter(&self.peers));
                }
            }
            self.next_passed();
        }
        self.give_back();
    }

    /// Waits for no response any more: every exchange is emitted but one that only waits for the
    /// end of its request. What was taken for a request on its looks alone is dropped, if responses
    /// are there to confirm it.
    fn abandon(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.refute(now, cx);
        match self.pickup {
            Pickup::Unconfirmed if !cx.one_sided => self.drop_unconfirmed(cx),
            Pickup::OrBody => self.may_be_body(cx),
            Pickup::Unconfirmed | Pickup::Likely | Pickup::Certain => self.pickup = Pickup::Certain,
        }
        self.take_bodies(|exchange| exchange.progress != Progress::Done);
        let reason = self.unpaired(cx.one_sided);
        let mut emitter = cx.emitter(&self.peers);
        let is_done = |exchange: &InFlight| exchange.progress == Progress::Done;
        let kept = self.in_flight.front().is_some_and(is_done);
        for exchange in self.in_flight.iter_mut().skip(usize::from(kept)) {
            self.owed += u32::from(exchange.progress == Progress::Awaited);
            exchange.mark(reason);
            exchange.emit(false, now, &mut emitter);
        }
        self.owed += self.passed.clear();
        self.current &= kept && self.in_flight.len() == 1;
        self.in_flight.truncate(usize::from(kept));
        self.held = self.in_flight.iter().map(InFlight::memory).sum();
    }
}
