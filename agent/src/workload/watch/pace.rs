//! How long to wait after a failure: longer each time, and by chance, so that the agents of a
//! cluster do not come all at once.

use std::time::{Duration, Instant};

/// Wait after the first failure, at most.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait. A thousand agents then ask sixty times a second: an API server that begins
/// again can bear it.
const LONGEST: Duration = Duration::from_secs(20);
/// A watch that held this long was well: the next failure is a first one.
const WELL: Duration = Duration::from_secs(30);

/// The waits of one watch.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    began: Option<Instant>,
}

impl Pace {
    /// A watch is established.
    pub(super) fn established(&mut self) {
        self.began = Some(Instant::now());
    }

    /// The wait after a failure: from half of the bound to the bound.
    pub(super) fn after_failure(&mut self) -> Duration {
        if self
            .began
            .take()
            .is_some_and(|began| began.elapsed() >= WELL)
        {
            self.failures = 0;
        }
        let wait = bound(self.failures)
            .mul_f64(0.5 + fastrand::Rng::with_seed(crate::hash::random()).f64() / 2.0);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

fn bound(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_differ() {
        let mut pace = Pace::default();
        let mut last = Duration::ZERO;
        for failures in 0..100 {
            let wait = pace.after_failure();
            let bound = bound(failures);
            assert!(wait >= bound / 2 && wait <= bound, "{failures}: {wait:?}");
            last = wait;
        }
        assert!(last >= LONGEST / 2);
        let waits: std::collections::HashSet<_> = (0..20).map(|_| pace.after_failure()).collect();
        assert!(waits.len() > 1);
        // One that breaks off at once is no success.
        pace.established();
        assert!(pace.after_failure() >= LONGEST / 2);
    }
}
