//! One connection: its two streams, and what it speaks.

use super::table::Key;
use crate::capture::{Command, Segment};
use crate::flow::{Direction, Nanos, Side, SocketId};
use crate::session::detect::{Detect, Found};
use crate::session::h1::{End, H1, Verdict};
use crate::session::{Context, Half, Identity, Limits};
use crate::transport::tcp::{Assembler, Bounds, Item, distance};

/// How far from the socket's position a reset is believed: the hook runs before TCP looks at it.
const RESET_WINDOW: i32 = 16 * 1024 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) identity: Identity,
    ingress: Assembler,
    egress: Assembler,
    protocol: Protocol,
    /// A reset that overtook bytes of its direction.
    reset: Option<Reset>,
    /// When its last segment came.
    pub(super) last: Nanos,
    /// When it is looked at next.
    pub(super) deadline: Nanos,
    /// Bytes it held when it was last counted.
    pub(super) counted: usize,
    /// The other end of the same local connection, if there may be one.
    pub(super) peer: PeerSocket,
    /// Its side, once it is among the [`super::folding::PeerSockets`].
    pub(super) listed: Option<Side>,
}

/// A reset, in the direction of its sender.
#[derive(Clone, Copy, Debug)]
struct Reset {
    direction: Direction,
    seq: u32,
    time: Nanos,
}

/// What is known of the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerSocket {
    /// Not looked for yet.
    Unknown,
    /// No other end has been seen.
    Alone,
    /// A connection between the same two addresses, with the other side.
    Candidate(Key),
    /// It is the same connection.
    Linked,
}

/// What a connection speaks. A further protocol is a further variant.
#[derive(Debug)]
enum Protocol {
    Detect(Detect),
    Http1(Box<H1>),
    /// Nothing that is read, or nothing more that can be told.
    Ignored,
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
    pub(super) fn new(identity: Identity, now: Nanos) -> Self {
        Self {
            identity,
            ingress: Assembler::default(),
            egress: Assembler::default(),
            protocol: Protocol::Detect(Detect::default()),
            reset: None,
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
        if let Protocol::Ignored = self.protocol {
            return match segment.rst {
                true => State::Over,
                false => State::Open,
            };
        }
        let bounds = Bounds {
            reorder_bytes: cx.limits.reorder_bytes,
        };
        let direction = segment.direction;
        let Self {
            identity,
            ingress,
            egress,
            protocol,
            ..
        } = self;
        let (own, other) = match direction {
            Direction::Ingress => (ingress, egress),
            Direction::Egress => (egress, ingress),
        };
        if segment.rst {
            // What a reset carries is no part of the stream (RFC 9293 §3.5.2).
            if direction == Direction::Ingress && !plausible_reset(own, segment) {
                return State::Open;
            }
            if !has_reached(own, segment.seq) {
                // What was sent before it may still come.
                self.reset.get_or_insert(Reset {
                    direction,
                    seq: segment.seq,
                    time: segment.time,
                });
                return State::Open;
            }
            return self.end(End::Gone, segment.time, cx);
        }
        // What the sender had received, the hook was given before.
        other.acknowledged(segment.ack, segment.time, &mut |item| {
            protocol.item(direction.opposite(), item, identity, cx);
        });
        own.push(segment, &bounds, &mut |item| {
            protocol.item(direction, item, identity, cx);
        });
        if let Protocol::Http1(h1) = protocol {
            let requests = h1.peers().side.requests();
            if let Some(seq) = h1.unneeded(Half::of(direction, requests)) {
                own.unneeded(seq);
            }
        }
        match self.reset {
            Some(reset) if reset.direction == direction && has_reached(own, reset.seq) => {
                self.end(End::Gone, segment.time, cx)
            }
            _ => self.judge(segment.time, cx),
        }
    }

    /// Acts on what its protocol says of it.
    #[inline]
    fn judge(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        match &mut self.protocol {
            Protocol::Http1(h1) => match h1.verdict() {
                Verdict::Go => State::Open,
                Verdict::Over => self.end(End::Gone, now, cx),
                Verdict::NotHttp => {
                    cx.stats.not_http += 1;
                    self.ignore(now, cx);
                    State::Open
                }
                Verdict::Hopeless => {
                    self.ignore(now, cx);
                    State::Open
                }
            },
            Protocol::Detect(_) if self.ingress.ended() && self.egress.ended() => {
                self.end(End::Gone, now, cx)
            }
            Protocol::Detect(_) => State::Open,
            Protocol::Ignored => {
                // It has just become so.
                self.ignore(now, cx);
                State::Open
            }
        }
    }

    /// Nothing of it is of use any more.
    fn ignore(&mut self, now: Nanos, cx: &mut Context<'_>) {
        if let Protocol::Http1(h1) = &mut self.protocol {
            h1.end(End::Gone, now, cx);
        }
        self.protocol = Protocol::Ignored;
        self.ingress = Assembler::default();
        self.egress = Assembler::default();
        cx.output
            .commands
            .push(Command::Ignore(self.identity.socket));
    }

    /// Ends it: what is kept early is handed on, what is open is told or counted.
    pub(super) fn end(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) -> State {
        let Self {
            identity,
            ingress,
            egress,
            protocol,
            ..
        } = self;
        ingress.flush(now, &mut |item| {
            protocol.item(Direction::Ingress, item, identity, cx);
        });
        egress.flush(now, &mut |item| {
            protocol.item(Direction::Egress, item, identity, cx);
        });
        match protocol {
            Protocol::Http1(h1) => h1.end(end, now, cx),
            Protocol::Detect(detect) => detect.end(end, cx),
            Protocol::Ignored => {}
        }
        State::Over
    }

    /// Lets time pass.
    pub(super) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        for direction in [Direction::Ingress, Direction::Egress] {
            self.give_up_waiting(direction, now, cx);
        }
        let waited = |reset: Reset| now.saturating_sub(reset.time) >= cx.limits.reorder_wait;
        if self.reset.is_some_and(waited) {
            return self.end(End::Gone, now, cx);
        }
        if let Protocol::Http1(h1) = &mut self.protocol
            && let Some(oldest) = now.checked_sub(cx.limits.exchange_age)
        {
            h1.expire(oldest, now, cx);
        }
        match self.oldest() {
            None if now >= self.forgotten_at(cx.limits) => self.end(End::Gone, now, cx),
            _ => self.judge_if_active(now, cx),
        }
    }

    fn judge_if_active(&mut self, now: Nanos, cx: &mut Context<'_>) -> State {
        match self.protocol {
            Protocol::Ignored => State::Open,
            Protocol::Detect(_) | Protocol::Http1(_) => self.judge(now, cx),
        }
    }

    fn give_up_waiting(&mut self, direction: Direction, now: Nanos, cx: &mut Context<'_>) {
        let Self {
            identity,
            ingress,
            egress,
            protocol,
            ..
        } = self;
        let stream = match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        while stream
            .waiting_since()
            .is_some_and(|since| now.saturating_sub(since) >= cx.limits.reorder_wait)
        {
            stream.give_up(now, &mut |item| {
                protocol.item(direction, item, identity, cx);
            });
        }
    }

    /// When it is to be looked at next, if no segment comes.
    pub(super) fn due(&self, limits: &Limits) -> Nanos {
        let age = match self.oldest() {
            Some(began) => began.saturating_add(limits.exchange_age),
            None => self.forgotten_at(limits),
        };
        [&self.ingress, &self.egress]
            .iter()
            .filter_map(|stream| stream.waiting_since())
            .chain(self.reset.map(|reset| reset.time))
            .map(|since| since.saturating_add(limits.reorder_wait))
            .fold(age, Nanos::min)
    }

    /// When it has been silent for too long, nothing being open.
    fn forgotten_at(&self, limits: &Limits) -> Nanos {
        let told_early = self.http1().is_some_and(H1::has_told_early);
        let more = match told_early {
            // Its answer may still come, and would look like one without a request.
            true => limits.exchange_age,
            false => 0,
        };
        self.last.saturating_add(limits.idle).saturating_add(more)
    }

    fn oldest(&self) -> Option<Nanos> {
        match &self.protocol {
            Protocol::Http1(h1) => h1.oldest(),
            Protocol::Detect(_) | Protocol::Ignored => None,
        }
    }

    /// Bytes of heads, bodies and reordering it holds.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        let protocol = match &self.protocol {
            Protocol::Http1(h1) => h1.memory(),
            Protocol::Detect(detect) => detect.memory(),
            Protocol::Ignored => 0,
        };
        protocol + self.ingress.memory() + self.egress.memory()
    }

    pub(super) fn http1(&self) -> Option<&H1> {
        match &self.protocol {
            Protocol::Http1(h1) => Some(h1),
            Protocol::Detect(_) | Protocol::Ignored => None,
        }
    }

    #[inline]
    pub(super) fn http1_mut(&mut self) -> Option<&mut H1> {
        match &mut self.protocol {
            Protocol::Http1(h1) => Some(h1),
            Protocol::Detect(_) | Protocol::Ignored => None,
        }
    }

    pub(super) const fn socket(&self) -> SocketId {
        self.identity.socket
    }
}

impl Protocol {
    #[inline]
    fn item(
        &mut self,
        direction: Direction,
        item: Item<'_>,
        identity: &Identity,
        cx: &mut Context<'_>,
    ) {
        if let Item::Gap(gap) = &item {
            match gap.skipped {
                true => cx.stats.skipped_bytes += u64::from(gap.len),
                false => {
                    cx.stats.gaps += 1;
                    cx.stats.gap_bytes += u64::from(gap.len);
                }
            }
        }
        match self {
            Self::Http1(h1) => {
                let half = Half::of(direction, h1.peers().side.requests());
                h1.item(half, item, cx);
            }
            Self::Detect(detect) => match detect.item(direction, item, identity, cx) {
                Found::Nothing => {}
                Found::Http1(h1) => *self = Self::Http1(h1),
                Found::Http2 => {
                    cx.stats.http2 += 1;
                    *self = Self::Ignored;
                }
                Found::Other => {
                    cx.stats.not_http += 1;
                    *self = Self::Ignored;
                }
            },
            Self::Ignored => {}
        }
    }
}

/// All bytes of a direction before `seq` are there, or none is known of.
fn has_reached(stream: &Assembler, seq: u32) -> bool {
    stream
        .position()
        .is_none_or(|position| distance(position, seq) <= 0)
}

/// A reset that TCP may accept: near the position of the stream.
fn plausible_reset(stream: &Assembler, segment: &Segment<'_>) -> bool {
    let window = |from: u32| (0..RESET_WINDOW).contains(&distance(from, segment.seq));
    window(segment.expected) && stream.position().is_none_or(window)
}
