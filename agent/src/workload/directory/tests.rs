use std::sync::Mutex;

use serde_json::{Value, json};

use super::super::cgroup::{Change, Listener as _, Place};
use super::*;
use crate::clock::WallClock;
use crate::flow::Side;
use crate::signal::span::ResourceValue;
use crate::workload::attribution::{Attribution, Caller, Lookup, Missing};
use crate::workload::config::{ScopeSection, TrustSection};
use crate::workload::scope::Scope;
use crate::workload::trust::Trust;
use crate::workload::watch::objects;

mod ztunnel;

const S: Nanos = 1_000_000_000;
const UID: &str = "11111111-2222-4333-8444-555555555555";
const OTHER: &str = "99999999-2222-4333-8444-555555555555";

/// What the kernel would leave alone.
#[derive(Clone, Default)]
struct Kernel(Arc<Mutex<std::collections::BTreeMap<u64, Excluded>>>);

impl Exclusions for Kernel {
    fn set(&self, cgroup: CgroupId, excluded: Excluded) -> std::io::Result<()> {
        let mut set = self.0.lock().unwrap();
        let before = match excluded {
            Excluded::Nothing => set.remove(&cgroup.0),
            _ => set.insert(cgroup.0, excluded),
        };
        assert_ne!(
            before.unwrap_or_default(),
            excluded,
            "set twice: {cgroup:?}"
        );
        Ok(())
    }
}

struct Bench {
    directory: Directory,
    kernel: Kernel,
    listing: u64,
}

impl Bench {
    fn new(section: &ScopeSection) -> Self {
        Self::trusting(section, &TrustSection::default())
    }

    fn trusting(section: &ScopeSection, trust: &TrustSection) -> Self {
        let (scope, trust) = (Scope::new(section).unwrap(), Trust::new(trust).unwrap());
        Self::choosing(Choice::new(&[], &[], scope, trust))
    }

    fn choosing(choice: Choice) -> Self {
        let kernel = Kernel::default();
        let cluster_info = ClusterInfo {
            node: Some("n1".to_owned()),
            trust_domain: "td".to_owned(),
            ..ClusterInfo::default()
        };
        Self {
            directory: Directory::new(choice, cluster_info, Some(Box::new(kernel.clone()))),
            kernel,
            listing: 1,
        }
    }

    /// As when all watches have reported everything.
    fn synced(self) -> Self {
        for watch in WATCHES {
            self.directory.health.synced(watch);
        }
        self
    }

    fn arrival(&self, now: Nanos) -> Arrival {
        Arrival {
            now,
            // The API's seconds are those of the tests.
            clock: WallClock { offset: 0 },
            listing: self.listing,
        }
    }

    fn container(&self, id: u64, pod: &str, number: u8) {
        let place = Place {
            pod: Some(pod.into()),
            container: Some(format!("{number:064x}").into()),
        };
        let change = Change::Appeared(CgroupId(id), Some(place));
        self.directory.cgroups_changed(&[change], 0);
    }

    fn host(&self, id: u64) {
        self.directory
            .cgroups_changed(&[Change::Appeared(CgroupId(id), None)], 0);
    }

    fn pod(&self, object: Value, now: Nanos) {
        self.pod_of(object, Watch::NodePods, now);
    }

    fn pod_of(&self, object: Value, watch: Watch, now: Nanos) {
        let object: objects::Pod = serde_json::from_value(object).unwrap();
        let pod = Pod::new(object, self.directory.choice()).unwrap();
        self.directory.pod_applied(pod, watch, &self.arrival(now));
    }

    fn namespace(&self, name: &str, capture: Option<&str>) {
        let annotations = capture.map_or(json!({}), |value| json!({"meshtap.dev/capture": value}));
        let object = json!({"metadata": {"name": name, "annotations": annotations}});
        let object: objects::Namespace = serde_json::from_value(object).unwrap();
        self.directory.namespace_applied(&object, self.listing);
    }

    fn service(&self, name: &str, ip: &str) {
        self.labelled_service(name, ip, &json!({}));
    }

    fn labelled_service(&self, name: &str, ip: &str, selector: &Value) {
        let object = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"clusterIP": ip, "selector": selector},
        });
        let object: objects::Service = serde_json::from_value(object).unwrap();
        self.directory.service_applied(&object, &self.arrival(0));
    }

    fn excluded(&self) -> Vec<u64> {
        self.kernel.0.lock().unwrap().keys().copied().collect()
    }

    fn server(&self, cgroup: u64, client: &str, at: Nanos) -> Attribution {
        self.find(cgroup, Side::Server, client, "10.0.0.1", at)
    }

    /// Every request claims to be made for 10.0.0.77.
    fn find(&self, cgroup: u64, side: Side, client: &str, server: &str, at: Nanos) -> Attribution {
        let lookup = Lookup {
            cgroup: CgroupId(cgroup),
            side,
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            claimed: (side == Side::Server).then(|| "10.0.0.77".parse().unwrap()),
            tunnel: None,
            at,
        };
        self.directory.attribute(&lookup, at)
    }

    fn delete(&self, uid: &str, now: Nanos) {
        let watch = Watch::NodePods;
        self.directory.pod_deleted(uid, watch, Deleted::Ended, now);
    }
}

fn pod(name: &str, uid: &str, ip: &str, start: u64) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid},
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
        "status": {
            "phase": "Running", "podIP": ip,
            "startTime": format!("1970-01-01T00:{:02}:{:02}Z", start / 60, start % 60),
        },
    })
}

fn with_labels() -> Choice {
    let scope = Scope::new(&ScopeSection::default()).unwrap();
    Choice::new(&[], &[], scope, Trust::default()).keeping_labels(true)
}

fn value<'a>(attributes: &'a [(String, ResourceValue)], key: &str) -> Option<&'a str> {
    let (_, value) = attributes.iter().find(|(k, _)| k == key)?;
    match value {
        ResourceValue::Str(text) => Some(text),
        ResourceValue::Int(_) => None,
    }
}

fn own_pod(found: &Attribution) -> Option<&str> {
    value(found.own()?.attributes(), "k8s.pod.name")
}

fn peer_pod(found: &Attribution, side: Side) -> Option<&str> {
    let [source, destination] = found.ends(side, "td");
    match side {
        Side::Server => value(source, "k8s.src.pod.name"),
        Side::Client => value(destination, "k8s.dst.pod.name"),
    }
}

#[test]
fn whichever_comes_first_the_container_gets_its_pod() {
    for pod_first in [true, false] {
        let bench = Bench::new(&ScopeSection::default()).synced();
        let report = || bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
        if pod_first {
            report();
        }
        bench.container(7, UID, 1);
        if !pod_first {
            let found = bench.server(7, "192.0.2.1", 102 * S);
            assert_eq!(found.missing(), Some(Missing::Pod));
            assert_eq!(own_pod(&found), None);
            report();
        }
        let found = bench.server(7, "192.0.2.1", 102 * S);
        assert_eq!((own_pod(&found), found.missing()), (Some("web-1"), None));
        let attributes = found.own().unwrap().attributes();
        assert_eq!(value(attributes, "k8s.container.name"), Some("app"));
    }
}

#[test]
fn a_container_of_several_waits_for_its_name() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["spec"]["containers"] = json!([{"name": "app"}, {"name": "log"}]);
    bench.container(7, UID, 1);
    bench.pod(object.clone(), 101 * S);
    let found = bench.server(7, "192.0.2.1", 102 * S);
    assert_eq!(
        (own_pod(&found), found.missing()),
        (Some("web-1"), Some(Missing::Pod))
    );
    let id = format!("containerd://{:064x}", 1);
    object["status"]["containerStatuses"] = json!([{"name": "log", "containerID": id}]);
    bench.pod(object.clone(), 103 * S);
    let found = bench.server(7, "192.0.2.1", 104 * S);
    assert_eq!(found.missing(), None);
    let name = |found: &Attribution| {
        value(found.own().unwrap().attributes(), "k8s.container.name").map(str::to_owned)
    };
    assert_eq!(name(&found).as_deref(), Some("log"));
    // It began again: the API speaks of the new container alone, and late exchanges of the old one
    // keep its name.
    let id = format!("containerd://{:064x}", 2);
    object["status"]["containerStatuses"] = json!([{"name": "log", "containerID": id}]);
    bench.pod(object, 105 * S);
    assert_eq!(
        name(&bench.server(7, "192.0.2.1", 106 * S)).as_deref(),
        Some("log")
    );
}

#[test]
fn a_static_pod_is_found_by_its_hash() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    let hash = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    bench.container(7, hash, 1);
    let mut object = pod("etcd-n1", UID, "192.0.2.9", 100);
    object["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": hash});
    bench.pod(object, 101 * S);
    assert_eq!(
        own_pod(&bench.server(7, "192.0.2.1", 102 * S)),
        Some("etcd-n1")
    );
}

#[test]
fn late_exchanges_of_what_is_gone() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    bench
        .directory
        .cgroups_changed(&[Change::Vanished(CgroupId(7))], 200 * S);
    bench.delete(UID, 201 * S);
    bench.directory.expire(500 * S);
    assert_eq!(
        own_pod(&bench.server(7, "192.0.2.1", 199 * S)),
        Some("web-1")
    );
    bench.directory.expire(600 * S);
    let found = bench.server(7, "192.0.2.1", 199 * S);
    assert_eq!(
        (own_pod(&found), found.missing()),
        (None, Some(Missing::Cgroup))
    );
    assert_eq!(bench.directory.view().cgroups, 0);
    assert!(bench.directory.read().by_pod.is_empty());
}

#[test]
fn a_cgroup_that_is_not_there_is_looked_up_once() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    let directory = &bench.directory;
    assert!(bench.server(7, "192.0.2.1", S).is_cgroup_unknown());
    assert!(directory.request(CgroupId(7)));
    let pending = directory.pending();
    assert_eq!(pending, [CgroupId(7)]);
    directory.scanned(&pending);
    let found = bench.server(7, "192.0.2.1", S);
    assert_eq!((found.is_cgroup_unknown(), found.missing()), (false, None));
    assert!(!directory.request(CgroupId(7)));
    // It was a matter of time after all.
    bench.container(7, UID, 1);
    assert_eq!(
        bench.server(7, "192.0.2.1", S).missing(),
        Some(Missing::Pod)
    );
}

#[test]
fn an_address_means_who_held_it() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("old", UID, "10.0.0.5", 100), 101 * S);
    bench.delete(UID, 200 * S);
    let peer = |at: Nanos| {
        let found = bench.server(1, "10.0.0.5", at * S);
        (
            peer_pod(&found, Side::Server).map(str::to_owned),
            found.missing(),
        )
    };
    assert_eq!(peer(150), (Some("old".to_owned()), None));
    // Nobody that is known yet, in a network of pods.
    assert_eq!(peer(250), (None, Some(Missing::Peer)));
    bench.pod(pod("new", OTHER, "10.0.0.5", 240), 251 * S);
    assert_eq!(peer(150), (Some("old".to_owned()), None));
    assert_eq!(peer(250), (Some("new".to_owned()), None));
    let found = bench.find(1, Side::Client, "192.0.2.1", "10.0.0.5", 250 * S);
    assert_eq!(peer_pod(&found, Side::Client), Some("new"));
}

#[test]
fn an_update_of_an_address_may_be_on_its_way() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("a", UID, "10.0.0.5", 100), 101 * S);
    let lookup = Lookup {
        cgroup: CgroupId(1),
        side: Side::Server,
        client: "10.0.0.5".parse().unwrap(),
        server: "10.0.0.1".parse().unwrap(),
        claimed: None,
        tunnel: None,
        at: 200 * S,
    };
    let settles = |now: Nanos| {
        bench
            .directory
            .attribute(&lookup, now)
            .settles_in()
            .as_millis()
    };
    assert_eq!(
        (
            settles(200 * S),
            settles(200 * S + S / 10),
            settles(201 * S)
        ),
        (300, 200, 0)
    );
    // Where no update comes, none is waited for.
    let health = &bench.directory.health;
    health.lost(Watch::NodePods, "reset".to_owned(), 150 * S);
    assert_eq!(settles(200 * S), 0);
}

#[test]
fn a_pod_that_is_about_to_go_may_have_gone() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    let mut object = pod("old", UID, "10.0.0.5", 100);
    bench.pod(object.clone(), 101 * S);
    object["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:03:00Z");
    bench.pod(object.clone(), 150 * S);
    let found = bench.server(1, "10.0.0.5", 149 * S);
    assert_eq!(
        (peer_pod(&found, Side::Server), found.missing()),
        (Some("old"), None)
    );
    let found = bench.server(1, "10.0.0.5", 160 * S);
    assert_eq!(found.missing(), Some(Missing::Peer));
    assert_eq!(peer_pod(&found, Side::Server), Some("old"));
    object["status"]["phase"] = json!("Succeeded");
    bench.pod(object, 170 * S);
    assert_eq!(
        peer_pod(&bench.server(1, "10.0.0.5", 180 * S), Side::Server),
        None
    );
}

#[test]
fn a_listing_replaces_what_was_known() {
    let mut bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("gone", UID, "10.0.0.5", 100), 101 * S);
    bench.pod_of(
        pod("elsewhere", "x", "10.0.1.5", 100),
        Watch::OtherPods,
        101 * S,
    );
    bench.listing = 2;
    bench.pod(pod("new", OTHER, "10.0.0.5", 150), 161 * S);
    bench
        .directory
        .pods_listed(Watch::NodePods, &bench.arrival(162 * S));
    assert_eq!(bench.directory.view().pods, 2);
    let peer = |ip: &str, at: Nanos| {
        peer_pod(&bench.server(1, ip, at * S), Side::Server).map(str::to_owned)
    };
    assert_eq!(peer("10.0.0.5", 149).as_deref(), Some("gone"));
    // Either may have had it until the new one is known to.
    assert_eq!(peer("10.0.0.5", 151), None);
    assert_eq!(peer("10.0.0.5", 161).as_deref(), Some("new"));
    assert_eq!(peer("10.0.1.5", 151).as_deref(), Some("elsewhere"));
    // Another watch's update of a pod that this one has taken over.
    bench
        .directory
        .pod_deleted(OTHER, Watch::OtherPods, Deleted::Ended, 170 * S);
    assert_eq!(peer("10.0.0.5", 180).as_deref(), Some("new"));
}

#[test]
fn a_pod_with_another_address_has_not_had_it_since_its_start() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("first", OTHER, "10.0.0.6", 50), 51 * S);
    bench.delete(OTHER, 300 * S);
    bench.pod(pod("web-1", UID, "10.0.0.5", 100), 101 * S);
    // Its sandbox was made anew.
    bench.pod(pod("web-1", UID, "10.0.0.6", 100), 400 * S);
    let peer = |ip: &str, at: Nanos| {
        peer_pod(&bench.server(1, ip, at * S), Side::Server).map(str::to_owned)
    };
    assert_eq!(peer("10.0.0.6", 200).as_deref(), Some("first"));
    assert_eq!(peer("10.0.0.6", 399).as_deref(), Some("web-1"));
    assert_eq!(peer("10.0.0.5", 399).as_deref(), Some("web-1"));
    assert_eq!(peer("10.0.0.5", 401), None);
}

#[test]
fn services_and_loopback() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    bench.service("cart", "10.96.0.7");
    let found = bench.find(7, Side::Client, "10.0.0.1", "10.96.0.7", 200 * S);
    let [_, destination] = found.ends(Side::Client, "td");
    assert_eq!(value(destination, "k8s.dst.service.name"), Some("cart"));
    assert_eq!(value(destination, "k8s.dst.namespace.name"), Some("shop"));
    // A pod that talks to itself.
    let found = bench.server(7, "127.0.0.1", 200 * S);
    assert_eq!(peer_pod(&found, Side::Server), Some("web-1"));
    assert_eq!(found.caller(), Caller::SamePod);
}

/// A service with the address 10.96.0.7, and its pods by workload, node, and whether it is in the
/// mesh; what a client's metrics call the end that it has dialled.
#[track_caller]
fn check_behind(pods: &[(&str, Watch)], listed: &[Watch], expected: Option<[&str; 3]>) {
    let mut bench = Bench::new(&ScopeSection::default()).synced();
    bench.directory.choice = with_labels();
    bench.container(7, UID, 1);
    bench.pod(pod("client", UID, "10.0.0.1", 100), 101 * S);
    bench.labelled_service("cart", "10.96.0.7", &json!({"app": "cart"}));
    for (n, (workload, watch)) in pods.iter().enumerate() {
        let mut object = pod(
            &format!("p{n}"),
            &format!("u{n}"),
            &format!("10.0.1.{n}"),
            100,
        );
        object["metadata"]["labels"] = json!({"app": "cart", "version": workload});
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": workload, "uid": "o", "controller": true}]);
        bench.pod_of(object, *watch, 101 * S);
    }
    for watch in listed {
        bench.directory.pods_listed(*watch, &bench.arrival(102 * S));
    }
    let found = bench.find(7, Side::Client, "10.0.0.1", "10.96.0.7", 200 * S);
    let subject = found.subject(Side::Client, &bench.directory.cluster_info);
    let named = subject.destination.map(|end| {
        let end = end.value();
        [&*end.workload, &*end.app, &*end.namespace]
    });
    assert_eq!(named, expected);
    assert_eq!(&*subject.service.unwrap().value().name, "cart");
}

#[test]
fn what_is_behind_a_service() {
    let all = [Watch::NodePods, Watch::OtherPods];
    let [here, elsewhere] = all;
    let cart = Some(["cart", "cart", "shop"]);
    check_behind(&[("cart", here), ("cart", elsewhere)], &all, cart);
    check_behind(&[("cart", elsewhere)], &all, cart);
    let two = [("cart-v1", here), ("cart-v2", elsewhere)];
    check_behind(&two, &all, Some(["unknown", "cart", "shop"]));
    check_behind(&[], &all, None);
    // As long as not all pods are known, there may be others.
    check_behind(&[("cart", here)], &[here], None);
    check_behind(&[("cart", here)], &[elsewhere], None);
}

#[test]
fn the_service_that_a_server_is_behind() {
    let mut bench = Bench::new(&ScopeSection::default()).synced();
    bench.directory.choice = with_labels();
    let mut server = pod("web-1", UID, "10.0.0.1", 100);
    server["metadata"]["labels"] = json!({"app": "web"});
    bench.pod(server, 101 * S);
    let named = |bench: &Bench, side| {
        let ends = ["10.0.0.1", "10.9.9.9"].map(|ip| ip.parse().unwrap());
        let found = (bench.directory).connection((ends[0], ends[1]), 200 * S, 200 * S);
        let subject = found.subject(side, &bench.directory.cluster_info);
        subject
            .service
            .map(|service| service.value().host.to_string())
    };
    assert_eq!(named(&bench, Side::Server), None);
    bench.labelled_service("web", "10.96.0.7", &json!({"app": "web"}));
    let web = "web.shop.svc.cluster.local".to_owned();
    assert_eq!(named(&bench, Side::Server), Some(web));
    assert_eq!(named(&bench, Side::Client), None);
    bench.labelled_service("other", "10.96.0.8", &json!({"app": "web"}));
    assert_eq!(named(&bench, Side::Server), None);
}

#[test]
fn a_stranger_is_waited_for_once() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    let missing = |at: Nanos| bench.server(7, "10.0.0.99", at * S).missing();
    let wait_in_vain = |at: Nanos| {
        let found = bench.server(7, "10.0.0.99", at * S);
        bench
            .directory
            .stop_waiting(found.awaited().unwrap(), at * S);
    };
    assert_eq!(missing(200), Some(Missing::Peer));
    wait_in_vain(200);
    assert_eq!(missing(203), None);
    assert_eq!(
        bench.server(7, "10.0.0.99", 203 * S).caller(),
        Caller::Unknown
    );
    assert_eq!(missing(261), Some(Missing::Peer));
    wait_in_vain(261);
    assert_eq!(missing(262), None);
    // An update of the address ends that, whatever it says; and one that a pod had will be a pod's
    // again.
    bench.pod(pod("new", OTHER, "10.0.0.99", 263), 264 * S);
    let named = |at: Nanos| {
        peer_pod(&bench.server(7, "10.0.0.99", at * S), Side::Server).map(str::to_owned)
    };
    assert_eq!(named(264).as_deref(), Some("new"));
    bench.delete(OTHER, 300 * S);
    assert_eq!(missing(303), Some(Missing::Peer));
    wait_in_vain(303);
    assert_eq!(missing(304), Some(Missing::Peer));
}

#[test]
fn a_pod_that_the_api_forgets_may_run_on() {
    for deleted in [Deleted::Ended, Deleted::Running] {
        let bench = Bench::new(&ScopeSection::default()).synced();
        bench.host(1);
        bench.pod(pod("old", UID, "10.0.0.5", 100), 101 * S);
        let watch = Watch::NodePods;
        bench.directory.pod_deleted(UID, watch, deleted, 200 * S);
        // The kubelet accepted it before, and reports its address at 203.
        bench.pod(pod("new", OTHER, "10.0.0.5", 202), 205 * S);
        let peer = |at: Nanos| {
            let found = bench.server(1, "10.0.0.5", at * S);
            let name = peer_pod(&found, Side::Server).map(str::to_owned);
            (name, found.is_uncertain(), found.missing())
        };
        assert_eq!(peer(199).0.as_deref(), Some("old"));
        let meanwhile = match deleted {
            Deleted::Ended => (Some("new".to_owned()), false, None),
            Deleted::Running => (None, true, None),
        };
        assert_eq!(peer(204), meanwhile, "{deleted:?}");
        assert_eq!(peer(205), (Some("new".to_owned()), false, None));
    }
}

#[test]
fn a_running_container_proves_an_address() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("old", UID, "10.0.0.5", 100), 101 * S);
    let watch = Watch::NodePods;
    bench
        .directory
        .pod_deleted(UID, watch, Deleted::Running, 200 * S);
    let mut object = pod("new", OTHER, "10.0.0.5", 202);
    object["status"]["containerStatuses"] =
        json!([{"name": "app", "state": {"running": {"startedAt": "1970-01-01T00:03:24Z"}}}]);
    bench.pod(object, 300 * S);
    let peer =
        |at: Nanos| peer_pod(&bench.server(1, "10.0.0.5", at * S), Side::Server).map(str::to_owned);
    assert_eq!(peer(206), None);
    assert_eq!(peer(207).as_deref(), Some("new"));
}

/// `caller` of a request from `client` to the pod `web-1` (10.0.0.1), or to a process of the host.
#[track_caller]
fn check_caller(bench: &Bench, cgroup: u64, client: &str, expected: Caller) {
    let found = bench.server(cgroup, client, 200 * S);
    assert_eq!(found.caller(), expected, "{client}");
    assert_eq!(found.missing(), None, "{client}");
}

#[test]
fn who_sends_a_request() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.container(8, OTHER, 1);
    bench.host(1);
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["status"]["hostIPs"] = json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]);
    bench.pod(object.clone(), 101 * S);
    bench.pod(pod("front", "f", "10.0.0.2", 100), 101 * S);
    object = pod("agent", OTHER, "192.0.2.1", 100);
    object["spec"]["hostNetwork"] = json!(true);
    bench.pod(object, 101 * S);
    for node in [
        "192.0.2.1",
        "2001:db8::1",
        "169.254.7.127",
        "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
    ] {
        check_caller(&bench, 7, node, Caller::Node);
    }
    check_caller(&bench, 7, "10.0.0.2", Caller::Pod);
    for own in ["10.0.0.1", "127.0.0.1", "::1"] {
        check_caller(&bench, 7, own, Caller::SamePod);
    }
    for stranger in ["192.0.2.2", "169.254.7.128", "203.0.113.9"] {
        check_caller(&bench, 7, stranger, Caller::Unknown);
    }
    // On the host's network loopback is the node's.
    check_caller(&bench, 8, "127.0.0.1", Caller::Node);
    check_caller(&bench, 1, "::1", Caller::Node);
    // At the client's end the caller is the socket's own.
    let client = |cgroup| bench.find(cgroup, Side::Client, "10.0.0.1", "10.0.0.2", 200 * S);
    assert_eq!(client(7).caller(), Caller::Pod);
    assert_eq!(client(1).caller(), Caller::Node);
    // An address of the pods' network that turns out to be the node's.
    let found = bench.server(7, "10.0.0.254", 200 * S);
    assert_eq!(found.missing(), Some(Missing::Peer));
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["status"]["hostIP"] = json!("10.0.0.254");
    bench.pod(object, 201 * S);
    check_caller(&bench, 7, "10.0.0.254", Caller::Node);
}

/// Whether a request to a container of the pod is a declared probe, and whether it is excluded as a
/// proxy's own.
fn judge(bench: &Bench, cgroup: u64, client: &str, port: u16, request: &str) -> (bool, bool) {
    use std::net::SocketAddr;
    let mut exchange = crate::policy::fixture::exchange(
        request,
        "HTTP/1.1 200 X

",
    );
    let peers = Arc::make_mut(&mut exchange.peers);
    peers.client = SocketAddr::new(client.parse().unwrap(), 4711).into();
    peers.server = SocketAddr::new("10.0.0.1".parse().unwrap(), port).into();
    peers.cgroup = CgroupId(cgroup);
    peers.side = Side::Server;
    exchange.request.began = 200 * S;
    let lookup = Lookup::of(&exchange);
    let found = bench.directory.attribute(&lookup, 200 * S);
    let is_internal = found.excluded(&exchange) == Some(Reason::Proxy);
    (found.is_declared_probe(&exchange), is_internal)
}

#[test]
fn a_probe_comes_from_the_node_and_is_declared() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["spec"]["containers"][0]["livenessProbe"] =
        json!({"httpGet": {"path": "/live", "port": 8080}});
    bench.pod(object, 101 * S);
    bench.pod(pod("front", OTHER, "10.0.0.2", 100), 101 * S);
    let check = |client: &str, port: u16, target: &str, expected: bool| {
        let request = format!(
            "GET {target} HTTP/1.1
host: x

"
        );
        let (is_probe, _) = judge(&bench, 7, client, port, &request);
        assert_eq!(is_probe, expected, "{client} {port} {target}");
    };
    check("169.254.7.127", 8080, "/live", true);
    check("169.254.7.127", 8080, "/orders", false);
    check("169.254.7.127", 8081, "/live", false);
    for other in ["10.0.0.2", "203.0.113.9", "127.0.0.1"] {
        check(other, 8080, "/live", false);
    }
}

#[test]
fn a_proxy_talks_to_itself() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.container(8, OTHER, 1);
    let mut object = pod("waypoint", UID, "10.0.0.1", 100);
    object["spec"]["containers"] = json!([{"name": "istio-proxy"}]);
    bench.pod(object, 101 * S);
    bench.pod(pod("web", OTHER, "10.0.0.2", 100), 101 * S);
    let check = |cgroup: u64, client: &str, port: u16, expected: bool| {
        let (_, is_internal) = judge(
            &bench,
            cgroup,
            client,
            port,
            "GET /stats HTTP/1.1

",
        );
        assert_eq!(is_internal, expected, "{cgroup} {client} {port}");
    };
    check(7, "127.0.0.1", 8080, true);
    check(7, "10.0.0.2", 15090, true);
    check(7, "10.0.0.2", 8080, false);
    // ztunnel comes to a waypoint over its loopback, with a PROXY preamble.
    let trusted = |cgroup, client| bench.server(cgroup, client, 200 * S).is_proxy_trusted();
    assert!(trusted(7, "127.0.0.1"));
    assert!(!trusted(7, "10.0.0.2") && !trusted(8, "127.0.0.1"));
    // Anybody else may use these ports and talk to itself.
    check(8, "127.0.0.1", 8080, false);
    check(8, "10.0.0.1", 15090, false);
}

#[test]
fn whose_word_counts() {
    let claims = |trust: TrustSection, labels: Value| {
        let bench = Bench::trusting(&ScopeSection::default(), &trust).synced();
        bench.container(7, UID, 1);
        bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
        bench.pod(pod("client", "c", "10.0.0.77", 100), 101 * S);
        let mut ingress = pod("ingress", OTHER, "10.0.0.5", 100);
        ingress["metadata"]["labels"] = labels;
        bench.pod(ingress, 101 * S);
        let found = bench.server(7, "10.0.0.5", 200 * S);
        // Who connects stays who connects.
        assert_eq!(found.caller(), Caller::Pod);
        let name = peer_pod(&found, Side::Server).map(str::to_owned);
        assert_eq!(found.is_proxy_trusted(), name.as_deref() == Some("client"));
        name
    };
    let own = |text: &str| vec![text.to_owned()];
    let labels = || json!({"app": "ingress"});
    let nobody = TrustSection::default();
    assert_eq!(claims(nobody, labels()).as_deref(), Some("ingress"));
    let by_label = || TrustSection {
        proxies: own("app=ingress"),
        ..TrustSection::default()
    };
    assert_eq!(claims(by_label(), labels()).as_deref(), Some("client"));
    assert_eq!(claims(by_label(), json!({})).as_deref(), Some("ingress"));
    let by_address = TrustSection {
        networks: own("10.0.0.4/31"),
        ..TrustSection::default()
    };
    assert_eq!(claims(by_address, json!({})).as_deref(), Some("client"));
}

#[test]
fn behind_a_sidecar_the_client_is_named_by_configuration_alone() {
    for sidecars in [false, true] {
        let trust = TrustSection {
            sidecars,
            ..TrustSection::default()
        };
        let bench = Bench::trusting(&ScopeSection::default(), &trust).synced();
        bench.container(7, UID, 1);
        bench.container(8, UID, 2);
        let mut object = pod("web-1", UID, "10.0.0.1", 100);
        object["metadata"]["annotations"] = json!({"sidecar.istio.io/status": "{}"});
        object["spec"]["containers"] = json!([{"name": "app"}, {"name": "istio-proxy"}]);
        object["status"]["containerStatuses"] = json!([
            {"name": "app", "containerID": format!("containerd://{:064x}", 1)},
            {"name": "istio-proxy", "containerID": format!("containerd://{:064x}", 2)},
        ]);
        bench.pod(object, 101 * S);
        bench.pod(pod("client", OTHER, "10.0.0.77", 100), 101 * S);
        for source in ["127.0.0.6", "::6", "127.0.0.1"] {
            let found = bench.server(7, source, 200 * S);
            let expected = sidecars.then_some("client");
            assert_eq!(peer_pod(&found, Side::Server), expected, "{source}");
            assert_eq!(found.caller(), Caller::SamePod);
        }
        // A client that does not come through the proxy is itself.
        let found = bench.server(7, "10.0.0.1", 200 * S);
        assert_eq!(peer_pod(&found, Side::Server), Some("web-1"));
        let found = bench.server(7, "127.0.0.6", 200 * S);
        let [_, destination] = found.ends(Side::Server, "td");
        assert_eq!(
            value(destination, "k8s.dst.spiffe.id"),
            Some("spiffe://td/ns/shop/sa/default")
        );
        // The proxy itself is excluded, in the kernel.
        assert_eq!(
            bench.server(8, "10.0.0.77", 200 * S).excluded,
            Some(Reason::Mesh)
        );
        assert_eq!(bench.excluded(), [8]);
    }
}

#[test]
fn names_of_workloads() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.container(8, OTHER, 1);
    bench.host(1);
    let mut object = pod("web-5d4f-x1", UID, "10.0.0.1", 100);
    object["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "b", "controller": true},
    ]);
    object["metadata"]["labels"] = json!({"pod-template-hash": "5d4f"});
    bench.pod(object, 101 * S);
    let check = |cgroup: u64, namespace: &str, name: &str| {
        let found = bench.directory.workload_name(CgroupId(cgroup));
        assert_eq!((&*found.namespace, &*found.name), (namespace, name));
    };
    check(7, "shop", "web");
    check(8, "", "unknown");
    check(1, "", "host");
    check(99, "", "unknown");
}

#[test]
fn the_kernel_follows_annotations() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.container(8, UID, 1);
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    bench.pod(object.clone(), 101 * S);
    assert!(bench.excluded().is_empty());
    bench.namespace("shop", Some("false"));
    assert_eq!(bench.excluded(), [7, 8]);
    assert_eq!(
        bench.server(7, "192.0.2.1", 102 * S).excluded,
        Some(Reason::OptedOut)
    );
    object["metadata"]["annotations"] = json!({"meshtap.dev/capture": "true"});
    bench.pod(object, 103 * S);
    assert!(bench.excluded().is_empty());
    bench.namespace("shop", None);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 104 * S);
    assert!(bench.excluded().is_empty());
    // What is gone needs no room in the kernel's table.
    bench.namespace("shop", Some("false"));
    assert_eq!(bench.excluded(), [7, 8]);
    let gone = [7, 8].map(|id| Change::Vanished(CgroupId(id)));
    bench.directory.cgroups_changed(&gone, 105 * S);
    assert!(bench.excluded().is_empty());
}

#[test]
fn a_pod_waits_for_what_its_namespace_says() {
    let bench = Bench::new(&ScopeSection::default());
    bench.directory.health.synced(Watch::NodePods);
    bench.container(7, UID, 1);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    assert_eq!(
        bench.server(7, "192.0.2.1", 102 * S).missing(),
        Some(Missing::Pod)
    );
    bench.namespace("shop", Some("false"));
    bench.directory.health.synced(Watch::Namespaces);
    let found = bench.server(7, "192.0.2.1", 103 * S);
    assert_eq!(
        (found.excluded, found.missing()),
        (Some(Reason::OptedOut), None)
    );
}

#[test]
fn without_an_api_nobody_waits() {
    let bench = Bench::new(&ScopeSection::default());
    bench.container(7, UID, 1);
    let ask = |at: Nanos| bench.server(7, "10.0.0.9", at);
    // It may respond yet.
    assert_eq!(ask(S).missing(), Some(Missing::Pod));
    let health = &bench.directory.health;
    health.lost(Watch::NodePods, "connection refused".to_owned(), S);
    let found = ask(2 * S);
    assert_eq!((found.missing(), found.excluded), (None, None));
    let own = found.own().unwrap().attributes();
    assert_eq!(value(own, "container.id"), Some(&*format!("{:064x}", 1)));
    assert_eq!(value(own, "k8s.pod.uid"), Some(UID));
    assert_eq!(value(own, "k8s.node.name"), Some("n1"));
    // And when it is back.
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    health.synced(Watch::NodePods);
    assert_eq!(own_pod(&ask(102 * S)), Some("web-1"));
}

#[test]
fn an_address_is_not_trusted_for_ever_without_changes() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.container(7, UID, 1);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    bench.pod(pod("client", OTHER, "10.0.0.77", 100), 101 * S);
    let health = &bench.directory.health;
    health.lost(Watch::NodePods, "reset".to_owned(), 200 * S);
    let ask = |at: Nanos| {
        let found = bench.server(7, "10.0.0.77", at * S);
        (
            own_pod(&found).is_some(),
            peer_pod(&found, Side::Server).is_some(),
        )
    };
    assert_eq!(ask(260), (true, true));
    assert_eq!(ask(501), (true, false));
    assert!(health.heard(Watch::NodePods));
    assert_eq!(ask(502), (true, true));
}

#[test]
fn rules_exclude_what_they_cannot_judge() {
    let section = ScopeSection {
        opt_in: true,
        host: false,
        ..ScopeSection::default()
    };
    let bench = Bench::new(&section).synced();
    bench.container(7, UID, 1);
    bench.host(8);
    assert_eq!(bench.excluded(), [8]);
    // Waited for first.
    let found = bench.server(7, "192.0.2.1", S);
    assert_eq!(
        (found.excluded, found.missing()),
        (Some(Reason::Unidentified), Some(Missing::Pod))
    );
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["metadata"]["annotations"] = json!({"meshtap.dev/capture": "true"});
    bench.pod(object, 101 * S);
    let found = bench.server(7, "192.0.2.1", 102 * S);
    assert_eq!((found.excluded, found.missing()), (None, None));
    assert_eq!(bench.excluded(), [8]);
}

/// The path of container `number` of a pod, as systemd has it.
fn path(pod: &str, number: u8) -> String {
    let pod = pod.replace('-', "_");
    format!("/../kubepods.slice/kubepods-pod{pod}.slice/cri-containerd-{number:064x}.scope/init")
}

#[test]
fn a_process_is_looked_into_when_its_pod_allows_it() {
    let bench = Bench::new(&ScopeSection::default());
    let admits = |path: &str| bench.directory.admits(path, S);
    assert_eq!(admits(&path(UID, 1)), None, "its pod is not known");
    assert_eq!(admits("/system.slice/nginx.service"), Some(true));
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    bench.pod(object.clone(), 101 * S);
    assert_eq!(admits(&path(UID, 1)), None, "its namespace may opt it out");
    bench.namespace("shop", Some("false"));
    bench.directory.health.synced(Watch::Namespaces);
    assert_eq!(admits(&path(UID, 1)), Some(false));
    object["metadata"]["annotations"] = json!({"meshtap.dev/capture": "true"});
    bench.pod(object, 102 * S);
    assert_eq!(admits(&path(UID, 1)), Some(true));
    assert_eq!(admits(&path(OTHER, 1)), None);
    // Without an API nobody waits.
    let health = &bench.directory.health;
    health.off(Watch::NodePods, "off");
    assert_eq!(admits(&path(OTHER, 1)), Some(true));
}

#[test]
fn rules_decide_which_processes_are_looked_into() {
    let section = ScopeSection {
        opt_in: true,
        host: false,
        ..ScopeSection::default()
    };
    let bench = Bench::new(&section).synced();
    let admits = |path: &str| bench.directory.admits(path, S);
    assert_eq!(admits("/system.slice/nginx.service"), Some(false));
    assert_eq!(admits(""), Some(false));
    assert_eq!(admits(&path(UID, 1)), None);
    bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
    assert_eq!(admits(&path(UID, 1)), Some(false));
    bench.directory.health.off(Watch::NodePods, "off");
    assert_eq!(admits(&path(OTHER, 1)), Some(false));
}
