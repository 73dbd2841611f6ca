//! The `metrics` section of the configuration.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::signal::route::RoutesSection;
use crate::units::Interval;

/// Istio's standard metrics, made of every exchange in scope, sampled or not.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// They are made, and served at `/stats/prometheus`.
    pub enabled: bool,
    /// Most series of one metric. What does not fit goes into one series (`reporter="overflow"`).
    pub series: NonZeroUsize,
    /// A series without traffic is forgotten after this.
    pub idle: Interval,
    /// Where the destination service is not known, it is the request's `Host`, as in Istio.
    pub host_fallback: bool,
    /// Most hosts that may become a destination service. What does not fit is named after the
    /// destination's canonical service.
    pub hosts: NonZeroUsize,
    /// What the label `route_name` says.
    pub routes: RoutesSection,
}

/// Label sets of a full node (110 pods, a few peers each), and some to spare. A label set takes
/// 67 lines of the page: 64 KB.
const SERIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);
/// Names of a node's services, and their aliases.
const HOSTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199);

impl Default for MetricsSection {
    fn default() -> Self {
        Self {
            enabled: true,
            series: SERIES,
            idle: Interval::secs(3600),
            host_fallback: true,
            hosts: HOSTS,
            routes: RoutesSection::default(),
        }
    }
}
