//! `meshtap explain --pod`: a pod of this node, one of another, one of none, and none at all.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use meshtap_tests::{ApiServer, Tap, binary, live};
use serde_json::{Value, json};

use crate::agent::{Wire, uid};

const PODS: &str = "/api/v1/namespaces/shop/pods";

fn pod(name: &str, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [{"name": "app", "image": "none"}]},
    })
}

/// What the command says of a pod. `node`: the node that this is said to be.
fn explain(kubeconfig: &Path, pod: &str, node: Option<&str>) -> Output {
    let set = |key: &str, value: &str| format!("kubernetes.{key}={value}");
    let mut command = Command::new(binary().expect("a meshtap binary"));
    command
        .args(["explain", "--json", "--for", "1ms", "--pod", pod])
        .args(["--set", &set("mode", "on")])
        .args([
            "--set",
            &set("kubeconfig", &kubeconfig.display().to_string()),
        ]);
    if let Some(node) = node {
        command.args(["--set", &set("node", node)]);
    }
    command.output().expect("meshtap starts")
}

/// It ends with one line that has these words.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[track_caller]
fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A file with a token that nobody has given out.
fn stranger(server: &ApiServer<'_>) -> PathBuf {
    server.kubeconfig("expired")
}

#[test]
fn where_a_pod_is() {
    if !ApiServer::available() {
        return;
    }
    live(|bench| {
        let server = ApiServer::start(bench);
        let namespace = json!({"metadata": {"name": "shop"}});
        server.expect("POST", "/api/v1/namespaces", &namespace);
        let pods = [
            pod("here", Some("node-a")),
            pod("there", Some("node-b")),
            pod("nowhere", None),
        ];
        server.create(PODS, &pods);
        let admin = server.kubeconfig(server.admin());
        let there = explain(&admin, "shop/there", Some("node-a"));
        refused(
            &there,
            &[
                "shop/there is on node node-b",
                "this is node-a",
                "run the command there",
            ],
        );
        // Where nobody has said which node this is, it is looked for, and the node is named.
        let found = report(&explain(&admin, "shop/there", None));
        assert_eq!(found["sockets"], json!([]), "{found:#}");
        let next = found["next"].as_str().expect("a next step");
        assert!(
            next.contains("on node node-b: run the command there"),
            "{next}"
        );
        let found = report(&explain(&admin, "shop/nowhere", Some("node-a")));
        assert_eq!(found["next"], "shop/nowhere is on no node yet");
        refused(
            &explain(&admin, "shop/lost", Some("node-a")),
            &["there is no pod shop/lost"],
        );
        refused(
            &explain(&stranger(&server), "shop/here", Some("node-a")),
            &["401 Unauthorized", "kubernetes.kubeconfig"],
        );
    });
}

/// The sockets of a pod of this node are found by the folder of its cgroup.
#[test]
fn a_pod_of_this_node() {
    live(|bench| {
        let wire = Wire::new(bench);
        let api = crate::fixed_api::start(bench, crate::metrics::pods(&wire), Vec::new());
        let agent = Tap::new(bench).server_side().start();
        // Networks are found by the processes in them.
        let mut process = wire.server.inside(|| {
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).spawn().expect("cat")
        });
        let mut pair = wire.connect(8080);
        pair.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
        agent.emitted(1);
        let found = report(&explain(
            &api.kubeconfig,
            "shop/cart-5d4f-x1",
            Some("node-a"),
        ));
        drop(process.stdin.take());
        process.wait().expect("cat ends");
        let sockets = found["sockets"].as_array().expect("sockets");
        let [socket] = sockets.as_slice() else {
            panic!("one socket: {found:#}");
        };
        assert_eq!(socket["local"], "10.77.0.1:8080", "{socket:#}");
        assert_eq!(socket["captured"], "yes", "{socket:#}");
        let cgroup = socket["cgroup"].as_str().expect("a cgroup");
        let id = uid(&wire.server.cgroup).replace('-', "_");
        assert!(cgroup.contains(&id), "{socket:#}");
        drop((pair, agent));
    });
}
