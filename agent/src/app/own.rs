//! The agent's own sockets, which it must not capture.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::capture::kernel;
use crate::export::OwnSockets;
use crate::flow::SocketId;

/// Names every socket to the BPF programs while it lives.
#[derive(Debug)]
pub(super) struct OwnTable {
    kernel: kernel::OwnSockets,
    live: Mutex<HashSet<u64>>,
}

impl OwnTable {
    pub(super) fn new(kernel: kernel::OwnSockets) -> Self {
        Self {
            kernel,
            live: Mutex::default(),
        }
    }

    fn live(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a socket that has sent nothing yet may have been pushed out: says it again.
    pub(super) fn refresh(&self) {
        let cookies: Vec<_> = self.live().iter().copied().collect();
        for cookie in cookies {
            self.tell(cookie);
        }
    }

    fn tell(&self, cookie: u64) {
        if let Err(error) = self.kernel.ignore(SocketId(cookie)) {
            tracing::warn!(%error, "a socket of the agent may be captured");
        }
    }
}

impl OwnSockets for OwnTable {
    fn register(&self, cookie: u64) {
        self.live().insert(cookie);
        self.tell(cookie);
    }

    fn forget(&self, cookie: u64) {
        self.live().remove(&cookie);
    }

    fn listener(&self, listener: BorrowedFd<'_>) {
        if let Err(error) = self.kernel.ignore_accepted(listener) {
            tracing::warn!(%error, "requests to the agent may be captured");
        }
    }
}
