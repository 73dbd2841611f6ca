use std::sync::Mutex;

use serde_json::{Value, json};

use super::super::cgroup::{Change, Listener as _, Place};
use super::*;
use crate::clock::WallClock;
use crate::config::ScopeSection;
use crate::flow::Side;
use crate::span::ResourceValue;
use crate::workload::scope::Scope;
use crate::workload::watch::objects;

const S: Nanos = 1_000_000_000;
const UID: &str = "11111111-2222-4333-8444-555555555555";
const OTHER: &str = "99999999-2222-4333-8444-555555555555";

/// What the kernel would leave alone.
#[derive(Clone, Default)]
struct Kernel(Arc<Mutex<std::collections::BTreeSet<u64>>>);

impl Exclusions for Kernel {
    fn set(&self, cgroup: CgroupId, excluded: bool) -> io::Result<()> {
        let mut set = self.0.lock().unwrap();
        let changed = if excluded {
            set.insert(cgroup.0)
        } else {
            set.remove(&cgroup.0)
        };
        assert!(changed, "told twice: {cgroup:?}");
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
        let kernel = Kernel::default();
        let choice = Choice::new(&[], &[], Scope::new(section).unwrap());
        let surroundings = Surroundings {
            node: Some("n1".to_owned()),
            trust_domain: "td".to_owned(),
            ..Surroundings::default()
        };
        Self {
            directory: Directory::new(choice, surroundings, Some(Box::new(kernel.clone()))),
            kernel,
            listing: 1,
        }
    }

    /// As when all watches have told everything.
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
        let object = json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": {"clusterIP": ip}});
        let object: objects::Service = serde_json::from_value(object).unwrap();
        self.directory.service_applied(&object, &self.arrival(0));
    }

    fn excluded(&self) -> Vec<u64> {
        self.kernel.0.lock().unwrap().iter().copied().collect()
    }

    fn server(&self, cgroup: u64, client: &str, at: Nanos) -> Resolution {
        self.ask(cgroup, Side::Server, client, "10.0.0.1", at)
    }

    fn ask(&self, cgroup: u64, side: Side, client: &str, server: &str, at: Nanos) -> Resolution {
        let question = Question {
            cgroup: CgroupId(cgroup),
            side,
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            forwarded: Some("10.0.0.77".parse().unwrap()),
            at,
        };
        self.directory.resolve(&question, at)
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

fn value<'a>(attributes: &'a [(String, ResourceValue)], key: &str) -> Option<&'a str> {
    let (_, value) = attributes.iter().find(|(k, _)| k == key)?;
    match value {
        ResourceValue::Str(text) => Some(text),
        ResourceValue::Int(_) => None,
    }
}

fn own_pod(found: &Resolution) -> Option<&str> {
    value(found.own()?.attributes(), "k8s.pod.name")
}

fn peer_pod(found: &Resolution, side: Side) -> Option<&str> {
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
        let tell = || bench.pod(pod("web-1", UID, "10.0.0.1", 100), 101 * S);
        if pod_first {
            tell();
        }
        bench.container(7, UID, 1);
        if !pod_first {
            let found = bench.server(7, "192.0.2.1", 102 * S);
            assert_eq!(found.missing(), Some(Missing::Pod));
            assert_eq!(own_pod(&found), None);
            tell();
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
    let name = |found: &Resolution| {
        value(found.own().unwrap().attributes(), "k8s.container.name").map(str::to_owned)
    };
    assert_eq!(name(&found).as_deref(), Some("log"));
    // It began again: the API speaks of the new container alone, and late exchanges of the old one keep its name.
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
    bench.directory.pod_deleted(UID, Watch::NodePods, 201 * S);
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
fn a_cgroup_that_is_not_there_is_sought_once() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    let directory = &bench.directory;
    assert!(bench.server(7, "192.0.2.1", S).cgroup_unknown());
    assert!(directory.seek(CgroupId(7)));
    let sought = directory.sought();
    assert_eq!(sought, [CgroupId(7)]);
    directory.searched(&sought);
    let found = bench.server(7, "192.0.2.1", S);
    assert_eq!((found.cgroup_unknown(), found.missing()), (false, None));
    assert!(!directory.seek(CgroupId(7)));
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
    bench.directory.pod_deleted(UID, Watch::NodePods, 200 * S);
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
    let found = bench.ask(1, Side::Client, "192.0.2.1", "10.0.0.5", 250 * S);
    assert_eq!(peer_pod(&found, Side::Client), Some("new"));
}

#[test]
fn news_of_an_address_may_be_on_its_way() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("a", UID, "10.0.0.5", 100), 101 * S);
    let question = Question {
        cgroup: CgroupId(1),
        side: Side::Server,
        client: "10.0.0.5".parse().unwrap(),
        server: "10.0.0.1".parse().unwrap(),
        forwarded: None,
        at: 200 * S,
    };
    let settles = |now: Nanos| {
        bench
            .directory
            .resolve(&question, now)
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
    // Where no news comes, none is waited for.
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
    assert_eq!(peer("10.0.0.5", 151).as_deref(), Some("new"));
    assert_eq!(peer("10.0.1.5", 151).as_deref(), Some("elsewhere"));
    // Another watch's news of a pod that this one has taken over.
    bench
        .directory
        .pod_deleted(OTHER, Watch::OtherPods, 170 * S);
    assert_eq!(peer("10.0.0.5", 180).as_deref(), Some("new"));
}

#[test]
fn a_pod_with_another_address_has_not_had_it_since_its_start() {
    let bench = Bench::new(&ScopeSection::default()).synced();
    bench.host(1);
    bench.pod(pod("first", OTHER, "10.0.0.6", 50), 51 * S);
    bench.directory.pod_deleted(OTHER, Watch::NodePods, 300 * S);
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
    let found = bench.ask(7, Side::Client, "10.0.0.1", "10.96.0.7", 200 * S);
    let [_, destination] = found.ends(Side::Client, "td");
    assert_eq!(value(destination, "k8s.dst.service.name"), Some("cart"));
    assert_eq!(value(destination, "k8s.dst.namespace.name"), Some("shop"));
    // A pod that talks to itself.
    let found = bench.server(7, "127.0.0.1", 200 * S);
    assert_eq!(peer_pod(&found, Side::Server), Some("web-1"));
    assert!(found.client_is_pod());
    // A stranger of the pods' network is waited for once.
    let found = bench.server(7, "10.0.0.99", 200 * S);
    assert_eq!(found.missing(), Some(Missing::Peer));
    bench.directory.give_up(found.awaited().unwrap(), 202 * S);
    assert_eq!(bench.server(7, "10.0.0.99", 203 * S).missing(), None);
    assert!(!bench.server(7, "10.0.0.99", 203 * S).client_is_pod());
}

#[test]
fn a_sidecar_application_has_the_client_that_its_proxy_tells() {
    let bench = Bench::new(&ScopeSection::default()).synced();
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
        assert_eq!(peer_pod(&found, Side::Server), Some("client"), "{source}");
    }
    // A client that does not come through the proxy is itself.
    assert_eq!(
        peer_pod(&bench.server(7, "10.0.0.1", 200 * S), Side::Server),
        Some("web-1")
    );
    let [_, destination] = bench
        .server(7, "127.0.0.6", 200 * S)
        .ends(Side::Server, "td")
        .map(<[_]>::to_vec);
    assert_eq!(
        value(&destination, "k8s.dst.spiffe.id"),
        Some("spiffe://td/ns/shop/sa/default")
    );
    // The proxy itself is left alone, in the kernel.
    assert_eq!(
        bench.server(8, "10.0.0.77", 200 * S).left_out(),
        Some(Reason::Mesh)
    );
    assert_eq!(bench.excluded(), [8]);
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
        bench.server(7, "192.0.2.1", 102 * S).left_out(),
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
        (found.left_out(), found.missing()),
        (Some(Reason::OptedOut), None)
    );
}

#[test]
fn without_an_api_nobody_waits() {
    let bench = Bench::new(&ScopeSection::default());
    bench.container(7, UID, 1);
    let ask = |at: Nanos| bench.server(7, "10.0.0.9", at);
    // It may answer yet.
    assert_eq!(ask(S).missing(), Some(Missing::Pod));
    let health = &bench.directory.health;
    health.lost(Watch::NodePods, "connection refused".to_owned(), S);
    let found = ask(2 * S);
    assert_eq!((found.missing(), found.left_out()), (None, None));
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
fn an_address_is_not_trusted_for_ever_without_news() {
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
fn rules_leave_out_what_they_cannot_judge() {
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
        (found.left_out(), found.missing()),
        (Some(Reason::Unidentified), Some(Missing::Pod))
    );
    let mut object = pod("web-1", UID, "10.0.0.1", 100);
    object["metadata"]["annotations"] = json!({"meshtap.dev/capture": "true"});
    bench.pod(object, 101 * S);
    let found = bench.server(7, "192.0.2.1", 102 * S);
    assert_eq!((found.left_out(), found.missing()), (None, None));
    assert_eq!(bench.excluded(), [8]);
}

#[test]
fn the_client_that_a_proxy_tells_is_read_from_the_exchange() {
    let check = |client: &str, lines: &str, expected: Option<&str>| {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
        let mut exchange = crate::policy::fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        let address = std::net::SocketAddr::new(client.parse().unwrap(), 1);
        Arc::make_mut(&mut exchange.peers).client = address.into();
        let expected = expected.map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(
            Question::of(&exchange).forwarded,
            expected,
            "{client} {lines}"
        );
    };
    let line = "x-forwarded-for: 10.0.0.77 , 10.0.0.8\r\n";
    check("127.0.0.6", line, Some("10.0.0.77"));
    check(
        "::6",
        "X-Forwarded-For: ::ffff:10.0.0.77\r\n",
        Some("10.0.0.77"),
    );
    check("127.0.0.6", "x-forwarded-for: unknown\r\n", None);
    check("127.0.0.6", "", None);
    // Anybody may say so.
    check("10.0.0.9", line, None);
}
