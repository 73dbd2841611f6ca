//! Objects of other groups than the core's: what operators say of signals and routes.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::pruned;

/// Istio's `Telemetry`. Its specification is read later: what one object says wrongly hides no
/// other.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Telemetry {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: serde_json::Value,
}

/// An `HTTPRoute` of the Gateway API, likewise.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct HttpRoute {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: serde_json::Value,
}

/// A `GRPCRoute`, likewise.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct GrpcRoute {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: serde_json::Value,
}

resource!(
    HttpRoute,
    "gateway.networking.k8s.io",
    "HTTPRoute",
    "httproutes",
    k8s_openapi::NamespaceResourceScope
);
resource!(
    GrpcRoute,
    "gateway.networking.k8s.io",
    "GRPCRoute",
    "grpcroutes",
    k8s_openapi::NamespaceResourceScope
);
resource!(
    Telemetry,
    "telemetry.istio.io",
    "Telemetry",
    "telemetries",
    k8s_openapi::NamespaceResourceScope
);
