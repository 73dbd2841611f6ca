//! What became of exchanges as far as their pods go: counts, for the metrics.

use super::attribution::Missing;
use super::scope::Reason;

/// Totals. Every exchange is counted once, and once more when it is excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Everything that may be known was known at once.
    pub at_once: u64,
    /// It was after a wait.
    pub waited: u64,
    /// Emitted without what did not become known in time; index by `Missing as usize`.
    pub without: [u64; Missing::ALL.len()],
    /// Emitted without it because too many waited already.
    pub overflow: u64,
    /// Emitted without the other end's name, for several may have had its address.
    pub uncertain: u64,
    /// Not emitted; index by `Reason as usize`.
    pub excluded: [u64; Reason::ALL.len()],
}

impl Outcomes {
    /// None yet.
    pub const NONE: Self = Self {
        at_once: 0,
        waited: 0,
        without: [0; Missing::ALL.len()],
        overflow: 0,
        uncertain: 0,
        excluded: [0; Reason::ALL.len()],
    };

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        self.at_once += other.at_once;
        self.waited += other.waited;
        self.overflow += other.overflow;
        self.uncertain += other.uncertain;
        for (sum, count) in self.without.iter_mut().zip(other.without) {
            *sum += count;
        }
        for (sum, count) in self.excluded.iter_mut().zip(other.excluded) {
            *sum += count;
        }
    }

    /// Exchanges counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        let named = self.at_once + self.waited;
        named + self.overflow + self.uncertain + self.without.iter().sum::<u64>()
    }
}

const _: () = {
    let mut i = 0;
    while i < Missing::ALL.len() {
        assert!(Missing::ALL[i] as usize == i);
        i += 1;
    }
};
