//! What makes a node of the machine: containerd, the kubelet, and the proxy of services.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::control_plane::{KUBELET, PODS, kubeconfig, words};
use super::node::{ADDRESS, NAME, Node};
use super::programs::Programs;
use super::{cgroups, images, names, until};
use crate::command;

/// Where containerd listens, in the node's own `/run`.
const SOCKET: &str = "/run/containerd/containerd.sock";

/// Starts it, with these images.
///
/// # Errors
/// When something does not start.
pub fn start(node: &Node, programs: &Programs, archives: &[PathBuf]) -> Result<()> {
    let etc = node.folder().join("etc");
    fs::create_dir_all(etc.join("cni"))?;
    fs::write(etc.join("cni/10-pods.conflist"), network().to_string())?;
    let config = etc.join("containerd.toml");
    fs::write(&config, containerd(&etc.join("cni").display().to_string()))?;
    let containerd = command::find("containerd").context("there is no containerd")?;
    let arguments = words(&format!("--config {}", config.display()));
    node.daemon("containerd", &containerd, &arguments)?;
    until("containerd responds", || {
        Ok(command::output(node.inside("ctr").args(["--address", SOCKET, "version"])).is_ok())
    })?;
    import(node, archives)?;

    cgroups::make()?;
    let config = etc.join("kubelet.yaml");
    fs::write(&config, kubelet().to_string())?;
    let arguments = words(&format!(
        "--config {} --kubeconfig {} --hostname-override {NAME} --node-ip {ADDRESS}",
        config.display(),
        kubeconfig(node.folder(), KUBELET).display(),
    ));
    node.daemon("kubelet", &programs.kubelet, &arguments)?;

    let arguments = words(&format!(
        "--kubeconfig {} --hostname-override {NAME} --proxy-mode iptables --cluster-cidr {PODS} --conntrack-max-per-core 0 \
         --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0",
        kubeconfig(node.folder(), "system:kube-proxy").display(),
    ));
    node.daemon("kube-proxy", &programs.proxy, &arguments)
}

/// Gives containerd these images; one that has the name of another takes its place.
///
/// # Errors
/// When it refuses one.
pub fn import(node: &Node, archives: &[PathBuf]) -> Result<()> {
    for archive in archives {
        let import = ["--address", SOCKET, "-n", "k8s.io", "images", "import"];
        command::output(node.inside("ctr").args(import).arg(archive))?;
    }
    Ok(())
}

/// Ends the pods in good order, as far as that goes: what is left ends with the node.
pub fn stop(node: &Node) {
    // First, or it would start them again.
    let _ = node.end("kubelet");
    let Ok(tasks) = command::output(node.inside("ctr").args([
        "--address",
        SOCKET,
        "-n",
        "k8s.io",
        "tasks",
        "list",
        "-q",
    ])) else {
        return;
    };
    for task in tasks.split_whitespace() {
        let delete = [
            "--address",
            SOCKET,
            "-n",
            "k8s.io",
            "tasks",
            "delete",
            "--force",
            task,
        ];
        let _ = command::output(node.inside("ctr").args(delete));
    }
}

/// Pods are joined to the node one by one and routed (`ptp`), not bridged: what a service's address
/// stands for then finds its way back through the node's translation without a kernel setting that
/// is not of a namespace.
fn network() -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.244.0.0/24"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

fn containerd(networks: &str) -> String {
    format!(
        r#"version = 2
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Lowering it takes CAP_SYS_RESOURCE, which not every machine gives.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
"#,
        pause = images::PAUSE,
    )
}

fn kubelet() -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups::ROOT,
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "clusterDomain": "cluster.local",
        "clusterDNS": [names::ADDRESS],
        // Nothing outside of the cluster has a name in there.
        "resolvConf": "",
        "registerNode": true,
        // Tests wait for what these report.
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
    })
}
