//! What a source gives: bytes of a connection, as a hook, a recording or a packet capture saw them.

use crate::flow::{CgroupId, ConnectionId, Direction, Endpoint, Nanos, Offset, SocketId};

/// One event of a source.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A TCP segment, to be put in order.
    Tcp(Segment<'a>),
    /// Bytes of a stream that is in order already, such as those of a TLS session.
    Plaintext(Plaintext<'a>),
    /// Messages of the handshake (RFC 8446 §4) of such a session, counted by offsets of their own.
    Handshake(Plaintext<'a>),
    /// The application has closed a socket: what TCP receives from now on, nobody reads. What was
    /// written is still sent.
    Released {
        /// The socket.
        socket: SocketId,
        /// When.
        time: Nanos,
    },
    /// Nothing more comes of a connection that gave [`Event::Plaintext`].
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// When that was known.
        time: Nanos,
    },
}

impl Event<'_> {
    /// When the kernel handled it.
    #[must_use]
    pub const fn time(&self) -> Nanos {
        match self {
            Self::Tcp(segment) => segment.time,
            Self::Plaintext(plaintext) | Self::Handshake(plaintext) => plaintext.time,
            Self::Released { time, .. } | Self::Closed { time, .. } => *time,
        }
    }

    /// The bytes that it brings.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Tcp(segment) => segment.payload,
            Self::Plaintext(plaintext) | Self::Handshake(plaintext) => plaintext.bytes,
            Self::Released { .. } | Self::Closed { .. } => &[],
        }
    }
}

/// A range of one direction of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When the kernel handled it.
    pub time: Nanos,
    /// Whose socket; the listener's when `listener` is set.
    pub socket: SocketId,
    /// The socket's cgroup (the listener's when `listener` is set).
    pub cgroup: CgroupId,
    /// Which way, as seen by the socket.
    pub direction: Direction,
    /// The socket's own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// TCP sequence number of the first byte.
    pub seq: u32,
    /// TCP acknowledgement number: what the sender had received of the other direction.
    pub ack: u32,
    /// The socket's position in this direction before the segment: bytes before it were given
    /// already, or are missing.
    pub expected: u32,
    /// Bytes on the wire; `payload` holds the first of them, fewer when the rest was not copied.
    pub wire_len: u32,
    /// `expected` is the very first byte of this direction.
    pub start: bool,
    /// FIN: `seq + wire_len` ends this direction.
    pub fin: bool,
    /// RST: the connection is gone.
    pub rst: bool,
    /// The socket is the listener; the connection is the one with the same two ends.
    pub listener: bool,
    /// Bytes were skipped on purpose (body budget), so a gap here is not a loss of the hook's.
    pub skipped: bool,
    /// What is not copied is a part of a frame of HTTP/2, with so many bytes behind the segment;
    /// what is before it may be wanted. `None`: nothing before the end of the segment is wanted.
    pub declined: Option<u32>,
    /// No packet of the other direction is in the capture, as far as it was read. Only a file can
    /// know.
    pub one_sided: bool,
    /// Sequence number of the urgent byte that the segment's pointer names (RFC 6093).
    pub urgent: Option<u32>,
    /// Sequence number where the hook guesses that a frame of HTTP/2 begins. It asks whether one
    /// does.
    pub guess: Option<u32>,
    /// The bytes.
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment that was copied whole. Its numbers, flags, time and cgroup are zero: set those
    /// that matter.
    #[must_use]
    pub fn new(
        socket: SocketId,
        direction: Direction,
        (local, remote): (Endpoint, Endpoint),
        payload: &'a [u8],
    ) -> Self {
        Self {
            time: 0,
            socket,
            cgroup: CgroupId(0),
            direction,
            local,
            remote,
            seq: 0,
            ack: 0,
            expected: 0,
            // No segment is longer than 2^32 bytes: its length has 32 bits on the wire.
            wire_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            start: false,
            fin: false,
            rst: false,
            listener: false,
            skipped: false,
            declined: None,
            one_sided: false,
            urgent: None,
            guess: None,
            payload,
        }
    }
}

/// A range of one direction of a stream that is in order, given with its offset: a TLS session, for
/// one.
#[derive(Clone, Copy, Debug)]
pub struct Plaintext<'a> {
    /// When the bytes were read or written.
    pub time: Nanos,
    /// The connection.
    pub connection: ConnectionId,
    /// The socket below it.
    pub socket: SocketId,
    /// The socket's cgroup.
    pub cgroup: CgroupId,
    /// Which way, as seen by the socket.
    pub direction: Direction,
    /// The socket's own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// The first byte's offset, counted from the first byte of this direction that the hook knows
    /// of.
    pub offset: Offset,
    /// How far the sender had read the other direction when it sent these bytes, where the hook
    /// counts that. Of the other end: the most that it can have read.
    pub heard: Option<Offset>,
    /// Bytes of the range; `bytes` holds the first of them, fewer when the rest was not copied.
    pub len: u64,
    /// Offset 0 is the very first byte of this direction.
    pub start: bool,
    /// The direction ends after these bytes.
    pub end: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}
