//! What is kept of a pod: enough to name it, to find it by cgroup and by address, and to decide
//! whether it is captured. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::attributes::{Attributes, Prefix};
use super::mesh::Role;
use super::metrics::IstioLabels;
use super::owner::{self, Owners};
use super::probe::Probes;
use super::rules::OfPod;
use super::scope::Scope;
use super::trust::Trust;
use super::watch::objects;
use super::ztunnel::ZtunnelChoice;
use crate::signal::metrics::EndLabels;

/// The annotation that opts a pod, or all pods of a namespace, in or out.
pub(crate) const CAPTURE: &str = "meshtap.dev/capture";

/// The API's annotation for a static pod's own id, which its cgroup is named after.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// The service's name as its owner wants it exported (OpenTelemetry's operator).
const SERVICE_NAME: &str = "resource.opentelemetry.io/service.name";

/// A pod.
#[derive(Debug)]
pub struct Pod {
    pub(crate) uid: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) service_account: Arc<str>,
    pub(crate) owners: Owners,
    /// Those that are exported, with the whole end of their attribute's key.
    pub(crate) labels: Vec<(Arc<str>, Box<str>)>,
    pub(crate) service_name: Option<Box<str>>,
    /// None on the host's network: its addresses are everybody's there.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) host_network: bool,
    pub(crate) config_hash: Option<Box<str>>,
    /// Addresses of its node.
    pub(crate) host_addresses: Vec<IpAddr>,
    /// Nanoseconds since 1970, in whole seconds.
    pub(crate) started: Option<i64>,
    /// When its first container began, likewise: it had its addresses by then.
    pub(crate) first_ran: Option<i64>,
    /// It was asked to end.
    pub(crate) ending: bool,
    /// It has ended: its addresses are free.
    pub(crate) ended: bool,
    pub(crate) role: Role,
    pub(crate) in_mesh: bool,
    /// The configuration trusts what it says of its clients.
    pub(crate) is_trusted_proxy: bool,
    /// What the kubelet asks its containers.
    pub(crate) probes: Probes,
    /// What its annotation says.
    pub(crate) capture: Option<bool>,
    /// Its exchanges are emitted as ztunnel has them.
    pub(crate) shows_flows: bool,
    /// What the rules on namespaces and labels say.
    pub(crate) selected: Selected,
    /// Id and name of each container that has started.
    pub(crate) containers: Vec<(Box<str>, Box<str>)>,
    /// Its container's name, if it has but one.
    pub(crate) only_container: Option<Box<str>>,
    /// All of them, where objects select pods by labels.
    pub(crate) all_labels: Option<BTreeMap<String, String>>,
    /// What `Telemetry` objects say of it, made when first needed.
    pub(crate) rules: OfPod,
    /// What its labels say in Istio's terms.
    pub(super) istio: IstioLabels,
    /// Its labels in metrics, made when first needed.
    pub(super) as_end: OnceLock<Arc<EndLabels>>,
    /// Attributes of a peer, made when first needed.
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
    pub(crate) trust: Trust,
    /// All labels are kept.
    keeps_labels: bool,
    pub(crate) ztunnel: ZtunnelChoice,
}

impl Choice {
    pub(crate) fn new(
        labels: &[String],
        annotations: &[String],
        scope: Scope,
        trust: Trust,
    ) -> Self {
        let keys = |keys: &[String], prefix: &str| {
            keys.iter()
                .map(|key| (key.clone(), Arc::from(format!("{prefix}{key}"))))
                .collect()
        };
        Self {
            labels: keys(labels, "pod.label."),
            annotations: keys(annotations, "pod.annotation."),
            scope,
            trust,
            keeps_labels: false,
            ztunnel: ZtunnelChoice::default(),
        }
    }

    /// With what is read of ztunnel.
    pub(crate) fn reading_ztunnel(mut self, ztunnel: ZtunnelChoice) -> Self {
        self.ztunnel = ztunnel;
        self
    }

    /// With all labels of pods, or without.
    pub(crate) const fn keeping_labels(mut self, keeps_labels: bool) -> Self {
        self.keeps_labels = keeps_labels;
        self
    }
}

/// What an annotation says of [`CAPTURE`].
pub(crate) fn capture(annotations: &BTreeMap<String, String>) -> Option<bool> {
    says(annotations, CAPTURE)
}

/// What people write for yes and no, in either case; nothing else is understood.
pub(super) fn says(annotations: &BTreeMap<String, String>, key: &str) -> Option<bool> {
    let value = annotations.get(key)?.trim();
    let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is_one_of(&["true", "enabled", "yes", "on", "1"]) {
        return Some(true);
    }
    is_one_of(&["false", "disabled", "no", "off", "0"]).then_some(false)
}

/// The name of the container that every process of the pod belongs to.
fn only_container(spec: &objects::PodSpec, status: &objects::PodStatus) -> Option<Box<str>> {
    match (&*spec.containers, &*spec.init_containers) {
        ([only], []) if status.ephemeral_container_statuses.is_empty() => Some((*only.name).into()),
        _ => None,
    }
}

impl Pod {
    /// What is kept of the API's object. `None` for one without an id or a name, which the API does
    /// not give.
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
        let role = Role::of(labels, annotations, &spec);
        let containers_of_spec = || spec.init_containers.iter().chain(&spec.containers);
        let service_account = spec.service_account_name.as_deref();
        let started = status.start_time.as_ref().or(created);
        let namespace: Arc<str> = metadata.namespace.as_deref().unwrap_or_default().into();
        Some(Self {
            uid: metadata.uid.as_deref()?.into(),
            name: metadata.name.as_deref()?.into(),
            node: spec.node_name.as_deref().map(Arc::from),
            service_account: service_account.unwrap_or("default").into(),
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
            first_ran: status.first_started(),
            ending: metadata.deletion_timestamp.is_some(),
            ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            role,
            in_mesh: role.is_in_mesh(annotations),
            is_trusted_proxy: choice.trust.proxies().iter().any(|s| s.matches(labels)),
            probes: Probes::declared(containers_of_spec()),
            host_addresses: status.host_addresses(),
            capture: capture(annotations),
            shows_flows: (choice.ztunnel).shows(annotations, spec.runtime_class_name.as_deref()),
            selected: choice.scope.select(&namespace, labels),
            containers: containers(&status),
            only_container: only_container(&spec, &status),
            namespace,
            all_labels: choice.keeps_labels.then(|| labels.clone()),
            rules: OfPod::default(),
            istio: IstioLabels::of(labels),
            as_end: OnceLock::new(),
            as_peer: Default::default(),
        })
    }

    /// Drops what only the agent of the pod's own node needs.
    pub(crate) fn forget_local(&mut self) {
        self.probes = Probes::default();
        self.host_addresses = Vec::new();
    }

    /// The name of a container.
    pub(crate) fn container(&self, id: &str) -> Option<&str> {
        let named = self.containers.iter().find(|(known, _)| **known == *id);
        named
            .map(|(_, name)| &**name)
            .or(self.only_container.as_deref())
    }

    /// The same pod later: everything is as it was that its names come from, and the services that
    /// it is behind.
    pub(super) fn is_called_as(&self, later: &Self) -> bool {
        self.all_labels == later.all_labels
            && self.owners == later.owners
            && self.service_account == later.service_account
            && self.in_mesh == later.in_mesh
    }

    /// The attributes of this pod as the other end of an exchange: the one that sends requests, or
    /// the one that responds.
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

fn containers(status: &objects::PodStatus) -> Vec<(Box<str>, Box<str>)> {
    status
        .containers()
        .filter_map(|status| {
            let (_, id) = status.container_id.as_deref()?.split_once("://")?;
            Some((id.into(), (*status.name).into()))
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::super::config::ScopeSection;
    use super::*;

    pub(in crate::workload) fn pod(object: Value) -> Pod {
        let scope = Scope::new(&ScopeSection::default()).unwrap();
        let keys = ["app".to_owned()];
        let choice = Choice::new(&keys, &["team".to_owned()], scope, Trust::default());
        Pod::new(serde_json::from_value(object).unwrap(), &choice).unwrap()
    }

    /// A pod of the namespace `shop`, all of whose labels are kept.
    pub(in crate::workload) fn pod_with_labels(labels: &Value) -> Pod {
        let scope = Scope::new(&ScopeSection::default()).unwrap();
        let choice = Choice::new(&[], &[], scope, Trust::default()).keeping_labels(true);
        let object =
            json!({"metadata": {"name": "p", "namespace": "shop", "uid": "u", "labels": labels}});
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
