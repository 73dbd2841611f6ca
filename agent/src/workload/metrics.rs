//! What a pod and a service are called in Istio's metrics. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributes::ClusterInfo;
use super::pod::Pod;
use crate::signal::metrics::{End, EndLabels, LATEST, Service, ServiceLabels, UNKNOWN};

/// Labels of a pod that Istio's metrics speak of.
#[derive(Debug)]
pub(super) struct IstioLabels {
    app: Option<Box<str>>,
    version: Option<Box<str>>,
    canonical_service: Option<Box<str>>,
    canonical_revision: Option<Box<str>>,
}

/// The first that is there names the canonical service (istio.io, "Istio Standard Metrics").
const SERVICE: [&str; 3] = [
    "service.istio.io/canonical-name",
    "app.kubernetes.io/name",
    "app",
];
/// Likewise its revision.
const REVISION: [&str; 3] = [
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];

impl IstioLabels {
    /// Of all labels of a pod.
    pub(super) fn of(labels: &BTreeMap<String, String>) -> Self {
        let first = |keys: &[&str]| {
            let mut values = keys.iter().filter_map(|key| labels.get(*key));
            values
                .find(|value| !value.is_empty())
                .map(|value| value.as_str().into())
        };
        Self {
            app: first(&["app"]),
            version: first(&["version"]),
            canonical_service: first(&SERVICE),
            canonical_revision: first(&REVISION),
        }
    }
}

impl Pod {
    /// Its labels as an end of an exchange.
    pub(super) fn end(&self, cluster: &ClusterInfo) -> &Arc<EndLabels> {
        self.as_end.get_or_init(|| {
            let owner = self.owners.last().map(|(_, name)| &**name);
            let workload = owner.unwrap_or(&self.name);
            let istio = &self.istio;
            let or = |value: &Option<Box<str>>, other: &str| {
                value.clone().unwrap_or_else(|| other.into())
            };
            let user = &self.service_account;
            let principal = || {
                format!(
                    "spiffe://{}/ns/{}/sa/{user}",
                    cluster.trust_domain, self.namespace
                )
            };
            EndLabels::new(End {
                workload: workload.into(),
                namespace: (*self.namespace).into(),
                principal: self.in_mesh.then(|| principal().into()),
                app: or(&istio.app, UNKNOWN),
                version: or(&istio.version, UNKNOWN),
                canonical_service: or(&istio.canonical_service, workload),
                canonical_revision: or(&istio.canonical_revision, LATEST),
                cluster: cluster.cluster.as_deref().unwrap_or(UNKNOWN).into(),
            })
        })
    }
}

/// What all these pods are called; `None` when there are none. Where they differ, it is unknown.
pub(super) fn common(pods: &[Arc<Pod>], cluster: &ClusterInfo) -> Option<Arc<EndLabels>> {
    let (first, others) = pods.split_first()?;
    let first = first.end(cluster);
    let mut end = first.value().clone();
    for pod in others {
        let other = pod.end(cluster);
        if Arc::ptr_eq(first, other) || first == other {
            continue;
        }
        let other = other.value();
        for (common, other) in [
            (&mut end.workload, &other.workload),
            (&mut end.namespace, &other.namespace),
            (&mut end.app, &other.app),
            (&mut end.version, &other.version),
            (&mut end.canonical_service, &other.canonical_service),
            (&mut end.canonical_revision, &other.canonical_revision),
            (&mut end.cluster, &other.cluster),
        ] {
            if common != other {
                *common = UNKNOWN.into();
            }
        }
        if end.principal != other.principal {
            end.principal = None;
        }
    }
    Some(EndLabels::new(end))
}

/// The labels of a service.
pub(super) fn service(namespace: &str, name: &str) -> Arc<ServiceLabels> {
    ServiceLabels::new(Service {
        host: format!("{name}.{namespace}.svc.cluster.local").into(),
        name: name.into(),
        namespace: namespace.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::pod::tests::pod;
    use super::*;

    #[track_caller]
    fn check(labels: &Value, expected: [&str; 5]) {
        let pod = pod(json!({
            "metadata": {
                "name": "web-5d4f-x1", "namespace": "shop", "uid": "u-1", "labels": labels,
                "annotations": {"ambient.istio.io/redirection": "enabled"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "b", "controller": true}],
            },
            "spec": {"serviceAccountName": "web-sa", "containers": [{"name": "web"}]},
        }));
        let cluster = ClusterInfo {
            cluster: Some("Kubernetes".to_owned()),
            node: None,
            trust_domain: "td".to_owned(),
        };
        let end = pod.end(&cluster).value();
        let [workload, app, version, service, revision] = expected;
        assert_eq!(&*end.workload, workload);
        assert_eq!((&*end.app, &*end.version), (app, version));
        assert_eq!(&*end.canonical_service, service);
        assert_eq!(&*end.canonical_revision, revision);
        assert_eq!(&*end.namespace, "shop");
        assert_eq!(&*end.cluster, "Kubernetes");
        assert_eq!(
            end.principal.as_deref(),
            Some("spiffe://td/ns/shop/sa/web-sa")
        );
    }

    #[test]
    fn what_a_pod_is_called() {
        check(
            &json!({"pod-template-hash": "5d4f", "app": "web", "version": "v2"}),
            ["web", "web", "v2", "web", "v2"],
        );
        check(
            &json!({
                "pod-template-hash": "5d4f", "app": "a", "version": "v", "app.kubernetes.io/name": "k",
                "app.kubernetes.io/version": "kv",
            }),
            ["web", "a", "v", "k", "kv"],
        );
        check(
            &json!({
                "pod-template-hash": "5d4f", "app.kubernetes.io/name": "k", "app.kubernetes.io/version": "kv",
                "service.istio.io/canonical-name": "c", "service.istio.io/canonical-revision": "cr",
            }),
            ["web", "unknown", "unknown", "c", "cr"],
        );
        check(
            &json!({}),
            ["web-5d4f", "unknown", "unknown", "web-5d4f", "latest"],
        );
    }
}
