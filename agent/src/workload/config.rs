//! Configuration of workloads: how the Kubernetes API is asked, which workloads are captured, and
//! whose claims count.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::trust::Trust;
use crate::policy::Select;
use crate::units::Interval;

/// How pods are named.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesSection {
    /// Whether the Kubernetes API is asked.
    pub mode: KubernetesMode,
    /// A kubeconfig file. Default: the pod's service account; with `mode: on` also what kubectl
    /// would use.
    pub kubeconfig: Option<PathBuf>,
    /// Name of this node, as the API has it (`spec.nodeName`).
    pub node: Option<String>,
    /// Who is named at the other end of an exchange.
    pub peers: PeerChoice,
    /// Exported as `k8s.cluster.name`.
    pub cluster_name: Option<String>,
    /// Trust domain of the mesh, for SPIFFE ids.
    pub trust_domain: String,
    /// Labels of pods that are exported, as `k8s.pod.label.<key>`.
    pub labels: Vec<String>,
    /// Annotations of pods that are exported, as `k8s.pod.annotation.<key>`.
    pub annotations: Vec<String>,
    /// Istio's Telemetry API is watched, and honoured.
    pub telemetry: bool,
    /// Where `Telemetry` objects are for the whole mesh.
    pub root_namespace: String,
    /// Rules of the Gateway API (`HTTPRoute`, `GRPCRoute`) are watched; they name routes in
    /// metrics.
    pub routes: bool,
    /// Longest wait of an exchange for what is known of its pods.
    pub enrich_wait: Interval,
    /// The listing of other nodes' pods begins after a random part of this, so that the agents of
    /// a cluster do not come at once.
    pub spread: Interval,
}

impl Default for KubernetesSection {
    fn default() -> Self {
        Self {
            mode: KubernetesMode::Auto,
            kubeconfig: None,
            node: None,
            peers: PeerChoice::Node,
            cluster_name: None,
            trust_domain: "cluster.local".to_owned(),
            labels: Vec::new(),
            annotations: Vec::new(),
            telemetry: false,
            root_namespace: "istio-system".to_owned(),
            routes: false,
            enrich_wait: Interval::secs(2),
            spread: Interval::secs(10),
        }
    }
}

/// Whether the Kubernetes API is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KubernetesMode {
    /// In a pod, or when a kubeconfig is named.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: containers are named by their ids.
    Off,
}

/// Who is named at the other end of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeerChoice {
    /// Pods of this node: no load on the API server to speak of.
    #[default]
    Node,
    /// All pods and services of the cluster.
    Cluster,
}

/// Which workloads are captured. The mesh's own proxies never are.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeSection {
    /// Namespaces, `*` for any run of characters.
    pub namespaces: Select,
    /// Label selectors of pods, such as `app=web,tier!=db`; one that fits is enough.
    pub labels: Select,
    /// Only pods with the annotation `meshtap.dev/capture: "true"`, their own or their
    /// namespace's.
    pub opt_in: bool,
    /// Also processes and containers that belong to no pod.
    pub host: bool,
}

impl Default for ScopeSection {
    fn default() -> Self {
        Self {
            namespaces: Select::default(),
            labels: Select::default(),
            opt_in: false,
            host: true,
        }
    }
}

/// Which proxies are believed when they say for whom they speak: in a PROXY protocol preamble, or
/// in the last address of `x-forwarded-for`. That client is then looked up as the other end
/// (`k8s.src.*`), and one of a preamble stands as the peer's address. Nobody else's word names a
/// pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrustSection {
    /// Label selectors of proxies that are pods, such as `app=ingress`.
    pub proxies: Vec<String>,
    /// Addresses or networks of other proxies, such as `192.0.2.0/24`.
    pub networks: Vec<String>,
    /// Also the sidecar of a pod, for the requests that it passes to its application. Istio's
    /// sidecars pass on the `x-forwarded-for` that they get, so their clients can choose the
    /// name.
    pub sidecars: bool,
}

impl TrustSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what cannot be read of it.
    pub fn check(&self) -> Result<(), String> {
        Trust::new(self).map(drop)
    }
}

impl KubernetesSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        // A label's value is a quarter of that at most; an empty variable of the downward API is a
        // mistake worth reporting.
        let is_empty = |text: &Option<String>| text.as_deref() == Some("");
        if is_empty(&self.node) {
            return Err("kubernetes.node: must not be empty".to_owned());
        }
        if self.enrich_wait.0 > std::time::Duration::from_secs(60) {
            return Err("kubernetes.enrich_wait: at most 60s".to_owned());
        }
        Ok(())
    }
}

impl ScopeSection {
    /// Checks the label selectors.
    ///
    /// # Errors
    /// Names the key and what cannot be read of it.
    pub fn check(&self) -> Result<(), String> {
        Scope::new(self)
            .map(drop)
            .map_err(|reason| format!("scope.labels: {reason}"))
    }
}
