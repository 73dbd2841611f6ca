//! Sections of the configuration: what the agent reports about itself, and what it may use.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

/// What the agent reports about itself.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// Address of `/metrics`, `/healthz` and `/readyz`. Null: none.
    #[schemars(extend("pattern" = r"^([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$"))]
    pub listen: Option<SocketAddr>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives of the `tracing` crate.
    pub log_level: String,
    /// Shape of log lines.
    pub log_format: LogFormat,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            // The port that OpenTelemetry's Prometheus exporters use; on loopback, until someone
            // says who may ask.
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

/// What the agent may use. Over it, it does less, step by step: no bodies, then only a part of the
/// traces.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSection {
    /// Processor time, in cores. Null: no bound.
    pub cpu: Option<f64>,
    /// Resident memory. Null: no bound.
    pub memory: Option<ByteSize>,
    /// How far the agent gives way to other processes of its cgroup, from 0 (like any other) to
    /// 19, as in setpriority(2): where processors are short, it loses its own data first.
    pub nice: u8,
    /// Part of the traces that is kept at the last step, 0 to 1.
    pub sampling_ratio: f64,
}

/// The lowest priority there is.
const MAX_NICE: u8 = 19;

impl Default for BudgetSection {
    fn default() -> Self {
        Self {
            cpu: None,
            memory: Some(ByteSize::mib(512)),
            nice: 0,
            sampling_ratio: 0.1,
        }
    }
}

impl BudgetSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.cpu.is_some_and(|cores| cores.is_nan() || cores <= 0.0) {
            return Err("budget.cpu: must be more than 0".to_owned());
        }
        if self.nice > MAX_NICE {
            return Err(format!("budget.nice: must be from 0 to {MAX_NICE}"));
        }
        if !(0.0..=1.0).contains(&self.sampling_ratio) {
            return Err("budget.sampling_ratio: must be from 0 to 1".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        let checked = |change: fn(&mut BudgetSection)| {
            let mut budget = BudgetSection::default();
            change(&mut budget);
            budget.check().is_ok()
        };
        assert!(checked(|_| ()));
        assert!(checked(|budget| budget.nice = 0));
        assert!(checked(|budget| budget.nice = 19));
        assert!(!checked(|budget| budget.nice = 20));
        assert!(!checked(|budget| budget.cpu = Some(0.0)));
        assert!(!checked(|budget| budget.cpu = Some(f64::NAN)));
        assert!(!checked(|budget| budget.sampling_ratio = 1.1));
    }
}
