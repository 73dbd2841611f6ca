//! The API's objects, pruned as they are read: a field that is not named here is never kept, not even for a moment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
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
    pub(crate) containers: Vec<ContainerSpec>,
    pub(crate) init_containers: Vec<ContainerSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub(crate) pod_ips: Vec<Address>,
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
}

impl PodStatus {
    /// Every address once.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let all = self.pod_ips.iter().map(|address| &address.ip);
        let mut found = Vec::new();
        for text in all.chain(&self.pod_ip) {
            if let Ok(ip) = text.parse()
                && !found.contains(&ip)
            {
                found.push(ip);
            }
        }
        found
    }
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
}

impl ServiceSpec {
    /// Every address once; a headless service has none (`None`).
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for text in self.cluster_ips.iter().chain(&self.cluster_ip) {
            if let Ok(ip) = text.parse()
                && !found.contains(&ip)
            {
                found.push(ip);
            }
        }
        found
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

/// Says where a kind of object of the core API is.
macro_rules! resource {
    ($type:ty, $kind:literal, $plural:literal, $scope:ty) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> Cow<'_, str> {
                "".into()
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
            "spec": {"nodeName": "n", "containers": [{"name": "web", "image": "x", "env": [{"name": "a", "value": "b"}]}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
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
        assert!(pod.status.container_statuses.is_empty());
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
