//! The configuration file of `meshtap run`: YAML, typed, unknown keys are errors.
//!
//! What a flag or a `MESHTAP_*` variable says goes before the file ([`load`]).

mod load;
mod tree;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::telemetry::{BudgetSection, LogFormat, TelemetrySection};
pub use crate::units::{ByteSize, Interval};
pub use crate::workload::{
    KubernetesMode, KubernetesSection, PeerChoice, ScopeSection, TrustSection,
};
pub use load::{Error, Overrides, load, parse};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is captured.
    pub capture: CaptureSection,
    /// Which workloads are captured.
    pub scope: ScopeSection,
    /// How pods are named.
    pub kubernetes: KubernetesSection,
    /// Which proxies are believed when they say for whom they speak.
    pub trust: TrustSection,
    /// Bounds of what is kept while exchanges are put together.
    pub limits: LimitsSection,
    /// Which exchanges are kept.
    pub policy: crate::policy::Config,
    /// What of them may leave, and what is hidden.
    pub redaction: crate::redact::Config,
    /// The attribute schema of spans.
    pub span: crate::signal::span::Settings,
    /// Where spans go.
    pub export: crate::export::ExportSection,
    /// What the agent reports about itself.
    pub telemetry: TelemetrySection,
    /// What the agent may use.
    pub budget: BudgetSection,
}

/// What is captured.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureSection {
    /// The cgroup v2 folder whose sockets are captured. Default: the root of the mounted hierarchy.
    pub cgroup: Option<PathBuf>,
    /// Which end of a connection is recorded.
    pub side: SideChoice,
    /// Only sockets with one of these ports, local or remote; at most 16. Empty: all.
    pub ports: Vec<u16>,
    /// Sockets whose SO_MARK is this are left alone. Any process with CAP_NET_ADMIN, or CAP_NET_RAW
    /// since Linux 5.17, can set one, so the default is null: none. With Kubernetes, ztunnel's
    /// sockets (1337) are known by their cgroup.
    pub ignored_mark: Option<u32>,
    /// Buffer between the kernel and the agent: a power of two from 64KiB to 1GiB.
    pub ring: ByteSize,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            cgroup: None,
            side: SideChoice::Server,
            ports: Vec::new(),
            ignored_mark: None,
            ring: ByteSize(u64::from(meshtap_common::DEFAULT_RING_BYTES)),
        }
    }
}

/// Which end of a connection is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideChoice {
    /// The end that requests arrive at.
    #[default]
    Server,
    /// The end that requests leave from.
    Client,
    /// Both: a request between two workloads of this node is told twice, once by each.
    Both,
}

/// Bounds of what is kept while exchanges are put together.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Bytes kept of one body, 1 to 16MiB.
    pub body: ByteSize,
    /// Connections followed at a time.
    pub connections: usize,
    /// Bytes of heads, bodies and reordering over all connections.
    pub memory: ByteSize,
    /// An exchange older than this is told as it stands.
    pub exchange_age: Interval,
    /// A connection silent for this long is forgotten.
    pub idle: Interval,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let limits = crate::engine::Limits::default();
        Self {
            body: ByteSize(limits.body as u64),
            connections: limits.connections,
            memory: ByteSize(limits.memory as u64),
            exchange_age: Interval(std::time::Duration::from_nanos(limits.exchange_age)),
            idle: Interval(std::time::Duration::from_nanos(limits.idle)),
        }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        const MIN_RING: ByteSize = ByteSize::kib(64);
        const MAX_RING: ByteSize = ByteSize::mib(1024);
        const MAX_BODY: ByteSize = ByteSize::mib(16);
        let refuse = |bad: bool, text: &str| if bad { Err(text.to_owned()) } else { Ok(()) };
        let ring = self.capture.ring;
        refuse(
            !ring.0.is_power_of_two() || !(MIN_RING..=MAX_RING).contains(&ring),
            "capture.ring: must be a power of two from 64KiB to 1GiB",
        )?;
        refuse(
            self.capture.ports.len() > meshtap_common::MAX_PORTS,
            "capture.ports: at most 16 ports; leave them out to capture all",
        )?;
        refuse(
            self.capture.ports.contains(&0),
            "capture.ports: 0 is no port",
        )?;
        let body = self.limits.body;
        refuse(
            !(ByteSize(1)..=MAX_BODY).contains(&body),
            "limits.body: must be from 1 byte to 16MiB",
        )?;
        refuse(
            self.limits.connections == 0,
            "limits.connections: must not be 0",
        )?;
        refuse(
            self.limits.memory < ByteSize::mib(1),
            "limits.memory: must be 1MiB or more",
        )?;
        self.budget.check()?;
        self.kubernetes.check()?;
        self.scope.check()?;
        self.trust.check()?;
        self.export.check()
    }
}

/// The JSON schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
