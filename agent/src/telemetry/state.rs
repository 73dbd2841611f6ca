//! What the threads of the agent publish for the metrics, and read for their own work. Published
//! about ten times a second, never per exchange.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use meshtap_common::{Classification, DropReason};

use super::guard::Level;
use super::health::{Heart, Part, Pulse};
use super::usage::Usage;
use crate::clock::monotonic;
use crate::engine::Stats;
use crate::export::Reports;
use crate::flow::CgroupId;
use crate::ledger::Ledger;
use crate::signal::metrics::Metrics;
use crate::workload::{Directory, Outcomes, View, WorkloadName};

/// The engine's totals.
#[derive(Clone, Debug, Default)]
pub struct EngineView {
    /// The ledger of exchanges.
    pub ledger: Ledger,
    /// Totals besides it.
    pub stats: Stats,
    /// Bytes held.
    pub memory: usize,
    /// Connections held.
    pub connections: usize,
    /// Connections evicted, by the cgroup of their socket.
    pub evictions: Vec<(CgroupId, u64)>,
}

/// The hook's totals.
#[derive(Clone, Debug, Default)]
pub struct CaptureView {
    /// Segments and bytes that the BPF programs did not hand over; index by `DropReason as usize`.
    pub drops: [(u64, u64); DropReason::ALL.len()],
    /// Sockets by what they were taken for; index by `Classification as usize`.
    pub sockets: [u64; Classification::ALL.len()],
    /// Records that could not be read.
    pub malformed: u64,
    /// Size of the ring buffer.
    pub ring_size: u64,
    /// Most bytes that were taken from it in one go.
    pub ring_peak: u64,
    /// Payload bytes dropped of who had more than its share of it.
    pub refused: Vec<(CgroupId, u64)>,
}

/// Whether a hook is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It is.
    Attached,
    /// The kernel refused it, for this reason.
    Refused(String),
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// Its state.
    pub state: HookState,
}

/// Shared by all threads.
#[derive(Debug, Default)]
pub struct Shared {
    engine: Mutex<EngineView>,
    capture: Mutex<CaptureView>,
    hooks: Mutex<Vec<Hook>>,
    usage: Mutex<Usage>,
    policy: Mutex<Vec<(crate::policy::Counts, crate::redact::Counts)>>,
    outcomes: Mutex<Vec<Outcomes>>,
    directory: OnceLock<Arc<Directory>>,
    /// Names of cgroups that had something evicted or refused: a total stays with the name that it
    /// had.
    names: Mutex<BTreeMap<u64, WorkloadName>>,
    reports: OnceLock<Reports>,
    /// Istio's metrics, where they are made.
    metrics: OnceLock<Arc<Metrics>>,
    pulses: Mutex<Vec<Arc<Pulse>>>,
    exporters: Mutex<Vec<Part>>,
    suppressed: Arc<AtomicU64>,
    stands_by: AtomicBool,
    level: AtomicU8,
    steps: [AtomicU64; Level::ALL.len()],
    overflow: AtomicU64,
    connections_dropped: AtomicU64,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// What is behind these locks is replaced as a whole: a thread that panicked left nothing half
/// done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Publishes the engine's totals.
    pub fn publish_engine(&self, view: EngineView) {
        *lock(&self.engine) = view;
    }

    /// Publishes the hook's totals.
    pub fn publish_capture(&self, view: CaptureView) {
        *lock(&self.capture) = view;
    }

    /// Publishes the counts of worker `index`'s policy and redactor.
    pub fn publish_policy(
        &self,
        index: usize,
        policy: &crate::policy::Counts,
        redaction: &crate::redact::Counts,
    ) {
        let mut all = lock(&self.policy);
        if all.len() <= index {
            all.resize_with(index + 1, Default::default);
        }
        if let Some(slot) = all.get_mut(index) {
            slot.0.clone_from(policy);
            slot.1.clone_from(redaction);
        }
    }

    /// Publishes what worker `index` found of workloads.
    pub fn publish_outcomes(&self, index: usize, outcomes: &Outcomes) {
        let mut all = lock(&self.outcomes);
        if all.len() <= index {
            all.resize_with(index + 1, Default::default);
        }
        if let Some(slot) = all.get_mut(index) {
            *slot = *outcomes;
        }
    }

    /// Says where to read what is known of workloads. Only the first call counts.
    pub fn set_directory(&self, directory: Arc<Directory>) {
        let _ = self.directory.set(directory);
    }

    /// Says which hooks there are.
    pub fn set_hooks(&self, hooks: Vec<Hook>) {
        *lock(&self.hooks) = hooks;
    }

    /// Another agent captures in this one's place.
    pub fn stand_by(&self) {
        self.stands_by.store(true, Ordering::Relaxed);
    }

    /// Says where to read the exporters' state. Only the first call counts.
    pub fn set_reports(&self, reports: Reports) {
        let _ = self.reports.set(reports);
    }

    /// Says where Istio's metrics are. Only the first call counts.
    pub fn set_metrics(&self, metrics: Arc<Metrics>) {
        let _ = self.metrics.set(metrics);
    }

    /// Istio's metrics, where they are made.
    #[must_use]
    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.get().map(|metrics| &**metrics)
    }

    /// Publishes what the process uses.
    pub fn publish_usage(&self, usage: Usage) {
        *lock(&self.usage) = usage;
    }

    /// Takes a new level of service.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
        if let Some(counter) = self.steps.get(level as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The level of service.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Exchanges dropped so far because the workers were too far behind.
    pub fn set_overflow(&self, exchanges: u64) {
        self.overflow.store(exchanges, Ordering::Relaxed);
    }

    /// Beginnings and ends of connections that found no room in the kernel so far.
    pub fn set_connections_dropped(&self, events: u64) {
        self.connections_dropped.store(events, Ordering::Relaxed);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, worked: bool) {
        let counter = if worked {
            &self.reloads
        } else {
            &self.failed_reloads
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread that must move is about to start: it is stuck when it gives no sign of life for
    /// `limit`.
    #[must_use]
    pub fn heart(&self, name: &str, limit: Duration) -> Heart {
        let (heart, pulse) = Heart::new(name, limit);
        lock(&self.pulses).push(pulse);
        heart
    }

    /// Publishes how the exporters do.
    pub fn publish_exporters(&self, parts: Vec<Part>) {
        *lock(&self.exporters) = parts;
    }

    /// The exporters' state.
    #[must_use]
    pub fn reports(&self) -> Vec<crate::export::Report> {
        self.reports.get().map(Reports::read).unwrap_or_default()
    }

    /// Counts log lines that were not written.
    #[must_use]
    pub fn suppressed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.suppressed)
    }

    fn parts(&self) -> Vec<Part> {
        let now = monotonic();
        let pulses = lock(&self.pulses);
        let threads = pulses.iter().filter_map(|pulse| pulse.part(now));
        threads
            .chain(lock(&self.exporters).iter().cloned())
            .collect()
    }

    /// Everything, for a page of metrics.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut policy = crate::policy::Counts::default();
        let mut redaction = crate::redact::Counts::default();
        for counts in lock(&self.policy).iter() {
            policy.add(&counts.0);
            redaction.add(&counts.1);
        }
        let mut outcomes = Outcomes::NONE;
        for worker in lock(&self.outcomes).iter() {
            outcomes.add(worker);
        }
        Reading {
            workloads: self.directory.get().map(|directory| directory.view()),
            outcomes,
            evictions: self.by_workload(|engine, _| engine.evictions.clone()),
            refused: self.by_workload(|_, capture| capture.refused.clone()),
            engine: lock(&self.engine).clone(),
            capture: lock(&self.capture).clone(),
            hooks: lock(&self.hooks).clone(),
            usage: *lock(&self.usage),
            policy,
            redaction,
            exporters: self.reports(),
            metrics: self.metrics().map(Metrics::totals),
            parts: self.parts(),
            suppressed: self.suppressed.load(Ordering::Relaxed),
            stands_by: self.stands_by.load(Ordering::Relaxed),
            level: self.level(),
            steps: std::array::from_fn(|i| {
                self.steps.get(i).map_or(0, |n| n.load(Ordering::Relaxed))
            }),
            overflow: self.overflow.load(Ordering::Relaxed),
            connections_dropped: self.connections_dropped.load(Ordering::Relaxed),
            reloads: self.reloads.load(Ordering::Relaxed),
            failed_reloads: self.failed_reloads.load(Ordering::Relaxed),
        }
    }

    /// As many as the engine, or the kernel, counts cgroups: both have a bound.
    fn by_workload(
        &self,
        counts: impl FnOnce(&EngineView, &CaptureView) -> Vec<(CgroupId, u64)>,
    ) -> BTreeMap<WorkloadName, u64> {
        let mut totals = BTreeMap::new();
        let Some(directory) = self.directory.get() else {
            return totals;
        };
        let counts = counts(&lock(&self.engine), &lock(&self.capture));
        let mut names = lock(&self.names);
        for (cgroup, count) in counts {
            let name = names
                .entry(cgroup.0)
                .or_insert_with(|| directory.workload_name(cgroup));
            *totals.entry(name.clone()).or_default() += count;
        }
        totals
    }
}

/// A reading of [`Shared`].
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// See [`EngineView`].
    pub engine: EngineView,
    /// Connections evicted, by workload.
    pub evictions: BTreeMap<WorkloadName, u64>,
    /// Payload bytes refused for want of ring buffer, by workload.
    pub refused: BTreeMap<WorkloadName, u64>,
    /// See [`CaptureView`].
    pub capture: CaptureView,
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// What the process uses.
    pub usage: Usage,
    /// What the policy did, over all workers.
    pub policy: crate::policy::Counts,
    /// What was hidden and omitted, over all workers.
    pub redaction: crate::redact::Counts,
    /// What is known of workloads, where anybody asks.
    pub workloads: Option<View>,
    /// What became of exchanges as far as their pods go.
    pub outcomes: Outcomes,
    /// The destinations.
    pub exporters: Vec<crate::export::Report>,
    /// What Istio's metrics use, where they are made.
    pub metrics: Option<crate::signal::metrics::Totals>,
    /// How threads and exporters do.
    pub parts: Vec<Part>,
    /// Log lines that were not written.
    pub suppressed: u64,
    /// Another agent captures in this one's place.
    pub stands_by: bool,
    /// The level of service.
    pub level: Level,
    /// Changes to each level.
    pub steps: [u64; Level::ALL.len()],
    /// Exchanges dropped because the workers were too far behind.
    pub overflow: u64,
    /// Beginnings and ends of connections that found no room in the kernel.
    pub connections_dropped: u64,
    /// Times that the configuration was read again.
    pub reloads: u64,
    /// Times that it could not be used.
    pub failed_reloads: u64,
}
