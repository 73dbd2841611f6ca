//! Clients that choose ever new paths and hosts do not make the agent grow.

use meshtap_tests::{Prometheus, Scratch, figure, until};

use crate::chart::install;
use crate::load::Load;
use crate::shop::{Shop, address_of};

const REQUESTS: u32 = 100_000;
const HOSTS: u32 = 10_000;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn a_hundred_thousand_paths_and_ten_thousand_hosts() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    if !Prometheus::available() {
        return;
    }
    // Metrics alone: no spans are wanted here.
    let values =
        "config.capture.side=both,config.metrics.routes.automatic=true,config.export.otlp=null";
    install(&shop, &["--set", values]);
    let own = address_of(&shop.agent());
    let target = format!("{own}:9464");
    let scratch = Scratch::new();
    shop.cluster.network().inside(|| {
        let istio = Prometheus::start(&scratch, &target, "/stats/prometheus");
        let memory = || shop.metric(&own, "process_resident_memory_bytes ") / f64::from(1 << 20);
        let load = |name: &str, count: u32| {
            let words = format!(
                "-count {count} -clients 4 -host h{{h}}.example.com -hosts {HOSTS} GET http://web.shop/p{{n}}/word"
            );
            let sent = Load::start(&shop.cluster, "clients", name, &words).finish();
            assert_eq!(sent.with(200), u64::from(count));
            sent
        };
        // A tenth of it fills every bound.
        load("first", REQUESTS / 10);
        let before = memory();
        let sent = load("second", REQUESTS);
        let total = f64::from(2 * (REQUESTS / 10 + REQUESTS));
        until("every exchange is counted at both ends", || {
            istio.value("sum(istio_requests_total)") == Some(total)
        });
        let after = memory();
        let value = |query: &str| istio.value(query).expect("a value");
        let slowest = value("max_over_time(scrape_duration_seconds[10m])");
        // Without the flood, which takes both processors.
        until("a scrape after the flood", || value("count_over_time(up[3s])") >= 3.0);
        let after_flood = value("min_over_time(scrape_duration_seconds[3s])");
        let lines = value("max_over_time(scrape_samples_scraped[10m])");
        let host_overflow = shop.metric(&own, "meshtap_metric_host_overflow_total ");
        let page = shop.page(&own, "/metrics");
        let overflow: Vec<_> = page.lines().filter(|line| line.starts_with("meshtap_metric_")).collect();
        figure(&format!(
            "{REQUESTS} paths, {HOSTS} hosts in {:.0} s: memory {before:.0} → {after:.0} MiB, scrape of {lines} samples {after_flood:.3} s, {slowest:.3} s in the flood; {overflow:?}",
            sent.seconds
        ));
        assert!(after < before + 16.0, "{before} → {after}");
        assert!(host_overflow > f64::from(REQUESTS), "{host_overflow}");
    });
}
