//! The streams of an HTTP/2 connection: one exchange each.

mod ending;
mod message;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::message::{Connect, Stream};
use super::super::h1::End;
use super::super::{Context, Origin};
use super::header_block::Block;
use super::inside::Inside;
use crate::exchange::Request;
use crate::flow::{Nanos, Offset, Peers, TunnelClaims};
use crate::http::Anomalies;
use crate::http::h2::HeadBuilder;
use crate::http::h2::stream::{Close, Peer, State};
use crate::ledger::{Dropped, Partial};
use crate::transport::Gap;

/// The streams that are not over, by identifier.
#[derive(Debug)]
pub(super) struct Streams {
    peers: Arc<Peers>,
    streams: BTreeMap<u32, Stream>,
    /// Bytes that they hold.
    held: usize,
    /// Highest identifier seen.
    max_id: u32,
    /// Where a request begins that started since the last look, and the last one.
    unseen: Option<Offset>,
    last_request: Option<Offset>,
    /// A stream was a CONNECT.
    tunnels: bool,
    /// Body bytes past the limit, by their sender.
    unwanted: [u64; 2],
}

impl Streams {
    pub(super) const fn new(peers: Arc<Peers>) -> Self {
        Self {
            peers,
            streams: BTreeMap::new(),
            held: 0,
            max_id: 0,
            unseen: None,
            last_request: None,
            tunnels: false,
            unwanted: [0; 2],
        }
    }

    /// A stream was a CONNECT: what it carries is no body.
    pub(super) const fn has_tunnels(&self) -> bool {
        self.tunnels
    }

    /// Body bytes past the limit that came all the same.
    pub(super) const fn unwanted(&self, from: Peer) -> u64 {
        self.unwanted[from as usize]
    }

    /// The first stream is this request.
    pub(super) fn upgraded(&mut self, request: Request) {
        self.max_id = 1;
        self.insert(1, Stream::upgraded(request));
    }

    pub(super) const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub(super) const fn max_id(&self) -> u32 {
        self.max_id
    }

    pub(super) const fn memory(&self) -> usize {
        self.held
    }

    pub(super) const fn take_request_start(&mut self) -> Option<Offset> {
        self.unseen.take()
    }

    pub(super) fn has_request_at(&self, offset: Offset) -> bool {
        let mut streams = self.streams.values();
        self.last_request == Some(offset) || streams.any(|stream| stream.offset == offset)
    }

    /// Identifiers grow with time, so the first one in flight is the oldest.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.streams.values().find_map(Stream::oldest)
    }

    pub(super) fn has_emitted_early(&self) -> bool {
        let mut streams = self.streams.values();
        streams.any(|stream| stream.started().is_none())
    }

    /// A header block begins a message, or ends it.
    pub(super) fn block(
        &mut self,
        from: Peer,
        block: Block,
        now: Nanos,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let Block {
            stream: id,
            promised,
            end_stream,
            offset,
            head,
            undecoded,
            ..
        } = block;
        let is_cut = head.is_cut();
        if let Some(promised) = promised {
            // §5.1.1: a promised stream is a new one.
            if self.streams.contains_key(&promised) {
                return;
            }
            self.request(promised, head, offset, undecoded, now, cx);
            self.change(promised, cx, |stream, _| {
                stream.state = State::Reserved;
                if is_cut {
                    stream.lacks(Partial::HeadTooLarge);
                }
            });
            return;
        }
        let known = self.streams.contains_key(&id);
        match (from, known) {
            (Peer::Client, false) if is_request(&head, undecoded, id > self.max_id) => {
                self.request(id, head, offset, undecoded, now, cx);
            }
            (Peer::Server, false) => self.response_only(id, cx),
            // Trailers of a request that was not seen.
            (Peer::Client, false) => return,
            (Peer::Client, true) => {
                self.change(id, cx, |stream, _| stream.trailers(from, head, undecoded));
            }
            (Peer::Server, true) => self.response(id, head, undecoded, now, origin, cx),
        }
        if is_cut {
            self.change(id, cx, |stream, _| stream.lacks(Partial::HeadTooLarge));
        }
        if end_stream {
            self.end(from, id, now, cx);
        }
    }

    fn request(
        &mut self,
        id: u32,
        head: HeadBuilder,
        offset: Offset,
        undecoded: bool,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        self.max_id = self.max_id.max(id);
        if self.streams.len() >= cx.limits.pipeline
            && let Some((oldest, _)) = self.streams.first_key_value()
        {
            let oldest = *oldest;
            self.finish(oldest, Some(Partial::Evicted), now, cx);
        }
        cx.ledger.start();
        self.unseen.get_or_insert(offset);
        self.last_request = Some(offset);
        if head.is_too_large() {
            cx.drop_with(Dropped::HeadTooLarge);
            self.insert(id, Stream::ignored(offset));
            return;
        }
        let websocket = head.protocol() == Some(b"websocket");
        let (head, anomalies) = head.request();
        cx.starts(&self.peers, Some(id), &head, (offset, now));
        let mut stream = Stream::new(head, anomalies, websocket, offset, now);
        if self.peers.connection.is_rustls() {
            stream.may_be_ztunnels();
        }
        if undecoded {
            stream.lacks(Partial::Hpack);
        }
        self.tunnels |= stream.is_connect();
        self.insert(id, stream);
    }

    /// A response whose request was not seen: counted, and its bytes passed over.
    fn response_only(&mut self, id: u32, cx: &mut Context<'_>) {
        cx.ledger.start();
        cx.drop_with(Dropped::ResponseOnly);
        if self.streams.len() < cx.limits.pipeline {
            self.insert(id, Stream::ignored(Offset::default()));
        }
    }

    fn response(
        &mut self,
        id: u32,
        head: HeadBuilder,
        undecoded: bool,
        now: Nanos,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let mut connect = Connect::No;
        let mut claims = TunnelClaims::default();
        self.change(id, cx, |stream, _| {
            connect = stream.response(head, undecoded, now);
            claims = stream.claims();
        });
        if connect == Connect::No {
            return;
        }
        // RFC 9113 §8.5, RFC 8441 §5: from here on, DATA is what the two ends say in another
        // protocol.
        self.emit(id, None, true, now, cx);
        let peers = Arc::clone(&self.peers);
        self.change(id, cx, |stream, cx| {
            let websocket = connect == Connect::WebSocket;
            let inside = Inside::new(id, websocket, claims, &peers, origin, cx);
            stream.inside = Some(Box::new(inside));
        });
    }

    /// Body bytes.
    pub(super) fn bytes(
        &mut self,
        from: Peer,
        id: u32,
        bytes: &[u8],
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        // Of a stream that began before anything was seen of it, or is over, none is of use.
        let mut unwanted = bytes.len() as u64;
        self.change(id, cx, |stream, cx| {
            unwanted = 0;
            match &mut stream.inside {
                Some(inside) => inside.bytes(from, bytes, now, cx),
                None => unwanted = stream.push(from, bytes, cx.bounds.body),
            }
        });
        self.unwanted[from as usize] += unwanted;
    }

    /// Body bytes that are missing. `lost`: not on purpose.
    pub(super) fn missing(
        &mut self,
        from: Peer,
        id: u32,
        gap: &Gap,
        lost: bool,
        cx: &mut Context<'_>,
    ) {
        self.change(id, cx, |stream, cx| match &mut stream.inside {
            Some(inside) => inside.gap(from, gap, cx),
            None => stream.miss(from, gap.len, lost, cx.bounds.body),
        });
    }

    /// Anything may be among what is missing of a direction.
    pub(super) fn lost_track(&mut self, from: Peer) {
        for stream in self.streams.values_mut() {
            stream.lost_track(from);
        }
    }

    /// Any of them may have been changed by bytes that were read and not taken.
    pub(super) fn mark(&mut self, anomaly: Anomalies) {
        let streams = self.streams.values_mut();
        streams.for_each(|stream| stream.mark(anomaly));
    }

    /// An end has sent all of a stream.
    pub(super) fn end(&mut self, from: Peer, id: u32, now: Nanos, cx: &mut Context<'_>) {
        let mut closed = false;
        self.change(id, cx, |stream, cx| {
            stream.end(from, now);
            if let Some(inside) = &mut stream.inside {
                inside.end(from, now, cx);
            }
            closed = stream.state.is_closed();
        });
        if closed {
            self.finish(id, None, now, cx);
        }
    }

    /// A stream ends before its time.
    pub(super) fn close(&mut self, id: u32, close: Close, now: Nanos, cx: &mut Context<'_>) {
        let mut partial = None;
        self.change(id, cx, |stream, _| partial = stream.close(close));
        self.finish(id, partial, now, cx);
    }

    /// The sender does not look at streams of its peer above `last`. Identifiers of clients are odd
    /// (§5.1.1).
    pub(super) fn go_away(&mut self, from: Peer, last: u32, now: Nanos, cx: &mut Context<'_>) {
        let parity = match from {
            Peer::Server => 1,
            Peer::Client => 0,
        };
        let refused = self.streams.range(last.saturating_add(1)..);
        let refused: Vec<u32> = refused
            .map(|(id, _)| *id)
            .filter(|id| id % 2 == parity)
            .collect();
        for id in refused {
            self.close(id, Close::Refused, now, cx);
        }
    }

    /// A head that is too long to keep.
    pub(super) fn too_large(&mut self, from: Peer, id: u32, now: Nanos, cx: &mut Context<'_>) {
        match (from, self.streams.contains_key(&id)) {
            (Peer::Client, false) => {
                cx.ledger.start();
                cx.drop_with(Dropped::HeadTooLarge);
                self.max_id = self.max_id.max(id);
                self.insert(id, Stream::ignored(Offset::default()));
            }
            (Peer::Server, false) => self.response_only(id, cx),
            (_, true) => self.finish(id, Some(Partial::HeadTooLarge), now, cx),
        }
    }

    /// Emits an exchange, and forgets its stream.
    fn finish(&mut self, id: u32, partial: Option<Partial>, now: Nanos, cx: &mut Context<'_>) {
        self.emit(id, partial, false, now, cx);
        self.change(id, cx, |stream, cx| {
            if let Some(inside) = &mut stream.inside {
                inside.finish(End::Gone, now, cx);
            }
        });
        if let Some(stream) = self.streams.remove(&id) {
            self.held = self.held.saturating_sub(stream.memory());
        }
    }

    /// Emits the exchange of a stream, unless it was. `upgrade`: it is a tunnel from here on.
    fn emit(
        &mut self,
        id: u32,
        partial: Option<Partial>,
        upgrade: bool,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        let peers = Arc::clone(&self.peers);
        self.change(id, cx, |stream, cx| {
            if let Some(partial) = partial {
                stream.lacks(partial);
            }
            let Some(exchange) = stream.take(id, peers, upgrade, now) else {
                return;
            };
            match cx.folded {
                true => cx.ledger.drop_with(Dropped::Folded),
                false => {
                    cx.ledger.emit(exchange.partial);
                    cx.output.exchanges.push(exchange);
                }
            }
        });
    }

    fn insert(&mut self, id: u32, stream: Stream) {
        self.held += stream.memory();
        if let Some(before) = self.streams.insert(id, stream) {
            self.held = self.held.saturating_sub(before.memory());
        }
    }

    /// Changes a stream, if it is known, and counts what it holds.
    fn change(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        change: impl FnOnce(&mut Stream, &mut Context<'_>),
    ) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let before = stream.memory();
            change(stream, cx);
            self.held = self.held.saturating_sub(before) + stream.memory();
        }
    }
}

/// A client's block on a stream that is not known begins a request: it says so, or may say so in
/// what is unknown. `later`: the stream is later than all others, so it is no trailer section.
fn is_request(head: &HeadBuilder, undecoded: bool, later: bool) -> bool {
    !head.is_trailers() || later && (head.has_unknown() || undecoded)
}
