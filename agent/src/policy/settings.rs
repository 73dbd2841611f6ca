//! What a user sets of the policy. Every value has a default, unknown keys are errors.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// The policy's section of the configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Part of the traces that is kept, 0 to 1. Decided by trace id, so a trace is kept or dropped whole.
    pub sampling_ratio: f64,
    /// Regular expressions on the path (the target without its query).
    pub paths: Select,
    /// Host names, `*` for any run of characters; the port is not compared.
    pub hosts: Select,
    /// Methods.
    pub methods: Select,
    /// Status codes: `404`, `5xx`, `500-503`. An exchange without an answer is always kept.
    pub statuses: Select,
    /// Media types of bodies that are kept, `*` for any run of characters: `application/json`, `text/*`.
    pub bodies: Select,
    /// Most bytes that come out of a content-coded body.
    pub max_decoded_bytes: usize,
    /// Kubelet probes are skipped: recognised by the address that an ambient mesh gives them, else by what they call themselves when they do
    /// not come from a pod.
    pub skip_probes: bool,
    /// Exports of spans by meshtap itself are skipped where a collector receives them: they would be told with the next export,
    /// and so on for ever.
    pub skip_own: bool,
    /// Names of the header fields that are kept; `*` keeps all.
    pub headers: Vec<String>,
    /// What is hidden, and how.
    pub redaction: Redaction,
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

/// What is hidden, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Redaction {
    /// Whether values are replaced, only counted, or left.
    pub mode: Mode,
    /// Further header fields whose whole value is hidden.
    pub headers: Vec<String>,
    /// Names of query parameters, of form, JSON and XML fields whose value is hidden. Compared by letters and digits alone, without
    /// case; `*` at either end stands for anything.
    pub names: Vec<String>,
    /// Values hidden wherever they stand.
    pub patterns: Vec<Pattern>,
    /// What becomes of a body that could not be decoded, and so not be inspected.
    pub uninspected: Uninspected,
    /// Secret that keys the hashes, at least 16 bytes. Agents with the same key give equal hashes for equal values; with none, a random key
    /// lives as long as the process.
    pub key: Option<Secret>,
}

/// Whether secret values are replaced.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Replaced by a keyed hash.
    #[default]
    On,
    /// Counted per rule; nothing is changed.
    DryRun,
    /// Not looked for.
    Off,
}

/// A kind of value that is recognised by its own form.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Payment card numbers: 13 to 19 digits that pass the Luhn check.
    Card,
    /// E-mail addresses.
    Email,
    /// JSON Web Tokens (RFC 7519, compact form).
    Jwt,
}

/// What becomes of a body that could not be inspected: content-coded by a coding that is unknown or broken, or text in
/// UTF-16 or UTF-32.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Uninspected {
    /// Left out, and said so.
    #[default]
    Withhold,
    /// Kept as it came.
    Keep,
}

impl Default for Settings {
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
            bodies: Select::default(),
            // Sixteen times the default capture limit: text is coded to a fifth, seldom less.
            max_decoded_bytes: 1024 * 1024,
            skip_probes: true,
            skip_own: true,
            headers: owned(&super::defaults::HEADERS),
            redaction: Redaction::default(),
        }
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            mode: Mode::On,
            headers: Vec::new(),
            names: owned(&super::defaults::NAMES),
            patterns: Vec::new(),
            uninspected: Uninspected::Withhold,
            key: None,
        }
    }
}

impl Settings {
    /// Everything, all headers, nothing replaced: what a person who looks at single exchanges wants to begin from.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            paths: Select::default(),
            skip_probes: false,
            headers: vec!["*".to_owned()],
            ..Self::default()
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
