//! Finds what is known of an exchange's two ends.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::addresses::Held;
use super::super::attribution::{Attribution, Caller, Lookup, Missing, is_own_address};
use super::super::identity::{Identity, Peer};
use super::super::mesh::Role;
use super::super::pod::Pod;
use super::super::scope::Reason;
use super::cgroups::Cgroup;
use super::health::Trust;
use super::{Directory, State, Watch};
use crate::flow::{Nanos, Side};

/// How long an address that turned out to be nobody's is not waited for again, unless the API
/// reports something of it.
const STRANGER: Nanos = 60_000_000_000;
/// How long an update of an address may be on its way from the API: a lookup earlier than this
/// after an exchange may name a holder that has just released it.
const SETTLE: Nanos = 300_000_000;
/// Addresses known to be nobody's.
pub(super) const MAX_STRANGERS: usize = 4096;

/// A gateway or a waypoint whose network is its own: nobody else is on its loopback.
fn is_mesh_proxy(own: Option<&Identity>) -> bool {
    own.is_some_and(|own| own.is_gateway_proxy() && own.pod().is_some_and(|pod| !pod.host_network))
}

/// Who has an address.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// This one, for sure.
    Known(Peer),
    /// This one, unless an update says otherwise.
    Perhaps(Peer),
    /// Several may have it.
    Uncertain,
    /// Nobody, and nobody is expected.
    Nobody,
    /// Nobody yet.
    Expected,
}

impl Directory {
    /// What is known at `now`.
    pub(crate) fn attribute(&self, lookup: &Lookup, now: Nanos) -> Attribution {
        let state = self.read();
        let mut found = Attribution::default();
        let id = lookup.cgroup.0;
        let cgroup = state.cgroups.get(&id);
        if let Some(tunnel) = lookup.tunnel
            && let Some(identity) = cgroup.and_then(|cgroup| cgroup.identity.as_deref())
            && identity.pod().is_some_and(|pod| self.reads(pod))
        {
            return self.attribute_flow(&state, &lookup.in_tunnel(tunnel), tunnel.own, now);
        }
        match cgroup {
            Some(cgroup) => {
                found.own.clone_from(&cgroup.identity);
                found.excluded = found.own.as_ref().and_then(|own| own.excluded());
                if cgroup.settled {
                    if found.excluded.is_some() {
                        return found;
                    }
                    // Its namespace may opt it out, which another watch reports.
                    let has_pod = found.own.as_ref().is_some_and(|own| own.pod().is_some());
                    if has_pod && self.health.is_starting(Watch::Namespaces) {
                        found.missing = Some(Missing::Pod);
                    }
                } else if self.health.trust(Watch::NodePods, now) == Trust::Expecting {
                    found.missing = Some(Missing::Pod);
                }
            }
            None if state.absent.contains_key(&id) => {
                found.excluded = self.choice.scope.excludes_unidentified();
            }
            None => {
                found.excluded = self.choice.scope.excludes_unidentified();
                found.missing = Some(Missing::Cgroup);
                found.is_cgroup_unknown = true;
            }
        }
        self.find_peer(&state, cgroup, lookup, now, &mut found);
        found
    }

    /// What is known of an exchange that ztunnel has: if it is of a pod whose exchanges are emitted
    /// so.
    fn attribute_flow(
        &self,
        state: &State,
        lookup: &Lookup,
        own: IpAddr,
        now: Nanos,
    ) -> Attribution {
        let mut found = Attribution::default();
        self.find_holder(state, own, lookup, now, &mut found);
        let Some(Peer::Pod(pod)) = found.peer.take().filter(|_| !found.is_uncertain) else {
            if found.missing.is_none() {
                found.excluded = Some(Reason::Mesh);
            }
            return found;
        };
        let cgroup = state.of_pod(&pod);
        found.own = cgroup.and_then(|cgroup| cgroup.identity.clone());
        found.excluded = match &found.own {
            Some(_) if !pod.shows_flows => Some(Reason::Mesh),
            Some(own) => own.excluded(),
            None => Some(Reason::Unidentified),
        };
        if found.excluded.is_none() {
            self.find_peer(state, cgroup, lookup, now, &mut found);
        }
        found
    }

    fn find_peer(
        &self,
        state: &State,
        cgroup: Option<&Cgroup>,
        lookup: &Lookup,
        now: Nanos,
        found: &mut Attribution,
    ) {
        let own = found.own.as_ref().and_then(|own| own.pod()).cloned();
        let ip = lookup.peer();
        if is_own_address(ip) {
            let is_trusted = own
                .as_deref()
                .is_some_and(|pod| self.trusts_sidecar_of(pod));
            found.is_proxy_trusted = is_trusted || is_mesh_proxy(found.own.as_deref());
            found.caller = self::same_network(cgroup, own.as_deref());
            match lookup.claimed.filter(|_| is_trusted) {
                Some(client) => self.find_holder(state, client, lookup, now, found),
                // A sidecar's traffic may be anyone's; else a pod talks to itself.
                None if own.as_ref().is_some_and(|pod| pod.role == Role::Sidecar) => {}
                // On the host's network it may be anyone.
                None => found.peer = own.filter(|pod| !pod.host_network).map(Peer::Pod),
            }
        } else {
            self.find_holder(state, ip, lookup, now, found);
            let is_at_pod = cgroup.is_some_and(|cgroup| cgroup.pod_id().is_some());
            found.caller = caller(state, ip, is_at_pod, found);
            found.is_proxy_trusted =
                lookup.side == Side::Server && self.trusts(ip, found.peer.as_ref());
            if let Some(client) = lookup.claimed
                && found.is_proxy_trusted
            {
                self.find_holder(state, client, lookup, now, found);
            }
        }
        if lookup.side == Side::Client {
            // The caller is the socket's own end.
            found.caller = match (cgroup, &found.own) {
                (_, Some(own)) if own.pod().is_some() => Caller::Pod,
                (Some(cgroup), _) if cgroup.place.is_none() => Caller::Node,
                _ => Caller::Unknown,
            };
        }
    }

    /// Names who has an address, or says what is missing.
    fn find_holder(
        &self,
        state: &State,
        ip: IpAddr,
        lookup: &Lookup,
        now: Nanos,
        found: &mut Attribution,
    ) {
        found.peer = None;
        found.is_uncertain = false;
        let trust = self.trust_in_addresses(now);
        if matches!(trust, Trust::Absent | Trust::Stale) {
            return;
        }
        let is_expecting = trust == Trust::Expecting;
        let is_missing = match state.holder_of(ip, lookup.at, now) {
            Holder::Known(peer) => {
                if is_expecting && matches!(peer, Peer::Pod(_)) {
                    found.settles_in = (lookup.at + SETTLE).saturating_sub(now);
                }
                found.peer = Some(peer);
                false
            }
            Holder::Perhaps(peer) => {
                found.peer = Some(peer);
                true
            }
            Holder::Uncertain => {
                found.is_uncertain = true;
                false
            }
            Holder::Nobody => false,
            Holder::Expected => true,
        };
        if is_missing && is_expecting && found.missing.is_none() {
            found.missing = Some(Missing::Peer);
            found.awaited = Some(ip);
        }
    }

    /// The pod's own proxy, whose word counts by configuration.
    fn trusts_sidecar_of(&self, pod: &Pod) -> bool {
        self.choice.trust.sidecars() && pod.role == Role::Sidecar
    }

    /// A proxy, whose word counts by configuration.
    fn trusts(&self, ip: IpAddr, peer: Option<&Peer>) -> bool {
        match peer {
            Some(Peer::Pod(pod)) => pod.is_trusted_proxy || self.choice.trust.contains(ip),
            Some(Peer::Service(_)) | None => self.choice.trust.contains(ip),
        }
    }

    /// How far what is known of addresses can be relied on: as far as the watch that does worst.
    pub(super) fn trust_in_addresses(&self, now: Nanos) -> Trust {
        let node = self.health.trust(Watch::NodePods, now);
        let other = self.health.trust(Watch::OtherPods, now);
        match (node, other) {
            (Trust::Absent, trust) | (trust, Trust::Absent) => trust,
            (Trust::Stale, _) | (_, Trust::Stale) => Trust::Stale,
            (Trust::Stalled, _) | (_, Trust::Stalled) => Trust::Stalled,
            (Trust::Expecting, Trust::Expecting) => Trust::Expecting,
        }
    }

    /// An address was waited for in vain: the next exchange does not wait for it, until the API
    /// reports something of it.
    pub(crate) fn stop_waiting(&self, ip: IpAddr, now: Nanos) {
        let mut state = self.write();
        // One that a pod had will be a pod's again.
        if state.pod_addresses.is_known(ip) {
            return;
        }
        if state.strangers.len() >= MAX_STRANGERS {
            state
                .strangers
                .retain(|_, since| now.saturating_sub(*since) < STRANGER);
        }
        if state.strangers.len() < MAX_STRANGERS {
            state.strangers.insert(ip, now);
        }
    }
}

impl State {
    /// A cgroup of a pod on this node.
    fn of_pod(&self, pod: &Pod) -> Option<&Cgroup> {
        let ids = self.by_pod.get(&*pod.uid)?;
        let mut cgroups = ids.iter().filter_map(|id| self.cgroups.get(id));
        let has_identity = |cgroup: &&Cgroup| {
            let identity = cgroup.identity.as_ref();
            identity.is_some_and(|identity| identity.pod().is_some())
        };
        cgroups.find(has_identity)
    }

    pub(super) fn holder_of(&self, ip: IpAddr, at: Nanos, now: Nanos) -> Holder {
        let service = match self.pod_addresses.holder(ip, at) {
            Held::By(pod) => return Holder::Known(Peer::Pod(pod.clone())),
            Held::Perhaps(pod) => return Holder::Perhaps(Peer::Pod(pod.clone())),
            Held::Uncertain => return Holder::Uncertain,
            Held::Nobody => self.service_addresses.holder(ip, at),
        };
        match service {
            Held::By(service) | Held::Perhaps(service) => {
                Holder::Known(Peer::Service(Arc::clone(service)))
            }
            Held::Uncertain => Holder::Uncertain,
            Held::Nobody if self.is_nobody(ip, now) => Holder::Nobody,
            Held::Nobody => Holder::Expected,
        }
    }

    /// No pod is expected to have this address.
    fn is_nobody(&self, ip: IpAddr, now: Nanos) -> bool {
        let is_stranger = |since: &Nanos| now.saturating_sub(*since) < STRANGER;
        self.node.contain(ip, true)
            || !self.pod_addresses.is_near(ip)
            || self.strangers.get(&ip).is_some_and(is_stranger)
    }
}

/// Who sends requests to a socket from an address that its own network alone has.
fn same_network(cgroup: Option<&Cgroup>, own: Option<&Pod>) -> Caller {
    match (own, cgroup) {
        (Some(pod), _) if pod.host_network => Caller::Node,
        (Some(_), _) => Caller::SamePod,
        // A process of the host.
        (None, Some(cgroup)) if cgroup.place.is_none() => Caller::Node,
        (None, _) => Caller::Unknown,
    }
}

/// Who sends requests from an address that others can have.
fn caller(state: &State, ip: IpAddr, is_at_pod: bool, found: &Attribution) -> Caller {
    let own = found.own.as_ref().and_then(|own| own.pod());
    match &found.peer {
        _ if own.is_some_and(|pod| pod.addresses.contains(&ip)) => Caller::SamePod,
        _ if state.node.is_agent(ip) => Caller::Agent,
        Some(Peer::Pod(_)) => Caller::Pod,
        Some(Peer::Service(_)) => Caller::Unknown,
        None if found.is_uncertain => Caller::Pod,
        None if state.node.contain(ip, is_at_pod) => Caller::Node,
        None => Caller::Unknown,
    }
}
