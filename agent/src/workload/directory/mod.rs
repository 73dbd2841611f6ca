//! What is known of workloads: cgroups, pods, namespaces, addresses. Written by the threads that
//! watch them, read by those that make spans.
//!
//! A reader takes one lock, looks up a few keys and clones a few `Arc`s; everything that it gets
//! was made when the update came.

mod admit;
mod attribute;
mod cgroups;
mod connection;
mod health;
mod pods;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashMap;

pub use connection::ConnectionEnds;
pub(crate) use connection::subject;
pub(crate) use health::{Health, WATCHES, Watch};
pub use health::{View, WatchState, WatchView};
pub(crate) use pods::{Arrival, Deleted};

use super::addresses::Addresses;
use super::attributes::ClusterInfo;
use super::identity::{Identity, Service, WorkloadName};
use super::members::Members;
use super::mesh::Role;
use super::node::{NodeAddresses, OwnNetwork};
use super::pod::{Choice, Pod};
use super::rules::RuleBook;
use super::scope::Reason;
use crate::capture::Excluded;
pub use crate::capture::Exclusions;
use crate::flow::{CgroupId, Nanos};
use crate::signal::route::GatewayRoutes;
use cgroups::Cgroup;
use pods::Stored;

/// How long cgroups and addresses are remembered after they are gone: the longest that an exchange
/// may be in flight (`limits.exchange_age`, by default), and a minute to be exported.
const LINGER: Nanos = 360_000_000_000;
/// How long a cgroup that is not there is not looked for again.
const ABSENT: Nanos = 60_000_000_000;
/// Cgroups looked up, and known not to be there: one for each connection of half a minute on a busy
/// node.
const MAX_ABSENT: usize = 16_384;
/// How often the agent's own network is read: a node makes the bridge of its pods' network with the
/// first of them.
const NETWORK: Nanos = 10_000_000_000;
/// Pods kept: the most that Kubernetes is built for in one cluster.
const MAX_PODS: usize = 150_000;
/// Services and namespaces kept: likewise (10 000 each), and some to spare.
const MAX_NAMED: usize = 50_000;

/// What is known.
pub struct Directory {
    state: RwLock<State>,
    pub(crate) health: Health,
    choice: Choice,
    pub(crate) rules: RuleBook,
    /// Rules of the Gateway API.
    pub(crate) routes: Arc<GatewayRoutes>,
    pub(crate) cluster_info: ClusterInfo,
    exclusions: Option<Box<dyn Exclusions>>,
    /// When the agent's own network was last read.
    network_read: AtomicU64,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    cgroups: HashMap<u64, Cgroup, crate::hash::Keyed>,
    /// Cgroups by the pod that their path names.
    by_pod: HashMap<Box<str>, Vec<u64>>,
    pods: HashMap<Arc<str>, Stored>,
    /// Ids of static pods by the hash that their cgroups are named after.
    hashes: HashMap<Box<str>, Arc<str>>,
    /// What a namespace's annotation says, and its last listing.
    namespaces: HashMap<Box<str>, (Option<bool>, u64)>,
    /// What the node itself sends from.
    node: NodeAddresses,
    pod_addresses: Addresses<Arc<Pod>>,
    service_addresses: Addresses<Arc<Service>>,
    services: HashMap<Arc<str>, pods::StoredService>,
    members: Members,
    /// Whose pods have all been reported once: this node's, and the others'.
    listed: [bool; 2],
    /// Cgroups that nobody knows and that a lookup waits for.
    pending: HashSet<u64>,
    absent: HashMap<u64, Nanos>,
    /// Addresses that were waited for in vain.
    strangers: HashMap<IpAddr, Nanos>,
    /// Numbers identities.
    serial: u64,
}

impl Directory {
    pub(crate) fn new(
        choice: Choice,
        cluster_info: ClusterInfo,
        exclusions: Option<Box<dyn Exclusions>>,
    ) -> Self {
        Self {
            state: RwLock::default(),
            health: Health::default(),
            choice,
            rules: RuleBook::default(),
            routes: Arc::default(),
            cluster_info,
            exclusions,
            network_read: AtomicU64::new(0),
        }
    }

    /// With `Telemetry` objects to come.
    pub(crate) fn with_rules(mut self, rules: RuleBook) -> Self {
        self.rules = rules;
        self
    }

    /// Reads the agent's own network, unless that was a short while ago.
    pub(crate) fn read_network(&self, now: Nanos) {
        let last = self.network_read.load(Ordering::Relaxed);
        if last == 0 || now.saturating_sub(last) >= NETWORK {
            self.network_read.store(now, Ordering::Relaxed);
            let own = OwnNetwork::read();
            self.write().node.set_own(own);
        }
    }

    /// The name of a cgroup's workload, for counts by workload.
    #[must_use]
    pub fn workload_name(&self, cgroup: CgroupId) -> WorkloadName {
        let state = self.read();
        let known = state.cgroups.get(&cgroup.0);
        known.map_or_else(WorkloadName::unknown, |cgroup| {
            WorkloadName::of(cgroup.place.as_deref(), cgroup.identity.as_deref())
        })
    }

    /// What is kept of pods.
    pub(crate) const fn choice(&self) -> &Choice {
        &self.choice
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the identities of cgroups anew, after something that they depend on has changed.
    fn refresh(&self, state: &mut State, cgroups: &[u64]) {
        for id in cgroups {
            self.refresh_one(state, *id);
        }
    }

    fn refresh_one(&self, state: &mut State, id: u64) {
        let Some(cgroup) = state.cgroups.get(&id) else {
            return;
        };
        let place = cgroup.place.clone();
        let pod_id = place.as_ref().and_then(|place| place.pod.as_deref());
        let pod = pod_id.and_then(|id| state.pod(id));
        if pod.is_none() && cgroup.identity.as_ref().is_some_and(|i| i.pod().is_some()) {
            // The pod is gone from the API, and its last exchanges are still to be emitted.
            return;
        }
        let container = place.as_ref().and_then(|place| place.container.as_deref());
        let name = pod
            .as_deref()
            .and_then(|pod| pod.container(container?).map(Box::from))
            // Its container began again, under another id, and the API speaks of that one.
            .or_else(|| cgroup.name.clone());
        let reason = self.exclusion(state, pod_id, pod.as_deref(), name.as_deref());
        state.serial += 1;
        let identity = Arc::new(Identity::new(
            state.serial,
            place.as_deref(),
            pod.clone(),
            name.as_deref(),
            &self.cluster_info,
            reason,
        ));
        let settled = match (pod_id, &pod) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(_)) => name.is_some() || container.is_none(),
        };
        // Whoever is not identified yet may be in scope: its exchanges are kept or not when they
        // are emitted.
        let excluded = match reason {
            None | Some(Reason::Unidentified) => Excluded::Nothing,
            Some(Reason::Mesh) if pod.as_deref().is_some_and(|pod| self.reads(pod)) => {
                Excluded::Sockets
            }
            Some(_) => Excluded::All,
        };
        let Some(cgroup) = state.cgroups.get_mut(&id) else {
            return;
        };
        cgroup.name = name;
        cgroup.identity = Some(identity);
        cgroup.settled = settled;
        if cgroup.excluded != excluded {
            cgroup.excluded = excluded;
            self.exclude(id, excluded);
        }
    }

    fn exclusion(
        &self,
        state: &State,
        pod_id: Option<&str>,
        pod: Option<&Pod>,
        container: Option<&str>,
    ) -> Option<Reason> {
        let scope = &self.choice.scope;
        match (pod_id, pod) {
            (None, _) => scope.excludes_host(),
            (Some(_), None) => scope.excludes_unidentified(),
            (Some(_), Some(pod)) => {
                let namespace = state.namespaces.get(&*pod.namespace);
                scope.excludes(pod, container, namespace.and_then(|(says, _)| *says))
            }
        }
    }

    /// What the tunnels of this cgroup's program prove of others is believed.
    pub(crate) fn believes(&self, prover: CgroupId, now: Nanos) -> bool {
        let state = self.read();
        let cgroup = state.cgroups.get(&prover.0);
        let pod = cgroup.and_then(|cgroup| cgroup.identity.as_deref()?.pod());
        match pod {
            Some(pod) => pod.role == Role::Ztunnel,
            // Nobody says who is.
            None => self.health.trust(Watch::NodePods, now) == health::Trust::Absent,
        }
    }

    /// This pod is a ztunnel that is read.
    fn reads(&self, pod: &Pod) -> bool {
        self.choice.ztunnel.reads(pod)
    }

    fn exclude(&self, id: u64, excluded: Excluded) {
        if let Some(exclusions) = &self.exclusions
            && let Err(error) = exclusions.set(CgroupId(id), excluded)
        {
            // What is out of scope is then copied, and excluded later.
            self.health.exclusion_failed();
            tracing::debug!(%error, id, "the kernel does not take a cgroup's scope");
        }
    }

    /// Lets time pass: forgets what has been gone for long.
    pub(crate) fn expire(&self, now: Nanos) {
        let before = now.saturating_sub(LINGER);
        let mut state = self.write();
        let State {
            cgroups, by_pod, ..
        } = &mut *state;
        cgroups.retain(|id, cgroup| {
            let keep = cgroup.gone.is_none_or(|gone| gone >= before);
            if !keep && let Some(pod) = cgroup.pod_id() {
                cgroups::remove(by_pod, pod, *id);
            }
            keep
        });
        state.pod_addresses.expire(before);
        state.service_addresses.expire(before);
        state
            .absent
            .retain(|_, since| now.saturating_sub(*since) < ABSENT);
    }

    /// For the metrics.
    #[must_use]
    pub fn view(&self) -> View {
        let mut view = self.health.view();
        view.complaints = self.rules.complaints();
        let state = self.read();
        view.cgroups = state.cgroups.len();
        let live = |cgroup: &&Cgroup| cgroup.gone.is_none();
        let containers = state.cgroups.values().filter(live);
        view.containers = containers.filter(|cgroup| cgroup.place.is_some()).count();
        let is_excluded = |cgroup: &&Cgroup| cgroup.excluded != Excluded::Nothing;
        view.excluded = state.cgroups.values().filter(is_excluded).count();
        view.pods = state.pods.len();
        view.addresses = state.pod_addresses.len() + state.service_addresses.len();
        view
    }
}

#[cfg(test)]
mod tests;
