//! Delivers the batches of one destination: tries, waits, tries again, gives up, and counts.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::answer::Outcome;
use super::client::Client;
use super::config::RetryConfig;
use crate::export::Batch;
use crate::export::delivery::{Delivery, DropReason};
use crate::export::queue::Queue;

/// One destination, shared by the tasks that deliver to it.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) name: String,
    pub(super) client: Client,
    pub(super) retry: RetryConfig,
    pub(super) queue: Arc<Queue<Batch>>,
    pub(super) delivery: Arc<Delivery>,
    /// No attempt before this: what a collector asks for holds for every request to it.
    gate: Mutex<Option<Instant>>,
    /// The last attempt failed. Only the change is worth a warning.
    failing: AtomicBool,
}

impl Destination {
    pub(super) fn new(
        name: String,
        client: Client,
        retry: RetryConfig,
        queue: Arc<Queue<Batch>>,
        delivery: Arc<Delivery>,
    ) -> Self {
        Self {
            name,
            client,
            retry,
            queue,
            delivery,
            gate: Mutex::new(None),
            failing: AtomicBool::new(false),
        }
    }

    /// Delivers until the queue is closed and empty, or until the deadline that `stop` tells.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<Option<Instant>>) {
        loop {
            let batch = tokio::select! {
                biased;
                () = passed(&mut stop) => break,
                batch = self.queue.pop() => match batch {
                    Some(batch) => batch,
                    None => return,
                },
            };
            let spans = batch.items;
            self.delivery.start(spans);
            tokio::select! {
                biased;
                () = self.deliver(&batch) => {}
                () = passed(&mut stop) => self.delivery.drop_in_flight(spans, DropReason::Shutdown),
            }
        }
        let left = self.queue.clear();
        self.delivery.drop_waiting(left, DropReason::Shutdown);
    }

    async fn deliver(&self, batch: &Batch) {
        let payload = match self.client.prepare(batch) {
            Ok(payload) => payload,
            Err(error) => {
                warn!(exporter = self.name, error, "a batch cannot be encoded");
                return self
                    .delivery
                    .drop_in_flight(batch.items, DropReason::Permanent);
            }
        };
        let give_up = Instant::now() + self.retry.give_up.0;
        let mut backoff = self.retry.initial.0;
        loop {
            if !self.wait_at_gate(give_up).await {
                return self.exhausted(batch);
            }
            let began = Instant::now();
            let outcome = self.client.send(payload.clone()).await;
            let taken = matches!(outcome, Outcome::Taken { .. });
            self.delivery.attempt(began.elapsed(), taken);
            match outcome {
                Outcome::Taken { rejected, message } => {
                    return self.taken(batch, rejected, &message);
                }
                Outcome::Refused { message } => {
                    warn!(
                        exporter = self.name,
                        spans = batch.items,
                        message,
                        "a batch was refused for good"
                    );
                    return self
                        .delivery
                        .drop_in_flight(batch.items, DropReason::Permanent);
                }
                Outcome::Retry { after, message } => {
                    self.told_failure(&message);
                    if let Some(after) = after {
                        self.close_gate(Instant::now() + after);
                    }
                    let wait = after.map_or_else(|| jittered(backoff), |_| Duration::ZERO);
                    backoff = backoff.saturating_mul(2).min(self.retry.max.0);
                    if Instant::now() + wait >= give_up {
                        return self.exhausted(batch);
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn taken(&self, batch: &Batch, rejected: u64, message: &str) {
        if self.failing.swap(false, Ordering::Relaxed) {
            info!(exporter = self.name, "delivery works again");
        }
        if rejected > 0 {
            warn!(
                exporter = self.name,
                rejected, message, "spans were rejected"
            );
        } else if !message.is_empty() {
            warn!(exporter = self.name, message, "the destination warns");
        }
        self.delivery
            .export(batch.items, rejected, batch.bytes as u64);
    }

    fn exhausted(&self, batch: &Batch) {
        warn!(
            exporter = self.name,
            spans = batch.items,
            "a batch is dropped: the destination was not available for too long"
        );
        self.delivery
            .drop_in_flight(batch.items, DropReason::RetriesExhausted);
    }

    fn told_failure(&self, message: &str) {
        if self.failing.swap(true, Ordering::Relaxed) {
            debug!(exporter = self.name, message, "delivery failed again");
        } else {
            warn!(
                exporter = self.name,
                message, "delivery failed; trying again"
            );
        }
    }

    fn gate(&self) -> Option<Instant> {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_gate(&self, until: Instant) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *gate = gate.max(Some(until));
    }

    /// `false` when the gate opens too late for this batch.
    async fn wait_at_gate(&self, give_up: Instant) -> bool {
        while let Some(until) = self.gate()
            && until > Instant::now()
        {
            if until >= give_up {
                return false;
            }
            tokio::time::sleep_until(until).await;
        }
        true
    }
}

/// Waits for the deadline; for ever while there is none.
async fn passed(stop: &mut watch::Receiver<Option<Instant>>) {
    let deadline = match stop.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        // The exporters were dropped without a shutdown: nobody waits for what is left.
        Err(_) => return,
    };
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// Between half of `backoff` and all of it, so that agents that failed together do not come back together.
fn jittered(backoff: Duration) -> Duration {
    // A new `RandomState` hashes with keys of its own; 16 bits are plenty here.
    let random = RandomState::new().hash_one(0_u8) as u16;
    backoff / 2 + (backoff / 2).mul_f64(f64::from(random) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_keeps_half() {
        let full = Duration::from_secs(10);
        let waits: Vec<_> = (0..64).map(|_| jittered(full)).collect();
        assert!(waits.iter().all(|w| *w >= full / 2 && *w <= full));
        assert!(waits.iter().any(|w| *w != waits[0]), "no jitter at all");
    }
}
