//! What the agent does while the API server does not respond, or refuses.

use std::time::{Duration, Instant};

use meshtap_tests::until;

use crate::shop::{SYNCED, Shop, address_of};

/// Longer than a kubelet or a client of the API needs to notice.
const OUTAGE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_api_server_is_away_for_a_minute() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = shop.agent();
    let pod = shop.pods("shop", "app=web").remove(0);
    let web = address_of(&pod);
    let own = address_of(&agent);
    shop.cluster.stop("kube-apiserver");
    let began = Instant::now();
    let mut targets = Vec::new();
    while began.elapsed() < OUTAGE {
        let target = format!("/echo?msg=outage-{}-{}", std::process::id(), targets.len());
        shop.get(&web, 8080, &target);
        targets.push(target);
        // A minute of traffic, not as much as fits into it.
        std::thread::sleep(Duration::from_millis(200));
    }
    // Reported while it is still away.
    for span in shop.emitted(&targets, 1) {
        assert_eq!(
            span.text("k8s.pod.uid"),
            pod["metadata"]["uid"],
            "{:#}",
            span.span
        );
    }
    let watch = shop.watch(&own);
    assert_eq!(watch["state"], "lost", "{watch}");
    shop.cluster.start("kube-apiserver");
    until("the API server is back", || shop.cluster.is_up());
    until("the agent follows it again", || {
        shop.watch(&own)["state"] == SYNCED
    });
    let now = shop.agent();
    assert_eq!(now["metadata"]["uid"], agent["metadata"]["uid"]);
    assert_eq!(now["status"]["containerStatuses"][0]["restartCount"], 0);
    let after = vec![format!("/echo?msg=outage-{}-over", std::process::id())];
    shop.get(&web, 8080, &after[0]);
    shop.emitted(&after, 1);
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn without_its_rights_it_says_containers_and_later_pods() {
    let Some(shop) = Shop::open(&[
        "capture: {side: server}",
        "kubernetes: {enrich_wait: 100ms}",
        "scope: {host: true}",
    ]) else {
        return;
    };
    let pod = shop.pods("shop", "app=web").remove(0);
    let web = address_of(&pod);
    let ask = |name: &str| {
        let target = format!("/echo?msg={name}-{}", std::process::id());
        shop.get(&web, 8080, &target);
        shop.emitted(&[target], 1).remove(0)
    };
    shop.cluster.kubectl("delete clusterrolebinding meshtap");
    shop.cluster
        .kubectl("--namespace meshtap rollout restart daemonset/meshtap");
    // It is ready: it captures.
    shop.cluster.rolled_out("meshtap", "daemonset/meshtap");
    let agent = shop.agent();
    let own = address_of(&agent);
    until("it says that it is refused", || {
        let watch = shop.watch(&own);
        watch["state"] == "lost"
            && watch["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("403"))
    });
    let span = ask("refused");
    assert_eq!(span.text("k8s.pod.name"), "");
    let container = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = container.and_then(|id| id.strip_prefix("containerd://"));
    assert_eq!(
        Some(span.text("container.id").as_str()),
        id,
        "{:#}",
        span.span
    );
    shop.allow();
    until("it has its rights", || shop.watch(&own)["state"] == SYNCED);
    let span = ask("allowed");
    assert_eq!(
        span.text("k8s.pod.uid"),
        pod["metadata"]["uid"],
        "{:#}",
        span.span
    );
    let now = shop.agent();
    assert_eq!(now["metadata"]["uid"], agent["metadata"]["uid"]);
}
