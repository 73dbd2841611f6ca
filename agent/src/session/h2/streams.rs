//! The streams of an HTTP/2 connection: one exchange each.

mod connect;
mod ending;
mod heads;
mod message;
mod seen;
mod violations;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) use self::connect::Early;
use self::message::Stream;
use self::seen::Seen;
use super::super::{Context, End};
use crate::exchange::Request;
use crate::flow::{Nanos, Offset, Peers};
use crate::http::Anomalies;
use crate::http::h2::stream::{Close, Peer};
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
    /// By who opens them.
    seen: [Seen; 2],
    /// The last ones that ended as they should.
    finished: VecDeque<u32>,
    /// A frame broke the protocol, and that is counted.
    broken: bool,
    /// Streams whose request was not seen, and whose response was, and goes on.
    unasked: BTreeSet<u32>,
    /// Where a request begins that started since the last look; the first one, and the last one.
    unseen: Option<Offset>,
    first_request: Option<Offset>,
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
            seen: [Seen::NONE; 2],
            finished: VecDeque::new(),
            broken: false,
            unasked: BTreeSet::new(),
            unseen: None,
            first_request: None,
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

    /// The first stream is this request; `None`: its exchange is not emitted.
    pub(super) fn upgraded(
        &mut self,
        request: Option<Request>,
        (offset, unseen): (Offset, Option<Offset>),
    ) {
        self.saw(1);
        self.unseen = unseen;
        let stream = match request {
            Some(request) => {
                self.first_request = Some(offset);
                Stream::upgraded(request, offset)
            }
            None => Stream::ignored(offset),
        };
        self.insert(1, stream);
    }

    pub(super) const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub(super) const fn max_id(&self) -> u32 {
        self.max_id
    }

    pub(super) fn memory(&self) -> usize {
        /// Of each number in a set, its nodes included.
        const UNASKED: usize = 16;
        let finished = self.finished.capacity() * size_of::<u32>();
        self.held + finished + self.unasked.len() * UNASKED
    }

    pub(super) const fn take_request_start(&mut self) -> Option<Offset> {
        self.unseen.take()
    }

    pub(super) fn has_request_at(&self, offset: Offset) -> bool {
        let mut streams = self.streams.values();
        [self.first_request, self.last_request].contains(&Some(offset))
            || streams.any(|stream| stream.offset == offset)
    }

    /// Identifiers grow with time, so the first one in flight is the oldest.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.streams.values().find_map(Stream::oldest)
    }

    pub(super) fn has_emitted_early(&self) -> bool {
        let mut streams = self.streams.values();
        streams.any(|stream| stream.started().is_none())
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
            if stream.state.has_ended(from) {
                return;
            }
            unwanted = 0;
            match &mut stream.inside {
                Some(inside) => inside.bytes(from, bytes, now, cx),
                None => unwanted = stream.push(from, bytes, cx.bounds.body, now),
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
            _ if stream.state.has_ended(from) => {}
            Some(inside) => inside.gap(from, gap, cx),
            None => stream.miss(from, gap.len, lost, cx.bounds.body),
        });
    }

    /// Header blocks of a direction may have been passed over.
    pub(super) const fn missed_blocks(&mut self, from: Peer) {
        self.seen[from as usize].restart();
    }

    /// Anything may be among what is missing of a direction.
    pub(super) fn lost_track(&mut self, from: Peer, now: Nanos, cx: &mut Context<'_>) {
        self.missed_blocks(from);
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            self.change(id, cx, |stream, cx| stream.lost_track(from, now, cx));
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
        self.is_silent(from, id);
        self.change(id, cx, |stream, cx| {
            stream.end(from, now);
            if let Some(inside) = &mut stream.inside {
                inside.end(from, now, cx);
            }
            closed = stream.state.is_closed();
        });
        if closed {
            self.finish(id, None, now, cx);
            self.remember(id);
        }
    }

    /// This end says nothing more on a stream.
    fn is_silent(&mut self, from: Peer, id: u32) {
        if from == Peer::Server && !self.unasked.is_empty() {
            self.unasked.remove(&id);
        }
    }

    /// A stream ends before its time.
    pub(super) fn close(&mut self, id: u32, close: Close, now: Nanos, cx: &mut Context<'_>) {
        let mut partial = None;
        self.is_silent(Peer::Server, id);
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
            let Some(exchange) = stream.take(id, peers, upgrade, cx.bounds.body, now) else {
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

    /// The request on a stream was seen.
    fn saw(&mut self, id: u32) {
        self.max_id = self.max_id.max(id);
        self.seen[opens(id) as usize].add(id);
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

/// Who opens a stream (RFC 9113 §5.1.1).
const fn opens(id: u32) -> Peer {
    match id % 2 {
        1 => Peer::Client,
        _ => Peer::Server,
    }
}
