//! The agent's own sockets, which it must not capture.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::capture::kernel;
use crate::export::OwnSockets;
use crate::flow::{Endpoint, SocketId};

/// Names every socket to the BPF programs while it lives.
#[derive(Debug)]
pub(super) struct OwnTable {
    kernel: kernel::OwnSockets,
    sockets: Mutex<Sockets>,
}

/// How long the address of a closed socket is the agent's: exchanges wait for what is known of
/// their pods, and are handed over in batches. No other process is given an address so soon after
/// it was in use (TIME-WAIT, RFC 9293 §3.6.1).
const CLOSED: Duration = Duration::from_secs(60);

/// Most addresses of closed sockets that are kept; exporters keep their connections, so there are
/// few.
const MOST_CLOSED: usize = 1024;

/// The sockets, and the addresses that they are connected from.
#[derive(Debug, Default)]
struct Sockets {
    live: HashMap<u64, Option<Endpoint>>,
    closed: VecDeque<(Endpoint, Instant)>,
}

impl Sockets {
    fn connected(&mut self, cookie: u64, local: Endpoint) {
        self.live.insert(cookie, Some(local));
    }

    fn forget(&mut self, cookie: u64, now: Instant) {
        let Some(Some(local)) = self.live.remove(&cookie) else {
            return;
        };
        if self.closed.len() >= MOST_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back((local, now));
    }

    fn has(&self, client: &Endpoint, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < CLOSED;
        self.live
            .values()
            .any(|local| local.as_ref() == Some(client))
            || self
                .closed
                .iter()
                .any(|(local, at)| local == client && is_recent(at))
    }
}

impl OwnTable {
    pub(super) fn new(kernel: kernel::OwnSockets) -> Self {
        Self {
            kernel,
            sockets: Mutex::default(),
        }
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a socket that has sent nothing yet may have been pushed out: says it again.
    pub(super) fn refresh(&self) {
        let cookies: Vec<_> = self.sockets().live.keys().copied().collect();
        for cookie in cookies {
            self.enter(cookie);
        }
    }

    fn enter(&self, cookie: u64) {
        if let Err(error) = self.kernel.ignore(SocketId(cookie)) {
            tracing::warn!(%error, "a socket of the agent may be captured");
        }
    }
}

impl OwnSockets for OwnTable {
    fn register(&self, cookie: u64) {
        self.sockets().live.insert(cookie, None);
        self.enter(cookie);
    }

    fn forget(&self, cookie: u64) {
        self.sockets().forget(cookie, Instant::now());
    }

    fn connected(&self, cookie: u64, local: SocketAddr) {
        self.sockets().connected(cookie, local.into());
    }

    fn is_own(&self, client: &Endpoint) -> bool {
        self.sockets().has(client, Instant::now())
    }

    fn listener(&self, listener: BorrowedFd<'_>) {
        if let Err(error) = self.kernel.ignore_accepted(listener) {
            tracing::warn!(%error, "requests to the agent may be captured");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_agents_while_its_socket_lives_and_a_little_longer() {
        let start = Instant::now();
        let [own, other] = ["127.0.0.1:40000", "127.0.0.1:40001"]
            .map(|text| Endpoint::from(text.parse::<SocketAddr>().expect("an address")));
        let mut sockets = Sockets::default();
        let check = |sockets: &Sockets, later: Duration, expected: bool| {
            assert_eq!(sockets.has(&own, start + later), expected, "{later:?}");
            assert!(!sockets.has(&other, start + later));
        };
        sockets.live.insert(7, None);
        check(&sockets, Duration::ZERO, false);
        sockets.connected(7, own);
        check(&sockets, CLOSED * 10, true);
        sockets.forget(7, start);
        check(&sockets, CLOSED / 2, true);
        check(&sockets, CLOSED, false);
        for cookie in 0..2 * MOST_CLOSED as u64 {
            sockets.connected(cookie, other);
            sockets.forget(cookie, start);
        }
        assert_eq!(sockets.closed.len(), MOST_CLOSED);
    }
}
