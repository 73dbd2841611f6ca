//! HTTP/2 (RFC 9113): the frames of two directions in, exchanges out. Streams interleave, so
//! nothing rests on order, and every exchange is of one stream.
//!
//! ```text
//! Item ─► Receiver (frames, header blocks of one direction) ─► Streams (one exchange each) ─► Exchange
//! ```
//!
//! * A connection with prior knowledge (§3.3) begins with the client's preface; the server may send
//!   first. So does one that was upgraded, after its first request.
//! * One that is older than the agent is recognised by frames, and by a header block that says who
//!   sends requests. What its header compression refers to, and was sent before, is unknown: such
//!   exchanges are [`Partial::Hpack`].
//! * Bytes that are missing inside DATA leave all else as it is. Others lose track of a direction:
//!   it is found again at a chain of frame headers, or dropped after [`MAX_SEARCHED`] bytes; what
//!   was known for header compression is unknown from there on.
//! * Servers differ in what they refuse, so a frame that breaks the protocol ends nothing: where
//!   frames are known to begin it is passed over by its length, elsewhere they are looked for.

mod header_block;
mod inside;
mod join;
mod place;
mod receive;
mod received;
mod streams;
mod sync;

pub(crate) use join::Joiner;

use std::sync::Arc;

use self::receive::Receiver;
use self::received::Received;
use self::streams::Streams;
use super::{Context, Course, End, Messages, Origin};
use crate::exchange::Request;
use crate::flow::{Demand, Direction, Nanos, Offset, Peers};
use crate::http::Anomalies;
use crate::http::h2::frame::{Settings, decode_http2_settings};
use crate::http::h2::stream::{Close, Peer};
use crate::ledger::Partial;
use crate::transport::{Chunk, Gap};

/// Bytes of a direction looked through for frames before it is dropped. A body that is sent
/// without a break is longer only on connections of few, large frames, whose header blocks are gone
/// anyway.
const MAX_SEARCHED: u64 = 4 * 1024 * 1024;

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct H2 {
    receivers: [Receiver; 2],
    streams: Streams,
    requests: Direction,
}

impl H2 {
    /// `start`, by [`Messages`]: nothing came before the direction's first bytes.
    pub(crate) fn new(peers: Arc<Peers>, start: [bool; 2]) -> Self {
        let [requests, responses] = start;
        let mut streams = Streams::new(Arc::clone(&peers));
        for peer in [Peer::Client, Peer::Server] {
            if start[peer as usize] {
                streams.begins(peer);
            }
        }
        Self {
            receivers: [
                Receiver::new(Peer::Client, requests),
                Receiver::new(Peer::Server, responses),
            ],
            requests: peers.side.requests(),
            streams,
        }
    }

    /// After an upgrade from HTTP/1.1 (RFC 7540 §3.2): the request is the first stream, and whole.
    /// `None`: it was not seen, or is emitted. Its `HTTP2-Settings` say what the client allows;
    /// where they make no sense, anything is. `starts`: where it begins, and the first request that
    /// began since the last look. `responses`: nothing came before the responses' first bytes.
    pub(crate) fn upgraded(
        peers: Arc<Peers>,
        request: Option<Box<Request>>,
        starts: (Offset, Option<Offset>),
        responses: bool,
    ) -> Self {
        let mut h2 = Self::new(peers, [true, responses]);
        let server = &mut h2.receivers[Peer::Server as usize];
        let settings = request
            .as_ref()
            .and_then(|request| request.head.fields.get("http2-settings"));
        match settings.and_then(decode_http2_settings) {
            Some(payload) => server.settings(&Settings::of(&payload), false),
            None => h2.receivers[Peer::Client as usize].whole = false,
        }
        h2.streams.upgraded(request.map(|request| *request), starts);
        h2
    }

    fn peer(&self, direction: Direction) -> Peer {
        match Messages::of(direction, self.requests) {
            Messages::Requests => Peer::Client,
            Messages::Responses => Peer::Server,
        }
    }

    /// A direction's position became known. `start`: nothing came before it.
    pub(crate) fn opens(&mut self, direction: Direction, start: bool) {
        let peer = self.peer(direction);
        if self.receivers[peer as usize].opens(peer, start) {
            self.streams.begins(peer);
        }
    }

    /// Bytes came.
    pub(crate) fn chunk(
        &mut self,
        direction: Direction,
        chunk: &Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let from = self.peer(direction);
        let max_stream = self.streams.max_id();
        let limit = cx.bounds.head;
        let (own, mut act) = self.act(from, chunk.time, origin);
        own.push(chunk, max_stream, limit, &mut |received| {
            act.on(received, cx);
        });
    }

    /// Bytes are missing.
    pub(crate) fn gap(
        &mut self,
        direction: Direction,
        gap: &Gap,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        let from = self.peer(direction);
        let (own, mut act) = self.act(from, gap.time, origin);
        let lost = !gap.skipped;
        let survived = own.miss(gap.len, cx.bounds.head, &mut |received| match received {
            Received::Missing(stream, len) => {
                let bytes = Gap { len, ..*gap };
                act.streams.missing(from, stream, &bytes, lost, cx);
            }
            received => act.on(received, cx),
        });
        if !survived {
            act.other.settings_missing();
            // Any of them may have had bytes, or its end, among those missing.
            act.streams.lost_track(from, gap.time, cx);
        }
    }

    /// What acts on what this end sends.
    fn act<'a>(
        &'a mut self,
        from: Peer,
        now: Nanos,
        origin: &'a Origin,
    ) -> (&'a mut Receiver, Act<'a>) {
        let [client, server] = &mut self.receivers;
        let (own, other) = match from {
            Peer::Client => (client, server),
            Peer::Server => (server, client),
        };
        let streams = &mut self.streams;
        let act = Act {
            from,
            now,
            other,
            streams,
            origin,
        };
        (own, act)
    }

    /// The recipient may have read other bytes than the last ones of a direction.
    pub(crate) fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        if anomaly.contains(Anomalies::CONFLICT) {
            let peer = self.peer(direction);
            self.receivers[peer as usize].doubt();
            self.receivers[peer.other() as usize].settings_missing();
            self.streams.doubt(peer);
        }
        self.streams.mark(anomaly);
    }

    /// A direction has ended.
    pub(crate) fn end(&mut self, direction: Direction) {
        let peer = self.peer(direction);
        self.receivers[peer as usize].end();
    }

    /// What becomes of the connection now.
    pub(crate) fn verdict(&self) -> Course {
        let [client, server] = &self.receivers;
        let is_gone = |receiver: &Receiver| receiver.is_lost() || receiver.has_ended();
        if is_gone(client) && is_gone(server) && (client.is_lost() || server.is_lost()) {
            Course::Hopeless
        } else if client.has_ended() && server.has_ended() {
            Course::Over
        } else {
            Course::Go
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let [client, server] = &self.receivers;
        size_of::<Self>() + client.memory() + server.memory() + self.streams.memory()
    }

    /// When the oldest exchange started that is not emitted yet.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.streams.oldest()
    }

    /// An exchange was emitted before it was over.
    pub(crate) fn has_emitted_early(&self) -> bool {
        self.streams.has_emitted_early()
    }

    /// Where the first request begins that started since the last call.
    pub(crate) const fn take_request_start(&mut self) -> Option<Offset> {
        self.streams.take_request_start()
    }

    /// One of its requests that are known begins there.
    pub(crate) fn has_request_at(&self, offset: Offset) -> bool {
        self.streams.has_request_at(offset)
    }

    pub(crate) const fn peers(&self) -> &Arc<Peers> {
        self.streams.peers()
    }

    /// Nothing more comes: what is in flight is emitted.
    pub(crate) fn finish(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        for receiver in &mut self.receivers {
            cx.stats.unread_bytes += receiver.take_unread();
        }
        self.streams.finish_all(end, now, cx);
    }

    /// Emits what is too old, as it stands. Its stream goes on.
    pub(crate) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.streams.expire(now, cx);
    }

    /// The hook guesses that a frame begins there.
    pub(crate) fn guess(&mut self, direction: Direction, offset: Offset) {
        let peer = self.peer(direction);
        self.receivers[peer as usize].guess(offset);
    }

    /// What is wanted of a direction that stands at `position`. Frames of all streams interleave,
    /// and header compression forgives no gap: everything but bodies past their limit, and all of a
    /// connection that carries tunnels.
    pub(crate) fn demand(&self, direction: Direction, position: Offset) -> Demand {
        if self.streams.has_tunnels() {
            return Demand::Unlimited;
        }
        let peer = self.peer(direction);
        let receiver = &self.receivers[peer as usize];
        let left = receiver.left();
        Demand::Frames {
            next: left.map(|left| position + u64::from(left)),
            unwanted: self.streams.unwanted(peer),
            usual: receiver.place.usual,
            guess: receiver.place.judged(),
            mid_stream: !receiver.whole,
        }
    }
}

/// Acts on what a direction carries.
struct Act<'a> {
    from: Peer,
    now: Nanos,
    other: &'a mut Receiver,
    streams: &'a mut Streams,
    origin: &'a Origin,
}

impl Act<'_> {
    fn on(&mut self, received: Received<'_>, cx: &mut Context<'_>) {
        let Self {
            from,
            now,
            other,
            streams,
            origin,
        } = self;
        let (from, now) = (*from, *now);
        match received {
            Received::Block(block) => {
                if let Some(error) = block.error {
                    cx.stats.hpack_errors[error as usize] += 1;
                }
                streams.block(from, *block, now, origin, cx);
            }
            Received::BlockTooLong(stream) => streams.too_large(from, stream, now, cx),
            Received::Data(stream) => streams.data(from, stream, cx),
            Received::Bytes(stream, bytes) => {
                if other.sync.is_followed() {
                    streams.pick_up(from, stream, now, origin, cx);
                }
                streams.bytes(from, stream, bytes, now, cx);
            }
            Received::Missing(..) => {}
            Received::End(stream) => streams.end(from, stream, now, cx),
            Received::Window(stream) => streams.touch(from, stream, cx),
            Received::Reset(stream, code) => {
                streams.touch(from, stream, cx);
                streams.close(stream, Close::Reset(from, code), now, cx);
            }
            Received::GoAway(last) => streams.go_away(from, last, now, cx),
            Received::Settings(settings, whole) => other.settings(&settings, whole),
            Received::MissedSettings => other.settings_missing(),
            Received::Unread(len) => cx.stats.unread_bytes += len,
            Received::Found => cx.stats.http2_resynced += 1,
            Received::Lost => cx.stats.http2_dropped += 1,
            Received::MissedBlocks => {
                other.settings_missing();
                streams.missed_blocks(from);
            }
            Received::Broken(violation) => streams.breaks(violation, cx),
        }
    }
}

/// For [`Streams`]: why an exchange that ends with its connection is not whole.
const fn cut(end: End, responded: bool, requested: bool) -> Partial {
    match end {
        End::Shutdown => Partial::Shutdown,
        End::Evicted => Partial::Evicted,
        End::Gone if !requested => Partial::RequestCut,
        End::Gone if !responded => Partial::NoResponse,
        End::Gone => Partial::ResponseCut,
    }
}
