//! Istio's metrics at a real Prometheus: the numbers are those of the traffic, and the queries of
//! Istio's dashboards and of Kiali's graph find what they look for.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use meshtap_tests::{Bench, Connection, Daemon, Prometheus, figure, live};
use serde_json::{Value, json};

use crate::agent::{ADMIN, Agent, Wire, resident, uid, until};
use crate::fixed_api::{self, FixedApi};

/// A server's port.
const PORT: u16 = 8080;

/// The two pods of a wire as the API has them, `web` in the mesh and calling `cart`.
pub(crate) fn pods(wire: &Wire) -> Vec<Value> {
    let pod = |name: &str, place: &crate::agent::Place| {
        json!({
            "metadata": {
                "name": format!("{name}-5d4f-x1"), "namespace": "shop", "uid": uid(&place.cgroup),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": name, "version": "v1", "pod-template-hash": "5d4f"},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-v1-5d4f"),
                    "uid": "r", "controller": true,
                }],
            },
            "spec": {"nodeName": "node-a", "serviceAccountName": name, "containers": [{"name": "app"}]},
            "status": {
                "phase": "Running", "podIP": place.address, "podIPs": [{"ip": place.address}],
                "startTime": "2026-01-01T00:00:01Z",
            },
        })
    };
    vec![pod("web", &wire.client), pod("cart", &wire.server)]
}

/// An agent without any destination for spans, in step with the API.
fn agent(bench: &Bench, wire: &Wire, more: &str) -> (Agent, FixedApi) {
    let api = fixed_api::start(bench, pods(wire), Vec::new());
    let kubernetes = format!(
        "kubeconfig: '{}', peers: cluster, spread: 0s, cluster_name: Kubernetes",
        api.kubeconfig.display()
    );
    let more = format!("capture: {{side: both}}\n{more}");
    let agent = Agent::alone(bench, &kubernetes, &more);
    for watch in ["node_pods", "other_pods", "services", "namespaces"] {
        agent.await_watch(watch, "synced");
    }
    (agent, api)
}

/// Prometheus, scraping the agent at Istio's path.
fn prometheus(bench: &Bench) -> Prometheus {
    let target = format!("127.0.0.1:{ADMIN}");
    Prometheus::start(&bench.scratch, &target, "/stats/prometheus")
}

/// nginx in the server's pod. It counts requests in its log.
struct Nginx {
    daemon: Daemon,
    log: std::path::PathBuf,
}

impl Nginx {
    fn start(bench: &Bench, wire: &Wire) -> Self {
        let folder = bench.scratch.folder("nginx-metrics");
        let log = folder.join("requests.log");
        let config = folder.join("nginx.conf");
        let text = format!(
            "daemon off; worker_processes 1; pid {0}/pid; error_log stderr;\nevents {{}}\nhttp {{\n log_format one '$status'; access_log {1} one; client_body_temp_path {0}/body;\n proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n keepalive_requests 1000000;\n server {{ listen {2}:{PORT}; location = /missing {{ return 404; }} location / {{ return 200 'hello, world'; }} }}\n}}\n",
            folder.display(),
            log.display(),
            wire.server.address,
        );
        fs::write(&config, text).expect("written");
        let daemon = wire.server.inside(|| {
            let mut command = Command::new("nginx");
            command.arg("-e").arg("stderr").arg("-c").arg(&config);
            let daemon = Daemon::start(bench, &mut command);
            until("nginx listens", || {
                TcpStream::connect((wire.server.address, PORT)).ok()
            });
            daemon
        });
        Self { daemon, log }
    }

    /// Lines that say so; all requests are in the log once it has ended.
    fn finish(mut self) -> Vec<String> {
        self.daemon.terminate();
        self.daemon.wait();
        let text = fs::read_to_string(&self.log).expect("the log");
        text.lines().map(str::to_owned).collect()
    }
}

/// Connections of wrk.
const CONNECTIONS: u32 = 8;

/// wrk in the client's pod, with a pause after each response: an agent that is not optimised keeps
/// up. Requests that it had a response to.
fn wrk(bench: &Bench, wire: &Wire, path: &str, seconds: u32) -> u64 {
    let script = "function delay() return 10 end\n";
    let script = bench.scratch.write("pause.lua", script);
    let output = wire.client.inside(|| {
        Command::new("wrk")
            .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
            .args(["-H", "Host: cart.shop:8080", "-s"])
            .arg(script)
            .arg(format!("http://{}:{PORT}{path}", wire.server.address))
            .output()
            .expect("wrk")
    });
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains(" requests in "));
    let count = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    count.unwrap_or_else(|| panic!("{text}"))
}

/// Queries of Istio's mesh, service and workload dashboards, and of Kiali's graph and lists, with
/// their variables filled in.
const QUERIES: [&str; 23] = [
    // Mesh.
    "round(sum(irate(istio_requests_total{reporter=~\"source|waypoint\"}[1m])), 0.01)",
    "sum(rate(istio_requests_total{reporter=~\"source|waypoint\", response_code!~\"5.*\"}[1m])) / sum(rate(istio_requests_total{reporter=~\"source|waypoint\"}[1m]))",
    "round(sum(irate(istio_requests_total{reporter=~\"source|waypoint\", response_code=~\"4.*\"}[1m])), 0.01)",
    "label_join(sum(rate(istio_requests_total{reporter=~\"source|waypoint\", response_code=\"200\"}[1m])) by (destination_workload, destination_workload_namespace, destination_service), \"destination_workload_var\", \".\", \"destination_workload\", \"destination_workload_namespace\")",
    "label_join(histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{reporter=~\"source|waypoint\"}[1m])) by (le, destination_workload, destination_workload_namespace, destination_service)), \"v\", \".\", \"destination_workload\", \"destination_workload_namespace\")",
    "label_join(sum(rate(istio_tcp_received_bytes_total{reporter=~\"source|waypoint\"}[1m])) by (destination_workload, destination_workload_namespace, destination_service), \"v\", \".\", \"destination_workload\", \"destination_workload_namespace\")",
    "label_join(sum(rate(istio_tcp_sent_bytes_total{reporter=~\"source|waypoint\"}[1m])) by (destination_workload, destination_workload_namespace, destination_service), \"v\", \".\", \"destination_workload\", \"destination_workload_namespace\")",
    // Service.
    "round(sum(irate(istio_requests_total{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\"}[5m])), 0.001)",
    "sum(irate(istio_requests_total{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\", response_code!~\"5.*\"}[5m])) / sum(irate(istio_requests_total{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\"}[5m]))",
    "histogram_quantile(0.95, sum(irate(istio_request_duration_milliseconds_bucket{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\"}[1m])) by (le))",
    "round(sum(irate(istio_requests_total{connection_security_policy!=\"mutual_tls\", destination_service=~\"cart.shop.svc.cluster.local\", reporter=~\"destination\", source_workload=~\"web-v1\", source_workload_namespace=~\"shop\"}[5m])) by (source_workload, source_workload_namespace, response_code), 0.001)",
    "histogram_quantile(0.50, sum(irate(istio_request_bytes_bucket{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\", source_workload=~\"web-v1\"}[1m])) by (source_workload, source_workload_namespace, le))",
    "histogram_quantile(0.99, sum(irate(istio_response_bytes_bucket{reporter=~\"destination\", destination_service=~\"cart.shop.svc.cluster.local\", destination_workload=~\"cart-v1\"}[1m])) by (destination_workload, destination_workload_namespace, le))",
    // Workload.
    "round(sum(irate(istio_requests_total{reporter=~\"destination\", destination_workload_namespace=~\"shop\", destination_workload=~\"cart-v1\"}[5m])), 0.001)",
    "round(sum(irate(istio_requests_total{reporter=~\"source\", source_workload_namespace=~\"shop\", source_workload=~\"web-v1\"}[5m])) by (destination_service, response_code), 0.001)",
    "histogram_quantile(0.50, sum(irate(istio_request_duration_milliseconds_bucket{reporter=~\"source\", source_workload=~\"web-v1\", source_workload_namespace=~\"shop\"}[1m])) by (destination_service, le)) / 1000",
    "sum(irate(istio_tcp_received_bytes_total{reporter=~\"destination\", destination_workload_namespace=~\"shop\", destination_workload=~\"cart-v1\"}[1m]))",
    "round(sum(irate(istio_tcp_sent_bytes_total{reporter=~\"destination\", destination_workload=~\"cart-v1\"}[1m])) by (source_workload, source_workload_namespace), 0.001)",
    // Kiali: the graph of a namespace, its TCP edges, throughput and response times.
    "sum(rate(istio_requests_total{reporter=~\"destination|waypoint\",destination_service_namespace=\"shop\"}[60s])) by (source_cluster,source_workload_namespace,source_workload,source_canonical_service,source_canonical_revision,destination_cluster,destination_service_namespace,destination_service,destination_service_name,destination_workload_namespace,destination_workload,destination_canonical_service,destination_canonical_revision,request_protocol,response_code,grpc_response_status,response_flags) > 0",
    "sum(rate(istio_requests_total{reporter=\"source\",source_workload_namespace=\"shop\"}[60s])) by (source_workload,destination_service,destination_service_name,destination_workload,request_protocol,response_code,grpc_response_status,response_flags) > 0",
    "sum(rate(istio_tcp_sent_bytes_total{reporter=~\"destination|waypoint\",destination_service_namespace=\"shop\"}[60s])) by (source_workload,destination_workload,destination_service_name,response_flags) > 0",
    "histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{reporter=\"destination\",destination_workload_namespace=\"shop\",request_protocol=~\"http|grpc\"}[60s])) by (le,source_workload,destination_workload)) > 0",
    "sum(rate(istio_response_bytes_sum{reporter=\"destination\",destination_service_namespace=\"shop\"}[60s])) by (source_workload,destination_service_name,destination_workload) > 0",
];

#[test]
fn the_numbers_of_wrk_at_a_real_prometheus() {
    if !Prometheus::available() {
        return;
    }
    live(|bench| {
        let wire = Wire::new(bench);
        let nginx = Nginx::start(bench, &wire);
        let (agent, _api) = agent(bench, &wire, "");
        let prometheus = prometheus(bench);
        until("Prometheus has scraped", || {
            prometheus.value("up{job=\"envoy-stats\"} == 1")
        });
        // Bytes of connections are added at their end: two ends make a rate.
        let mut missing = wrk(bench, &wire, "/missing", 1);
        until("connections are counted", || {
            prometheus.value("sum(istio_tcp_connections_closed_total) > 0")
        });
        missing += wrk(bench, &wire, "/missing", 1);
        // Rates are of traffic that goes on.
        let found = std::thread::scope(|scope| {
            let traffic = scope.spawn(|| wrk(bench, &wire, "/", 20));
            for query in QUERIES {
                let samples = until(query, || {
                    let samples = prometheus.query(query);
                    let is_number = |(_, value): &(Value, f64)| !value.is_nan();
                    (!samples.is_empty() && samples.iter().all(is_number)).then_some(samples)
                });
                figure(&format!("{} series: {query}", samples.len()));
            }
            traffic.join().expect("wrk")
        });
        let lines = nginx.finish();
        let sent = |status: &str| lines.iter().filter(|line| *line == status).count() as f64;
        for (code, responses) in [("200", found), ("404", missing)] {
            // wrk leaves responses unread at its end, one for each connection at most: nginx has
            // sent them, and wrote them down.
            assert!(sent(code) >= responses as f64, "{code}");
            for reporter in ["source", "destination"] {
                let query = format!(
                    "sum(istio_requests_total{{reporter=\"{reporter}\",response_code=\"{code}\",source_workload=\"web-v1\",destination_workload=\"cart-v1\",destination_service=\"cart.shop.svc.cluster.local\"}})"
                );
                let total = until(&query, || {
                    prometheus
                        .value(&query)
                        .filter(|total| *total >= responses as f64)
                });
                figure(&format!(
                    "{reporter} {code}: wrk {responses}, nginx {}, counted {total}",
                    sent(code)
                ));
                let unread = f64::from(2 * CONNECTIONS);
                assert!(
                    (total - sent(code)).abs() <= unread,
                    "{query}: {total}, nginx {}",
                    sent(code)
                );
            }
        }
        let ledger = agent.finish();
        assert_eq!(ledger["overflow"], 0, "{ledger}");
    });
}

#[test]
fn exemplars_lead_to_spans() {
    if !Prometheus::available() {
        return;
    }
    live(|bench| {
        let wire = Wire::new(bench);
        let api = fixed_api::start(bench, pods(&wire), Vec::new());
        let kubernetes = format!("kubeconfig: '{}'", api.kubeconfig.display());
        let agent = Agent::start(bench, &kubernetes, "");
        agent.await_watch("node_pods", "synced");
        let prometheus = prometheus(bench);
        until("Prometheus has scraped", || {
            prometheus.value("up{job=\"envoy-stats\"} == 1")
        });
        wire.ask("/exemplar");
        let exemplars = until("an exemplar is there", || {
            let found = prometheus.exemplars("istio_request_duration_milliseconds_bucket");
            (!found.is_empty()).then_some(found)
        });
        let spans = agent.spans();
        for exemplar in exemplars {
            let trace = &exemplar["labels"]["trace_id"];
            assert!(
                spans.iter().any(|span| span["trace_id"] == *trace),
                "{exemplar}"
            );
        }
        agent.finish();
    });
}

/// The value of the only line that begins so and holds these.
fn sample(page: &str, start: &str, holds: &[&str]) -> Option<f64> {
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with(start) && holds.iter().all(|text| line.contains(text)));
    let line = lines.next()?;
    assert!(lines.next().is_none(), "{start} {holds:?} in {page}");
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A connection on which each end sends so much, and that one of them closes first.
fn transfer(wire: &Wire, port: u16, request: usize, response: usize, ends: Ends) {
    let listener = wire
        .server
        .inside(|| TcpListener::bind((wire.server.address, port)).expect("bind"));
    let address = (wire.server.address, port);
    let mut client = wire
        .client
        .inside(|| TcpStream::connect(address).expect("connect"));
    let (mut server, _) = listener.accept().expect("accept");
    let read = |socket: &mut TcpStream, length: usize| {
        let mut bytes = vec![0; length];
        socket.read_exact(&mut bytes).expect("read");
    };
    client.write_all(&vec![1; request]).expect("write");
    read(&mut server, request);
    server.write_all(&vec![2; response]).expect("write");
    read(&mut client, response);
    match ends {
        Ends::Client => {
            drop(client);
            assert_eq!(server.read(&mut [0]).expect("the end"), 0);
        }
        Ends::Server => {
            drop(server);
            assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        }
        Ends::Shutdown => {
            client
                .shutdown(std::net::Shutdown::Write)
                .expect("shutdown");
            assert_eq!(server.read(&mut [0]).expect("the end"), 0);
            drop(server);
            assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Client,
    Server,
    Shutdown,
}

#[test]
fn every_byte_of_tcp_connections() {
    live(|bench| {
        let wire = Wire::new(bench);
        let (agent, _api) = agent(bench, &wire, "");
        let cases = [
            (17, 0, Ends::Client),
            (0, 23, Ends::Server),
            (40_000, 5, Ends::Shutdown),
            (1, 30_000, Ends::Client),
            (3, 3, Ends::Server),
        ];
        let (mut received, mut sent) = (0, 0);
        for (number, (request, response, ends)) in cases.into_iter().enumerate() {
            transfer(&wire, 7000 + number as u16, request, response, ends);
            received += request;
            sent += response;
            for reporter in ["source", "destination"] {
                let labels = [
                    &*format!("reporter=\"{reporter}\""),
                    "source_workload=\"web-v1\"",
                    "destination_workload=\"cart-v1\"",
                    "request_protocol=\"tcp\"",
                ];
                let get = |page: &str, name: &str| {
                    sample(page, &format!("istio_tcp_{name}_total{{"), &labels)
                };
                let count = (number + 1) as f64;
                let page = until("the end is counted", || {
                    let page = agent.page("/stats/prometheus");
                    (get(&page, "connections_closed") == Some(count)).then_some(page)
                });
                assert_eq!(
                    get(&page, "connections_opened"),
                    Some(count),
                    "{reporter} {ends:?}"
                );
                assert_eq!(
                    get(&page, "received_bytes"),
                    Some(received as f64),
                    "{reporter} {ends:?}"
                );
                assert_eq!(
                    get(&page, "sent_bytes"),
                    Some(sent as f64),
                    "{reporter} {ends:?}"
                );
            }
        }
        agent.finish();
    });
}

#[test]
fn no_client_makes_the_page_grow() {
    live(|bench| {
        let wire = Wire::new(bench);
        let more = "metrics: {routes: {automatic: true}}\n";
        let (agent, _api) = agent(bench, &wire, more);
        let mut pair = wire.connect(PORT);
        let mut ask = |number: u32| {
            // A path for each request, and a host for every tenth.
            let host = number / 10;
            pair.request(format!(
                "GET /p{number}/word HTTP/1.1\r\nhost: h{host}.example.com\r\n\r\n"
            ));
            pair.respond("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        };
        // In steps: an agent that is not optimised keeps up.
        let mut upto = |from: u32, to: u32| {
            for start in (from..to).step_by(2000) {
                (start..start + 2000).for_each(&mut ask);
                // Both ends are on this node.
                let both = f64::from(2 * (start + 2000));
                until("all are counted", || {
                    (agent.metric("meshtap_exchanges_admitted_total ") >= both).then_some(())
                });
            }
            let began = Instant::now();
            let page = agent.page("/stats/prometheus");
            (page.len(), began.elapsed(), resident(agent.pid()))
        };
        let (size, _, before) = upto(0, 20_000);
        let (grown, took, after) = upto(20_000, 100_000);
        figure(&format!(
            "100 000 paths, 10 000 hosts: page {:.1} MB, scrape {} ms, memory {before:.0} → {after:.0} MiB",
            grown as f64 / 1e6,
            took.as_millis()
        ));
        assert!(grown < size + size / 10, "{size} → {grown}");
        assert!(after < before + 32.0, "{before} → {after}");
        assert!(agent.metric("meshtap_metric_host_overflow_total ") > 90_000.0);
        agent.finish();
    });
}

#[test]
fn the_rules_of_the_attribute_generator() {
    if !Prometheus::available() {
        return;
    }
    live(|bench| {
        let wire = Wire::new(bench);
        let nginx = Nginx::start(bench, &wire);
        let rules = r#"metrics:
  routes:
    rules:
      - {value: health, condition: "request.url_path == '/healthz' && request.method == 'GET'"}
      - {value: echo, condition: "request.url_path == '/echo' && request.method == 'POST'"}
"#;
        let (agent, _api) = agent(bench, &wire, rules);
        let prometheus = prometheus(bench);
        until("Prometheus has scraped", || {
            prometheus.value("up{job=\"envoy-stats\"} == 1")
        });
        let mut connection = wire.client.inside(|| {
            let ip: std::net::Ipv4Addr = wire.server.address.parse().expect("an address");
            Connection::open((ip.octets(), PORT))
        });
        let rate = |route: &str| {
            let query = format!(
                "sum(rate(istio_requests_total{{reporter=\"destination\",route_name=\"{route}\"}}[30s]))"
            );
            prometheus.value(&query).filter(|rate| *rate > 0.0)
        };
        for (route, request) in [
            ("health", "GET /healthz HTTP/1.1\r\nhost: cart\r\n\r\n"),
            (
                "echo",
                "POST /echo HTTP/1.1\r\nhost: cart\r\ncontent-length: 2\r\n\r\nhi",
            ),
            ("unknown", "GET /echo HTTP/1.1\r\nhost: cart\r\n\r\n"),
        ] {
            // A rate needs a sample before and one after.
            let found = until(route, || {
                connection.send(request);
                connection.response();
                rate(route)
            });
            figure(&format!("{route}: {found:.2} requests/s"));
        }
        drop(nginx.finish());
        agent.finish();
    });
}

#[test]
fn an_access_log_that_rotates() {
    live(|bench| {
        let wire = Wire::new(bench);
        let log = bench.scratch.path().join("access.log");
        let more = format!(
            "access_log: {{path: '{}', text: '%REQ(:PATH)% %RESPONSE_CODE%', filter: \"request.url_path != '/secret'\"}}\n",
            log.display()
        );
        let (agent, _api) = agent(bench, &wire, &more);
        let wait = |path: &std::path::Path, expected: &str| {
            until(expected, || {
                let text = fs::read_to_string(path).unwrap_or_default();
                (text == expected).then_some(())
            });
        };
        wire.ask("/first");
        wire.ask("/secret");
        wire.ask("/second");
        // Both ends of each are on this node.
        wait(&log, "/first 200\n/first 200\n/second 200\n/second 200\n");
        let old = log.with_extension("1");
        fs::rename(&log, &old).expect("renamed");
        agent.hang_up();
        until("the configuration was read again", || {
            (agent.metric("meshtap_config_reloads_total{result=\"applied\"}") == 1.0).then_some(())
        });
        wire.ask("/third");
        wait(&log, "/third 200\n/third 200\n");
        agent.finish();
    });
}
