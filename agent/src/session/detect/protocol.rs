//! From what the first bytes are to the protocol that a connection speaks.

use std::sync::Arc;

use super::{Detect, Found};
use crate::flow::Direction;
use crate::http::h1::Class;
use crate::session::first::{by_messages, is_server_preface};
use crate::session::h1::H1;
use crate::session::h2::{H2, Joiner};
use crate::session::held::Start;
use crate::session::{Messages, Origin, Session};
use crate::transport::Chunk;

impl Detect {
    /// A direction begins with a message of HTTP/1, or with the preface of HTTP/2.
    pub(super) fn message(&mut self, direction: Direction, class: Class, origin: &Origin) -> Found {
        match class {
            Class::Http2 => self.http2(direction, origin),
            class => self.http1(direction, class, origin),
        }
    }

    pub(super) fn http2(&mut self, requests: Direction, origin: &Origin) -> Found {
        let held = self.held.take();
        let source = held.as_ref().and_then(|held| held.preamble?.source);
        let peers = origin.peers(requests, source);
        let h2 = H2::new(Arc::new(peers), by_messages(self.whole, requests));
        Found::Session(Session::H2(Box::new(h2)), held)
    }

    pub(super) fn http1(&mut self, direction: Direction, class: Class, origin: &Origin) -> Found {
        let requests = match class {
            Class::Request | Class::OddRequest => direction,
            _ => direction.opposite(),
        };
        // A response that came first of all on its side shows what it responds to.
        let shows = class == Class::Response && self.whole[direction as usize];
        let unnamed = self.unnamed.take().filter(|_| shows);
        let unnamed = unnamed.and_then(|unnamed| unnamed.request());
        let starts = self.held.as_ref().map(|held| &held.starts);
        let held = starts.and_then(|starts| starts[requests as usize].as_ref());
        // What may be the first frame of HTTP/2 has no response of HTTP/1.
        let is_preface = shows && held.is_some_and(|start| is_server_preface(&start.bytes));
        let shown = unnamed.is_some() || is_preface;
        if let Some((start, before)) = unnamed {
            self.passed += before as u64;
            self.whole[requests as usize] = true;
            self.hold(requests, start);
            self.held.get_or_insert_default().first = Some(requests);
        }
        let held = self.held.take();
        let source = held.as_ref().and_then(|held| held.preamble?.source);
        let peers = origin.peers(requests, source);
        let mut h1 = H1::new(
            Arc::new(peers),
            by_messages(self.spoken, requests),
            by_messages(self.whole, requests),
        );
        if shown {
            h1.is_shown_by_its_response();
        }
        Found::Session(Session::H1(Box::new(h1)), held)
    }

    /// No message of HTTP/1. `goes_on`: there were not too many changes of speaker.
    pub(super) fn frames(
        &mut self,
        direction: Direction,
        chunk: &mut Chunk<'_>,
        origin: &Origin,
        goes_on: bool,
    ) -> Found {
        let joiners = self.joiners.get_or_insert_default();
        let tunnels = origin.connection.carries_tunnels();
        let Some((messages, bytes)) = joiners[direction as usize].push(chunk, tunnels) else {
            // Streams of HTTP/2 interleave: both may speak in the middle of frames.
            return match goes_on || joiners.iter().any(Joiner::is_following) {
                true => Found::Nothing,
                false => Found::Other(self.kind()),
            };
        };
        let other = joiners[direction.opposite() as usize].take();
        // Those before this chunk were not passed over after all, and some of it may be.
        let held = bytes.len() + other.as_ref().map_or(0, |start| start.bytes.len());
        self.passed = (self.passed + chunk.bytes.len() as u64).saturating_sub(held as u64);
        self.hold(direction, Start::ending(chunk, bytes));
        if let Some(start) = other {
            self.hold(direction.opposite(), start);
        }
        let requests = match messages {
            Messages::Requests => direction,
            Messages::Responses => direction.opposite(),
        };
        // A response is one to a request that is known.
        self.held.get_or_insert_default().first = Some(requests);
        chunk.advance(chunk.bytes.len());
        self.http2(requests, origin)
    }
}
