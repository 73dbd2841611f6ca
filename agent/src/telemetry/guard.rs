//! The overload guard: over its budget of processor time or memory the agent does less, one step at
//! a time, and comes back slowly.
//!
//! Pure: a reading of the usage goes in every second ([`PERIOD`]), a change of level comes out.

use std::time::Duration;

use super::{BudgetSection, Usage};

/// Time between two readings.
pub const PERIOD: Duration = Duration::from_secs(1);
/// Readings in a row over the budget before a step down in service: a burst of a second or two is
/// not an overload.
const READINGS: u32 = 3;
/// Readings in a row well below the budget before a step back: longer than it takes load to come
/// back, so the level does not swing.
const RECOVERY: u32 = 30;
/// What "well below" is, in parts of the budget.
const RELIEF: f64 = 0.8;

/// How much the agent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Everything.
    #[default]
    Full,
    /// No bodies.
    Headers,
    /// No bodies, and only a part of the traces.
    Sampled,
}

impl Level {
    /// Every level, in order.
    pub const ALL: [Self; 3] = [Self::Full, Self::Headers, Self::Sampled];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Headers => "headers",
            Self::Sampled => "sampled",
        }
    }

    /// The level with this number; an unknown one is [`Level::Full`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or_default()
    }

    const fn less(self) -> Self {
        match self {
            Self::Full => Self::Headers,
            Self::Headers | Self::Sampled => Self::Sampled,
        }
    }

    const fn more(self) -> Self {
        match self {
            Self::Full | Self::Headers => Self::Full,
            Self::Sampled => Self::Headers,
        }
    }
}

/// The guard.
#[derive(Clone, Debug)]
pub struct Guard {
    budget: BudgetSection,
    level: Level,
    over: u32,
    below: u32,
}

impl Guard {
    /// Begins with everything.
    #[must_use]
    pub const fn new(budget: BudgetSection) -> Self {
        Self {
            budget,
            level: Level::Full,
            over: 0,
            below: 0,
        }
    }

    /// Takes a reading; returns the new level when it changes.
    pub fn observe(&mut self, usage: Usage) -> Option<Level> {
        let load = self.load(usage);
        self.over = if load > 1.0 { self.over + 1 } else { 0 };
        self.below = if load < RELIEF { self.below + 1 } else { 0 };
        let next = if self.over >= READINGS {
            self.level.less()
        } else if self.below >= RECOVERY {
            self.level.more()
        } else {
            return None;
        };
        (self.over, self.below) = (0, 0);
        (next != std::mem::replace(&mut self.level, next)).then_some(next)
    }

    /// The larger part of a budget that is used up.
    fn load(&self, usage: Usage) -> f64 {
        let cpu = self.budget.cpu.map_or(0.0, |cores| usage.cpu / cores);
        let memory = self
            .budget
            .memory
            .map_or(0.0, |size| usage.memory as f64 / (size.0.max(1) as f64));
        cpu.max(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteSize;

    /// Readings as (times, processor time, memory): the changes of level, with the number of the
    /// reading that made each.
    fn check(readings: &[(usize, f64, u64)], expected: &[(usize, Level)]) {
        let mut guard = Guard::new(BudgetSection {
            cpu: Some(0.5),
            memory: Some(ByteSize(1000)),
            sampling_ratio: 0.1,
            ..BudgetSection::default()
        });
        let all = readings.iter().flat_map(|(times, cpu, memory)| {
            std::iter::repeat_n(
                Usage {
                    cpu: *cpu,
                    memory: *memory,
                },
                *times,
            )
        });
        let changes: Vec<_> = all
            .enumerate()
            .filter_map(|(n, usage)| Some((n + 1, guard.observe(usage)?)))
            .collect();
        assert_eq!(changes, expected, "{readings:?}");
    }

    #[test]
    fn steps_down_and_back() {
        use Level::{Full, Headers, Sampled};
        check(&[(100, 0.5, 1000)], &[]);
        check(&[(2, 0.6, 0), (1, 0.5, 0), (2, 0.6, 0)], &[]);
        check(&[(3, 0.6, 0)], &[(3, Headers)]);
        check(&[(3, 0.0, 1001)], &[(3, Headers)]);
        check(&[(100, 0.6, 0)], &[(3, Headers), (6, Sampled)]);
        check(&[(3, 0.6, 0), (200, 0.45, 0)], &[(3, Headers)]);
        check(
            &[(6, 0.6, 0), (100, 0.1, 0)],
            &[(3, Headers), (6, Sampled), (36, Headers), (66, Full)],
        );
        check(
            &[(3, 0.6, 0), (29, 0.1, 0), (1, 0.45, 0), (29, 0.1, 0)],
            &[(3, Headers)],
        );
    }

    #[test]
    fn without_a_budget_nothing_is_too_much() {
        let mut guard = Guard::new(BudgetSection {
            cpu: None,
            memory: None,
            ..BudgetSection::default()
        });
        for _ in 0..100 {
            let usage = Usage {
                cpu: 64.0,
                memory: u64::MAX,
            };
            assert_eq!(guard.observe(usage), None);
        }
    }
}
