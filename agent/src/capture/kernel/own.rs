//! The agent's own sockets, which it must not capture.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{Map, MapData, SkStorage};
use meshtap_common::{IgnoreReason, IgnoredFlow};

use super::CaptureError;
use super::commands::Commands;
use crate::flow::SocketId;

/// Names sockets that the BPF programs leave alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct OwnSockets {
    commands: Arc<Mutex<Commands>>,
    flows: Arc<Mutex<SkStorage<MapData, IgnoredFlow>>>,
    /// Number of that map, where the kernel gives it.
    pub(super) flows_id: Option<u32>,
}

impl OwnSockets {
    pub(super) fn new(commands: Arc<Mutex<Commands>>, flows: Map) -> Result<Self, CaptureError> {
        let flows_id = match &flows {
            Map::SkStorage(map) => map.info().ok().map(|info| info.id()),
            _ => None,
        };
        let flows = flows.try_into().map_err(super::map_error)?;
        Ok(Self {
            commands,
            flows: Arc::new(Mutex::new(flows)),
            flows_id,
        })
    }

    /// Leaves a socket alone. Call it before the socket connects.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ignore(&self, socket: SocketId) -> io::Result<()> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.ignore(socket, IgnoreReason::Own)?;
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
