//! The specification of a `Telemetry` (<https://istio.io/latest/docs/reference/config/telemetry/>),
//! as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) selector: Option<Selector>,
    pub(super) target_ref: Option<TargetRef>,
    pub(super) target_refs: Vec<TargetRef>,
    pub(super) tracing: Vec<Tracing>,
    pub(super) metrics: Vec<Metrics>,
    pub(super) access_logging: Vec<AccessLogging>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Selector {
    pub(super) match_labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TargetRef {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// `CLIENT`, `SERVER` or `CLIENT_AND_SERVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Mode {
    #[default]
    ClientAndServer,
    Client,
    Server,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Match {
    pub(super) mode: Mode,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Provider {
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tracing {
    #[serde(rename = "match")]
    pub(super) matched: Match,
    pub(super) providers: Vec<Provider>,
    pub(super) random_sampling_percentage: Option<f64>,
    pub(super) disable_span_reporting: Option<bool>,
    pub(super) custom_tags: BTreeMap<String, CustomTag>,
    pub(super) use_request_id_for_trace_sampling: Option<bool>,
    pub(super) enable_istio_tags: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CustomTag {
    pub(super) literal: Option<Literal>,
    pub(super) environment: Option<Named>,
    pub(super) header: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Literal {
    pub(super) value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) default_value: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metrics {
    pub(super) providers: Vec<Provider>,
    pub(super) overrides: Vec<Override>,
    pub(super) reporting_interval: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Override {
    #[serde(rename = "match")]
    pub(super) matched: MetricMatch,
    pub(super) disabled: Option<bool>,
    pub(super) tag_overrides: BTreeMap<String, TagOverride>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MetricMatch {
    pub(super) metric: Option<String>,
    pub(super) custom_metric: Option<String>,
    pub(super) mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Operation {
    #[default]
    Upsert,
    Remove,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TagOverride {
    pub(super) operation: Operation,
    pub(super) value: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessLogging {
    #[serde(rename = "match")]
    pub(super) matched: Match,
    pub(super) providers: Vec<Provider>,
    pub(super) disabled: Option<bool>,
    pub(super) filter: Option<Filter>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) expression: String,
}
