//! What is in the cluster: a collector, two applications, and the agent.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use meshtap_tests::{Cluster, Connection, until};
use serde_json::Value;

use crate::chart;
use crate::real::{Span, spans_in};

const COLLECTOR: &str = include_str!("collector.yaml");
const APPLICATIONS: &str = include_str!("applications.yaml");
const AGENT: &str = include_str!("../../deploy/meshtap.yaml");

/// What an agent says that knows this node's pods.
pub(crate) const SYNCED: &str = "synced";

/// The cluster with everything in it.
pub(crate) struct Shop {
    pub(crate) cluster: Cluster,
    /// What the collector writes.
    output: PathBuf,
    /// How much of it was there before.
    before: u64,
}

impl Shop {
    /// Everything in it, and ready; the agent with these lines in its configuration. What earlier
    /// tests sent is forgotten.
    pub(crate) fn open(configuration: &[&str]) -> Option<Self> {
        let shop = Self::without_agent()?;
        shop.deploy(configuration);
        Some(shop)
    }

    /// Everything but the agent.
    pub(crate) fn without_agent() -> Option<Self> {
        let cluster = Cluster::running()?;
        chart::remove(&cluster);
        let folder = cluster.folder("collected");
        cluster.apply(&COLLECTOR.replace("FOLDER", folder.to_str().expect("text")));
        cluster.rolled_out("observability", "deployment/otel-collector");
        cluster.apply(APPLICATIONS);
        // A test that failed may have left it.
        cluster.kubectl("annotate namespace shop meshtap.dev/capture-");
        cluster.kubectl("--namespace shop scale deployment/web --replicas 2");
        for application in ["web", "front"] {
            cluster.rolled_out("shop", &format!("deployment/{application}"));
        }
        let output = folder.join("spans.jsonl");
        Some(Self {
            cluster,
            before: fs::metadata(&output).map_or(0, |file| file.len()),
            output,
        })
    }

    /// The agent as `deploy/` has it, with these lines in its configuration. It sees the whole
    /// machine: unless they say otherwise, it leaves what is no pod alone.
    fn deploy(&self, configuration: &[&str]) {
        let section = "  config.yaml: |\n";
        assert!(AGENT.contains(section));
        let mut lines = configuration.to_vec();
        if !lines.iter().any(|line| line.starts_with("scope:")) {
            lines.push("scope: {host: false}");
        }
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        let objects = AGENT.replace(section, &format!("{section}{lines}"));
        self.cluster.apply(&objects);
        self.cluster
            .kubectl("--namespace meshtap rollout restart daemonset/meshtap");
        self.cluster.rolled_out("meshtap", "daemonset/meshtap");
        let agent = address_of(&self.agent());
        until("the agent knows the pods", || {
            self.watch(&agent)["state"] == SYNCED
        });
    }

    /// Takes the agent of `deploy/` away.
    pub(crate) fn undeploy(&self) {
        self.cluster.delete(AGENT);
    }

    /// A service's address.
    pub(crate) fn address(&self, namespace: &str, service: &str) -> String {
        let service = self
            .cluster
            .get(&format!("--namespace {namespace} service {service}"));
        service["spec"]["clusterIP"]
            .as_str()
            .expect("an address")
            .to_owned()
    }

    /// The pods of an application that are to stay.
    pub(crate) fn pods(&self, namespace: &str, application: &str) -> Vec<Value> {
        let list = self.cluster.get(&format!(
            "--namespace {namespace} pods --selector {application}"
        ));
        let pods = list["items"].as_array().expect("a list").iter();
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .cloned()
            .collect()
    }

    /// The agent's pod.
    pub(crate) fn agent(&self) -> Value {
        let mut pods = self.pods("meshtap", "app.kubernetes.io/name=meshtap");
        assert_eq!(pods.len(), 1, "{pods:?}");
        pods.remove(0)
    }

    /// Asks, from the node, and checks that the response is right: the body.
    pub(crate) fn get(&self, address: &str, port: u16, target: &str) -> String {
        let address = std::net::SocketAddr::new(address.parse().expect("an address"), port);
        let response = self
            .cluster
            .network()
            .inside(|| Connection::open(address).get(target));
        assert_eq!(response.status, 200, "{target}");
        String::from_utf8(response.body).expect("text")
    }

    /// Has the application `front` ask, for each of these targets, `host`: the bodies that it got.
    pub(crate) fn ask(&self, host: &str, port: u16, targets: &[String]) -> Vec<String> {
        let front = self.pods("shop", "app=front").remove(0);
        let front = address_of(&front);
        let address = std::net::SocketAddr::new(front.parse().expect("an address"), 8080);
        self.cluster.network().inside(|| {
            let mut connection = Connection::open(address);
            let mut bodies = Vec::new();
            for target in targets {
                let request = target
                    .trim_start_matches('/')
                    .replace('?', "%3F")
                    .replace('=', "%3D");
                let dial = format!(
                    "/dial?protocol=http&tries=1&host={host}&port={port}&request={request}"
                );
                let response = connection.get(&dial);
                let emitted: Value = serde_json::from_slice(&response.body).expect("JSON");
                assert!(emitted["errors"].is_null(), "{emitted}");
                bodies.push(
                    emitted["responses"][0]
                        .as_str()
                        .expect("an response")
                        .to_owned(),
                );
            }
            bodies
        })
    }

    /// A page of the agent's own.
    pub(crate) fn page(&self, agent: &str, path: &str) -> String {
        self.get(agent, 9464, path)
    }

    /// How it does with following the pods of its node.
    pub(crate) fn watch(&self, agent: &str) -> Value {
        let detail: Value = serde_json::from_str(&self.page(agent, "/readyz")).expect("JSON");
        detail["workloads"]["watches"]["node_pods"].clone()
    }

    /// Gives the agent the rights of `deploy/` again.
    pub(crate) fn allow(&self) {
        let rights = AGENT
            .split("\n---\n")
            .find(|object| object.contains("kind: ClusterRoleBinding"));
        self.cluster.apply(rights.expect("a ClusterRoleBinding"));
    }

    /// The sample of one of the agent's metrics.
    pub(crate) fn metric(&self, agent: &str, sample: &str) -> f64 {
        let page = self.page(agent, "/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.unwrap_or_else(|| panic!("no {sample} in {page}"));
        value.trim().parse().expect("a number")
    }

    /// Calls `each` with every span that has arrived since this was opened.
    pub(crate) fn arrived(&self, each: impl FnMut(&Span)) {
        let mut file = File::open(&self.output).expect("the collector's file");
        file.seek(SeekFrom::Start(self.before)).expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        // The last line may not be whole yet.
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        spans_in(&text[..end], each);
    }

    /// Waits until the spans of these targets have arrived, `each` of them so many times: those
    /// spans.
    pub(crate) fn emitted(&self, targets: &[String], each: usize) -> Vec<Span> {
        let mut emitted = Vec::new();
        until(&format!("{} spans are there", targets.len() * each), || {
            emitted.clear();
            self.arrived(|span| {
                if targets.contains(&span.text("http.target")) {
                    emitted.push(span.clone());
                }
            });
            emitted.len() >= targets.len() * each
        });
        for target in targets {
            let count = emitted
                .iter()
                .filter(|span| span.text("http.target") == *target)
                .count();
            assert_eq!(count, each, "{target}");
        }
        emitted
    }
}

/// A pod's address.
pub(crate) fn address_of(pod: &Value) -> String {
    pod["status"]["podIP"]
        .as_str()
        .expect("an address")
        .to_owned()
}

/// The ledger that an agent prints as its last words.
pub(crate) fn ledger(mut log: File) -> Value {
    let mut ledger = Value::Null;
    until("the agent has said its last words", || {
        let mut text = String::new();
        log.rewind().expect("a file");
        log.read_to_string(&mut text).expect("text");
        // Time, stream and a mark go before what was printed.
        let lines = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
        let ended = lines
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| line.pointer("/fields/ledger").cloned());
        let Some(Value::String(text)) = ended else {
            return false;
        };
        ledger = serde_json::from_str(&text).expect("JSON");
        true
    });
    ledger
}
