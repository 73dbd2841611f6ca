//! What the agent may do on a node: what `deploy/README.md` says, and nothing else.

use std::fs;
use std::path::PathBuf;

use meshtap_tests::skip;
use serde_json::Value;

use crate::shop::Shop;

/// `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF` of linux/capability.h.
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | CAP_BPF;
const CAP_BPF: u64 = 1 << 39;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_agent_has_three_capabilities_and_nothing_else() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = shop.agent();
    let uid = agent["metadata"]["uid"].as_str().expect("a uid");
    let process = process_of(uid);
    let status = fs::read_to_string(process.join("status")).expect("its status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .trim()
            .to_owned()
    };
    let bits = |set: &str| u64::from_str_radix(&field(set), 16).expect("bits");
    assert_eq!(bits("CapBnd:"), CAPABILITIES);
    // Once it has attached its programs it gives up what it does not need any more: all but
    // `CAP_BPF`, and that too where maps can be used without.
    for set in ["CapEff:", "CapPrm:"] {
        assert_eq!(bits(set) & !CAP_BPF, 0, "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(bits(set), 0, "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    // A filter of system calls.
    assert_eq!(field("Seccomp:"), "2");
    let spec = &agent["spec"];
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec[shared].is_null(), "{shared}");
    }
    let log = shop
        .cluster
        .kubectl("--namespace meshtap logs daemonset/meshtap");
    assert!(log.contains("capturing"), "{log}");
}

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_agent_cannot_change_a_cgroup() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = shop.agent();
    let process = process_of(agent["metadata"]["uid"].as_str().expect("a uid"));
    // Below this, paths lead through the agent's own mounts; the test may write wherever the mount
    // allows it.
    let root = process.join("root");
    let mounts = fs::read_to_string(process.join("mountinfo")).expect("its mounts");
    let cgroups: Vec<_> = mounts.lines().filter_map(cgroup_mount).collect();
    let of_node = cgroups.iter().filter(|mount| mount.starts_with("/host/"));
    assert!(of_node.count() > 0, "no cgroup of the node in {mounts}");
    if !is_read_only_below(&agent) {
        // The node's container runtime cannot: the agent says it, and deploy/README.md what to do.
        let log = (shop.cluster).kubectl("--namespace meshtap logs daemonset/meshtap");
        assert!(log.contains("is writable"), "{log}");
        return skip("this container runtime does not know recursiveReadOnly (containerd 2.0)");
    }
    for mount in &cgroups {
        let folder = root.join(mount.trim_start_matches('/'));
        let procs = folder.join("cgroup.procs");
        let made = fs::create_dir(folder.join("meshtap-writes"));
        let opened = fs::OpenOptions::new().write(true).open(procs);
        for error in [made.err(), opened.map(drop).err()] {
            let code = error.as_ref().and_then(std::io::Error::raw_os_error);
            assert_eq!(code, Some(EROFS), "{mount}: {error:?}");
        }
    }
    // The same way does write where the agent may.
    let own = root.join("run/meshtap/written-by-a-test");
    fs::write(&own, "").expect("the folder of the hand-over");
    fs::remove_file(&own).expect("the file");
}

/// The node's cgroups are mounted read-only with the mounts below: the manifest asks for it where
/// it is possible.
fn is_read_only_below(agent: &Value) -> bool {
    let mounts = &agent["status"]["containerStatuses"][0]["volumeMounts"];
    let mut mounts = mounts.as_array().expect("mounts").iter();
    let mount = mounts.find(|mount| mount["name"] == "cgroup");
    mount.expect("the cgroup mount")["recursiveReadOnly"] != "Disabled"
}

/// `EROFS` of asm-generic/errno-base.h.
const EROFS: i32 = 30;

/// The mount point of a cgroup hierarchy (proc_pid_mountinfo(5)).
fn cgroup_mount(line: &str) -> Option<&str> {
    let (mount, rest) = line.split_once(" - ")?;
    let kind = rest.split(' ').next()?;
    let point = mount.split(' ').nth(4)?;
    matches!(kind, "cgroup" | "cgroup2").then_some(point)
}

/// `/proc/PID` of the process that is in a pod's cgroup and is the agent.
fn process_of(uid: &str) -> PathBuf {
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "meshtap" && read("cgroup").contains(&format!("pod{uid}/")) {
            return entry.path();
        }
    }
    panic!("no process of the pod {uid}");
}
