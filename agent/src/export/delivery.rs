//! The totals of delivery: every item that an exporter accepted is exported, rejected, dropped for
//! one reason, or queued.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why an accepted item was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The exporter's queue was full.
    QueueFull,
    /// The destination stayed unavailable for longer than the retry budget.
    RetriesExhausted,
    /// The destination refused the batch for good.
    Permanent,
    /// The agent stopped before the destination took it.
    Shutdown,
}

impl DropReason {
    /// Every reason, in order.
    pub const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::RetriesExhausted,
        Self::Permanent,
        Self::Shutdown,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Permanent => "permanent_error",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Upper bounds of the latency histogram's buckets, in milliseconds: from a collector on the same
/// node to the default timeout.
pub const LATENCY_BUCKETS_MS: [u64; 10] = [1, 2, 5, 10, 25, 100, 250, 1000, 2500, 10_000];

/// Counters of one exporter.
#[derive(Debug, Default)]
pub struct Delivery {
    accepted: AtomicU64,
    exported: AtomicU64,
    rejected: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    in_flight: AtomicU64,
    attempts: AtomicU64,
    failures: AtomicU64,
    batches: AtomicU64,
    bytes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS_MS.len() + 1],
    latency_micros: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Delivery {
    /// Says why the last attempt, or the last batch, failed.
    pub fn fail(&self, error: &str) {
        *self.last_error() = Some(error.to_owned());
    }

    /// Why the last attempt or batch failed that did.
    pub fn error(&self) -> Option<String> {
        self.last_error().clone()
    }

    fn last_error(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Items handed to the exporter.
    pub fn accept(&self, items: u64) {
        self.accepted.fetch_add(items, Ordering::Relaxed);
    }

    /// Items are not wanted at the destination; they count as taken.
    pub fn omit(&self, items: u64) {
        self.exported.fetch_add(items, Ordering::Relaxed);
    }

    /// A batch left the queue and is being delivered.
    pub fn start(&self, items: u64) {
        self.in_flight.fetch_add(items, Ordering::Relaxed);
    }

    /// A batch in flight was taken; the destination rejected `rejected` of its items.
    pub fn export(&self, items: u64, rejected: u64, bytes: u64) {
        let rejected = rejected.min(items);
        self.exported.fetch_add(items - rejected, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(items, Ordering::Relaxed);
    }

    /// A batch in flight is dropped.
    pub fn drop_in_flight(&self, items: u64, reason: DropReason) {
        self.drop_waiting(items, reason);
        self.in_flight.fetch_sub(items, Ordering::Relaxed);
    }

    /// Items that were accepted, and are not in flight, are dropped.
    pub fn drop_waiting(&self, items: u64, reason: DropReason) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// One attempt ended after `took`.
    pub fn attempt(&self, took: Duration, succeeded: bool) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if !succeeded {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let bucket = LATENCY_BUCKETS_MS
            .iter()
            .position(|bound| took <= Duration::from_millis(*bound))
            .unwrap_or(LATENCY_BUCKETS_MS.len());
        if let Some(counter) = self.latency.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The totals now. `filling` and `waiting` are the items in unfinished batches and in the
    /// queue.
    #[must_use]
    pub fn totals(&self, filling: u64, waiting: u64) -> Totals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            accepted: load(&self.accepted),
            exported: load(&self.exported),
            rejected: load(&self.rejected),
            dropped: std::array::from_fn(|i| self.dropped.get(i).map_or(0, load)),
            filling,
            waiting,
            in_flight: load(&self.in_flight),
            attempts: load(&self.attempts),
            failures: load(&self.failures),
            batches: load(&self.batches),
            bytes: load(&self.bytes),
            latency: std::array::from_fn(|i| self.latency.get(i).map_or(0, load)),
            latency_micros: load(&self.latency_micros),
        }
    }
}

/// A reading of [`Delivery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Items handed to the exporter.
    pub accepted: u64,
    /// Items that the destination took.
    pub exported: u64,
    /// Items that the destination rejected (partial success).
    pub rejected: u64,
    /// Items dropped; index by `DropReason as usize`.
    pub dropped: [u64; DropReason::ALL.len()],
    /// Items in a batch that is still being filled.
    pub filling: u64,
    /// Items in the queue.
    pub waiting: u64,
    /// Items being delivered.
    pub in_flight: u64,
    /// Requests made.
    pub attempts: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Batches taken.
    pub batches: u64,
    /// Bytes taken, before compression.
    pub bytes: u64,
    /// Requests per latency bucket, the last one without a bound.
    pub latency: [u64; LATENCY_BUCKETS_MS.len() + 1],
    /// Time of all requests.
    pub latency_micros: u64,
}

impl Totals {
    /// Nothing will be delivered any more: what is not decided is dropped.
    pub(super) fn abandon(&mut self) {
        self.dropped[DropReason::Shutdown as usize] += self.queued();
        (self.filling, self.waiting, self.in_flight) = (0, 0, 0);
    }

    /// Items dropped, over all reasons.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Items not decided yet.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.filling + self.waiting + self.in_flight
    }

    /// accepted − (exported + rejected + dropped + queued): zero once nothing moves, or there is a
    /// bug.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        let counted = self.exported + self.rejected + self.dropped_total() + self.queued();
        self.accepted
            .cast_signed()
            .wrapping_sub(counted.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(act: impl Fn(&Delivery), filling: u64, waiting: u64, queued: u64) {
        let delivery = Delivery::default();
        act(&delivery);
        let totals = delivery.totals(filling, waiting);
        assert_eq!(totals.imbalance(), 0, "{totals:?}");
        assert_eq!(totals.queued(), queued);
    }

    #[test]
    fn balances_at_every_step() {
        check(|d| d.accept(10), 10, 0, 10);
        check(|d| d.accept(10), 4, 6, 10);
        check(
            |d| {
                d.accept(10);
                d.start(10);
            },
            0,
            0,
            10,
        );
        check(
            |d| {
                d.accept(10);
                d.start(6);
                d.export(6, 2, 100);
                d.drop_waiting(4, DropReason::QueueFull);
            },
            0,
            0,
            0,
        );
        check(
            |d| {
                d.accept(10);
                d.start(10);
                d.drop_in_flight(10, DropReason::Permanent);
            },
            0,
            0,
            0,
        );
    }

    #[test]
    fn a_destination_cannot_reject_more_than_it_was_given() {
        let delivery = Delivery::default();
        delivery.accept(3);
        delivery.start(3);
        delivery.export(3, 1000, 1);
        let totals = delivery.totals(0, 0);
        assert_eq!((totals.exported, totals.rejected), (0, 3));
        assert_eq!(totals.imbalance(), 0);
    }

    #[test]
    fn every_attempt_falls_into_one_bucket() {
        let delivery = Delivery::default();
        for ms in [0, 1, 3, 10_000, 60_000] {
            delivery.attempt(Duration::from_millis(ms), ms < 100);
        }
        let totals = delivery.totals(0, 0);
        assert_eq!(totals.latency.iter().sum::<u64>(), 5);
        assert_eq!(totals.latency[0], 2);
        assert_eq!(totals.latency[9], 1);
        assert_eq!(totals.latency[10], 1);
        assert_eq!((totals.attempts, totals.failures), (5, 2));
    }
}
