//! Cgroups whose sockets the BPF programs leave alone.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, MapData, MapError};
use meshtap_common::{EXCLUDED_ALL, EXCLUDED_SOCKETS};

use super::commands::Commands;
use crate::capture::{Excluded, Exclusions};
use crate::flow::CgroupId;

/// Leaves cgroups alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct CgroupScope {
    /// One of each object of BPF programs.
    excluded: Arc<Mutex<Vec<HashMap<MapData, u64, u32>>>>,
    commands: Arc<Mutex<Commands>>,
}

impl CgroupScope {
    pub(super) fn new(
        maps: Vec<HashMap<MapData, u64, u32>>,
        commands: Arc<Mutex<Commands>>,
    ) -> Self {
        Self {
            excluded: Arc::new(Mutex::new(maps)),
            commands,
        }
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
    fn set(&self, cgroup: CgroupId, excluded: Excluded) -> io::Result<()> {
        let mut maps = self.excluded.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match excluded {
            Excluded::Nothing => None,
            Excluded::Sockets => Some(EXCLUDED_SOCKETS),
            Excluded::All => Some(EXCLUDED_ALL),
        };
        if let Some(value) = value {
            for map in maps.iter_mut() {
                map.insert(cgroup.0, value, 0).map_err(io::Error::other)?;
            }
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            return commands.publish();
        }
        for map in maps.iter_mut() {
            match map.remove(&cgroup.0) {
                Err(MapError::KeyNotFound) | Ok(()) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    }
}
