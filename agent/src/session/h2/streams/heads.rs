//! What a header block does to a stream.

use std::sync::Arc;

use super::connect::{Connect, Opened};
use super::message::{Stream, lacks};
use super::{Streams, opens};
use crate::flow::{Nanos, Offset};
use crate::http::h2::stream::{Peer, State};
use crate::http::h2::{HeadBuilder, Violation};
use crate::ledger::{Dropped, Partial};
use crate::session::h2::header_block::Block;
use crate::session::h2::inside::{Carrier, Inside};
use crate::session::{Context, Origin};

impl Streams {
    /// A header block begins a message, or ends it.
    pub(in crate::session::h2) fn block(
        &mut self,
        from: Peer,
        block: Block,
        now: Nanos,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        if let Some(promised) = block.promised {
            return self.promise(from, promised, block, now, cx);
        }
        let Block {
            stream: id,
            end_stream,
            offset,
            head,
            ..
        } = block;
        let is_cut = head.is_cut();
        let known = self.streams.contains_key(&id);
        match (from, known) {
            (_, true) if self.has_ended(from, id) => {
                return self.breaks_in(from, id, Violation::Closed, cx);
            }
            (Peer::Client, false) if self.is_request(&head, id) => {
                let is_misnumbered = self.is_misnumbered(id);
                self.request(id, head, offset, now, cx);
                if is_misnumbered {
                    self.breaks_in(from, id, Violation::StreamId, cx);
                }
            }
            (Peer::Server, false) => {
                self.data(from, id, cx);
                self.response_only(id, cx);
            }
            // Trailers of a request that was not seen.
            (Peer::Client, false) => return self.data(from, id, cx),
            (Peer::Client, true) => {
                self.change(id, cx, |stream, _| stream.trailers(from, head));
                if !end_stream {
                    self.breaks_in(from, id, Violation::Trailers, cx);
                }
            }
            (Peer::Server, true) => self.response(id, head, end_stream, now, origin, cx),
        }
        if is_cut {
            self.change(id, cx, |stream, _| stream.lacks(Partial::HeadTooLarge));
        }
        if end_stream {
            self.end(from, id, now, cx);
        }
    }

    fn promise(&mut self, from: Peer, id: u32, block: Block, now: Nanos, cx: &mut Context<'_>) {
        if from == Peer::Client {
            return self.breaks(Violation::Push, cx);
        }
        // §5.1.1: a promised stream is a new one.
        if self.streams.contains_key(&id) {
            return;
        }
        let is_cut = block.head.is_cut();
        self.request(id, block.head, block.offset, now, cx);
        self.change(id, cx, |stream, _| {
            stream.state = State::Reserved;
            if is_cut {
                stream.lacks(Partial::HeadTooLarge);
            }
        });
    }

    fn request(
        &mut self,
        id: u32,
        head: HeadBuilder,
        offset: Offset,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        self.saw(id);
        if self.streams.len() >= cx.limits.pipeline
            && let Some((oldest, _)) = self.streams.first_key_value()
        {
            let oldest = *oldest;
            self.finish(oldest, Some(Partial::Evicted), now, cx);
        }
        cx.ledger.start();
        self.unseen.get_or_insert(offset);
        self.first_request.get_or_insert(offset);
        self.last_request = Some(offset);
        let lacks = lacks(&head);
        let dropped = match lacks {
            _ if head.says_request() => None,
            Some(Partial::GapInHead) => Some(Dropped::GapInHead),
            Some(_) => Some(Dropped::HeadTooLarge),
            None => None,
        };
        if let Some(reason) = dropped {
            cx.drop_with(reason);
            self.insert(id, Stream::ignored(offset));
            return;
        }
        let websocket = head.protocol() == Some(b"websocket");
        let (head, anomalies) = head.request();
        cx.starts(&self.peers, &head, (offset, now));
        let mut stream = Stream::ignored(offset);
        if let Some(reason) = lacks {
            stream.lacks(reason);
        }
        stream.begin(head, anomalies, websocket, now);
        if self.peers.connection.is_rustls() {
            stream.may_be_ztunnels();
        }
        self.tunnels |= stream.is_connect();
        self.insert(id, stream);
    }

    /// A response on a stream that is not known. Where its request was not seen, it is counted, and
    /// its bytes are passed over. Where it was, the exchange is over: this one crossed a reset, or
    /// came after it was emitted to make room.
    fn response_only(&mut self, id: u32, cx: &mut Context<'_>) {
        if self.seen[opens(id) as usize].contains(id) {
            return;
        }
        // The same stream has trailers, too.
        if self.unasked.insert(id) {
            cx.ledger.start();
            cx.drop_with(Dropped::ResponseOnly);
        }
        if self.unasked.len() > cx.limits.pipeline {
            self.unasked.pop_first();
        }
    }

    fn response(
        &mut self,
        id: u32,
        head: HeadBuilder,
        ends: bool,
        now: Nanos,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let mut opened = None;
        let stream = self.streams.get(&id);
        if let Some(violation) = stream.and_then(|stream| stream.violation(&head, ends)) {
            self.breaks_in(Peer::Server, id, violation, cx);
        }
        self.change(id, cx, |stream, _| {
            if stream.response(head, ends, now) != Connect::No {
                opened = Some(stream.open(now));
            }
        });
        let Some(opened) = opened else { return };
        // RFC 9113 §8.5, RFC 8441 §5: from here on, DATA is what the two ends say in another
        // protocol. A client may have said some of it before.
        self.emit(id, None, true, now, cx);
        let peers = Arc::clone(&self.peers);
        self.change(id, cx, |stream, cx| {
            let Opened {
                websocket,
                claims,
                early,
            } = opened;
            let carrier = Carrier {
                id,
                websocket,
                mid_stream: false,
            };
            let mut inside = Inside::new(&carrier, claims, &peers, origin, cx);
            inside.early(&early, now, cx);
            stream.inside = Some(Box::new(inside));
        });
    }

    /// A head that is too long to keep.
    pub(in crate::session::h2) fn too_large(
        &mut self,
        from: Peer,
        id: u32,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        match (from, self.streams.contains_key(&id)) {
            (Peer::Client, false) => self.request_too_large(id, cx),
            (Peer::Server, false) => self.response_only(id, cx),
            (_, true) => self.finish(id, Some(Partial::HeadTooLarge), now, cx),
        }
    }

    fn request_too_large(&mut self, id: u32, cx: &mut Context<'_>) {
        cx.ledger.start();
        cx.drop_with(Dropped::HeadTooLarge);
        self.saw(id);
        self.insert(id, Stream::ignored(Offset::default()));
    }

    /// A client's block on a stream that is not known begins a request: it says so, or may say so
    /// in what is unknown, for on a stream later than all others it is hardly a trailer section; or
    /// nothing that the client has sent is missing.
    fn is_request(&self, head: &HeadBuilder, id: u32) -> bool {
        let may_begin = id > self.max_id && !head.is_only_trailers();
        !head.is_trailers() || may_begin || self.is_idle(Peer::Client, id)
    }
}
