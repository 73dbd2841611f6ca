//! Delivers the batches of one destination: tries, waits, tries again, drops, and counts.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::config::RetryConfig;
use super::notices::Notices;
use super::response::Outcome;
use super::retry::Schedule;
use crate::export::Batch;
use crate::export::delivery::DropReason;
use crate::export::handle::Channel;

/// Sends batches.
pub(super) trait Transport: Send + Sync + 'static {
    /// A batch in the form in which it is sent.
    type Payload: Clone + Send;

    /// Gives a batch its final form.
    ///
    /// # Errors
    /// When it has none, which would be an error of the encoder.
    fn prepare(&self, batch: &Batch) -> Result<Self::Payload, String>;

    /// Makes one attempt, within bounded time.
    fn send(&self, payload: Self::Payload) -> impl Future<Output = Outcome> + Send;
}

/// One destination, shared by the tasks that deliver to it.
#[derive(Debug)]
pub(super) struct Destination<T> {
    transport: T,
    retry: RetryConfig,
    channel: Arc<Channel>,
    /// No attempt before this: what a collector asks for holds for every request to it.
    gate: Mutex<Option<Instant>>,
    /// The last attempt failed.
    failing: AtomicBool,
    start: Instant,
    notices: Mutex<Notices>,
}

impl<T: Transport> Destination<T> {
    pub(super) fn new(transport: T, retry: RetryConfig, channel: Arc<Channel>) -> Self {
        Self {
            transport,
            retry,
            channel,
            gate: Mutex::new(None),
            failing: AtomicBool::new(false),
            start: Instant::now(),
            notices: Mutex::default(),
        }
    }

    /// Delivers until the queue is closed and empty, or until the deadline that `stop` gives.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<Option<Instant>>) {
        let delivery = &self.channel.delivery;
        loop {
            let batch = tokio::select! {
                biased;
                () = passed(&mut stop) => break,
                batch = self.channel.queue.pop() => match batch {
                    Some(batch) => batch,
                    None => return,
                },
            };
            delivery.start(batch.items);
            tokio::select! {
                biased;
                () = self.deliver(&batch) => {}
                () = passed(&mut stop) => {
                    delivery.drop_in_flight(batch.items, DropReason::Shutdown);
                }
            }
        }
        let left = self.channel.queue.clear();
        delivery.drop_waiting(left, DropReason::Shutdown);
    }

    async fn deliver(&self, batch: &Batch) {
        let payload = match self.transport.prepare(batch) {
            Ok(payload) => payload,
            Err(error) => {
                let error = format!("a batch cannot be encoded: {error}");
                return self.dropped(batch, DropReason::Permanent, &error);
            }
        };
        let mut schedule = Schedule::new(&self.retry);
        let give_up = Instant::now() + schedule.give_up();
        let mut last = String::from("the destination asks to wait");
        loop {
            if !self.wait_at_gate(give_up).await {
                let error = format!("not available for {:?}: {last}", schedule.give_up());
                return self.dropped(batch, DropReason::RetriesExhausted, &error);
            }
            let start = Instant::now();
            let outcome = self.transport.send(payload.clone()).await;
            let is_taken = matches!(outcome, Outcome::Taken { .. });
            self.channel.delivery.attempt(start.elapsed(), is_taken);
            match outcome {
                Outcome::Taken { rejected, remark } => {
                    return self.taken(batch, rejected, &remark);
                }
                Outcome::Refused { message } => {
                    return self.dropped(batch, DropReason::Permanent, &message);
                }
                Outcome::Retry { after, message } => {
                    let until = Instant::now() + schedule.wait(after, chance());
                    if after.is_some() {
                        self.close_gate(until);
                    }
                    self.failed(&message, until);
                    last = message;
                    tokio::time::sleep_until(until.min(give_up)).await;
                    if until >= give_up {
                        let error = format!("not available for {:?}: {last}", schedule.give_up());
                        return self.dropped(batch, DropReason::RetriesExhausted, &error);
                    }
                }
            }
        }
    }

    fn taken(&self, batch: &Batch, rejected: u64, remark: &str) {
        let exporter = &*self.channel.name;
        if self.failing.swap(false, Ordering::Relaxed) {
            info!(exporter, "delivery works again");
        }
        if rejected > 0 {
            self.channel.delivery.fail(remark);
            self.notice(&format!("items were rejected: {remark}"));
        } else if !remark.is_empty() {
            self.notice(remark);
        }
        let bytes = batch.bytes as u64;
        self.channel.delivery.export(batch.items, rejected, bytes);
    }

    fn dropped(&self, batch: &Batch, reason: DropReason, error: &str) {
        self.channel.delivery.fail(error);
        self.notice(&format!("a batch is dropped ({}): {error}", reason.label()));
        self.channel.delivery.drop_in_flight(batch.items, reason);
    }

    fn failed(&self, message: &str, until: Instant) {
        self.channel.delivery.fail(message);
        let wait = until.saturating_duration_since(Instant::now());
        if self.failing.swap(true, Ordering::Relaxed) {
            let exporter = &*self.channel.name;
            debug!(exporter, message, ?wait, "delivery failed again");
        } else {
            self.notice(&format!("delivery failed; trying again: {message}"));
        }
    }

    /// A warning, unless it was given lately.
    fn notice(&self, text: &str) {
        let exporter = &*self.channel.name;
        let now = self.start.elapsed();
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        match notices.show(text, now) {
            Some(0) => warn!(exporter, "{text}"),
            Some(suppressed) => warn!(exporter, suppressed, "{text}"),
            None => debug!(exporter, "{text}"),
        }
    }

    fn gate(&self) -> Option<Instant> {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_gate(&self, until: Instant) {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        *gate = gate.max(Some(until));
    }

    /// `false` when `give_up` passes before the gate opens.
    async fn wait_at_gate(&self, give_up: Instant) -> bool {
        while let Some(until) = self.gate()
            && until > Instant::now()
        {
            tokio::time::sleep_until(until.min(give_up)).await;
            if until > give_up {
                return false;
            }
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

/// From 0 to 1. A new `RandomState` hashes with keys of its own; 16 bits are plenty here.
fn chance() -> f64 {
    let random = RandomState::new().hash_one(0_u8) as u16;
    f64::from(random) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::config::Interval;
    use crate::export::ItemKind;
    use crate::export::delivery::Totals;
    use crate::export::queue::{DropPolicy, Queue};

    /// Gives one outcome after the other, then takes everything.
    struct Script(Mutex<VecDeque<Outcome>>);

    impl Transport for Script {
        type Payload = ();

        fn prepare(&self, _: &Batch) -> Result<(), String> {
            Ok(())
        }

        async fn send(&self, (): ()) -> Outcome {
            let next = self.0.lock().unwrap().pop_front();
            next.unwrap_or(Outcome::Taken {
                rejected: 0,
                remark: String::new(),
            })
        }
    }

    /// Delivers two batches of ten items, one after the other, without waits: the totals and the
    /// last error.
    fn check(script: Vec<Outcome>, expected: (u64, u64, u64), error: Option<&str>) -> Totals {
        let queue = Queue::new(1000, DropPolicy::Oldest);
        let channel = Arc::new(Channel::new("x".to_owned(), ItemKind::Span, queue));
        let retry = RetryConfig {
            give_up: Interval(Duration::ZERO),
            ..RetryConfig::default()
        };
        for _ in 0..2 {
            channel.delivery.accept(10);
            let batch = Batch {
                items: 10,
                ..Batch::default()
            };
            assert_eq!(channel.queue.push(batch), 0);
        }
        channel.queue.close();
        let script = Script(Mutex::new(script.into()));
        let destination = Arc::new(Destination::new(script, retry, channel.clone()));
        let stop = watch::Sender::new(None);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(destination.run(stop.subscribe()));
        let totals = channel.totals();
        assert_eq!(totals.imbalance(), 0);
        assert_eq!(
            (totals.exported, totals.rejected, totals.dropped_total()),
            expected
        );
        assert_eq!(channel.delivery.error().as_deref(), error);
        totals
    }

    #[test]
    fn every_outcome_is_counted_once() {
        check(Vec::new(), (20, 0, 0), None);
        let partial = Outcome::Taken {
            rejected: 3,
            remark: "no".to_owned(),
        };
        check(vec![partial], (17, 3, 0), Some("no"));
        let refused = Outcome::Refused {
            message: "never".to_owned(),
        };
        let totals = check(vec![refused], (10, 0, 10), Some("never"));
        assert_eq!(totals.dropped[DropReason::Permanent as usize], 10);
        let retry = Outcome::Retry {
            after: None,
            message: "busy".to_owned(),
        };
        let error = Some("not available for 0ns: busy");
        let totals = check(vec![retry], (10, 0, 10), error);
        assert_eq!(totals.dropped[DropReason::RetriesExhausted as usize], 10);
    }

    #[test]
    fn chance_is_between_0_and_1() {
        let all: Vec<_> = (0..64).map(|_| chance()).collect();
        assert!(all.iter().all(|c| (0.0..=1.0).contains(c)));
        assert!(all.iter().any(|c| *c != all[0]), "no chance at all");
    }
}
