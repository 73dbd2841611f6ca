//! Istio's `Telemetry` objects, and what they come to for a pod.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::config::{KubernetesSection, PeerChoice};
use super::pod::Pod;
use super::watch::objects;
use crate::signal::telemetry_api::{Object, Rules, Selectors, Workload, rules_of};

/// Objects kept: one for each namespace of the largest cluster.
const MAX_OBJECTS: usize = 10_000;
/// Complaints remembered as logged, and shown.
const MAX_COMPLAINTS: usize = 1000;

/// The objects, and what was made of them.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    is_on: bool,
    /// Objects here are for the whole mesh.
    root: Box<str>,
    /// Services are known: objects may name them.
    knows_services: bool,
    book: Mutex<Book>,
    /// Counts changes; 0 while there is no object.
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct Book {
    objects: HashMap<Arc<str>, (Arc<Object>, u64)>,
    services: HashMap<Arc<str>, (ServiceName, u64)>,
    selectors: Selectors,
    /// Objects of which an older one has the place.
    overlooked: BTreeSet<String>,
    logged: HashSet<String>,
}

type ServiceName = (Box<str>, Box<str>);

/// What was made for a pod, and of which objects.
#[derive(Debug, Default)]
pub(crate) struct OfPod(Mutex<Option<(u64, Arc<Rules>)>>);

impl RuleBook {
    pub(crate) fn new(section: &KubernetesSection) -> Self {
        Self {
            is_on: section.telemetry,
            root: section.root_namespace.as_str().into(),
            knows_services: section.peers == PeerChoice::Cluster,
            ..Self::default()
        }
    }

    /// Labels of pods are wanted.
    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Every change is whole: a thread that panicked left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, mut book: MutexGuard<'_, Book>) {
        book.overlooked.clear();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// What holds for a pod. `None`: nothing is said of any.
    pub(crate) fn of(&self, pod: &Pod) -> Option<Arc<Rules>> {
        let generation = self.generation.load(Ordering::Acquire);
        let labels = pod.all_labels.as_ref().filter(|_| generation > 0)?;
        let mut made = pod.rules.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, rules)) = &*made
            && *of == generation
        {
            return Some(rules.clone());
        }
        let mut book = self.lock();
        let workload = Workload {
            namespace: &pod.namespace,
            labels,
        };
        let objects: Vec<Arc<Object>> = book.objects.values().map(|(o, _)| o.clone()).collect();
        let objects: Vec<&Object> = objects.iter().map(|object| &**object).collect();
        let (rules, overlooked) = rules_of(&objects, &self.root, &workload, &book.selectors);
        for object in overlooked {
            let complaint = format!(
                "{}: an older object is for the same pods",
                object.full_name()
            );
            if book.overlooked.len() < MAX_COMPLAINTS && book.overlooked.insert(complaint.clone()) {
                log(&mut book.logged, &complaint);
            }
        }
        let rules = Arc::new(rules);
        *made = Some((generation, rules.clone()));
        Some(rules)
    }

    /// What cannot be honoured: `namespace/name: place: reason`.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let book = self.lock();
        let objects = book.objects.values();
        let mut all: Vec<String> = objects
            .flat_map(|(object, _)| self.complaints_of(object))
            .chain(book.overlooked.iter().cloned())
            .take(MAX_COMPLAINTS)
            .collect();
        all.sort_unstable();
        all
    }

    fn complaints_of(&self, object: &Object) -> Vec<String> {
        let name = object.full_name();
        let unknown = (object.names_services() && !self.knows_services)
            .then_some("targetRefs: services are known with `kubernetes.peers: cluster` alone");
        let reasons = object.complaints().iter().map(String::as_str);
        let reasons = reasons.chain(unknown);
        reasons.map(|reason| format!("{name}: {reason}")).collect()
    }

    /// An object is so. False: there is no room for it.
    pub(crate) fn applied(&self, object: &objects::Telemetry, listing: u64) -> bool {
        let metadata = &object.metadata;
        let (Some(uid), Some(name)) = (metadata.uid.as_deref(), metadata.name.as_deref()) else {
            return true;
        };
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let created = metadata.creation_timestamp.as_ref();
        let created = created.map_or(0, |time| time.0.as_second());
        let made = Arc::new(Object::new(namespace, name, created, &object.spec));
        let mut book = self.lock();
        if !book.objects.contains_key(uid) && book.objects.len() >= MAX_OBJECTS {
            return false;
        }
        for complaint in self.complaints_of(&made) {
            log(&mut book.logged, &complaint);
        }
        book.objects.insert(uid.into(), (made, listing));
        self.changed(book);
        true
    }

    pub(crate) fn deleted(&self, uid: &str) {
        let mut book = self.lock();
        book.objects.remove(uid);
        self.changed(book);
    }

    /// A listing is complete: what was not in it is gone.
    pub(crate) fn listed(&self, listing: u64) {
        let mut book = self.lock();
        let before = book.objects.len();
        book.objects.retain(|_, (_, of)| *of == listing);
        if book.objects.len() != before {
            self.changed(book);
        }
    }

    /// Which pods a service is of.
    pub(crate) fn service_applied(&self, object: &objects::Service, listing: u64) {
        let metadata = &object.metadata;
        let (Some(uid), Some(name)) = (metadata.uid.as_deref(), metadata.name.as_deref()) else {
            return;
        };
        if !self.is_on {
            return;
        }
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let key: ServiceName = (namespace.into(), name.into());
        let mut book = self.lock();
        book.services.insert(uid.into(), (key.clone(), listing));
        let before = book.selectors.insert(key, object.spec.selector.clone());
        if before.as_ref() != Some(&object.spec.selector) && !book.objects.is_empty() {
            self.changed(book);
        }
    }

    pub(crate) fn service_deleted(&self, uid: &str) {
        let mut book = self.lock();
        if let Some((key, _)) = book.services.remove(uid) {
            book.selectors.remove(&key);
            self.changed(book);
        }
    }

    pub(crate) fn services_listed(&self, listing: u64) {
        let book = self.lock();
        let services = book.services.iter();
        let gone = services.filter(|(_, (_, of))| *of != listing);
        let gone: Vec<_> = gone.map(|(uid, _)| uid.clone()).collect();
        drop(book);
        for uid in gone {
            self.service_deleted(&uid);
        }
    }
}

/// Says it once.
fn log(logged: &mut HashSet<String>, complaint: &str) {
    if logged.len() < MAX_COMPLAINTS && logged.insert(complaint.to_owned()) {
        tracing::warn!(
            complaint,
            "a Telemetry object is not honoured in all it says"
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::flow::Side;
    use crate::workload::pod::tests::pod_with_labels;

    fn book(peers: PeerChoice) -> RuleBook {
        RuleBook::new(&KubernetesSection {
            telemetry: true,
            peers,
            ..KubernetesSection::default()
        })
    }

    fn telemetry(name: &str, spec: &Value) -> objects::Telemetry {
        let object =
            json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn ratio(book: &RuleBook, pod: &Pod) -> Option<f64> {
        book.of(pod)?.side(Side::Server).ratio
    }

    #[test]
    fn rules_follow_the_objects() {
        let book = book(PeerChoice::Cluster);
        let pod = pod_with_labels(&json!({"app": "web"}));
        assert_eq!(ratio(&book, &pod), None);
        let sampling = |ratio: f64| json!({"tracing": [{"randomSamplingPercentage": ratio}]});
        assert!(book.applied(&telemetry("a", &sampling(50.0)), 1));
        assert_eq!(ratio(&book, &pod), Some(0.5));
        book.applied(&telemetry("a", &sampling(25.0)), 1);
        assert_eq!(ratio(&book, &pod), Some(0.25));
        book.listed(1);
        assert_eq!(ratio(&book, &pod), Some(0.25));
        book.listed(2);
        assert_eq!(ratio(&book, &pod), None);
        let mut of_service = sampling(75.0);
        of_service["targetRefs"] = json!([{"kind": "Service", "name": "front"}]);
        book.applied(&telemetry("b", &of_service), 3);
        assert_eq!(ratio(&book, &pod), None);
        let service = json!({
            "metadata": {"name": "front", "namespace": "shop", "uid": "s"},
            "spec": {"selector": {"app": "web"}},
        });
        book.service_applied(&serde_json::from_value(service).unwrap(), 1);
        assert_eq!(ratio(&book, &pod), Some(0.75));
        book.services_listed(2);
        assert_eq!(ratio(&book, &pod), None);
        book.deleted("b");
        assert!(book.complaints().is_empty());
    }

    #[test]
    fn what_cannot_be_honoured_is_shown_while_it_is_there() {
        let book = book(PeerChoice::Node);
        let pod = pod_with_labels(&json!({}));
        book.applied(&telemetry("a", &json!({"metrics": 1})), 1);
        book.applied(&telemetry("b", &json!({})), 1);
        book.applied(&telemetry("d", &json!({})), 1);
        let services = json!({"targetRefs": [{"kind": "Service", "name": "front"}]});
        book.applied(&telemetry("c", &services), 1);
        assert!(book.of(&pod).is_some());
        let found = book.complaints();
        assert_eq!(found.len(), 3, "{found:?}");
        for (found, expected) in found.iter().zip([
            "shop/a: spec cannot be read: ",
            "shop/c: targetRefs: services are known",
            "shop/d: an older object is for the same pods",
        ]) {
            assert!(found.starts_with(expected), "{found}");
        }
        for uid in ["a", "b", "c", "d"] {
            book.deleted(uid);
        }
        assert!(book.complaints().is_empty());
    }
}
