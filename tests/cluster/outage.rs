//! What the agent does while nobody answers at the API server.

use std::time::{Duration, Instant};

use meshtap_tests::until;

use crate::shop::{Shop, address_of};

/// Longer than a kubelet or a client of the API needs to notice.
const OUTAGE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_api_server_is_away_for_a_minute() {
    let Some(shop) = Shop::open("capture: {side: server}") else {
        return;
    };
    let agent = shop.agent();
    let web = address_of(&shop.pods("shop", "app=web")[0]);
    let collector = address_of(&shop.pods("observability", "app=otel-collector")[0]);
    assert!(!collector.is_empty());
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
    // Told while it is still away.
    shop.told(&targets, 1);
    shop.cluster.start("kube-apiserver");
    until("the API server is back", || shop.cluster.answers());
    let now = shop.agent();
    assert_eq!(now["metadata"]["uid"], agent["metadata"]["uid"]);
    assert_eq!(now["status"]["containerStatuses"][0]["restartCount"], 0);
    let after = vec![format!("/echo?msg=outage-{}-over", std::process::id())];
    shop.get(&web, 8080, &after[0]);
    shop.told(&after, 1);
}
