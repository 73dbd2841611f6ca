//! Both directions of a TCP connection.

use super::advance::Receiver;
use super::gate::{self, Gate, Held};
use super::reset::{self, Reset, Verdict};
use super::window::{Wanted, Window};
use super::{Assembler, Bounds};
use crate::capture::{Command, Segment};
use crate::flow::{Demand, Direction, Nanos, Offset, SocketId};
use crate::transport::Item;

/// A TCP connection.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    ingress: Way,
    egress: Way,
    reset: Option<Reset>,
    gate: Gate,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    assembler: Assembler,
    window: Window,
}

/// What became of a connection with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on.
    Open,
    /// It was reset.
    Reset,
}

/// Where a byte is on the wire: the same at both ends of a connection, when nothing between them
/// rewrites it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WirePosition(u32);

impl Tcp {
    /// Takes a segment. What is received waits until TCP is known to have taken it.
    #[inline]
    pub(crate) fn segment(
        &mut self,
        segment: &Segment<'_>,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
    ) -> Progress {
        self.gate.note(segment);
        if !self.gate.is_empty()
            && self.let_through(bounds, receiver, Gate::taken) == Progress::Reset
        {
            return Progress::Reset;
        }
        if !bounds.positions || !self.gate.is_for(segment) {
            return self.take(segment, bounds, receiver);
        }
        self.gate.hold(segment, !self.ingress.assembler.given);
        self.let_through(bounds, receiver, |gate| gate.overflow(bounds.reorder_bytes))
    }

    /// Lets through what `next` gives, until the connection is reset.
    #[inline(never)]
    fn let_through(
        &mut self,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
        next: impl Fn(&mut Gate) -> Option<Held>,
    ) -> Progress {
        while let Some(held) = next(&mut self.gate) {
            if self.pass(&held, bounds, receiver) == Progress::Reset {
                return Progress::Reset;
            }
        }
        Progress::Open
    }

    fn pass(
        &mut self,
        held: &Held,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
    ) -> Progress {
        let conflict = Item::Conflict { first: false };
        // A message may be at its end there, another one may begin: both are in doubt.
        if held.disputed {
            receiver(Direction::Ingress, conflict);
        }
        let progress = self.take(&held.segment(), bounds, receiver);
        if held.disputed {
            receiver(Direction::Ingress, conflict);
        }
        progress
    }

    /// Hands on what became known with a segment, first of the other direction: what the sender had
    /// received of it, the hook was given before.
    #[inline]
    fn take(
        &mut self,
        segment: &Segment<'_>,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
    ) -> Progress {
        let direction = segment.direction;
        let Self {
            ingress,
            egress,
            reset,
            gate,
        } = self;
        let (own, other) = match direction {
            Direction::Ingress => (ingress, egress),
            Direction::Egress => (egress, ingress),
        };
        if segment.rst {
            // What a reset carries is no part of the stream (RFC 9293 §3.5.2).
            let verdict = reset::judge(&own.assembler, segment, gate, bounds.positions);
            return act(verdict, reset);
        }
        reset::refute(reset);
        other.assembler.anchor(segment.ack, is_certain(segment));
        let mut spoken = None;
        other.assembler.acknowledged(
            segment.ack,
            segment.time,
            &mut Receiver::new(own.assembler.at(), |item: Item<'_>| {
                note(&mut spoken, &item);
                receiver(direction.opposite(), item);
            }),
        );
        if let Some(offset) = spoken.take() {
            other.window.spoke(offset);
            own.window.heard();
        }
        own.assembler.push(
            segment,
            bounds,
            &mut Receiver::new(other.assembler.at(), |item: Item<'_>| {
                note(&mut spoken, &item);
                receiver(direction, item);
            }),
        );
        if !bounds.positions && is_silent(segment, &own.assembler) {
            receiver(
                direction,
                Item::Heard(other.assembler.at().offset(segment.ack)),
            );
        }
        if let Some(offset) = spoken {
            own.window.spoke(offset);
            other.window.heard();
        }
        match reset {
            Some(reset) if reset.is_reached(direction, &own.assembler) => Progress::Reset,
            _ => Progress::Open,
        }
    }

    /// The application has closed the socket.
    pub(crate) fn released(&mut self, now: Nanos) {
        if let Some(reset) = &mut self.reset {
            reset.released(now);
        }
    }

    /// Takes holes for missing that were waited for since `wait` ago.
    pub(crate) fn expire(
        &mut self,
        now: Nanos,
        wait: Nanos,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
    ) -> Progress {
        let before = now.saturating_sub(gate::WAIT).saturating_add(1);
        let waited = |gate: &mut Gate| gate.waited(before);
        if self.let_through(bounds, receiver, waited) == Progress::Reset {
            return Progress::Reset;
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            let (own, other) = self.pair(direction);
            let peer = other.assembler.at();
            while own
                .assembler
                .waiting_since()
                .is_some_and(|since| now.saturating_sub(since) >= wait)
            {
                own.assembler
                    .pass_hole(&mut Receiver::new(peer, |item: Item<'_>| {
                        receiver(direction, item);
                    }));
            }
        }
        match self.reset {
            Some(reset) if now >= reset.due() => Progress::Reset,
            _ => Progress::Open,
        }
    }

    /// Nothing more comes: hands on what is kept early.
    pub(crate) fn flush(
        &mut self,
        bounds: &Bounds,
        receiver: &mut impl FnMut(Direction, Item<'_>),
    ) {
        while let Some(held) = self.gate.flush() {
            self.pass(&held, bounds, receiver);
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            let (own, other) = self.pair(direction);
            let peer = other.assembler.at();
            own.assembler
                .flush(&mut Receiver::new(peer, |item: Item<'_>| {
                    receiver(direction, item);
                }));
        }
    }

    /// Bytes before others are awaited, or bytes before a reset.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        self.ingress.assembler.is_waiting()
            || self.egress.assembler.is_waiting()
            || self.reset.is_some()
    }

    /// When it is to be looked at next, if no segment comes.
    pub(crate) fn due(&self, wait: Nanos) -> Option<Nanos> {
        let ingress = self.ingress.assembler.waiting_since();
        let egress = self.egress.assembler.waiting_since();
        let holes = [ingress, egress].into_iter().flatten();
        holes
            .map(|since| since.saturating_add(wait))
            .chain(self.reset.map(Reset::due))
            .chain(self.gate.due())
            .min()
    }

    /// Until when what is received waits, if it does.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<Nanos> {
        self.gate.due()
    }

    /// What to ask of the hook, now that this is wanted of a direction of the socket.
    #[inline]
    pub(crate) fn demand(
        &mut self,
        socket: SocketId,
        direction: Direction,
        demand: Demand,
    ) -> Option<Command> {
        let (own, _) = self.pair(direction);
        let position = own.assembler.offset()?;
        let wanted = own.window.advance(position, demand);
        if let Some(offset) = own.window.until() {
            own.assembler.unneeded(own.assembler.at().seq(offset));
        }
        let (usual, mid_stream) = match demand {
            Demand::Frames {
                usual, mid_stream, ..
            } => (usual, mid_stream),
            _ => (0, false),
        };
        let at = own.assembler.at();
        Some(match wanted? {
            Wanted::From(offset) => Command::ResumeOffset {
                socket,
                direction,
                seq: at.seq(offset),
            },
            Wanted::Everything => Command::Unlimited(socket),
            Wanted::Frames(next) => Command::Frames {
                socket,
                direction,
                next: next.map(|offset| at.seq(offset)),
                usual,
                mid_stream,
            },
        })
    }

    /// The offset of the next byte of a direction, once anything is known of it.
    #[inline]
    pub(crate) fn position(&self, direction: Direction) -> Option<Offset> {
        self.way(direction).assembler.offset()
    }

    /// Where a byte of a direction is on the wire.
    pub(crate) fn wire_position(&self, direction: Direction, offset: Offset) -> WirePosition {
        WirePosition(self.way(direction).assembler.at().seq(offset))
    }

    /// The offset of the byte that is there on the wire.
    pub(crate) fn offset(&self, direction: Direction, position: WirePosition) -> Offset {
        self.way(direction).assembler.at().offset(position.0)
    }

    /// Where the hook guesses that a frame begins, once anything is known of the direction.
    pub(crate) fn guess(&self, segment: &Segment<'_>) -> Option<Offset> {
        let assembler = &self.way(segment.direction).assembler;
        let seq = segment.guess?;
        assembler.offset().map(|_| assembler.at().offset(seq))
    }

    /// A direction has ended.
    pub(crate) const fn has_ended(&self, direction: Direction) -> bool {
        self.way(direction).assembler.ended()
    }

    /// Both directions have ended.
    pub(crate) const fn is_over(&self) -> bool {
        self.ingress.assembler.ended() && self.egress.assembler.ended()
    }

    /// TCP is known to have taken every byte received before this offset that was handed on.
    pub(crate) fn is_taken(&self, offset: Offset) -> bool {
        self.ingress.assembler.is_taken(offset)
    }

    /// Bytes kept early.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        let ends = [&self.ingress.assembler, &self.egress.assembler];
        let held: usize = ends.iter().map(|end| end.memory() + end.kept()).sum();
        held + self.gate.memory()
    }

    const fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// A direction and the other one.
    const fn pair(&mut self, direction: Direction) -> (&mut Way, &mut Way) {
        match direction {
            Direction::Ingress => (&mut self.ingress, &mut self.egress),
            Direction::Egress => (&mut self.egress, &mut self.ingress),
        }
    }
}

/// Nothing of the other direction from the segment's acknowledgement on was sent before the capture
/// began: a socket reports what it has received itself; of the other end's word, all is known from
/// the first byte on.
const fn is_certain(segment: &Segment<'_>) -> bool {
    // Data in a SYN acknowledges nothing (RFC 7413).
    matches!(segment.direction, Direction::Egress) || segment.start && segment.ack != 0
}

/// Does what is to be done at a reset.
fn act(verdict: Verdict, waiting: &mut Option<Reset>) -> Progress {
    match verdict {
        Verdict::Ignored => Progress::Open,
        Verdict::Over => Progress::Reset,
        Verdict::Waits(overtaking) => {
            reset::wait(waiting, overtaking);
            Progress::Open
        }
    }
}

/// Nothing but an acknowledgement, where the direction stands.
fn is_silent(segment: &Segment<'_>, own: &Assembler) -> bool {
    segment.wire_len == 0 && !segment.fin && own.position() == Some(segment.seq)
}

/// Notes the first byte that is handed on.
#[inline]
const fn note(spoken: &mut Option<Offset>, item: &Item<'_>) {
    if let Item::Chunk(chunk) = item
        && spoken.is_none()
    {
        *spoken = Some(chunk.offset);
    }
}
