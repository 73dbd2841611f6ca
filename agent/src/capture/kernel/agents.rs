//! The agents that capture on this machine, found by their BPF programs: what they are set to, and
//! where they keep the state of sockets.

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
    Ok(agents)
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
        })
    }
}
