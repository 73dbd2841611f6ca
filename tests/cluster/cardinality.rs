//! Clients that choose ever new paths and hosts do not make the agent grow.

use std::fs;
use std::path::PathBuf;

use meshtap_tests::{Prometheus, Scratch, figure, until};

use crate::chart::install;
use crate::load::Load;
use crate::shop::{Shop, address_of};

const REQUESTS: u32 = 100_000;
const HOSTS: u32 = 10_000;

/// The thread of an agent that serves its pages.
struct Server(PathBuf);

/// Milliseconds that it was on a processor, and that it waited for one.
#[derive(Clone, Copy, Debug)]
struct Scheduled {
    ran: f64,
    waited: f64,
}

impl Server {
    /// Of the pod with this id: its cgroup's path has it.
    fn of(uid: &str) -> Self {
        let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        let of_pod = entries("/proc".into())
            .map(|entry| entry.path())
            .filter(|process| {
                let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
                cgroup.replace('_', "-").contains(uid)
            });
        let threads = of_pod.flat_map(|process| entries(process.join("task")));
        let mut serving = threads.map(|entry| entry.path()).filter(|thread| {
            let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
            name.trim() == "meshtap-admin"
        });
        Self(serving.next().expect("a thread that serves"))
    }

    /// `/proc/PID/task/TID/schedstat` has nanoseconds.
    fn scheduled(&self) -> Scheduled {
        let text = fs::read_to_string(self.0.join("schedstat")).expect("a thread");
        let mut fields = text.split_whitespace().map(|field| field.parse::<f64>());
        let mut next = || fields.next().expect("a field").expect("a number") / 1e6;
        Scheduled {
            ran: next(),
            waited: next(),
        }
    }
}

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
    let agent = shop.agent();
    let own = address_of(&agent);
    let server = Server::of(agent["metadata"]["uid"].as_str().expect("a uid"));
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
        let scrapes = || istio.value("count_over_time(up[1h])").expect("a number");
        let (scheduled, scraped) = (server.scheduled(), scrapes());
        let sent = load("second", REQUESTS);
        let (now, count) = (server.scheduled(), scrapes() - scraped);
        let total = f64::from(2 * (REQUESTS / 10 + REQUESTS));
        until("every exchange is counted at both ends", || {
            istio.value("sum(istio_requests_total)") == Some(total)
        });
        let after = memory();
        let value = |query: &str| istio.value(query).expect("a value");
        let slowest = value("max_over_time(scrape_duration_seconds[10m])");
        figure(&format!(
            "{count} scrapes in the flood: for each, the agent's thread ran {:.1} ms and waited {:.1} ms for a processor; {:.3} s until Prometheus had it stored",
            (now.ran - scheduled.ran) / count,
            (now.waited - scheduled.waited) / count,
            value(&format!("avg_over_time(scrape_duration_seconds[{:.0}s])", sent.seconds)),
        ));
        // Without the flood, which takes both processors.
        until("scrapes after the flood", || {
            let scraped = istio.value("count_over_time(up[3s])");
            scraped.is_some_and(|count| count >= 3.0)
        });
        let after_flood = value("min_over_time(scrape_duration_seconds[10s])");
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
