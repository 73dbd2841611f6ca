//! One stream: its two messages, as far as they have come.

use std::sync::Arc;

use super::super::super::Context;
use super::super::super::tunnel::EARLY;
use super::super::inside::Inside;
use super::connect::Connect;
use crate::exchange::{Exchange, Interim, Request, Response};
use crate::flow::{Nanos, Offset, Peers, TunnelClaims};
use crate::http::h2::stream::{Close, Peer, State};
use crate::http::h2::{BodyReader, HeadBuilder};
use crate::http::rpc::Counter;
use crate::http::{Anomalies, Body, Fields, RequestHead, ResponseHead, Unknown};
use crate::ledger::Partial;

/// Counted for each stream beside what its messages hold.
const OVERHEAD: usize = size_of::<Stream>() + 64;

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) state: State,
    /// Where its first frame begins.
    pub(super) offset: Offset,
    /// `None` once emitted, or when it never will be.
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    /// From the client, and from the server.
    pub(super) bodies: [BodyReader; 2],
    trailers: [Option<Box<Fields>>; 2],
    /// Which ends had sent all before it was closed.
    ended: [bool; 2],
    /// Something of unknown length is missing of a direction.
    inexact: [bool; 2],
    interim: Interim,
    partial: Option<Partial>,
    /// The code of RST_STREAM.
    reset: Option<u32>,
    pub(super) connect: Connect,
    /// Of a CONNECT that was emitted before its tunnel opened: what it says of that.
    pub(super) claims: Option<Box<TunnelClaims>>,
    /// When the first bytes came that a client sent on a CONNECT before its response.
    pub(super) early: Option<Nanos>,
    /// What follows a 2xx to CONNECT.
    pub(super) inside: Option<Box<Inside>>,
}

impl Stream {
    /// A request begins.
    pub(super) fn begin(
        &mut self,
        head: RequestHead,
        anomalies: Anomalies,
        websocket: bool,
        now: Nanos,
    ) {
        self.connect = match head.method() == b"CONNECT" {
            true if websocket => Connect::WebSocket,
            true => Connect::Tunnel,
            false => Connect::No,
        };
        if !head.unknown.is_empty() {
            self.lacks(Partial::Hpack);
        }
        self.inexact[Peer::Client as usize] = may_be_trailers(&head);
        self.bodies[Peer::Client as usize].count(Counter::of(&head.fields));
        self.request = Some(Request {
            began: now,
            ended: now,
            head,
            body: Body::default(),
            anomalies,
        });
    }

    /// A request that came before the connection spoke HTTP/2.
    pub(super) fn upgraded(request: Request, offset: Offset) -> Self {
        let mut stream = Self::ignored(offset);
        stream.state = State::HalfClosed(Peer::Client);
        stream.request = Some(request);
        stream
    }

    /// A stream whose exchange is not emitted: only its place is left.
    pub(super) fn ignored(offset: Offset) -> Self {
        Self {
            state: State::Open,
            offset,
            request: None,
            response: None,
            bodies: [BodyReader::default(), BodyReader::default()],
            trailers: [None, None],
            ended: [false; 2],
            inexact: [false; 2],
            interim: Interim::default(),
            partial: None,
            reset: None,
            connect: Connect::No,
            claims: None,
            early: None,
            inside: None,
        }
    }

    /// When it started; `None` once emitted.
    pub(super) fn started(&self) -> Option<Nanos> {
        self.request.as_ref().map(|request| request.began)
    }

    /// When the oldest exchange on it started, inside of it too, that is not emitted yet.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        let inside = || self.inside.as_ref()?.oldest();
        self.started().or_else(inside)
    }

    pub(super) const fn has_response(&self) -> bool {
        self.response.is_some()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let trailers = self.trailers.iter().flatten();
        let trailers = trailers.map(|fields| size_of::<Fields>() + fields.memory());
        let bodies = self.bodies.iter().map(BodyReader::memory).sum::<usize>();
        OVERHEAD
            + self.request.as_ref().map_or(0, Request::memory)
            + self.response.as_ref().map_or(0, Response::memory)
            + trailers.sum::<usize>()
            + bodies
            + self.interim.memory()
            + self
                .claims
                .as_ref()
                .map_or(0, |_| size_of::<TunnelClaims>())
            + self.inside.as_ref().map_or(0, |inside| inside.memory())
    }

    /// Something is missing. The first reason stays.
    pub(super) fn lacks(&mut self, reason: Partial) {
        self.partial.get_or_insert(reason);
    }

    /// A header block of the server: an interim response, the final one, or trailers; the stream
    /// may end with it. It is a tunnel from here on if it says so.
    pub(super) fn response(&mut self, head: HeadBuilder, ends: bool, now: Nanos) -> Connect {
        self.state = self.state.headers(Peer::Server);
        if self.request.is_none() {
            // A tunnel may open after its CONNECT was emitted.
            return self.connect.after(head.response().0.status);
        }
        let follows = match self.response {
            Some(_) => !self.was_interim(&head, ends),
            // No head is without a status: they are those of a response that was not seen.
            None => ends && head.is_only_trailers(),
        };
        if follows {
            self.trailers(Peer::Server, head);
            return Connect::No;
        }
        if let Some(reason) = lacks(&head) {
            self.lacks(reason);
        }
        let (head, anomalies) = head.response();
        if !head.unknown.is_empty() {
            self.lacks(Partial::Hpack);
        }
        // Likewise, where its status is not known.
        self.inexact[Peer::Server as usize] |= ends && head.unknown.contains(Unknown::STATUS);
        if (100..200).contains(&head.status) {
            self.interim.push(head);
            return Connect::No;
        }
        let connect = self.connect.after(head.status);
        let counter = self.counter(&head);
        self.bodies[Peer::Server as usize].count(counter);
        self.response = Some(Response {
            began: now,
            ended: now,
            head,
            body: Body::default(),
            anomalies,
        });
        connect
    }

    /// Counts the messages of a response with this head, by its own media type: a proxy may respond
    /// in place of what was called. Where that is unknown, it is what was asked for.
    fn counter(&self, head: &ResponseHead) -> Option<Counter> {
        let is_hidden = head.unknown.contains(Unknown::FIELDS)
            && head.fields.get("content-type").is_none()
            && matches!(head.status, 0 | 200);
        match &self.request {
            Some(request) if is_hidden => Counter::of(&request.head.fields),
            _ => Counter::of(&head.fields),
        }
    }

    pub(super) fn trailers(&mut self, from: Peer, head: HeadBuilder) {
        if self.request.is_none() {
            return;
        }
        if let Some(reason) = lacks(&head) {
            self.lacks(reason);
        }
        if head.has_unknown() {
            self.unknown_trailers(from);
        }
        let (fields, anomalies) = head.trailers();
        self.mark_message(from, anomalies);
        if !fields.is_empty() {
            self.trailers[from as usize] = Some(Box::new(fields));
        }
    }

    fn unknown_trailers(&mut self, from: Peer) {
        let unknown = match (from, &mut self.request, &mut self.response) {
            (Peer::Client, Some(request), _) => &mut request.head.unknown,
            (Peer::Server, _, Some(response)) => &mut response.head.unknown,
            _ => return,
        };
        *unknown = unknown.with(Unknown::TRAILERS);
        self.lacks(Partial::Hpack);
    }

    /// A head comes that is no trailer section, since it has a status or does not end the stream:
    /// one before it whose status is unknown was that of an interim response (RFC 9113 §8.1), and
    /// there is no other yet.
    fn was_interim(&mut self, head: &HeadBuilder, ends: bool) -> bool {
        let is_unknown = |earlier: &mut Response| earlier.head.unknown.contains(Unknown::STATUS);
        if head.is_trailers() && ends {
            return false;
        }
        let Some(earlier) = self.response.take_if(is_unknown) else {
            return false;
        };
        self.interim.push(earlier.head);
        true
    }

    /// Body bytes. Says how many are past the limit.
    pub(super) fn push(&mut self, from: Peer, bytes: &[u8], limit: usize, now: Nanos) -> u64 {
        if self.is_early(from) {
            self.early.get_or_insert(now);
        }
        let limit = self.kept(from, limit);
        self.bodies[from as usize].push(bytes, limit)
    }

    pub(super) fn miss(&mut self, from: Peer, len: u64, lost: bool, limit: usize) {
        let limit = self.kept(from, limit);
        // What comes early may be of the tunnel: then this exchange misses nothing.
        if self.bodies[from as usize].miss(len, lost, limit) && !self.is_early(from) {
            self.lacks(Partial::Gap);
        }
    }

    /// How much is kept of a body with this limit.
    fn kept(&self, from: Peer, limit: usize) -> usize {
        match &self.request {
            Some(_) if self.is_early(from) => limit.max(EARLY),
            Some(_) => limit,
            None => 0,
        }
    }

    /// Frames of a direction are missing: body bytes, trailers, the end.
    pub(super) fn lost_track(&mut self, from: Peer, now: Nanos, cx: &mut Context<'_>) {
        if let Some(inside) = &mut self.inside {
            inside.lose(from, now, cx);
        }
        if !self.state.has_ended(from) {
            self.inexact[from as usize] = true;
            self.bodies[from as usize].lose();
            self.lacks(Partial::Gap);
            // A head without a status, and nothing behind it yet, may have been an interim one.
            if let Some(response) = &mut self.response
                && from == Peer::Server
                && response.head.unknown.contains(Unknown::STATUS)
                && self.bodies[Peer::Server as usize].is_empty()
            {
                response.head.unknown = response.head.unknown.with(Unknown::FIELDS);
            }
        }
    }

    /// The recipient may have read other bytes than those that were read here.
    pub(super) fn mark(&mut self, anomaly: Anomalies) {
        let anomalies = match (&mut self.response, &mut self.request) {
            (Some(response), _) => &mut response.anomalies,
            (None, Some(request)) => &mut request.anomalies,
            (None, None) => return,
        };
        *anomalies = anomalies.with(anomaly);
    }

    pub(super) fn end(&mut self, from: Peer, now: Nanos) {
        self.state = self.state.end(from);
        let ended = match from {
            Peer::Client => self.request.as_mut().map(|request| &mut request.ended),
            Peer::Server => self.response.as_mut().map(|response| &mut response.ended),
        };
        if let Some(ended) = ended {
            *ended = now;
        }
        if from == Peer::Server && self.response.is_none() {
            self.lacks(Partial::NoResponse);
        }
    }

    /// It ends before its time; why its exchange is not whole.
    pub(super) fn close(&mut self, close: Close) -> Option<Partial> {
        if let Close::Reset(_, code) = close {
            self.reset = Some(code);
        }
        let partial = if self.response.is_none() {
            Some(Partial::NoResponse)
        } else if !self.state.has_ended(Peer::Server) {
            Some(Partial::ResponseCut)
        } else if !self.state.has_ended(Peer::Client) {
            Some(Partial::RequestCut)
        } else {
            None
        };
        self.ended = [Peer::Client, Peer::Server].map(|peer| self.state.has_ended(peer));
        self.state = self.state.close(close);
        partial
    }

    /// The exchange, unless it was taken.
    pub(super) fn take(
        &mut self,
        id: u32,
        peers: Arc<Peers>,
        upgrade: bool,
        limit: usize,
        now: Nanos,
    ) -> Option<Exchange> {
        self.keep_as_body(limit);
        self.keep_claims();
        let mut request = self.request.take()?;
        let exact = |peer: Peer| {
            let ended = self.ended[peer as usize] || self.state.has_ended(peer);
            ended && !self.inexact[peer as usize]
        };
        let exact = [exact(Peer::Client), exact(Peer::Server)];
        let [sent, received] = &mut self.bodies;
        let [trailers, response_trailers] = &mut self.trailers;
        // The body of an upgraded request came before.
        if request.body.size == 0 {
            request.body = sent.finish(exact[0], trailers.take());
        }
        let response = self.response.take().map(|mut response| {
            response.body = received.finish(exact[1], response_trailers.take());
            response
        });
        Some(Exchange {
            peers,
            stream: Some(id),
            offset: self.offset,
            request,
            interim: std::mem::take(&mut self.interim),
            response,
            upgrade,
            reset: self.reset,
            ended: now,
            partial: self.partial,
        })
    }
}

/// Without any pseudo-field that is known, a client's block may be the trailers of a request that
/// was not seen.
fn may_be_trailers(head: &RequestHead) -> bool {
    let hidden = [Unknown::METHOD, Unknown::SCHEME, Unknown::PATH];
    hidden.iter().all(|part| head.unknown.contains(*part))
}

/// Why a head is not whole, whatever is known of the table.
pub(super) const fn lacks(head: &HeadBuilder) -> Option<Partial> {
    if head.is_missing() {
        Some(Partial::GapInHead)
    } else if head.is_too_large() {
        Some(Partial::HeadTooLarge)
    } else {
        None
    }
}
