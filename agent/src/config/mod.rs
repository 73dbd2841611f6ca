//! The configuration file of `meshtap run`: YAML, typed, unknown keys are errors.
//!
//! What a flag or a `MESHTAP_*` variable says goes before the file ([`load`]).

mod hint;
mod load;
mod place;
mod tree;

use schemars::JsonSchema;
use serde::Deserialize;

pub use crate::capture::kernel::{CaptureSection, SideChoice};
pub use crate::engine::LimitsSection;
pub use crate::handover::HandoverSection;
pub use crate::telemetry::{BudgetSection, LogFormat, TelemetrySection};
pub use crate::units::{ByteSize, Interval};
pub use crate::workload::{
    KubernetesMode, KubernetesSection, PeerChoice, ScopeSection, TrustSection,
};
pub use load::{Error, Overrides, load, parse};
pub use place::place;

use crate::export::otlp::Signal;

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
    /// How an agent takes over from the one that runs on the node.
    pub handover: HandoverSection,
    /// Bounds of what is kept while exchanges are put together.
    pub limits: LimitsSection,
    /// Which exchanges are kept.
    pub policy: crate::policy::Config,
    /// What of them may leave, and what is hidden.
    pub redaction: crate::redact::Config,
    /// The attribute schema of spans.
    pub span: crate::signal::span::Settings,
    /// Istio's metrics.
    pub metrics: crate::signal::metrics::MetricsSection,
    /// Lines for exchanges.
    pub access_log: crate::signal::access_log::AccessLogSection,
    /// Where spans go.
    pub export: crate::export::ExportSection,
    /// What the agent reports about itself.
    pub telemetry: TelemetrySection,
    /// What the agent may use.
    pub budget: BudgetSection,
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        self.capture.check()?;
        self.limits.check()?;
        self.budget.check()?;
        self.kubernetes.check()?;
        self.scope.check()?;
        self.trust.check()?;
        self.access_log.check()?;
        self.export.check()?;
        match self.export.taker(Signal::Metrics) {
            Some(index) if !self.metrics.enabled => Err(format!(
                "export.otlp.{index}.signals: there are no `metrics` without `metrics.enabled`"
            )),
            _ => Ok(()),
        }
    }
}

/// The JSON schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sections_need_of_each_other() {
        #[track_caller]
        fn check(yaml: &str, expected: Result<(), &str>) {
            let config: Config = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!(config.check(), expected.map_err(str::to_owned), "{yaml}");
        }
        let metrics = "export: {otlp: [{signals: [traces]}, {signals: [logs, metrics]}]}";
        check(metrics, Ok(()));
        check(
            &format!("{metrics}\nmetrics: {{enabled: false}}"),
            Err("export.otlp.1.signals: there are no `metrics` without `metrics.enabled`"),
        );
        let signals = "export.otlp.0.signals: each of traces, metrics, logs once, and one at least";
        check("export: {otlp: [{signals: []}]}", Err(signals));
        check("export: {otlp: [{signals: [logs, logs]}]}", Err(signals));
        check(
            "export: {otlp: [{batch: {spans: 0}}]}",
            Err("export.otlp.0.batch.spans: must not be 0"),
        );
        check(
            "export: {otlp: [{batch: {bytes: 0}}]}",
            Err("export.otlp.0.batch.bytes: must not be 0"),
        );
        check(
            "export: {otlp: [{metrics: {interval: 0s}}]}",
            Err("export.otlp.0.metrics.interval: must not be 0"),
        );
    }
}
