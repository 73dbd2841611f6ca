//! Live capture: loads the BPF programs, attaches them to a cgroup, reads what they record, and
//! passes on what the engine asks of them.

mod agents;
mod cgroup;
mod commands;
mod config;
mod counters;
mod error;
mod hooks;
mod load;
mod log;
mod own;
mod privilege;
mod ring;
mod scope;
mod tls;
mod trial;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, RingBuf};
pub use aya::util::KernelVersion;
use meshtap_common::{CaptureConfig, DEFAULT_RING_BYTES, EventHeader};

pub use self::agents::{AgentMaps, Agents, agents};
pub use self::cgroup::root as cgroup_root;
use self::commands::Commands;
use self::counters::Counters;
pub use self::counters::{Classified, Dropped, Drops};
pub use self::error::CaptureError;
use self::hooks::Attached;
pub use self::hooks::{Connections, HookName, HookState, HookStatus, Owners, Tally, Wanted};
use self::load::MptcpSock;
pub use self::own::OwnSockets;
pub use self::scope::CgroupScope;
pub use self::tls::{
    Doubt as TlsDoubt, Libraries as TlsLibraries, Notice as TlsNotice, Refused as TlsRefused,
    TargetState, TlsKeeper, TlsProbes,
};
pub use self::trial::{MapKind, Others, Trial, has_map, others, try_hooks};
use super::{Command, Event, Polled, Source, decode, outline};
use crate::flow::CgroupId;
pub use config::{CaptureSection, SideChoice, TlsSection, ZtunnelMode, is_ring_size};

/// How to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Cgroup v2 folder whose sockets are captured; the root of the hierarchy when `None`.
    pub cgroup: Option<PathBuf>,
    /// What the BPF programs select.
    pub config: CaptureConfig,
    /// Size of the ring buffer; rounded up to a power of two pages.
    pub ring_bytes: u32,
    /// Hooks that need not be there.
    pub wanted: Wanted,
    /// Of which TLS libraries plaintext is captured too, where the kernel allows it.
    pub tls: TlsLibraries,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            cgroup: None,
            config: CaptureConfig::default(),
            ring_bytes: DEFAULT_RING_BYTES,
            wanted: Wanted::default(),
            tls: TlsLibraries::default(),
        }
    }
}

/// A running capture. Ends when dropped, or with the process.
pub struct Capture {
    reader: ring::Reader,
    commands: Arc<Mutex<Commands>>,
    own: OwnSockets,
    counters: Counters,
    settings: Array<MapData, CaptureConfig>,
    /// What the BPF programs have.
    config: CaptureConfig,
    diagnostics: Option<log::Diagnostics>,
    malformed: u64,
    hooks: Vec<HookStatus>,
    owners: Option<Result<Owners, String>>,
    connections: Option<Connections>,
    tls: Option<TlsProbes>,
    scope: CgroupScope,
    cgroup: PathBuf,
    /// Holds the programs and their links.
    _ebpf: Ebpf,
}

impl Capture {
    /// Starts to capture.
    ///
    /// # Errors
    /// When no hook that captures can be attached; see [`CaptureError`].
    pub fn start(options: &CaptureOptions) -> Result<Self, CaptureError> {
        let (path, cgroup) = cgroup::open(options.cgroup.as_deref())?;
        let (mut ebpf, Attached { hooks, tls, .. }) = attach(options, &path, &cgroup)?;
        let mut rings = vec![RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error)?];
        let mut drops = vec![map(&mut ebpf, "DROPS")?];
        let mut excluded = vec![map(&mut ebpf, "EXCLUDED_CGROUPS")?];
        let mut shares = vec![map(&mut ebpf, "RING_SHARES")?];
        let mut probes = None;
        if let Some(loaded) = tls {
            rings.push(loaded.ring);
            drops.push(loaded.drops);
            excluded.push(loaded.excluded);
            shares.push(loaded.shares);
            probes = Some(loaded.probes);
        }
        let reader = ring::Reader::new(rings, options).map_err(|error| CaptureError::Setup {
            reason: error.to_string(),
        })?;
        let mut commands =
            Commands::new(map(&mut ebpf, "COMMANDS")?, map(&mut ebpf, "GENERATION")?);
        // A new flow is at generation zero, so that it looks once.
        commands.publish().map_err(|error| CaptureError::Setup {
            reason: error.to_string(),
        })?;
        let commands = Arc::new(Mutex::new(commands));
        let own = OwnSockets::new(Arc::clone(&commands), take(&mut ebpf, "FLOWS")?)?;
        let counters = Counters {
            drops,
            classified: map(&mut ebpf, "CLASSIFIED")?,
            shares,
        };
        let mut settings = map(&mut ebpf, "CONFIG")?;
        let scope = CgroupScope::new(excluded, Arc::clone(&commands));
        let owners = owners(&mut ebpf, &hooks)?;
        let connections = connections(&mut ebpf, &hooks)?;
        let diagnostics = match options.config.log {
            0 => None,
            _ => log::Diagnostics::new(&mut ebpf),
        };
        let config = enable(&mut settings, options)?;
        Ok(Self {
            reader,
            commands,
            own,
            counters,
            settings,
            config,
            diagnostics,
            malformed: 0,
            hooks,
            owners: Some(owners),
            connections,
            tls: probes,
            scope,
            cgroup: path,
            _ebpf: ebpf,
        })
    }

    /// Every hook there is, and whether it is in place.
    #[must_use]
    pub fn hooks(&self) -> &[HookStatus] {
        &self.hooks
    }

    /// The cgroup that is captured.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Payload bytes copied per direction before the other direction speaks, or user space asks
    /// for more.
    #[must_use]
    pub const fn budget(&self) -> u32 {
        self.config.budget
    }

    /// Sets it. Directions that have used up more than that are cut off at once, and begin again
    /// when the other direction speaks; what is not copied is counted
    /// ([`meshtap_common::DropReason::Budget`]).
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn set_budget(&mut self, bytes: u32) -> io::Result<()> {
        let config = CaptureConfig {
            budget: bytes,
            ..self.config
        };
        self.settings.set(0, config, 0).map_err(io::Error::other)?;
        self.config = config;
        Ok(())
    }

    /// Which process connected or closed a socket; at the first call. The error says why that is
    /// not known.
    pub fn take_owners(&mut self) -> Option<Result<Owners, String>> {
        self.owners.take()
    }

    /// What happens to connections; at the first call, where that hook is in place.
    pub const fn take_connections(&mut self) -> Option<Connections> {
        self.connections.take()
    }

    /// The probes of the TLS hook, to be attached to files; at the first call, where the hook is in
    /// place.
    pub const fn take_tls(&mut self) -> Option<TlsProbes> {
        self.tls.take()
    }

    /// A handle to name the agent's own sockets with.
    #[must_use]
    pub fn own_sockets(&self) -> OwnSockets {
        self.own.clone()
    }

    /// A handle to leave cgroups alone with.
    #[must_use]
    pub fn cgroup_scope(&self) -> CgroupScope {
        self.scope.clone()
    }

    /// Like [`Source::poll`], with the records as they are: the header, and the bytes that follow
    /// it, of which the first `captured_len` are payload. [`decode::decode`] makes a segment of
    /// them.
    ///
    /// # Errors
    /// When the ring buffer cannot be waited on.
    pub fn poll_raw(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> io::Result<Polled> {
        let malformed = &mut self.malformed;
        let polled = self.reader.poll(timeout, |record| {
            let split = EventHeader::split(record);
            let good = split.is_some_and(|(header, rest)| outline::expand(&header, rest, handle));
            *malformed += u64::from(!good);
        })?;
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.flush();
        }
        Ok(polled)
    }

    /// What was not handed over so far.
    ///
    /// # Errors
    /// When the kernel does not give its counters.
    pub fn drops(&self) -> io::Result<Drops> {
        self.counters.drops(self.malformed)
    }

    /// Payload bytes that cgroups were refused for having more than their share of the ring buffer.
    #[must_use]
    pub fn refused(&self) -> Vec<(CgroupId, u64)> {
        self.counters.refused()
    }

    /// What became of the sockets that were met so far.
    ///
    /// # Errors
    /// When the kernel does not give its counters.
    pub fn classified(&self) -> io::Result<Classified> {
        self.counters.classified()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Capture");
        text.field("cgroup", &self.cgroup).finish_non_exhaustive()
    }
}

impl Source for Capture {
    fn poll(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        let mut malformed = 0;
        let mut decoded = |header: &_, rest: &_| match decode::decode(header, rest) {
            Some(event) => handle(&event),
            None => malformed += 1,
        };
        let polled = self.poll_raw(timeout, &mut decoded);
        self.malformed += malformed;
        polled
    }

    fn command(&mut self, commands: &[Command]) {
        if commands.is_empty() {
            return;
        }
        let mut asked = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        for command in commands {
            // What the kernel has no memory for is copied as before: nothing is lost by it.
            let _refused = asked.obey(command);
        }
        let _refused = asked.publish();
    }
}

/// Loads the object and attaches the hooks.
fn attach(
    options: &CaptureOptions,
    path: &Path,
    cgroup: &File,
) -> Result<(Ebpf, Attached), CaptureError> {
    let mut mptcp = MptcpSock::of_this_kernel();
    loop {
        let mut ebpf = load::load(options, mptcp)?;
        let mut attached = hooks::attach(&mut ebpf, options, path, cgroup);
        match attached.refusal.take() {
            None => return Ok((ebpf, attached)),
            // A kernel without Multipath TCP, or without types, refuses the helper.
            Some(CaptureError::Refused { .. }) if mptcp == MptcpSock::Present => {
                mptcp = MptcpSock::Absent;
            }
            // Plaintext of TLS alone.
            Some(_) if attached.tls.is_some() => return Ok((ebpf, attached)),
            Some(error) => return Err(error),
        }
    }
}

fn owners(ebpf: &mut Ebpf, hooks: &[HookStatus]) -> Result<Result<Owners, String>, CaptureError> {
    let table = take(ebpf, "OWNERS")?;
    let refusal = hooks
        .iter()
        .filter(|hook| hook.name == HookName::Owner)
        .find_map(|hook| match &hook.state {
            HookState::Attached => None,
            HookState::Refused { reason } => Some(reason.clone()),
        });
    Ok(match refusal {
        Some(reason) => Err(reason),
        None => Ok(Owners::new(table).map_err(map_error)?),
    })
}

fn connections(ebpf: &mut Ebpf, hooks: &[HookStatus]) -> Result<Option<Connections>, CaptureError> {
    let hook = hooks.iter().find(|hook| hook.name == HookName::Connection);
    if hook.is_none_or(|hook| hook.state != HookState::Attached) {
        return Ok(None);
    }
    let ring = RingBuf::try_from(take(ebpf, "CONNECTIONS")?).map_err(map_error)?;
    let dropped = map(ebpf, "CONNECTIONS_DROPPED")?;
    Ok(Some(Connections::new(ring, dropped)))
}

/// Gives the programs their configuration, which starts them: until then they let everything pass
/// unseen. Attaching takes the kernel milliseconds per direction, and a connection seen from one
/// side only looks like one that lost its responses.
fn enable(
    map: &mut Array<MapData, CaptureConfig>,
    options: &CaptureOptions,
) -> Result<CaptureConfig, CaptureError> {
    let config = CaptureConfig {
        enabled: 1,
        // As aya rounds it when it makes the map.
        ring_bytes: options.ring_bytes.next_power_of_two(),
        ..options.config
    };
    map.set(0, config, 0).map_err(map_error)?;
    Ok(config)
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, CaptureError> {
    ebpf.take_map(name).ok_or_else(|| load::missing_map(name))
}

fn map<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M, CaptureError> {
    M::try_from(take(ebpf, name)?).map_err(map_error)
}

fn map_error(error: MapError) -> CaptureError {
    error::setup(error.into())
}
