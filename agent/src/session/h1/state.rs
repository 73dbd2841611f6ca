//! The states of an HTTP/1 connection; which of them follows which, the drawing in [`super`] shows.

use super::switched::Early;
use crate::flow::{Nanos, Offset};
use crate::http::Anomalies;
use crate::http::h1::Reader;

/// A request whose head is not whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    pub(super) time: Nanos,
    pub(super) offset: Offset,
    /// It is in the ledger. The first bytes of a connection are not, before they are known to be
    /// HTTP.
    pub(super) counted: bool,
    /// Its recipient may have read other bytes.
    pub(super) marks: Anomalies,
}

/// The first byte of the last request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastRequest {
    pub(super) offset: Offset,
    pub(super) heard: Option<Offset>,
}

/// What there is of a request's head ends before the head does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where the missing bytes end, or what came before the response.
    pub(super) at: Offset,
    /// Nothing is missing: its rest may follow, and begins no request.
    pub(super) early: bool,
}

/// Whether it is HTTP at all.
///
/// ```text
/// FirstBytes ── a whole request line, or a response ──► Proven
///     │   └──── bytes are missing ─────► Unproven ── a whole request line ──► Proven
///     └──────── no request line ───────► Refuted
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recognition {
    /// The first byte of the connection was seen, no whole request line yet.
    FirstBytes,
    /// Mid-stream, or bytes are missing: what is not HTTP proves nothing.
    Unproven,
    /// A whole request line was seen.
    Proven,
    /// Not HTTP after all.
    Refuted,
}

/// What a loss of track costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pairing {
    /// Every request so far began after the response to the one before: quiescent points can be
    /// relied on.
    InOrder,
    /// A request began while an earlier one was pending: the next loss of track is final.
    Pipelined,
    /// Nothing more can be paired.
    Lost,
}

/// What vouches for the first request of a connection that was picked up mid-stream, or after
/// missing bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pickup {
    /// Its first byte, or a quiescent point.
    Certain,
    /// Its looks, on a connection that is known to speak HTTP: its response has to confirm it. If
    /// that is missing, it is shown without.
    Likely,
    /// Nothing but its looks: its response has to confirm it, or that a response was there which is
    /// missing.
    Unconfirmed,
    /// It may be none: the body that a refused expectation was about, or a line that is none of
    /// HTTP. Its response alone can show that it is a request.
    OrBody,
}

#[derive(Debug)]
pub(super) enum Requests {
    Reading(Reader),
    Seek,
    /// After a CONNECT, or a client's preface of HTTP/2: what came before the response.
    Hold(Box<Early>),
    Ended,
}

#[derive(Debug)]
pub(super) enum Responses {
    /// Nothing of this direction was seen. The response begins at this offset, or with the first
    /// byte of all.
    Await(Option<Offset>),
    Reading(Reader),
    Seek,
    Ended,
}
