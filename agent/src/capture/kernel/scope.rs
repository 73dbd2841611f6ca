//! Cgroups whose sockets the kernel side leaves alone.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{HashMap, Map, MapData, MapError};

use crate::flow::CgroupId;
use crate::workload::Exclusions;

/// Leaves cgroups alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct CgroupScope(Arc<Mutex<HashMap<MapData, u64, u32>>>);

impl CgroupScope {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Ok(Self(Arc::new(Mutex::new(HashMap::try_from(map)?))))
    }
}

impl fmt::Debug for CgroupScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CgroupScope").finish_non_exhaustive()
    }
}

impl Exclusions for CgroupScope {
    fn set(&self, cgroup: CgroupId, excluded: bool) -> io::Result<()> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if excluded {
            return map.insert(cgroup.0, 0, 0).map_err(io::Error::other);
        }
        match map.remove(&cgroup.0) {
            Err(MapError::KeyNotFound) | Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
