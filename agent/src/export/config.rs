//! The `export` section of the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::otlp::{OtlpConfig, Signal};
use crate::units::Interval;

/// Where signals go. Several destinations get every item each.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSection {
    /// OpenTelemetry collectors. With no destination at all, the standard `OTEL_EXPORTER_OTLP_*`
    /// variables name one.
    pub otlp: Vec<OtlpConfig>,
    /// One JSON object a line on standard output.
    pub stdout: bool,
    /// A HAR file that every exchange is written to, for browser developer tools. It grows as long
    /// as the agent runs.
    pub har: Option<PathBuf>,
    /// Longest wait for delivery when the agent stops.
    pub shutdown_timeout: Interval,
    /// Threads that apply the policy and make spans.
    pub workers: std::num::NonZeroU8,
}

impl Default for ExportSection {
    fn default() -> Self {
        Self {
            otlp: Vec::new(),
            stdout: false,
            har: None,
            // Well inside the 30 s that Kubernetes gives a pod.
            shutdown_timeout: Interval::secs(10),
            workers: DEFAULT_WORKERS,
        }
    }
}

/// One core's worth of threads is far more than most nodes need.
const DEFAULT_WORKERS: std::num::NonZeroU8 = std::num::NonZeroU8::MIN;

impl ExportSection {
    /// The name of destination `index`.
    #[must_use]
    pub fn name(&self, index: usize) -> String {
        let given = self.otlp.get(index).and_then(|otlp| otlp.name.clone());
        given.unwrap_or_else(|| match self.otlp.len() {
            0 | 1 => "otlp".to_owned(),
            _ => format!("otlp-{}", index + 1),
        })
    }

    /// The first destination that takes this signal.
    #[must_use]
    pub fn taker(&self, signal: Signal) -> Option<usize> {
        let takes = |otlp: &OtlpConfig| otlp.signals.0.contains(&signal);
        self.otlp.iter().position(takes)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let mut names = vec![
            "stdout".to_owned(),
            "har".to_owned(),
            "access-log".to_owned(),
        ];
        for (index, otlp) in self.otlp.iter().enumerate() {
            otlp.check()
                .map_err(|reason| format!("export.otlp.{index}.{reason}"))?;
            for signal in &otlp.signals.0 {
                let name = signal.exporter(&self.name(index));
                if names.contains(&name) {
                    return Err(format!(
                        "export.otlp.{index}.name: there is another `{name}`"
                    ));
                }
                names.push(name);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::otlp::Signals;
    use super::*;

    #[test]
    fn names_are_of_one_exporter_each() {
        let check = |names: [&str; 2], expected: Result<(), &str>| {
            let otlp = names.map(|name| OtlpConfig {
                name: Some(name.to_owned()),
                ..OtlpConfig::default()
            });
            let section = ExportSection {
                otlp: otlp.into(),
                ..ExportSection::default()
            };
            assert_eq!(section.check(), expected.map_err(str::to_owned));
        };
        check(["a", "b"], Ok(()));
        check(["a", "a"], Err("export.otlp.1.name: there is another `a`"));
        let twice = OtlpConfig {
            signals: Signals(vec![Signal::Logs, Signal::Metrics]),
            ..OtlpConfig::default()
        };
        let section = ExportSection {
            otlp: vec![twice],
            ..ExportSection::default()
        };
        assert_eq!(section.check(), Ok(()));
        for taken in ["stdout", "har", "access-log"] {
            let expected = format!("export.otlp.1.name: there is another `{taken}`");
            check(["a", taken], Err(&expected));
        }
    }
}
