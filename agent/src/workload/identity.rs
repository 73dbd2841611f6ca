//! What the rest of the agent is told of a workload: shared, ready-made, never changed.

use std::sync::Arc;

use super::attributes::{self, Attributes, Prefix, Surroundings};
use super::cgroup::Place;
use super::pod::Pod;
use super::scope::Reason;
use crate::span::ResourceValue;

/// A captured socket's own workload. Another one is made when something becomes known or changes.
#[derive(Debug)]
pub struct Identity {
    serial: u64,
    attributes: Attributes,
    resource: Attributes,
    /// Its identity in the mesh as the end that asks, and as the one that answers.
    ends: [Attributes; 2],
    pod: Option<Arc<Pod>>,
    left_out: Option<Reason>,
}

impl Identity {
    pub(crate) fn new(
        serial: u64,
        place: Option<&Place>,
        pod: Option<Arc<Pod>>,
        container: Option<&str>,
        surroundings: &Surroundings,
        left_out: Option<Reason>,
    ) -> Self {
        let known = pod.as_deref();
        let attributes = attributes::own(place, known, container, surroundings);
        let mut resource = attributes.clone();
        resource.extend(known.map_or_else(Vec::new, attributes::service));
        let end = |prefix| {
            known.map_or_else(Vec::new, |pod| {
                attributes::identity(pod, prefix, &surroundings.trust_domain)
            })
        };
        Self {
            serial,
            resource,
            ends: [end(Prefix::Source), end(Prefix::Destination)],
            attributes,
            pod,
            left_out,
        }
    }

    /// Tells it from every other one that this process has made.
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

    /// Why its exchanges are not told, if so.
    #[must_use]
    pub const fn left_out(&self) -> Option<Reason> {
        self.left_out
    }

    pub(crate) const fn pod(&self) -> Option<&Arc<Pod>> {
        self.pod.as_ref()
    }
}

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    attributes: Attributes,
}

impl Service {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            attributes: attributes::destination_service(namespace, name),
        }
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
