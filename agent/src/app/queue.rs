//! The queue between the data thread and the output thread: bounded in exchanges and in bytes, and
//! shared by cgroup while it is short.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use meshtap_common::SHARE_FACTOR;

use crate::exchange::Exchange;
use crate::flow::CgroupId;
use crate::hash::Keyed;

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
    /// What they take of the queue.
    size: Size,
}

/// What exchanges of one cgroup take that come one after the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    cgroup: CgroupId,
    held: Held,
}

impl Run {
    /// That of one exchange.
    fn of(exchange: &Exchange) -> Self {
        Self {
            cgroup: exchange.peers.cgroup,
            held: Held {
                exchanges: 1,
                bytes: exchange.memory(),
            },
        }
    }
}

/// What exchanges take of the queue. Measured while they gather, and the queue's lock is not held.
#[derive(Debug, Default)]
pub(super) struct Size {
    runs: Vec<Run>,
    all: Held,
}

impl Size {
    /// Measures those of `exchanges` that are new since the last time.
    pub(super) fn measure(&mut self, exchanges: &[Exchange]) {
        let new = exchanges.get(self.all.exchanges..).unwrap_or_default();
        for exchange in new {
            self.add(Run::of(exchange));
        }
    }

    fn add(&mut self, run: Run) {
        self.all.add(run.held);
        match self.runs.last_mut() {
            Some(last) if last.cgroup == run.cgroup => last.held.add(run.held),
            _ => self.runs.push(run),
        }
    }

    /// Bytes that were measured.
    pub(super) const fn bytes(&self) -> usize {
        self.all.bytes
    }
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

/// What is in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    exchanges: usize,
    bytes: usize,
}

impl Held {
    const fn add(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.bytes += other.bytes;
    }

    const fn remove(&mut self, other: Self) {
        self.exchanges = self.exchanges.saturating_sub(other.exchanges);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    held: Held,
    /// What each cgroup has of it.
    by_cgroup: HashMap<CgroupId, Held, Keyed>,
    /// The data thread has ended.
    closed: bool,
    /// The output thread has.
    abandoned: bool,
}

impl State {
    fn keep(&mut self, batch: Batch) {
        if !batch.exchanges.is_empty() {
            self.batches.push_back(batch);
        }
    }

    fn take(&mut self, run: Run) {
        self.held.add(run.held);
        let has = self.by_cgroup.entry(run.cgroup).or_default();
        has.add(run.held);
    }

    fn release(&mut self, runs: &[Run]) {
        for run in runs {
            self.held.remove(run.held);
            let Some(has) = self.by_cgroup.get_mut(&run.cgroup) else {
                continue;
            };
            has.remove(run.held);
            if has.exchanges == 0 {
                self.by_cgroup.remove(&run.cgroup);
            }
        }
    }
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
    pub(super) fn new(max_exchanges: usize, max_bytes: usize) -> Self {
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

    /// Hands over exchanges, the first of which has index `first`, and of which some may be
    /// measured already; the number of those that found no room.
    pub(super) fn push(
        &self,
        first: u64,
        exchanges: Vec<Exchange>,
        mut size: Size,
        when_full: WhenFull,
    ) -> u64 {
        size.measure(&exchanges);
        let batch = Batch {
            first,
            exchanges,
            size,
        };
        let mut state = self.lock();
        if when_full == WhenFull::Wait {
            let all = batch.size.all;
            // A batch larger than the bound goes in alone.
            state = self
                .changed
                .wait_while(state, |state| {
                    !state.batches.is_empty() && !state.abandoned && !self.fits(state, all)
                })
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.abandoned {
            return batch.exchanges.len() as u64;
        }
        let dropped = if self.take_whole(&mut state, &batch.size.runs, when_full) {
            state.keep(batch);
            0
        } else {
            self.take_some(&mut state, batch)
        };
        drop(state);
        self.changed.notify_all();
        dropped
    }

    /// Takes the room for all of a batch; if there is not enough, none.
    fn take_whole(&self, state: &mut State, runs: &[Run], when_full: WhenFull) -> bool {
        for (taken, run) in runs.iter().enumerate() {
            if when_full == WhenFull::Drop && !self.admits(state, *run) {
                state.release(runs.get(..taken).unwrap_or_default());
                return false;
            }
            state.take(*run);
        }
        true
    }

    /// Keeps what there is room for, one by one; the number of the others.
    fn take_some(&self, state: &mut State, batch: Batch) -> u64 {
        let mut dropped = 0;
        let part = |first| Batch {
            first,
            exchanges: Vec::new(),
            size: Size::default(),
        };
        let mut kept = part(batch.first);
        for (index, exchange) in (batch.first..).zip(batch.exchanges) {
            let run = Run::of(&exchange);
            if self.admits(state, run) {
                state.take(run);
                kept.size.add(run);
                kept.exchanges.push(exchange);
            } else {
                dropped += 1;
                // The indices of a batch have no holes.
                state.keep(mem::replace(&mut kept, part(index + 1)));
            }
        }
        state.keep(kept);
        dropped
    }

    const fn fits(&self, state: &State, more: Held) -> bool {
        state.held.exchanges + more.exchanges <= self.max_exchanges
            && state.held.bytes + more.bytes <= self.max_bytes
    }

    /// Is there room for them? What is admitted together would be one after the other: each takes
    /// room from the next.
    fn admits(&self, state: &State, run: Run) -> bool {
        if !self.fits(state, run.held) {
            return false;
        }
        let has = state
            .by_cgroup
            .get(&run.cgroup)
            .copied()
            .unwrap_or_default();
        // The last of them has what the others leave: at least this.
        let others = match run.held.exchanges {
            0 | 1 => Held::default(),
            _ => run.held,
        };
        let free = Held {
            exchanges: self.max_exchanges - state.held.exchanges - others.exchanges,
            bytes: self.max_bytes - state.held.bytes - others.bytes,
        };
        has.exchanges + others.exchanges < SHARE_FACTOR.saturating_mul(free.exchanges)
            && has.bytes + run.held.bytes <= SHARE_FACTOR.saturating_mul(free.bytes)
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
                state.release(&batch.size.runs);
                drop(state);
                self.changed.notify_all();
                Popped::Batch(batch)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Nothing,
        }
    }

    /// More than half of its room is taken.
    pub(super) fn is_pressed(&self) -> bool {
        let held = self.lock().held;
        held.exchanges > self.max_exchanges / 2 || held.bytes > self.max_bytes / 2
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
            .map(|count| queue.push(0, exchanges(*count), Size::default(), WhenFull::Drop))
            .sum();
        assert_eq!(lost, dropped);
        queue.close();
        let mut found = Vec::new();
        while let Popped::Batch(batch) = queue.pop(Duration::ZERO) {
            found.push(batch.exchanges.len());
        }
        assert_eq!(found, kept);
        let state = queue.lock();
        assert_eq!(state.held, Held::default());
        assert!(state.by_cgroup.is_empty());
    }

    #[test]
    fn both_bounds() {
        check(&Queue::new(10, usize::MAX), &[4, 4, 4, 4], &[4, 4, 1], 7);
        let each = sample::exchange().memory();
        check(&Queue::new(100, 5 * each), &[3, 3, 3], &[3, 2], 4);
        check(&Queue::new(100, each - 1), &[1, 1], &[], 2);
    }

    /// One cgroup fills the queue with batches of so many exchanges; then another one has `quiet`.
    #[track_caller]
    fn check_share(max: usize, flood: usize, quiet: usize) {
        let queue = Queue::new(max, usize::MAX);
        let of = |cgroup, count| {
            let mut exchanges = exchanges(count);
            for exchange in &mut exchanges {
                Arc::make_mut(&mut exchange.peers).cgroup = CgroupId(cgroup);
            }
            exchanges
        };
        let batches = 2 * max / flood;
        let lost: u64 = (0..batches)
            .map(|_| queue.push(0, of(1, flood), Size::default(), WhenFull::Drop))
            .sum();
        assert!(lost > 0);
        assert_eq!(
            queue.push(0, of(2, quiet), Size::default(), WhenFull::Drop),
            0
        );
    }

    #[test]
    fn a_flood_leaves_room_for_the_others() {
        check_share(90, 10, 5);
        check_share(900, 7, 50);
        check_share(65_536, 1000, 3000);
    }

    #[test]
    fn indices_are_right_where_exchanges_were_refused() {
        let queue = Queue::new(9, usize::MAX);
        let mut mixed = exchanges(12);
        for (n, exchange) in mixed.iter_mut().enumerate() {
            Arc::make_mut(&mut exchange.peers).cgroup = CgroupId(u64::from(n == 11));
            exchange.request.body.size = n as u64;
        }
        assert_eq!(queue.push(0, mixed, Size::default(), WhenFull::Drop), 3);
        queue.close();
        while let Popped::Batch(batch) = queue.pop(Duration::ZERO) {
            for (index, exchange) in (batch.first..).zip(batch.exchanges) {
                assert_eq!(exchange.request.body.size, index);
            }
        }
    }

    #[test]
    fn a_file_waits_for_its_reader() {
        let queue = Queue::new(2, usize::MAX);
        thread::scope(|scope| {
            scope.spawn(|| {
                for first in 0..100 {
                    assert_eq!(
                        queue.push(first, exchanges(3), Size::default(), WhenFull::Wait),
                        0
                    );
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
        queue.push(0, exchanges(2), Size::default(), WhenFull::Wait);
        queue.abandon();
        assert_eq!(
            queue.push(2, exchanges(2), Size::default(), WhenFull::Wait),
            2
        );
    }
}
