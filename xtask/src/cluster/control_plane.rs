//! etcd, the API server, the controllers and the scheduler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::node::{ADDRESS, NAME, Node};
use super::programs::Programs;
use super::until;
use crate::command;

/// Who may do everything.
pub const ADMIN: &str = "admin";
/// Addresses of services.
const SERVICES: &str = "10.96.0.0/16";
/// Addresses of pods.
pub const PODS: &str = "10.244.0.0/16";

/// A user of the API, known by a token: name, and the group that gives it rights.
struct User {
    name: &'static str,
    group: &'static str,
}

const USERS: &[User] = &[
    User {
        name: ADMIN,
        group: "system:masters",
    },
    User {
        name: "system:kube-controller-manager",
        group: "system:authenticated",
    },
    User {
        name: "system:kube-scheduler",
        group: "system:authenticated",
    },
    User {
        name: "system:kube-proxy",
        group: "system:authenticated",
    },
    User {
        name: "system:node:node-a",
        group: "system:nodes",
    },
];

/// The user that the kubelet is.
pub const KUBELET: &str = "system:node:node-a";

/// The configuration of a client that is this user.
pub fn kubeconfig(folder: &Path, user: &str) -> PathBuf {
    folder
        .join("etc")
        .join(format!("{}.kubeconfig", user.replace(':', "-")))
}

/// Starts everything but what makes a node of the machine.
///
/// # Errors
/// When something does not start.
pub fn start(node: &Node, programs: &Programs) -> Result<()> {
    let etc = node.folder().join("etc");
    fs::create_dir_all(&etc)?;
    let tokens: String = USERS
        .iter()
        .map(|user| format!("{0},{0},{0},{1}\n", user.name, user.group))
        .collect();
    fs::write(etc.join("tokens.csv"), tokens)?;
    command::output(
        Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(etc.join("tokens.key"))
            .arg("2048"),
    )?;
    start_etcd(node, programs)?;
    start_api_server(node, programs)?;
    for user in USERS {
        fs::write(
            kubeconfig(node.folder(), user.name),
            client(&etc, user.name),
        )?;
    }
    until("the API server is ready", || {
        let ready =
            command::output(super::kubectl(node, programs).args(["get", "--raw", "/readyz"]));
        Ok(ready.is_ok_and(|body| body == "ok"))
    })?;
    start_controllers(node, programs)
}

fn client(etc: &Path, user: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "cluster",
            "cluster": {
                "server": format!("https://{ADDRESS}:6443"),
                "certificate-authority": etc.join("apiserver.crt"),
            },
        }],
        "users": [{"name": user, "user": {"token": user}}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user}}],
        "current-context": "cluster",
    })
    .to_string()
}

fn start_etcd(node: &Node, programs: &Programs) -> Result<()> {
    let folder = node.folder().display();
    let arguments = words(&format!(
        "--data-dir {folder}/etcd --unsafe-no-fsync --log-level warn --name {NAME} \
         --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
         --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
         --initial-cluster {NAME}=http://127.0.0.1:2380"
    ));
    node.daemon("etcd", &programs.etcd, &arguments)
}

fn start_api_server(node: &Node, programs: &Programs) -> Result<()> {
    let etc = node.folder().join("etc");
    let etc = etc.display();
    let arguments = words(&format!(
        "--etcd-servers http://127.0.0.1:2379 --secure-port 6443 --bind-address {ADDRESS} --advertise-address {ADDRESS} \
         --cert-dir {etc} --token-auth-file {etc}/tokens.csv --authorization-mode Node,RBAC --allow-privileged=true \
         --service-account-key-file {etc}/tokens.key --service-account-signing-key-file {etc}/tokens.key \
         --service-account-issuer https://kubernetes.default.svc.cluster.local --service-cluster-ip-range {SERVICES} \
         --kubelet-preferred-address-types InternalIP --enable-admission-plugins NodeRestriction"
    ));
    node.daemon("kube-apiserver", &programs.api_server, &arguments)?;
    let certificate = node.folder().join("etc/apiserver.crt");
    until("the API server has a certificate", || {
        Ok(certificate.exists())
    })
}

fn start_controllers(node: &Node, programs: &Programs) -> Result<()> {
    let etc = node.folder().join("etc");
    let etc = etc.display();
    let client = |user: &str| kubeconfig(node.folder(), user).display().to_string();
    let manager = client("system:kube-controller-manager");
    let arguments = words(&format!(
        "--kubeconfig {manager} --use-service-account-credentials --service-account-private-key-file {etc}/tokens.key \
         --root-ca-file {etc}/apiserver.crt --leader-elect=false --bind-address 127.0.0.1 --controllers *,-ttl"
    ));
    node.daemon(
        "kube-controller-manager",
        &programs.controller_manager,
        &arguments,
    )?;
    let scheduler = client("system:kube-scheduler");
    let arguments = words(&format!(
        "--kubeconfig {scheduler} --leader-elect=false --bind-address 127.0.0.1"
    ));
    node.daemon("kube-scheduler", &programs.scheduler, &arguments)
        .context("the scheduler")
}

/// Arguments as one would type them; none has a space.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
