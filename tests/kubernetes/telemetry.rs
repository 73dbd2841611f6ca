//! Istio's Telemetry API and routes of the Gateway API at a real API server: objects come, change
//! and go while the agent runs with the right to list and watch them, and nothing more.

use std::cell::Cell;
use std::collections::BTreeMap;

use meshtap_tests::Bench;
use serde_json::{Value, json};

use crate::agent::{Agent, Wire, until};
use crate::identity::{self, Cluster};
use crate::rules::lines;

const GROUPS: [(&str, &str, &str); 3] = [
    ("telemetry.istio.io", "Telemetry", "telemetries"),
    ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
    ("gateway.networking.k8s.io", "GRPCRoute", "grpcroutes"),
];

/// A path of the API.
fn path(plural: &str, namespace: &str) -> String {
    let group = GROUPS.iter().find(|(_, _, of)| *of == plural);
    let (group, ..) = group.expect("a kind");
    format!("/apis/{group}/v1/namespaces/{namespace}/{plural}")
}

/// Lets the server know the kinds, and the agent read them.
fn kinds(cluster: &Cluster<'_>) {
    for (group, kind, plural) in GROUPS {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "metadata": {
                "name": format!("{plural}.{group}"),
                // Groups of Kubernetes want a review.
                "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
            },
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        cluster.server.expect("POST", definitions, &definition);
        until(&format!("{kind} is served"), || {
            let reply = cluster.server.call("GET", &path(plural, "shop"), None);
            (reply.status == 200).then_some(())
        });
    }
    let groups: Vec<_> = GROUPS.iter().map(|(group, ..)| group).collect();
    let plurals: Vec<_> = GROUPS.iter().map(|(.., plural)| plural).collect();
    let rules = [json!({"apiGroups": groups, "resources": plurals, "verbs": ["list", "watch"]})];
    let role = json!({"metadata": {"name": "signals"}, "rules": rules});
    let binding = json!({
        "metadata": {"name": "signals"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "signals"},
        "subjects": [{"kind": "ServiceAccount", "name": "meshtap", "namespace": "meshtap"}],
    });
    let rights = "/apis/rbac.authorization.k8s.io/v1";
    let post = |plural: &str, object| {
        cluster
            .server
            .expect("POST", &format!("{rights}/{plural}"), object)
    };
    post("clusterroles", &role);
    post("clusterrolebindings", &binding);
}

/// Two pods, `web` behind the service `cart`, and `front`; the agent of their node.
fn start(bench: &Bench, cluster: &Cluster<'_>, wire: &Wire, more: &str) -> Agent {
    kinds(cluster);
    let kubeconfig = cluster.service_account();
    cluster.allow();
    let root = json!({"metadata": {"name": "istio-system"}});
    cluster.server.expect("POST", "/api/v1/namespaces", &root);
    for (name, place) in [("web", &wire.server), ("front", &wire.client)] {
        cluster.pod(name, Some(&place.cgroup), place.address, json!({}));
    }
    let service = json!({
        "metadata": {"name": "cart"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}]},
    });
    let services = "/api/v1/namespaces/shop/services";
    cluster.server.expect("POST", services, &service);
    let kubernetes =
        format!("kubeconfig: '{kubeconfig}', peers: cluster, telemetry: true, routes: true");
    let agent = Agent::start(
        bench,
        &kubernetes,
        &format!("capture: {{side: both}}\n{more}"),
    );
    for watch in [
        "node_pods",
        "services",
        "telemetries",
        "http_routes",
        "grpc_routes",
    ] {
        agent.await_watch(watch, "synced");
    }
    agent
}

/// The mesh's: every series says whose word counts; no request is sampled.
fn of_mesh() -> Value {
    json!({
        "metrics": [{"providers": [{"name": "prometheus"}], "overrides": [
            {"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": {
                "rank": {"value": "'mesh'"},
                "request_host": {"value": "request.host"},
                "response_flags": {"operation": "REMOVE"},
            }},
            {"match": {"metric": "REQUEST_SIZE", "mode": "CLIENT"}, "disabled": true},
        ]}],
        "tracing": [{"randomSamplingPercentage": 0}],
    })
}

/// That of the namespace: spans with tags, few lines of the access log.
fn of_namespace() -> Value {
    json!({
        "metrics": [rank("namespace", "CLIENT_AND_SERVER")],
        "tracing": [{"randomSamplingPercentage": 100, "customTags": {
            "zone": {"literal": {"value": "eu"}},
            "tenant": {"header": {"name": "X-Request-Id", "defaultValue": "none"}},
            "node": {"environment": {"name": "NODE", "defaultValue": "some"}},
        }}],
        "accessLogging": [{"filter": {"expression": "request.url_path == '/logged'"}}],
    })
}

/// An entry that only names itself in the series of one side.
fn rank(name: &str, mode: &str) -> Value {
    json!({"overrides": [{
        "match": {"metric": "REQUEST_COUNT", "mode": mode},
        "tagOverrides": {"rank": {"value": format!("'{name}'")}},
    }]})
}

/// An agent, its pods, and how many requests they have had.
struct Case<'a> {
    cluster: &'a Cluster<'a>,
    agent: &'a Agent,
    wire: &'a Wire,
    asked: Cell<u32>,
}

impl Case<'_> {
    fn ask(&self, target: &str) {
        self.ask_with(target, "");
    }

    fn ask_with(&self, target: &str, lines: &str) {
        self.wire.ask_with(target, lines);
        self.asked.set(self.asked.get() + 1);
    }

    /// Changes an object, once what was sent before is counted under the old ones.
    fn change(&self, method: &str, path: &str, body: &Value) {
        // Both ends count each.
        let all = f64::from(2 * self.asked.get());
        until("all is counted", || {
            let counted = self.agent.metric("meshtap_exchanges_admitted_total ");
            (counted >= all).then_some(())
        });
        self.cluster.server.expect(method, path, body);
    }

    fn delete(&self, path: &str) {
        self.change("DELETE", path, &json!({}));
    }

    /// Creates a `Telemetry`, and waits until it counts: requests of this side are of this rank.
    fn create(&self, (namespace, name, spec): (&str, &str, &Value), side: &str) {
        let body = json!({
            "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
            "metadata": {"name": name}, "spec": spec,
        });
        self.change("POST", &path("telemetries", namespace), &body);
        self.counts(side, &format!("rank=\"{name}\""), true);
    }

    /// Waits until new requests of this side are in series with, or without, this label.
    fn counts(&self, side: &str, label: &str, is_there: bool) {
        let total = || {
            let page = self.agent.page("/stats/prometheus");
            let lines = lines(&page, "istio_requests_total", side).into_iter();
            let lines = lines.filter(|line| line.contains(label) == is_there);
            lines.map(value).sum::<f64>()
        };
        let before = total();
        until(&format!("{label}, {is_there}, of {side}"), || {
            self.ask("/poll");
            (total() > before).then_some(())
        });
    }
}

fn value(line: &str) -> f64 {
    let (_, value) = line.rsplit_once(' ').expect("a value");
    value.parse().expect("a number")
}

/// The ends that have a span of each target, with its tags.
fn ends(spans: &[Value]) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for span in spans {
        let attributes = &span["attributes"];
        let text = |key: &str| attributes[key].as_str().unwrap_or("-").to_owned();
        let tags = ["zone", "tenant", "node"].map(text).join(" ");
        let ends = found.entry(text("http.target")).or_default();
        ends.push((text("meshtap.side"), tags));
    }
    found.values_mut().for_each(|ends| ends.sort());
    found
}

#[test]
fn objects_of_each_rank_come_change_and_go() {
    identity::bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let log = bench.scratch.path().join("access.log");
        let more = format!("access_log: {{path: '{}'}}\n", log.display());
        let agent = start(bench, &cluster, &wire, &more);
        let sizes = |side: &str| {
            let page = agent.page("/stats/prometheus");
            let lines = lines(&page, "istio_request_bytes_count", side).into_iter();
            lines.map(value).sum::<f64>()
        };
        let case = Case {
            cluster: &cluster,
            agent: &agent,
            wire: &wire,
            asked: Cell::new(0),
        };
        case.ask("/plain");
        case.create(("istio-system", "mesh", &of_mesh()), "source");
        let before = sizes("source");
        case.ask("/mesh");
        case.create(("shop", "namespace", &of_namespace()), "source");
        assert_eq!(
            sizes("source"),
            before,
            "a metric that is disabled at one side"
        );
        assert!(sizes("destination") > before);
        let page = agent.page("/stats/prometheus");
        let inherited = lines(&page, "istio_requests_total", "destination").into_iter();
        for line in inherited.filter(|line| line.contains("rank=\"namespace\"")) {
            assert!(line.contains("request_host=\"web\""), "{line}");
            assert!(!line.contains("response_flags"), "{line}");
        }
        case.ask_with("/namespace", "x-request-id: t-1\r\n");
        case.ask("/logged");
        let of_service = json!({
            "targetRefs": [{"kind": "Service", "group": "", "name": "cart"}],
            "metrics": [rank("service", "CLIENT_AND_SERVER")],
            "tracing": [{"disableSpanReporting": true}],
        });
        case.create(("shop", "service", &of_service), "destination");
        case.ask("/service");
        case.delete(&format!("{}/service", path("telemetries", "shop")));
        case.counts("destination", "rank=\"namespace\"", true);
        let of_workload = json!({
            "selector": {"matchLabels": {"app": "front"}},
            "metrics": [rank("workload", "CLIENT")],
            "tracing": [{"match": {"mode": "CLIENT"}, "disableSpanReporting": true}],
        });
        case.create(("shop", "workload", &of_workload), "source");
        case.ask("/workload");
        changed_and_gone(&case);
        let (ledger, spans) = agent.end();
        assert_eq!(ledger["imbalance"], 0);
        let ends = ends(&spans);
        let check = |target: &str, expected: &[(&str, &str)]| {
            let found = ends.get(target).map(Vec::as_slice).unwrap_or_default();
            let found: Vec<_> = found
                .iter()
                .map(|(side, tags)| (&**side, &**tags))
                .collect();
            assert_eq!(found, expected, "{target}");
        };
        let [client, server] = ["client", "server"];
        check("/plain", &[(client, "- - -"), (server, "- - -")]);
        check("/mesh", &[]);
        check(
            "/namespace",
            &[(client, "eu t-1 some"), (server, "eu t-1 some")],
        );
        check(
            "/logged",
            &[(client, "eu none some"), (server, "eu none some")],
        );
        check("/service", &[(client, "eu none some")]);
        check("/workload", &[(server, "eu none some")]);
        check("/changed", &[(client, "us - -"), (server, "us - -")]);
        check("/gone", &[(client, "- - -"), (server, "- - -")]);
        let log = std::fs::read_to_string(&log).expect("a log");
        let logged = |target: &str| log.matches(&format!("{target} HTTP")).count();
        let found = ["/plain", "/namespace", "/logged", "/workload", "/gone"].map(logged);
        assert_eq!(found, [2, 0, 2, 0, 2], "{log}");
    });
}

/// The object of the namespace changes, then all go; what cannot be honoured is shown.
fn changed_and_gone(case: &Case<'_>) {
    let telemetries = path("telemetries", "shop");
    let complaints = || -> Vec<String> {
        let detail: Value = serde_json::from_str(&case.agent.page("/readyz")).expect("JSON");
        let shown = detail["workloads"]["telemetry_not_honoured"].clone();
        serde_json::from_value(shown).unwrap_or_default()
    };
    let check = |expected: &str| {
        let shown = complaints();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(shown[0].starts_with(expected), "{shown:?}");
    };
    check("shop/namespace: tracing[0].customTags.node: a proxy's environment");
    case.delete(&format!("{telemetries}/workload"));
    case.counts("source", "rank=\"namespace\"", true);
    let tracing = json!([{
        "randomSamplingPercentage": 100,
        "providers": [{"name": "zipkin"}],
        "customTags": {"zone": {"literal": {"value": "us"}}},
    }]);
    let metrics = json!([rank("changed", "CLIENT_AND_SERVER")]);
    let spec = json!({"spec": {"tracing": tracing, "metrics": metrics}});
    case.change("PATCH", &format!("{telemetries}/namespace"), &spec);
    for side in ["source", "destination"] {
        case.counts(side, "rank=\"changed\"", true);
    }
    case.ask("/changed");
    check("shop/namespace: tracing[0].providers: `zipkin`");
    case.delete(&format!("{telemetries}/namespace"));
    case.delete(&format!("{}/mesh", path("telemetries", "istio-system")));
    for side in ["source", "destination"] {
        case.counts(side, "rank=", false);
    }
    case.ask("/gone");
    assert_eq!(complaints(), Vec::<String>::new());
}

#[test]
fn routes_of_the_gateway_api_come_change_and_go() {
    identity::bench(|bench, cluster| {
        let wire = Wire::new(bench);
        let agent = start(bench, &cluster, &wire, "");
        let counted = |path: &str, route: &str| {
            let label = format!("route_name=\"{route}\"");
            let total = || {
                let page = agent.page("/stats/prometheus");
                let lines = lines(&page, "istio_requests_total", "destination").into_iter();
                lines
                    .filter(|line| line.contains(&label))
                    .map(value)
                    .sum::<f64>()
            };
            let before = total();
            until(&format!("{path} is of the route {route}"), || {
                wire.ask_with(path, "");
                (total() > before).then_some(())
            });
        };
        let of = |kind: &str, name: &str, rules: Value| {
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
                "metadata": {"name": name},
                "spec": {"hostnames": ["web"], "rules": rules},
            })
        };
        let health = json!([{"name": "health", "matches": [{"path": {"type": "Exact", "value": "/healthz"}}]}]);
        let routes = path("httproutes", "shop");
        cluster
            .server
            .expect("POST", &routes, &of("HTTPRoute", "cart", health));
        counted("/healthz", "shop/cart/health");
        counted("/other", "unknown");
        let method = json!([{"matches": [{"method": {"service": "shop.Cart", "method": "Add"}}]}]);
        let calls = path("grpcroutes", "shop");
        cluster
            .server
            .expect("POST", &calls, &of("GRPCRoute", "calls", method));
        counted("/shop.Cart/Add", "shop/calls/0");
        let alive = json!([{"name": "alive", "matches": [{"path": {"value": "/healthz"}}]}]);
        let spec = json!({"spec": {"rules": alive}});
        cluster
            .server
            .expect("PATCH", &format!("{routes}/cart"), &spec);
        counted("/healthz/live", "shop/cart/alive");
        cluster
            .server
            .expect("DELETE", &format!("{routes}/cart"), &json!({}));
        counted("/healthz", "unknown");
        agent.finish();
    });
}
