//! Attribution: from a socket's cgroup to its container and pod, from an address to the pod at the
//! other end.
//!
//! ```text
//! cgroup v2 folders ─ inotify ─► cgroup::Tree ─────┐
//!                                                  ├─► Directory ─► Attribution (shared, ready-made)
//! Kubernetes API ─ list, watch ─► pods, services ──┘        └─────► the kernel's table of excluded cgroups
//! ```
//!
//! The captured socket's own pod is found by its cgroup, which is exact. The other end has only an
//! address, and addresses are used again: see `addresses`. What parses and decides is pure;
//! `cgroup` and `watch` have a thread each, and neither is in the data path.
//!
//! Names come from what the kernel and the API prove. What a peer claims (`x-forwarded-for`, a
//! PROXY protocol preamble) names nobody, unless the configuration trusts that peer: see `trust`.

mod addresses;
mod attributes;
mod attribution;
mod cgroup;
mod config;
mod directory;
mod identity;
mod members;
mod mesh;
mod metrics;
mod node;
mod outcomes;
mod owner;
mod pod;
mod probe;
mod rules;
mod scope;
mod selector;
mod trust;
mod watch;
mod ztunnel;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use attribution::{Attribution, Caller, Lookup, Missing};
pub use cgroup::Place;
pub use config::{KubernetesMode, KubernetesSection, PeerChoice, ScopeSection, TrustSection};
pub use directory::{ConnectionEnds, Directory, Exclusions, View, WatchState, WatchView};
pub use identity::{Identity, WorkloadName};
pub use outcomes::Outcomes;
pub use pod::Pod;
pub use scope::Reason;
pub use watch::{Access, PodPlace, Right, ask as ask_api, find_pod};
pub use ztunnel::ZtunnelChoice;

use crate::clock::monotonic;
use crate::exchange::Exchange;
use crate::flow::{CgroupId, Nanos, Peers, Side};
use crate::signal::metrics::{Security, Subject};
use crate::signal::route::GatewayRoutes;
use crate::signal::span::ResourceValue;
use crate::signal::telemetry_api::Rules;
use attributes::ClusterInfo;
use cgroup::RescanTrigger;
use pod::Choice;
use rules::RuleBook;
use scope::Scope;
use trust::Trust;
use watch::Following;

/// What is known of workloads, kept up to date until this is dropped.
#[derive(Debug)]
pub struct Workloads {
    directory: Arc<Directory>,
    rescan: RescanTrigger,
    trusts_proxies: bool,
    names_routes: bool,
    trust_domain: String,
    _following: Option<Following>,
}

/// In a pod the cgroup mounts are the node's: deploy/README.md says how to have them read-only all
/// the way down.
fn warn_of_writable_mounts() {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount in cgroup::writable(&mounts) {
        tracing::warn!(
            mount,
            "a cgroup mount is writable: set recursiveReadOnly, or mount cgroup v2 alone"
        );
    }
}

impl Workloads {
    /// Reads the cgroups below `root`, and starts to follow them and the Kubernetes API.
    ///
    /// # Errors
    /// When the scope or the trusted proxies cannot be used, or no thread can be started.
    pub fn start(
        root: PathBuf,
        kubernetes: &KubernetesSection,
        scope: &ScopeSection,
        trust: &TrustSection,
        ztunnel: ZtunnelChoice,
        exclusions: Option<Box<dyn Exclusions>>,
    ) -> io::Result<Self> {
        let scope = Scope::new(scope).map_err(io::Error::other)?;
        let trust = Trust::new(trust).map_err(io::Error::other)?;
        let trusts_proxies = !trust.is_empty();
        let rules = RuleBook::new(kubernetes);
        let choice = Choice::new(&kubernetes.labels, &kubernetes.annotations, scope, trust)
            .keeping_labels(rules.is_on() || kubernetes.peers == PeerChoice::Cluster)
            .reading_ztunnel(ztunnel);
        let cluster_info = ClusterInfo {
            cluster: kubernetes.cluster_name.clone(),
            node: kubernetes.node.clone(),
            trust_domain: kubernetes.trust_domain.clone(),
        };
        let trust_domain = cluster_info.trust_domain.clone();
        let directory = Directory::new(choice, cluster_info, exclusions);
        let directory = Arc::new(directory.with_rules(rules));
        directory.read_network(monotonic());
        warn_of_writable_mounts();
        // The cgroups first: what the API reports then finds them there.
        let rescan = cgroup::start(root, directory.clone())?;
        let following = watch::start(kubernetes, &directory)?;
        Ok(Self {
            directory,
            rescan,
            trusts_proxies,
            names_routes: kubernetes.routes,
            trust_domain,
            _following: following,
        })
    }

    /// What is to be looked up of an exchange.
    #[must_use]
    pub fn lookup(&self, exchange: &Exchange) -> Lookup {
        if self.trusts_proxies {
            Lookup::with_claim(exchange)
        } else {
            Lookup::of(exchange)
        }
    }

    /// What is known of an exchange's ends now. Looks for what is not known.
    #[must_use]
    pub fn attribute(&self, lookup: &Lookup) -> Attribution {
        let found = self.directory.attribute(lookup, monotonic());
        if found.is_cgroup_unknown() && self.directory.request(lookup.cgroup) {
            self.rescan.request();
        }
        found
    }

    /// An exchange is emitted though something was still missing.
    pub fn stop_waiting(&self, attribution: &Attribution) {
        if let Some(ip) = attribution.awaited() {
            self.directory.stop_waiting(ip, monotonic());
        }
    }

    /// Attributes of the end that sends requests and of the one that responds.
    #[must_use]
    pub fn ends<'a>(
        &'a self,
        attribution: &'a Attribution,
        side: Side,
    ) -> [&'a [(String, ResourceValue)]; 2] {
        attribution.ends(side, &self.trust_domain)
    }

    /// What the tunnels of this cgroup's program prove of other pods' exchanges is believed: it is
    /// the node's ztunnel.
    #[must_use]
    pub fn believes(&self, prover: CgroupId) -> bool {
        self.directory.believes(prover, monotonic())
    }

    /// Labels of both ends in metrics.
    #[must_use]
    pub fn subject<'a>(&self, attribution: &'a Attribution, peers: &Peers) -> Subject<'a> {
        let cluster = &self.directory.cluster_info;
        let mut subject = attribution.subject(peers.side, cluster);
        subject.security = Security::proved(peers).unwrap_or(subject.security);
        subject
    }

    /// What is known of the ends of a TCP connection: its local and its remote address.
    #[must_use]
    pub fn connection(&self, ends: (IpAddr, IpAddr), at: Nanos) -> ConnectionEnds {
        self.directory.connection(ends, at, monotonic())
    }

    /// Labels of both ends of a connection in metrics.
    #[must_use]
    pub fn connection_subject<'a>(&self, ends: &'a ConnectionEnds, side: Side) -> Subject<'a> {
        ends.subject(side, &self.directory.cluster_info)
    }

    /// Rules of the Gateway API, which name routes.
    #[must_use]
    pub fn gateway_routes(&self) -> Option<Arc<GatewayRoutes>> {
        self.names_routes.then(|| self.directory.routes.clone())
    }

    /// What Istio's Telemetry API says of the workload whose exchange it is. `None`: nothing.
    #[must_use]
    pub fn rules(&self, attribution: &Attribution) -> Option<Arc<Rules>> {
        self.directory.rules.of(attribution.own()?.pod()?)
    }

    /// The same of a connection's own end.
    #[must_use]
    pub fn connection_rules(&self, ends: &ConnectionEnds) -> Option<Arc<Rules>> {
        self.directory.rules.of(ends.own()?)
    }

    /// Whether a process is in scope that is in the cgroup with this path, as `/proc` shows it.
    /// `None`: nothing can be said of its pod yet.
    #[must_use]
    pub fn admits(&self, cgroup: &str) -> Option<bool> {
        self.directory.admits(cgroup, monotonic())
    }

    /// Counts what became known: whoever waits looks again when it has changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.directory.health.generation()
    }

    /// Where to read the state of it all.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }
}
