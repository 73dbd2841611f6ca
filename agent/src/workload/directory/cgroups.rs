//! Updates of cgroups.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::cgroup::{Change, Listener, Place};
use super::super::identity::Identity;
use super::{Directory, MAX_ABSENT};
use crate::capture::Excluded;
use crate::clock::monotonic;
use crate::flow::{CgroupId, Nanos};

/// A cgroup.
#[derive(Debug)]
pub(super) struct Cgroup {
    pub(super) place: Option<Arc<Place>>,
    /// Its container's name, once known.
    pub(super) name: Option<Box<str>>,
    pub(super) identity: Option<Arc<Identity>>,
    /// Nothing more is expected to become known.
    pub(super) settled: bool,
    /// What of it the BPF programs ignore.
    pub(super) excluded: Excluded,
    /// When it was seen to be gone.
    pub(super) gone: Option<Nanos>,
}

impl Cgroup {
    pub(super) fn pod_id(&self) -> Option<&str> {
        self.place.as_ref()?.pod.as_deref()
    }
}

/// Takes a cgroup off its pod's list.
pub(super) fn remove(by_pod: &mut HashMap<Box<str>, Vec<u64>>, pod: &str, id: u64) {
    if let Some(list) = by_pod.get_mut(pod) {
        list.retain(|other| *other != id);
        if list.is_empty() {
            by_pod.remove(pod);
        }
    }
}

impl Directory {
    pub(crate) fn cgroups_changed(&self, changes: &[Change], now: Nanos) {
        let mut state = self.write();
        for change in changes {
            match change {
                Change::Appeared(CgroupId(id), place) => {
                    state.absent.remove(id);
                    let cgroup = Cgroup {
                        place: place.clone().map(Arc::new),
                        name: None,
                        identity: None,
                        settled: false,
                        excluded: Excluded::Nothing,
                        gone: None,
                    };
                    if let Some(pod) = cgroup.pod_id() {
                        let list = state.by_pod.entry_ref(pod).or_default();
                        if !list.contains(id) {
                            list.push(*id);
                        }
                    }
                    state.cgroups.insert(*id, cgroup);
                    self.refresh_one(&mut state, *id);
                }
                Change::Vanished(CgroupId(id)) => {
                    let Some(cgroup) = state.cgroups.get_mut(id) else {
                        continue;
                    };
                    cgroup.gone = Some(now);
                    // The kernel gives its id to nobody else, but its table has a bound.
                    if std::mem::take(&mut cgroup.excluded) != Excluded::Nothing {
                        self.exclude(*id, Excluded::Nothing);
                    }
                }
            }
        }
    }

    /// Notes a pending lookup of a cgroup that is not known. False when it is known not to be
    /// there, or too many are pending.
    pub(crate) fn request(&self, id: CgroupId) -> bool {
        let mut state = self.write();
        if state.cgroups.contains_key(&id.0) {
            return true;
        }
        if state.absent.contains_key(&id.0) || state.pending.len() >= MAX_ABSENT {
            return false;
        }
        state.pending.insert(id.0);
        true
    }
}

impl Listener for Directory {
    fn changed(&self, changes: &[Change]) {
        self.cgroups_changed(changes, monotonic());
        self.health.changed();
    }

    fn pending(&self) -> Vec<CgroupId> {
        let pending = std::mem::take(&mut self.write().pending);
        pending.into_iter().map(CgroupId).collect()
    }

    fn scanned(&self, pending: &[CgroupId]) {
        let now = monotonic();
        let mut state = self.write();
        for CgroupId(id) in pending {
            if !state.cgroups.contains_key(id) && state.absent.len() < MAX_ABSENT {
                state.absent.insert(*id, now);
            }
        }
        drop(state);
        self.health.changed();
    }

    fn tick(&self) {
        let now = monotonic();
        self.expire(now);
        self.read_network(now);
    }
}
