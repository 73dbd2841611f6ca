//! How well the sources of updates do, for decisions, metrics and `/readyz`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flow::Nanos;

/// What is watched in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Watch {
    /// Pods of this node.
    NodePods,
    /// Namespaces, for their annotations.
    Namespaces,
    /// Pods of other nodes.
    OtherPods,
    /// Services.
    Services,
    /// Istio's `Telemetry` objects.
    Telemetries,
    /// Routes of the Gateway API.
    HttpRoutes,
    /// Likewise, of gRPC.
    GrpcRoutes,
}

/// Every watch, in order.
pub(crate) const WATCHES: [Watch; 7] = [
    Watch::NodePods,
    Watch::Namespaces,
    Watch::OtherPods,
    Watch::Services,
    Watch::Telemetries,
    Watch::HttpRoutes,
    Watch::GrpcRoutes,
];

impl Watch {
    /// The metric's label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NodePods => "node_pods",
            Self::Namespaces => "namespaces",
            Self::OtherPods => "other_pods",
            Self::Services => "services",
            Self::Telemetries => "telemetries",
            Self::HttpRoutes => "http_routes",
            Self::GrpcRoutes => "grpc_routes",
        }
    }
}

/// How a watch does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchState {
    /// It is not asked for, or cannot be had here; why.
    Off(String),
    /// It has not been listed yet.
    #[default]
    Starting,
    /// What it reported is complete and followed.
    Synced,
    /// It broke off, or never started; why.
    Lost(String),
}

impl WatchState {
    /// The name in output.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Off(_) => "off",
            Self::Starting => "starting",
            Self::Synced => "synced",
            Self::Lost(_) => "lost",
        }
    }
}

/// A watch, for output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchView {
    /// Its name.
    pub name: &'static str,
    /// How it does.
    pub state: WatchState,
    /// Times that it broke off or could not start.
    pub errors: u64,
    /// Full listings.
    pub listings: u64,
}

/// Everything, for output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What is watched in the API.
    pub watches: Vec<WatchView>,
    /// Cgroups known, with those that are gone and remembered.
    pub cgroups: usize,
    /// Those there that belong to a container or pod.
    pub containers: usize,
    /// Those that the BPF programs ignore.
    pub excluded: usize,
    /// Times that the kernel did not take that.
    pub exclusion_failures: u64,
    /// Pods known.
    pub pods: usize,
    /// Addresses known.
    pub addresses: usize,
    /// Updates that found no room.
    pub refused: u64,
    /// What `Telemetry` objects say that is not honoured.
    pub complaints: Vec<String>,
}

#[derive(Debug, Default)]
struct Entry {
    state: WatchState,
    lost_since: Option<Nanos>,
    errors: u64,
    listings: u64,
}

/// The state of all watches, and a few counters.
#[derive(Debug, Default)]
pub(crate) struct Health {
    entries: Mutex<[Entry; WATCHES.len()]>,
    refused: AtomicU64,
    exclusion_failures: AtomicU64,
    generation: AtomicU64,
}

/// What a reader needs to know of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Updates may come.
    Expecting,
    /// It has been lost for a while: what is known is emitted, but nothing is waited for.
    Stalled,
    /// It has been lost for so long that addresses may have passed on.
    Stale,
    /// There is none.
    Absent,
}

/// A watch that breaks off is most often back within this.
const BRIEF: Nanos = 10_000_000_000;
/// After this long without updates, an address is not trusted to be whose it was.
const STALE: Nanos = 300_000_000_000;

impl Health {
    fn entries(&self) -> MutexGuard<'_, [Entry; WATCHES.len()]> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch will not be.
    pub(crate) fn off(&self, watch: Watch, reason: &str) {
        self.entries()[watch as usize].state = WatchState::Off(reason.to_owned());
        self.changed();
    }

    /// A watch has reported everything. True when it had not before.
    pub(crate) fn synced(&self, watch: Watch) -> bool {
        let mut entries = self.entries();
        let entry = &mut entries[watch as usize];
        entry.listings += 1;
        let is_new = entry.follow();
        drop(entries);
        self.changed();
        is_new
    }

    /// A watch reports. True when it was lost before.
    pub(crate) fn heard(&self, watch: Watch) -> bool {
        let mut entries = self.entries();
        let entry = &mut entries[watch as usize];
        // After a listing only: one that broke off in its first listing is not complete.
        entry.listings > 0 && entry.state != WatchState::Synced && entry.follow()
    }

    /// A watch broke off. True when it had not before.
    pub(crate) fn lost(&self, watch: Watch, reason: String, now: Nanos) -> bool {
        let mut entries = self.entries();
        let entry = &mut entries[watch as usize];
        let is_new = !matches!(entry.state, WatchState::Lost(_));
        entry.errors += 1;
        entry.lost_since.get_or_insert(now);
        entry.state = WatchState::Lost(reason);
        is_new
    }

    /// How far a watch can be relied on.
    pub(crate) fn trust(&self, watch: Watch, now: Nanos) -> Trust {
        let entries = self.entries();
        let entry = &entries[watch as usize];
        match &entry.state {
            WatchState::Off(_) => Trust::Absent,
            WatchState::Starting | WatchState::Synced => Trust::Expecting,
            WatchState::Lost(_) => {
                let lost = now.saturating_sub(entry.lost_since.unwrap_or(now));
                match lost {
                    _ if lost >= STALE => Trust::Stale,
                    _ if lost >= BRIEF || entry.listings == 0 => Trust::Stalled,
                    _ => Trust::Expecting,
                }
            }
        }
    }

    /// A watch has not reported anything yet, and will soon.
    pub(crate) fn is_starting(&self, watch: Watch) -> bool {
        self.entries()[watch as usize].state == WatchState::Starting
    }

    /// An update found no room.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The kernel did not take a cgroup's scope.
    pub(crate) fn exclusion_failed(&self) {
        self.exclusion_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Something became known: whoever waits may look again.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Counts what became known.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn view(&self) -> View {
        let entries = self.entries();
        let watches = WATCHES.iter().zip(entries.iter());
        View {
            watches: watches
                .map(|(watch, entry)| WatchView {
                    name: watch.label(),
                    state: entry.state.clone(),
                    errors: entry.errors,
                    listings: entry.listings,
                })
                .collect(),
            refused: self.refused.load(Ordering::Relaxed),
            exclusion_failures: self.exclusion_failures.load(Ordering::Relaxed),
            ..View::default()
        }
    }
}

impl Entry {
    fn follow(&mut self) -> bool {
        let is_new = self.state != WatchState::Synced;
        self.state = WatchState::Synced;
        self.lost_since = None;
        is_new
    }
}
