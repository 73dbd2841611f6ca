//! The life of a stream (RFC 9113 §5.1), as one who listens to both ends sees it.
//!
//! ```text
//!                      PUSH_PROMISE
//!            ┌──────── Idle ──────────► Reserved
//!            │ HEADERS of a request        │ HEADERS of the response
//!            ▼                             ▼
//!          Open ── END_STREAM of an end ─► Half closed (that end is silent)
//!            │                             │ END_STREAM of the other end
//!            └────── RST_STREAM ──────────►┴──► Closed
//! ```

/// An end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The one that sends requests.
    Client = 0,
    /// The one that sends responses.
    Server = 1,
}

impl Peer {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Both ends have sent all.
    Finished,
    /// RST_STREAM, with its code (§7).
    Reset(Peer, u32),
    /// GOAWAY: the server did not, and will not, look at it.
    Refused,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing of it was seen.
    #[default]
    Idle,
    /// The server has promised it: the request is whole.
    Reserved,
    /// Both ends may send.
    Open,
    /// This end has sent all; the other one may send.
    HalfClosed(Peer),
    /// Nothing more comes.
    Closed(Close),
}

impl State {
    /// HEADERS that begin a message.
    #[must_use]
    pub const fn headers(self, from: Peer) -> Self {
        match (self, from) {
            (Self::Idle, _) => Self::Open,
            (Self::Reserved, Peer::Server) => Self::HalfClosed(Peer::Client),
            (state, _) => state,
        }
    }

    /// PUSH_PROMISE.
    #[must_use]
    pub const fn promise(self) -> Self {
        match self {
            Self::Idle => Self::Reserved,
            state => state,
        }
    }

    /// END_STREAM.
    #[must_use]
    pub fn end(self, from: Peer) -> Self {
        match self {
            Self::Idle | Self::Open => Self::HalfClosed(from),
            Self::HalfClosed(silent) if silent != from => Self::Closed(Close::Finished),
            Self::Reserved if from == Peer::Server => Self::Closed(Close::Finished),
            state => state,
        }
    }

    /// RST_STREAM, or GOAWAY below its number. What is closed stays as it is.
    #[must_use]
    pub const fn close(self, close: Close) -> Self {
        match self {
            Self::Closed(_) => self,
            _ => Self::Closed(close),
        }
    }

    /// This end has sent all.
    #[must_use]
    pub fn has_ended(self, peer: Peer) -> bool {
        match self {
            Self::Idle | Self::Open => false,
            Self::Reserved => peer == Peer::Client,
            Self::HalfClosed(silent) => silent == peer,
            Self::Closed(close) => close == Close::Finished,
        }
    }

    /// Nothing more comes.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::Peer::{Client, Server};
    use super::*;

    /// Steps: `h` HEADERS, `e` END_STREAM, `r` RST_STREAM, `p` PUSH_PROMISE, `g` GOAWAY; upper case
    /// from the server.
    fn check(steps: &str, expected: State) {
        let state = steps.chars().fold(State::Idle, |state, step| {
            let from = if step.is_uppercase() { Server } else { Client };
            match step.to_ascii_lowercase() {
                'h' => state.headers(from),
                'e' => state.end(from),
                'r' => state.close(Close::Reset(from, 8)),
                'g' => state.close(Close::Refused),
                _ => state.promise(),
            }
        });
        assert_eq!(state, expected, "{steps}");
    }

    #[test]
    fn lives() {
        check("", State::Idle);
        check("h", State::Open);
        check("he", State::HalfClosed(Client));
        check("heHE", State::Closed(Close::Finished));
        check("hHE", State::HalfClosed(Server));
        check("hHEe", State::Closed(Close::Finished));
        check("hr", State::Closed(Close::Reset(Client, 8)));
        check("heHER", State::Closed(Close::Finished));
        check("heG", State::Closed(Close::Refused));
        check("P", State::Reserved);
        check("PH", State::HalfClosed(Client));
        check("PHE", State::Closed(Close::Finished));
        check("Pr", State::Closed(Close::Reset(Client, 8)));
    }

    #[test]
    fn repeated_ends_change_nothing() {
        check("hee", State::HalfClosed(Client));
        check("heheHE", State::Closed(Close::Finished));
        check("PPe", State::Reserved);
    }

    #[test]
    fn who_has_ended() {
        assert!(!State::Open.has_ended(Client));
        assert!(State::Reserved.has_ended(Client) && !State::Reserved.has_ended(Server));
        assert!(State::HalfClosed(Client).has_ended(Client));
        assert!(State::Closed(Close::Finished).has_ended(Server));
        assert!(!State::Closed(Close::Refused).has_ended(Server));
    }
}
