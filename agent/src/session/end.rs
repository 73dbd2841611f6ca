//! How connections end, and what becomes of them.

use meshtap_common::IgnoreReason;

/// Why a connection is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is gone: reset, closed, or silent for too long.
    Gone,
    /// Capture stops.
    Shutdown,
    /// Its room was needed.
    Evicted,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Open,
    /// Nothing of it is of use any more, and why.
    Ignore(IgnoreReason),
    /// It has ended.
    Over,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It goes on.
    Go,
    /// It does not speak HTTP.
    NotHttp,
    /// Nothing more can be emitted of it.
    Hopeless,
    /// Both directions have ended.
    Over,
}
