//! What the agent may do on a node: what `deploy/README.md` says, and nothing else.

use std::fs;

use crate::shop::Shop;

/// `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF` of linux/capability.h.
const CAPABILITIES: u64 = 1 << 12 | 1 << 38 | 1 << 39;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn the_agent_has_three_capabilities_and_nothing_else() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let agent = shop.agent();
    let uid = agent["metadata"]["uid"].as_str().expect("a uid");
    let status = status_of_container(uid);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .trim()
            .to_owned()
    };
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let bits = u64::from_str_radix(&field(set), 16).expect("bits");
        assert_eq!(bits, CAPABILITIES, "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    // A filter of system calls.
    assert_eq!(field("Seccomp:"), "2");
    let spec = &agent["spec"];
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec[shared].is_null(), "{shared}");
    }
    let mounts = spec["containers"][0]["volumeMounts"]
        .as_array()
        .expect("mounts");
    assert!(
        mounts.iter().all(|mount| mount["readOnly"] == true),
        "{mounts:?}"
    );
    let log = shop
        .cluster
        .kubectl("--namespace meshtap logs daemonset/meshtap");
    assert!(log.contains("capturing"), "{log}");
}

/// `/proc/PID/status` of the process that is in a pod's cgroup and is the agent.
fn status_of_container(uid: &str) -> String {
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("comm").trim() == "meshtap" && read("cgroup").contains(&format!("pod{uid}/")) {
            return read("status");
        }
    }
    panic!("no process of the pod {uid}");
}
