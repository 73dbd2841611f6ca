//! The right pod on every span, whatever becomes of the API server and of addresses.

use std::process::Command;
use std::time::Instant;

use meshtap_tests::{ApiServer, Bench, Pod, curl, figure, live};
use serde_json::{Value, json};

use crate::agent::{Agent, Wire, container, resident, uid, until};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const ACCESS: &str = include_str!("../../deploy/meshtap.yaml");

/// An API server with the namespace `shop`, the agent's access rules, and two pods on a wire that
/// it knows nothing of yet.
pub(crate) fn bench(body: impl FnOnce(&Bench, Cluster<'_>) + Send) {
    if !ApiServer::available() {
        return;
    }
    live(|bench| {
        let server = ApiServer::start(bench);
        for name in ["shop", "meshtap"] {
            let object = json!({"metadata": {"name": name}});
            server.expect("POST", "/api/v1/namespaces", &object);
        }
        body(bench, Cluster { server });
    });
}

/// An API server that says what pods there are.
pub(crate) struct Cluster<'a> {
    pub(crate) server: ApiServer<'a>,
}

impl Cluster<'_> {
    /// Creates the service account of `deploy/`; the kubeconfig of one who has its token.
    pub(crate) fn service_account(&self) -> String {
        let object = object("ServiceAccount");
        let path = "/api/v1/namespaces/meshtap/serviceaccounts";
        self.server.expect("POST", path, &object);
        let token = self.server.token("meshtap", "meshtap");
        self.server.kubeconfig(&token).display().to_string()
    }

    /// Gives it the rights of `deploy/`.
    pub(crate) fn allow(&self) {
        let path = "/apis/rbac.authorization.k8s.io/v1/";
        for (kind, plural) in [
            ("ClusterRole", "clusterroles"),
            ("ClusterRoleBinding", "clusterrolebindings"),
        ] {
            self.server
                .expect("POST", &format!("{path}{plural}"), &object(kind));
        }
    }

    /// A pod of `shop` on this node, with its address. `place` gives it its id: the API server
    /// takes none from a client, so its cgroup names it as a static pod's does.
    pub(crate) fn pod(&self, name: &str, place: Option<&Pod>, address: &str, more: Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}, "annotations": {}},
            "spec": {"nodeName": "node-a", "serviceAccountName": "web", "containers": [{"name": "app", "image": "none"}]},
        });
        merge(&mut pod, more);
        if let Some(place) = place {
            pod["metadata"]["annotations"]["kubernetes.io/config.hash"] = json!(uid(place));
        }
        self.server.expect("POST", PODS, &pod);
        self.address(name, address)
    }

    /// Ends the server as a crash does. In good order it would first wait for its watchers, half a
    /// minute or more.
    fn kill(&mut self) {
        let (pid, _) = self.server.pids();
        signal(pid.expect("a running server"), "-KILL");
        self.server.stop();
    }

    fn address(&self, name: &str, address: &str) -> Value {
        let status =
            json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
        self.server
            .expect("PATCH", &format!("{PODS}/{name}/status"), &status)
    }

    /// First it is asked to end, then it has ended, as with a kubelet.
    fn delete(&self, name: &str) {
        let options = json!({});
        self.server
            .expect("DELETE", &format!("{PODS}/{name}"), &options);
        let options = json!({"gracePeriodSeconds": 0});
        self.server
            .expect("DELETE", &format!("{PODS}/{name}"), &options);
    }
}

fn merge(object: &mut Value, more: Value) {
    match (object, more) {
        (Value::Object(object), Value::Object(more)) => {
            for (key, value) in more {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, more) => *object = more,
    }
}

/// An object of `deploy/`.
fn object(kind: &str) -> Value {
    let documents = ACCESS.split("\n---\n").map(|document| {
        let value: Value = serde_saphyr::from_str(document).expect("YAML");
        value
    });
    let mut found = documents.filter(|value| value["kind"] == kind);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind} in deploy/"))
}

#[track_caller]
fn check(attributes: &Value, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(attributes[key], *value, "{key} in {attributes:#}");
    }
}

#[test]
fn both_ends_are_named() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        let deployment = json!({"metadata": {
            "labels": {"pod-template-hash": "5d4f8c7b9"},
            "annotations": {"ambient.istio.io/redirection": "enabled", "team": "blue"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9",
                "uid": "0a0a0a0a-0000-4000-8000-000000000001", "controller": true,
            }],
        }});
        let web = cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            deployment,
        );
        cluster.pod(
            "front",
            Some(&wire.client.cgroup),
            wire.client.address,
            json!({}),
        );
        let settings = format!(
            "kubeconfig: '{kubeconfig}', cluster_name: prod, trust_domain: td, labels: [app], annotations: [team]"
        );
        let agent = Agent::start(bench, &settings, "capture: {side: both}\n");
        agent.await_watch("node_pods", "synced");
        wire.ask("/named");
        let spans = until("both ends are emitted", || {
            let spans = agent.spans();
            (spans.len() >= 2).then_some(spans)
        });
        assert_eq!(spans.len(), 2, "one from each end");
        let end = |side: &str| {
            let found = spans
                .iter()
                .find(|span| span["attributes"]["meshtap.side"] == side);
            &found.expect("an end")["attributes"]
        };
        let uid = web["metadata"]["uid"].as_str().expect("an id");
        check(
            end("server"),
            &[
                ("k8s.cluster.name", "prod"),
                ("k8s.node.name", "node-a"),
                ("k8s.namespace.name", "shop"),
                ("k8s.pod.name", "web"),
                ("k8s.pod.uid", uid),
                ("k8s.deployment.name", "web"),
                ("k8s.replicaset.name", "web-5d4f8c7b9"),
                ("k8s.container.name", "app"),
                ("k8s.pod.label.app", "web"),
                ("k8s.pod.annotation.team", "blue"),
                ("container.id", &container(&wire.server.cgroup)),
                ("k8s.src.pod.name", "front"),
                ("k8s.src.namespace.name", "shop"),
                ("k8s.dst.spiffe.id", "spiffe://td/ns/shop/sa/web"),
            ],
        );
        check(
            end("client"),
            &[
                ("k8s.pod.name", "front"),
                ("container.id", &container(&wire.client.cgroup)),
                ("k8s.dst.pod.name", "web"),
                ("k8s.dst.deployment.name", "web"),
                ("k8s.dst.spiffe.id", "spiffe://td/ns/shop/sa/web"),
            ],
        );
        agent.finish();
    });
}

#[test]
fn in_the_conventions_a_pod_is_a_resource() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        cluster.pod("front", None, wire.client.address, json!({}));
        let settings = format!("kubeconfig: '{kubeconfig}'");
        let agent = Agent::start(bench, &settings, "span: {profile: semconv}\n");
        agent.await_watch("node_pods", "synced");
        wire.ask("/resource");
        let spans = until("it is emitted", || {
            let spans = agent.spans();
            (!spans.is_empty()).then_some(spans)
        });
        let id = container(&wire.server.cgroup);
        check(
            &spans[0]["resource"],
            &[
                ("service.name", "web"),
                ("service.namespace", "shop"),
                ("k8s.pod.name", "web"),
                ("container.id", &id),
            ],
        );
        let attributes = &spans[0]["attributes"];
        check(
            attributes,
            &[("k8s.src.pod.name", "front"), ("url.path", "/resource")],
        );
        assert!(attributes["k8s.pod.name"].is_null(), "{attributes:#}");
        agent.finish();
    });
}

#[test]
fn an_address_that_is_used_again_means_who_has_it() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        agent.await_watch("node_pods", "synced");
        for round in 0..10 {
            let name = format!("client-{round}");
            cluster.pod(&name, None, wire.client.address, json!({}));
            // Nobody waits for the agent to have heard of it.
            let target = format!("/round-{round}");
            wire.ask(&target);
            check(
                &agent.emitted(&target),
                &[("k8s.pod.name", "web"), ("k8s.src.pod.name", &name)],
            );
            cluster.delete(&name);
        }
        agent.finish();
    });
}

#[test]
fn the_api_server_may_go_and_come_back() {
    bench(|bench, mut cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        cluster.pod("front", None, wire.client.address, json!({}));
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        agent.await_watch("node_pods", "synced");
        let both = [("k8s.pod.name", "web"), ("k8s.src.pod.name", "front")];
        wire.ask("/before");
        check(&agent.emitted("/before"), &both);
        cluster.kill();
        let lost = agent.await_watch("node_pods", "lost");
        assert!(
            lost["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{lost}"
        );
        assert_eq!(
            agent.metric("meshtap_kubernetes_synced{watch=\"node_pods\"}"),
            0.0
        );
        wire.ask("/meanwhile");
        check(&agent.emitted("/meanwhile"), &both);
        cluster.server.restart();
        agent.await_watch("node_pods", "synced");
        cluster.delete("front");
        cluster.pod("other", None, wire.client.address, json!({}));
        wire.ask("/after");
        check(
            &agent.emitted("/after"),
            &[("k8s.pod.name", "web"), ("k8s.src.pod.name", "other")],
        );
        let ledger = agent.finish();
        assert_eq!(ledger["kept"], 3, "{ledger}");
    });
}

#[test]
fn one_that_is_too_far_behind_lists_again() {
    bench(|bench, mut cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        cluster.pod("old", None, wire.client.address, json!({}));
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        agent.await_watch("node_pods", "synced");
        let listings = "meshtap_kubernetes_listings_total{watch=\"node_pods\"}";
        assert_eq!(agent.metric(listings), 1.0);
        // It hears of nothing while the world moves on and the past is forgotten. It is not
        // connected then: the server would wait for it.
        cluster.kill();
        agent.await_watch("node_pods", "lost");
        signal(agent.pid(), "-STOP");
        cluster.server.restart();
        cluster.delete("old");
        cluster.pod("new", None, wire.client.address, json!({}));
        cluster.server.compact();
        cluster.server.restart();
        signal(agent.pid(), "-CONT");
        until("it has listed again", || {
            (agent.metric(listings) >= 2.0).then_some(())
        });
        agent.await_watch("node_pods", "synced");
        wire.ask("/after");
        check(
            &agent.emitted("/after"),
            &[("k8s.pod.name", "web"), ("k8s.src.pod.name", "new")],
        );
        agent.finish();
    });
}

fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.expect("kill").success());
}

#[test]
fn without_an_api_server_containers_are_named_and_pods_later() {
    bench(|bench, mut cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        cluster.kill();
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        agent.await_watch("node_pods", "lost");
        wire.ask("/alone");
        let alone = agent.emitted("/alone");
        check(
            &alone,
            &[
                ("container.id", &container(&wire.server.cgroup)),
                ("k8s.node.name", "node-a"),
            ],
        );
        assert!(alone["k8s.pod.name"].is_null(), "{alone}");
        cluster.server.restart();
        agent.await_watch("node_pods", "synced");
        wire.ask("/together");
        check(&agent.emitted("/together"), &[("k8s.pod.name", "web")]);
        agent.finish();
    });
}

#[test]
fn one_that_is_refused_says_so_and_captures() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        for watch in ["node_pods", "namespaces"] {
            let lost = agent.await_watch(watch, "lost");
            let reason = lost["reason"].as_str().expect("a reason");
            assert!(
                reason.contains("forbidden") && reason.contains("403"),
                "{reason}"
            );
        }
        wire.ask("/refused");
        check(
            &agent.emitted("/refused"),
            &[("container.id", &container(&wire.server.cgroup))],
        );
        assert!(agent.metric("meshtap_kubernetes_errors_total{watch=\"node_pods\"}") >= 1.0);
        // Once somebody has given it the rights, it needs no restart.
        cluster.allow();
        agent.await_watch("node_pods", "synced");
        wire.ask("/allowed");
        check(&agent.emitted("/allowed"), &[("k8s.pod.name", "web")]);
        agent.finish();
    });
}

#[test]
fn annotations_reach_the_kernel() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        let agent = Agent::start(bench, &format!("kubeconfig: '{kubeconfig}'"), "");
        agent.await_watch("node_pods", "synced");
        agent.await_watch("namespaces", "synced");
        let excluded = || agent.metric("meshtap_excluded_cgroups");
        let before = excluded();
        wire.ask("/in");
        agent.emitted("/in");
        let segments = agent.metric("meshtap_segments_total");
        let namespace = |value: Value| {
            let patch = json!({"metadata": {"annotations": {"meshtap.dev/capture": value}}});
            cluster
                .server
                .expect("PATCH", "/api/v1/namespaces/shop", &patch);
        };
        namespace(json!("false"));
        until("the kernel knows", || (excluded() > before).then_some(()));
        wire.ask("/out");
        // Another pod of the same node, on the same path: what comes after it is emitted shows that
        // nothing came before.
        namespace(Value::Null);
        until("the kernel knows", || (excluded() == before).then_some(()));
        assert_eq!(
            agent.metric("meshtap_segments_total"),
            segments,
            "copied all the same"
        );
        wire.ask("/in-again");
        agent.emitted("/in-again");
        let ledger = agent.finish();
        assert_eq!(ledger["started"], 2, "{ledger}");
    });
}

#[test]
fn probes_are_skipped_unless_a_pod_pretends() {
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        let agent = Agent::start(
            bench,
            &format!("kubeconfig: '{kubeconfig}', enrich_wait: 100ms"),
            "",
        );
        agent.await_watch("node_pods", "synced");
        // A stranger that calls itself so, then the same from an address of the node.
        let name = "user-agent: kube-probe/1.34\r\n";
        wire.ask_with("/stranger", name);
        agent.emitted("/stranger");
        let status = json!({"status": {"hostIP": wire.client.address}});
        let web = format!("{PODS}/web/status");
        cluster.server.expect("PATCH", &web, &status);
        until("the node's address is known", || {
            wire.ask_with("/probe", name);
            let skipped = agent.metric("meshtap_exchanges_filtered_total{rule=\"probe\"}");
            (skipped >= 1.0).then_some(())
        });
        cluster
            .server
            .expect("PATCH", &web, &json!({"status": {"hostIP": "192.0.2.1"}}));
        cluster.pod("liar", None, wire.client.address, json!({}));
        until("the pod is known", || {
            (agent.metric("meshtap_pods") == 2.0).then_some(())
        });
        wire.ask_with("/lie", name);
        check(&agent.emitted("/lie"), &[("k8s.src.pod.name", "liar")]);
        agent.finish();
    });
}

#[test]
fn a_large_cluster() {
    const NODES: usize = 50;
    const PER_NODE: usize = 100;
    bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let kubeconfig = cluster.service_account();
        cluster.allow();
        fill(bench, &cluster.server, NODES, PER_NODE);
        cluster.pod(
            "web",
            Some(&wire.server.cgroup),
            wire.server.address,
            json!({}),
        );
        for (peers, watch, pods) in [
            ("node", "node_pods", PER_NODE + 1),
            ("cluster", "other_pods", NODES * PER_NODE + 1),
        ] {
            let began = Instant::now();
            let settings = format!("kubeconfig: '{kubeconfig}', peers: {peers}, spread: 0s");
            let agent = Agent::start(bench, &settings, "");
            agent.await_watch("node_pods", "synced");
            agent.await_watch(watch, "synced");
            let took = began.elapsed();
            assert_eq!(agent.metric("meshtap_pods"), pods as f64);
            figure(&format!(
                "peers: {peers}: {pods} pods known after {took:.2?}, {:.1} MiB resident",
                resident(agent.pid())
            ));
            agent.finish();
        }
    });
}

/// Fills nodes with pods of a usual size, with addresses.
fn fill(bench: &Bench, server: &ApiServer<'_>, nodes: usize, per_node: usize) {
    let variables: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": "a value of some length"}))
        .collect();
    let mut objects = Vec::new();
    let mut config = String::new();
    for node in 0..nodes {
        // The first is this one.
        let name = if node == 0 {
            "node-a".to_owned()
        } else {
            format!("node-{node}")
        };
        for number in 0..per_node {
            let pod = format!("pod-{node}-{number}");
            objects.push(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": pod, "labels": {"app": "filler", "pod-template-hash": "5d4f8c7b9", "version": "v1"},
                    "annotations": {"prometheus.io/scrape": "true", "checksum/config": "0123456789abcdef0123456789abcdef"},
                },
                "spec": {"nodeName": name, "containers": [{"name": "app", "image": "registry.example/filler:1", "env": variables}]},
            }));
            let ip = format!("10.{}.{node}.{number}", 100 + node / 250);
            let status = json!({"status": {
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": "2026-11-21T10:00:00Z",
                "containerStatuses": [{"name": "app", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": format!("containerd://{:064x}", node * per_node + number)}],
            }});
            let body = status
                .to_string()
                .replace('\\', "\\\\")
                .replace('"', "\\\"");
            config.push_str(&format!(
                "next\nurl = \"{}{PODS}/{pod}/status\"\nrequest = PATCH\ncacert = \"{}\"\nfail\noutput = /dev/null\n\
                 header = \"Authorization: Bearer {}\"\nheader = \"Content-Type: application/merge-patch+json\"\ndata-binary = \"{body}\"\n",
                server.url(),
                server.authority().display(),
                server.admin(),
            ));
        }
    }
    // A bounded number of requests to one run of curl.
    for objects in objects.chunks(500) {
        server.create(PODS, objects);
    }
    let file = bench.scratch.write("statuses.curl", config);
    let _nothing = curl(&["--fail-early", "--config", file.to_str().expect("text")]);
}
