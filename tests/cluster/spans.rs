//! Spans arrive: each exchange once from each end, with the right pod, whatever becomes of the
//! pods.

use std::collections::BTreeSet;

use meshtap_tests::until;
use serde_json::Value;

use crate::real::Span;
use crate::shop::{Shop, address_of};

/// Targets that are asked for once in the life of a cluster.
fn targets(test: &str, count: usize) -> Vec<String> {
    let run = std::process::id();
    (0..count)
        .map(|n| format!("/hostname?{test}-{run}-{n}"))
        .collect()
}

#[track_caller]
fn check(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(span.text(key), *value, "{key} in {:#}", span.span);
    }
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a name")
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().expect("a uid")
}

/// The pod with this name.
fn named<'a>(pods: &'a [Value], wanted: &str) -> &'a Value {
    let found = pods.iter().find(|pod| name(pod) == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is no pod of these"))
}

/// Every response is the name of the pod that gave it.
#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_server_says_each_exchange_once() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let targets = targets("server", 30);
    shop.ask(&shop.address("shop", "web"), 80, &targets);
    let (webs, fronts) = (shop.pods("shop", "app=web"), shop.pods("shop", "app=front"));
    let mut emitted = BTreeSet::new();
    for span in shop.emitted(&targets, 1) {
        let body = span.text("http.response.body");
        let expected = [
            ("k8s.pod.name", body.as_str()),
            ("k8s.pod.uid", uid(named(&webs, &body))),
            ("k8s.namespace.name", "shop"),
            ("k8s.deployment.name", "web"),
            ("k8s.container.name", "server"),
            ("k8s.node.name", "node-a"),
            ("k8s.src.pod.name", name(&fronts[0])),
            ("k8s.src.deployment.name", "front"),
            ("net.sock.peer.addr", &address_of(&fronts[0])),
        ];
        check(&span, &expected);
        emitted.insert(body);
    }
    assert_eq!(
        emitted.len(),
        webs.len(),
        "the service sends requests to both"
    );
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_client_says_each_exchange_once() {
    let Some(shop) = Shop::open(&[
        "capture: {side: client}",
        "kubernetes: {peers: cluster, spread: 1ms}",
    ]) else {
        return;
    };
    let front = shop.pods("shop", "app=front").remove(0);
    let own = [
        ("k8s.pod.name", name(&front)),
        ("k8s.pod.uid", uid(&front)),
        ("k8s.deployment.name", "front"),
        ("k8s.container.name", "client"),
    ];
    let by_service = targets("client", 30);
    let web = shop.address("shop", "web");
    shop.ask(&web, 80, &by_service);
    for span in shop.emitted(&by_service, 1) {
        check(&span, &own);
        // What the application asked for, before the node's translation.
        let service = [
            ("net.sock.peer.addr", web.as_str()),
            ("k8s.dst.service.name", "web"),
            ("k8s.dst.namespace.name", "shop"),
        ];
        check(&span, &service);
    }
    let pod = shop.pods("shop", "app=web").remove(0);
    let by_address = targets("direct", 5);
    shop.ask(&address_of(&pod), 8080, &by_address);
    for span in shop.emitted(&by_address, 1) {
        check(&span, &own);
        check(
            &span,
            &[
                ("k8s.dst.pod.name", name(&pod)),
                ("k8s.dst.pod.uid", uid(&pod)),
            ],
        );
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn both_ends_say_an_exchange_once_each() {
    let Some(shop) = Shop::open(&["capture: {side: both}"]) else {
        return;
    };
    let targets = targets("both", 30);
    shop.ask(&shop.address("shop", "web"), 80, &targets);
    let front = shop.pods("shop", "app=front").remove(0);
    let spans = shop.emitted(&targets, 2);
    for target in &targets {
        let of = spans
            .iter()
            .filter(|span| span.text("http.target") == *target);
        let emitted: BTreeSet<String> = of.clone().map(|span| span.text("k8s.pod.name")).collect();
        let body = of
            .clone()
            .next()
            .expect("a span")
            .text("http.response.body");
        assert_eq!(
            emitted,
            BTreeSet::from([name(&front).to_owned(), body]),
            "{target}"
        );
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn pods_come_and_go() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let cluster = &shop.cluster;
    every_pod(&shop, "before");
    cluster.kubectl("--namespace shop delete pods --selector app=web");
    cluster.rolled_out("shop", "deployment/web");
    every_pod(&shop, "recreated");
    cluster.kubectl("--namespace shop scale deployment/web --replicas 20");
    cluster.rolled_out("shop", "deployment/web");
    assert_eq!(every_pod(&shop, "scaled"), 20);
}

/// Has every pod of `web` asked for its name: it is emitted once, with that name.
fn every_pod(shop: &Shop, round: &str) -> usize {
    let pods = shop.pods("shop", "app=web");
    let mut targets = Vec::new();
    for pod in &pods {
        let target = format!("/hostname?{round}-{}", name(pod));
        let bodies = shop.ask(&address_of(pod), 8080, std::slice::from_ref(&target));
        assert_eq!(bodies, [name(pod)]);
        targets.push(target);
    }
    for span in shop.emitted(&targets, 1) {
        let body = span.text("http.response.body");
        let pod = named(&pods, &body);
        assert!(span.text("http.target").ends_with(&body), "{:#}", span.span);
        check(
            &span,
            &[
                ("k8s.pod.name", &body),
                ("k8s.pod.uid", uid(pod)),
                ("k8s.src.deployment.name", "front"),
            ],
        );
    }
    pods.len()
}

/// The kubelet asks every pod once a second.
#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn probes_are_counted_and_not_emitted() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = address_of(&shop.agent());
    until("probes are counted", || {
        shop.metric(&agent, "meshtap_exchanges_filtered_total{rule=\"probe\"}") >= 20.0
    });
    // What asks for the same page and is no kubelet.
    let target = format!("/healthz?{}", std::process::id());
    shop.get(&address_of(&shop.pods("shop", "app=web")[0]), 8080, &target);
    shop.emitted(&[target], 1);
    shop.arrived(|span| {
        let headers = span.text("http.request.headers");
        assert!(!headers.contains("kube-probe"), "{:#}", span.span);
    });
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn an_annotation_leaves_a_namespace_alone() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = address_of(&shop.agent());
    let excluded = || shop.metric(&agent, "meshtap_excluded_cgroups");
    let before = excluded();
    let web = shop.address("shop", "web");
    let annotate = "annotate namespace shop meshtap.dev/capture";
    shop.cluster.kubectl(&format!("{annotate}=false"));
    // Two pods of `web` and one of `front`, each with a container of its own.
    until("the kernel leaves them alone", || {
        excluded() >= before + 3.0
    });
    let left = targets("left", 5);
    shop.ask(&web, 80, &left);
    shop.cluster.kubectl(&format!("{annotate}-"));
    until("the kernel looks at them again", || excluded() <= before);
    let emitted = targets("emitted", 5);
    shop.ask(&web, 80, &emitted);
    shop.emitted(&emitted, 1);
    shop.arrived(|span| {
        let target = span.text("http.target");
        assert!(!left.contains(&target), "{:#}", span.span);
    });
}
