//! What user space asks of the hook that feeds it.

use meshtap_common::IgnoreReason;

use crate::flow::{Direction, SocketId};

/// A request to the hook. TCP sequence numbers in it are made by `transport/tcp` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing of this socket is of use, and why: stop copying it.
    Ignore(SocketId, IgnoreReason),
    /// Its peer socket on this node emits the exchanges of both: it need not be copied.
    Fold(SocketId),
    /// Bytes of this direction before `seq` are not needed; from there a new body budget counts.
    ResumeOffset {
        /// The socket.
        socket: SocketId,
        /// Which way.
        direction: Direction,
        /// TCP sequence number of the next byte of interest.
        seq: u32,
    },
    /// Copy all bytes of this socket from now on: what it speaks has no messages in turn, so the
    /// body budget does not fit it.
    Unlimited(SocketId),
    /// As [`Self::Unlimited`], but DATA of HTTP/2 past the budget of its stream.
    Frames {
        /// The socket.
        socket: SocketId,
        /// Which way.
        direction: Direction,
        /// TCP sequence number of the header of a frame, if one is known.
        next: Option<u32>,
        /// Length of the last DATA that had no flags; zero if there was none.
        usual: u32,
        /// Bytes of it are missing from before the first that were read.
        mid_stream: bool,
    },
}
