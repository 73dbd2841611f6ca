//! The agents that capture on this machine, found by their BPF programs: what they are set to, and
//! where they keep the state of sockets.

use std::fs;
use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use meshtap_common::{CaptureConfig, FLOW_LEN, SocketCommand};

use super::Capture;
use crate::flow::{CgroupId, SocketId};

/// The program by which an agent is known.
const INGRESS: &[u8] = b"meshtap_ingress";

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agents {
    /// Those whose state can be read.
    pub known: Vec<AgentMaps>,
    /// How many are of another version of meshtap, with another layout.
    pub foreign: usize,
}

/// An agent's maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentMaps {
    /// Id of its program on ingress.
    pub program: u32,
    /// Its process, where that can be seen.
    pub pid: Option<u32>,
    /// Id of the map that has the state of sockets.
    pub flows: u32,
    /// Id of the map that has what it asked of its programs for single sockets.
    pub commands: Option<u32>,
    /// What its programs are set to.
    pub config: CaptureConfig,
    /// Cgroups whose sockets are left alone.
    pub excluded: Vec<CgroupId>,
    /// The cgroup below which it captures, where the kernel says so (Linux 5.8).
    pub cgroup: Option<CgroupId>,
}

impl AgentMaps {
    /// What it has asked of its programs for a socket, as far as it still keeps that.
    #[must_use]
    pub fn asked(&self, socket: SocketId) -> Option<SocketCommand> {
        let map = Map::HashMap(MapData::from_id(self.commands?).ok()?);
        let map: HashMap<_, u64, SocketCommand> = map.try_into().ok()?;
        let found = map.get(&socket.0, 0).ok()?;
        // The programs check that, too: the kernel may hand out the entry of another socket.
        (found.cookie == socket.0).then_some(found)
    }
}

/// Every agent that captures now.
///
/// # Errors
/// When the kernel does not list programs: that takes CAP_SYS_ADMIN.
pub fn agents() -> Result<Agents, String> {
    let mut agents = Agents::default();
    for program in loaded_programs() {
        let program = program.map_err(|error| error.to_string())?;
        if program.name() == INGRESS {
            let ids = program.map_ids().map_err(|error| error.to_string())?;
            match agent(program.id(), &ids.unwrap_or_default()) {
                Found::Known(agent) => agents.known.push(*agent),
                Found::Foreign => agents.foreign += 1,
                Found::Gone => {}
            }
        }
    }
    if !agents.known.is_empty() {
        for (pid, attached) in attachments() {
            let mut of_program = agents.known.iter_mut();
            if let Some(agent) = of_program.find(|agent| agent.program == attached.program) {
                agent.cgroup = Some(attached.cgroup);
                agent.pid = pid;
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

/// What the links say that processes hold, as far as they may be looked into; and which process
/// holds it.
fn attachments() -> Vec<(Option<u32>, Attachment)> {
    let folder = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for process in folder("/proc".into()) {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        for descriptor in folder(process.path().join("fd")) {
            let is_link = fs::read_link(descriptor.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:bpf_link");
            if is_link {
                let info = process.path().join("fdinfo").join(descriptor.file_name());
                let info = fs::read_to_string(info).unwrap_or_default();
                found.extend(attachment(&info).map(|attached| (pid, attached)));
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

/// What a program belongs to.
enum Found {
    Known(Box<AgentMaps>),
    /// An agent of another version.
    Foreign,
    /// It has ended meanwhile.
    Gone,
}

fn agent(program: u32, maps: &[u32]) -> Found {
    let find = |name: &[u8]| {
        let mut infos = maps.iter().filter_map(|id| MapInfo::from_id(*id).ok());
        infos.find(|info| info.name() == name)
    };
    let (Some(flows), Some(config)) = (find(b"FLOWS"), find(b"CONFIG")) else {
        return Found::Gone;
    };
    let size = |info: &MapInfo| usize::try_from(info.value_size()).unwrap_or(usize::MAX);
    if size(&flows) != FLOW_LEN || size(&config) != size_of::<CaptureConfig>() {
        return Found::Foreign;
    }
    let Some(config) = read_config(config.id()) else {
        return Found::Gone;
    };
    let excluded = find(b"EXCLUDED_CGROUPS").and_then(|info| {
        let map = Map::HashMap(MapData::from_id(info.id()).ok()?);
        let map: HashMap<_, u64, u32> = map.try_into().ok()?;
        Some(map.keys().filter_map(Result::ok).map(CgroupId).collect())
    });
    Found::Known(Box::new(AgentMaps {
        program,
        pid: None,
        flows: flows.id(),
        commands: find(b"COMMANDS").map(|info| info.id()),
        config,
        excluded: excluded.unwrap_or_default(),
        cgroup: None,
    }))
}

fn read_config(id: u32) -> Option<CaptureConfig> {
    let map: Array<_, CaptureConfig> = Map::Array(MapData::from_id(id).ok()?).try_into().ok()?;
    map.get(&0, 0).ok()
}

impl Capture {
    /// Its own maps, as [`agents`] gives those of all. `None`: the kernel does not give the number
    /// of one.
    #[must_use]
    pub fn maps(&self) -> Option<AgentMaps> {
        Some(AgentMaps {
            program: 0,
            pid: Some(std::process::id()),
            flows: self.own.flows_id?,
            // Asks for nothing: what it copies is not looked at.
            commands: None,
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
