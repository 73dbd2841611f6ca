//! Whose sockets they are: from a cgroup to a container and its pod, from an address to the pod at the other end.
//!
//! ```text
//! cgroup v2 folders ─ inotify ─► cgroup::Tree ─────┐
//!                                                  ├─► Directory ─► Identity, Peer (shared, ready-made)
//! Kubernetes API ─ list, watch ─► pods, services ──┘        └─────► the kernel's table of cgroups that are out of scope
//! ```
//!
//! The captured socket's own pod is found by its cgroup, which is exact. The other end has only an address, and addresses are used again: see
//! `addresses`. What parses and decides is pure; `cgroup` and `watch` have a thread each, and neither is on the way of data.

mod addresses;
mod attributes;
mod cgroup;
mod directory;
mod identity;
mod outcomes;
mod owner;
mod pod;
mod scope;
mod selector;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use cgroup::Place;
pub use directory::{
    Directory, Exclusions, Missing, Question, Resolution, View, WatchState, WatchView,
};
pub use identity::Identity;
pub use outcomes::Outcomes;
pub use pod::Pod;
pub use scope::Reason;

use crate::clock::monotonic;
use crate::config::{KubernetesSection, ScopeSection};
use crate::flow::Side;
use crate::span::ResourceValue;
use attributes::Surroundings;
use cgroup::Seeker;
use pod::Choice;
use scope::Scope;
use watch::Following;

/// Checks a scope.
///
/// # Errors
/// Says what of it cannot be used.
pub fn check_scope(section: &ScopeSection) -> Result<(), String> {
    Scope::new(section).map(drop)
}

/// What is known of workloads, kept up to date until this is dropped.
#[derive(Debug)]
pub struct Workloads {
    directory: Arc<Directory>,
    seeker: Seeker,
    trust_domain: String,
    _following: Option<Following>,
}

impl Workloads {
    /// Reads the cgroups below `root`, and begins to follow them and the Kubernetes API.
    ///
    /// # Errors
    /// When the scope cannot be used, or no thread can be started.
    pub fn start(
        root: PathBuf,
        kubernetes: &KubernetesSection,
        scope: &ScopeSection,
        exclusions: Option<Box<dyn Exclusions>>,
    ) -> io::Result<Self> {
        let scope = Scope::new(scope).map_err(io::Error::other)?;
        let choice = Choice::new(&kubernetes.labels, &kubernetes.annotations, scope);
        let surroundings = Surroundings {
            cluster: kubernetes.cluster_name.clone(),
            node: kubernetes.node.clone(),
            trust_domain: kubernetes.trust_domain.clone(),
        };
        let trust_domain = surroundings.trust_domain.clone();
        let directory = Arc::new(Directory::new(choice, surroundings, exclusions));
        // The cgroups first: what the API tells then finds them there.
        let seeker = cgroup::start(root, directory.clone())?;
        let following = watch::start(kubernetes, &directory)?;
        Ok(Self {
            directory,
            seeker,
            trust_domain,
            _following: following,
        })
    }

    /// What is known of an exchange's ends now. Looks for what is not known.
    #[must_use]
    pub fn resolve(&self, question: &Question) -> Resolution {
        let found = self.directory.resolve(question, monotonic());
        if found.cgroup_unknown() && self.directory.seek(question.cgroup) {
            self.seeker.seek();
        }
        found
    }

    /// An exchange is told though something was still missing.
    pub fn give_up(&self, resolution: &Resolution) {
        if let Some(ip) = resolution.awaited() {
            self.directory.give_up(ip, monotonic());
        }
    }

    /// Attributes of the end that asks and of the one that answers.
    #[must_use]
    pub fn ends<'a>(
        &'a self,
        resolution: &'a Resolution,
        side: Side,
    ) -> [&'a [(String, ResourceValue)]; 2] {
        resolution.ends(side, &self.trust_domain)
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
