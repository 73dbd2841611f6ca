//! Which bytes of a direction are of use.

use super::Offset;

/// What is wanted of one direction of a connection. It travels outwards as bytes travel inwards:
/// from a session to the transport, and from there to the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The bytes that come next.
    Next,
    /// Nothing before this offset; what is there is wanted.
    From(Offset),
    /// Nothing, as long as the other direction is silent.
    Nothing,
    /// Every byte, whatever the other direction does: the protocol has no messages in turn.
    Unlimited,
    /// As [`Self::Unlimited`], but what a stream of HTTP/2 carries past its budget.
    Frames {
        /// Where a frame begins, if that is known.
        next: Option<Offset>,
        /// Bytes of streams past their budget that came all the same, so far.
        unwanted: u64,
        /// Length of the last DATA that had no flags; zero if there was none.
        usual: u32,
        /// What became of the hook's last guess.
        guess: Option<Guess>,
        /// Bytes are missing from before the first that were read.
        mid_stream: bool,
    },
}

/// Where the hook guessed that a frame of HTTP/2 begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Where.
    pub at: Offset,
    /// One does.
    pub is_right: bool,
}
