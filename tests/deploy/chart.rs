//! The chart in the hands of the real Helm: it renders what follows from the values, and refuses
//! values that are none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meshtap_parts::helm;
use meshtap_tests::skip;
use serde_json::{Value, json};

/// The chart, from the folder of the workspace.
const CHART: &str = "deploy/helm/meshtap";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Helm with these words in the folder of the workspace. `None`: it cannot be built here.
fn run(arguments: &[&str]) -> Option<Output> {
    let Some(helm) = helm::program().expect("helm builds") else {
        skip(meshtap_parts::NO_TOOLCHAIN);
        return None;
    };
    let mut command = Command::new(helm);
    command.current_dir(root()).args(arguments);
    Some(command.output().expect("helm starts"))
}

/// The objects that these values render to, or what Helm says against them.
fn render(arguments: &[&str]) -> Option<Result<Vec<Value>, String>> {
    let fixed = ["template", "meshtap", CHART, "--namespace", "meshtap"];
    let output = run(&[&fixed, arguments].concat())?;
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8(output.stdout).expect("YAML is text");
    let documents = text.split("\n---\n").filter(|one| one.contains("kind:"));
    let objects = documents.map(|one| serde_saphyr::from_str(one).expect("YAML"));
    Some(Ok(objects.collect()))
}

fn rendered(arguments: &[&str]) -> Option<Vec<Value>> {
    let rendered = render(arguments)?;
    Some(rendered.unwrap_or_else(|error| panic!("{arguments:?}: {error}")))
}

fn variants() -> Vec<String> {
    let folder = root().join(CHART).join("variants");
    let entries = fs::read_dir(folder).expect("variants");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let paths = names.map(|name| format!("{CHART}/variants/{}", name.to_string_lossy()));
    paths.collect()
}

fn kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.collect()
}

fn names(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    for variant in variants() {
        let Some(output) = run(&["lint", "--strict", CHART, "--values", &variant]) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{variant}: {said}");
        assert!(!said.contains("[WARNING]"), "{variant}: {said}");
    }
}

/// Values, then capabilities besides the three, whether processes of the node are visible, and the
/// resources of the API that are read.
#[track_caller]
fn check(arguments: &[&str], more: &[&str], host_pid: bool, resources: &[&str]) {
    let Some(objects) = rendered(arguments) else {
        return;
    };
    let sets = kind(&objects, "DaemonSet");
    let [set] = sets.as_slice() else {
        panic!("{arguments:?}: {} DaemonSets", sets.len());
    };
    let spec = &set["spec"]["template"]["spec"];
    let context = &spec["containers"][0]["securityContext"];
    let expected = ["BPF", "NET_ADMIN", "PERFMON"].iter().chain(more);
    assert_eq!(
        names(&context["capabilities"]["add"]),
        expected.copied().collect(),
        "{arguments:?}"
    );
    assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(context["privileged"], false);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(spec["hostPID"] == true, host_pid, "{arguments:?}");
    for shared in ["hostNetwork", "hostIPC"] {
        assert!(spec[shared].is_null(), "{arguments:?}: {shared}");
    }
    let rules = kind(&objects, "ClusterRole");
    let rules = rules
        .iter()
        .flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let mut found = BTreeSet::new();
    for rule in rules {
        assert_eq!(names(&rule["verbs"]), BTreeSet::from(["list", "watch"]));
        found.extend(names(&rule["resources"]));
    }
    assert_eq!(found, resources.iter().copied().collect(), "{arguments:?}");
    let has_token = spec["automountServiceAccountToken"] == true;
    assert_eq!(has_token, !resources.is_empty(), "{arguments:?}");
}

const MORE: &[&str] = &["DAC_READ_SEARCH", "SYS_ADMIN", "SYS_PTRACE"];
const NODE: &[&str] = &["namespaces", "pods"];
const CLUSTER: &[&str] = &["namespaces", "pods", "services"];

#[test]
fn rights_follow_what_is_on() {
    check(&[], &[], false, NODE);
    let set = |value| ["--set", value];
    check(&set("config.kubernetes.peers=cluster"), &[], false, CLUSTER);
    check(&set("config.kubernetes.mode=off"), &[], false, &[]);
    check(
        &set("rbac.create=false,config.kubernetes.mode=off"),
        &[],
        false,
        &[],
    );
    check(&set("config.span.profile=semconv"), MORE, true, NODE);
    check(&set("config.capture.tls.enabled=true"), MORE, true, NODE);
    let variant = |name: &str| format!("{CHART}/variants/{name}.yaml");
    check(&["--values", &variant("ambient")], &[], false, CLUSTER);
    check(&["--values", &variant("sidecar")], &[], false, CLUSTER);
    check(&["--values", &variant("api-security")], &[], false, NODE);
    check(&["--values", &variant("debug-one-node")], MORE, true, NODE);
}

#[test]
fn health_is_where_the_agent_listens() {
    let container = |arguments: &[&str]| {
        let objects = rendered(arguments)?;
        let set = kind(&objects, "DaemonSet")[0].clone();
        Some(set["spec"]["template"]["spec"]["containers"][0].clone())
    };
    let Some(found) = container(&["--set", "config.telemetry.listen=0.0.0.0:9999"]) else {
        return;
    };
    assert_eq!(found["ports"][0]["containerPort"], 9999);
    assert_eq!(found["readinessProbe"]["httpGet"]["path"], "/readyz");
    let found = container(&["--set", "config.telemetry.listen=null"]).expect("helm is there");
    assert!(found["ports"].is_null(), "{found}");
    assert!(found["readinessProbe"].is_null(), "{found}");
    for inside in ["127.0.0.1:9464", "127.1.2.3:80", "[::1]:9464"] {
        let set = format!("config.telemetry.listen={inside}");
        let said = render(&["--set", &set]).expect("helm is there");
        let said = said.expect_err(inside);
        assert!(said.contains("config.telemetry.listen"), "{said}");
    }
}

/// The folder on the node, the one in the pod, and what an update may start beside the old agent.
fn handover(release: &[&str], arguments: &[&str]) -> Option<(Value, Value, Value)> {
    let words = [&["template"], release, &[CHART], arguments].concat();
    let output = run(&words)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let set = text
        .split("\n---\n")
        .find(|one| one.contains("kind: DaemonSet"));
    let set: Value = serde_saphyr::from_str(set.expect("a DaemonSet")).expect("YAML");
    let spec = &set["spec"]["template"]["spec"];
    let named = |list: &Value| {
        let mut list = list.as_array().into_iter().flatten();
        list.find(|one| one["name"] == "run").cloned()
    };
    let volume = named(&spec["volumes"]).unwrap_or_default();
    let mount = named(&spec["containers"][0]["volumeMounts"]).unwrap_or_default();
    Some((
        volume["hostPath"]["path"].clone(),
        mount["mountPath"].clone(),
        set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"].clone(),
    ))
}

/// An agent hands over to whoever it meets, so no two releases of a cluster share a folder, and
/// none has the host's.
#[test]
fn every_release_has_a_handover_of_its_own() {
    let releases = [
        ["meshtap", "--namespace=meshtap"],
        ["gateway", "--namespace=meshtap"],
        ["meshtap", "--namespace=b"],
        ["a", "--namespace=b-a"],
        ["a-a", "--namespace=b"],
    ];
    let mut folders = BTreeSet::from(["/run/meshtap".to_owned()]);
    for release in &releases {
        let Some((on_node, in_pod, surge)) = handover(release, &[]) else {
            return;
        };
        let on_node = on_node.as_str().expect("a folder").to_owned();
        assert!(folders.insert(on_node), "{release:?}: {folders:?}");
        assert_eq!(
            (in_pod, surge),
            (json!("/run/meshtap"), json!("10%")),
            "{release:?}"
        );
    }
    assert!(
        !folders.iter().any(|one| one.starts_with("/run/meshtap/")),
        "{folders:?}"
    );
}

#[test]
fn without_a_handover_no_agent_starts_beside_another() {
    let with = |arguments: &[&str]| handover(&["meshtap"], arguments);
    for off in ["handover.enabled=false", "config.handover.folder=null"] {
        let Some((on_node, in_pod, surge)) = with(&["--set", off]) else {
            return;
        };
        assert_eq!((on_node, in_pod), (Value::Null, Value::Null), "{off}");
        assert_eq!(surge, json!(0), "{off}");
    }
    // A folder of the configuration's own is mounted where that says.
    let elsewhere = with(&["--set", "config.handover.folder=/var/lib/meshtap"]);
    let (on_node, in_pod, _) = elsewhere.expect("helm is there");
    assert!(on_node.is_string());
    assert_eq!(in_pod, json!("/var/lib/meshtap"));
    let own = "updateStrategy.rollingUpdate.maxSurge=3";
    let (.., surge) = with(&["--set", own]).expect("helm is there");
    assert_eq!(surge, json!(3));
}

#[test]
fn who_may_connect_and_who_scrapes() {
    let Some(objects) = rendered(&["--set", "networkPolicy.enabled=true"]) else {
        return;
    };
    let policy = &kind(&objects, "NetworkPolicy")[0]["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress"]));
    let [rule] = policy["ingress"].as_array().expect("rules").as_slice() else {
        panic!("one rule: {policy}");
    };
    let namespace = &rule["from"][0]["namespaceSelector"]["matchLabels"];
    assert_eq!(namespace["kubernetes.io/metadata.name"], "monitoring");
    assert_eq!(rule["ports"], json!([{ "protocol": "TCP", "port": 9464 }]));
    // Nobody, rather than everybody.
    let nobody = rendered(&[
        "--set",
        "networkPolicy.enabled=true",
        "--set-json",
        "networkPolicy.from=[]",
    ]);
    let nobody = nobody.expect("helm is there");
    assert_eq!(
        kind(&nobody, "NetworkPolicy")[0]["spec"]["ingress"],
        json!([])
    );

    for (name, ends) in [("pod", "podMetricsEndpoints"), ("service", "endpoints")] {
        let set = format!("metrics.{name}Monitor.enabled=true");
        let objects = rendered(&["--set", &set]).expect("helm is there");
        let monitor = match name {
            "pod" => kind(&objects, "PodMonitor"),
            _ => kind(&objects, "ServiceMonitor"),
        };
        let ends = monitor[0]["spec"][ends].as_array().expect("pages");
        let paths: Vec<_> = ends.iter().map(|end| end["path"].as_str()).collect();
        assert_eq!(paths, [Some("/metrics"), Some("/stats/prometheus")]);
        assert_eq!(ends[1]["honorLabels"], true);
        let services = kind(&objects, "Service").len();
        assert_eq!(services, usize::from(name == "service"));
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_key() {
    for (value, key) in [
        ("imge.tag=1", "imge"),
        ("image.tg=1", "tg"),
        ("replicas=2", "replicas"),
        ("handover.enabled=often", "enabled"),
        ("config.capture.sid=server", "sid"),
        ("config.capture.side=left", "side"),
        ("config.limits.bdy=1", "bdy"),
        ("config.limits.connections=many", "connections"),
        ("config.span.profile=meshy", "profile"),
        ("config.export.otlp[0].endpont=http://a", "endpont"),
        ("config.export.otlp[0].retry.never=1", "never"),
        ("config.telemetry.log_format=xml", "log_format"),
        ("networkPolicy.form=x", "form"),
        ("metrics.podMonitor.intervall=30s", "intervall"),
        ("config.policy.sampling_ratio=half", "sampling_ratio"),
        ("config.limits.body=banana", "body"),
        ("config.limits.body=1.5MiB", "body"),
        ("config.capture.ring=100KiB", "ring"),
        ("config.capture.ring=3MiB", "ring"),
        ("config.capture.ring=2GiB", "ring"),
        ("config.export.shutdown_timeout=soon", "shutdown_timeout"),
        ("config.telemetry.listen=nonsense", "listen"),
        ("config.telemetry.listen=localhost:9464", "listen"),
    ] {
        let Some(rendered) = render(&["--set", value]) else {
            return;
        };
        let said = rendered.expect_err(value);
        assert!(said.contains(key), "{value}: {said}");
    }
}

/// The `--set` and `--values` of a command in a guide.
fn settings(command: &str) -> Vec<&str> {
    // No quoted word has a space in it.
    let words = command
        .split_whitespace()
        .map(|word| word.trim_matches('\''));
    let words: Vec<&str> = words.collect();
    let pairs = words
        .windows(2)
        .filter(|pair| ["--set", "--values"].contains(&pair[0]));
    pairs.flatten().copied().collect()
}

#[test]
fn every_installation_in_the_guides_renders() {
    let docs = fs::read_dir(root().join("docs")).expect("docs");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let others = ["README.md", "deploy/README.md"].map(|name| root().join(name));
    let mut count = 0;
    for path in docs
        .chain(others)
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
    {
        let text = fs::read_to_string(&path)
            .expect("a guide")
            .replace("\\\n", " ");
        // `config.a.b=c` between backticks is a setting of the chart too.
        let inline = text.split('`').skip(1).step_by(2).filter(|code| {
            let is_key = code.starts_with("config.") || code.starts_with("handover.");
            is_key && code.contains('=') && !code.contains(char::is_whitespace)
        });
        let inline = inline.map(|code| vec!["--set", code]);
        let commands = text.lines().filter(|line| line.starts_with("helm install"));
        for arguments in commands.map(settings).chain(inline) {
            let Some(rendered) = render(&arguments) else {
                return;
            };
            assert!(
                rendered.is_ok(),
                "{}: {arguments:?}: {rendered:?}",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count > 8, "only {count} installations in the guides");
}
