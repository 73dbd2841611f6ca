//! The capabilities that the chart asks for: all of them are enough, and each that is taken away is
//! named.

use meshtap_tests::{figure, until};
use serde_json::{Value, json};

use crate::chart::{CHART, helm, install};
use crate::shop::Shop;

const NEEDED: [&str; 3] = ["BPF", "NET_ADMIN", "PERFMON"];
const OF_PROCESSES: [&str; 3] = ["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN"];
const TLS: [&str; 2] = ["--set", "config.capture.tls.enabled=true"];

/// A pod of the chart as it is rendered: the one of `helm test`, or the agent's.
fn rendered(shop: &Shop, template: &str, values: &[&str]) -> Value {
    let file = format!("templates/{template}.yaml");
    let mut words = vec!["template", "meshtap", CHART, "--namespace", "meshtap"];
    let variant = format!("{CHART}/variants/ambient.yaml");
    words.extend(["--values", &variant, "--show-only", &file]);
    words.extend(values);
    let text = helm(&shop.cluster, &words);
    let object: Value = serde_saphyr::from_str(&text).expect("YAML");
    match object.pointer("/spec/template") {
        Some(template) => template.clone(),
        None => object,
    }
}

/// Runs a pod once, with these capabilities: whether it succeeded, and what it said.
fn run(shop: &Shop, name: &str, pod: &Value, capabilities: &[&str]) -> (bool, String) {
    let mut spec = pod["spec"].clone();
    spec["restartPolicy"] = json!("Never");
    let container = &mut spec["containers"][0];
    container["securityContext"]["capabilities"]["add"] = json!(capabilities);
    // The agent that runs is left alone.
    for probe in ["livenessProbe", "readinessProbe"] {
        container.as_object_mut().expect("an object").remove(probe);
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "meshtap"},
        "spec": spec,
    });
    shop.cluster.delete(&object.to_string());
    shop.cluster.apply(&object.to_string());
    let mut phase = String::new();
    until(&format!("{name} has ended"), || {
        let pod = shop.cluster.get(&format!("--namespace meshtap pod {name}"));
        phase = pod["status"]["phase"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        phase == "Succeeded" || phase == "Failed"
    });
    let log = shop
        .cluster
        .kubectl(&format!("--namespace meshtap logs {name}"));
    shop.cluster.delete(&object.to_string());
    (phase == "Succeeded", log)
}

/// The line that names a capability.
fn sentence<'a>(log: &'a str, name: &str) -> &'a str {
    let mut lines = log.lines().filter(|line| line.contains(name));
    lines.next().unwrap_or_else(|| panic!("no {name} in {log}"))
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn each_of_the_three_is_needed_and_named() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    install(&shop, &[]);
    let check = rendered(&shop, "tests/check", &[]);
    // A takeover from the agent that runs is no part of this.
    let agent = rendered(&shop, "daemonset", &["--set", "handover.enabled=false"]);
    let (succeeded, log) = run(&shop, "check-all", &check, &NEEDED);
    assert!(succeeded, "{log}");
    for removed in NEEDED {
        let left: Vec<_> = NEEDED.into_iter().filter(|one| *one != removed).collect();
        let name = format!("CAP_{removed}");
        let suffix = removed.to_lowercase().replace('_', "-");
        for (kind, pod) in [("check", &check), ("run", &agent)] {
            let (succeeded, log) = run(&shop, &format!("{kind}-without-{suffix}"), pod, &left);
            assert!(!succeeded, "{kind} without {name}: {log}");
            figure(&format!("{kind} without {name}: {}", sentence(&log, &name)));
        }
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn each_of_those_for_processes_is_needed_and_named() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    install(&shop, &TLS);
    let check = rendered(&shop, "tests/check", &TLS);
    let all = [NEEDED, OF_PROCESSES].concat();
    // The agent's own TLS cannot be read, which the table says: it is not all well.
    let (_, log) = run(&shop, "check-all", &check, &all);
    assert!(log.contains("✓ process names"), "{log}");
    for removed in OF_PROCESSES {
        let left: Vec<_> = all.iter().copied().filter(|one| *one != removed).collect();
        let name = format!("CAP_{removed}");
        let suffix = removed.to_lowercase().replace('_', "-");
        let (_, log) = run(&shop, &format!("check-without-{suffix}"), &check, &left);
        assert!(log.contains("✗ process names"), "without {name}: {log}");
        let sentence = sentence(&log, &name);
        figure(&format!("without {name}: {sentence}"));
        for other in OF_PROCESSES.iter().filter(|one| **one != removed) {
            assert!(!sentence.contains(other), "without {name}: {sentence}");
        }
    }
}
