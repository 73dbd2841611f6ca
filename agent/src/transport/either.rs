//! How the bytes of a connection come in: as segments of TCP, or in order already.

use super::plain::Plain;
use super::tcp::{Tcp, WirePosition};
use crate::capture::Command;
use crate::flow::{Demand, Direction, Nanos, Offset, SocketId};

/// The transport of a connection.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every connection is the large one, and would be two places in memory"
)]
pub(crate) enum Transport {
    /// Segments.
    Tcp(Tcp),
    /// Ranges of a stream.
    Plain(Plain),
}

/// Where a byte of a direction is, in numbers that both ends of a connection have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(Number);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Number {
    /// On the wire.
    Wire(WirePosition),
    /// In plaintext of which the very first byte is known.
    FromStart(Offset),
}

impl Transport {
    /// Nothing came yet of a connection over TCP.
    pub(crate) fn tcp() -> Self {
        Self::Tcp(Tcp::default())
    }

    /// Nothing came yet of a stream that is in order.
    pub(crate) fn plain() -> Self {
        Self::Plain(Plain::default())
    }

    /// The offset of the next byte of a direction, where a hook can be asked for it.
    #[inline]
    pub(crate) fn position(&self, direction: Direction) -> Option<Offset> {
        match self {
            Self::Tcp(tcp) => tcp.position(direction),
            Self::Plain(_) => None,
        }
    }

    /// What to ask of the hook, now that this is wanted of a direction of the socket.
    #[inline]
    pub(crate) fn demand(
        &mut self,
        socket: SocketId,
        direction: Direction,
        demand: Demand,
    ) -> Option<Command> {
        match self {
            Self::Tcp(tcp) => tcp.demand(socket, direction, demand),
            Self::Plain(_) => None,
        }
    }

    /// Both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_over(),
            Self::Plain(plain) => plain.is_over(),
        }
    }

    /// Bytes before others are awaited, or bytes before a reset.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_waiting(),
            Self::Plain(_) => false,
        }
    }

    /// Until when what is received waits, if it does.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<Nanos> {
        match self {
            Self::Tcp(tcp) => tcp.held_until(),
            Self::Plain(_) => None,
        }
    }

    /// When it is to be looked at next, if nothing comes.
    pub(crate) fn due(&self, wait: Nanos) -> Option<Nanos> {
        match self {
            Self::Tcp(tcp) => tcp.due(wait),
            Self::Plain(_) => None,
        }
    }

    /// Bytes kept early.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.memory(),
            Self::Plain(_) => 0,
        }
    }

    /// Where a byte of a direction is, if the other end can know that.
    pub(crate) fn place(&self, direction: Direction, offset: Offset) -> Option<Place> {
        let number = match self {
            Self::Tcp(tcp) => Number::Wire(tcp.wire_position(direction, offset)),
            Self::Plain(plain) if plain.is_from_start(direction) => Number::FromStart(offset),
            Self::Plain(_) => return None,
        };
        Some(Place(number))
    }

    /// The offset of the byte that is there.
    pub(crate) fn offset(&self, direction: Direction, place: Place) -> Option<Offset> {
        match (self, place.0) {
            (Self::Tcp(tcp), Number::Wire(position)) => Some(tcp.offset(direction, position)),
            (Self::Plain(plain), Number::FromStart(offset)) => {
                plain.is_from_start(direction).then_some(offset)
            }
            _ => None,
        }
    }
}
