//! Exchanges that wait for what is known of their pods: for a bounded time, and in bounded memory. Nothing is lost here: who finds no room
//! goes on at once, with what is known.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::queue::weight;
use crate::exchange::Exchange;
use crate::workload::{Outcomes, Question, Resolution};

/// Exchanges that may wait per worker: those of a thousand new connections a second, for the whole default wait and as much again.
const MAX_EXCHANGES: usize = 4096;
/// Bytes of them: half of what the queue before may hold.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// An exchange that waits.
#[derive(Debug)]
struct Waiter {
    exchange: Exchange,
    question: Question,
    deadline: Instant,
    bytes: usize,
}

/// The exchanges that wait, in the order of their deadlines.
#[derive(Debug)]
pub(super) struct Waiting {
    wait: Duration,
    waiters: VecDeque<Waiter>,
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
            waiters: VecDeque::new(),
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
        self.waiters.is_empty()
    }

    /// Takes an exchange, and gives it back when nothing is missing, or when there is no time or no room to wait.
    pub(super) fn admit(
        &mut self,
        exchange: Exchange,
        question: Question,
        found: Resolution,
        now: Instant,
    ) -> Option<(Exchange, Question, Resolution)> {
        let Some(missing) = found.missing() else {
            self.outcomes.at_once += 1;
            return Some((exchange, question, found));
        };
        let bytes = weight(&exchange);
        let is_full =
            self.waiters.len() >= self.max_exchanges || self.bytes + bytes > self.max_bytes;
        if self.wait.is_zero() || is_full {
            if is_full {
                self.outcomes.overflow += 1;
            } else {
                self.outcomes.without[missing as usize] += 1;
            }
            return Some((exchange, question, found));
        }
        self.bytes += bytes;
        self.waiters.push_back(Waiter {
            exchange,
            question,
            deadline: now + self.wait,
            bytes,
        });
        None
    }

    /// Looks again at all that wait, and passes on those of which everything is known, and those whose time is over (all, when `is_end`).
    pub(super) fn release(
        &mut self,
        now: Instant,
        is_end: bool,
        mut resolve: impl FnMut(&Question) -> Resolution,
        mut pass: impl FnMut(Exchange, &Question, &Resolution),
    ) {
        for _ in 0..self.waiters.len() {
            let Some(waiter) = self.waiters.pop_front() else {
                return;
            };
            let found = resolve(&waiter.question);
            match found.missing() {
                Some(_) if !is_end && now < waiter.deadline => {
                    self.waiters.push_back(waiter);
                    continue;
                }
                Some(missing) => self.outcomes.without[missing as usize] += 1,
                None => self.outcomes.waited += 1,
            }
            self.bytes = self.bytes.saturating_sub(waiter.bytes);
            pass(waiter.exchange, &waiter.question, &found);
        }
    }

    /// Some exchange has waited for as long as it may.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.waiters
            .front()
            .is_some_and(|waiter| waiter.deadline <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;
    use crate::workload::Missing;

    const WAIT: Duration = Duration::from_secs(2);

    fn question(number: u64) -> Question {
        let mut question = Question::of(&sample::exchange());
        question.at = number;
        question
    }

    fn admit(waiting: &mut Waiting, number: u64, found: Resolution, now: Instant) -> bool {
        let passed = waiting.admit(sample::exchange(), question(number), found, now);
        passed.is_some_and(|(_, question, _)| question.at == number)
    }

    /// Releases; the numbers of those that went on.
    fn release(
        waiting: &mut Waiting,
        now: Instant,
        is_end: bool,
        resolve: impl FnMut(&Question) -> Resolution,
    ) -> Vec<u64> {
        let mut passed = Vec::new();
        waiting.release(now, is_end, resolve, |_, question, _| {
            passed.push(question.at)
        });
        passed
    }

    #[test]
    fn who_lacks_something_waits_until_it_is_known_or_the_time_is_over() {
        let mut waiting = Waiting::new(WAIT);
        let start = Instant::now();
        let lacking = || Resolution::lacking(Missing::Pod);
        assert!(admit(&mut waiting, 1, Resolution::default(), start));
        for number in 2..5 {
            assert!(!admit(&mut waiting, number, lacking(), start));
        }
        assert!(!waiting.is_due(start));
        let found = release(&mut waiting, start, false, |question| match question.at {
            3 => Resolution::default(),
            _ => Resolution::lacking(Missing::Peer),
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
    fn bounds_and_the_end() {
        let start = Instant::now();
        let lacking = || Resolution::lacking(Missing::Cgroup);
        let each = weight(&sample::exchange());
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
