//! From HTTP/1 to something else: after a 101, or a 2xx to CONNECT; or with a client's preface of
//! HTTP/2, which follows a 101.

use super::super::tunnel::EARLY;
use super::super::{Context, Messages};
use super::H1;
use super::state::{Requests, Responses};
use crate::exchange::{InFlight, Partial, Progress, Request};
use crate::flow::{Nanos, Offset, TunnelClaims};
use crate::http::h1::{Event, Reader};
use crate::http::h2::frame::PREFACE;
use crate::http::{ResponseHead, tunnel};
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

/// The protocol of the `Upgrade` field (RFC 7540 §3.2).
const H2C: &[u8] = b"h2c";

/// Bytes that came after a CONNECT and before its response.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(super) bytes: Vec<u8>,
    offset: Offset,
    heard: Option<Offset>,
    time: Nanos,
    /// How many came; `bytes` has the first of them.
    pub(super) len: u64,
}

impl Early {
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        if self.len == 0 {
            self.offset = chunk.offset;
            self.heard = chunk.heard;
            self.time = chunk.time;
        }
        if self.len == self.bytes.len() as u64 {
            let room = EARLY.saturating_sub(self.bytes.len());
            let kept = chunk.bytes.get(..room).unwrap_or(chunk.bytes);
            self.bytes.extend_from_slice(kept);
        }
        self.len += chunk.bytes.len() as u64;
    }

    /// What was kept.
    pub(crate) fn chunk(&self) -> Option<Chunk<'_>> {
        (!self.bytes.is_empty()).then_some(Chunk {
            bytes: &self.bytes,
            offset: self.offset,
            heard: self.heard,
            time: self.time,
            boundary: true,
        })
    }

    /// What was not.
    pub(crate) fn gap(&self, time: Nanos) -> Option<Gap> {
        let kept = self.bytes.len() as u64;
        (self.len > kept).then_some(Gap {
            offset: self.offset + kept,
            len: self.len - kept,
            skipped: true,
            heard: None,
            time,
        })
    }
}

/// What a connection speaks from now on.
#[derive(Debug)]
pub(crate) enum To {
    /// HTTP/2 (RFC 7540 §3.2): the request, which is its first stream. `None`: it was not seen, or
    /// is emitted.
    Http2(Option<Box<Request>>),
    /// WebSocket (RFC 6455).
    WebSocket,
    /// Whatever its first bytes say.
    Tunnel,
}

/// From here on the connection speaks something else.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) to: To,
    /// Whose message shows it.
    pub(crate) shown_by: Messages,
    /// What a CONNECT says of the tunnel.
    pub(crate) claims: TunnelClaims,
    /// Where the request begins.
    pub(crate) offset: Offset,
    /// Where the first request begins that began since the last look.
    pub(crate) unseen: Option<Offset>,
    /// What the client sent before it knew.
    pub(crate) early: Early,
    /// The client has ended its direction.
    pub(crate) requests_ended: bool,
}

impl H1 {
    /// The response that was read switches the connection: its exchange is emitted at once.
    pub(super) fn switch(&mut self, websocket: bool, now: Nanos, cx: &mut Context<'_>) {
        if self.in_flight.len() == 1
            && self.current
            && let Requests::Reading(reader) = &mut self.requests
            && let Some(Err(body)) = reader.fin()
        {
            self.responding(|exchange| {
                exchange.request_body(body, now);
                exchange.mark(Partial::RequestCut);
            });
        }
        let claims = self.in_flight.front().map(InFlight::claims);
        let is_http2 = |exchange: &&mut InFlight| exchange.switches_to(H2C);
        let to = match self.in_flight.front_mut().filter(is_http2) {
            Some(exchange) => To::Http2(exchange.hand_over().map(Box::new)),
            None if websocket => To::WebSocket,
            None => To::Tunnel,
        };
        if let Some(exchange) = self.in_flight.front_mut() {
            exchange.emit(true, now, &mut cx.emitter(&self.peers));
        }
        let claims = claims.unwrap_or_default();
        self.switched((to, Messages::Responses), claims, now, cx);
    }

    /// A response that switches the connection to HTTP/2, and whose request was not seen. `true`:
    /// it was one.
    pub(super) fn switches_alone(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) -> bool {
        const START: &[u8] = b"HTTP/1.1 101";
        if !chunk.boundary || !chunk.bytes.starts_with(START) {
            return false;
        }
        let mut rest = chunk.bytes;
        let event = Reader::default().read::<ResponseHead>(&mut rest, &cx.bounds);
        match event {
            Event::Head { head, .. } if tunnel::switches_to(&head, H2C) => {
                chunk.advance(chunk.bytes.len() - rest.len());
                self.abandon(chunk.time, cx);
                let to = (To::Http2(None), Messages::Responses);
                self.switched(to, TunnelClaims::default(), chunk.time, cx);
                true
            }
            _ => false,
        }
    }

    /// What would begin a request is the client's preface of HTTP/2, which follows a 101 (RFC 7540
    /// §3.2): that was not captured, or the client does not wait for it. `true`: requests are held
    /// from here on, or none come any more.
    pub(super) fn is_preface(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) -> bool {
        if !chunk.bytes.starts_with(PREFACE) {
            return false;
        }
        match self.awaits_switch(chunk) {
            true => {
                self.requests = Requests::Hold(Box::default());
                self.hold(chunk, cx);
            }
            false => self.switched_before(chunk.time, cx),
        }
        true
    }

    /// What comes before the response to a request that everything waits for.
    pub(super) fn hold(&mut self, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        let awaits = self.awaits_switch(chunk);
        let Requests::Hold(early) = &mut self.requests else {
            return;
        };
        match early.bytes.starts_with(PREFACE) && !awaits {
            true => self.switched_before(chunk.time, cx),
            false => early.push(chunk),
        }
    }

    /// The response to the only request, which asks for HTTP/2, is yet to come.
    fn awaits_switch(&self, chunk: &Chunk<'_>) -> bool {
        let [_, responses] = &self.spoken;
        let end = match &self.responses {
            Responses::Reading(_) => responses.end(),
            Responses::Await(at) => *at,
            Responses::Seek | Responses::Ended => return false,
        };
        let mut pending = self.in_flight.iter();
        pending.len() == 1
            && pending.all(|exchange| exchange.progress != Progress::Done && exchange.asks_for(H2C))
            && (chunk.heard.is_none() || end.is_none() || chunk.heard == end)
    }

    /// The connection speaks HTTP/2, and the response that says so was not captured.
    fn switched_before(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let mut pending = self.in_flight.iter_mut();
        let first = match (pending.next(), pending.next()) {
            (Some(first), None) if first.requested && first.asks_for(H2C) => first.hand_over(),
            _ => None,
        };
        let to = To::Http2(first.map(Box::new));
        self.switched((to, Messages::Requests), TunnelClaims::default(), now, cx);
    }

    fn switched(
        &mut self,
        (to, shown_by): (To, Messages),
        claims: TunnelClaims,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Some(started) = self.started.take()
            && started.counted
        {
            cx.drop_with(Dropped::Uncertain);
        }
        let first = self.in_flight.front();
        let offset = first.map_or(self.last_request.offset, |exchange| exchange.offset);
        let mut emitter = cx.emitter(&self.peers);
        for exchange in &mut self.in_flight {
            exchange.mark(Partial::Unpaired);
            exchange.emit(false, now, &mut emitter);
        }
        self.in_flight.clear();
        self.passed.clear();
        self.held = 0;
        self.current = false;
        self.switched = Some(Box::new(Switched {
            to,
            shown_by,
            claims,
            offset,
            unseen: self.request_start.take(),
            requests_ended: matches!(self.requests, Requests::Ended),
            early: match &mut self.requests {
                Requests::Hold(early) => std::mem::take(early),
                Requests::Reading(_) | Requests::Seek | Requests::Ended => Early::default(),
            },
        }));
    }
}
