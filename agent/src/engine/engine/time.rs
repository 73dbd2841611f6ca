//! What ends by time, and at the end of all: in parts, so that what was in flight need not all wait
//! in one output.

use super::Engine;
use crate::engine::connection::State;
use crate::flow::Nanos;
use crate::session::{End, Output};

/// Exchanges in the output after which a part ends.
const PART: usize = 256;

impl Engine {
    /// Lets time pass: holes are taken for gaps, long exchanges emitted, idle connections
    /// forgotten. Call it about every 100 ms.
    pub fn expire(&mut self, now: Nanos, output: &mut Output) {
        while self.expire_part(now, output, usize::MAX) {}
    }

    /// As [`Self::expire`], until the output is long enough to be handed over. True: there is more
    /// to do.
    #[must_use]
    pub fn expire_next(&mut self, now: Nanos, output: &mut Output) -> bool {
        self.expire_part(now, output, PART)
    }

    fn expire_part(&mut self, now: Nanos, output: &mut Output, most: usize) -> bool {
        self.shared.stats.pre_accept_dropped += self.pre_accept.expire(now);
        self.release(Some(now), output);
        while let Some(key) = self.table.due(now) {
            let Some(connection) = self.table.get_mut(key) else {
                continue;
            };
            let emitted = output.exchanges.len();
            let mut cx = self.shared.context(connection, output);
            let state = connection.expire(now, &mut cx);
            // Whatever is due now has been done.
            let due = connection
                .due(&self.shared.limits)
                .max(now.saturating_add(1));
            let memory = connection.memory();
            self.memory = self.memory - connection.counted.min(self.memory) + memory;
            connection.counted = memory;
            self.emit_once(key, output, emitted);
            self.join(output, emitted, now);
            match state {
                State::Over => self.forget(key),
                State::Open => self.table.schedule(key, due),
            }
            if output.exchanges.len() >= most {
                return true;
            }
        }
        false
    }

    /// Ends everything: what is in flight is emitted as [`crate::exchange::Partial::Shutdown`] or
    /// counted. The ledger then has nothing in flight.
    pub fn finish(&mut self, now: Nanos, output: &mut Output) {
        while self.finish_part(now, output, usize::MAX) {}
    }

    /// As [`Self::finish`], until the output is long enough to be handed over. True: there is more
    /// to do.
    #[must_use]
    pub fn finish_next(&mut self, now: Nanos, output: &mut Output) -> bool {
        self.finish_part(now, output, PART)
    }

    fn finish_part(&mut self, now: Nanos, output: &mut Output, most: usize) -> bool {
        while let Some(key) = self.table.oldest() {
            self.end(key, End::Shutdown, now, output);
            if output.exchanges.len() >= most {
                return true;
            }
        }
        self.release(None, output);
        self.shared.stats.pre_accept_dropped += self.pre_accept.expire(Nanos::MAX);
        false
    }
}
