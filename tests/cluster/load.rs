//! Clients in pods that send a fixed number of requests, each with a number of its own.

use meshtap_tests::{Cluster, until};
use serde_json::{Value, json};

/// What `parts/load` is started with.
const IMAGE: &str = "localhost/load:test";

/// A pod that sends requests.
pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    namespace: String,
    name: String,
}

/// What its client received, by its own word.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    responded: Value,
}

impl Sent {
    /// Responses with this status.
    pub(crate) fn with(&self, status: u16) -> u64 {
        self.responded[status.to_string()].as_u64().unwrap_or(0)
    }
}

impl<'a> Load<'a> {
    /// Starts the client of `parts/load` with these words, in a pod with this name.
    pub(crate) fn start(cluster: &'a Cluster, namespace: &str, name: &str, words: &str) -> Self {
        let objects = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{
                            "name": "load",
                            "image": IMAGE,
                            "imagePullPolicy": "Never",
                            "args": words.split_whitespace().collect::<Vec<_>>(),
                        }],
                    },
                },
            ],
        });
        let load = Self {
            cluster,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        cluster.apply(&objects.to_string());
        load
    }

    /// It is still sending.
    pub(crate) fn is_running(&self) -> bool {
        self.phase() == "Running"
    }

    fn phase(&self) -> String {
        let pod = format!("--namespace {} pod {}", self.namespace, self.name);
        let pod = self.cluster.get(&pod);
        pod["status"]["phase"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until it has sent everything: what it received, a response for each.
    #[track_caller]
    pub(crate) fn finish(self) -> Sent {
        let mut phase = String::new();
        until("the client has sent everything", || {
            phase = self.phase();
            phase == "Succeeded" || phase == "Failed"
        });
        let logs = format!("--namespace {} logs {}", self.namespace, self.name);
        let said = self.cluster.kubectl(&logs);
        assert_eq!(phase, "Succeeded", "{said}");
        let report: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(report["errors"], 0, "{report}");
        Sent {
            count: report["sent"].as_u64().expect("a count"),
            seconds: report["seconds"].as_f64().expect("a number"),
            responded: report["responded"].clone(),
        }
    }
}

/// Also when a test fails: its requests would be counted by the next one.
impl Drop for Load<'_> {
    fn drop(&mut self) {
        let pod = format!("pod {} --ignore-not-found", self.name);
        let _ = self
            .cluster
            .try_kubectl(&format!("--namespace {} delete {pod}", self.namespace), "");
    }
}
