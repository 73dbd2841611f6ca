//! The API's objects, pruned as they are read: of what is not named here nothing is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Pod {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
    #[serde(default)]
    pub(crate) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
    pub(crate) service_account_name: Option<String>,
    pub(crate) host_network: bool,
    pub(crate) runtime_class_name: Option<String>,
    pub(crate) containers: Vec<ContainerSpec>,
    pub(crate) init_containers: Vec<ContainerSpec>,
}

/// A container, as far as its name and its probes go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ports: Vec<ContainerPort>,
    startup_probe: Option<Handler>,
    liveness_probe: Option<Handler>,
    readiness_probe: Option<Handler>,
    lifecycle: Option<Lifecycle>,
    #[serde(rename = "env")]
    pub(crate) environment: Environment,
}

impl ContainerSpec {
    /// What the kubelet asks or calls.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        let probes = [
            &self.startup_probe,
            &self.liveness_probe,
            &self.readiness_probe,
        ];
        let lifecycle = self.lifecycle.as_ref();
        let hooks = lifecycle.map(|hooks| [&hooks.post_start, &hooks.pre_stop]);
        probes
            .into_iter()
            .chain(hooks.into_iter().flatten())
            .filter_map(Option::as_ref)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerPort {
    pub(crate) name: String,
    pub(crate) container_port: i32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lifecycle {
    post_start: Option<Handler>,
    pre_stop: Option<Handler>,
}

/// A probe or a lifecycle hook, as far as it is a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Handler {
    pub(crate) http_get: Option<HttpGet>,
    pub(crate) grpc: Option<GrpcCall>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpGet {
    #[serde(default)]
    pub(crate) path: Option<String>,
    pub(crate) port: IntOrString,
    #[serde(default)]
    pub(crate) scheme: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) http_headers: Vec<HttpHeader>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct HttpHeader {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// The value may be a credential.
impl fmt::Debug for HttpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpHeader").field(&self.name).finish()
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GrpcCall {
    pub(crate) port: i32,
}

/// The one variable of a container's environment that is read: the others may be secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `ISTIO_KUBE_APP_PROBERS`: the application's probes before the sidecar injector rewrote
    /// them.
    pub(crate) app_probers: Option<String>,
}

/// Where the sidecar injector keeps the original probes.
const APP_PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Variables;
        impl<'de> Visitor<'de> for Variables {
            type Value = Environment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of variables")
            }

            fn visit_unit<E>(self) -> Result<Environment, E> {
                Ok(Environment::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Environment, A::Error> {
                let mut environment = Environment::default();
                while let Some(variable) = list.next_element::<Variable>()? {
                    if variable.name == APP_PROBERS {
                        environment.app_probers = variable.value;
                    }
                }
                Ok(environment)
            }
        }
        deserializer.deserialize_any(Variables)
    }
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub(crate) pod_ips: Vec<Address>,
    #[serde(rename = "hostIP")]
    pub(crate) host_ip: Option<String>,
    #[serde(rename = "hostIPs", deserialize_with = "or_default")]
    pub(crate) host_ips: Vec<Address>,
    pub(crate) start_time: Option<Time>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Address {
    #[serde(default)]
    pub(crate) ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    /// `containerd://ID`.
    #[serde(default, rename = "containerID")]
    pub(crate) container_id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) state: ContainerState,
}

/// What a container does; `waiting` is not kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState {
    pub(crate) running: Option<Started>,
    pub(crate) terminated: Option<Started>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Started {
    pub(crate) started_at: Option<Time>,
}

impl PodStatus {
    /// Every address once.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let all = self.pod_ips.iter().map(|address| &address.ip);
        parsed(all.chain(&self.pod_ip))
    }

    /// Every address of its node once.
    pub(crate) fn host_addresses(&self) -> Vec<IpAddr> {
        let all = self.host_ips.iter().map(|address| &address.ip);
        parsed(all.chain(&self.host_ip))
    }

    /// The containers that have started, or will.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.container_statuses
            .iter()
            .chain(&self.init_container_statuses)
            .chain(&self.ephemeral_container_statuses)
    }

    /// When a container first ran: the pod had its addresses by then. Nanoseconds since 1970.
    pub(crate) fn first_started(&self) -> Option<i64> {
        self.containers()
            .flat_map(|status| [&status.state.running, &status.state.terminated])
            .filter_map(|started| started.as_ref()?.started_at.as_ref())
            .filter_map(|time| i64::try_from(time.0.as_nanosecond()).ok())
            .min()
    }

    /// Does a container run, by the last report of its kubelet?
    pub(crate) fn is_running(&self) -> bool {
        self.containers()
            .any(|status| status.state.running.is_some())
    }
}

/// Every address once.
fn parsed<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for ip in texts.filter_map(|text| text.parse().ok()) {
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Service {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    pub(crate) cluster_ips: Vec<String>,
    /// Labels of its pods.
    #[serde(deserialize_with = "or_default")]
    pub(crate) selector: BTreeMap<String, String>,
}

impl ServiceSpec {
    /// Every address once; a headless service has none (`None`).
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        parsed(self.cluster_ips.iter().chain(&self.cluster_ip))
    }
}

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Namespace {
    #[serde(deserialize_with = "pruned")]
    pub(crate) metadata: ObjectMeta,
}

/// What an object says of itself, without the history of who wrote which field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn pruned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        labels: metadata.labels,
        annotations: metadata.annotations,
        owner_references: metadata.owner_references,
        ..ObjectMeta::default()
    })
}

/// A list that is not there, or null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Says where a kind of object is, of the core API where no group is named.
macro_rules! resource {
    ($type:ty, $kind:literal, $plural:literal, $scope:ty) => {
        resource!($type, "", $kind, $plural, $scope);
    };
    ($type:ty, $group:literal, $kind:literal, $plural:literal, $scope:ty) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(Pod, "Pod", "pods", k8s_openapi::NamespaceResourceScope);
resource!(
    Service,
    "Service",
    "services",
    k8s_openapi::NamespaceResourceScope
);
resource!(
    Namespace,
    "Namespace",
    "namespaces",
    k8s_openapi::ClusterResourceScope
);

// After the macro, which it uses.
mod rules;

pub(crate) use rules::{GrpcRoute, HttpRoute, Telemetry};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_not_kept() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
                "labels": {"app": "web"}, "annotations": null,
            },
            "spec": {"nodeName": "n", "containers": [{"name": "web", "image": "x", "env": [{"name": "a", "value": "s3cret"}]}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
                "startTime": "2026-01-02T03:04:05Z", "containerStatuses": null,
            },
        }))
        .unwrap();
        assert!(pod.metadata.managed_fields.is_none());
        assert_eq!(pod.metadata.name.as_deref(), Some("web-1"));
        assert_eq!(pod.spec.containers[0].name, "web");
        let addresses = pod.status.addresses();
        assert_eq!(
            addresses,
            ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        let hosts = pod.status.host_addresses();
        assert_eq!(
            hosts,
            ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        assert!(pod.status.container_statuses.is_empty());
        assert!(!format!("{pod:?}").contains("s3cret"));
    }

    #[test]
    fn what_containers_do() {
        let check = |state: serde_json::Value, running: bool, started: Option<i64>| {
            let status = serde_json::json!({
                "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "x"}}}, {"name": "b", "state": state}],
            });
            let status: PodStatus = serde_json::from_value(status).unwrap();
            assert_eq!(
                (status.is_running(), status.first_started()),
                (running, started)
            );
        };
        let at = "1970-01-01T00:00:07Z";
        let seconds = Some(7_000_000_000);
        check(
            serde_json::json!({"running": {"startedAt": at}}),
            true,
            seconds,
        );
        check(
            serde_json::json!({"terminated": {"startedAt": at, "exitCode": 0}}),
            false,
            seconds,
        );
        check(
            serde_json::json!({"terminated": {"exitCode": 0, "startedAt": null}}),
            false,
            None,
        );
        check(serde_json::Value::Null, false, None);
    }

    #[test]
    fn a_headless_service_has_no_address() {
        let spec: ServiceSpec = serde_json::from_value(
            serde_json::json!({"clusterIP": "None", "clusterIPs": ["None"]}),
        )
        .unwrap();
        assert!(spec.addresses().is_empty());
    }
}
