//! `cargo xtask cluster`: a real Kubernetes of one node, made of public parts, and the tests that
//! run on it.
//!
//! Everything runs in namespaces of its own (network, mounts, processes), whose first process holds
//! them: when it ends, the kernel ends every other process in there, takes the mounts away and the
//! network. What is left on the machine is one folder and one cgroup per hierarchy, and `down`
//! removes those too. The machine's own network, mounts and kernel settings are not touched.

mod cgroups;
mod control_plane;
mod images;
mod names;
mod node;
mod programs;
mod worker;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::progress::Step;
use crate::{build, command, packages};
use node::Node;
use programs::Programs;

/// What `cargo xtask cluster` takes.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build what is missing, start the cluster, and leave it running
    Up {
        /// Use this static agent instead of building one
        #[arg(long, value_name = "FILE")]
        agent: Option<PathBuf>,
    },
    /// Run the tests that need a cluster: on the one that runs, or on one of their own, which ends
    /// with them, whatever they say
    Test {
        /// Leave the cluster running
        #[arg(long)]
        keep: bool,
        /// Use this static agent instead of building one
        #[arg(long, value_name = "FILE")]
        agent: Option<PathBuf>,
        /// Given to the tests as they are: the names of some
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// End the cluster and remove what it made
    Down,
    /// Run `kubectl` on the cluster
    Kubectl {
        /// Given to it as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run `helm` on the cluster
    Helm {
        /// Given to it as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// A busy machine with two cores may need this long for any one step.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Where the cluster keeps everything.
fn folder() -> PathBuf {
    std::env::temp_dir().join("meshtap-cluster")
}

/// Does what is asked.
///
/// # Errors
/// When a part does not build or start, or a test fails.
pub fn run(options: &Options) -> Result<()> {
    match &options.action {
        Action::Up { agent } => up(agent.as_deref()).map(drop),
        Action::Test {
            keep,
            agent,
            arguments,
        } => test(*keep, agent.as_deref(), arguments),
        Action::Down => down(),
        Action::Kubectl { arguments } => {
            command::run(kubectl(&running()?, &Programs::build()?).args(arguments))
        }
        Action::Helm { arguments } => {
            let helm = Programs::build()?.helm;
            command::run(client(&running()?, &helm).args(arguments))
        }
    }
}

/// Starts it, or gives the one that runs the agent as it is now.
fn up(agent: Option<&Path>) -> Result<Cluster> {
    if !command::is_root() {
        bail!("a cluster needs root: namespaces, mounts, cgroups");
    }
    packages::ensure(packages::CLUSTER)?;
    let (plugins, file) = packages::NETWORK_PLUGINS;
    if !Path::new(file).exists() {
        packages::install(&[plugins])?;
    }
    let programs = Programs::build()?;
    let folder = folder();
    let agent = match agent {
        Some(agent) => agent.to_owned(),
        None => build::build(build::Options::STATIC)?.program,
    };
    // One whose start was interrupted is not used.
    if folder.join(READY).exists()
        && let Some(node) = Node::running(&folder)?
    {
        eprintln!("the cluster runs already; its agent is renewed");
        worker::import(&node, &[images::agent(&folder, &agent)?])?;
        return Ok(Cluster {
            node,
            programs,
            found: true,
        });
    }
    down()?;
    let began = Instant::now();
    match start(&folder, &programs, &agent) {
        Ok(node) => {
            eprintln!(
                "the cluster is ready after {:.1?}: `cargo xtask cluster kubectl get pods -A`",
                began.elapsed()
            );
            Ok(Cluster {
                node,
                programs,
                found: false,
            })
        }
        Err(error) => {
            show_logs(&folder);
            down()?;
            Err(error)
        }
    }
}

/// A cluster that runs.
struct Cluster {
    node: Node,
    programs: Programs,
    /// It ran before.
    found: bool,
}

/// Is in the folder once the cluster is complete.
const READY: &str = "ready";

fn start(folder: &Path, programs: &Programs, agent: &Path) -> Result<Node> {
    let step = Step::of("cluster: images");
    let mut archives = images::parts(folder, programs)?;
    archives.push(images::agent(folder, agent)?);
    drop(step);
    let node = Node::start(folder)?;
    let step = Step::of("cluster: control plane");
    control_plane::start(&node, programs)?;
    drop(step);
    let step = Step::of("cluster: worker");
    worker::start(&node, programs, &archives)?;
    drop(step);
    let _step = Step::of("cluster: the node becomes ready");
    until("the node is ready", || {
        let status = command::output(kubectl(&node, programs).args([
            "get",
            "node",
            node::NAME,
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
        ]));
        Ok(status.is_ok_and(|status| status == "True"))
    })?;
    names::start(|| kubectl(&node, programs))?;
    std::fs::write(folder.join(READY), "")?;
    Ok(node)
}

/// What the components said last, before their logs are removed.
fn show_logs(folder: &Path) {
    for entry in std::fs::read_dir(logs(folder))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read(entry.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(10);
        eprintln!("--- {}", entry.path().display());
        for line in lines.iter().skip(last) {
            eprintln!("{line}");
        }
    }
}

fn test(keep: bool, agent: Option<&Path>, arguments: &[String]) -> Result<()> {
    let cluster = up(agent)?;
    let mut tests = command::cargo();
    tests
        .args([
            "test",
            "--package",
            "meshtap-tests",
            "--test",
            "cluster",
            "--",
        ])
        // They share one cluster, and one node's processors.
        .args(["--ignored", "--test-threads", "1"])
        .args(arguments)
        .env("MESHTAP_CLUSTER", cluster.node.folder())
        .env("MESHTAP_KUBECTL", &cluster.programs.kubectl)
        .env("MESHTAP_HELM", &cluster.programs.helm);
    let outcome = command::run(&mut tests);
    if !keep && !cluster.found {
        down()?;
    }
    outcome
}

fn down() -> Result<()> {
    let folder = folder();
    if let Some(node) = Node::running(&folder)? {
        worker::stop(&node);
        node.stop()?;
    }
    cgroups::remove()?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// The node that runs.
fn running() -> Result<Node> {
    Node::running(&folder())?.context("there is no cluster: `cargo xtask cluster up`")
}

fn kubectl(node: &Node, programs: &Programs) -> Command {
    client(node, &programs.kubectl)
}

/// A client of the API, as the administrator, in the node's network.
fn client(node: &Node, program: &Path) -> Command {
    let mut client = node.network(program);
    client.arg("--kubeconfig").arg(control_plane::kubeconfig(
        node.folder(),
        control_plane::ADMIN,
    ));
    client
}

/// Looks until something is so; what it is reports nothing.
fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !so()? {
        if Instant::now() > deadline {
            bail!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn logs(folder: &Path) -> PathBuf {
    folder.join("logs")
}
