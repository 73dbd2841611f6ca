//! A queue bounded by bytes between the threads that make batches and the ones that deliver them.
//!
//! Pushing never waits: a slow collector costs items, which are counted, never memory and never the
//! data path.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What gives way when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DropPolicy {
    /// What has waited longest: what is exported stays recent.
    #[default]
    Oldest,
    /// What comes last: the beginning of an incident stays.
    Newest,
}

/// The size of an entry: what the queue is bounded by, and what it counts.
pub trait Measured {
    /// Bytes held.
    fn bytes(&self) -> usize;
    /// Items held.
    fn items(&self) -> u64;
}

#[derive(Debug)]
struct Entries<T> {
    entries: VecDeque<T>,
    bytes: usize,
    items: u64,
    closed: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<Entries<T>>,
    limit: usize,
    policy: DropPolicy,
    notify: Notify,
    condvar: Condvar,
    /// Something was taken.
    room: Condvar,
}

/// What was found at the front of the queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// An entry.
    Item(T),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
}

impl<T: Measured> Queue<T> {
    /// Holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize, policy: DropPolicy) -> Self {
        Self {
            state: Mutex::new(Entries {
                entries: VecDeque::new(),
                bytes: 0,
                items: 0,
                closed: false,
            }),
            limit,
            policy,
            notify: Notify::new(),
            condvar: Condvar::new(),
            room: Condvar::new(),
        }
    }

    /// A thread that panicked while it held the lock left nothing half done: every change below is
    /// complete before the next.
    fn state(&self) -> MutexGuard<'_, Entries<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry. Returns the items that had to give way for it, its own included.
    #[must_use]
    pub fn push(&self, entry: T) -> u64 {
        let mut state = self.state();
        let size = entry.bytes();
        let fits = size <= self.limit;
        let room = |state: &Entries<T>| state.bytes.saturating_add(size) <= self.limit;
        if state.closed || !fits || (self.policy == DropPolicy::Newest && !room(&state)) {
            return entry.items();
        }
        let mut dropped = 0;
        while !room(&state) {
            let Some(oldest) = state.take() else { break };
            dropped += oldest.items();
        }
        state.bytes += size;
        state.items += entry.items();
        state.entries.push_back(entry);
        drop(state);
        self.notify.notify_one();
        self.condvar.notify_one();
        dropped
    }

    /// Takes the oldest entry, if there is one.
    pub fn try_pop(&self) -> Popped<T> {
        self.take(self.state())
    }

    fn take(&self, mut state: MutexGuard<'_, Entries<T>>) -> Popped<T> {
        match state.take() {
            Some(item) => {
                drop(state);
                self.room.notify_all();
                Popped::Item(item)
            }
            None if state.closed => Popped::Closed,
            None => Popped::Empty,
        }
    }

    /// Waits on this thread, at most `timeout`, until half of the bound is free; whether it is.
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        let (state, _) = self
            .room
            .wait_timeout_while(self.state(), timeout, |state| {
                state.bytes > self.limit / 2 && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.bytes <= self.limit / 2 || state.closed
    }

    /// Waits for an entry; `None` once the queue is closed and empty.
    pub async fn pop(&self) -> Option<T> {
        loop {
            let notified = self.notify.notified();
            match self.try_pop() {
                Popped::Item(item) => {
                    // One permit at most is stored: with several tasks waiting, each wakes the
                    // next.
                    self.notify.notify_one();
                    return Some(item);
                }
                Popped::Closed => {
                    self.notify.notify_one();
                    return None;
                }
                Popped::Empty => notified.await,
            }
        }
    }

    /// Waits on this thread, at most `timeout`, for an entry.
    pub fn pop_blocking(&self, timeout: Duration) -> Popped<T> {
        let state = self.state();
        let (state, _) = self
            .condvar
            .wait_timeout_while(state, timeout, |state| {
                state.entries.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        self.take(state)
    }

    /// Takes no more entries; those that are there can still be popped.
    pub fn close(&self) {
        self.state().closed = true;
        self.notify.notify_one();
        self.condvar.notify_all();
        self.room.notify_all();
    }

    /// Drops everything that waits and returns the items in it.
    pub fn clear(&self) -> u64 {
        let mut state = self.state();
        let items = state.items;
        state.entries.clear();
        state.bytes = 0;
        state.items = 0;
        drop(state);
        self.room.notify_all();
        items
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Items waiting.
    pub fn items(&self) -> u64 {
        self.state().items
    }

    /// The bound, in bytes.
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl<T: Measured> Entries<T> {
    fn take(&mut self) -> Option<T> {
        let entry = self.entries.pop_front()?;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        self.items = self.items.saturating_sub(entry.items());
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Measured for (usize, u64) {
        fn bytes(&self) -> usize {
            self.0
        }
        fn items(&self) -> u64 {
            self.1
        }
    }

    /// Pushes entries of (bytes, items) into a queue of 10 bytes: items dropped in all, then what
    /// is left.
    fn check(policy: DropPolicy, items: &[(usize, u64)], dropped: u64, left: &[(usize, u64)]) {
        let queue = Queue::new(10, policy);
        let refused: u64 = items.iter().map(|item| queue.push(*item)).sum();
        assert_eq!(refused, dropped);
        assert_eq!(queue.items(), left.iter().map(|i| i.1).sum::<u64>());
        assert_eq!(queue.bytes(), left.iter().map(|i| i.0).sum::<usize>());
        queue.close();
        assert_eq!(queue.push((1, 7)), 7, "closed");
        for item in left {
            assert_eq!(queue.try_pop(), Popped::Item(*item));
        }
        assert_eq!(queue.try_pop(), Popped::Closed);
        assert_eq!((queue.bytes(), queue.items()), (0, 0));
    }

    #[test]
    fn drops_by_policy() {
        use DropPolicy::{Newest, Oldest};
        check(Oldest, &[(5, 1), (5, 2)], 0, &[(5, 1), (5, 2)]);
        check(Oldest, &[(5, 1), (5, 2), (6, 3)], 3, &[(6, 3)]);
        check(Newest, &[(5, 1), (5, 2), (6, 3)], 3, &[(5, 1), (5, 2)]);
        check(Oldest, &[(5, 1), (11, 4)], 4, &[(5, 1)]);
        check(Newest, &[(11, 4), (10, 1)], 4, &[(10, 1)]);
    }

    #[test]
    fn room_is_waited_for() {
        let queue = Queue::new(10, DropPolicy::Newest);
        assert!(queue.wait_for_room(Duration::ZERO));
        assert_eq!(queue.push((8, 1)), 0);
        assert!(!queue.wait_for_room(Duration::ZERO));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait_for_room(Duration::from_secs(60)));
            assert_eq!(queue.try_pop(), Popped::Item((8, 1)));
            assert!(waiting.join().unwrap());
        });
    }

    #[tokio::test]
    async fn wakes_every_waiting_task() {
        let queue = std::sync::Arc::new(Queue::<(usize, u64)>::new(100, DropPolicy::Oldest));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut spans = 0;
                    while let Some(item) = queue.pop().await {
                        spans += item.1;
                    }
                    spans
                })
            })
            .collect();
        for _ in 0..10 {
            assert_eq!(queue.push((1, 3)), 0);
        }
        queue.close();
        let mut total = 0;
        for task in tasks {
            total += task.await.unwrap();
        }
        assert_eq!(total, 30);
    }
}
