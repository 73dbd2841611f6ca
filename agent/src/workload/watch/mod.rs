//! The Kubernetes API: what pods there are, on a thread and a runtime of its own.
//!
//! Each kind of object is listed once and then watched from there ([`follow`]). This node's pods
//! are all that is needed to name the pod of a captured socket; they come in one small response out
//! of the API server's cache. Pods of other nodes and services, which name the other end, are
//! listed in pages, and only where the configuration asks for them: a thousand agents that each
//! hold a whole cluster are a load of their own.
//!
//! `kube`'s own watcher does not say when a broken watch is whole again, which `/readyz` and the
//! trust in addresses need to know; so the loop is here, on `kube`'s client.

mod access;
mod follow;
pub(crate) mod objects;
mod pace;
mod watched;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::config::{KubernetesMode, KubernetesSection, PeerChoice};
use super::directory::{Directory, WATCHES, Watch};
pub use access::{Access, PodPlace, Right, ask, find_pod};
use follow::{Target, Watched, follow};

/// Ends the thread when dropped.
#[derive(Debug)]
pub(crate) struct Following(
    #[expect(dead_code, reason = "its end is heard of")] oneshot::Sender<()>,
);

/// Starts to follow the API. Where there is none, the directory keeps the reason, and nothing is
/// started.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(
    section: &KubernetesSection,
    directory: &Arc<Directory>,
) -> io::Result<Option<Following>> {
    if let Some(reason) = refusal(section) {
        for watch in WATCHES {
            directory.health.off(watch, &reason);
        }
        return Ok(None);
    }
    let (sender, stopped) = oneshot::channel::<()>();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (section, directory) = (section.clone(), directory.clone());
    thread::Builder::new().name("kube".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = run(&section, &directory) => {}
                _ = stopped => {}
            }
        });
    })?;
    Ok(Some(Following(sender)))
}

/// Why the API is not asked.
fn refusal(section: &KubernetesSection) -> Option<String> {
    match section.mode {
        KubernetesMode::Off => Some("kubernetes.mode is off".to_owned()),
        KubernetesMode::Auto
            if section.kubeconfig.is_none()
                && std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() =>
        {
            Some("not in a pod, and kubernetes.kubeconfig is not set".to_owned())
        }
        KubernetesMode::Auto | KubernetesMode::On => None,
    }
}

/// Time between two looks for a configuration that is not there: hosts write it late when they
/// start.
const LOOK: Duration = Duration::from_secs(10);

/// A client, once there is what one is made from.
async fn client(section: &KubernetesSection, directory: &Arc<Directory>) -> kube::Client {
    let mut is_logged = false;
    loop {
        let reason = match connect(section.kubeconfig.as_deref()).await {
            Ok(client) => return client,
            Err(reason) => reason,
        };
        if !std::mem::replace(&mut is_logged, true) {
            tracing::warn!(
                reason,
                "the Kubernetes API cannot be asked yet: no pod names"
            );
        }
        for watch in WATCHES {
            directory.health.off(watch, &reason);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn run(section: &KubernetesSection, directory: &Arc<Directory>) {
    let all = Watches {
        client: client(section, directory).await,
        section,
        directory,
    };
    tokio::join!(
        all.node_pods(),
        follow::<objects::Namespace>(all.target(Watch::Namespaces, Duration::ZERO)),
        all.peers(),
        all.rules(),
    );
}

/// What is followed.
struct Watches<'a> {
    client: Client,
    section: &'a KubernetesSection,
    directory: &'a Arc<Directory>,
}

impl Watches<'_> {
    fn target(&self, watch: Watch, delay: Duration) -> Target {
        Target {
            client: self.client.clone(),
            directory: self.directory.clone(),
            watch,
            delay,
            selector: None,
            paged: true,
        }
    }

    /// Follows objects where they are asked for; else says why they are not.
    async fn wanted<K: Watched>(&self, asked: Result<(), &str>, target: Target) {
        match asked {
            Ok(()) => follow::<K>(target).await,
            Err(reason) => self.directory.health.off(target.watch, reason),
        }
    }

    async fn node_pods(&self) {
        let Some(node) = &self.section.node else {
            let reason = "kubernetes.node is not set (MESHTAP_KUBERNETES__NODE)";
            tracing::warn!(
                reason,
                "pods of this node cannot be distinguished from others"
            );
            return self.directory.health.off(Watch::NodePods, reason);
        };
        let target = Target {
            selector: Some(format!("spec.nodeName={node}")),
            paged: false,
            ..self.target(Watch::NodePods, Duration::ZERO)
        };
        follow::<objects::Pod>(target).await;
    }

    /// Those at the other ends.
    async fn peers(&self) {
        let section = self.section;
        let later = || {
            let part = fastrand::Rng::with_seed(crate::hash::random()).f64();
            section.spread.0.mul_f64(part)
        };
        let is_asked = section.peers == PeerChoice::Cluster;
        let asked = (is_asked.then_some(())).ok_or("kubernetes.peers is not cluster");
        let node = section.node.as_deref();
        let other_pods = Target {
            selector: node.map(|node| format!("spec.nodeName!={node}")),
            ..self.target(Watch::OtherPods, later())
        };
        let services = self.target(Watch::Services, later());
        tokio::join!(
            self.wanted::<objects::Pod>(asked, other_pods),
            self.wanted::<objects::Service>(asked, services),
        );
    }

    /// What operators say of signals and routes.
    async fn rules(&self) {
        let telemetry = self.section.telemetry.then_some(());
        let telemetry = telemetry.ok_or("kubernetes.telemetry is off");
        let routes = (self.section.routes.then_some(())).ok_or("kubernetes.routes is off");
        let at_once = |watch| self.target(watch, Duration::ZERO);
        tokio::join!(
            self.wanted::<objects::Telemetry>(telemetry, at_once(Watch::Telemetries)),
            self.wanted::<objects::HttpRoute>(routes, at_once(Watch::HttpRoutes)),
            self.wanted::<objects::GrpcRoute>(routes, at_once(Watch::GrpcRoutes)),
        );
    }
}

async fn connect(kubeconfig: Option<&Path>) -> Result<Client, String> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| error.to_string())?
        }
        None => Config::infer().await.map_err(|error| error.to_string())?,
    };
    Client::try_from(config).map_err(|error| error.to_string())
}
