//! Updates of pods, namespaces and services.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::addresses::{Release, Since};
use super::super::identity::Service;
use super::super::pod::{Pod, capture};
use super::super::watch::objects;
use super::{Directory, MAX_NAMED, MAX_PODS, State, Watch};
use crate::clock::WallClock;
use crate::flow::Nanos;

/// How long before it is heard of an address may have been changed.
const LAG: Nanos = 5_000_000_000;

/// A pod, and the watch that reported it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) pod: Arc<Pod>,
    watch: Watch,
    listing: u64,
}

/// A service.
#[derive(Debug)]
pub(super) struct StoredService {
    namespace: Arc<str>,
    addresses: Vec<IpAddr>,
    since: Since,
    listing: u64,
}

/// When an update came: on the clock of exchanges, and the difference of that clock from the API's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Nanos,
    pub(crate) clock: WallClock,
    /// Number of the watch's last full listing.
    pub(crate) listing: u64,
}

impl Arrival {
    /// A time of the API on the clock of exchanges.
    fn monotonic(&self, unix: i64) -> Nanos {
        u64::try_from(unix.saturating_sub(self.clock.offset)).unwrap_or(0)
    }
}

impl State {
    /// A pod by the id that its cgroup's path names.
    pub(super) fn pod(&self, id: &str) -> Option<Arc<Pod>> {
        let stored = self.pods.get(id).or_else(|| {
            let uid = self.hashes.get(id)?;
            self.pods.get(uid)
        })?;
        Some(stored.pod.clone())
    }

    fn cgroups_of(&self, pod: &Pod) -> Vec<u64> {
        let ids = [Some(&*pod.uid), pod.config_hash.as_deref()];
        let lists = ids
            .into_iter()
            .flatten()
            .filter_map(|id| self.by_pod.get(id));
        lists.flatten().copied().collect()
    }

    /// Follows a pod's addresses from what they were to what they are.
    fn follow_addresses(&mut self, before: Option<&Pod>, pod: &Arc<Pod>, arrival: &Arrival) {
        let held = before.map_or(&[][..], |before| before.addresses.as_slice());
        for ip in held.iter().chain(&pod.addresses) {
            self.strangers.remove(ip);
        }
        for ip in held {
            if pod.ended || !pod.addresses.contains(ip) {
                let release = Release::Ended(arrival.now);
                self.pod_addresses.release(*ip, &pod.uid, release);
            }
        }
        if pod.ended {
            return;
        }
        let start = pod.started.map_or(0, |unix| arrival.monotonic(unix));
        for ip in &pod.addresses {
            // It has another address than before: not since its start.
            let is_changed = !held.is_empty() && !held.contains(ip);
            let since = if is_changed {
                let start = start.max(arrival.now.saturating_sub(LAG));
                Since::of_pod(start, None, arrival.now)
            } else {
                let ran = pod.first_ran.map(|unix| arrival.monotonic(unix));
                Since::of_pod(start, ran, arrival.now)
            };
            self.pod_addresses.hold(*ip, &pod.uid, pod.clone(), since);
            if pod.ending {
                self.pod_addresses.ending(*ip, &pod.uid, arrival.now);
            }
        }
    }

    fn drop_pod(&mut self, uid: &str, release: Release) {
        let Some(stored) = self.pods.remove(uid) else {
            return;
        };
        let pod = stored.pod;
        let changed = self.members.without_pod(&pod);
        self.renew(&changed);
        for ip in &pod.addresses {
            self.pod_addresses.release(*ip, &pod.uid, release);
            self.strangers.remove(ip);
        }
        if let Some(hash) = &pod.config_hash
            && self.hashes.get(hash).is_some_and(|known| **known == *uid)
        {
            self.hashes.remove(hash);
        }
    }
}

/// What is known of how a pod went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// Its containers had ended before.
    Ended,
    /// A container ran, by the kubelet's last report: it was deleted with a grace period of 0.
    Running,
}

impl Directory {
    /// A pod is so.
    pub(crate) fn pod_applied(&self, mut pod: Pod, watch: Watch, arrival: &Arrival) {
        let is_elsewhere = watch == Watch::OtherPods && self.cluster_info.node.is_some();
        if is_elsewhere {
            pod.forget_local();
        }
        let pod = Arc::new(pod);
        let mut state = self.write();
        let before = state.pods.get(&pod.uid).map(|stored| stored.pod.clone());
        if before.is_none() && state.pods.len() >= MAX_PODS {
            return self.health.refused();
        }
        state.follow_addresses(before.as_deref(), &pod, arrival);
        state.node.report(&pod.host_addresses);
        if let Some(hash) = &pod.config_hash {
            state.hashes.insert(hash.clone(), pod.uid.clone());
        }
        let stored = Stored {
            pod: pod.clone(),
            watch,
            listing: arrival.listing,
        };
        state.pods.insert(pod.uid.clone(), stored);
        let changed = state.members.pod(&pod);
        state.renew(&changed);
        let cgroups = state.cgroups_of(&pod);
        self.refresh(&mut state, &cgroups);
        drop(state);
        self.health.changed();
    }

    /// A pod is not there any more, by what `watch` says: another watch may have taken it over.
    pub(crate) fn pod_deleted(&self, uid: &str, watch: Watch, deleted: Deleted, now: Nanos) {
        let release = match deleted {
            Deleted::Ended => Release::Ended(now),
            Deleted::Running => Release::Forgotten(now),
        };
        let mut state = self.write();
        if state
            .pods
            .get(uid)
            .is_some_and(|stored| stored.watch == watch)
        {
            state.drop_pod(uid, release);
        }
        drop(state);
        self.health.changed();
    }

    /// Of the pods of `watch` there are only those reported since this listing began.
    pub(crate) fn pods_listed(&self, watch: Watch, arrival: &Arrival) {
        let mut state = self.write();
        let gone: Vec<_> = state
            .pods
            .iter()
            .filter(|(_, stored)| stored.watch == watch && stored.listing != arrival.listing)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            // Nobody saw how it went, or when: it may run on.
            state.drop_pod(&uid, Release::Forgotten(arrival.now));
        }
        let hosts = state.pods.values();
        let hosts = hosts.flat_map(|stored| &stored.pod.host_addresses);
        let hosts = hosts.copied().collect();
        state.node.report_all(hosts);
        self.check_all_pods(&mut state, watch);
        drop(state);
        self.health.changed();
    }

    /// A namespace is so.
    pub(crate) fn namespace_applied(&self, object: &objects::Namespace, listing: u64) {
        let Some(name) = object.metadata.name.as_deref() else {
            return;
        };
        let says = object.metadata.annotations.as_ref().and_then(capture);
        let mut state = self.write();
        let before = state.namespaces.get(name).map(|(says, _)| *says);
        if before.is_none() && state.namespaces.len() >= MAX_NAMED {
            return self.health.refused();
        }
        state.namespaces.insert(name.into(), (says, listing));
        if before.flatten() != says {
            self.refresh_namespace(&mut state, name);
        }
        drop(state);
        self.health.changed();
    }

    /// A namespace is not there any more.
    pub(crate) fn namespace_deleted(&self, name: &str) {
        self.write().namespaces.remove(name);
    }

    /// There are only the namespaces reported since this listing began.
    pub(crate) fn namespaces_listed(&self, listing: u64) {
        self.write()
            .namespaces
            .retain(|_, (_, reported)| *reported == listing);
        self.health.changed();
    }

    fn refresh_namespace(&self, state: &mut State, name: &str) {
        let pods = state.pods.values();
        let pods: Vec<_> = pods
            .filter(|stored| *stored.pod.namespace == *name)
            .map(|stored| stored.pod.clone())
            .collect();
        for pod in pods {
            let cgroups = state.cgroups_of(&pod);
            self.refresh(state, &cgroups);
        }
    }

    /// A service is so.
    pub(crate) fn service_applied(&self, object: &objects::Service, arrival: &Arrival) {
        let metadata = &object.metadata;
        let (Some(uid), Some(name)) = (metadata.uid.as_deref(), metadata.name.as_deref()) else {
            return;
        };
        let uid: Arc<str> = uid.into();
        let namespace: Arc<str> = metadata.namespace.as_deref().unwrap_or_default().into();
        let created = metadata.creation_timestamp.as_ref();
        let created = created.and_then(|time| i64::try_from(time.0.as_nanosecond()).ok());
        let since = Since::at(created.map_or(0, |unix| arrival.monotonic(unix)));
        let addresses = object.spec.addresses();
        let mut state = self.write();
        if !state.services.contains_key(&uid) && state.services.len() >= MAX_NAMED {
            return self.health.refused();
        }
        let service = Arc::new(Service::new(&namespace, name));
        let selector = object.spec.selector.clone();
        let key = (&namespace, &uid);
        (state.members).service(key, service, selector, !addresses.is_empty());
        let stored = StoredService {
            namespace,
            addresses: addresses.clone(),
            since,
            listing: arrival.listing,
        };
        let before = state.services.insert(uid.clone(), stored);
        for ip in before.map_or_else(Vec::new, |before| before.addresses) {
            if !addresses.contains(&ip) {
                let release = Release::Ended(arrival.now);
                state.service_addresses.release(ip, &uid, release);
            }
        }
        state.show(&uid);
        drop(state);
        self.health.changed();
    }

    /// A service is not there any more.
    pub(crate) fn service_deleted(&self, uid: &str, now: Nanos) {
        self.write().drop_service(uid, now);
    }

    /// There are only the services reported since this listing began.
    pub(crate) fn services_listed(&self, arrival: &Arrival) {
        let mut state = self.write();
        let gone: Vec<_> = state
            .services
            .iter()
            .filter(|(_, stored)| stored.listing != arrival.listing)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            state.drop_service(&uid, arrival.now);
        }
        drop(state);
        self.health.changed();
    }
}

impl Directory {
    /// A watch has listed its pods: these may have been the last ones.
    fn check_all_pods(&self, state: &mut State, listed: Watch) {
        let before = state.knows_all_pods();
        match listed {
            Watch::NodePods => state.listed[0] = true,
            Watch::OtherPods => {
                state.listed[1] = true;
                // Without the name of this node, this watch has them all.
                state.listed[0] |= self.cluster_info.node.is_none();
            }
            _ => {}
        }
        if !before && state.knows_all_pods() {
            let all: Vec<_> = state.services.keys().cloned().collect();
            state.renew(&all);
        }
    }
}

impl State {
    /// The service that a pod is behind.
    pub(super) fn service_of(&self, pod: &Pod) -> Option<&Arc<Service>> {
        self.members.service_of(pod)
    }

    const fn knows_all_pods(&self) -> bool {
        matches!(self.listed, [true, true])
    }

    /// Has those who look up addresses of these services know their pods.
    fn renew(&mut self, services: &[Arc<str>]) {
        if self.knows_all_pods() {
            for uid in services {
                self.show(uid);
            }
        }
    }

    /// Has those who look up a service's addresses know it, with its pods if all are known.
    fn show(&mut self, uid: &Arc<str>) {
        let Some(stored) = self.services.get(uid) else {
            return;
        };
        let service = match self.knows_all_pods() {
            true => self.members.with_pods(&stored.namespace, uid),
            false => self.members.without_pods(&stored.namespace, uid),
        };
        let Some(service) = service else { return };
        for ip in &stored.addresses {
            (self.service_addresses).hold(*ip, uid, service.clone(), stored.since);
        }
    }

    fn drop_service(&mut self, uid: &str, now: Nanos) {
        if let Some(stored) = self.services.remove(uid) {
            self.members.without_service(&stored.namespace, uid);
            for ip in stored.addresses {
                let release = Release::Ended(now);
                self.service_addresses.release(ip, uid, release);
            }
        }
    }
}
