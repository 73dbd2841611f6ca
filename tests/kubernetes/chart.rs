//! Every object that the chart renders, accepted by the real API server: a dry run on the server,
//! with every field checked (`fieldValidation=Strict`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meshtap_parts::helm;
use meshtap_tests::{ApiServer, built, isolated};
use serde_json::{Value, json};

const CHART: &str = "deploy/helm/meshtap";
const NAMESPACE: &str = "meshtap";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn render(helm: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(helm)
        .current_dir(root())
        .args(["template", "meshtap", CHART, "--namespace", NAMESPACE])
        .args(arguments)
        .output()
        .expect("helm starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("YAML is text");
    documents(&text)
}

fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").filter(|one| one.contains("kind:"));
    let objects = documents.map(|one| serde_saphyr::from_str(one).expect("YAML"));
    objects.collect()
}

/// The path that objects of this kind are posted to.
fn path(object: &Value) -> String {
    let word = |key: &str| object[key].as_str().expect("a kind").to_owned();
    let (version, kind) = (word("apiVersion"), word("kind"));
    let group = match version.contains('/') {
        true => format!("/apis/{version}"),
        false => format!("/api/{version}"),
    };
    let plural = match kind.as_str() {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "PriorityClass" => "priorityclasses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    }
}

const DRY_RUN: &str = "?dryRun=All&fieldValidation=Strict";

/// Posts them without any effect; how many of which kind there were.
#[track_caller]
fn check(server: &ApiServer<'_>, name: &str, objects: &[Value]) -> Vec<String> {
    let mut kinds = Vec::new();
    for object in objects {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let reply = server.call("POST", &(path(object) + DRY_RUN), Some(object));
        // The namespace is there already: objects of a dry run need one.
        let is_known = kind == "Namespace" && reply.status == 409;
        assert!(
            reply.status == 201 || is_known,
            "{name}: {kind}: {reply:?}\n{object:#}"
        );
        kinds.push(kind);
    }
    kinds
}

/// The kinds of the Prometheus operator (monitoring.coreos.com/v1), with the fields of theirs that
/// a chart may use. Others are unknown, and so refused.
fn monitors() -> [Value; 2] {
    let text = json!({"type": "string"});
    let labels = json!({"type": "object", "additionalProperties": text});
    let names = json!({"type": "array", "items": text});
    let endpoint = json!({
        "type": "object",
        "properties": {
            "port": text, "path": text, "scheme": text,
            "interval": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"},
            "scrapeTimeout": text, "honorLabels": {"type": "boolean"},
        },
    });
    let definition = |kind: &str, plural: &str, endpoints: &str| {
        let spec = json!({
            "type": "object",
            "required": [endpoints, "selector"],
            "properties": {
                "selector": {"type": "object", "properties": {"matchLabels": labels}},
                "namespaceSelector": {"type": "object", "properties": {"matchNames": names}},
                "jobLabel": text,
                endpoints: {"type": "array", "items": endpoint},
            },
        });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com",
                "names": {"kind": kind, "plural": plural},
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "required": ["spec"], "properties": {"spec": spec},
                    }},
                }],
            },
        })
    };
    [
        definition("PodMonitor", "podmonitors", "podMetricsEndpoints"),
        definition("ServiceMonitor", "servicemonitors", "endpoints"),
    ]
}

/// A server with the namespace, and the operator's kinds.
fn prepare(server: &ApiServer<'_>) {
    let namespace = json!({"metadata": {
        "name": NAMESPACE,
        "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
    }});
    server.expect("POST", "/api/v1/namespaces", &namespace);
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for definition in monitors() {
        server.expect("POST", definitions, &definition);
    }
    for plural in ["podmonitors", "servicemonitors"] {
        crate::agent::until(plural, || {
            let list = format!("/apis/monitoring.coreos.com/v1/{plural}");
            (server.call("GET", &list, None).status == 200).then_some(())
        });
    }
}

fn with_server(body: impl FnOnce(&ApiServer<'_>, &Path) + Send) {
    let Some(helm) = built(helm::program()) else {
        return;
    };
    if !ApiServer::available() {
        return;
    }
    isolated(|bench| {
        let server = ApiServer::start(bench);
        prepare(&server);
        body(&server, &helm);
    });
}

#[test]
fn every_variant_is_accepted() {
    with_server(|server, helm| {
        let folder = root().join(CHART).join("variants");
        let mut count = 0;
        for entry in fs::read_dir(folder).expect("variants") {
            let path = entry.expect("an entry").path();
            let values = path.to_str().expect("text");
            let kinds = check(server, values, &render(helm, &["--values", values]));
            for kind in ["DaemonSet", "ServiceAccount", "ConfigMap", "Pod"] {
                assert!(kinds.iter().any(|one| one == kind), "{values}: {kinds:?}");
            }
            // The same as `kubectl apply -k` has it.
            let name = path.file_stem().expect("a name");
            let manifest = root()
                .join("deploy/manifests")
                .join(name)
                .join("meshtap.yaml");
            let text = fs::read_to_string(&manifest).expect("a manifest");
            let kinds = check(server, values, &documents(&text));
            assert!(kinds.len() > 5, "{kinds:?}");
            count += 1;
        }
        assert!(count >= 4, "{count} variants");
    });
}

#[test]
fn monitors_and_network_policies_are_accepted() {
    with_server(|server, helm| {
        let nobody = [
            "--set",
            "networkPolicy.enabled=true",
            "--set-json",
            "networkPolicy.from=[]",
        ];
        let prometheus = [
            "--set",
            "networkPolicy.enabled=true,metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true",
            "--set",
            "metrics.podMonitor.labels.release=prometheus,metrics.podMonitor.interval=15s",
        ];
        let others = [
            "--set",
            "config.capture.tls.enabled=true,config.kubernetes.peers=cluster,handover.enabled=false,metrics.annotations=false",
            "--set",
            "config.kubernetes.telemetry=true,config.kubernetes.routes=true,check.node=worker-1",
        ];
        for (arguments, expected) in [
            (nobody.as_slice(), vec!["NetworkPolicy"]),
            (
                &prometheus,
                vec!["NetworkPolicy", "PodMonitor", "ServiceMonitor", "Service"],
            ),
            (&others, vec!["ClusterRole", "ClusterRoleBinding"]),
        ] {
            let name = arguments.join(" ");
            let kinds = check(server, &name, &render(helm, arguments));
            for kind in expected {
                assert!(kinds.iter().any(|one| one == kind), "{name}: {kinds:?}");
            }
        }
    });
}

/// The check refuses what is wrong, in Kubernetes' own kinds and in those of the operator.
#[test]
fn a_field_that_does_not_exist_is_refused() {
    with_server(|server, helm| {
        let set = "networkPolicy.enabled=true,metrics.podMonitor.enabled=true";
        for object in render(helm, &["--set", set]) {
            let mut wrong = object.clone();
            let place = match object["kind"].as_str() {
                Some("DaemonSet" | "NetworkPolicy" | "PodMonitor") => &mut wrong["spec"],
                _ => continue,
            };
            place["imagePulPolicy"] = json!("Always");
            let reply = server.call("POST", &(path(&object) + DRY_RUN), Some(&wrong));
            assert!(reply.status >= 400, "{reply:?}");
            let said = reply.body.to_string();
            assert!(said.contains("imagePulPolicy"), "{said}");
        }
        let interval = "metrics.podMonitor.enabled=true,metrics.podMonitor.interval=often";
        let objects = render(helm, &["--set", interval]);
        let monitor = objects.iter().find(|one| one["kind"] == "PodMonitor");
        let monitor = monitor.expect("a PodMonitor");
        let reply = server.call("POST", &(path(monitor) + DRY_RUN), Some(monitor));
        assert_eq!(reply.status, 422, "{reply:?}");
    });
}
