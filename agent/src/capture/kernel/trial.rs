//! What this kernel allows, tried: every hook is loaded and attached for a moment, and captures
//! nothing meanwhile.

use std::path::PathBuf;

use aya::maps::{MapType, loaded_maps};
use aya::programs::loaded_programs;
use aya::sys::is_map_supported;

use super::error::release;
use super::{CaptureError, CaptureOptions, HookStatus, attach, cgroup};

/// BPF programs of the agent begin so.
const OURS: &str = "meshtap_";
/// Types of the programs that the agent attaches to cgroups, by their numbers in `linux/bpf.h`:
/// `CGROUP_SKB`, `CGROUP_SOCK`, `SOCK_OPS`, `CGROUP_SOCK_ADDR`.
const TYPES: [u32; 4] = [8, 9, 13, 18];

/// What came of trying.
#[derive(Debug)]
pub struct Trial {
    /// `uname -r`.
    pub release: String,
    /// The folder that is captured.
    pub cgroup: Result<PathBuf, CaptureError>,
    /// Every hook, where the programs could be tried.
    pub hooks: Result<Vec<HookStatus>, CaptureError>,
}

/// Tries the hooks. The programs let everything pass unseen until they are given their
/// configuration, which they are not.
#[must_use]
pub fn try_hooks(options: &CaptureOptions) -> Trial {
    let release = release();
    let (path, folder) = match cgroup::open(options.cgroup.as_deref()) {
        Ok(opened) => opened,
        Err(error) => {
            // The error is the cgroup's, and no reason against the programs.
            return Trial {
                release,
                cgroup: Err(error),
                hooks: Ok(Vec::new()),
            };
        }
    };
    let hooks = attach(options, &path, &folder).map(|(_ebpf, attached)| attached.hooks);
    Trial {
        release,
        cgroup: Ok(path),
        hooks,
    }
}

/// A kind of map that capture is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_RINGBUF`, Linux 5.8.
    RingBuffer,
    /// `BPF_MAP_TYPE_SK_STORAGE`, Linux 5.2.
    SocketStorage,
}

/// Whether the kernel has a kind of map.
///
/// # Errors
/// When it cannot be tried, with what the kernel said.
pub fn has_map(kind: MapKind) -> Result<bool, String> {
    let kind = match kind {
        MapKind::RingBuffer => MapType::RingBuf,
        MapKind::SocketStorage => MapType::SkStorage,
    };
    is_map_supported(kind).map_err(|error| format!("{}: {}", error.call, error.io_error))
}

/// What others have in the kernel that capture meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Programs of the types that the agent attaches, by name; not the agent's.
    pub programs: Vec<String>,
    /// Sockmaps and sockhashes, by name.
    pub sockmaps: Vec<String>,
    /// Agents whose programs are loaded: the BPF programs on ingress.
    pub agents: usize,
}

/// Lists what others have loaded.
///
/// # Errors
/// When the kernel does not list it: that takes CAP_SYS_ADMIN.
pub fn others() -> Result<Others, String> {
    let mut others = Others::default();
    for program in loaded_programs() {
        let program = program.map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(program.name()).into_owned();
        let is_ours = name.starts_with(OURS);
        others.agents += usize::from(name == "meshtap_ingress");
        if TYPES.contains(&(program.program_type() as u32)) && !is_ours {
            others.programs.push(name);
        }
    }
    for map in loaded_maps() {
        let map = map.map_err(|error| error.to_string())?;
        if matches!(map.map_type(), Ok(MapType::SockMap | MapType::SockHash)) {
            others
                .sockmaps
                .push(String::from_utf8_lossy(map.name()).into_owned());
        }
    }
    for names in [&mut others.programs, &mut others.sockmaps] {
        names.sort_unstable();
        names.dedup();
    }
    Ok(others)
}
