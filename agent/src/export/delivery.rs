//! The account of delivery: every span that an exporter accepted is exported, rejected, dropped for one reason, or queued.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why an accepted span was not delivered.
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

/// Upper bounds of the latency histogram's buckets, in milliseconds: from a collector on the same node to the default timeout.
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
}

impl Delivery {
    /// Spans handed to the exporter.
    pub fn accept(&self, spans: u64) {
        self.accepted.fetch_add(spans, Ordering::Relaxed);
    }

    /// A batch left the queue and is being delivered.
    pub fn begin(&self, spans: u64) {
        self.in_flight.fetch_add(spans, Ordering::Relaxed);
    }

    /// A batch that had begun was taken; the destination rejected `rejected` of its spans.
    pub fn export(&self, spans: u64, rejected: u64, bytes: u64) {
        let rejected = rejected.min(spans);
        self.exported.fetch_add(spans - rejected, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(spans, Ordering::Relaxed);
    }

    /// A batch that had begun is given up.
    pub fn give_up(&self, spans: u64, reason: DropReason) {
        self.drop_spans(spans, reason);
        self.in_flight.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Spans that had been accepted, and had not begun, are dropped.
    pub fn drop_spans(&self, spans: u64, reason: DropReason) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.fetch_add(spans, Ordering::Relaxed);
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

    /// The account now. `open` and `waiting` are the spans in unfinished batches and in the queue.
    #[must_use]
    pub fn account(&self, open: u64, waiting: u64) -> Account {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Account {
            accepted: load(&self.accepted),
            exported: load(&self.exported),
            rejected: load(&self.rejected),
            dropped: std::array::from_fn(|i| self.dropped.get(i).map_or(0, load)),
            open,
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
pub struct Account {
    /// Spans handed to the exporter.
    pub accepted: u64,
    /// Spans that the destination took.
    pub exported: u64,
    /// Spans that the destination rejected (partial success).
    pub rejected: u64,
    /// Spans dropped; index by `DropReason as usize`.
    pub dropped: [u64; DropReason::ALL.len()],
    /// Spans in a batch that is still being filled.
    pub open: u64,
    /// Spans in the queue.
    pub waiting: u64,
    /// Spans being delivered.
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

impl Account {
    /// Nothing will be delivered any more: what is not decided is dropped.
    pub(super) fn abandon(&mut self) {
        self.dropped[DropReason::Shutdown as usize] += self.queued();
        (self.open, self.waiting, self.in_flight) = (0, 0, 0);
    }

    /// Spans dropped, over all reasons.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Spans not decided yet.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.open + self.waiting + self.in_flight
    }

    /// accepted − (exported + rejected + dropped + queued): zero once nothing moves, or there is a bug.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        let told = self.exported + self.rejected + self.lost() + self.queued();
        self.accepted.cast_signed().wrapping_sub(told.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(act: impl Fn(&Delivery), open: u64, waiting: u64, queued: u64) {
        let delivery = Delivery::default();
        act(&delivery);
        let account = delivery.account(open, waiting);
        assert_eq!(account.imbalance(), 0, "{account:?}");
        assert_eq!(account.queued(), queued);
    }

    #[test]
    fn balances_at_every_step() {
        check(|d| d.accept(10), 10, 0, 10);
        check(|d| d.accept(10), 4, 6, 10);
        check(
            |d| {
                d.accept(10);
                d.begin(10);
            },
            0,
            0,
            10,
        );
        check(
            |d| {
                d.accept(10);
                d.begin(6);
                d.export(6, 2, 100);
                d.drop_spans(4, DropReason::QueueFull);
            },
            0,
            0,
            0,
        );
        check(
            |d| {
                d.accept(10);
                d.begin(10);
                d.give_up(10, DropReason::Permanent);
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
        delivery.begin(3);
        delivery.export(3, 1000, 1);
        let account = delivery.account(0, 0);
        assert_eq!((account.exported, account.rejected), (0, 3));
        assert_eq!(account.imbalance(), 0);
    }

    #[test]
    fn every_attempt_falls_into_one_bucket() {
        let delivery = Delivery::default();
        for ms in [0, 1, 3, 10_000, 60_000] {
            delivery.attempt(Duration::from_millis(ms), ms < 100);
        }
        let account = delivery.account(0, 0);
        assert_eq!(account.latency.iter().sum::<u64>(), 5);
        assert_eq!(account.latency[0], 2);
        assert_eq!(account.latency[9], 1);
        assert_eq!(account.latency[10], 1);
        assert_eq!((account.attempts, account.failures), (5, 2));
    }
}
