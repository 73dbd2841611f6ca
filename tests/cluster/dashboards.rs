//! Istio's dashboards and Kiali's graph at a real Prometheus that scrapes the agent, under real
//! traffic between pods: which queries find data, and whether the numbers are those of the clients.

use std::collections::BTreeMap;

use meshtap_tests::{Prometheus, Scratch, figure, until};
use serde_json::Value;

use crate::chart::install;
use crate::load::{Load, Sent};
use crate::shop::{Shop, address_of};

/// Where, which panel, `data` or why there is none, and the query.
const QUERIES: &str = include_str!("queries.tsv");

/// Our own dashboard of services, whose variable `service` is a short name.
const SERVICES: &str = include_str!("../../deploy/dashboards/services.json");

/// The variables of the dashboards.
const VARIABLES: [(&str, &str); 9] = [
    ("$__rate_interval", "30s"),
    ("$service", "web.shop.svc.cluster.local"),
    ("$namespace", "shop"),
    ("$workload", "web"),
    ("$srcns", "clients"),
    ("$srcwl", "load"),
    ("$dstns", "shop"),
    ("$dstwl", "web"),
    ("$qrep", "destination"),
];

/// Requests of each client, and how many a connection carries.
const REQUESTS: u32 = 7_200;
const REUSE: u32 = 50;

/// Prometheus, scraping the agent at Istio's path, and what it keeps. The calling thread is in the
/// node's network.
fn prometheus(shop: &Shop, scratch: &Scratch) -> Prometheus {
    let target = format!("{}:9464", address_of(&shop.agent()));
    let prometheus = Prometheus::start(scratch, &target, "/stats/prometheus");
    until("Prometheus has scraped", || {
        prometheus.value("up == 1").is_some()
    });
    prometheus
}

/// Words of a client that gets every kind of status.
fn words(count: u32, rate: u32) -> String {
    let web = "http://web.shop/echo?msg=dashboard-{n}";
    format!(
        "-count {count} -clients 2 -rate {rate} -reuse {REUSE} -body hello \
         GET {web} GET {web} GET {web} POST {web} GET {web}&code=404 GET {web}&code=503"
    )
}

/// A panel of a dashboard.
#[derive(Clone, Debug)]
struct Panel {
    place: &'static str,
    name: &'static str,
    /// `data`, or why there is none.
    expected: &'static str,
    query: String,
}

impl Panel {
    fn parse(line: &'static str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            [place, name, expected, query] => Some(Self {
                place,
                name,
                expected,
                query: filled(query),
            }),
            _ => None,
        }
    }

    fn is_data(&self) -> bool {
        self.expected == "data"
    }

    /// How many numbers there are.
    fn count(&self, prometheus: &Prometheus) -> usize {
        let samples = prometheus.query(&self.query).into_iter();
        samples.filter(|(_, value)| !value.is_nan()).count()
    }
}

/// The panels of our own dashboard. There are neither calls of gRPC here nor routes.
fn services() -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(SERVICES).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let queries = panels.flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title").to_owned().leak() as &str;
        let targets = panel["targets"].as_array().into_iter().flatten();
        let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
        queries.map(move |query| (title, query))
    });
    let panel = |(name, query): (&'static str, String)| Panel {
        place: "Our services",
        name,
        expected: match name {
            "gRPC status" => "none: no gRPC",
            "Requests by route" => "none: no routes",
            _ => "data",
        },
        query: filled(&query.replace("$service", "web")),
    };
    queries.map(panel).collect()
}

/// A query with the variables filled in.
fn filled(query: &str) -> String {
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
    VARIABLES.iter().fold(query.to_owned(), fill)
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_dashboards_of_istio_and_kiali() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    if !Prometheus::available() {
        return;
    }
    install(&shop, &["--set", "config.capture.side=both"]);
    let scratch = Scratch::new();
    shop.cluster.network().inside(|| {
        let prometheus = prometheus(&shop, &scratch);
        let cluster = &shop.cluster;
        let other = Load::start(cluster, "clients", "load", &words(REQUESTS, 60));
        let own = Load::start(cluster, "shop", "caller", &words(REQUESTS, 60));
        let web = address_of(&shop.pods("shop", "app=web").remove(0));
        until("both clients send", || {
            other.is_running() && own.is_running()
        });
        let mut panels: Vec<Panel> = QUERIES.lines().filter_map(Panel::parse).collect();
        panels.extend(services());
        let mut found = Vec::new();
        // Each is asked until it has data, while there is traffic.
        while other.is_running() || own.is_running() {
            // From the node: for Istio, a source that is not known.
            shop.get(&web, 8080, "/echo?msg=node");
            panels.retain(|panel| match panel.count(&prometheus) {
                0 => true,
                count => {
                    found.push((panel.clone(), count));
                    false
                }
            });
            if panels.iter().all(|panel| !panel.is_data()) && found.len() > 100 {
                break;
            }
        }
        assert!(
            other.is_running() && own.is_running(),
            "the traffic was over: {panels:#?}"
        );
        for (panel, count) in &found {
            assert!(panel.is_data(), "{panel:?} has data");
            figure(&format!("{}: {}: {count}", panel.place, panel.name));
        }
        for panel in &panels {
            figure(&format!(
                "{}: {}: {}",
                panel.place, panel.name, panel.expected
            ));
        }
        rates(&prometheus, 60.0);
        for (namespace, load) in [("clients", other), ("shop", own)] {
            numbers(&prometheus, namespace, &load.finish());
        }
    });
}

/// The panel of volume has the rate that each client keeps to.
fn rates(prometheus: &Prometheus, rate: f64) {
    for reporter in ["source", "destination"] {
        for source in ["load", "caller"] {
            let query = format!(
                "sum(rate(istio_requests_total{{reporter=\"{reporter}\",source_workload=\"{source}\"}}[30s]))"
            );
            let mut found = 0.0;
            // A window of traffic has to pass.
            until("the rate is that of the client", || {
                found = prometheus.value(&query).unwrap_or(0.0);
                (found - rate).abs() < rate / 20.0
            });
            figure(&format!(
                "{reporter}, {source}: {found:.2} requests/s, sent {rate}"
            ));
        }
    }
}

/// Every counter has what the client says.
fn numbers(prometheus: &Prometheus, namespace: &str, sent: &Sent) {
    // The client dials the service. Which pod responds is not known at its socket, but all that are
    // behind it are of one workload.
    for reporter in ["source", "destination"] {
        let labels = format!(
            "reporter=\"{reporter}\",source_workload_namespace=\"{namespace}\",destination_service=\"web.shop.svc.cluster.local\",destination_workload=\"web\""
        );
        let check = |what: &str, query: &str, expected: u64| {
            let mut total = 0.0;
            until(&format!("{query} is {expected}"), || {
                total = prometheus.value(query).unwrap_or(0.0);
                total >= expected as f64
            });
            figure(&format!(
                "{reporter}, from {namespace}, {what}: sent {expected}, counted {total}"
            ));
            assert_eq!(total, expected as f64, "{query}");
        };
        for status in [200, 404, 503] {
            let query = format!("sum(istio_requests_total{{{labels},response_code=\"{status}\"}})");
            check(&status.to_string(), &query, sent.with(status));
        }
        for metric in [
            "request_duration_milliseconds",
            "request_bytes",
            "response_bytes",
        ] {
            check(
                metric,
                &format!("sum(istio_{metric}_count{{{labels}}})"),
                sent.count,
            );
        }
        // One request in six has a body, of five bytes.
        let query = format!("sum(istio_request_bytes_sum{{{labels}}})");
        check("bytes of requests", &query, sent.count / 6 * 5);
    }
    let query = format!(
        "sum(istio_tcp_connections_opened_total{{reporter=\"destination\",source_workload_namespace=\"{namespace}\",destination_workload=\"web\"}})"
    );
    let opened = prometheus.value(&query).expect("a value");
    let closed = prometheus
        .value(&query.replace("opened", "closed"))
        .expect("a value");
    figure(&format!(
        "connections from {namespace}: opened {opened}, closed {closed}"
    ));
    let least = f64::from(REQUESTS / REUSE);
    assert!(opened >= least && opened <= least + 4.0, "{opened}");
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_rates_of_two_routes() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    if !Prometheus::available() {
        return;
    }
    let rules = r#"config.metrics.routes.rules=[
        {"value": "health", "condition": "request.url_path == '/healthz' && request.method == 'GET'"},
        {"value": "echo", "condition": "request.url_path == '/echo' && request.method == 'POST'"}]"#;
    install(&shop, &["--set-json", rules]);
    let scratch = Scratch::new();
    shop.cluster.network().inside(|| {
        let prometheus = prometheus(&shop, &scratch);
        let web = "http://web.shop";
        let words = format!(
            "-count 4500 -clients 2 -rate 75 -body hello GET {web}/healthz GET {web}/healthz POST {web}/echo?msg={{n}}"
        );
        let load = Load::start(&shop.cluster, "clients", "routes", &words);
        let sum = |of: &str| format!("sum({of}) by (route_name)");
        let of_load = "istio_requests_total{reporter=\"destination\",source_workload=\"routes\"}";
        let by_route = |query: &str| -> BTreeMap<String, f64> {
            let samples = prometheus.query(query).into_iter();
            let route = |labels: &Value| labels["route_name"].as_str().expect("a label").to_owned();
            samples.map(|(labels, value)| (route(&labels), value)).collect()
        };
        let rate = sum(&format!("rate({of_load}[30s])"));
        let expected = BTreeMap::from([("echo", 25.0), ("health", 50.0)]);
        until("both rates are those of the client", || {
            let found = by_route(&rate);
            let is_near = |(route, rate): (&&str, &f64)| {
                found.get(*route).is_some_and(|one| (one - rate).abs() < rate / 20.0)
            };
            found.len() == expected.len() && expected.iter().all(is_near)
        });
        figure(&format!("{rate}: {:?}", by_route(&rate)));
        let sent = load.finish();
        let total = sum(of_load);
        let expected = BTreeMap::from([("echo".to_owned(), 1500.0), ("health".to_owned(), 3000.0)]);
        until("all are counted", || by_route(&total) == expected);
        figure(&format!("{total}: {:?}, sent {}", by_route(&total), sent.count));
    });
}
