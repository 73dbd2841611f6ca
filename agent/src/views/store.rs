//! The exchanges that views look at: a ring bounded in bytes, and totals of all that went in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::services::Services;
use super::shown::Shown;
use super::stats::Stats;

/// Bytes of exchanges that are held by default: a hundred thousand without bodies.
pub const DEFAULT_BYTES: usize = 128 * 1024 * 1024;

/// What is in the store, and what is not any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Exchanges in the ring.
    pub exchanges: usize,
    /// Bytes of them, about.
    pub bytes: usize,
    /// Number of the oldest one in the ring; the number of the next one when there is none.
    pub first: u64,
    /// Number that the next one gets: one more than all that ever went in.
    pub next: u64,
    /// Fell out of the ring, because newer ones needed the room.
    pub evicted: u64,
    /// Never went in, because the view could not follow.
    pub skipped: u64,
    /// Nothing comes any more: the capture or the file has ended.
    pub ended: bool,
}

#[derive(Debug, Default)]
struct Ring {
    exchanges: VecDeque<Arc<Shown>>,
    bytes: usize,
    /// Number of the first one in the ring, less one.
    before: u64,
    skipped: u64,
    ended: bool,
}

impl Ring {
    fn next(&self) -> u64 {
        self.before + self.exchanges.len() as u64 + 1
    }

    fn index(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.before + 1)?).ok()
    }
}

/// The store. One thread appends; others take snapshots.
#[derive(Debug)]
pub struct Store {
    ring: Mutex<Ring>,
    stats: Mutex<Stats>,
    services: Mutex<Services>,
    max_bytes: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl Store {
    /// With room for so many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            ring: Mutex::default(),
            stats: Mutex::default(),
            services: Mutex::default(),
            max_bytes,
        }
    }

    // Every change is whole: a thread that panicked left nothing half done.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds exchanges, in their order, and makes room for them. They are counted in the totals
    /// before the ring is locked; what falls out is freed after that.
    pub fn append(&self, mut exchanges: Vec<Shown>) {
        let names_known = self.name(&mut exchanges);
        self.stats_mut(|stats| {
            if names_known {
                stats.names_known();
            }
            exchanges.iter().for_each(|shown| stats.add(shown));
        });
        let exchanges: Vec<_> = (exchanges.into_iter())
            .map(|shown| (shown.memory(), Arc::new(shown)))
            .collect();
        let mut evicted = Vec::new();
        let mut ring = self.ring();
        for (bytes, shown) in exchanges {
            ring.bytes += bytes;
            ring.exchanges.push_back(shown);
            // The newest one stays, whatever its size.
            while ring.bytes > self.max_bytes && ring.exchanges.len() > 1 {
                let Some(oldest) = ring.exchanges.pop_front() else {
                    break;
                };
                ring.bytes = ring.bytes.saturating_sub(oldest.memory());
                ring.before += 1;
                evicted.push(oldest);
            }
        }
        drop(ring);
        drop(evicted);
    }

    /// Counts exchanges that do not go in, because the view cannot follow.
    pub fn skip(&self, count: u64) {
        self.ring().skipped += count;
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        self.ring().ended = true;
    }

    /// Empties the ring and the totals; numbers go on.
    pub fn clear(&self) {
        let mut ring = self.ring();
        ring.before = ring.next() - 1;
        ring.bytes = 0;
        let old = std::mem::take(&mut ring.exchanges);
        drop(ring);
        drop(old);
        self.stats_mut(|stats| *stats = Stats::default());
    }

    /// What is in it.
    #[must_use]
    pub fn held(&self) -> Held {
        let ring = self.ring();
        Held {
            exchanges: ring.exchanges.len(),
            bytes: ring.bytes,
            first: ring.before + 1,
            next: ring.next(),
            evicted: ring.before,
            skipped: ring.skipped,
            ended: ring.ended,
        }
    }

    /// Exchanges that came after the one with number `id`, the oldest first, at most so many. Those
    /// that have fallen out are skipped over: numbers say which.
    #[must_use]
    pub fn since(&self, id: u64, most: usize) -> Vec<(u64, Arc<Shown>)> {
        let ring = self.ring();
        let first = id.max(ring.before);
        let skip = usize::try_from(first - ring.before).unwrap_or(usize::MAX);
        let numbers = first + 1..;
        numbers
            .zip(ring.exchanges.iter().skip(skip).take(most).cloned())
            .collect()
    }

    /// The one with this number, while it is in the ring.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Shown>> {
        let ring = self.ring();
        let index = ring.index(id)?;
        ring.exchanges.get(index).cloned()
    }

    /// Reads the totals.
    pub fn stats<T>(&self, read: impl FnOnce(&Stats) -> T) -> T {
        self.stats_mut(|stats| read(stats))
    }

    /// Says of every exchange's client which service it is; whether a client from before has a name
    /// now.
    fn name(&self, exchanges: &mut [Shown]) -> bool {
        let services = self.services.lock();
        services
            .unwrap_or_else(PoisonError::into_inner)
            .name(exchanges)
    }

    fn stats_mut<T>(&self, act: impl FnOnce(&mut Stats) -> T) -> T {
        act(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
