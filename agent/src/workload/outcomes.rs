//! What became of exchanges as far as their pods go: counts, for the metrics.

use super::directory::Missing;

/// Totals. Every exchange is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Everything that may be known was known at once.
    pub at_once: u64,
    /// It was after a wait.
    pub waited: u64,
    /// Told without what did not become known in time; index by `Missing as usize`.
    pub without: [u64; Missing::ALL.len()],
    /// Told without it because too many waited already.
    pub overflow: u64,
}

impl Outcomes {
    /// None yet.
    pub const NONE: Self = Self {
        at_once: 0,
        waited: 0,
        without: [0; Missing::ALL.len()],
        overflow: 0,
    };

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        self.at_once += other.at_once;
        self.waited += other.waited;
        self.overflow += other.overflow;
        for (sum, count) in self.without.iter_mut().zip(other.without) {
            *sum += count;
        }
    }

    /// Exchanges counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.at_once + self.waited + self.overflow + self.without.iter().sum::<u64>()
    }
}

const _: () = {
    let mut i = 0;
    while i < Missing::ALL.len() {
        assert!(Missing::ALL[i] as usize == i);
        i += 1;
    }
};
