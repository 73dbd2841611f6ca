//! The agent's own sockets, which it must not capture.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{MapData, SkStorage};
use meshtap_common::IgnoredFlow;

use super::commands::Commands;
use crate::flow::SocketId;

/// Names sockets that the BPF programs leave alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct OwnSockets {
    commands: Arc<Mutex<Commands>>,
    flows: Arc<Mutex<SkStorage<MapData, IgnoredFlow>>>,
}

impl OwnSockets {
    pub(super) fn new(
        commands: Arc<Mutex<Commands>>,
        flows: SkStorage<MapData, IgnoredFlow>,
    ) -> Self {
        Self {
            commands,
            flows: Arc::new(Mutex::new(flows)),
        }
    }

    /// Leaves a socket alone. Call it before the socket connects.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ignore(&self, socket: SocketId) -> io::Result<()> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.ignore(socket)?;
        commands.publish()
    }

    /// Leaves alone every connection that this listener will accept, from its first packet on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ignore_accepted(&self, listener: impl AsFd) -> io::Result<()> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows
            .insert(&listener.as_fd().as_raw_fd(), IgnoredFlow::VALUE, 0)
            .map_err(io::Error::other)
    }
}

impl fmt::Debug for OwnSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSockets").finish_non_exhaustive()
    }
}
