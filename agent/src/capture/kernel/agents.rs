//! The agents that capture on this machine, found by their BPF programs: what they are set to, and
//! where they keep the state of sockets.

use std::fs;
use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use meshtap_common::{CaptureConfig, FLOW_LEN};

use super::Capture;
use crate::flow::CgroupId;

/// The program by which an agent is known.
const INGRESS: &[u8] = b"meshtap_ingress";

/// An agent's maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentMaps {
    /// Id of its program on ingress.
    pub program: u32,
    /// Id of the map that has the state of sockets.
    pub flows: u32,
    /// What its programs are set to.
    pub config: CaptureConfig,
    /// Cgroups whose sockets are left alone.
    pub excluded: Vec<CgroupId>,
    /// The cgroup below which it captures, where the kernel says so (Linux 5.8).
    pub cgroup: Option<CgroupId>,
}

/// Every agent that captures now.
///
/// # Errors
/// When the kernel does not list programs: that takes CAP_SYS_ADMIN.
pub fn agents() -> Result<Vec<AgentMaps>, String> {
    let mut agents = Vec::new();
    for program in loaded_programs() {
        let program = program.map_err(|error| error.to_string())?;
        if program.name() == INGRESS {
            let ids = program.map_ids().map_err(|error| error.to_string())?;
            // One that ends meanwhile is no error.
            agents.extend(agent(program.id(), &ids.unwrap_or_default()));
        }
    }
    if !agents.is_empty() {
        for attached in attachments() {
            let mut of_program = agents.iter_mut();
            if let Some(agent) = of_program.find(|agent| agent.program == attached.program) {
                agent.cgroup = Some(attached.cgroup);
            }
        }
    }
    Ok(agents)
}

/// A program that is attached to a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attachment {
    program: u32,
    cgroup: CgroupId,
}

/// What the links say that processes hold, as far as they may be looked into.
fn attachments() -> Vec<Attachment> {
    let folder = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for process in folder("/proc".into()) {
        for descriptor in folder(process.path().join("fd")) {
            let is_link = fs::read_link(descriptor.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:bpf_link");
            if is_link {
                let info = process.path().join("fdinfo").join(descriptor.file_name());
                let info = fs::read_to_string(info).unwrap_or_default();
                found.extend(attachment(&info));
            }
        }
    }
    found
}

/// Reads the state of a descriptor (proc_pid_fdinfo(5)).
fn attachment(info: &str) -> Option<Attachment> {
    let field = |name: &str| {
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse::<u64>().ok()
    };
    Some(Attachment {
        program: u32::try_from(field("prog_id")?).ok()?,
        cgroup: CgroupId(field("cgroup_id")?),
    })
}

fn agent(program: u32, maps: &[u32]) -> Option<AgentMaps> {
    let find = |name: &[u8]| {
        let mut infos = maps.iter().filter_map(|id| MapInfo::from_id(*id).ok());
        infos.find(|info| info.name() == name)
    };
    let flows = find(b"FLOWS")?;
    // An agent of another version has another layout.
    if usize::try_from(flows.value_size()) != Ok(FLOW_LEN) {
        return None;
    }
    let config = MapData::from_id(find(b"CONFIG")?.id()).ok()?;
    let config: Array<_, CaptureConfig> = Map::Array(config).try_into().ok()?;
    let excluded = find(b"EXCLUDED_CGROUPS").and_then(|info| {
        let map = Map::HashMap(MapData::from_id(info.id()).ok()?);
        let map: HashMap<_, u64, u32> = map.try_into().ok()?;
        Some(map.keys().filter_map(Result::ok).map(CgroupId).collect())
    });
    Some(AgentMaps {
        program,
        flows: flows.id(),
        config: config.get(&0, 0).ok()?,
        excluded: excluded.unwrap_or_default(),
        cgroup: None,
    })
}

impl Capture {
    /// Its own maps, as [`agents`] gives those of all. `None`: the kernel does not give the number
    /// of one.
    #[must_use]
    pub fn maps(&self) -> Option<AgentMaps> {
        Some(AgentMaps {
            program: 0,
            flows: self.own.flows_id?,
            config: self.config,
            excluded: Vec::new(),
            cgroup: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_link_is_attached() {
        let info = "pos:\t0\nflags:\t02000000\nlink_type:\tcgroup\nlink_id:\t7\n\
                    prog_tag:\t0123456789abcdef\nprog_id:\t42\ncgroup_id:\t4242\nattach_type:\t0\n";
        let expected = Attachment {
            program: 42,
            cgroup: CgroupId(4242),
        };
        assert_eq!(attachment(info), Some(expected));
        let other = "link_type:\ttracing\nlink_id:\t7\nprog_id:\t42\n";
        assert_eq!(attachment(other), None);
        assert_eq!(attachment(""), None);
    }
}
