//! The `metrics.routes` section of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// What the label `route_name` says. Without any of these there is no such label.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutesSection {
    /// Tried in order; the first that holds names the route.
    pub rules: Vec<RouteRule>,
    /// `OpenAPI` documents (JSON or YAML): a route is a method and a path template.
    pub openapi: Vec<PathBuf>,
    /// For all others: method and path, with parts that look like ids replaced by `{id}`.
    pub automatic: bool,
    /// Most routes that `automatic` makes. What does not fit is `unknown`.
    pub limit: NonZeroUsize,
}

/// A route, in the form of Istio's attribute generator.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// The route's name.
    pub value: String,
    /// A condition in the Common Expression Language over `request` and `response`.
    pub condition: String,
}

/// Operations of a node's services; more are paths that are ids.
const LIMIT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99);

impl Default for RoutesSection {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            openapi: Vec::new(),
            automatic: false,
            limit: LIMIT,
        }
    }
}

impl RoutesSection {
    /// Nothing names routes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.openapi.is_empty() && !self.automatic
    }
}
