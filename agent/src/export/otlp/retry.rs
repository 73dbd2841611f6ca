//! When to try again. Pure: the time and chance are arguments.

use std::time::Duration;

use super::config::RetryConfig;

/// Longest time that can be configured or asked for: more cannot be added to a clock, and is no
/// different to anybody.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The attempts for one batch.
///
/// Between two of them is at least the longer of the backoff and of what the destination asked for,
/// and at most `retry.max`. The backoff doubles with each attempt. What is above it is up to
/// chance, so that agents that failed together do not come back together; they stay apart where
/// the backoff has come to `retry.max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    backoff: Duration,
    max: Duration,
    give_up: Duration,
}

impl Schedule {
    pub(super) fn new(config: &RetryConfig) -> Self {
        let max = config.max.0.min(LONGEST);
        Self {
            backoff: config.initial.0.min(max),
            max,
            give_up: config.give_up.0.min(LONGEST),
        }
    }

    /// How long after the first attempt the batch is dropped instead of tried again.
    pub(super) const fn give_up(&self) -> Duration {
        self.give_up
    }

    /// The wait after a failed attempt. `asked` is what the destination asked for, `chance` from 0
    /// to 1.
    pub(super) fn wait(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let chance = chance.clamp(0.0, 1.0);
        let backoff = self
            .backoff
            .saturating_add(self.backoff.mul_f64(chance / 2.0));
        self.backoff = self.backoff.saturating_mul(2).min(self.max);
        let asked = asked.unwrap_or_default().min(LONGEST);
        let asked = asked.saturating_add(asked.mul_f64(chance / 10.0));
        backoff.max(asked).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Interval;

    const SECOND: Duration = Duration::from_secs(1);

    fn config(initial: Duration, max: Duration, give_up: Duration) -> RetryConfig {
        RetryConfig {
            initial: Interval(initial),
            max: Interval(max),
            give_up: Interval(give_up),
        }
    }

    /// The times of all attempts, on a clock that stands still but for the waits, at a destination
    /// that asks for `asked` each time.
    fn attempts(config: &RetryConfig, asked: Option<Duration>, chance: f64) -> Vec<Duration> {
        let mut schedule = Schedule::new(config);
        let mut times = vec![Duration::ZERO];
        let mut now = Duration::ZERO;
        loop {
            now += schedule.wait(asked, chance);
            if now >= schedule.give_up() {
                return times;
            }
            times.push(now);
        }
    }

    /// Attempts with the default settings within 3 s, within 60 s and until the batch is dropped,
    /// whatever chance says.
    fn check(asked: Option<Duration>, expected: [usize; 3]) {
        let config = RetryConfig::default();
        let counts = |chance| {
            let times = attempts(&config, asked, chance);
            [3, 60, 300].map(|end| times.iter().filter(|t| **t < SECOND * end).count())
        };
        assert_eq!(counts(0.0), expected, "{asked:?}");
        for tenth in 0..=10 {
            let found = counts(f64::from(tenth) / 10.0);
            let fewer = found.iter().zip(expected).all(|(f, e)| *f <= e);
            assert!(fewer, "{asked:?}: {found:?} is more than {expected:?}");
        }
    }

    #[test]
    fn attempts_per_time() {
        check(None, [2, 6, 14]);
        // Zero, or a date that has passed, is no reason to hurry.
        check(Some(Duration::ZERO), [2, 6, 14]);
        check(Some(SECOND), [2, 6, 14]);
        check(Some(SECOND * 10), [1, 6, 14]);
        // A day, and for ever: at most `retry.max`.
        check(Some(SECOND * 86400), [1, 2, 10]);
        check(Some(Duration::MAX), [1, 2, 10]);
    }

    #[test]
    fn waits_have_bounds() {
        let max = Duration::from_millis(700);
        let config = config(Duration::from_millis(100), max, SECOND * 60);
        for asked in [None, Some(Duration::from_millis(300)), Some(SECOND * 9)] {
            let mut schedule = Schedule::new(&config);
            let mut doubled = Duration::from_millis(100);
            for step in 0..20 {
                let wait = schedule.wait(asked, f64::from(step % 5) / 4.0);
                let least = doubled.max(asked.unwrap_or_default()).min(max);
                assert!(wait >= least && wait <= max, "{wait:?} of {least:?}");
                doubled = doubled.saturating_mul(2);
            }
        }
    }

    #[test]
    fn a_wait_is_never_below_the_backoff() {
        for (initial, max) in [
            (1000, 1000),
            (900, 1000),
            (500, 1000),
            (600, 1000),
            (1, 1000),
        ] {
            let config = config(
                Duration::from_millis(initial),
                Duration::from_millis(max),
                SECOND * 60,
            );
            for chance in [0.0, 0.5, 1.0] {
                let mut schedule = Schedule::new(&config);
                let mut least = initial;
                for _ in 0..20 {
                    let wait = schedule.wait(None, chance);
                    let bounds = Duration::from_millis(least)..=Duration::from_millis(max);
                    assert!(bounds.contains(&wait), "{wait:?} is not in {bounds:?}");
                    least = (least * 2).min(max);
                }
            }
        }
    }

    #[test]
    fn absurd_settings_do_no_harm() {
        let huge = config(Duration::MAX, Duration::MAX, Duration::MAX);
        assert_eq!(Schedule::new(&huge).wait(Some(Duration::MAX), 1.0), LONGEST);
        let same = config(SECOND, SECOND, SECOND * 5);
        assert_eq!(attempts(&same, None, 0.7).len(), 5);
        let never = config(SECOND, SECOND, Duration::ZERO);
        assert_eq!(attempts(&never, None, 0.0).len(), 1);
    }
}
