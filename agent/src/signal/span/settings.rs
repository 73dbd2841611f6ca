//! What a user sets of spans.

use schemars::JsonSchema;
use serde::Deserialize;

/// The attribute schema of spans.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What the Lua filter of sidecars and waypoints sends.
    #[default]
    Mesh,
    /// What the Lua filter of an ingress gateway sends.
    Gateway,
    /// OpenTelemetry's HTTP conventions.
    Semconv,
}

/// The spans' section of the configuration. What is not set has the profile's own default.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The attribute schema.
    pub profile: Profile,
    /// Name of the instrumentation scope.
    pub scope_name: Option<String>,
    /// `service.name` of the resource.
    pub service_name: Option<String>,
    /// `service.version` of the resource.
    pub service_version: Option<String>,
    /// `sensor.id`: which sensor this is. Absent when empty.
    pub sensor_id: String,
    /// Name of every span (in the profile `semconv` it is made from the request).
    pub span_name: Option<String>,
    /// The scheme to report instead of the one that was detected. `x-forwarded-proto: https` still
    /// goes before it.
    pub scheme: Option<String>,
    /// Further attributes of the resource.
    pub resource: Vec<(String, String)>,
}
