//! Live capture: loads the kernel programs, attaches them to a cgroup, reads what they record, and passes on what the engine asks of them.

mod cgroup;
mod error;
mod load;
mod log;
mod owner;
mod privilege;
mod ring;
mod scope;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use meshtap_common::{
    CaptureConfig, DEFAULT_FLOWS, DEFAULT_RING_BYTES, DIRECTION_EGRESS, DIRECTION_INGRESS,
    DROP_REASONS, DropReason, EventHeader, FlowState, ResumeKey, VERDICT_IGNORE,
};

pub use self::error::CaptureError;
pub use self::owner::Owners;
pub use self::scope::CgroupScope;
use super::{Command, Event, Polled, Source, decode};
use crate::flow::{Direction, SocketId};

/// `BPF_EXIST` of linux/bpf.h: only replace.
const ONLY_REPLACE: u64 = 2;

/// How to capture.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Cgroup v2 folder whose sockets are captured; the root of the hierarchy when `None`.
    pub cgroup: Option<PathBuf>,
    /// What the kernel side selects.
    pub config: CaptureConfig,
    /// Size of the ring buffer; rounded up to a power of two pages.
    pub ring_bytes: u32,
    /// Sockets whose state the kernel side keeps.
    pub flows: u32,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            cgroup: None,
            config: CaptureConfig::default(),
            ring_bytes: DEFAULT_RING_BYTES,
            flows: DEFAULT_FLOWS,
        }
    }
}

/// What the kernel side did not hand over, and why: totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Segments and payload bytes; index by `DropReason as usize`.
    counts: [[u64; 2]; DROP_REASONS as usize],
    /// Records that could not be read.
    pub malformed: u64,
}

impl Drops {
    /// Segments left out for this reason.
    #[must_use]
    pub fn segments(&self, reason: DropReason) -> u64 {
        self.counts
            .get(reason as usize)
            .map_or(0, |[segments, _]| *segments)
    }

    /// Payload bytes left out for this reason.
    #[must_use]
    pub fn bytes(&self, reason: DropReason) -> u64 {
        self.counts
            .get(reason as usize)
            .map_or(0, |[_, bytes]| *bytes)
    }
}

/// Names sockets that the kernel side is to leave alone. Cheap to clone; works while the capture lives.
#[derive(Clone)]
pub struct OwnSockets(Arc<Mutex<HashMap<MapData, u64, FlowState>>>);

impl OwnSockets {
    /// Leaves a socket alone. For the agent's own sockets: call it before they connect, and again now and then while they live, since the
    /// kernel's table forgets sockets that are silent for long when it is full.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn ignore(&self, socket: SocketId) -> io::Result<()> {
        self.write(socket, 0)
    }

    fn write(&self, socket: SocketId, flags: u64) -> io::Result<()> {
        let state = FlowState {
            verdict: VERDICT_IGNORE,
            ..FlowState::default()
        };
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flows
            .insert(socket.0, state, flags)
            .map_err(io::Error::other)
    }
}

impl fmt::Debug for OwnSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSockets").finish_non_exhaustive()
    }
}

/// A running capture. Ends when dropped, or with the process.
pub struct Capture {
    reader: ring::Reader,
    flows: OwnSockets,
    resume: HashMap<MapData, ResumeKey, u32>,
    drops: PerCpuArray<MapData, [u64; 2]>,
    settings: Array<MapData, CaptureConfig>,
    /// What the kernel side was last told.
    config: CaptureConfig,
    diagnostics: Option<log::Diagnostics>,
    malformed: u64,
    owners: Option<Result<Owners, String>>,
    scope: CgroupScope,
    cgroup: PathBuf,
    /// Holds the programs and their links.
    _ebpf: Ebpf,
}

impl Capture {
    /// Starts to capture.
    ///
    /// # Errors
    /// See [`CaptureError`].
    pub fn start(options: &CaptureOptions) -> Result<Self, CaptureError> {
        let mut ebpf = load::load(options)?;
        let (path, cgroup) = cgroup::open(options.cgroup.as_deref())?;
        let ring = RingBuf::try_from(take(&mut ebpf, "EVENTS")?).map_err(map_error)?;
        let reader = ring::Reader::new(ring).map_err(|error| CaptureError::Setup {
            reason: error.to_string(),
        })?;
        let flows = HashMap::try_from(take(&mut ebpf, "FLOWS")?).map_err(map_error)?;
        let resume = HashMap::try_from(take(&mut ebpf, "RESUME")?).map_err(map_error)?;
        let drops = PerCpuArray::try_from(take(&mut ebpf, "DROPS")?).map_err(map_error)?;
        let mut settings = Array::try_from(take(&mut ebpf, "CONFIG")?).map_err(map_error)?;
        let scope = CgroupScope::new(take(&mut ebpf, "EXCLUDED_CGROUPS")?).map_err(map_error)?;
        let diagnostics = if options.config.log == 0 {
            None
        } else {
            log::Diagnostics::new(&mut ebpf)
        };
        load::attach(&mut ebpf, &path, &cgroup)?;
        let owners = Some(owner::attach(&mut ebpf, &cgroup));
        let config = load::enable(&mut settings, options.config)?;
        Ok(Self {
            reader,
            flows: OwnSockets(Arc::new(Mutex::new(flows))),
            resume,
            drops,
            settings,
            config,
            diagnostics,
            malformed: 0,
            owners,
            scope,
            cgroup: path,
            _ebpf: ebpf,
        })
    }

    /// The cgroup that is captured.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Payload bytes copied per direction before the other direction speaks, or user space asks for more.
    #[must_use]
    pub const fn budget(&self) -> u32 {
        self.config.budget
    }

    /// Sets it. Directions that have used up more than that are cut off at once, and begin again at their next turn; what is left out is
    /// counted ([`DropReason::Budget`]).
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

    /// Which process connected or closed a socket; at the first call. The error says why the kernel side cannot tell.
    pub fn take_owners(&mut self) -> Option<Result<Owners, String>> {
        self.owners.take()
    }

    /// A handle to name the agent's own sockets with.
    #[must_use]
    pub fn own_sockets(&self) -> OwnSockets {
        self.flows.clone()
    }

    /// A handle to leave cgroups alone with.
    #[must_use]
    pub fn cgroup_scope(&self) -> CgroupScope {
        self.scope.clone()
    }

    /// Like [`Source::poll`], with the records as they are: the header, and the bytes that follow it, of which the first
    /// `captured_len` are payload. [`decode::decode`] makes a segment of them.
    ///
    /// # Errors
    /// When the ring buffer cannot be waited on.
    pub fn poll_raw(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> io::Result<Polled> {
        let malformed = &mut self.malformed;
        let polled = self
            .reader
            .poll(timeout, |record| match EventHeader::split(record) {
                Some((header, rest)) => handle(&header, rest),
                None => *malformed += 1,
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
        let mut drops = Drops {
            malformed: self.malformed,
            ..Drops::default()
        };
        for (index, total) in (0..DROP_REASONS).zip(&mut drops.counts) {
            let per_cpu = self.drops.get(&index, 0).map_err(io::Error::other)?;
            for [segments, bytes] in per_cpu.iter() {
                total[0] = total[0].wrapping_add(*segments);
                total[1] = total[1].wrapping_add(*bytes);
            }
        }
        Ok(drops)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("cgroup", &self.cgroup)
            .finish_non_exhaustive()
    }
}

impl Source for Capture {
    fn poll(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        let mut malformed = 0;
        let polled = self.poll_raw(
            timeout,
            &mut |header, rest| match decode::decode(header, rest) {
                Some(event) => handle(&event),
                None => malformed += 1,
            },
        );
        self.malformed += malformed;
        polled
    }

    fn command(&mut self, commands: &[Command]) {
        for command in commands {
            // A socket that the kernel's table has forgotten is met anew there: nothing is lost by not telling it.
            let _forgotten = match *command {
                Command::Ignore(socket) | Command::Fold(socket) => {
                    self.flows.write(socket, ONLY_REPLACE)
                }
                Command::Resume {
                    socket,
                    direction,
                    seq,
                } => {
                    let key = ResumeKey {
                        cookie: socket.0,
                        direction: u32::from(match direction {
                            Direction::Ingress => DIRECTION_INGRESS,
                            Direction::Egress => DIRECTION_EGRESS,
                        }),
                        reserved: 0,
                    };
                    self.resume.insert(key, seq, 0).map_err(io::Error::other)
                }
                // Every flow has a budget as yet.
                Command::Unlimited(_) => Ok(()),
            };
        }
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, CaptureError> {
    ebpf.take_map(name).ok_or_else(|| load::missing_map(name))
}

fn map_error(error: aya::maps::MapError) -> CaptureError {
    load::setup(error.into())
}
