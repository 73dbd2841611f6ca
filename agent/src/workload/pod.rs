//! What is kept of a pod: enough to name it, to find it by cgroup and by address, and to decide whether it is captured. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::attributes::{Attributes, Prefix};
use super::owner::{self, Owners};
use super::scope::Scope;
use super::watch::objects;

/// The annotation that opts a pod, or all pods of a namespace, in or out.
pub(crate) const CAPTURE: &str = "meshtap.dev/capture";

/// The API's annotation for a static pod's own id, which its cgroup is named after.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Set by the sidecar injector.
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
/// Set by istio-cni on a pod whose traffic goes through ztunnel.
const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The service's name as its owner wants it told (OpenTelemetry's operator).
const SERVICE_NAME: &str = "resource.opentelemetry.io/service.name";
/// Container of a sidecar, a gateway, a waypoint, and of ztunnel.
const PROXY: &str = "istio-proxy";

/// What part a pod plays in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// None of its own, whether or not it is in the mesh.
    Application,
    /// An application beside a proxy that all its traffic goes through.
    Sidecar,
    /// A gateway or a waypoint: an application in its own right.
    Gateway,
    /// The node's proxy: what it carries is told at the applications.
    Ztunnel,
}

/// A pod.
#[derive(Debug)]
pub struct Pod {
    pub(crate) uid: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) service_account: Arc<str>,
    pub(crate) owners: Owners,
    /// Those that are told, with the whole end of their attribute's key.
    pub(crate) labels: Vec<(Arc<str>, Box<str>)>,
    pub(crate) service_name: Option<Box<str>>,
    /// None on the host's network: its addresses are everybody's there.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) host_network: bool,
    pub(crate) config_hash: Option<Box<str>>,
    /// Nanoseconds since 1970, in whole seconds.
    pub(crate) started: Option<i64>,
    /// It was asked to end.
    pub(crate) ending: bool,
    /// It has ended: its addresses are free.
    pub(crate) ended: bool,
    pub(crate) role: Role,
    pub(crate) in_mesh: bool,
    /// What its annotation says.
    pub(crate) capture: Option<bool>,
    /// What the rules on namespaces and labels say.
    pub(crate) selected: Selected,
    /// Id and name of each container that has begun.
    pub(crate) containers: Vec<(Box<str>, Box<str>)>,
    /// Its container's name, if it has but one.
    pub(crate) only_container: Option<Box<str>>,
    /// Attributes of a peer, made when first asked for.
    pub(super) as_peer: [OnceLock<Attributes>; 2],
}

/// What the rules on namespaces and labels say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    /// It is among the included, or there is no rule.
    Included,
    /// There are rules on what to include, and it is not among them.
    NotIncluded,
    /// It is excluded.
    Excluded,
}

/// What is kept of labels and annotations, and the rules that need the others.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Key, and the end of the attribute's key.
    labels: Vec<(String, Arc<str>)>,
    annotations: Vec<(String, Arc<str>)>,
    pub(crate) scope: Scope,
}

impl Choice {
    pub(crate) fn new(labels: &[String], annotations: &[String], scope: Scope) -> Self {
        let keys = |keys: &[String], prefix: &str| {
            keys.iter()
                .map(|key| (key.clone(), Arc::from(format!("{prefix}{key}"))))
                .collect()
        };
        Self {
            labels: keys(labels, "pod.label."),
            annotations: keys(annotations, "pod.annotation."),
            scope,
        }
    }
}

/// What people write for yes and no, in either case; nothing else is understood.
pub(crate) fn capture(annotations: &BTreeMap<String, String>) -> Option<bool> {
    let value = annotations.get(CAPTURE)?.trim();
    let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(&["true", "enabled", "yes", "on", "1"]) {
        return Some(true);
    }
    is_one_of(&["false", "disabled", "no", "off", "0"]).then_some(false)
}

impl Pod {
    /// What is kept of the API's object. `None` for one without an id or a name, which the API does not give.
    pub(crate) fn new(object: objects::Pod, choice: &Choice) -> Option<Self> {
        let objects::Pod {
            metadata,
            spec,
            status,
        } = object;
        let labels = &metadata.labels.unwrap_or_default();
        let annotations = &metadata.annotations.unwrap_or_default();
        let created = metadata.creation_timestamp.as_ref();
        let owners = metadata.owner_references.unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true));
        let owners = owner.map_or_else(Owners::new, |owner| {
            let hash = labels.get(owner::TEMPLATE_HASH).map(String::as_str);
            let minutes = created.map(|time| time.0.as_second() / 60);
            owner::owners(&owner.kind, &owner.name, hash, minutes)
        });
        let role = role(labels, annotations, &spec);
        let started = status.start_time.as_ref().or(created);
        let namespace: Arc<str> = metadata.namespace.as_deref().unwrap_or_default().into();
        Some(Self {
            uid: metadata.uid.as_deref()?.into(),
            name: metadata.name.as_deref()?.into(),
            node: spec.node_name.as_deref().map(Arc::from),
            service_account: spec
                .service_account_name
                .as_deref()
                .unwrap_or("default")
                .into(),
            owners,
            labels: kept(&choice.labels, labels)
                .chain(kept(&choice.annotations, annotations))
                .collect(),
            service_name: annotations.get(SERVICE_NAME).map(|name| (**name).into()),
            addresses: if spec.host_network {
                Vec::new()
            } else {
                status.addresses()
            },
            host_network: spec.host_network,
            config_hash: annotations.get(CONFIG_HASH).map(|hash| (**hash).into()),
            started: started.and_then(|time| i64::try_from(time.0.as_nanosecond()).ok()),
            ending: metadata.deletion_timestamp.is_some(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            role,
            in_mesh: matches!(role, Role::Sidecar | Role::Gateway)
                || annotations.get(REDIRECTION).is_some_and(|v| v == "enabled"),
            capture: capture(annotations),
            selected: choice.scope.select(&namespace, labels),
            containers: containers(&status),
            only_container: match (&*spec.containers, &*spec.init_containers) {
                ([only], []) if status.ephemeral_container_statuses.is_empty() => {
                    Some((*only.name).into())
                }
                _ => None,
            },
            namespace,
            as_peer: Default::default(),
        })
    }

    /// The name of a container.
    pub(crate) fn container(&self, id: &str) -> Option<&str> {
        let named = self.containers.iter().find(|(known, _)| **known == *id);
        named
            .map(|(_, name)| &**name)
            .or(self.only_container.as_deref())
    }

    /// Is this container a proxy of the mesh, whose exchanges are told at the applications?
    pub(crate) fn is_mesh_proxy(&self, container: Option<&str>) -> bool {
        match self.role {
            Role::Ztunnel => true,
            Role::Sidecar => container == Some(PROXY),
            Role::Application | Role::Gateway => false,
        }
    }

    /// The attributes of this pod as the other end of an exchange: the one that asks, or the one that answers.
    pub(crate) fn as_peer(&self, prefix: Prefix, trust_domain: &str) -> &Attributes {
        let slot = match prefix {
            Prefix::Source => &self.as_peer[0],
            Prefix::Destination => &self.as_peer[1],
        };
        slot.get_or_init(|| super::attributes::peer(self, prefix, trust_domain))
    }
}

fn kept<'a>(
    keys: &'a [(String, Arc<str>)],
    all: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (Arc<str>, Box<str>)> + 'a {
    keys.iter()
        .filter_map(|(key, end)| Some((end.clone(), all.get(key)?.as_str().into())))
}

/// The name `istio-proxy` alone says nothing: ztunnel's container has it as well.
fn role(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    spec: &objects::PodSpec,
) -> Role {
    if labels.get("app").is_some_and(|app| app == "ztunnel") {
        return Role::Ztunnel;
    }
    let mut regular = spec.containers.iter().map(|container| &*container.name);
    let mut native = spec
        .init_containers
        .iter()
        .map(|container| &*container.name);
    let has_proxy = regular.clone().any(|name| name == PROXY) || native.any(|name| name == PROXY);
    if !has_proxy {
        return Role::Application;
    }
    // A gateway made from the injector's template has the annotation, too, but nothing beside its proxy.
    if annotations.contains_key(SIDECAR_STATUS) && regular.any(|name| name != PROXY) {
        return Role::Sidecar;
    }
    if spec.containers.len() == 1 {
        Role::Gateway
    } else {
        Role::Application
    }
}

fn containers(status: &objects::PodStatus) -> Vec<(Box<str>, Box<str>)> {
    status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .chain(&status.ephemeral_container_statuses)
        .filter_map(|status| {
            let (_, id) = status.container_id.as_deref()?.split_once("://")?;
            Some((id.into(), (*status.name).into()))
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::ScopeSection;

    pub(in crate::workload) fn pod(object: Value) -> Pod {
        let scope = Scope::new(&ScopeSection::default()).unwrap();
        let keys = ["app".to_owned()];
        let choice = Choice::new(&keys, &["team".to_owned()], scope);
        Pod::new(serde_json::from_value(object).unwrap(), &choice).unwrap()
    }

    #[test]
    fn what_is_kept() {
        let pod = pod(json!({
            "metadata": {
                "name": "web-5d4f-x1", "namespace": "shop", "uid": "u-1", "creationTimestamp": "2026-11-21T10:00:00Z",
                "labels": {"app": "web", "pod-template-hash": "5d4f", "other": "x"},
                "annotations": {"team": "blue", "meshtap.dev/capture": "false", "ambient.istio.io/redirection": "enabled"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "no", "uid": "a"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "b", "controller": true},
                ],
            },
            "spec": {"nodeName": "n1", "serviceAccountName": "web", "containers": [{"name": "web"}, {"name": "log"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "startTime": "2026-11-21T10:00:01Z",
                "containerStatuses": [{"name": "web", "containerID": "containerd://c1"}, {"name": "log"}],
            },
        }));
        assert_eq!(
            (&*pod.uid, &*pod.namespace, &*pod.name),
            ("u-1", "shop", "web-5d4f-x1")
        );
        assert_eq!(pod.owners.last(), Some(&("deployment.name", "web".into())));
        let labels: Vec<_> = pod.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            labels,
            [("pod.label.app", "web"), ("pod.annotation.team", "blue")]
        );
        assert_eq!(pod.capture, Some(false));
        assert!(pod.in_mesh && !pod.ending && !pod.ended);
        assert_eq!(pod.container("c1"), Some("web"));
        assert_eq!(pod.container("c2"), None);
        assert_eq!(pod.started, Some(1_795_255_201_000_000_000));
    }

    #[track_caller]
    fn check_role(labels: Value, annotations: Value, containers: [&[&str]; 2], expected: Role) {
        let named =
            |names: &[&str]| -> Vec<_> { names.iter().map(|n| json!({"name": n})).collect() };
        let pod = pod(json!({
            "metadata": {"name": "p", "uid": "u", "labels": labels, "annotations": annotations},
            "spec": {"containers": named(containers[0]), "initContainers": named(containers[1])},
        }));
        assert_eq!(pod.role, expected);
    }

    #[test]
    fn roles() {
        let injected = json!({"sidecar.istio.io/status": "{}"});
        let none = json!({});
        check_role(
            none.clone(),
            none.clone(),
            [&["app"], &[]],
            Role::Application,
        );
        check_role(
            json!({"app": "ztunnel"}),
            none.clone(),
            [&["istio-proxy"], &[]],
            Role::Ztunnel,
        );
        check_role(
            none.clone(),
            injected.clone(),
            [&["app", "istio-proxy"], &["istio-init"]],
            Role::Sidecar,
        );
        check_role(
            none.clone(),
            injected.clone(),
            [&["app"], &["istio-init", "istio-proxy"]],
            Role::Sidecar,
        );
        check_role(
            none.clone(),
            injected.clone(),
            [&["istio-proxy"], &[]],
            Role::Gateway,
        );
        let waypoint = json!({"gateway.istio.io/managed": "istio.io-mesh-controller"});
        check_role(
            waypoint,
            none.clone(),
            [&["istio-proxy"], &[]],
            Role::Gateway,
        );
        // Somebody's own container of that name.
        check_role(
            none.clone(),
            none.clone(),
            [&["app", "istio-proxy"], &[]],
            Role::Application,
        );
        check_role(none, injected, [&["app"], &[]], Role::Application);
    }

    #[test]
    fn only_the_proxy_of_a_sidecar_is_left_alone() {
        let pod = pod(json!({
            "metadata": {"name": "p", "uid": "u", "annotations": {"sidecar.istio.io/status": "{}"}},
            "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}]},
        }));
        assert!(pod.is_mesh_proxy(Some("istio-proxy")));
        assert!(!pod.is_mesh_proxy(Some("app")));
        assert!(!pod.is_mesh_proxy(None));
        assert!(pod.in_mesh);
    }

    #[test]
    fn an_only_container_needs_no_status() {
        let pod = pod(json!({
            "metadata": {"name": "p", "uid": "u"}, "spec": {"hostNetwork": true, "containers": [{"name": "app"}]},
            "status": {"podIP": "192.0.2.1", "phase": "Failed"},
        }));
        assert_eq!(pod.container("any"), Some("app"));
        assert!(pod.addresses.is_empty() && pod.ended);
    }
}
