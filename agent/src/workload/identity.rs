//! What the rest of the agent gets to know of a workload: shared, ready-made, never changed.

use std::sync::{Arc, OnceLock};

use super::attributes::{self, Attributes, ClusterInfo, Prefix};
use super::cgroup::Place;
use super::pod::Pod;
use super::scope::Reason;
use crate::signal::metrics::{EndLabels, ServiceLabels};
use crate::signal::span::ResourceValue;

/// A captured socket's own workload. Another one is made when something becomes known or changes.
#[derive(Debug)]
pub struct Identity {
    serial: u64,
    attributes: Attributes,
    resource: Attributes,
    /// Its identity in the mesh as the end that sends requests, and as the one that responds.
    ends: [Attributes; 2],
    pod: Option<Arc<Pod>>,
    is_gateway_proxy: bool,
    excluded: Option<Reason>,
}

impl Identity {
    pub(crate) fn new(
        serial: u64,
        place: Option<&Place>,
        pod: Option<Arc<Pod>>,
        container: Option<&str>,
        cluster_info: &ClusterInfo,
        excluded: Option<Reason>,
    ) -> Self {
        let known = pod.as_deref();
        let attributes = attributes::own(place, known, container, cluster_info);
        let mut resource = attributes.clone();
        resource.extend(known.map_or_else(Vec::new, attributes::service));
        let end = |prefix| {
            known.map_or_else(Vec::new, |pod| {
                attributes::identity(pod, prefix, &cluster_info.trust_domain)
            })
        };
        Self {
            serial,
            resource,
            ends: [end(Prefix::Source), end(Prefix::Destination)],
            attributes,
            is_gateway_proxy: known.is_some_and(|pod| pod.role.is_gateway_proxy(container)),
            pod,
            excluded,
        }
    }

    /// Its number among all that this process has made.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Its attributes.
    #[must_use]
    pub fn attributes(&self) -> &[(String, ResourceValue)] {
        &self.attributes
    }

    /// What its resource says.
    #[must_use]
    pub fn resource(&self) -> &[(String, ResourceValue)] {
        &self.resource
    }

    /// What it says of itself as an end of an exchange.
    pub(crate) fn end(&self, prefix: Prefix) -> &[(String, ResourceValue)] {
        match prefix {
            Prefix::Source => &self.ends[0],
            Prefix::Destination => &self.ends[1],
        }
    }

    /// Why its exchanges are not emitted, if so.
    #[must_use]
    pub const fn excluded(&self) -> Option<Reason> {
        self.excluded
    }

    /// It is the proxy of a gateway or a waypoint.
    pub(crate) const fn is_gateway_proxy(&self) -> bool {
        self.is_gateway_proxy
    }

    pub(crate) const fn pod(&self) -> Option<&Arc<Pod>> {
        self.pod.as_ref()
    }
}

/// The name of a workload as counts by workload have it: few enough for a metric's label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadName {
    /// Its namespace; empty when it has none.
    pub namespace: Arc<str>,
    /// What made the pod (a Deployment, a DaemonSet, …), or the pod itself; `host` for a process
    /// outside of any pod, `unknown` when nothing is known of it.
    pub name: Box<str>,
}

impl WorkloadName {
    /// Nothing is known of it.
    pub(crate) fn unknown() -> Self {
        Self::plain("unknown")
    }

    fn plain(name: &str) -> Self {
        Self {
            namespace: "".into(),
            name: name.into(),
        }
    }

    /// That of a cgroup.
    pub(crate) fn of(place: Option<&Place>, identity: Option<&Identity>) -> Self {
        match (identity.and_then(Identity::pod), place) {
            (Some(pod), _) => Self {
                namespace: pod.namespace.clone(),
                name: pod
                    .owners
                    .last()
                    .map_or_else(|| pod.name.clone(), |(_, name)| name.clone()),
            },
            (None, Some(_)) => Self::unknown(),
            (None, None) => Self::plain("host"),
        }
    }
}

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    attributes: Arc<Attributes>,
    labels: Arc<ServiceLabels>,
    /// Those behind it; none while not all pods are known.
    pods: Vec<Arc<Pod>>,
    /// What all of them are called in metrics, made when first needed.
    as_end: OnceLock<Option<Arc<EndLabels>>>,
}

impl Service {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            attributes: Arc::new(attributes::destination_service(namespace, name)),
            labels: super::metrics::service(namespace, name),
            pods: Vec::new(),
            as_end: OnceLock::new(),
        }
    }

    /// The same service, with other pods behind it.
    pub(super) fn with_pods(&self, pods: Vec<Arc<Pod>>) -> Self {
        Self {
            attributes: self.attributes.clone(),
            labels: self.labels.clone(),
            pods,
            as_end: OnceLock::new(),
        }
    }

    /// Its labels as an end of an exchange: what all its pods have in common.
    pub(super) fn end(&self, cluster: &ClusterInfo) -> Option<&Arc<EndLabels>> {
        let common = || super::metrics::common(&self.pods, cluster);
        self.as_end.get_or_init(common).as_ref()
    }

    /// Those behind it.
    #[cfg(test)]
    pub(super) fn pods(&self) -> &[Arc<Pod>] {
        &self.pods
    }

    /// Its labels in metrics.
    pub(super) const fn labels(&self) -> &Arc<ServiceLabels> {
        &self.labels
    }
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A pod.
    Pod(Arc<Pod>),
    /// A service: some pod behind it.
    Service(Arc<Service>),
}

impl Peer {
    pub(crate) fn attributes(
        &self,
        prefix: Prefix,
        trust_domain: &str,
    ) -> &[(String, ResourceValue)] {
        match (self, prefix) {
            (Self::Pod(pod), _) => pod.as_peer(prefix, trust_domain),
            (Self::Service(service), Prefix::Destination) => &service.attributes,
            // A service sends no requests.
            (Self::Service(_), Prefix::Source) => &[],
        }
    }
}
