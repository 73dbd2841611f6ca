//! Which pods are behind which service: those of its namespace whose labels its selector fits
//! (kubernetes.io, "Service"). Pure.
//!
//! A socket that has dialled the address of a service does not show which pod responds. Where all
//! pods behind the service are of one workload, that one does. And a server's socket does not show
//! by which service a connection came: where its pod is behind one service alone, by that.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::identity::Service;
use super::pod::Pod;

type Uid = Arc<str>;

/// Pods and services that may be one of the other, by namespace.
#[derive(Debug, Default)]
pub(super) struct Members {
    namespaces: HashMap<Arc<str>, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    pods: HashMap<Uid, Member>,
    services: HashMap<Uid, Selecting>,
}

/// A pod, and the services that it is behind.
#[derive(Debug)]
struct Member {
    pod: Arc<Pod>,
    services: Vec<Uid>,
}

/// A service, and the pods behind it.
#[derive(Debug)]
struct Selecting {
    service: Arc<Service>,
    selector: BTreeMap<String, String>,
    /// It has an address of its own.
    has_address: bool,
    pods: HashSet<Uid>,
}

impl Selecting {
    /// A service without a selector has endpoints that somebody else writes.
    fn fits(&self, pod: &Pod) -> bool {
        let Some(labels) = &pod.all_labels else {
            return false;
        };
        let mut conditions = self.selector.iter();
        !self.selector.is_empty() && conditions.all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Members {
    /// A pod is so. Returns the services whose pods have changed.
    pub(super) fn pod(&mut self, pod: &Arc<Pod>) -> Vec<Uid> {
        if pod.ended {
            return self.without_pod(pod);
        }
        let namespace = self.namespaces.entry(pod.namespace.clone()).or_default();
        let before = namespace.pods.get(&pod.uid);
        if before.is_some_and(|before| before.pod.is_called_as(pod)) {
            return Vec::new();
        }
        let mut changed = before.map_or_else(Vec::new, |before| before.services.clone());
        let mut services = Vec::new();
        for (uid, selecting) in &mut namespace.services {
            if selecting.fits(pod) {
                selecting.pods.insert(pod.uid.clone());
                services.push(uid.clone());
            } else {
                selecting.pods.remove(&pod.uid);
            }
        }
        changed.extend(services.iter().cloned());
        changed.sort_unstable();
        changed.dedup();
        let member = Member {
            pod: pod.clone(),
            services,
        };
        namespace.pods.insert(pod.uid.clone(), member);
        changed
    }

    /// A pod is not there any more. Returns the services whose pods have changed.
    pub(super) fn without_pod(&mut self, pod: &Pod) -> Vec<Uid> {
        let Some(namespace) = self.namespaces.get_mut(&pod.namespace) else {
            return Vec::new();
        };
        let Some(member) = namespace.pods.remove(&pod.uid) else {
            return Vec::new();
        };
        for uid in &member.services {
            if let Some(selecting) = namespace.services.get_mut(uid) {
                selecting.pods.remove(&pod.uid);
            }
        }
        self.forget_if_empty(&pod.namespace);
        member.services
    }

    /// A service is so.
    pub(super) fn service(
        &mut self,
        (namespace, uid): (&Arc<str>, &Uid),
        service: Arc<Service>,
        selector: BTreeMap<String, String>,
        has_address: bool,
    ) {
        let namespace = self.namespaces.entry(namespace.clone()).or_default();
        let mut selecting = Selecting {
            service,
            selector,
            has_address,
            pods: HashSet::new(),
        };
        for (pod, member) in &mut namespace.pods {
            member.services.retain(|of| of != uid);
            if selecting.fits(&member.pod) {
                member.services.push(uid.clone());
                selecting.pods.insert(pod.clone());
            }
        }
        namespace.services.insert(uid.clone(), selecting);
    }

    /// A service is not there any more.
    pub(super) fn without_service(&mut self, name: &str, uid: &str) {
        let Some(namespace) = self.namespaces.get_mut(name) else {
            return;
        };
        if let Some(selecting) = namespace.services.remove(uid) {
            for pod in selecting.pods {
                if let Some(member) = namespace.pods.get_mut(&pod) {
                    member.services.retain(|of| **of != *uid);
                }
            }
        }
        self.forget_if_empty(name);
    }

    fn forget_if_empty(&mut self, name: &str) {
        let is_empty = |of: &Namespace| of.pods.is_empty() && of.services.is_empty();
        if self.namespaces.get(name).is_some_and(is_empty) {
            self.namespaces.remove(name);
        }
    }

    /// A service with the pods that are behind it now.
    pub(super) fn with_pods(&self, name: &str, uid: &str) -> Option<Arc<Service>> {
        let namespace = self.namespaces.get(name)?;
        let selecting = namespace.services.get(uid)?;
        let members = selecting.pods.iter();
        let pods = members.filter_map(|pod| Some(namespace.pods.get(pod)?.pod.clone()));
        Some(Arc::new(selecting.service.with_pods(pods.collect())))
    }

    /// A service of whose pods nothing is said.
    pub(super) fn without_pods(&self, name: &str, uid: &str) -> Option<Arc<Service>> {
        let namespace = self.namespaces.get(name)?;
        Some(namespace.services.get(uid)?.service.clone())
    }

    /// The one service that a pod is behind: of those with an address, where there are any.
    pub(super) fn service_of(&self, pod: &Pod) -> Option<&Arc<Service>> {
        let namespace = self.namespaces.get(&pod.namespace)?;
        let of = &namespace.pods.get(&pod.uid)?.services;
        let services = || of.iter().filter_map(|uid| namespace.services.get(uid));
        only(services().filter(|selecting| selecting.has_address))
            .or_else(|| {
                let has_none = services().all(|selecting| !selecting.has_address);
                has_none.then(|| only(services())).flatten()
            })
            .map(|selecting| &selecting.service)
    }
}

/// The only one there is.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::ScopeSection;
    use super::super::pod::Choice;
    use super::super::scope::Scope;
    use super::super::trust::Trust;
    use super::*;

    fn labelled(uid: &str, labels: &[(&str, &str)]) -> Arc<Pod> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let object = json!({
            "metadata": {"name": uid, "namespace": "shop", "uid": uid, "labels": labels},
            "spec": {"containers": [{"name": "web"}]},
        });
        let scope = Scope::new(&ScopeSection::default()).unwrap();
        let choice = Choice::new(&[], &[], scope, Trust::default()).keeping_labels(true);
        let pod = Pod::new(serde_json::from_value(object).unwrap(), &choice);
        Arc::new(pod.unwrap())
    }

    fn add(members: &mut Members, name: &str, selector: &[(&str, &str)], has_address: bool) {
        let selector = selector.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let service = Arc::new(Service::new("shop", name));
        let (namespace, uid): (Arc<str>, Arc<str>) = ("shop".into(), name.into());
        members.service((&namespace, &uid), service, selector.collect(), has_address);
    }

    fn service_of(members: &Members, pod: &Pod) -> Option<String> {
        let service = members.service_of(pod)?;
        Some(service.labels().value().name.to_string())
    }

    fn pods_of(members: &Members, name: &str) -> usize {
        let service = members.with_pods("shop", name);
        service.map_or(0, |service| service.pods().len())
    }

    #[test]
    fn in_any_order() {
        let web = labelled("a", &[("app", "web"), ("tier", "1")]);
        let other = labelled("b", &[("app", "db")]);
        for pods_first in [true, false] {
            let mut members = Members::default();
            let mut apply = |pods: bool| {
                if pods {
                    members.pod(&web);
                    members.pod(&other);
                } else {
                    add(&mut members, "web", &[("app", "web")], true);
                    add(&mut members, "by-hand", &[], true);
                }
            };
            apply(pods_first);
            apply(!pods_first);
            assert_eq!(service_of(&members, &web).as_deref(), Some("web"));
            assert_eq!(service_of(&members, &other), None);
            assert_eq!(
                (pods_of(&members, "web"), pods_of(&members, "by-hand")),
                (1, 0)
            );
        }
    }

    #[test]
    fn of_several_services_none_is_named() {
        let mut members = Members::default();
        let web = labelled("a", &[("app", "web")]);
        members.pod(&web);
        add(&mut members, "headless", &[("app", "web")], false);
        assert_eq!(service_of(&members, &web).as_deref(), Some("headless"));
        add(&mut members, "web", &[("app", "web")], true);
        assert_eq!(service_of(&members, &web).as_deref(), Some("web"));
        add(&mut members, "web-too", &[("app", "web")], true);
        assert_eq!(service_of(&members, &web), None);
        members.without_service("shop", "web-too");
        assert_eq!(service_of(&members, &web).as_deref(), Some("web"));
    }

    #[test]
    fn pods_come_change_and_go() {
        let mut members = Members::default();
        add(&mut members, "web", &[("app", "web")], true);
        let changed = |uids: Vec<Uid>| uids.iter().map(|uid| uid.to_string()).collect::<Vec<_>>();
        let web = labelled("a", &[("app", "web")]);
        assert_eq!(changed(members.pod(&web)), ["web"]);
        // Nothing that matters has changed.
        assert!(members.pod(&labelled("a", &[("app", "web")])).is_empty());
        let moved = labelled("a", &[("app", "other")]);
        assert_eq!(changed(members.pod(&moved)), ["web"]);
        assert_eq!(pods_of(&members, "web"), 0);
        assert_eq!(changed(members.pod(&web)), ["web"]);
        assert_eq!(changed(members.without_pod(&web)), ["web"]);
        assert!(members.without_pod(&web).is_empty());
        members.without_service("shop", "web");
        assert!(members.namespaces.is_empty());
    }
}
