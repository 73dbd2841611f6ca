//! From first bytes to the protocol that they turned out to be.

use meshtap_common::IgnoreReason;

use super::held::Held;
use super::{Context, Origin, Session, Stats};
use crate::flow::Direction;
use crate::http::Anomalies;
use crate::transport::Chunk;

/// Marks on first bytes whose recipient may have read others, by [`Direction`].
pub(super) type Marks = [Anomalies; 2];

/// What was found out.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// A protocol: its session, and what was held, to be given to it first.
    Session(Session, Option<Box<Held>>),
    /// None of these.
    Other(Kind),
}

/// What is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It begins like TLS.
    Tls,
    /// Anything else.
    Other,
}

impl Kind {
    /// Why it is left alone.
    const fn reason(self) -> IgnoreReason {
        match self {
            Self::Tls => IgnoreReason::Tls,
            Self::Other => IgnoreReason::NotHttp,
        }
    }

    /// Counts a connection of it.
    pub(crate) fn count(self, stats: &mut Stats) {
        stats.not_http += 1;
        stats.tls += u64::from(self == Self::Tls);
    }
}

impl Session {
    /// The first bytes, with these marks, are what was found.
    pub(super) fn found(
        &mut self,
        (found, marks): (Found, Marks),
        direction: Direction,
        chunk: Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        match found {
            Found::Nothing => {}
            Found::Session(session, held) => {
                self.begin(session, held.as_deref(), origin, cx);
                // What is still to come may end the exchange that was held.
                if held.is_some() {
                    self.mark_first(marks);
                }
                self.rest(direction, chunk, origin, cx);
                if held.is_none() {
                    self.mark_first(marks);
                }
            }
            Found::Other(kind) => {
                // What is inside a tunnel is no connection that was taken for HTTP.
                if origin.outer.is_none() {
                    kind.count(cx.stats);
                }
                *self = Self::Ignored(kind.reason());
            }
        }
    }

    /// As [`Self::found`], where nothing but what was held is known of it.
    pub(super) fn found_in_part(&mut self, found: Found, origin: &Origin, cx: &mut Context<'_>) {
        if let Found::Session(session, held) = found {
            self.begin(session, held.as_deref(), origin, cx);
        }
    }

    /// Goes on as a session, to which what was held is given first.
    fn begin(&mut self, session: Self, held: Option<&Held>, origin: &Origin, cx: &mut Context<'_>) {
        cx.stats.http2 += u64::from(matches!(session, Self::H2(_)));
        *self = session;
        for (direction, held) in held.iter().flat_map(|held| held.chunks()) {
            self.chunk(direction, held, origin, cx);
        }
    }

    /// Marks what the first bytes turned out to be.
    fn mark_first(&mut self, marks: Marks) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let anomalies = marks[direction as usize];
            if anomalies != Anomalies::default() {
                self.mark(direction, anomalies);
            }
        }
    }
}
