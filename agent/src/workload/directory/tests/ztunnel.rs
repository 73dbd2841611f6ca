//! What ztunnel has, and whose it is.

use super::*;
use crate::workload::attribution::Tunnel;
use crate::workload::scope::Reason;
use crate::workload::ztunnel::ZtunnelChoice;

const ZTUNNEL: &str = "22222222-2222-4333-8444-555555555555";

fn ztunnel() -> Value {
    let mut object = pod("ztunnel-1", ZTUNNEL, "10.0.0.9", 100);
    object["metadata"]["labels"] = json!({"app": "ztunnel"});
    object
}

/// A node with ztunnel in cgroup 9, a pod in a virtual machine in cgroup 7, and one that is none in
/// cgroup 8.
fn node(choice: ZtunnelChoice) -> Bench {
    let scope = Scope::new(&ScopeSection::default()).unwrap();
    let kept = Choice::new(&[], &[], scope, Trust::default());
    let bench = Bench::choosing(kept.reading_ztunnel(choice)).synced();
    bench.container(7, UID, 1);
    bench.container(8, OTHER, 2);
    bench.container(9, ZTUNNEL, 3);
    let mut kata = pod("kata-1", UID, "10.0.0.1", 100);
    kata["spec"]["runtimeClassName"] = json!("kata-qemu");
    for object in [kata, pod("web-1", OTHER, "10.0.0.2", 100), ztunnel()] {
        bench.pod(object, 101 * S);
    }
    bench
}

fn flows() -> ZtunnelChoice {
    ZtunnelChoice::flows(&["kata*".to_owned()])
}

fn in_tunnel(bench: &Bench, cgroup: u64, side: Side, own: &str, peer: &str) -> Attribution {
    let lookup = Lookup {
        cgroup: CgroupId(cgroup),
        side,
        client: "10.9.9.9".parse().unwrap(),
        server: "10.9.9.9".parse().unwrap(),
        claimed: None,
        tunnel: Some(Tunnel {
            own: own.parse().unwrap(),
            peer: peer.parse().unwrap(),
        }),
        at: 102 * S,
    };
    bench.directory.attribute(&lookup, 102 * S)
}

#[test]
fn a_pod_in_a_virtual_machine_has_what_its_tunnels_have() {
    let bench = node(flows());
    for side in [Side::Server, Side::Client] {
        let found = in_tunnel(&bench, 9, side, "10.0.0.1", "10.0.0.2");
        assert_eq!(own_pod(&found), Some("kata-1"));
        assert_eq!(peer_pod(&found, side), Some("web-1"));
        assert_eq!(found.excluded, None);
    }
    let excluded = |bench: &Bench, own| in_tunnel(bench, 9, Side::Server, own, "10.0.0.2").excluded;
    // One whose own socket shows it; nobody's.
    assert_eq!(excluded(&bench, "10.0.0.2"), Some(Reason::Mesh));
    assert_eq!(excluded(&bench, "192.0.2.5"), Some(Reason::Mesh));
    // Not asked for.
    let bench = node(ZtunnelChoice::identity());
    assert_eq!(excluded(&bench, "10.0.0.1"), Some(Reason::Mesh));
}

/// A program with rustls that is not ztunnel ends tunnels of its own.
#[test]
fn a_tunnel_of_another_program_is_its_own() {
    let bench = node(flows());
    let found = in_tunnel(&bench, 8, Side::Server, "10.0.0.1", "10.0.0.1");
    assert_eq!((own_pod(&found), found.excluded), (Some("web-1"), None));
}

/// Any program can hold functions with the names of aws-lc's, and call them with anything.
#[test]
fn nobody_else_says_how_exchanges_are_secured() {
    let bench = node(ZtunnelChoice::identity());
    let believes = |cgroup| bench.directory.believes(CgroupId(cgroup), 102 * S);
    assert!(believes(9));
    // A pod in the mesh, one in a virtual machine, nobody's.
    assert!(!believes(8) && !believes(7) && !believes(6));
}

#[test]
fn ztunnel_is_attached_to_when_asked_for() {
    let path = |number: u8, uid: &str| {
        let uid = uid.replace('-', "_");
        format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{number:064x}.scope",)
    };
    let admits = |bench: &Bench, number, uid| bench.directory.admits(&path(number, uid), 102 * S);
    for (choice, expected) in [
        (flows(), true),
        (ZtunnelChoice::identity(), true),
        (ZtunnelChoice::default(), false),
    ] {
        let bench = node(choice);
        assert_eq!(admits(&bench, 3, ZTUNNEL), Some(expected));
        assert_eq!(admits(&bench, 2, OTHER), Some(true));
        // Its sockets are left alone.
        assert_eq!(bench.excluded(), [9]);
    }
    // Its own pod opts it out.
    let bench = node(flows());
    let mut object = ztunnel();
    object["metadata"]["annotations"] = json!({"meshtap.dev/capture": "false"});
    bench.pod(object, 103 * S);
    assert_eq!(admits(&bench, 3, ZTUNNEL), Some(false));
}
