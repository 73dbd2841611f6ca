//! Section `redaction` of the configuration: what of an exchange may leave the node. Every value
//! has a default, unknown keys are errors.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;
use crate::policy::Select;

/// What of an exchange may leave the node.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether secrets are replaced, only counted, or left.
    pub mode: Mode,
    /// Names of the header fields that are kept; `*` keeps all.
    pub allowed_headers: Vec<String>,
    /// Media types of bodies that are kept, `*` for any run of characters: `application/json`,
    /// `text/*`.
    pub bodies: Select,
    /// Most bytes that come out of a content-coded body.
    pub max_decoded_bytes: usize,
    /// Further header fields whose whole value is hidden.
    pub headers: Vec<String>,
    /// Names of query parameters, of form, JSON, XML and header fields whose value is hidden:
    /// `api-key` stands for these words in a row in a name (`X-Api-Key`, `my_api_key`,
    /// `apiKey`), `*` at either end for anything before or after, `=` before all for the whole
    /// name. Compared by letters and digits alone, without case.
    pub names: Vec<String>,
    /// Kinds of values that are hidden wherever they stand.
    pub patterns: Vec<Pattern>,
    /// What becomes of a body that could not be decoded, and so not be inspected.
    pub uninspected: Uninspected,
    /// Secret that keys the hashes, at least 16 bytes. Agents with the same key give equal hashes
    /// for equal values; with none, a random key lives as long as the process.
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
    /// Payment card numbers: digits of a network that pass the Luhn check.
    Card,
    /// E-mail addresses.
    Email,
    /// JSON Web Tokens (RFC 7519, compact form).
    Jwt,
    /// Tokens with a prefix of their issuer: cloud providers, GitHub, GitLab, Slack, Stripe and
    /// others.
    KnownToken,
    /// Private keys in PEM (RFC 7468).
    PrivateKey,
}

/// What becomes of a body that could not be inspected: content-coded by a coding that is unknown or
/// broken, or text in UTF-16 or UTF-32.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Uninspected {
    /// Omitted, and said so.
    #[default]
    Omit,
    /// Kept as it came.
    Keep,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::On,
            allowed_headers: owned(&super::defaults::HEADERS),
            bodies: Select::default(),
            // Sixteen times the default capture limit: text is coded to a fifth, seldom less.
            max_decoded_bytes: 1024 * 1024,
            headers: Vec::new(),
            names: owned(&super::defaults::NAMES),
            patterns: vec![
                Pattern::Card,
                Pattern::Jwt,
                Pattern::KnownToken,
                Pattern::PrivateKey,
            ],
            uninspected: Uninspected::Omit,
            key: None,
        }
    }
}

impl Config {
    /// All header fields: what a person who looks at single exchanges wants to start from.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            allowed_headers: vec!["*".to_owned()],
            ..Self::default()
        }
    }

    /// Nothing is hidden, and nothing omitted because it could not be searched.
    pub fn switch_off(&mut self) {
        self.mode = Mode::Off;
        self.uninspected = Uninspected::Keep;
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
