//! The chart, installed, tested, changed, rolled back and removed by the real Helm.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use meshtap_tests::{Cluster, figure, until};
use serde_json::Value;

use crate::load::Load;
use crate::shop::{SYNCED, Shop, address_of, ledger};

/// The chart, from the folder of the workspace.
pub(crate) const CHART: &str = "deploy/helm/meshtap";

/// Runs Helm, which must succeed: what it prints.
#[track_caller]
pub(crate) fn helm(cluster: &Cluster, words: &[&str]) -> String {
    let output = cluster.helm(words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {words:?}: {errors}{said}");
    said
}

/// Installs the chart in the place of the agent of `deploy/`: the ambient variant with these
/// values, and nothing of this machine that is no pod. When this returns, the agent knows the
/// cluster.
pub(crate) fn install(shop: &Shop, values: &[&str]) {
    shop.undeploy();
    let variant = format!("{CHART}/variants/ambient.yaml");
    let mut words = vec!["upgrade", "--install", "meshtap", CHART];
    words.extend(["--namespace", "meshtap", "--create-namespace", "--wait"]);
    words.extend(["--values", &variant, "--set", "config.scope.host=false"]);
    words.extend(values);
    helm(&shop.cluster, &words);
    await_cluster(shop);
}

/// Waits until the agent knows every pod and service.
fn await_cluster(shop: &Shop) {
    let own = address_of(&shop.agent());
    until("the agent knows the cluster", || {
        let detail = shop.page(&own, "/readyz");
        let detail: Value = serde_json::from_str(&detail).expect("JSON");
        let watches = &detail["workloads"]["watches"];
        let is_synced = |watch: &&str| watches[*watch]["state"] == SYNCED;
        ["node_pods", "other_pods", "services"]
            .iter()
            .all(is_synced)
    });
}

/// Removes what a test has installed.
pub(crate) fn remove(cluster: &Cluster) {
    let uninstall = ["uninstall", "meshtap", "--namespace", "meshtap", "--wait"];
    helm(cluster, &[&uninstall[..], &["--ignore-not-found"]].concat());
}

/// The commands of a guide's first block of shell lines that begin with these programs.
fn commands(guide: &str, programs: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(guide)).expect("a guide");
    let (_, rest) = text.split_once("```sh\n").expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    let block = block.replace("\\\n", " ");
    let lines = block
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default());
    let wanted = |line: &&str| programs.iter().any(|program| line.starts_with(program));
    lines.filter(wanted).map(str::to_owned).collect()
}

/// Does what a line of a guide says.
#[track_caller]
fn follow(cluster: &Cluster, line: &str) -> String {
    // The node has the image already, under the name that it is built with.
    let line = line.replace("registry.example/", "localhost/");
    // No quoted word has a space in it.
    let words = line.split_whitespace().map(|word| word.trim_matches('\''));
    let words: Vec<&str> = words.collect();
    match words.split_first() {
        Some((&"helm", words)) => helm(cluster, words),
        Some((&"kubectl", words)) => cluster.kubectl(&words.join(" ")),
        _ => panic!("{line}"),
    }
}

/// Programs that are attached to the root of cgroup v2, by their ids.
fn attached() -> BTreeSet<u64> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let root = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let root = root
        .and_then(|line| line.split(' ').nth(4))
        .expect("cgroup v2");
    let output = Command::new("bpftool")
        .args(["--json", "cgroup", "show", root])
        .output();
    let output = output.expect("bpftool");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let programs = list.as_array().into_iter().flatten();
    programs
        .filter_map(|program| program["id"].as_u64())
        .collect()
}

/// What is in the file system of BPF: a kernel with `bpf_preload` has iterators of its own there.
fn pinned(cluster: &Cluster) -> BTreeSet<OsString> {
    let entries = fs::read_dir(cluster.path("/sys/fs/bpf")).into_iter();
    entries
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .collect()
}

/// Names of objects, of these kinds, that have to do with the agent.
fn objects(cluster: &Cluster) -> String {
    let own = "all,configmaps,secrets,serviceaccounts,networkpolicies,leases";
    let own = cluster.kubectl(&format!("--namespace meshtap get {own} --output name"));
    let shared = "clusterroles,clusterrolebindings,priorityclasses,customresourcedefinitions";
    let shared = cluster.kubectl(&format!("get {shared} --output name"));
    // Every namespace has these two.
    let of_all = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    let shared = shared.lines().filter(|name| name.contains("meshtap"));
    let own = own.lines().filter(|name| !of_all.contains(name));
    own.chain(shared).collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_quick_start_as_it_is_written() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    shop.undeploy();
    let cluster = &shop.cluster;
    let before = (attached(), pinned(cluster));
    let id = format!("quick-{}", std::process::id());
    let words = format!("-count 3000 -rate 50 GET http://web.shop/echo?msg={id}-{{n}}");
    let load = Load::start(cluster, "clients", "load", &words);
    until("the client sends", || load.is_running());
    let lines = commands("docs/ambient.md", &["helm", "kubectl"]);
    assert!(lines.len() >= 4, "{lines:?}");
    let began = Instant::now();
    follow(cluster, &lines[0]);
    let installed = began.elapsed();
    until("a span is at the collector", || {
        let mut found = false;
        shop.arrived(|span| found |= span.text("http.target").contains(&id));
        found
    });
    figure(&format!(
        "helm install returned after {:.1} s, the first span was at the collector after {:.1} s",
        installed.as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
    let said: Vec<String> = lines[1..]
        .iter()
        .map(|line| follow(cluster, line))
        .collect();
    let test = lines[1..]
        .iter()
        .position(|line| line.starts_with("helm test"));
    let table = &said[test.expect("helm test")];
    for row in [
        "hook socket",
        "kubernetes api",
        "collector otlp",
        "capabilities",
    ] {
        assert!(table.contains(row), "{row} in {table}");
    }
    assert!(!table.contains('✗'), "{table}");
    let sent = load.finish();
    assert_eq!(sent.with(200), sent.count);
    let (before, pins) = before;
    let here: Vec<u64> = attached().difference(&before).copied().collect();
    assert!(!here.is_empty(), "no program is attached");
    uninstall_leaves_nothing(&shop, &here);
    assert_eq!(pinned(cluster), pins, "something is pinned");
}

/// As docs/upgrade.md says it.
fn uninstall_leaves_nothing(shop: &Shop, programs: &[u64]) {
    let cluster = &shop.cluster;
    let agent = shop.agent();
    let uid = agent["metadata"]["uid"].as_str().expect("a uid");
    for line in commands(
        "docs/upgrade.md",
        &["helm uninstall", "kubectl --namespace meshtap delete"],
    ) {
        follow(cluster, &line);
    }
    until("the agent is gone", || objects(cluster).is_empty());
    assert_eq!(objects(cluster), "");
    let left = attached();
    let ours = programs.iter().filter(|id| left.contains(id));
    assert_eq!(ours.count(), 0, "programs stay attached");
    let folder =
        fs::read_dir(cluster.path("/run/meshtap-agents/meshtap/meshtap")).expect("the folder");
    let left: Vec<_> = folder.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["handover.sock"]);
    until("the pod's cgroup is gone", || {
        let find = ["/sys/fs/cgroup", "-name", &format!("pod{uid}*")].map(str::to_owned);
        let output = Command::new("find").args(find).output().expect("find");
        output.stdout.is_empty()
    });
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn wrong_values_change_nothing() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    install(&shop, &[]);
    let agent = shop.agent();
    for (value, key) in [
        ("config.capture.sid=server", "sid"),
        ("config.limits.bdy=1", "bdy"),
        ("config.limits.connections=many", "connections"),
        ("config.export.otlp[0].endpont=http://a", "endpont"),
        ("image.tg=1", "tg"),
        ("replicas=2", "replicas"),
    ] {
        let words = [
            "upgrade",
            "meshtap",
            CHART,
            "--namespace",
            "meshtap",
            "--set",
            value,
        ];
        let output = shop.cluster.helm(&words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{value}");
        assert!(errors.contains(key), "{value}: {errors}");
        figure(&format!("{value}: {}", errors.trim().replace('\n', " ")));
    }
    let history = helm(
        &shop.cluster,
        &["history", "meshtap", "--namespace", "meshtap"],
    );
    assert_eq!(history.lines().count(), 2, "{history}");
    assert_eq!(shop.agent()["metadata"]["uid"], agent["metadata"]["uid"]);
}

/// The load of the test below.
const REQUESTS: usize = 15_000;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn an_upgrade_and_a_rollback_under_load_miss_nothing() {
    let Some(shop) = Shop::without_agent() else {
        return;
    };
    install(&shop, &[]);
    let cluster = &shop.cluster;
    let mut logs = vec![cluster.log(&shop.agent())];
    let id = format!("upgrade-{}", std::process::id());
    let words = format!(
        "-count {REQUESTS} -clients 4 -rate 150 -reuse 500 GET http://web.shop/echo?msg={id}-{{n}}"
    );
    let load = Load::start(cluster, "clients", "load", &words);
    let arrived = |count: usize| {
        until("spans of the load are at the collector", || {
            seen(&shop, &id).values().sum::<usize>() >= count
        });
    };
    arrived(300);
    let upgrade = [
        "upgrade",
        "meshtap",
        CHART,
        "--namespace",
        "meshtap",
        "--reuse-values",
    ];
    let change = ["--set", "config.limits.body=32KiB", "--wait"];
    let mut times = Vec::new();
    let rollback = [
        "rollback",
        "meshtap",
        "1",
        "--namespace",
        "meshtap",
        "--wait",
    ];
    for words in [&[&upgrade[..], &change].concat()[..], &rollback] {
        let began = Instant::now();
        helm(cluster, words);
        cluster.rolled_out("meshtap", "daemonset/meshtap");
        times.push(began.elapsed().as_secs_f64());
        logs.push(cluster.log(&shop.agent()));
        let now = seen(&shop, &id).values().sum::<usize>();
        arrived(now + 300);
    }
    assert!(load.is_running(), "the load was over too soon");
    let sent = load.finish();
    assert_eq!(sent.with(200), REQUESTS as u64);
    remove(cluster);
    for line in logs.iter().flat_map(hand_over) {
        figure(&line);
    }
    let ledgers: Vec<Value> = logs.into_iter().map(ledger).collect();
    for ledger in &ledgers {
        assert_eq!(ledger["imbalance"], 0, "{ledger}");
        assert_eq!(ledger["in_flight"], 0, "{ledger}");
    }
    let exported = |ledger: &Value| ledger["exporters"]["otlp"]["exported"].as_u64();
    let exported: Vec<u64> = ledgers.iter().filter_map(exported).collect();
    // Everything was delivered before the last agent ended; the collector writes it down.
    until("what was delivered is written", || {
        let mut count = 0;
        shop.arrived(|_| count += 1);
        count >= exported.iter().sum::<u64>()
    });
    let seen = seen(&shop, &id);
    let twice = seen.values().filter(|count| **count > 1).count();
    let missing = REQUESTS - seen.len();
    figure(&format!(
        "{REQUESTS} requests in {:.0} s, upgrade {:.1} s, rollback {:.1} s: {missing} missing, {twice} twice; exported {exported:?}",
        sent.seconds, times[0], times[1],
    ));
    assert_eq!((missing, twice), (0, 0));
}

/// What an agent's log says of the hand-over.
fn hand_over(mut log: &fs::File) -> Vec<String> {
    let mut text = String::new();
    log.rewind().expect("a file");
    log.read_to_string(&mut text).expect("text");
    let wanted = |line: &&str| {
        ["took over", "takes over", "hand-over"]
            .iter()
            .any(|word| line.contains(word))
    };
    text.lines().filter(wanted).map(str::to_owned).collect()
}

/// How often each request of a load is at the collector.
fn seen(shop: &Shop, id: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    shop.arrived(|span| {
        let target = span.text("http.target");
        if target.contains(id) {
            *seen.entry(target).or_default() += 1;
        }
    });
    seen
}
