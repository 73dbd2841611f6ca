//! Spans arrive: each exchange once from each end, whatever becomes of the pods.

use std::collections::BTreeSet;

use crate::shop::{Shop, address_of};

fn targets(test: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("/echo?msg={test}-{}-{n}", std::process::id()))
        .collect()
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_server_tells_each_exchange_once() {
    let Some(shop) = Shop::open("capture: {side: server}") else {
        return;
    };
    let targets = targets("server", 30);
    let web = shop.address("shop", "web");
    let bodies = shop.ask(&web, 80, &targets);
    let front = address_of(&shop.pods("shop", "app=front")[0]);
    for span in shop.told(&targets, 1) {
        assert_eq!(span.text("net.sock.peer.addr"), front, "{}", span.span);
        let body = span.text("http.response.body");
        assert!(bodies.contains(&body), "{}", span.span);
        assert!(span.text("http.target").ends_with(&body), "{}", span.span);
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_client_tells_each_exchange_once() {
    let Some(shop) = Shop::open("capture: {side: client}") else {
        return;
    };
    let targets = targets("client", 30);
    let web = shop.address("shop", "web");
    shop.ask(&web, 80, &targets);
    for span in shop.told(&targets, 1) {
        // What the application asked for, before the node's translation.
        assert_eq!(span.text("http.host"), format!("{web}:80"), "{}", span.span);
        assert!(
            span.text("http.target")
                .ends_with(&span.text("http.response.body"))
        );
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn pods_come_and_go() {
    let Some(shop) = Shop::open("capture: {side: server}") else {
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

/// Asks every pod of `web` for its name: it is told of once, with the name in the answer.
fn every_pod(shop: &Shop, round: &str) -> usize {
    let pods = shop.pods("shop", "app=web");
    let mut targets = Vec::new();
    let mut names = BTreeSet::new();
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let target = format!("/hostname?{round}-{name}");
        let body = shop.get(&address_of(pod), 8080, &target);
        assert_eq!(body, name);
        names.insert(body);
        targets.push(target);
    }
    let spans = shop.told(&targets, 1);
    let told: BTreeSet<String> = spans
        .iter()
        .map(|span| span.text("http.response.body"))
        .collect();
    assert_eq!(told, names);
    names.len()
}
