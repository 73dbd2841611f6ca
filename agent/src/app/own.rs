//! The agent's own sockets, which it must not capture.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::capture::kernel;
use crate::export::OwnSockets;
use crate::flow::SocketId;

/// Tells the kernel side of every socket while it lives.
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

    /// The kernel's table forgets sockets that were silent for long when it is full: says it again.
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
}
