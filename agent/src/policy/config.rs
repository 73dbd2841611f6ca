//! Section `policy` of the configuration: which exchanges are kept. Every value has a default,
//! unknown keys are errors.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which exchanges are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Part of the traces that is kept, 0 to 1. Decided by trace id, so a trace is kept or dropped
    /// whole.
    pub sampling_ratio: f64,
    /// Regular expressions on the path (the target without its query), as servers read it:
    /// percent-decoded, without dot segments and repeated slashes.
    pub paths: Select,
    /// Host names, `*` for any run of characters; the port is not compared.
    pub hosts: Select,
    /// Methods.
    pub methods: Select,
    /// Status codes: `404`, `5xx`, `500-503`. An exchange without a response is always kept.
    pub statuses: Select,
    /// Kubelet probes are skipped: requests that come from the node and that call themselves
    /// `kube-probe` or ask for what the pod's spec declares as a probe.
    pub skip_probes: bool,
    /// Exports of spans by meshtap itself are skipped where a collector receives them: they would
    /// be exported with the next batch, and so on for ever. Recognised by the agent's own
    /// sockets.
    pub skip_own: bool,
}

/// What to keep of something. An empty `include` is everything; `exclude` wins.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// Only these.
    pub include: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_ratio: 1.0,
            paths: Select {
                include: Vec::new(),
                exclude: vec!["^/static".to_owned()],
            },
            hosts: Select::default(),
            methods: Select::default(),
            statuses: Select::default(),
            skip_probes: true,
            skip_own: true,
        }
    }
}

impl Config {
    /// Everything: what a person who looks at single exchanges wants to start from.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            paths: Select::default(),
            skip_probes: false,
            ..Self::default()
        }
    }
}
