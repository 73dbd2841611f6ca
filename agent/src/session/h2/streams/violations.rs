//! Frames that break the protocol on a stream. They are counted where it is certain that they do:
//! what came before the agent may have opened a stream, or ended it.

use super::message::Stream;
use super::{Streams, opens};
use crate::exchange::Response;
use crate::http::h2::stream::Peer;
use crate::http::h2::{HeadBuilder, Violation};
use crate::http::{Anomalies, Unknown};
use crate::session::Context;

/// Streams that are over and remembered: what is late comes soon.
const REMEMBERED: usize = 64;

impl Streams {
    /// Everything that this end sends is seen.
    pub(in crate::session::h2) const fn begins(&mut self, peer: Peer) {
        self.seen[peer as usize].begins();
    }

    /// This end may have sent something else.
    pub(in crate::session::h2) const fn doubt(&mut self, peer: Peer) {
        self.seen[peer as usize].doubt();
    }

    /// A frame breaks the protocol.
    pub(in crate::session::h2) fn breaks(&mut self, violation: Violation, cx: &mut Context<'_>) {
        cx.stats.http2_errors[violation as usize] += 1;
        if !std::mem::replace(&mut self.broken, true) {
            cx.stats.http2_broken += 1;
        }
    }

    /// One of this stream does.
    pub(super) fn breaks_in(
        &mut self,
        from: Peer,
        id: u32,
        violation: Violation,
        cx: &mut Context<'_>,
    ) {
        self.breaks(violation, cx);
        self.change(id, cx, |stream, _| stream.breaks(from));
    }

    /// DATA begins.
    pub(in crate::session::h2) fn data(&mut self, from: Peer, id: u32, cx: &mut Context<'_>) {
        match self.has_ended(from, id) {
            true => self.breaks_in(from, id, Violation::Closed, cx),
            false => self.touch(from, id, cx),
        }
    }

    /// A frame comes that no stream may have before it is opened (§5.1).
    pub(in crate::session::h2) fn touch(&mut self, from: Peer, id: u32, cx: &mut Context<'_>) {
        if id != 0 && self.is_idle(from, id) {
            self.breaks(Violation::Idle, cx);
        }
    }

    /// It is for this end to open the stream, and it has not. What the other end has opened, this
    /// one may know before it is seen.
    pub(super) fn is_idle(&self, from: Peer, id: u32) -> bool {
        let seen = self.seen[from as usize];
        opens(id) == from && seen.is_whole() && !seen.reaches(id)
    }

    /// A client opens a stream that it cannot open any more, or never could.
    pub(super) const fn is_misnumbered(&self, id: u32) -> bool {
        let seen = self.seen[Peer::Client as usize];
        let is_odd = matches!(opens(id), Peer::Client);
        seen.is_whole() && (!is_odd || seen.reaches(id))
    }

    /// This end has sent all of the stream.
    pub(super) fn has_ended(&self, from: Peer, id: u32) -> bool {
        match self.streams.get(&id) {
            Some(stream) => stream.state.has_ended(from),
            None => self.finished.contains(&id),
        }
    }

    /// Both ends have.
    pub(super) fn remember(&mut self, id: u32) {
        if self.finished.len() >= REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back(id);
    }
}

impl Stream {
    /// What of a server's header block breaks the protocol, whatever is unknown.
    pub(super) fn violation(&self, head: &HeadBuilder, ends: bool) -> Option<Violation> {
        self.request.as_ref()?;
        let is_final = |response: &Response| !response.head.unknown.contains(Unknown::STATUS);
        match &self.response {
            None if ends && (100..200).contains(&head.status()) => Some(Violation::Interim),
            Some(response) if !ends && is_final(response) => Some(Violation::Trailers),
            _ => None,
        }
    }

    /// A frame of this end breaks the protocol. Of a server that has not responded, its request
    /// says so.
    pub(super) fn breaks(&mut self, from: Peer) {
        let from = match self.response {
            None => Peer::Client,
            Some(_) => from,
        };
        self.mark_message(from, Anomalies::INVALID_FRAME);
    }

    /// Marks what this end has sent.
    pub(super) fn mark_message(&mut self, from: Peer, anomaly: Anomalies) {
        let anomalies = match from {
            Peer::Client => self.request.as_mut().map(|request| &mut request.anomalies),
            Peer::Server => self
                .response
                .as_mut()
                .map(|response| &mut response.anomalies),
        };
        if let Some(anomalies) = anomalies {
            *anomalies = anomalies.with(anomaly);
        }
    }
}
