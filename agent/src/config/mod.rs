//! The configuration file of `meshtap run`: YAML, typed, unknown keys are errors.
//!
//! What a flag or a `MESHTAP_*` variable says goes before the file ([`load`]).

mod load;
mod otlp;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{Error, Overrides, load, parse};
pub use otlp::{
    BatchConfig, Compression, Concurrency, OtlpConfig, Protocol, QueueConfig, RetryConfig, Secret,
    TlsConfig,
};
pub use units::{ByteSize, Interval};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is captured.
    pub capture: CaptureSection,
    /// Bounds of what is kept while exchanges are put together.
    pub limits: LimitsSection,
    /// Where spans go.
    pub export: ExportSection,
    /// How the agent tells of itself.
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
    /// Sockets whose mark is this are skipped (ztunnel's, by default). Null: none.
    pub ignored_mark: Option<u32>,
    /// Ring buffer between the kernel and the agent. Rounded up to a power of two.
    pub ring: ByteSize,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            cgroup: None,
            side: SideChoice::Both,
            ports: Vec::new(),
            ignored_mark: Some(meshtap_common::ZTUNNEL_MARK),
            ring: ByteSize(u64::from(meshtap_common::DEFAULT_RING_BYTES)),
        }
    }
}

/// Which end of a connection is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideChoice {
    /// The end that requests arrive at.
    Server,
    /// The end that requests leave from.
    Client,
    /// Both.
    #[default]
    Both,
}

/// Bounds of what is kept while exchanges are put together.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Bytes kept of one body.
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
        let limits = crate::connection::Limits::default();
        Self {
            body: ByteSize(limits.body as u64),
            connections: limits.connections,
            memory: ByteSize(limits.memory as u64),
            exchange_age: Interval(std::time::Duration::from_nanos(limits.exchange_age)),
            idle: Interval(std::time::Duration::from_nanos(limits.idle)),
        }
    }
}

/// Where spans go. Several destinations get every span each.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSection {
    /// OpenTelemetry collectors. With no destination at all, the standard `OTEL_EXPORTER_OTLP_*` variables name one.
    pub otlp: Vec<OtlpConfig>,
    /// One JSON object a line on standard output.
    pub stdout: bool,
    /// Longest wait for delivery when the agent stops.
    pub shutdown_timeout: Interval,
}

impl Default for ExportSection {
    fn default() -> Self {
        Self {
            otlp: Vec::new(),
            stdout: false,
            // Well inside the 30 s that Kubernetes gives a pod.
            shutdown_timeout: Interval::secs(10),
        }
    }
}

/// How the agent tells of itself.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// Address of `/metrics`, `/healthz` and `/readyz`. Null: none.
    pub listen: Option<SocketAddr>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives of the `tracing` crate.
    pub log_level: String,
    /// Shape of log lines.
    pub log_format: LogFormat,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            // The port that OpenTelemetry's Prometheus exporters use; on loopback, until someone says who may ask.
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the agent may use. Over it, it does less, step by step: no bodies, then only a part of the traces.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSection {
    /// Processor time, in cores. Null: no bound.
    pub cpu: Option<f64>,
    /// Resident memory. Null: no bound.
    pub memory: Option<ByteSize>,
    /// Part of the traces that is kept at the last step, 0 to 1.
    pub sampling_ratio: f64,
}

impl Default for BudgetSection {
    fn default() -> Self {
        Self {
            cpu: None,
            memory: Some(ByteSize::mib(512)),
            sampling_ratio: 0.1,
        }
    }
}

/// The JSON schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
