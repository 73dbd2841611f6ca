//! From first bytes to the protocol that they turned out to be.

use super::detect::Found;
use super::held::Held;
use super::{Context, Origin, Session};
use crate::flow::Direction;
use crate::transport::Chunk;

impl Session {
    /// The first bytes are what was found.
    pub(super) fn found(
        &mut self,
        found: Found,
        direction: Direction,
        chunk: Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        match found {
            Found::Nothing => {}
            Found::Session(session, held) => {
                self.begin(session, held.as_deref(), origin, cx);
                self.rest(direction, chunk, origin, cx);
            }
            Found::Other => {
                // What is inside a tunnel is no connection that was taken for HTTP.
                cx.stats.not_http += u64::from(origin.outer.is_none());
                *self = Self::Ignored;
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
}
