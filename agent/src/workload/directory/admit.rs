//! Which processes may be looked into, before anything of them is captured.

use super::super::cgroup::Place;
use super::super::scope::Reason;
use super::health::Trust;
use super::{Directory, Watch};
use crate::flow::Nanos;

impl Directory {
    /// Whether a process is in scope that is in the cgroup with this path. `None`: nothing can be
    /// said of its pod yet. A path may name what it likes: what is captured is decided by the
    /// cgroup's id.
    #[must_use]
    pub fn admits(&self, cgroup: &str, now: Nanos) -> Option<bool> {
        let place = Place::of(cgroup, cgroup.len());
        let pod_id = place.as_ref().and_then(|place| place.pod.as_deref());
        let state = self.read();
        let pod = pod_id.and_then(|id| state.pod(id));
        let container = place.as_ref().and_then(|place| place.container.as_deref());
        let name = pod
            .as_ref()
            .zip(container)
            .and_then(|(pod, id)| pod.container(id));
        let is_named = pod.is_some() && (container.is_none() || name.is_some());
        let is_waiting = match pod_id {
            None => false,
            Some(_) if is_named => self.health.is_starting(Watch::Namespaces),
            Some(_) => self.health.trust(Watch::NodePods, now) == Trust::Expecting,
        };
        match self.exclusion(&state, pod_id, pod.as_deref(), name) {
            Some(Reason::Unidentified) if is_waiting => None,
            Some(Reason::Mesh) if pod.as_deref().is_some_and(|pod| self.reads(pod)) => Some(true),
            Some(_) => Some(false),
            None if is_waiting => None,
            None => Some(true),
        }
    }
}
