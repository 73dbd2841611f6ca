//! One connection: how its bytes come in, and what it speaks.

use std::sync::Arc;

use super::fairness::Holder;
use super::folding::PeerSocket;
use super::streams::Streams;
use crate::capture::{Command, IgnoreReason, Plaintext, Segment};
use crate::flow::{ConnectionId, Direction, Nanos, Offset, Secured, Side};
use crate::session::{Context, End, Limits, Origin, Session, Verdict};
use crate::transport::tcp::{Bounds, Progress, is_old};
use crate::transport::{Handshake, Item, Place, Transport};

/// What a connection takes that holds nothing: its place in the table, and what finds it there.
const OVERHEAD: usize = size_of::<Connection>() + 128;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    transport: Transport,
    session: Session,
    interest: Interest,
    streams: Streams,
    /// That of its TLS session, until it is over.
    handshake: Option<Box<Handshake>>,
    /// No packet of the other direction is in the capture.
    pub(super) one_sided: bool,
    /// Its application, a client, has closed the socket: no response is read any more.
    released: bool,
    /// When its last event came.
    pub(super) last: Nanos,
    /// When it is looked at next.
    pub(super) deadline: Nanos,
    /// Bytes it held when it was last counted.
    pub(super) counted: usize,
    /// The peer socket on this node, if there may be one.
    pub(super) peer: PeerSocket,
    /// Its side, once it is among the [`super::folding::PeerSockets`].
    pub(super) listed: Option<Side>,
}

/// Whether the bytes of a connection are of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    /// They are.
    Wanted,
    /// They are not, if TCP has taken what was received before this offset.
    Doubted(Offset),
    /// They are not, and the hook was asked to ignore the socket.
    Refused,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It does.
    Open,
    /// It has ended.
    Over,
}

impl Connection {
    /// Over TCP.
    pub(super) fn tcp(origin: Origin, now: Nanos) -> Self {
        Self::new(origin, Transport::tcp(), now)
    }

    /// Over a stream that is in order already.
    pub(super) fn plain(origin: Origin, now: Nanos) -> Self {
        Self::new(origin, Transport::plain(), now)
    }

    fn new(origin: Origin, transport: Transport, now: Nanos) -> Self {
        Self {
            origin,
            transport,
            session: Session::default(),
            interest: Interest::Wanted,
            streams: Streams::default(),
            handshake: None,
            one_sided: false,
            released: false,
            last: now,
            deadline: Nanos::MAX,
            counted: 0,
            peer: PeerSocket::Unknown,
            listed: None,
        }
    }

    #[inline]
    pub(super) fn segment(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> State {
        self.last = segment.time;
        self.one_sided = segment.one_sided;
        cx.one_sided = segment.one_sided;
        if self.interest == Interest::Refused {
            return match segment.rst {
                true => State::Over,
                false => State::Open,
            };
        }
        if self.released && segment.direction == Direction::Ingress && !is_old(segment) {
            // Nobody reads it: TCP resets the connection, with a packet that is not the socket's.
            return self.end(End::Gone, segment.time, cx);
        }
        let Self {
            origin,
            transport,
            session,
            ..
        } = self;
        let Transport::Tcp(tcp) = transport else {
            return State::Open;
        };
        let bounds = bounds(cx);
        let other = segment.direction.opposite();
        let before = tcp.position(other);
        // Only a session that is fresh starts over.
        let counted = session.is_fresh().then(|| Streams::of(cx.stats));
        session.guess(segment.direction, tcp.guess(segment));
        let mut starts_over = false;
        let progress = tcp.segment(segment, &bounds, &mut |direction, item| {
            starts_over |= matches!(item, Item::Conflict { first: true }) && session.is_fresh();
            if !starts_over {
                session.item(direction, item, origin, cx);
            }
        });
        if let Some(counted) = counted {
            self.streams.add(counted, cx.stats);
        }
        if starts_over {
            return self.start_over(segment, cx);
        }
        let moved = tcp.position(other) != before;
        self.demand(segment.direction, cx);
        if moved {
            self.demand(other, cx);
        }
        match progress {
            Progress::Open if self.released => self.leave(segment.time, cx),
            Progress::Open => self.judge(segment.time, cx),
            Progress::Reset => self.end(End::Gone, segment.time, cx),
        }
    }

    /// Its application has closed the socket. What a server has written by then is still sent, and
    /// so is the rest of a request; but no response that comes later is read.
    #[cold]
    pub(super) fn released(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        if let Transport::Tcp(tcp) = &mut self.transport {
            tcp.released(now);
        }
        if self.session.side() != Some(Side::Client) {
            return State::Open;
        }
        self.released = true;
        self.leave(now, cx)
    }

    /// The application of a client has closed the socket: it ends once all was sent. What comes
    /// after that is of no use, and may still come.
    #[cold]
    fn leave(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        let is_over = match &self.transport {
            Transport::Tcp(tcp) if tcp.has_ended(Direction::Egress) => tcp.is_over(),
            _ => return State::Open,
        };
        let ended = self.end(End::Gone, now, cx);
        if is_over {
            return ended;
        }
        self.session = Session::Ignored(IgnoreReason::Lost);
        // The transport stays: it knows where the requests were.
        self.interest = Interest::Refused;
        State::Open
    }

    pub(super) fn plaintext(&mut self, range: &Plaintext<'_>, cx: &mut Context<'_>) -> State {
        self.last = range.time;
        let Self {
            origin,
            transport,
            session,
            ..
        } = self;
        if let Transport::Plain(plain) = transport
            && !session.is_ignored()
        {
            plain.range(range, &mut |item| {
                session.item(range.direction, item, origin, cx);
            });
            return self.judge(range.time, cx);
        }
        State::Open
    }

    /// Messages of its handshake.
    pub(super) fn handshake(&mut self, range: &Plaintext<'_>) {
        self.last = range.time;
        let handshake = self.handshake.get_or_insert_default();
        let secured = handshake.range(range.direction, range.offset, range.bytes);
        if handshake.is_over() {
            self.handshake = None;
            let by = self.origin.cgroup;
            self.origin.secured = secured.map(|secured| Arc::new(Secured { by, ..secured }));
        }
    }

    /// Passes on what is wanted of a direction.
    #[inline]
    fn demand(&mut self, direction: Direction, cx: &mut Context<'_>) {
        if !cx.limits.positions {
            // A file gives all that it has: what is not there is missing, wanted or not.
            return;
        }
        let Some(position) = self.transport.position(direction) else {
            return;
        };
        let demand = self.session.demand(direction, position);
        let asked = self.transport.demand(self.origin.socket, direction, demand);
        cx.output.commands.extend(asked);
    }

    /// Acts on what its session says of it.
    #[inline]
    fn judge(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        let ended = self.transport.is_over();
        match self.session.verdict(ended, now, cx) {
            Verdict::Open => State::Open,
            Verdict::Over => self.end(End::Gone, now, cx),
            Verdict::Ignore(reason) => {
                self.ignore(reason, cx);
                State::Open
            }
        }
    }

    /// The first bytes were none that TCP took: those that it takes are the first.
    #[cold]
    fn start_over(&mut self, segment: &Segment<'_>, cx: &mut Context<'_>) -> State {
        std::mem::take(&mut self.streams).take_back(cx.stats);
        self.session = Session::default();
        self.interest = Interest::Wanted;
        self.transport = Transport::tcp();
        self.segment(segment, cx)
    }

    /// Nothing of it is of use any more, unless that was decided on bytes that TCP may yet refuse.
    fn ignore(&mut self, reason: IgnoreReason, cx: &mut Context<'_>) {
        let Transport::Tcp(tcp) = &mut self.transport else {
            return;
        };
        let decided_at = match self.interest {
            Interest::Refused => return,
            Interest::Doubted(decided_at) => decided_at,
            Interest::Wanted => tcp.position(Direction::Ingress).unwrap_or_default(),
        };
        if !tcp.is_taken(decided_at) {
            self.interest = Interest::Doubted(decided_at);
            return;
        }
        self.interest = Interest::Refused;
        self.transport = Transport::tcp();
        (cx.output.commands).push(Command::Ignore(self.origin.socket, reason));
    }

    /// Ends it: what is kept early is handed on, what is in flight is emitted or counted.
    pub(super) fn end(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) -> State {
        let Self {
            origin,
            transport,
            session,
            ..
        } = self;
        if let Transport::Tcp(tcp) = transport {
            tcp.flush(&bounds(cx), &mut |direction, item| {
                session.item(direction, item, origin, cx);
            });
        }
        session.finish(end, now, cx);
        State::Over
    }

    /// Lets time pass.
    pub(super) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        let Self {
            origin,
            transport,
            session,
            ..
        } = self;
        if let Transport::Tcp(tcp) = transport {
            let progress = tcp.expire(
                now,
                cx.limits.reorder_wait,
                &bounds(cx),
                &mut |direction, item| {
                    session.item(direction, item, origin, cx);
                },
            );
            if progress == Progress::Reset {
                return self.end(End::Gone, now, cx);
            }
            if self.released && self.leave(now, cx) == State::Over {
                return State::Over;
            }
            self.demand(Direction::Ingress, cx);
            self.demand(Direction::Egress, cx);
        }
        self.session.expire(now, cx);
        match self.session.oldest() {
            None if now >= self.forgotten_at(cx.limits) => self.end(End::Gone, now, cx),
            _ if self.session.is_ignored() => State::Open,
            _ => self.judge(now, cx),
        }
    }

    /// Bytes before others are awaited, or bytes before a reset: that ends sooner than anything
    /// else.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.transport.is_waiting()
    }

    /// Until when what is received waits, if it does.
    #[inline]
    pub(super) fn held_until(&self) -> Option<Nanos> {
        self.transport.held_until()
    }

    /// When it is to be looked at next, if no event comes.
    pub(super) fn due(&self, limits: &Limits) -> Nanos {
        let age = match self.session.oldest() {
            Some(began) => began.saturating_add(limits.exchange_age),
            None => self.forgotten_at(limits),
        };
        let due = self.transport.due(limits.reorder_wait);
        due.map_or(age, |due| due.min(age))
    }

    /// When it has been silent for too long, nothing being in flight.
    fn forgotten_at(&self, limits: &Limits) -> Nanos {
        let more = match self.session.has_emitted_early() {
            // Its response may still come, and would look like one without a request.
            true => limits.exchange_age,
            false => 0,
        };
        self.last.saturating_add(limits.idle).saturating_add(more)
    }

    /// Bytes it holds, its own place among them.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        let handshake = self.handshake.as_deref().map_or(0, Handshake::memory);
        OVERHEAD + handshake + self.session.memory() + self.transport.memory()
    }

    /// A request that began since the last call: the side of the socket, and where the request is
    /// for both ends.
    #[inline]
    pub(super) fn take_request_start(&mut self) -> Option<(Side, Place)> {
        let (peers, offset) = self.session.take_request_start()?;
        let side = peers.side;
        let place = self.transport.place(side.requests(), offset)?;
        Some((side, place))
    }

    /// Where a request is for both ends.
    pub(super) fn place(&self, side: Side, offset: Offset) -> Option<Place> {
        self.transport.place(side.requests(), offset)
    }

    /// As the socket of this side, it has a request there.
    pub(super) fn has_request_at(&self, side: Side, place: Place) -> bool {
        let requests = side.requests();
        let offset = self.transport.offset(requests, place);
        offset.is_some_and(|offset| self.session.has_request_at(requests, offset))
    }

    /// Whose share of a bound it takes.
    pub(super) const fn holder(&self) -> Holder {
        Holder {
            cgroup: self.origin.cgroup,
            remote: self.origin.remote.mapped(),
        }
    }

    pub(super) const fn id(&self) -> ConnectionId {
        self.origin.connection
    }
}

const fn bounds(cx: &Context<'_>) -> Bounds {
    Bounds {
        reorder_bytes: cx.limits.reorder_bytes,
        positions: cx.limits.positions,
    }
}
