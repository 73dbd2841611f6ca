//! The attributes of a workload, made once and shared by all its exchanges. Pure.
//!
//! | whose | keys |
//! |---|---|
//! | the pod whose socket was captured | `k8s.namespace.name`, `k8s.pod.name`, `k8s.deployment.name`, …, `container.id` |
//! | the pod or service at the other end | the same under `k8s.src.` (it sends requests) or `k8s.dst.` (it responds) |
//! | both ends in the mesh | `k8s.src.spiffe.id`, `k8s.dst.spiffe.id` |

use super::cgroup::Place;
use super::pod::Pod;
use crate::signal::span::ResourceValue;

/// Key and value of each.
pub(crate) type Attributes = Vec<(String, ResourceValue)>;

/// Which end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// The one that sends requests.
    Source,
    /// The one that responds.
    Destination,
}

impl Prefix {
    const fn label(self) -> &'static str {
        match self {
            Self::Source => "k8s.src.",
            Self::Destination => "k8s.dst.",
        }
    }
}

/// What holds for everything on this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterInfo {
    pub(crate) cluster: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) trust_domain: String,
}

/// Writes attributes under one prefix.
struct List {
    prefix: &'static str,
    attributes: Attributes,
}

impl List {
    const fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            attributes: Vec::new(),
        }
    }

    fn add(&mut self, key: &str, value: &str) {
        let key = format!("{}{key}", self.prefix);
        self.attributes.push((key, value.into()));
    }

    fn pod(&mut self, pod: &Pod) {
        self.add("namespace.name", &pod.namespace);
        self.add("pod.name", &pod.name);
        self.add("pod.uid", &pod.uid);
        for (key, name) in &pod.owners {
            self.add(key, name);
        }
        for (key, value) in &pod.labels {
            self.add(key, value);
        }
    }
}

/// The attributes of a captured socket's own container.
pub(crate) fn own(
    place: Option<&Place>,
    pod: Option<&Pod>,
    container: Option<&str>,
    cluster_info: &ClusterInfo,
) -> Attributes {
    let mut list = List::new("k8s.");
    if let Some(cluster) = &cluster_info.cluster {
        list.add("cluster.name", cluster);
    }
    let node = pod.and_then(|pod| pod.node.as_deref());
    if let Some(node) = node.or(cluster_info.node.as_deref()) {
        list.add("node.name", node);
    }
    if let Some(pod) = pod {
        list.pod(pod);
        if let Some(name) = container {
            list.add("container.name", name);
        }
    } else if let Some(id) = place.and_then(|place| place.pod.as_deref())
        && id.contains('-')
    {
        // A static pod's cgroup is named after a hash, which is not its id in the API.
        list.add("pod.uid", id);
    }
    let mut attributes = list.attributes;
    if let Some(id) = place.and_then(|place| place.container.as_deref()) {
        attributes.push(("container.id".to_owned(), id.into()));
    }
    attributes
}

/// What a resource says besides [`own`]: the service, as OpenTelemetry derives it from the pod.
pub(crate) fn service(pod: &Pod) -> Attributes {
    let owner = pod.owners.last().map(|(_, name)| &**name);
    let name = pod.service_name.as_deref().or(owner).unwrap_or(&pod.name);
    vec![
        ("service.name".to_owned(), name.into()),
        ("service.namespace".to_owned(), (&*pod.namespace).into()),
    ]
}

/// The attributes of a pod at the other end.
pub(crate) fn peer(pod: &Pod, prefix: Prefix, trust_domain: &str) -> Attributes {
    let mut list = List::new(prefix.label());
    list.pod(pod);
    if let Some(node) = &pod.node {
        list.add("node.name", node);
    }
    let mut attributes = list.attributes;
    attributes.extend(identity(pod, prefix, trust_domain));
    attributes
}

/// The attributes of a service that a client talks to.
pub(crate) fn destination_service(namespace: &str, name: &str) -> Attributes {
    let mut list = List::new(Prefix::Destination.label());
    list.add("namespace.name", namespace);
    list.add("service.name", name);
    list.attributes
}

/// The SPIFFE id of a pod in the mesh (istio.io, "SPIFFE").
pub(crate) fn identity(pod: &Pod, prefix: Prefix, trust_domain: &str) -> Attributes {
    if !pod.in_mesh {
        return Vec::new();
    }
    let (namespace, service_account) = (&pod.namespace, &pod.service_account);
    let id = format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}");
    vec![(
        format!("{}spiffe.id", prefix.label()),
        ResourceValue::Str(id),
    )]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::pod::tests::pod;
    use super::*;

    fn web() -> Pod {
        pod(json!({
            "metadata": {
                "name": "web-5d4f-x1", "namespace": "shop", "uid": "u-1",
                "labels": {"app": "web", "pod-template-hash": "5d4f"},
                "annotations": {"team": "blue", "ambient.istio.io/redirection": "enabled"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "b", "controller": true}],
            },
            "spec": {"nodeName": "n1", "serviceAccountName": "web-sa", "containers": [{"name": "web"}]},
        }))
    }

    #[track_caller]
    fn check(found: Attributes, expected: &[(&str, &str)]) {
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| match value {
                ResourceValue::Str(text) => (&**key, &**text),
                ResourceValue::Int(_) => panic!("{key} is a number"),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn own_pod() {
        let path = format!(
            "/kubepods/pod11111111-2222-4333-8444-555555555555/{:064x}",
            7
        );
        let place = Place::of(&path, path.len());
        let id = format!("{:064x}", 7);
        let cluster_info = ClusterInfo {
            cluster: Some("prod".to_owned()),
            node: Some("n1".to_owned()),
            trust_domain: "td".to_owned(),
        };
        check(
            own(place.as_ref(), Some(&web()), Some("web"), &cluster_info),
            &[
                ("k8s.cluster.name", "prod"),
                ("k8s.node.name", "n1"),
                ("k8s.namespace.name", "shop"),
                ("k8s.pod.name", "web-5d4f-x1"),
                ("k8s.pod.uid", "u-1"),
                ("k8s.replicaset.name", "web-5d4f"),
                ("k8s.deployment.name", "web"),
                ("k8s.pod.label.app", "web"),
                ("k8s.pod.annotation.team", "blue"),
                ("k8s.container.name", "web"),
                ("container.id", &id),
            ],
        );
        // Nothing known of the pod: what the cgroup says.
        check(
            own(place.as_ref(), None, None, &ClusterInfo::default()),
            &[
                ("k8s.pod.uid", "11111111-2222-4333-8444-555555555555"),
                ("container.id", &id),
            ],
        );
        let hash = Place::of(&format!("/kubepods/pod{:032x}/{:064x}", 9, 7), usize::MAX);
        check(
            own(hash.as_ref(), None, None, &ClusterInfo::default()),
            &[("container.id", &id)],
        );
    }

    #[test]
    fn other_end() {
        check(
            peer(&web(), Prefix::Source, "td"),
            &[
                ("k8s.src.namespace.name", "shop"),
                ("k8s.src.pod.name", "web-5d4f-x1"),
                ("k8s.src.pod.uid", "u-1"),
                ("k8s.src.replicaset.name", "web-5d4f"),
                ("k8s.src.deployment.name", "web"),
                ("k8s.src.pod.label.app", "web"),
                ("k8s.src.pod.annotation.team", "blue"),
                ("k8s.src.node.name", "n1"),
                ("k8s.src.spiffe.id", "spiffe://td/ns/shop/sa/web-sa"),
            ],
        );
        check(
            destination_service("shop", "web"),
            &[
                ("k8s.dst.namespace.name", "shop"),
                ("k8s.dst.service.name", "web"),
            ],
        );
        check(
            service(&web()),
            &[("service.name", "web"), ("service.namespace", "shop")],
        );
    }

    /// The page has every key, with `<kind>` for owners and `<name>` for labels and annotations.
    #[test]
    fn every_key_is_documented() {
        const PAGE: &str = include_str!("../../../docs/span-attributes.md");
        let path = format!(
            "/kubepods/pod11111111-2222-4333-8444-555555555555/{:064x}",
            7
        );
        let place = Place::of(&path, path.len());
        let cluster = ClusterInfo {
            cluster: Some("prod".to_owned()),
            node: Some("n1".to_owned()),
            trust_domain: "td".to_owned(),
        };
        let ends = [Prefix::Source, Prefix::Destination];
        let keys = own(place.as_ref(), Some(&web()), Some("web"), &cluster)
            .into_iter()
            .chain(ends.into_iter().flat_map(|end| peer(&web(), end, "td")))
            .chain(destination_service("shop", "web"))
            .chain(service(&web()));
        for (key, _) in keys {
            let mut name = key.clone();
            for kind in ["replicaset", "deployment"] {
                name = name.replace(&format!("{kind}.name"), "<kind>.name");
            }
            for list in ["pod.label.", "pod.annotation."] {
                if let Some((before, _)) = name.clone().split_once(list) {
                    name = format!("{before}{list}<name>");
                }
            }
            assert!(PAGE.contains(&format!("`{name}`")), "{key}");
        }
    }
}
