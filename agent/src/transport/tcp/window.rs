//! The capture window: when to ask the hook for more of a direction, and from where.
//!
//! The hook copies a budget of bytes (1 MiB by default) per direction, counted from where the other
//! direction last spoke, and then looks whether it was given a sequence number to count from. So a
//! direction whose bytes are wanted gets a new budget in good time, and one whose bytes are not
//! wanted is asked to go on where they are wanted again.

use crate::flow::{Demand, Guess, Offset};

/// Bytes after which a direction that is wanted gets a new budget: a quarter of the hook's, so that
/// the command arrives in time.
const RENEW: u64 = 256 * 1024;
/// Fewer unwanted bytes than this are not worth a command: the hook reads it only when its budget
/// is spent.
const WORTH: u64 = 64 * 1024;
/// Bytes that came and are past the budget of their stream, after which the hook hears once more
/// where a frame begins: it may have lost track of frames, or copied a packet for what else is in
/// it. Two of the largest packets.
const AGAIN: u64 = 128 * 1024;
/// Farthest position that is asked for. The hook compares sequence numbers modulo 2^32, so half of
/// that is the limit.
const FAR: u64 = 1 << 30;

/// What the hook was asked for of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Where the current budget began.
    base: Offset,
    /// Bytes before this are not wanted.
    until: Option<Offset>,
    state: State,
    /// The last guess of the hook's that it heard of.
    guess: Option<Offset>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No byte came.
    #[default]
    Silent,
    /// Bytes came last from this direction.
    Speaks,
    /// The other direction spoke since.
    Heard,
    /// The hook copies everything.
    Unlimited,
    /// The hook follows frames; so many unwanted bytes had come when it last heard where one
    /// begins.
    Frames(u64),
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The bytes from here on.
    From(Offset),
    /// Every byte from now on, without a budget.
    Everything,
    /// Every byte from now on but DATA past the budget of its stream. A frame begins there.
    Frames(Option<Offset>),
}

impl Window {
    /// Bytes of this direction came.
    #[inline]
    pub(super) fn spoke(&mut self, offset: Offset) {
        if matches!(self.state, State::Silent | State::Heard) {
            self.base = offset;
            self.state = State::Speaks;
        }
    }

    /// Bytes of the other direction came.
    #[inline]
    pub(super) fn heard(&mut self) {
        if self.state == State::Speaks {
            self.state = State::Heard;
        }
    }

    /// Bytes before this are not wanted.
    pub(super) const fn until(&self) -> Option<Offset> {
        self.until
    }

    /// The direction stands at `position`: what to ask the hook for, if it is time.
    #[inline]
    pub(super) fn advance(&mut self, position: Offset, demand: Demand) -> Option<Wanted> {
        if self.state == State::Unlimited {
            return None;
        }
        if let Demand::Frames {
            next,
            unwanted,
            guess,
            ..
        } = demand
        {
            return self
                .judge(guess, next, unwanted)
                .or_else(|| self.frames(next, unwanted));
        }
        if let Some(until) = self.until {
            if position < until {
                return None;
            }
            self.until = None;
        }
        let from = match demand {
            Demand::From(until) if position.until(until) >= WORTH => {
                let until = until.min(position + FAR);
                self.until = Some(until);
                until
            }
            Demand::Nothing | Demand::Frames { .. } => return None,
            Demand::Unlimited => {
                self.state = State::Unlimited;
                return Some(Wanted::Everything);
            }
            Demand::Next | Demand::From(_) if self.base.until(position) >= RENEW => position,
            Demand::Next | Demand::From(_) => return None,
        };
        self.base = from;
        if self.state == State::Silent {
            self.state = State::Speaks;
        }
        Some(Wanted::From(from))
    }

    /// Says at once what became of a guess: until then everything is copied.
    fn judge(
        &mut self,
        guess: Option<Guess>,
        next: Option<Offset>,
        unwanted: u64,
    ) -> Option<Wanted> {
        let guess = guess.filter(|guess| self.guess != Some(guess.at))?;
        let next = match guess.is_right {
            true => guess.at,
            false => next?,
        };
        self.guess = Some(guess.at);
        self.state = State::Frames(unwanted);
        Some(Wanted::Frames(Some(next)))
    }

    fn frames(&mut self, next: Option<Offset>, unwanted: u64) -> Option<Wanted> {
        if let State::Frames(heard) = self.state
            && (next.is_none() || unwanted.saturating_sub(heard) < AGAIN)
        {
            return None;
        }
        self.until = None;
        self.state = State::Frames(unwanted);
        Some(Wanted::Frames(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(u64, Demand, Option<Wanted>)]) {
        let mut window = Window::default();
        window.spoke(Offset(steps[0].0));
        for (position, demand, expected) in steps {
            let wanted = window.advance(Offset(*position), *demand);
            assert_eq!(wanted, *expected, "{position}");
        }
    }

    const fn from(offset: u64) -> Option<Wanted> {
        Some(Wanted::From(Offset(offset)))
    }

    #[test]
    fn wanted_bytes_are_asked_for_in_time() {
        check(&[
            (100, Demand::Next, None),
            (99 + RENEW, Demand::Next, None),
            (100 + RENEW, Demand::Next, from(100 + RENEW)),
            (99 + 2 * RENEW, Demand::Next, None),
            (
                100 + 2 * RENEW,
                Demand::From(Offset(110 + 2 * RENEW)),
                from(100 + 2 * RENEW),
            ),
        ]);
    }

    #[test]
    fn what_is_of_no_use_gets_nothing() {
        check(&[
            (100, Demand::Nothing, None),
            (10_000_000, Demand::Nothing, None),
        ]);
    }

    #[test]
    fn everything_is_asked_for_once() {
        check(&[
            (100, Demand::Unlimited, Some(Wanted::Everything)),
            (10_000_000, Demand::Unlimited, None),
        ]);
    }

    #[test]
    fn frames_are_followed_until_a_tunnel_opens() {
        let frames = |next: Option<u64>, unwanted| Demand::Frames {
            next: next.map(Offset),
            unwanted,
            usual: 0,
            guess: None,
            mid_stream: false,
        };
        let from = |next: Option<u64>| Some(Wanted::Frames(next.map(Offset)));
        check(&[
            (100, frames(Some(120), 0), from(Some(120))),
            (300, frames(Some(400), AGAIN - 1), None),
            // Lost track of: said again, once it is known.
            (9_000_000, frames(None, AGAIN), None),
            (
                9_100_000,
                frames(Some(9_100_007), AGAIN),
                from(Some(9_100_007)),
            ),
            (9_200_000, frames(Some(9_200_000), 2 * AGAIN - 1), None),
            (9_300_000, Demand::Unlimited, Some(Wanted::Everything)),
            (9_400_000, frames(Some(9_400_000), 9 * AGAIN), None),
        ]);
        check(&[(100, frames(None, 0), from(None))]);
    }

    #[test]
    fn a_guess_is_judged_at_once_and_once() {
        let frames = |next: Option<u64>, at, is_right| Demand::Frames {
            next: next.map(Offset),
            unwanted: 0,
            usual: 0,
            guess: Some(Guess {
                at: Offset(at),
                is_right,
            }),
            mid_stream: false,
        };
        let here = |at| Some(Wanted::Frames(Some(Offset(at))));
        check(&[
            (100, frames(Some(120), 100, true), here(100)),
            (150, frames(Some(220), 100, true), None),
            (300, frames(Some(320), 270, false), here(320)),
            (300, frames(Some(420), 270, false), None),
            (400, frames(None, 390, false), None),
            (410, frames(Some(490), 390, false), here(490)),
        ]);
    }

    #[test]
    fn unwanted_bytes_are_declined_once() {
        let end = Demand::From(Offset(1_000_100));
        check(&[
            (100, end, from(1_000_100)),
            (200, end, None),
            (1_000_100, Demand::Next, None),
        ]);
        let end = Demand::From(Offset(100 + FAR * 3));
        check(&[
            (100, end, from(100 + FAR)),
            (5000, end, None),
            (100 + FAR, end, from(100 + FAR * 2)),
        ]);
    }
}
