//! Streams that are in order already: what TLS sessions carry, and what is proved by those of
//! ztunnel.

use super::super::connection::{Connection, State};
use super::super::table::Key;
use super::{Engine, Shared};
use crate::capture::{Command, IgnoreReason, Plaintext};
use crate::flow::{ConnectionId, Nanos, SocketId};
use crate::session::{End, Origin, Output};

impl Engine {
    pub(super) fn plaintext(&mut self, range: &Plaintext<'_>, output: &mut Output) {
        self.shared.stats.payload_bytes += range.bytes.len() as u64;
        if let Some(key) = self.plain(range, output) {
            self.handle(key, range.time, output, |connection, cx| {
                connection.plaintext(range, cx)
            });
        }
    }

    pub(super) fn handshake(&mut self, range: &Plaintext<'_>, output: &mut Output) {
        if let Some(key) = self.plain(range, output) {
            self.handle(key, range.time, output, |connection, _| {
                connection.handshake(range);
                State::Open
            });
        }
    }

    /// The connection that plaintext is of.
    fn plain(&mut self, range: &Plaintext<'_>, output: &mut Output) -> Option<Key> {
        if range.connection.is_rustls() {
            self.shared.starts.get_or_insert_default();
        }
        match self.table.find(range.connection) {
            Some(key) => {
                self.table.touch(key, range.time);
                Some(key)
            }
            None => {
                if range.socket != SocketId::default() {
                    // What the socket itself carries is the same, encrypted.
                    let ignore = Command::Ignore(range.socket, IgnoreReason::Decrypted);
                    output.commands.push(ignore);
                }
                let origin = Origin {
                    connection: range.connection,
                    socket: range.socket,
                    cgroup: range.cgroup,
                    local: range.local,
                    remote: range.remote,
                    outer: None,
                    secured: None,
                };
                self.insert(Connection::plain(origin, range.time), range.time, output)
            }
        }
    }

    pub(super) fn closed(&mut self, connection: ConnectionId, now: Nanos, output: &mut Output) {
        if let Some(key) = self.table.find(connection) {
            self.end(key, End::Gone, now, output);
        }
    }

    /// Adds what ztunnel proves to what was emitted since the output was so long.
    #[inline]
    pub(super) fn join(&mut self, output: &mut Output, emitted: usize, now: Nanos) {
        let Shared {
            limits,
            ledger,
            stats,
            starts: Some(starts),
            ..
        } = &mut self.shared
        else {
            return;
        };
        if !starts.is_empty() {
            self.joins
                .add(starts, now.saturating_sub(limits.exchange_age));
        }
        if output.exchanges.len() > emitted {
            let totals = (ledger, &mut *stats);
            self.joins
                .settle(&mut output.exchanges, emitted, now, totals);
        }
        self.joins.release(Some(now), &mut output.exchanges, stats);
    }

    /// Emits what waits for what ztunnel proves. No time: all of it.
    pub(super) fn release(&mut self, now: Option<Nanos>, output: &mut Output) {
        let stats = &mut self.shared.stats;
        self.joins.release(now, &mut output.exchanges, stats);
    }
}
