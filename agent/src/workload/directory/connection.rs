//! Finds what is known of the ends of a TCP connection by its addresses alone: there is no packet
//! that names a cgroup.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::attributes::ClusterInfo;
use super::super::identity::{Peer, Service};
use super::super::pod::Pod;
use super::super::scope::Reason;
use super::attribute::Holder;
use super::health::Trust;
use super::{Directory, State};
use crate::flow::{Nanos, Side};
use crate::signal::metrics::{Security, Subject};

/// What is known of a connection's two ends.
#[derive(Clone, Debug, Default)]
pub struct ConnectionEnds {
    own: Option<Arc<Pod>>,
    peer: Option<Peer>,
    /// The one that its pod is behind.
    service: Option<Arc<Service>>,
    excluded: Option<Reason>,
    is_awaited: bool,
}

impl ConnectionEnds {
    /// Why it is not counted, if so.
    #[must_use]
    pub const fn excluded(&self) -> Option<Reason> {
        self.excluded
    }

    /// More may become known.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// The pod at this node's end.
    pub(crate) const fn own(&self) -> Option<&Arc<Pod>> {
        self.own.as_ref()
    }

    /// Labels of both ends in metrics.
    pub(crate) fn subject(&self, side: Side, cluster: &ClusterInfo) -> Subject<'_> {
        let mut subject = subject(self.own.as_ref(), self.peer.as_ref(), side, cluster);
        if side == Side::Server {
            subject.service = self.service.as_deref().map(Service::labels);
        }
        subject
    }
}

/// Labels of both ends in metrics.
pub(crate) fn subject<'a>(
    own: Option<&'a Arc<Pod>>,
    peer: Option<&'a Peer>,
    side: Side,
    cluster: &ClusterInfo,
) -> Subject<'a> {
    let (peer, service) = match peer {
        Some(Peer::Pod(pod)) => (Some(pod.end(cluster)), None),
        Some(Peer::Service(service)) => (service.end(cluster), Some(service.labels())),
        None => (None, None),
    };
    let as_end = own.map(|pod| pod.end(cluster));
    let (source, destination) = match side {
        // A service sends no requests.
        Side::Server => (peer.filter(|_| service.is_none()), as_end),
        Side::Client => (as_end, peer),
    };
    // In a pod of the mesh a socket looks the same whether or not a proxy protects what it carries.
    // A client says nothing of it, as in Istio.
    let is_plain = side == Side::Server && own.is_some_and(|pod| !pod.in_mesh);
    Subject {
        side,
        source,
        destination,
        service: service.filter(|_| side == Side::Client),
        security: match is_plain {
            true => Security::Plain,
            false => Security::Unknown,
        },
    }
}

impl Directory {
    /// What is known at `now` of a connection at `at` between an address of this node and another.
    pub(crate) fn connection(
        &self,
        (local, remote): (IpAddr, IpAddr),
        at: Nanos,
        now: Nanos,
    ) -> ConnectionEnds {
        let state = self.read();
        let mut found = ConnectionEnds::default();
        let trust = self.trust_in_addresses(now);
        if !matches!(trust, Trust::Absent | Trust::Stale) {
            let (own, is_own_awaited) = pod_or_service(&state, local, at, now);
            let (peer, is_peer_awaited) = pod_or_service(&state, remote, at, now);
            found.own = own.and_then(|own| match own {
                Peer::Pod(pod) => Some(pod),
                Peer::Service(_) => None,
            });
            found.service = found
                .own
                .as_deref()
                .and_then(|pod| state.service_of(pod))
                .cloned();
            found.peer = peer;
            let is_expecting = trust == Trust::Expecting;
            found.is_awaited = is_expecting && (is_own_awaited || is_peer_awaited);
        }
        let scope = &self.choice.scope;
        found.excluded = match &found.own {
            Some(pod) => {
                let says = state.namespaces.get(&*pod.namespace);
                scope.excludes(pod, None, says.and_then(|(says, _)| *says))
            }
            None if state.node.contain(local, false) => scope.excludes_host(),
            None => scope.excludes_unidentified(),
        };
        found
    }
}

/// Who has an address, and whether that may become known.
fn pod_or_service(state: &State, ip: IpAddr, at: Nanos, now: Nanos) -> (Option<Peer>, bool) {
    match state.holder_of(ip, at, now) {
        Holder::Known(peer) => (Some(peer), false),
        Holder::Perhaps(peer) => (Some(peer), true),
        Holder::Uncertain | Holder::Nobody => (None, false),
        Holder::Expected => (None, true),
    }
}
