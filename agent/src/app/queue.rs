//! The queue between the data thread and the output thread: bounded in exchanges and in bytes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exchange::Exchange;

/// Exchanges waiting for output: what a busy node emits in about half a second, so a short stall of
/// the reader loses nothing.
const MAX_EXCHANGES: usize = 65_536;
/// Bytes of them: a quarter of the engine's own bound, or a thousand exchanges whose bodies are all
/// at the default limit.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Exchanges that ended in one poll.
#[derive(Debug)]
pub(super) struct Batch {
    /// Index of the first among all exchanges emitted.
    pub(super) first: u64,
    /// In the order in which they ended.
    pub(super) exchanges: Vec<Exchange>,
    bytes: usize,
}

/// What to do when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Drop and count: live capture never waits.
    Drop,
    /// Wait: a file can.
    Wait,
}

/// What a reader of the queue got.
#[derive(Debug)]
pub(super) enum Popped {
    Batch(Batch),
    /// Nothing came in the time given.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    exchanges: usize,
    bytes: usize,
    /// The data thread has ended.
    closed: bool,
    /// The output thread has.
    abandoned: bool,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_exchanges: usize,
    max_bytes: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new(MAX_EXCHANGES, MAX_BYTES)
    }
}

impl Queue {
    fn new(max_exchanges: usize, max_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_exchanges,
            max_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over exchanges, the first of which has index `first`; the number of those that found
    /// no room.
    pub(super) fn push(&self, first: u64, exchanges: Vec<Exchange>, when_full: WhenFull) -> u64 {
        let bytes = exchanges.iter().map(held).sum();
        let mut batch = Batch {
            first,
            exchanges,
            bytes,
        };
        let mut state = self.lock();
        if when_full == WhenFull::Wait {
            // A batch larger than the bound goes in alone.
            state = self
                .changed
                .wait_while(state, |state| {
                    !state.batches.is_empty() && !state.abandoned && !self.fits(state, &batch)
                })
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut dropped = 0;
        if state.abandoned {
            return batch.exchanges.len() as u64;
        }
        if when_full == WhenFull::Drop {
            dropped = self.shorten(&state, &mut batch);
            if batch.exchanges.is_empty() {
                return dropped;
            }
        }
        state.exchanges += batch.exchanges.len();
        state.bytes += batch.bytes;
        state.batches.push_back(batch);
        drop(state);
        self.changed.notify_all();
        dropped
    }

    fn fits(&self, state: &State, batch: &Batch) -> bool {
        state.exchanges + batch.exchanges.len() <= self.max_exchanges
            && state.bytes + batch.bytes <= self.max_bytes
    }

    /// Drops exchanges off the end of a batch until it fits; their number.
    fn shorten(&self, state: &State, batch: &mut Batch) -> u64 {
        let mut dropped = 0;
        while !self.fits(state, batch) {
            let Some(exchange) = batch.exchanges.pop() else {
                break;
            };
            batch.bytes = batch.bytes.saturating_sub(held(&exchange));
            dropped += 1;
        }
        dropped
    }

    /// The next batch, waiting at most `timeout` for it.
    pub(super) fn pop(&self, timeout: Duration) -> Popped {
        let state = self.lock();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| {
                state.batches.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        match state.batches.pop_front() {
            Some(batch) => {
                state.exchanges -= batch.exchanges.len();
                state.bytes = state.bytes.saturating_sub(batch.bytes);
                drop(state);
                self.changed.notify_all();
                Popped::Batch(batch)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// Nothing will be pushed any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nothing will be popped any more.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }
}

/// Bytes that an exchange holds, about.
pub(super) fn held(exchange: &Exchange) -> usize {
    let request = &exchange.request;
    let response = exchange.response.as_ref();
    size_of::<Exchange>()
        + request.head.fields.memory()
        + request.body.bytes.len()
        + response.map_or(0, |r| r.head.fields.memory() + r.body.bytes.len())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::tap::sample;

    fn exchanges(count: usize) -> Vec<Exchange> {
        vec![sample::exchange(); count]
    }

    /// Pushes batches of the given sizes with nobody reading; what is left in the queue, and
    /// dropped.
    #[track_caller]
    fn check(queue: &Queue, batches: &[usize], kept: &[usize], dropped: u64) {
        let lost: u64 = batches
            .iter()
            .map(|count| queue.push(0, exchanges(*count), WhenFull::Drop))
            .sum();
        assert_eq!(lost, dropped);
        queue.close();
        let mut found = Vec::new();
        while let Popped::Batch(batch) = queue.pop(Duration::ZERO) {
            found.push(batch.exchanges.len());
        }
        assert_eq!(found, kept);
        let state = queue.lock();
        assert_eq!((state.exchanges, state.bytes), (0, 0));
    }

    #[test]
    fn both_bounds() {
        check(&Queue::new(10, usize::MAX), &[4, 4, 4, 4], &[4, 4, 2], 6);
        let each = held(&sample::exchange());
        check(&Queue::new(100, 5 * each), &[3, 3, 3], &[3, 2], 4);
        check(&Queue::new(100, each - 1), &[1, 1], &[], 2);
    }

    #[test]
    fn a_file_waits_for_its_reader() {
        let queue = Queue::new(2, usize::MAX);
        thread::scope(|scope| {
            scope.spawn(|| {
                for first in 0..100 {
                    assert_eq!(queue.push(first, exchanges(3), WhenFull::Wait), 0);
                }
                queue.close();
            });
            let mut count = 0;
            while let Popped::Batch(batch) = queue.pop(Duration::from_secs(60)) {
                assert_eq!(batch.first, count);
                count += 1;
            }
            assert_eq!(count, 100);
        });
    }

    #[test]
    fn a_reader_that_is_gone_holds_nobody_up() {
        let queue = Queue::new(2, usize::MAX);
        queue.push(0, exchanges(2), WhenFull::Wait);
        queue.abandon();
        assert_eq!(queue.push(2, exchanges(2), WhenFull::Wait), 2);
    }
}
