//! The `export.otlp` section: what a file says of one OTLP destination. What it does not set comes
//! from the standard `OTEL_EXPORTER_OTLP_*` variables, then from the defaults of the OpenTelemetry
//! specification.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::signal::{Signal, Signals};
use crate::export::queue::DropPolicy;
use crate::redact::Secret;
use crate::units::{ByteSize, Interval};

/// One OTLP destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Name in metrics and logs. Default: `otlp`, with a number when there are several. Exporters
    /// of metrics and logs have `-metrics` and `-logs` behind it.
    pub name: Option<String>,
    /// What it takes: `traces`, `metrics`, `logs`. Default: traces alone.
    pub signals: Signals,
    /// `http://host:4318`, `https://host:4317`, `host:4317`. For the HTTP protocols the signal's
    /// path (`/v1/traces`) is appended to a path that does not end with it; a query is kept.
    pub endpoint: Option<String>,
    /// Default: `grpc` when the port is 4317 and there is no path, else `http/protobuf`.
    pub protocol: Option<Protocol>,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// Longest wait for one response. Default: 10 s.
    pub timeout: Option<Interval>,
    /// Default: none.
    pub compression: Option<Compression>,
    /// Certificates.
    pub tls: TlsConfig,
    /// Where `endpoint` has no scheme: without TLS. Default: false.
    pub insecure: Option<bool>,
    /// `http://host:3128`, or `none`. Default: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Option<Secret>,
    /// How metrics are exported.
    pub metrics: MetricsConfig,
    /// Size and age of batches.
    pub batch: BatchConfig,
    /// What waits for delivery.
    pub queue: QueueConfig,
    /// What happens when the destination is not available.
    pub retry: RetryConfig,
    /// Requests under way at a time. Default: 4.
    pub concurrency: Concurrency,
}

impl OtlpConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key, relative to this section, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let zero = |interval: Interval| interval.0.is_zero();
        if self.timeout.is_some_and(zero) {
            return Err("timeout: must not be 0".to_owned());
        }
        let Signals(signals) = &self.signals;
        let is_twice = |signal: &Signal| signals.iter().filter(|s| *s == signal).count() > 1;
        if signals.is_empty() || signals.iter().any(is_twice) {
            return Err("signals: each of traces, metrics, logs once, and one at least".to_owned());
        }
        if self.metrics.interval.is_some_and(zero) {
            return Err("metrics.interval: must not be 0".to_owned());
        }
        if zero(self.retry.initial) || self.retry.max < self.retry.initial {
            return Err("retry.initial: must not be 0, nor more than `max`".to_owned());
        }
        if self.batch.spans == 0 {
            return Err("batch.spans: must not be 0".to_owned());
        }
        if self.batch.bytes.0 == 0 {
            return Err("batch.bytes: must not be 0".to_owned());
        }
        if self.batch.bytes > self.queue.bytes {
            return Err(format!(
                "queue.bytes: must hold a batch of {}",
                self.batch.bytes
            ));
        }
        Ok(())
    }
}

/// How metrics are exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// How often. Default: 60 s.
    pub interval: Option<Interval>,
    /// What values count from. Default: cumulative.
    pub temporality: Option<Temporality>,
}

/// What the values of counters and histograms count from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// The beginning, as Prometheus has it.
    #[default]
    Cumulative,
    /// The export before.
    Delta,
}

/// Certificates, as files in PEM format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate (chain) to present.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// A wire protocol of OTLP.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    #[serde(rename = "grpc")]
    #[value(name = "grpc")]
    Grpc,
    /// Protobuf over HTTP/1.1.
    #[serde(rename = "http/protobuf")]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// JSON over HTTP/1.1.
    #[serde(rename = "http/json")]
    #[value(name = "http/json")]
    HttpJson,
}

/// Compression of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// gzip.
    Gzip,
}

/// When a batch is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Bytes. A single larger span makes a batch of its own; one over 4 MiB, which is all that a
    /// collector takes by default, is sent without its bodies.
    pub bytes: ByteSize,
    /// Spans, data points of metrics, or log records.
    pub spans: u64,
    /// Age of its first span.
    pub age: Interval,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            // A quarter of the 4 MiB that gRPC servers accept by default, so that no encoding of it
            // comes near.
            bytes: ByteSize::mib(1),
            // The collector's own batch processor sends 8192.
            spans: 8192,
            age: Interval::secs(1),
        }
    }
}

/// What waits for delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Most bytes that wait.
    pub bytes: ByteSize,
    /// What gives way when it is full.
    pub drop: DropPolicy,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            // Half a minute of 500 exchanges a second at 4 KiB, and an eighth of the default memory
            // budget.
            bytes: ByteSize::mib(64),
            drop: DropPolicy::Oldest,
        }
    }
}

/// Exponential backoff with jitter. Between two attempts is at least the longer of the backoff and
/// of the destination's `Retry-After` or `RetryInfo`, and at most `max`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Before the first retry.
    pub initial: Interval,
    /// Longest wait between two attempts.
    pub max: Interval,
    /// A batch is dropped this long after its first attempt.
    pub give_up: Interval,
}

impl Default for RetryConfig {
    /// As the OpenTelemetry Collector's own exporters, save for a quicker first retry.
    fn default() -> Self {
        Self {
            initial: Interval::secs(1),
            max: Interval::secs(30),
            give_up: Interval::secs(300),
        }
    }
}

/// Requests under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Concurrency(pub std::num::NonZeroU8);

impl Default for Concurrency {
    fn default() -> Self {
        // Hides a round trip of a few milliseconds at several hundred batches a second.
        Self(const { std::num::NonZeroU8::new(4).unwrap() })
    }
}
