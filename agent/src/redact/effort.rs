//! The work that a message may cost. Every scanner counts its steps, and none goes on when they are
//! spent: whatever a message is made of, it costs no more than a constant times its length.

/// Steps per byte. What clients and servers send costs 1 to 10; texts made only to be expensive
/// would reach 40. A step takes one or two nanoseconds.
const PER_BYTE: u64 = 14;

/// Steps for the shortest text: a name is looked at as a whole wherever it stands.
const BASE: u64 = 2048;

/// Steps made and allowed. A step is a byte that is looked at, or a fixed number of instructions.
#[derive(Clone, Debug)]
pub(super) struct Effort {
    steps: u64,
    limit: u64,
}

impl Effort {
    /// For a text of so many bytes.
    pub(super) fn for_len(len: usize) -> Self {
        Self {
            steps: 0,
            limit: BASE + PER_BYTE.saturating_mul(len as u64),
        }
    }

    /// Counts so many steps; whether they were allowed.
    #[inline]
    pub(super) const fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps as u64);
        self.steps <= self.limit
    }

    /// Counts steps that are still to be made, if they are allowed; else the effort is spent, and
    /// they are not made.
    pub(super) const fn afford(&mut self, steps: usize) -> bool {
        let sum = self.steps.saturating_add(steps as u64);
        if sum <= self.limit {
            self.steps = sum;
        } else if self.steps <= self.limit {
            self.steps = self.limit + 1;
        }
        sum <= self.limit
    }

    /// More steps were made than are allowed: the text was not searched to its end.
    pub(super) const fn is_spent(&self) -> bool {
        self.steps > self.limit
    }

    /// Steps allowed.
    #[cfg(test)]
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Steps made so far.
    #[cfg(test)]
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }
}
