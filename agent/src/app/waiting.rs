//! Exchanges that wait for what is known of their pods: for a bounded time, and in bounded memory.
//! Nothing is dropped here: one that finds no room goes on at once, with what is known.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::workload::{Attribution, Lookup, Outcomes};

/// Exchanges that may wait per worker: 13 000 a second while updates settle, or those of a thousand
/// new containers' connections a second for twice the default wait.
const MAX_EXCHANGES: usize = 4096;
/// Bytes of them: half of what the queue before may hold.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// An exchange that waits.
#[derive(Debug)]
struct Waiter {
    exchange: Exchange,
    lookup: Lookup,
    /// When it is looked at again, whatever becomes known.
    due: Instant,
    deadline: Instant,
    bytes: usize,
}

/// What is known of an exchange that goes on.
type Ready = (Exchange, Lookup, Attribution);

/// The exchanges that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    wait: Duration,
    /// They lack nothing, but an update that would change the result may be on its way. In the
    /// order of their times.
    settling: VecDeque<Waiter>,
    /// They lack something. In the order of their deadlines.
    lacking: VecDeque<Waiter>,
    bytes: usize,
    max_exchanges: usize,
    max_bytes: usize,
    outcomes: Outcomes,
}

impl Waiting {
    /// Each waits for `wait` at most.
    pub(super) const fn new(wait: Duration) -> Self {
        Self::bounded(wait, MAX_EXCHANGES, MAX_BYTES)
    }

    const fn bounded(wait: Duration, max_exchanges: usize, max_bytes: usize) -> Self {
        Self {
            wait,
            settling: VecDeque::new(),
            lacking: VecDeque::new(),
            bytes: 0,
            max_exchanges,
            max_bytes,
            outcomes: Outcomes::NONE,
        }
    }

    /// Totals.
    pub(super) const fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settling.is_empty() && self.lacking.is_empty()
    }

    /// Takes an exchange, and gives it back when it need not wait, or when there is no time or no
    /// room to.
    pub(super) fn admit(
        &mut self,
        exchange: Exchange,
        lookup: Lookup,
        found: Attribution,
        now: Instant,
    ) -> Option<Ready> {
        let (missing, settle) = (found.missing(), found.settles_in());
        if missing.is_none() && (settle.is_zero() || self.wait.is_zero()) {
            match found.is_uncertain() {
                true => self.outcomes.uncertain += 1,
                false => self.outcomes.at_once += 1,
            }
            return Some((exchange, lookup, found));
        }
        let bytes = exchange.memory();
        let count = self.settling.len() + self.lacking.len();
        let is_full = count >= self.max_exchanges || self.bytes + bytes > self.max_bytes;
        if self.wait.is_zero() || is_full {
            match missing {
                Some(missing) if !is_full => self.outcomes.without[missing as usize] += 1,
                _ => self.outcomes.overflow += 1,
            }
            return Some((exchange, lookup, found));
        }
        self.bytes += bytes;
        let deadline = now + self.wait;
        let (queue, due) = match missing {
            Some(_) => (&mut self.lacking, deadline),
            None => (&mut self.settling, now + settle.min(self.wait)),
        };
        queue.push_back(Waiter {
            exchange,
            lookup,
            due,
            deadline,
            bytes,
        });
        None
    }

    /// Looks again at those whose time has come; with `is_changed` at all that lack something; when
    /// `is_end`, passes all on as they are.
    pub(super) fn release(
        &mut self,
        now: Instant,
        is_changed: bool,
        is_end: bool,
        mut attribute: impl FnMut(&Lookup) -> Attribution,
    ) -> Vec<Ready> {
        let mut ready = Vec::new();
        let over = |waiter: &mut Waiter| is_end || waiter.due <= now;
        while let Some(mut waiter) = self.settling.pop_front_if(over) {
            let found = attribute(&waiter.lookup);
            if found.missing().is_some() && !is_end && now < waiter.deadline {
                waiter.due = waiter.deadline;
                self.lacking.push_back(waiter);
            } else {
                self.pass(waiter, found, false, &mut ready);
            }
        }
        let looked_at = if is_changed {
            self.lacking.len()
        } else {
            self.lacking
                .iter()
                .take_while(|waiter| is_end || waiter.due <= now)
                .count()
        };
        for _ in 0..looked_at {
            let Some(waiter) = self.lacking.pop_front() else {
                break;
            };
            let found = attribute(&waiter.lookup);
            if found.missing().is_some() && !is_end && now < waiter.deadline {
                self.lacking.push_back(waiter);
            } else {
                self.pass(waiter, found, true, &mut ready);
            }
        }
        ready
    }

    fn pass(&mut self, waiter: Waiter, found: Attribution, waited: bool, ready: &mut Vec<Ready>) {
        match found.missing() {
            Some(missing) => self.outcomes.without[missing as usize] += 1,
            None if found.is_uncertain() => self.outcomes.uncertain += 1,
            None if waited => self.outcomes.waited += 1,
            None => self.outcomes.at_once += 1,
        }
        self.bytes = self.bytes.saturating_sub(waiter.bytes);
        ready.push((waiter.exchange, waiter.lookup, found));
    }

    /// Some exchange is to be looked at again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let due = |queue: &VecDeque<Waiter>| queue.front().is_some_and(|waiter| waiter.due <= now);
        due(&self.settling) || due(&self.lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;
    use crate::workload::Missing;

    const WAIT: Duration = Duration::from_secs(2);

    fn lookup(number: u64) -> Lookup {
        let mut lookup = Lookup::of(&sample::exchange());
        lookup.at = number;
        lookup
    }

    fn admit(waiting: &mut Waiting, number: u64, found: Attribution, now: Instant) -> bool {
        let passed = waiting.admit(sample::exchange(), lookup(number), found, now);
        passed.is_some_and(|(_, lookup, _)| lookup.at == number)
    }

    /// Releases; the numbers of those that went on.
    fn release(
        waiting: &mut Waiting,
        now: Instant,
        is_end: bool,
        attribute: impl FnMut(&Lookup) -> Attribution,
    ) -> Vec<u64> {
        let ready = waiting.release(now, true, is_end, attribute);
        ready.iter().map(|(_, lookup, _)| lookup.at).collect()
    }

    #[test]
    fn who_lacks_something_waits_until_it_is_known_or_the_time_is_over() {
        let mut waiting = Waiting::new(WAIT);
        let start = Instant::now();
        let lacking = || Attribution::lacking(Missing::Pod);
        assert!(admit(&mut waiting, 1, Attribution::default(), start));
        for number in 2..5 {
            assert!(!admit(&mut waiting, number, lacking(), start));
        }
        assert!(!waiting.is_due(start));
        let found = release(&mut waiting, start, false, |lookup| match lookup.at {
            3 => Attribution::default(),
            _ => Attribution::lacking(Missing::Peer),
        });
        assert_eq!(found, [3]);
        assert!(waiting.is_due(start + WAIT));
        assert_eq!(
            release(&mut waiting, start + WAIT, false, |_| lacking()),
            [2, 4]
        );
        assert!(waiting.is_empty() && waiting.bytes == 0);
        let outcomes = waiting.outcomes();
        assert_eq!(
            (outcomes.at_once, outcomes.waited, outcomes.overflow),
            (1, 1, 0)
        );
        assert_eq!(outcomes.without[Missing::Pod as usize], 2);
        assert_eq!(outcomes.total(), 4);
    }

    #[test]
    fn a_result_that_an_update_may_change_settles_first() {
        const SETTLE: Duration = Duration::from_millis(300);
        let mut waiting = Waiting::new(WAIT);
        let start = Instant::now();
        assert!(!admit(
            &mut waiting,
            1,
            Attribution::settling(SETTLE),
            start
        ));
        assert!(!admit(
            &mut waiting,
            2,
            Attribution::settling(SETTLE),
            start
        ));
        assert!(release(&mut waiting, start, false, |_| Attribution::default()).is_empty());
        assert!(!waiting.is_due(start) && waiting.is_due(start + SETTLE));
        // The update is that nobody knows.
        let found = release(&mut waiting, start + SETTLE, false, |lookup| {
            match lookup.at {
                1 => Attribution::lacking(Missing::Peer),
                _ => Attribution::default(),
            }
        });
        assert_eq!(found, [2]);
        let found = release(&mut waiting, start + 2 * SETTLE, false, |_| {
            Attribution::default()
        });
        assert_eq!(found, [1]);
        let outcomes = waiting.outcomes();
        assert_eq!((outcomes.at_once, outcomes.waited), (1, 1));
        assert!(waiting.is_empty() && waiting.bytes == 0);
    }

    #[test]
    fn bounds_and_the_end() {
        let start = Instant::now();
        let lacking = || Attribution::lacking(Missing::Cgroup);
        let each = sample::exchange().memory();
        for (mut waiting, room) in [
            (Waiting::bounded(WAIT, 3, usize::MAX), 3),
            (Waiting::bounded(WAIT, 100, 2 * each), 2),
            (Waiting::bounded(Duration::ZERO, 100, usize::MAX), 0),
        ] {
            let passed = (0..5)
                .filter(|n| admit(&mut waiting, *n, lacking(), start))
                .count();
            assert_eq!(passed, 5 - room);
            let rest = release(&mut waiting, start, true, |_| lacking());
            assert_eq!(rest.len(), room);
            assert_eq!(waiting.outcomes().total(), 5);
            assert!(waiting.is_empty() && waiting.bytes == 0);
        }
    }
}
