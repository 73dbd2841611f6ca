//! The time of a file, as the engine may believe it.
//!
//! Stamps jump: files are merged from machines with other clocks, cards are bad. Time passes for
//! all connections, so it follows what many packets say, and never one. The stamps themselves stay
//! with their packets.

use crate::flow::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// A step that is believed at once: less than ages that end anything (an exchange's is 300 s by
/// default).
const STEP: Nanos = 60 * SECOND;

/// Stamps that say where time begins. Until then none passes, which ends nothing.
const FIRST: usize = 32;

/// A silence up to this long is nothing rare; `SOON` packets after it are proof enough.
const SILENCE: Nanos = 3600 * SECOND;
const SOON: u32 = 16;

/// Packets without any older one between them that prove a longer silence: more than a foreign
/// connection of a merged file has.
const LATE: u32 = 256;

/// The end of a file may lie so far behind what is believed: its last packets cannot be outvoted
/// any more.
const DAY: Nanos = 24 * SILENCE;

/// Time, which never runs backwards.
#[derive(Debug)]
pub(super) struct Clock {
    now: Nanos,
    /// That of the last packet.
    last: Nanos,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The first stamps.
    Starting(Vec<Nanos>),
    /// Stamps that are later by more than a step, without any other between them: how many, and
    /// the earliest.
    Running { ahead: u32, earliest: Nanos },
}

const STEADY: State = State::Running {
    ahead: 0,
    earliest: Nanos::MAX,
};

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: 0,
            last: 0,
            state: State::Starting(Vec::new()),
        }
    }
}

impl Clock {
    /// The time that is believed.
    pub(super) const fn now(&self) -> Nanos {
        self.now
    }

    /// The first stamps have said where time begins.
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// A packet is stamped.
    pub(super) fn stamp(&mut self, stamp: Nanos) {
        self.last = stamp;
        match &mut self.state {
            State::Starting(stamps) => {
                stamps.push(stamp);
                if stamps.len() >= FIRST {
                    self.start();
                }
            }
            State::Running { ahead, earliest } => {
                if stamp > self.now.saturating_add(STEP) {
                    *ahead += 1;
                    *earliest = stamp.min(*earliest);
                    let soon = *earliest <= self.now.saturating_add(SILENCE);
                    if *ahead >= if soon { SOON } else { LATE } {
                        self.now = *earliest;
                        self.state = STEADY;
                    }
                } else if stamp >= self.now.saturating_sub(STEP) {
                    self.now = stamp.max(self.now);
                    self.state = STEADY;
                }
            }
        }
    }

    /// The file ends, with its last packet.
    pub(super) fn end(&mut self) {
        self.start();
        if self.last <= self.now.saturating_add(DAY) {
            self.now = self.now.max(self.last);
        }
    }

    /// Begins in the middle of the first stamps, and goes on as far as small steps lead.
    fn start(&mut self) {
        let State::Starting(stamps) = &mut self.state else {
            return;
        };
        stamps.sort_unstable();
        let middle = stamps.len() / 2;
        let mut believed = stamps.get(middle).copied().unwrap_or(0);
        for stamp in stamps.iter().skip(middle) {
            if *stamp > believed.saturating_add(STEP) {
                break;
            }
            believed = *stamp;
        }
        self.now = believed;
        self.state = STEADY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_ONE: Nanos = 1_700_000_000 * SECOND;
    const WILD: Nanos = 4_200_000_000 * SECOND;

    /// Seconds from the first day on, for stamps (count, from, step), each `wild` one far ahead;
    /// then the time believed at the end.
    fn check(runs: &[(u64, u64, u64)], expected: u64, at_end: u64) {
        let mut clock = Clock::default();
        for (count, from, step) in runs {
            for n in 0..*count {
                let before = clock.now();
                clock.stamp(match from {
                    &u64::MAX => WILD + n * SECOND,
                    from => DAY_ONE + (from + n * step) * SECOND,
                });
                assert!(clock.now() >= before, "time runs backwards");
            }
        }
        assert_eq!(clock.now().saturating_sub(DAY_ONE), expected * SECOND);
        clock.end();
        assert_eq!(clock.now() - DAY_ONE, at_end * SECOND);
    }

    #[test]
    fn time_follows_the_packets() {
        check(&[(100, 0, 1)], 99, 99);
        // A slow file is believed as well.
        check(&[(100, 0, 50)], 99 * 50, 99 * 50);
        // A short one at its end.
        check(&[(3, 0, 1)], 0, 2);
        // Silence before its last packets, however few there are.
        check(&[(3, 0, 1), (1, 90, 1)], 0, 90);
        check(&[(9, 0, 1), (2, 7000, 1)], 0, 7001);
        check(&[(50, 0, 1), (1, 7000, 1)], 49, 7000);
    }

    #[test]
    fn one_wild_stamp_moves_nothing() {
        check(&[(50, 0, 1), (1, u64::MAX, 0), (50, 50, 1)], 99, 99);
        check(&[(1, u64::MAX, 0), (50, 0, 1)], 49, 49);
        check(&[(50, 0, 1), (1, u64::MAX, 0)], 49, 49);
        check(&[(5, 0, 1), (1, u64::MAX, 0)], 0, 4);
    }

    #[test]
    fn a_connection_of_another_clock_moves_nothing() {
        check(&[(50, 0, 1), (200, u64::MAX, 0), (50, 50, 1)], 99, 99);
        check(&[(12, u64::MAX, 0), (50, 0, 1)], 49, 49);
    }

    #[test]
    fn stamps_of_the_past_move_nothing() {
        let mut clock = Clock::default();
        for n in 0..100 {
            clock.stamp(DAY_ONE + n * SECOND);
            clock.stamp(0);
        }
        clock.end();
        assert_eq!(clock.now(), DAY_ONE + 99 * SECOND);
    }

    #[test]
    fn a_silence_is_believed_once_it_is_certain() {
        check(&[(50, 0, 1), (15, 1800, 1)], 49, 1814);
        check(&[(50, 0, 1), (17, 1800, 1)], 1816, 1816);
        check(&[(50, 0, 1), (300, 36_000, 1)], 36_299, 36_299);
    }
}
