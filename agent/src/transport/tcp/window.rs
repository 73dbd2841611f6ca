//! When to tell the hook what is needed of a direction.
//!
//! The hook copies a budget of bytes (1 MiB by default) per direction, counted from where the other direction last spoke, and
//! then looks whether it was told a sequence number to count from. So a direction whose bytes are wanted is given a new
//! budget in good time, and one whose bytes are not wanted is told where they are wanted again.

use super::distance;
use crate::http::h1::Appetite;

/// Bytes after which a direction that is wanted gets a new budget: a quarter of the hook's, so that the news arrives in time.
const RENEW: i32 = 256 * 1024;
/// Fewer unwanted bytes than this are not worth a word: the hook reads it only when its budget is spent.
const WORTH: u64 = 64 * 1024;
/// Farthest sequence number that is told. Such numbers are compared modulo 2^32, so half of that is the limit.
const FAR: u32 = 1 << 30;

/// What the hook was told of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    /// Where the current budget began.
    base: u32,
    /// Bytes before this are not wanted.
    until: Option<u32>,
    /// The other direction spoke since.
    turned: bool,
    started: bool,
}

impl Credit {
    /// Bytes of this direction came.
    #[inline]
    pub(crate) const fn spoke(&mut self, seq: u32) {
        if self.turned || !self.started {
            self.base = seq;
            self.turned = false;
            self.started = true;
        }
    }

    /// Bytes of the other direction came.
    #[inline]
    pub(crate) const fn heard(&mut self) {
        self.turned = true;
    }

    /// Bytes before this are not wanted.
    pub(crate) const fn until(&self) -> Option<u32> {
        self.until
    }

    /// The direction stands at `position`: the sequence number to tell the hook, if it is time.
    #[inline]
    pub(crate) fn advance(&mut self, position: u32, appetite: Appetite) -> Option<u32> {
        if let Some(until) = self.until {
            if distance(position, until) > 0 {
                return None;
            }
            self.until = None;
        }
        let seq = match appetite {
            Appetite::After(len) if len >= WORTH => {
                let len = u32::try_from(len).unwrap_or(FAR).min(FAR);
                let until = position.wrapping_add(len);
                self.until = Some(until);
                until
            }
            Appetite::Nothing => return None,
            _ if distance(self.base, position) >= RENEW => position,
            _ => return None,
        };
        self.base = seq;
        self.started = true;
        Some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(u32, Appetite, Option<u32>)]) {
        let mut credit = Credit::default();
        credit.spoke(steps[0].0);
        for (position, appetite, expected) in steps {
            assert_eq!(
                credit.advance(*position, *appetite),
                *expected,
                "{position}"
            );
        }
    }

    #[test]
    fn wanted_bytes_are_asked_for_in_time() {
        let near = RENEW.unsigned_abs();
        check(&[
            (100, Appetite::Next, None),
            (99 + near, Appetite::Next, None),
            (100 + near, Appetite::Next, Some(100 + near)),
            (99 + 2 * near, Appetite::Next, None),
            (100 + 2 * near, Appetite::After(10), Some(100 + 2 * near)),
        ]);
    }

    #[test]
    fn what_is_of_no_use_gets_nothing() {
        check(&[
            (100, Appetite::Nothing, None),
            (10_000_000, Appetite::Nothing, None),
        ]);
    }

    #[test]
    fn unwanted_bytes_are_declined_once() {
        check(&[
            (100, Appetite::After(1_000_000), Some(1_000_100)),
            (200, Appetite::After(999_900), None),
            (1_000_100, Appetite::Next, None),
        ]);
        let far = u64::from(FAR);
        check(&[
            (100, Appetite::After(far * 3), Some(100 + FAR)),
            (5000, Appetite::After(far * 3 - 4900), None),
            (
                100 + FAR,
                Appetite::After(far * 2),
                Some(100_u32.wrapping_add(FAR * 2)),
            ),
        ]);
        check(&[(u32::MAX - 10, Appetite::After(100_000), Some(99_989))]);
    }
}
