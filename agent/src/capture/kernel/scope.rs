//! Cgroups whose sockets the BPF programs leave alone.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, Map, MapData, MapError};

use super::commands::Commands;
use crate::capture::Exclusions;
use crate::flow::CgroupId;

/// Leaves cgroups alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct CgroupScope {
    excluded: Arc<Mutex<HashMap<MapData, u64, u32>>>,
    commands: Arc<Mutex<Commands>>,
}

impl CgroupScope {
    pub(super) fn new(map: Map, commands: Arc<Mutex<Commands>>) -> Result<Self, MapError> {
        Ok(Self {
            excluded: Arc::new(Mutex::new(HashMap::try_from(map)?)),
            commands,
        })
    }
}

impl fmt::Debug for CgroupScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CgroupScope").finish_non_exhaustive()
    }
}

impl Exclusions for CgroupScope {
    /// Connections that are followed already leave with their next packet; those that have left do
    /// not come back.
    fn set(&self, cgroup: CgroupId, excluded: bool) -> io::Result<()> {
        let mut map = self.excluded.lock().unwrap_or_else(PoisonError::into_inner);
        if excluded {
            map.insert(cgroup.0, 0, 0).map_err(io::Error::other)?;
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            return commands.publish();
        }
        match map.remove(&cgroup.0) {
            Err(MapError::KeyNotFound) | Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
